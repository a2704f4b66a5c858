const std = @import("std");
const asyncinotify = @import("asyncinotify.zig");
const Event = asyncinotify.Event;
const Inotify = asyncinotify.Inotify;
const Mask = asyncinotify.Mask;
const Watch = asyncinotify.Watch;
const testing = std.testing;
const io = testing.io;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectEqualStrings = testing.expectEqualStrings;

extern "c" fn mkdtemp(template: [*:0]u8) ?[*:0]u8;

/// A folder of its own, and an instance. Not testing.tmpDir: that writes below the current folder.
const Box = struct {
    name: [template.len:0]u8 = template.*,
    dir: std.Io.Dir,
    inotify: Inotify,

    const template = "/tmp/asyncinotify-zig.XXXXXX";

    fn init(box: *Box) !void {
        box.* = .{ .dir = undefined, .inotify = undefined };
        if (mkdtemp(&box.name) == null) return error.NoFolder;
        errdefer std.Io.Dir.cwd().deleteTree(io, &box.name) catch {};
        box.dir = try std.Io.Dir.openDirAbsolute(io, &box.name, .{});
        errdefer box.dir.close(io);
        box.inotify = try .init(.{ .timeout = .{ .milliseconds = 10_000 } });
    }

    fn deinit(box: *Box) void {
        box.inotify.deinit();
        box.dir.close(io);
        std.Io.Dir.cwd().deleteTree(io, &box.name) catch |err| std.debug.panic("{s}: {t}", .{ box.name, err });
    }

    fn path(box: *const Box) []const u8 {
        return &box.name;
    }

    fn below(box: *const Box, buffer: []u8, name: []const u8) []const u8 {
        return std.fmt.bufPrint(buffer, "{s}/{s}", .{ box.path(), name }) catch unreachable;
    }

    fn write(box: *const Box, name: []const u8) !void {
        try box.dir.writeFile(io, .{ .sub_path = name, .data = "x" });
    }

    fn mkdir(box: *const Box, name: []const u8) !void {
        try box.dir.createDirPath(io, name);
    }

    fn rename(box: *const Box, old: []const u8, new: []const u8) !void {
        try box.dir.rename(old, box.dir, new, io);
    }

    /// The next event; there has to be one.
    fn event(box: *const Box) !Event {
        return try box.inotify.wait() orelse error.TimedOut;
    }

    /// Takes events up to one with any of these bits and this path below the folder.
    fn until(box: *const Box, mask: Mask, name: []const u8) !Event {
        var buffer: [128]u8 = undefined;
        const wanted = if (name.len == 0) box.path() else box.below(&buffer, name);
        while (true) {
            const e = try box.event();
            if (e.mask.intersects(mask) and std.mem.eql(u8, e.path.?, wanted)) return e;
        }
    }

    fn readable(box: *const Box, milliseconds: i32) !bool {
        var fds = [_]std.posix.pollfd{.{ .fd = box.inotify.fd(), .events = std.posix.POLL.IN, .revents = 0 }};
        return try std.posix.poll(&fds, milliseconds) == 1;
    }
};

test "events: names, paths, renames" {
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    const watch = try box.inotify.addWatch(box.path(), .with(.{ .create = true }, .move));
    var context: u8 = 7;
    try box.inotify.setUserdata(watch, &context);

    try expect(!try box.readable(0));
    try expectEqual(null, try box.inotify.next());
    try box.write("a");
    try box.rename("a", "b");
    try box.mkdir("d");
    try expect(try box.readable(10_000));

    var buffer: [4096]u8 = undefined;
    const created = (try box.inotify.next()).?;
    try expectEqual(watch, created.watch);
    try expectEqual(Mask{ .create = true }, created.mask);
    try expectEqualStrings("a", created.name.?);
    try expectEqualStrings(box.below(&buffer, "a"), created.path.?);
    try expectEqual(null, created.moved_from);
    try expectEqual(@as(?*anyopaque, &context), created.userdata);
    const from = (try box.inotify.next()).?;
    try expect(from.mask.moved_from and from.cookie != 0);
    const cookie = from.cookie;
    const to = (try box.inotify.next()).?;
    try expect(to.mask.moved_to);
    try expectEqual(cookie, to.cookie);
    try expectEqualStrings("b", to.name.?);
    try expectEqualStrings(box.below(&buffer, "a"), to.moved_from.?);
    const directory = (try box.inotify.next()).?;
    try expectEqual(Mask{ .create = true, .isdir = true }, directory.mask);
    try expectEqual(null, try box.inotify.next());
    try expect(!try box.readable(0));
}

test "a watch from its beginning to its end" {
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    const watch = try box.inotify.addWatch(box.path(), .{ .create = true });
    try expectEqual(watch, try box.inotify.addWatch(box.path(), .{ .delete = true, .mask_add = true }));
    try expectEqual(Mask{ .create = true, .delete = true }, try box.inotify.watchMask(watch));
    try testing.expectError(error.WatchAlreadyExists, box.inotify.addWatch(box.path(), .{ .open = true, .mask_create = true }));

    var buffer: [4096]u8 = undefined;
    try expectEqualStrings(box.path(), try box.inotify.watchPath(watch, &buffer));
    try testing.expectError(error.NameTooLong, box.inotify.watchPath(watch, buffer[0..3]));
    try box.inotify.setWatchPath(watch, "elsewhere");
    try box.write("f");
    try expectEqualStrings("elsewhere/f", (try box.event()).path.?);

    var watches: [4]Watch = undefined;
    try testing.expectEqualSlices(Watch, &.{watch}, try box.inotify.watches(&watches));
    try expectEqual(1, try box.inotify.count());
    try expect(try box.inotify.isActive(watch));
    try box.inotify.removeWatch(watch);
    try expect(!try box.inotify.isActive(watch));
    const last = try box.event();
    try expect(last.mask.ignored);
    try expectEqual(watch, last.watch);
    try testing.expectError(error.WatchNotFound, box.inotify.removeWatch(watch));
    try testing.expectError(error.WatchNotFound, box.inotify.isActive(watch));
    try testing.expectError(error.WatchNotFound, box.inotify.watchMask(.none));
    try expectEqual(0, try box.inotify.count());
}

test "errors" {
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    var buffer: [4096]u8 = undefined;
    const nothing = box.below(&buffer, "nothing");
    try testing.expectError(error.FileNotFound, box.inotify.addWatch(nothing, .all));
    try expect(std.mem.indexOf(u8, asyncinotify.lastErrorMessage(), nothing) != null);
    try testing.expectError(error.FileNotFound, box.inotify.addRecursive(nothing, .all, .{}));
    try testing.expectError(error.InvalidArgument, box.inotify.addWatch(box.path(), .{}));
    try testing.expectError(error.InvalidArgument, box.inotify.addWatch("/\x00", .all));
    try testing.expectError(error.NameTooLong, box.inotify.addWatch(&@as([4096]u8, @splat('x')), .all));
    try box.write("file");
    try testing.expectError(error.NotDir, box.inotify.addRecursive(box.below(&buffer, "file"), .all, .{}));
    try testing.expectError(error.InvalidArgument, box.inotify.setCacheSize(0));
    try testing.expectError(error.Unexpected, box.inotify.debugDump(-1));

    try box.inotify.setTimeout(.disabled);
    try testing.expectError(error.WouldBlock, box.inotify.wait());
    try box.inotify.setTimeout(.{ .milliseconds = 1 });
    try expectEqual(null, try box.inotify.wait());
    box.inotify.wake();
    try testing.expectError(error.Interrupted, box.inotify.wait());

    const closed: Inotify = try .init(.{});
    closed.deinit();
    try testing.expectError(error.InvalidArgument, closed.next());
}

test "a tree: what is made in a hurry, and what is renamed" {
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    const tree = try box.inotify.addRecursive(box.path(), .{ .create = true, .moved_to = true }, .{});
    var name: [64]u8 = undefined;
    for (0..100) |i| {
        try box.mkdir(try std.fmt.bufPrint(&name, "{d}/a/b/c", .{i}));
        try box.write(try std.fmt.bufPrint(&name, "{d}/a/b/c/leaf", .{i}));
    }
    var seen: std.StringHashMapUnmanaged(void) = .empty;
    defer {
        var keys = seen.keyIterator();
        while (keys.next()) |key| testing.allocator.free(key.*);
        seen.deinit(testing.allocator);
    }
    while (seen.count() < 500) {
        const event = try box.event();
        try expect(event.mask.create);
        try expectEqual(tree, event.watch);
        const path = try testing.allocator.dupe(u8, event.path.?);
        const entry = try seen.getOrPut(testing.allocator, path);
        if (entry.found_existing) {
            testing.allocator.free(path);
            return error.ReportedTwice;
        }
    }
    try box.rename("7", "seven");
    _ = try box.until(.{ .moved_to = true }, "seven");
    try box.write("seven/a/b/c/later");
    _ = try box.until(.{ .create = true }, "seven/a/b/c/later");
    try box.inotify.removeWatch(tree);
    _ = try box.until(.{ .ignored = true }, "");
}

test "a tree: list, depth, filter" {
    const Skip = struct {
        asked: usize = 0,

        fn git(context: ?*anyopaque, path: [:0]const u8) bool {
            const skip: *@This() = @ptrCast(@alignCast(context.?));
            skip.asked += 1;
            return !std.mem.endsWith(u8, path, "/.git");
        }

        fn collect(count: *usize, path: [:0]const u8) bool {
            count.* += 1;
            return path.len > 0;
        }

        fn stop(_: void, _: [:0]const u8) bool {
            return false;
        }
    };
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    try box.mkdir("src/deep/deeper");
    try box.mkdir(".git/objects");
    var skip: Skip = .{};
    const filter: asyncinotify.Filter = .{ .context = &skip, .function = Skip.git };
    const tree = try box.inotify.addRecursive(box.path(), .{ .create = true }, .{
        .list_existing = true,
        .one_filesystem = true,
        .max_depth = 3,
        .filter = &filter,
    });
    const begin = try box.event();
    try expect(begin.flags.sync_begin and begin.mask == Mask{});
    try expectEqualStrings(box.path(), begin.path.?);
    var listed: usize = 0;
    while (true) {
        const event = try box.event();
        if (event.flags.sync_end) break;
        try expect(event.flags.synthetic and event.mask.create);
        listed += 1;
    }
    try expectEqual(4, listed); // src, src/deep, src/deep/deeper, .git
    try expectEqual(3, skip.asked); // all but src/deep/deeper, which is too deep
    var directories: usize = 0;
    try expectEqual(3, try box.inotify.eachDirectory(tree, &directories, Skip.collect));
    try expectEqual(3, directories);
    try expectEqual(1, try box.inotify.eachDirectory(tree, {}, Skip.stop));
    try testing.expectError(error.WatchNotFound, box.inotify.eachDirectory(.none, {}, Skip.stop));
}

test "a tree in the background" {
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    try box.mkdir("a/b/c");
    _ = try box.inotify.addRecursive(box.path(), .{ .create = true }, .{ .background = true });
    try expect((try box.event()).flags.sync_end);
    try box.write("a/b/c/f");
    _ = try box.until(.{ .create = true }, "a/b/c/f");
}

test "a tree: trouble, and its end" {
    const Troubles = struct {
        path: []const u8,
        right: usize = 0,

        fn look(troubles: *@This(), path: [:0]const u8, errno: std.os.linux.E) bool {
            if (errno == .MFILE and std.mem.eql(u8, path, troubles.path)) troubles.right += 1;
            return true;
        }

        fn stop(_: void, _: [:0]const u8, _: std.os.linux.E) bool {
            return false;
        }
    };
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    const tree = try box.inotify.addRecursive(box.path(), .{ .create = true }, .{});
    try expectEqual(0, try box.inotify.eachTrouble(tree, {}, Troubles.stop));
    try testing.expectError(error.WatchNotFound, box.inotify.eachTrouble(.none, {}, Troubles.stop));

    // No file can be opened; what has been opened goes on.
    const before = try std.posix.getrlimit(.NOFILE);
    try std.posix.setrlimit(.NOFILE, .{ .cur = 1, .max = before.max });
    defer std.posix.setrlimit(.NOFILE, before) catch unreachable;
    for ([_][]const u8{ "a", "b", "a/below" }) |name| try box.mkdir(name);
    var told: usize = 0;
    while (told < 2) {
        const event = try box.event();
        if (!event.flags.trouble) continue;
        try expectEqual(.MFILE, event.errno);
        told += 1;
    }
    var buffer: [128]u8 = undefined;
    var troubles: Troubles = .{ .path = box.below(&buffer, "a") };
    try expectEqual(2, try box.inotify.eachTrouble(tree, &troubles, Troubles.look));
    try expectEqual(1, troubles.right);
    try expectEqual(1, try box.inotify.eachTrouble(tree, {}, Troubles.stop));

    try std.posix.setrlimit(.NOFILE, before);
    var found = false;
    var healed: usize = 0;
    while (healed < 2) {
        const event = try box.event();
        try expectEqual(.SUCCESS, event.errno);
        if (event.flags.healed) {
            try expectEqual(Mask{ .isdir = true }, event.mask);
            healed += 1;
            if (std.mem.eql(u8, event.path.?, troubles.path)) try expect(found);
        } else if (std.mem.eql(u8, event.name.?, "below")) {
            try expect(event.flags.synthetic);
            found = true;
        }
    }
    try expect(found);
    try expectEqual(0, try box.inotify.eachTrouble(tree, {}, Troubles.stop));
}

test "a path longer than PATH_MAX" {
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    var long: [6000:0]u8 = undefined;
    var length: usize = box.path().len;
    @memcpy(long[0..length], box.path());
    while (length + 3 < long.len) : (length += 2) @memcpy(long[length..][0..2], "/.");
    long[length] = 0;
    try testing.expectError(error.NameTooLong, box.inotify.addRecursive(long[0..length], .all, .{}));
    _ = try box.inotify.addRecursiveZ(long[0..length :0], .{ .create = true }, .{});
    try box.write("f");
    const event = try box.event();
    try expectEqual(length + 2, event.path.?.len);
}

test "batches, dispatch and run" {
    const Count = struct {
        fn all(count: *usize, _: Event) bool {
            count.* += 1;
            return true;
        }

        fn two(count: *usize, _: Event) bool {
            count.* += 1;
            return count.* < 2;
        }
    };
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    _ = try box.inotify.addWatch(box.path(), .{ .create = true });
    var name: [8]u8 = undefined;
    for (0..10) |i| try box.write(try std.fmt.bufPrint(&name, "{d}", .{i}));

    var raw: [3]asyncinotify.c.asyncinotify_event = undefined;
    const batch = try box.inotify.getEvents(&raw);
    try expectEqual(3, batch.len);
    try expectEqualStrings("2", Event.fromC(&batch[2]).name.?);
    try testing.expectError(error.InvalidArgument, box.inotify.getEvents(raw[0..0]));
    var count: usize = 0;
    try expectEqual(1, try box.inotify.dispatch(1, &count, Count.all));
    count = 0;
    try expectEqual(2, try box.inotify.dispatch(0, &count, Count.two));
    count = 0;
    try box.inotify.run(&count, Count.two);
    try expectEqual(2, count);
    try expect(try box.readable(0));
    count = 0;
    try box.inotify.setTimeout(.{ .milliseconds = 1 });
    try box.inotify.run(&count, Count.all);
    try expectEqual(2, count);
    try expectEqual(0, try box.inotify.dispatch(0, &count, Count.all));
}

test "another thread adds and wakes" {
    var box: Box = undefined;
    try box.init();
    defer box.deinit();
    const Other = struct {
        fn run(b: *Box) void {
            _ = b.inotify.addWatch(b.path(), .{ .create = true }) catch |err| std.debug.panic("{t}", .{err});
            b.write("f") catch |err| std.debug.panic("{t}", .{err});
        }

        fn wake(b: *Box) void {
            b.inotify.wake();
        }
    };
    var thread = try std.Thread.spawn(.{}, Other.run, .{&box});
    _ = try box.until(.{ .create = true }, "f");
    thread.join();
    thread = try std.Thread.spawn(.{}, Other.wake, .{&box});
    try testing.expectError(error.Interrupted, box.inotify.wait());
    thread.join();
}

test "masks and events as text" {
    try testing.expectFmt("CREATE|ISDIR", "{f}", .{Mask{ .create = true, .isdir = true }});
    try testing.expectFmt("0", "{f}", .{Mask{}});
    try testing.expectFmt("CLOSE_WRITE|CLOSE_NOWRITE", "{f}", .{Mask.close});
    try testing.expectFmt("MOVED_TO synthetic /b <- /a", "{f}", .{Event{
        .watch = .none,
        .wd = 1,
        .mask = .{ .moved_to = true },
        .flags = .{ .synthetic = true },
        .cookie = 0,
        .errno = .SUCCESS,
        .name = "b",
        .path = "/b",
        .moved_from = "/a",
        .userdata = null,
    }});
    try testing.expectFmt("ISDIR healed /a", "{f}", .{Event{
        .watch = .none,
        .wd = -1,
        .mask = .{ .isdir = true },
        .flags = .{ .healed = true },
        .cookie = 0,
        .errno = .SUCCESS,
        .name = null,
        .path = "/a",
        .moved_from = null,
        .userdata = null,
    }});
    try expectEqual(asyncinotify.constants.version_minor, asyncinotify.version().minor);
}

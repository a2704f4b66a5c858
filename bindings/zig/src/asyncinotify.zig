//! inotify for every event loop: full paths, a pollable descriptor, and recursive watches that miss nothing. The Zig side
//! of libasyncinotify.
//!
//! ```zig
//! var inotify: asyncinotify.Inotify = try .init(.{});
//! defer inotify.deinit();
//! _ = try inotify.addRecursive("src", .all, .{});
//! while (true) {
//!     while (try inotify.next()) |event| std.debug.print("{f} {s}\n", .{ event.mask, event.path orelse "" });
//!     var fds = [_]std.posix.pollfd{.{ .fd = inotify.fd(), .events = std.posix.POLL.IN, .revents = 0 }};
//!     _ = try std.posix.poll(&fds, -1);
//! }
//! ```
//!
//! Any function may be called from any thread at any time; one thread at a time takes events. Nothing here allocates.
//! What each call does in full is told by the comments in asyncinotify.h.

const std = @import("std");
const assert = std.debug.assert;
const fd_t = std.posix.fd_t;

/// The C API as it is.
pub const c = @import("c.zig");

/// Everything that can go wrong. `lastErrorMessage` tells the whole story.
pub const Error = error{
    /// No permission to read what is to be watched, or to search a directory of its path.
    AccessDenied,
    /// It is watched already, and the mask has `mask_create`.
    WatchAlreadyExists,
    SymLinkLoop,
    NameTooLong,
    FileNotFound,
    NotDir,
    /// fs.inotify.max_user_watches is reached.
    WatchLimitReached,
    /// fs.inotify.max_user_instances is reached, or the process has too many open files.
    ProcessFdQuotaExceeded,
    SystemFdQuotaExceeded,
    /// No memory. Nothing is lost, and it may be tried again.
    SystemResources,
    /// No watch of this instance, or one that has ended.
    WatchNotFound,
    /// Another thread is taking events.
    Busy,
    /// Nothing now, the instance is non-blocking and has no time-out.
    WouldBlock,
    /// `wake` was called, or a signal handler ran during the wait.
    Interrupted,
    /// The instance was closed while the call was under way.
    Canceled,
    /// The mask has no event or bits that exclude each other, or the instance is closed, or a path has a NUL in it.
    InvalidArgument,
    /// None of the above.
    Unexpected,
};

fn errorOf(result: isize) Error {
    const E = std.os.linux.E;
    assert(result < 0);
    return switch (@as(E, @fromBackingInt(@intCast(-result)))) {
        .ACCES => error.AccessDenied,
        .EXIST => error.WatchAlreadyExists,
        .LOOP => error.SymLinkLoop,
        .NAMETOOLONG => error.NameTooLong,
        .NOENT => error.FileNotFound,
        .NOTDIR => error.NotDir,
        .NOSPC => error.WatchLimitReached,
        .MFILE => error.ProcessFdQuotaExceeded,
        .NFILE => error.SystemFdQuotaExceeded,
        .NOMEM => error.SystemResources,
        .BUSY => error.Busy,
        .AGAIN => error.WouldBlock,
        .INTR => error.Interrupted,
        .CANCELED => error.Canceled,
        .INVAL => error.InvalidArgument,
        else => error.Unexpected,
    };
}

fn check(result: isize) Error!usize {
    return if (result < 0) errorOf(result) else @intCast(result);
}

/// For functions of a watch: there ENOENT is about the watch, not about a file.
fn checkWatch(result: isize) Error!usize {
    return check(result) catch |err| switch (err) {
        error.FileNotFound => error.WatchNotFound,
        else => err,
    };
}

/// This thread's last failure in full: the call, the path, the cause, and for a limit the sysctl to raise. "" if there was
/// none. Lives until the next failing call on this thread.
pub fn lastErrorMessage() [:0]const u8 {
    return std.mem.span(c.asyncinotify_last_error_message());
}

/// The version of the library that is loaded.
pub fn version() std.SemanticVersion {
    const number = c.asyncinotify_version();
    return .{ .major = number >> 16, .minor = number >> 8 & 0xff, .patch = number & 0xff };
}

/// inotify's bits: what to watch for, or what has happened. See inotify(7).
pub const Mask = packed struct(u32) {
    access: bool = false,
    modify: bool = false,
    attrib: bool = false,
    close_write: bool = false,
    close_nowrite: bool = false,
    open: bool = false,
    moved_from: bool = false,
    moved_to: bool = false,
    create: bool = false,
    delete: bool = false,
    delete_self: bool = false,
    move_self: bool = false,
    unknown12: u1 = 0,
    /// In events only: the file system was unmounted. `ignored` follows.
    unmount: bool = false,
    /// In events only: the kernel's queue overflowed, and events were lost.
    q_overflow: bool = false,
    /// In events only: the watch has ended.
    ignored: bool = false,
    unknown16: u8 = 0,
    /// When adding: only if the path is a directory.
    onlydir: bool = false,
    /// When adding: don't follow the path if it is a symbolic link.
    dont_follow: bool = false,
    /// When adding: no events for children that have been unlinked.
    excl_unlink: bool = false,
    unknown27: u1 = 0,
    /// When adding: fail if it is watched already.
    mask_create: bool = false,
    /// When adding: add to the mask of a watch that is there already.
    mask_add: bool = false,
    /// In events only: the subject is a directory.
    isdir: bool = false,
    /// When adding: end after one event.
    oneshot: bool = false,

    pub const close: Mask = .{ .close_write = true, .close_nowrite = true };
    pub const move: Mask = .{ .moved_from = true, .moved_to = true };
    /// All twelve events.
    pub const all: Mask = fromInt(0xfff);

    pub fn fromInt(bits: u32) Mask {
        return @bitCast(bits);
    }

    pub fn toInt(mask: Mask) u32 {
        return @bitCast(mask);
    }

    /// All bits of both.
    pub fn with(mask: Mask, more: Mask) Mask {
        return fromInt(mask.toInt() | more.toInt());
    }

    /// Whether any bit is in both.
    pub fn intersects(mask: Mask, other: Mask) bool {
        return mask.toInt() & other.toInt() != 0;
    }

    /// The bits' names, "CREATE|ISDIR", with `{f}`.
    pub fn format(mask: Mask, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        var buffer: [320]u8 = undefined;
        const length: usize = @intCast(c.asyncinotify_mask_format(mask.toInt(), &buffer, buffer.len));
        try writer.writeAll(buffer[0..length]);
    }
};

/// What an event is besides one from the kernel.
pub const EventFlags = packed struct(u32) {
    /// Not from the kernel: a scan has found this, and it is reported as its appearing would have been.
    synthetic: bool = false,
    /// A list of all that is in a tree begins. No mask, `path` is the tree's root.
    sync_begin: bool = false,
    /// From here on the tree is whole. No mask, `path` is the tree's root.
    sync_end: bool = false,
    /// A directory can't be watched: `path` says which, `errno` why.
    trouble: bool = false,
    unknown4: u3 = 0,
    /// A directory of which `trouble` was told is watched again, and what is in it was told: `path` says which.
    healed: bool = false,
    unknown8: u24 = 0,
};

/// A watch: a number that is never used twice in the life of the process. Its functions are those of `Inotify`.
pub const Watch = enum(c.asyncinotify_watch) { none = 0, _ };

/// One thing that has happened. Its slices live until the next call that takes events from the instance, or `deinit`.
pub const Event = struct {
    /// `.none` for an overflow, and for the end of a spent `oneshot` watch.
    watch: Watch,
    /// The kernel's watch descriptor, -1 if there is none.
    wd: i32,
    mask: Mask,
    flags: EventFlags,
    /// The same in both halves of a rename, otherwise 0.
    cookie: u32,
    /// With `flags.trouble` why, otherwise `.SUCCESS`.
    errno: std.os.linux.E,
    /// The entry's name in the watched directory; null if the event is about the watch itself. Any bytes.
    name: ?[:0]const u8,
    /// The full path as it was when the event happened, beginning with the path given to add; null if there is no watch.
    path: ?[:0]const u8,
    /// With `mask.moved_to`: the full path it came from, if this instance has seen it leave.
    moved_from: ?[:0]const u8,
    userdata: ?*anyopaque,

    pub fn fromC(raw: *const c.asyncinotify_event) Event {
        return .{
            .watch = @fromBackingInt(raw.watch),
            .wd = raw.wd,
            .mask = .fromInt(raw.mask),
            .flags = @bitCast(raw.flags),
            .cookie = raw.cookie,
            .errno = @fromBackingInt(@intCast(raw.@"error")),
            .name = slice(raw.name, raw.name_len),
            .path = slice(raw.path, raw.path_len),
            .moved_from = slice(raw.moved_from, raw.moved_from_len),
            .userdata = raw.userdata,
        };
    }

    fn slice(text: ?[*:0]const u8, length: usize) ?[:0]const u8 {
        return (text orelse return null)[0..length :0];
    }

    /// Mask and path, and where it came from, with `{f}`.
    pub fn format(event: Event, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        try writer.print("{f}", .{event.mask});
        inline for (.{ "synthetic", "sync_begin", "sync_end", "healed" }) |flag| {
            if (@field(event.flags, flag)) try writer.writeAll(" " ++ flag);
        }
        if (event.flags.trouble) try writer.print(" {t}", .{event.errno});
        if (event.path) |path| try writer.print(" {s}", .{path});
        if (event.moved_from) |from| try writer.print(" <- {s}", .{from});
    }
};

/// How long `wait` and `run` wait.
pub const Timeout = union(enum) {
    /// As read(2) on the descriptor would: error.WouldBlock if non-blocking, for ever if not.
    disabled,
    infinite,
    milliseconds: u31,
};

/// Decides whether a directory of a tree is to be watched: false spares it and all below it.
pub const Filter = struct {
    context: ?*anyopaque = null,
    /// Called with no lock held, wherever a directory is found: in `addRecursive`, and in the calls that take events.
    function: *const fn (context: ?*anyopaque, path: [:0]const u8) bool,

    fn call(_: *c.asyncinotify, path: [*:0]const u8, length: usize, userdata: ?*anyopaque) callconv(.c) c_int {
        const filter: *const Filter = @ptrCast(@alignCast(userdata.?));
        return @intFromBool(filter.function(filter.context, path[0..length :0]));
    }
};

pub const RecursiveOptions = struct {
    /// Begin with a list of what there is: `sync_begin`, a `synthetic` event for every entry, `sync_end`. And so again
    /// after an overflow: what was not named then is gone.
    list_existing: bool = false,
    /// Return at once; the tree is set up by the calls that take events, and `sync_end` says when it is complete.
    background: bool = false,
    /// Don't enter what is mounted below the root.
    one_filesystem: bool = false,
    /// How many levels are watched: 1 is the root directory alone; 0 is no limit.
    max_depth: u32 = 0,
    /// Asked once for each directory below the root. Has to stay where it is until the tree has ended.
    filter: ?*const Filter = null,
};

/// An instance: a kernel inotify queue, its watches, and the descriptor to wait on.
pub const Inotify = struct {
    handle: *c.asyncinotify,

    pub const Options = struct {
        cloexec: bool = true,
        nonblock: bool = true,
        timeout: Timeout = .disabled,
    };

    pub fn init(options: Options) Error!Inotify {
        var handle: ?*c.asyncinotify = null;
        var flags: u32 = 0;
        if (options.cloexec) flags |= constants.init_cloexec;
        if (options.nonblock) flags |= constants.init_nonblock;
        _ = try check(c.asyncinotify_new(flags, &handle));
        const self: Inotify = .{ .handle = handle.? };
        errdefer self.deinit();
        try self.setTimeout(options.timeout);
        return self;
    }

    /// Closes it, and with it all watches; threads that wait get error.Canceled.
    pub fn deinit(self: Inotify) void {
        c.asyncinotify_close(self.handle);
    }

    /// The descriptor for poll, epoll and every event loop: readable exactly while `next` would return an event. It is only
    /// waited on, never read, and belongs to the instance.
    pub fn fd(self: Inotify) fd_t {
        return c.asyncinotify_fd(self.handle);
    }

    /// The kernel's inotify descriptor, for those who must have it.
    pub fn rawFd(self: Inotify) fd_t {
        return c.asyncinotify_raw_fd(self.handle);
    }

    pub fn setTimeout(self: Inotify, timeout: Timeout) Error!void {
        _ = try check(c.asyncinotify_set_sync_timeout(self.handle, switch (timeout) {
            .disabled => constants.timeout_disabled,
            .infinite => constants.timeout_infinite,
            .milliseconds => |ms| ms,
        }));
    }

    /// The most events of full size that one read fetches, 240 by default.
    pub fn setCacheSize(self: Inotify, events: usize) Error!void {
        _ = try check(c.asyncinotify_set_cache_size(self.handle, events));
    }

    /// Writes what the instance knows to a descriptor, as text to attach to the report of a fault. Waits where write(2) does.
    pub fn debugDump(self: Inotify, to: fd_t) Error!void {
        _ = try check(c.asyncinotify_debug_dump(self.handle, to));
    }

    /// Ends a wait, or the next one, with error.Interrupted. May be called from a signal handler.
    pub fn wake(self: Inotify) void {
        _ = c.asyncinotify_wake(self.handle);
    }

    /// Watches a file or directory. `path` is any bytes but NUL, shorter than PATH_MAX; events' paths begin with it.
    /// Adding the same inode again is the same watch, and replaces its mask.
    pub fn addWatch(self: Inotify, path: []const u8, mask: Mask) Error!Watch {
        var buffer: PathBuffer = undefined;
        return self.addWatchZ(try terminated(&buffer, path), mask);
    }

    /// `addWatch` with a NUL-terminated path.
    pub fn addWatchZ(self: Inotify, path: [*:0]const u8, mask: Mask) Error!Watch {
        var watch: c.asyncinotify_watch = undefined;
        _ = try check(c.asyncinotify_add_watch(self.handle, path, mask.toInt(), &watch));
        return @fromBackingInt(watch);
    }

    /// Watches a directory and everything below it, now and later.
    pub fn addRecursive(self: Inotify, path: []const u8, mask: Mask, options: RecursiveOptions) Error!Watch {
        var buffer: PathBuffer = undefined;
        return self.addRecursiveZ(try terminated(&buffer, path), mask, options);
    }

    /// `addRecursive` with a NUL-terminated path, of any length.
    pub fn addRecursiveZ(self: Inotify, path: [*:0]const u8, mask: Mask, options: RecursiveOptions) Error!Watch {
        var raw: c.asyncinotify_recursive_options = .{ .max_depth = options.max_depth };
        if (options.list_existing) raw.flags |= constants.recursive_list_existing;
        if (options.background) raw.flags |= constants.recursive_background;
        if (options.one_filesystem) raw.flags |= constants.recursive_one_filesystem;
        if (options.filter) |filter| {
            raw.filter = Filter.call;
            raw.filter_userdata = @constCast(filter);
        }
        var watch: c.asyncinotify_watch = undefined;
        _ = try check(c.asyncinotify_add_recursive(self.handle, path, mask.toInt(), &raw, &watch));
        return @fromBackingInt(watch);
    }

    /// Ends a watch or a tree: what was queued is delivered, then `ignored`.
    pub fn removeWatch(self: Inotify, watch: Watch) Error!void {
        _ = try checkWatch(c.asyncinotify_rm_watch(self.handle, @backingInt(watch)));
    }

    /// The path that events of the watch begin with, in `buffer`; error.NameTooLong if it is too small.
    pub fn watchPath(self: Inotify, watch: Watch, buffer: []u8) Error![:0]u8 {
        const length = try checkWatch(c.asyncinotify_watch_path(self.handle, @backingInt(watch), buffer.ptr, buffer.len));
        if (length >= buffer.len) return error.NameTooLong;
        return buffer[0..length :0];
    }

    /// Corrects it, for who has learned where what is watched has moved to.
    pub fn setWatchPath(self: Inotify, watch: Watch, path: []const u8) Error!void {
        var buffer: PathBuffer = undefined;
        _ = try checkWatch(c.asyncinotify_watch_set_path(self.handle, @backingInt(watch), try terminated(&buffer, path)));
    }

    /// The mask now in force.
    pub fn watchMask(self: Inotify, watch: Watch) Error!Mask {
        var mask: u32 = undefined;
        _ = try checkWatch(c.asyncinotify_watch_mask(self.handle, @backingInt(watch), &mask));
        return .fromInt(mask);
    }

    /// Whether it still watches; false after its end, until its last event was taken.
    pub fn isActive(self: Inotify, watch: Watch) Error!bool {
        return try checkWatch(c.asyncinotify_watch_is_active(self.handle, @backingInt(watch))) == 1;
    }

    /// Attaches a pointer to a watch: its events have it. It is not freed.
    pub fn setUserdata(self: Inotify, watch: Watch, userdata: ?*anyopaque) Error!void {
        _ = try checkWatch(c.asyncinotify_watch_set_userdata(self.handle, @backingInt(watch), userdata, null));
    }

    /// All watches, as far as `buffer` has room; `count` tells how many there are.
    pub fn watches(self: Inotify, buffer: []Watch) Error![]Watch {
        const total = try check(c.asyncinotify_watches(self.handle, @ptrCast(buffer.ptr), buffer.len));
        return buffer[0..@min(total, buffer.len)];
    }

    /// How many watches there are.
    pub fn count(self: Inotify) Error!usize {
        return check(c.asyncinotify_watches(self.handle, null, 0));
    }

    /// Calls `each` for every directory that a tree watches now, parents first, until it returns false. Returns how many.
    pub fn eachDirectory(
        self: Inotify,
        watch: Watch,
        context: anytype,
        comptime each: fn (context: @TypeOf(context), path: [:0]const u8) bool,
    ) Error!usize {
        const Context = @TypeOf(context);
        const glue = struct {
            fn call(_: *c.asyncinotify, path: [*:0]const u8, length: usize, userdata: ?*anyopaque) callconv(.c) c_int {
                const given: *const Context = @ptrCast(@alignCast(userdata.?));
                return @intFromBool(!each(given.*, path[0..length :0]));
            }
        };
        return checkWatch(c.asyncinotify_watch_each_directory(self.handle, @backingInt(watch), glue.call, @ptrCast(@constCast(&context))));
    }

    /// Calls `each` for every directory of a tree that can't be watched now, with the reason of the last try, until it
    /// returns false: those of which `trouble` was told, and `healed` not yet. Returns how many.
    pub fn eachTrouble(
        self: Inotify,
        watch: Watch,
        context: anytype,
        comptime each: fn (context: @TypeOf(context), path: [:0]const u8, errno: std.os.linux.E) bool,
    ) Error!usize {
        const Context = @TypeOf(context);
        const glue = struct {
            fn call(_: *c.asyncinotify, path: [*:0]const u8, length: usize, errno: c_int, userdata: ?*anyopaque) callconv(.c) c_int {
                const given: *const Context = @ptrCast(@alignCast(userdata.?));
                return @intFromBool(!each(given.*, path[0..length :0], @fromBackingInt(@intCast(errno))));
            }
        };
        return checkWatch(c.asyncinotify_watch_each_trouble(self.handle, @backingInt(watch), glue.call, @ptrCast(@constCast(&context))));
    }

    /// The next event that is there now; null: nothing more now. Never blocks.
    pub fn next(self: Inotify) Error!?Event {
        var raw: c.asyncinotify_event = undefined;
        return if (try check(c.asyncinotify_get(self.handle, &raw)) == 0) null else .fromC(&raw);
    }

    /// The next event, waiting for it as `setTimeout` says; null: the time is over.
    pub fn wait(self: Inotify) Error!?Event {
        var raw: c.asyncinotify_event = undefined;
        return if (try check(c.asyncinotify_sync_get(self.handle, &raw)) == 0) null else .fromC(&raw);
    }

    /// As many events as are there now and fit into `buffer`, which has room for at least one. `Event.fromC` reads them.
    pub fn getEvents(self: Inotify, buffer: []c.asyncinotify_event) Error![]c.asyncinotify_event {
        return buffer[0..try check(c.asyncinotify_get_events(self.handle, buffer.ptr, buffer.len))];
    }

    /// Calls `each` for events that are there now, at most `max` of them (0: until none is left), until it returns false.
    /// Returns how many. Never blocks. `each` may call anything, `deinit` included.
    pub fn dispatch(
        self: Inotify,
        max: usize,
        context: anytype,
        comptime each: fn (context: @TypeOf(context), event: Event) bool,
    ) Error!usize {
        const callback = Callback(@TypeOf(context), each).call;
        return check(c.asyncinotify_dispatch(self.handle, max, callback, @ptrCast(@constCast(&context))));
    }

    /// Waits for events and calls `each` for them until it returns false, or none came for as long as `setTimeout` says.
    pub fn run(
        self: Inotify,
        context: anytype,
        comptime each: fn (context: @TypeOf(context), event: Event) bool,
    ) Error!void {
        const callback = Callback(@TypeOf(context), each).call;
        _ = try check(c.asyncinotify_run(self.handle, callback, @ptrCast(@constCast(&context))));
    }

    fn Callback(comptime Context: type, comptime each: fn (context: Context, event: Event) bool) type {
        return struct {
            fn call(_: *c.asyncinotify, event: *const c.asyncinotify_event, userdata: ?*anyopaque) callconv(.c) c_int {
                const context: *const Context = @ptrCast(@alignCast(userdata.?));
                return @intFromBool(!each(context.*, .fromC(event)));
            }
        };
    }
};

const PathBuffer = [std.os.linux.PATH_MAX]u8;

fn terminated(buffer: *PathBuffer, path: []const u8) Error![*:0]const u8 {
    if (std.mem.indexOfScalar(u8, path, 0) != null) return error.InvalidArgument;
    if (path.len >= buffer.len) return error.NameTooLong;
    @memcpy(buffer[0..path.len], path);
    buffer[path.len] = 0;
    return buffer[0..path.len :0];
}

/// The header's constants that are not bits of `Mask` and `EventFlags`.
pub const constants = struct {
    pub const version_major = 0;
    pub const version_minor = 1;
    pub const version_patch = 0;
    pub const version_number = version_major << 16 | version_minor << 8 | version_patch;
    pub const version_string = "0.1.0";
    pub const init_cloexec: u32 = 0x80000;
    pub const init_nonblock: u32 = 0x800;
    pub const init_default = init_cloexec | init_nonblock;
    pub const timeout_infinite: c_int = -1;
    pub const timeout_disabled: c_int = -2;
    pub const recursive_list_existing: u32 = 0x1;
    pub const recursive_background: u32 = 0x2;
    pub const recursive_one_filesystem: u32 = 0x4;
};

test {
    _ = @import("test.zig");
}

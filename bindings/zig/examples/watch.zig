//! Prints what happens below the given directories, waiting with poll(2) as any event loop would.
//!
//!     zig build run -- DIRECTORY...

const std = @import("std");
const asyncinotify = @import("asyncinotify");

pub fn main(init: std.process.Init) !void {
    const arguments = try init.minimal.args.toSlice(init.arena.allocator());
    const directories: []const [:0]const u8 = if (arguments.len > 1) arguments[1..] else &.{"."};

    var buffer: [4096]u8 = undefined;
    var stdout: std.Io.File.Writer = .init(.stdout(), init.io, &buffer);
    const out = &stdout.interface;

    const inotify: asyncinotify.Inotify = try .init(.{});
    defer inotify.deinit();
    for (directories) |directory| {
        _ = inotify.addRecursive(directory, .all, .{}) catch |err| {
            std.log.err("{s}", .{asyncinotify.lastErrorMessage()});
            return err;
        };
    }
    while (true) {
        while (try inotify.next()) |event| try out.print("{f}\n", .{event});
        try out.flush();
        var fds = [_]std.posix.pollfd{.{ .fd = inotify.fd(), .events = std.posix.POLL.IN, .revents = 0 }};
        _ = try std.posix.poll(&fds, -1);
    }
}

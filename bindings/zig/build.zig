const std = @import("std");

/// The library is found by pkg-config (PKG_CONFIG_PATH), or below `-Dlibrary-prefix=/some/prefix`, which programs then
/// remember as where to load it from.
pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.standardOptimizeOption(.{});
    const prefix = b.option([]const u8, "library-prefix", "where libasyncinotify is installed, instead of what pkg-config says");

    const module = b.addModule("asyncinotify", .{
        .root_source_file = b.path("src/asyncinotify.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = true,
    });
    if (prefix) |path| {
        const lib: std.Build.LazyPath = .{ .cwd_relative = b.pathJoin(&.{ path, "lib" }) };
        module.addLibraryPath(lib);
        module.addRPath(lib);
        module.linkSystemLibrary("asyncinotify", .{ .use_pkg_config = .no });
    } else {
        module.linkSystemLibrary("asyncinotify", .{});
    }

    const tests = b.addTest(.{ .root_module = module });
    b.step("test", "Run the tests").dependOn(&b.addRunArtifact(tests).step);

    const example = b.addExecutable(.{
        .name = "watch",
        .root_module = b.createModule(.{
            .root_source_file = b.path("examples/watch.zig"),
            .target = target,
            .optimize = optimize,
            .imports = &.{.{ .name = "asyncinotify", .module = module }},
        }),
    });
    b.installArtifact(example);
    const run = b.addRunArtifact(example);
    run.addPassthruArgs();
    b.step("run", "Run the example: zig build run -- DIRECTORY...").dependOn(&run.step);
}

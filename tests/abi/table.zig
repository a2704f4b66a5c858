//! Prints what the Zig binding makes of asyncinotify.h, in the words of c-table. All of it is found by reflection.

const std = @import("std");
const asyncinotify = @import("asyncinotify");
const c = asyncinotify.c;

pub fn main(init: std.process.Init) !void {
    var buffer: [4096]u8 = undefined;
    var stdout: std.Io.File.Writer = .init(.stdout(), init.io, &buffer);
    const out = &stdout.interface;
    try constants(out);
    try bits(out, asyncinotify.Mask, "");
    try bits(out, asyncinotify.EventFlags, "EVENT_");
    try layout(out, c.asyncinotify_event, "asyncinotify_event");
    try layout(out, c.asyncinotify_recursive_options, "asyncinotify_recursive_options");
    inline for (.{ "callback", "destroy", "directory_callback", "filter", "trouble_callback" }) |name| {
        const pointer = @typeInfo(@field(c, "asyncinotify_" ++ name)).optional.child;
        try signature(out, "callback", "asyncinotify_" ++ name, @typeInfo(pointer).pointer.child);
    }
    inline for (@typeInfo(c).@"struct".decl_names) |name| {
        const T = @TypeOf(@field(c, name));
        if (@typeInfo(T) == .@"fn") try signature(out, "function", name, T);
    }
    try out.flush();
}

fn upper(comptime name: []const u8) [name.len]u8 {
    var text: [name.len]u8 = undefined;
    return std.ascii.upperString(&text, name)[0..name.len].*;
}

fn constants(out: *std.Io.Writer) !void {
    inline for (@typeInfo(asyncinotify.constants).@"struct".decl_names) |name| {
        const value = @field(asyncinotify.constants, name);
        const number = @typeInfo(@TypeOf(value)) == .int or @typeInfo(@TypeOf(value)) == .comptime_int;
        try out.print("constant ASYNCINOTIFY_{s} " ++ (if (number) "{d}\n" else "{s}\n"), .{ upper(name), value });
    }
    inline for (.{ "close", "move", "all" }) |name| {
        try out.print("constant ASYNCINOTIFY_{s} {d}\n", .{ upper(name), @field(asyncinotify.Mask, name).toInt() });
    }
}

/// A field is found by setting it alone.
fn bits(out: *std.Io.Writer, comptime T: type, comptime prefix: []const u8) !void {
    const info = @typeInfo(T).@"struct";
    inline for (info.field_names, info.field_types) |field, Field| {
        if (Field != bool) continue;
        var value: T = .{};
        @field(value, field) = true;
        const name = if (comptime std.mem.eql(u8, field, "trouble")) "error" else field; // a word of Zig
        try out.print("constant ASYNCINOTIFY_" ++ prefix ++ "{s} {d}\n", .{ upper(name), @as(u32, @bitCast(value)) });
    }
}

fn layout(out: *std.Io.Writer, comptime T: type, comptime name: []const u8) !void {
    try out.print("size {s} {d}\nalign {s} {d}\n", .{ name, @sizeOf(T), name, @alignOf(T) });
    const info = @typeInfo(T).@"struct";
    inline for (info.field_names, info.field_types) |field, Field| {
        const Item = if (@typeInfo(Field) == .array) @typeInfo(Field).array.child else Field;
        try out.print("field {s}.{s} {d} {d} {s}\n", .{ name, field, @offsetOf(T, field), @sizeOf(Field), class(Item) });
    }
}

fn signature(out: *std.Io.Writer, what: []const u8, name: []const u8, comptime T: type) !void {
    const info = @typeInfo(T).@"fn";
    try out.print("{s} {s} {s} (", .{ what, name, class(info.return_type.?) });
    inline for (info.param_types, 0..) |Parameter, i| {
        if (i > 0) try out.writeAll(" ");
        try out.writeAll(class(Parameter.?));
    }
    try out.writeAll(")\n");
}

fn class(comptime T: type) []const u8 {
    return switch (@typeInfo(T)) {
        .void => "void",
        .pointer => "ptr",
        .optional => |optional| class(optional.child),
        .int => if (T == c_int) "i32" else @typeName(T),
        else => @compileError("no word for " ++ @typeName(T)),
    };
}

//! libasyncinotify's C API, as asyncinotify.h declares it. `asyncinotify.zig` is what programs use; this is for what that
//! has no word for.
//!
//! Written by hand, not by @cImport or translate-c: those make every `char *` a `[*c]` pointer that may be anything, where
//! the header says NULL or not; they read the header again in each build, so a program would need it installed; and the
//! language is parting with @cImport. What a hand can get wrong is checked: the project's ABI test compares sizes,
//! offsets, constants and the signature of each function here with the C compiler's.

/// An open instance: a token, never dereferenced.
pub const asyncinotify = opaque {};

pub const asyncinotify_watch = u64;

pub const asyncinotify_event = extern struct {
    watch: asyncinotify_watch,
    wd: i32,
    mask: u32,
    cookie: u32,
    flags: u32,
    @"error": i32,
    reserved0: u32,
    name: ?[*:0]const u8,
    name_len: usize,
    path: ?[*:0]const u8,
    path_len: usize,
    moved_from: ?[*:0]const u8,
    moved_from_len: usize,
    userdata: ?*anyopaque,
    reserved: [4]u64,
};

pub const asyncinotify_destroy = ?*const fn (userdata: ?*anyopaque) callconv(.c) void;
pub const asyncinotify_callback = ?*const fn (self: *asyncinotify, event: *const asyncinotify_event, userdata: ?*anyopaque) callconv(.c) c_int;
pub const asyncinotify_filter = ?*const fn (self: *asyncinotify, path: [*:0]const u8, path_len: usize, userdata: ?*anyopaque) callconv(.c) c_int;
pub const asyncinotify_directory_callback = ?*const fn (self: *asyncinotify, path: [*:0]const u8, path_len: usize, userdata: ?*anyopaque) callconv(.c) c_int;
pub const asyncinotify_trouble_callback = ?*const fn (self: *asyncinotify, path: [*:0]const u8, path_len: usize, @"error": c_int, userdata: ?*anyopaque) callconv(.c) c_int;

pub const asyncinotify_recursive_options = extern struct {
    size: usize = @sizeOf(asyncinotify_recursive_options),
    flags: u32 = 0,
    max_depth: u32 = 0,
    filter: asyncinotify_filter = null,
    filter_userdata: ?*anyopaque = null,
    filter_destroy: asyncinotify_destroy = null,
};

pub extern fn asyncinotify_strerror(@"error": c_int) [*:0]const u8;
pub extern fn asyncinotify_last_error_message() [*:0]const u8;
pub extern fn asyncinotify_version() u32;
pub extern fn asyncinotify_version_string() [*:0]const u8;
pub extern fn asyncinotify_mask_format(mask: u32, buf: ?[*]u8, size: usize) c_int;

pub extern fn asyncinotify_new(init_flags: u32, out: *?*asyncinotify) c_int;
pub extern fn asyncinotify_close(self: ?*asyncinotify) void;
pub extern fn asyncinotify_fd(self: *asyncinotify) c_int;
pub extern fn asyncinotify_raw_fd(self: *asyncinotify) c_int;
pub extern fn asyncinotify_cache_size(self: *asyncinotify) isize;
pub extern fn asyncinotify_set_cache_size(self: *asyncinotify, events: usize) c_int;
pub extern fn asyncinotify_sync_timeout(self: *asyncinotify, out: *c_int) c_int;
pub extern fn asyncinotify_set_sync_timeout(self: *asyncinotify, milliseconds: c_int) c_int;
pub extern fn asyncinotify_debug_dump(self: *asyncinotify, fd: c_int) c_int;
pub extern fn asyncinotify_wake(self: *asyncinotify) c_int;

pub extern fn asyncinotify_add_watch(self: *asyncinotify, path: [*:0]const u8, mask: u32, out: ?*asyncinotify_watch) c_int;
pub extern fn asyncinotify_rm_watch(self: *asyncinotify, watch: asyncinotify_watch) c_int;
pub extern fn asyncinotify_watch_path(self: *asyncinotify, watch: asyncinotify_watch, buf: ?[*]u8, size: usize) isize;
pub extern fn asyncinotify_watch_set_path(self: *asyncinotify, watch: asyncinotify_watch, path: [*:0]const u8) c_int;
pub extern fn asyncinotify_watch_mask(self: *asyncinotify, watch: asyncinotify_watch, out: *u32) c_int;
pub extern fn asyncinotify_watch_wd(self: *asyncinotify, watch: asyncinotify_watch) c_int;
pub extern fn asyncinotify_watch_is_active(self: *asyncinotify, watch: asyncinotify_watch) c_int;
pub extern fn asyncinotify_watch_set_userdata(self: *asyncinotify, watch: asyncinotify_watch, userdata: ?*anyopaque, destroy: asyncinotify_destroy) c_int;
pub extern fn asyncinotify_watch_userdata(self: *asyncinotify, watch: asyncinotify_watch, out: *?*anyopaque) c_int;
pub extern fn asyncinotify_watches(self: *asyncinotify, ids: ?[*]asyncinotify_watch, cap: usize) isize;

pub extern fn asyncinotify_get(self: *asyncinotify, out: *asyncinotify_event) c_int;
pub extern fn asyncinotify_sync_get(self: *asyncinotify, out: *asyncinotify_event) c_int;
pub extern fn asyncinotify_get_events(self: *asyncinotify, out: [*]asyncinotify_event, max: usize) isize;
pub extern fn asyncinotify_watch_set_callback(self: *asyncinotify, watch: asyncinotify_watch, callback: asyncinotify_callback) c_int;
pub extern fn asyncinotify_dispatch(self: *asyncinotify, max: usize, callback: asyncinotify_callback, userdata: ?*anyopaque) isize;
pub extern fn asyncinotify_run(self: *asyncinotify, callback: asyncinotify_callback, userdata: ?*anyopaque) c_int;
pub extern fn asyncinotify_event_dup(event: *const asyncinotify_event, out: *?*asyncinotify_event) c_int;
pub extern fn asyncinotify_event_free(event: ?*asyncinotify_event) void;

pub extern fn asyncinotify_add_recursive(self: *asyncinotify, path: [*:0]const u8, mask: u32, opts: ?*const asyncinotify_recursive_options, out: ?*asyncinotify_watch) c_int;
pub extern fn asyncinotify_watch_each_directory(self: *asyncinotify, watch: asyncinotify_watch, callback: asyncinotify_directory_callback, userdata: ?*anyopaque) isize;
pub extern fn asyncinotify_watch_each_trouble(self: *asyncinotify, watch: asyncinotify_watch, callback: asyncinotify_trouble_callback, userdata: ?*anyopaque) isize;

//! libasyncinotify: inotify(7) for C, C++ and every event loop.
//!
//! An instance watches files, directories and whole trees, and hands out events with full paths. It has one pollable file
//! descriptor, `asyncinotify_fd()`, for poll(2), select(2), epoll(7), io_uring and every event loop built on them; or it
//! waits by itself with `asyncinotify_sync_get()` and `asyncinotify_run()`. Nothing runs in the background: no thread, no
//! signal handler. A timer is set only while a directory of a tree could not be watched for want of room.
//!
//! EXAMPLE
//!
//! ```c
//!     #include <asyncinotify.h>
//!     #include <stdio.h>
//!
//!     static int print(asyncinotify *self, const asyncinotify_event *event, void *userdata)
//!     {
//!         char mask[128];
//!         (void)self, (void)userdata;
//!         asyncinotify_mask_format(event->mask, mask, sizeof mask);
//!         return printf("%s %s\n", mask, event->path ? event->path : "-") < 0;
//!     }
//!
//!     int main(void)
//!     {
//!         asyncinotify *self = NULL;
//!         if (asyncinotify_new(ASYNCINOTIFY_INIT_CLOEXEC, &self) < 0 ||
//!             asyncinotify_add_watch(self, ".", ASYNCINOTIFY_ALL, NULL) < 0 ||
//!             asyncinotify_run(self, print, NULL) < 0)
//!             fprintf(stderr, "%s\n", asyncinotify_last_error_message());
//!         asyncinotify_close(self);
//!         return 1;
//!     }
//! ```
//!
//! ```sh
//!     cc watch.c $(pkg-config --cflags --libs asyncinotify)
//! ```
//!
//! ERRORS
//!   A function that can fail returns an int, or an intptr_t where it counts: 0 or a count for success, a negative errno
//!   for failure. asyncinotify_strerror() has a text for each, asyncinotify_last_error_message() the whole story. errno
//!   itself means nothing after a call. NULL and nonsense are answered with -EINVAL, a stale or foreign watch with
//!   -ENOENT. Three errors are possible everywhere and not always repeated below:
//!     -ECANCELED        another thread closed the handle while the call was under way
//!     -ENOMEM           no memory; see MEMORY
//!     -ENOTRECOVERABLE  a bug in the library; the message has the details, please report it
//!   Output parameters are written on success only.
//!
//! MEMORY
//!   No function ends the process because memory is short. A call that gets none returns -ENOMEM; nothing is lost, and it
//!   may be repeated. A call that takes events may return -ENOMEM with events to come: the pollable descriptor stays
//!   readable then. asyncinotify_close() and asyncinotify_wake() take no memory. Each handle sets some hundred KiB of address
//!   space aside, which is no memory before it is needed; with large trees more. Two things are outside of the library's
//!   hands: the loader ends the process if it has no memory for the thread-local data of a library that was opened with
//!   dlopen(3), at a thread's first call; and the first path of more than 64 KiB that an event tells may be too long for
//!   what is set aside.
//!
//! HANDLES
//!   An `asyncinotify *` is a token that is looked up in each call, not an address: it can't be dereferenced, and NULL, a
//!   closed handle and garbage are recognised and answered with -EINVAL. An `asyncinotify_watch` is a number: 0 is never
//!   one, and none is used twice in the life of a process, over all instances. Both may outlive what they stood for.
//!
//! LIFETIMES
//!   What an event points to (name, path, moved_from) belongs to the library and lives until the next call that takes
//!   events from the handle, or its close; in a callback until it returns, unless it takes events itself.
//!   asyncinotify_event_dup() makes a copy that outlives both. Strings given to the library are copied.
//!
//! THREADS
//!   Any function may be called on a handle from any thread at any time, closing included. One thread at a time takes
//!   events (get, sync_get, get_events, dispatch, run); another that tries gets -EBUSY. Adding and removing watches while
//!   a thread waits works and takes effect at once. Only asyncinotify_wake() may be called from a signal handler. After
//!   fork(2) the child must not use handles opened before it, as the kernel's queue is shared; exec(2) is fine.
//!
//! CALLBACKS
//!   All functions that the program hands over (callback, filter, directory callback, destroy) are called with no lock
//!   held, on the thread whose call caused it. They may call anything on the handle, asyncinotify_close() included. They
//!   must return: no longjmp(3), no C++ exception may leave them.

#![allow(non_camel_case_types)] // These are C's names.
#![allow(clippy::missing_safety_doc)] // The comments are C's manual: they say what pointers have to be.

// These are the sections of the header, with their constants and functions; build.rs has their order.
pub mod error;
pub mod event;
pub mod inotify;
pub mod recursive;
pub mod watch;

// The rest is below the sections. Each file imports only files of the groups further down.
mod consumer;
mod dup;
mod options;

mod filter;

mod instance;

mod attachments;
mod handle;
mod mask;
mod panic;
mod pointer;

mod destroy;
mod failure;

// These are the types of the sections.
pub mod types;

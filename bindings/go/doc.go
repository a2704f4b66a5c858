// Package asyncinotify tells what happens to files and whole directory trees on Linux: inotify(7) with full paths, renames
// that are followed, and nothing missed in directories that have just been made. It is the Go side of libasyncinotify and
// needs that library, its header and pkg-config to be built.
//
// Who knows fsnotify knows this package: a [Watcher] has channels Events and Errors and methods Add, AddWith, Remove, Close
// and WatchList, an [Event] has Name, Op and Has. Beyond that there are trees ([WithRecursive]), every event and flag of
// inotify ([Mask], [WithMask]), the old name in a rename ([Event.RenamedFrom]), and iteration without channels, with a
// [context.Context] ([New], [Watcher.Next]).
//
// # Waiting
//
// No thread waits for events. The library's pollable descriptor is known to the runtime's network poller, as a socket would
// be; a goroutine that waits is parked, and ten thousand watchers cost no thread. Events are fetched from the library many
// at a time, so that a call into C is paid once for up to 256 of them.
//
// # Trees
//
// WithRecursive watches a directory and all below it, those made later too:
//
//   - what comes into the tree is reported, however fast it came; what was there before its directory could be watched comes
//     as an event flagged [Synthetic];
//   - directories that are renamed are followed, and later names below them are right;
//   - after the kernel's queue overflowed the tree is repaired, and an event flagged [SyncEnd] says that it is whole again.
//     With [WithListing] everything in it is named anew, between [SyncBegin] and SyncEnd: what was not named is gone;
//   - a directory that can't be watched, for its permissions or for a limit, is told as an [*Error], and nothing below it is
//     watched. When it can be watched, what is in it is reported as new, and an event flagged [Healed] follows.
//     [Watcher.Troubles] gives those of now.
//
// # Goroutines
//
// All methods may be called from any goroutine at any time, also from a filter ([WithFilter]), with the one exception
// that a filter must not wait for events.
package asyncinotify

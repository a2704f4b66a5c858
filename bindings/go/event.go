package asyncinotify

import "fmt"

// WatchID is a watch's number: never 0, and never used twice in the life of the process.
type WatchID uint64

// Event is one thing that has happened. It is a value of its own and may be kept.
type Event struct {
	// Name is the full path as it was when the event happened, beginning with the path given to Add. Empty if there is
	// no watch to tell it from, as for an overflow.
	Name string
	// Op is what has happened, in fsnotify's terms; 0 for what fsnotify has no term for, such as the end of a watch, or
	// SyncEnd or Healed in Flags.
	Op Op
	// Mask is what has happened, in inotify's terms; 0 for SyncBegin and SyncEnd.
	Mask Mask
	// Flags say what it is besides; 0 for an event as the kernel reported it.
	Flags Flags
	// Entry is the last part of Name if this is about something in the watched directory, and empty if it is about
	// what is watched itself.
	Entry string
	// RenamedFrom is the full path that something renamed had before. Only with InMovedTo, and only if it came from
	// somewhere that this Watcher watches.
	RenamedFrom string
	// Cookie is the same in both halves of a rename, otherwise 0.
	Cookie uint32
	// Watch is which watch this is from, 0 if from none. Watches that overlap each report for themselves.
	Watch WatchID
	// Err is nil, or what is wrong: [ErrEventOverflow], or why the directory Name can't be watched, an [*Error].
	// All else goes on. Events with an Err are not sent on the channel Events: their Err is sent on Errors. When the
	// directory is watched again, what is in it comes as new, and then an event flagged [Healed] with the same Name.
	Err error
}

// Has tells whether the event has all these operations.
func (e Event) Has(op Op) bool { return e.Op.Has(op) }

// IsDir tells whether the event is about a directory.
func (e Event) IsDir() bool { return e.Mask&InIsdir != 0 }

// String gives the event in one line: mask, flags, quoted path, and where it came from.
func (e Event) String() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	what := e.Mask.String()
	switch {
	case e.Flags == 0:
	case e.Mask == 0:
		what = e.Flags.String()
	default:
		what += " " + e.Flags.String()
	}
	if e.RenamedFrom != "" {
		return fmt.Sprintf("%-13s %q ← %q", what, e.Name, e.RenamedFrom)
	}
	return fmt.Sprintf("%-13s %q", what, e.Name)
}

package asyncinotify

import (
	"strconv"
	"strings"
)

// Mask is a set of inotify's bits: what to watch for, or what has happened. See inotify(7).
type Mask uint32

// Events, to be asked for with [WithMask] and found in [Event.Mask].
const (
	InAccess       Mask = 0x00000001 // File was accessed.
	InModify       Mask = 0x00000002 // File was modified.
	InAttrib       Mask = 0x00000004 // Metadata changed.
	InCloseWrite   Mask = 0x00000008 // File opened for writing was closed.
	InCloseNowrite Mask = 0x00000010 // File or directory not opened for writing was closed.
	InOpen         Mask = 0x00000020 // File or directory was opened.
	InMovedFrom    Mask = 0x00000040 // Something in the watched directory was renamed: its old name.
	InMovedTo      Mask = 0x00000080 // The same: its new name.
	InCreate       Mask = 0x00000100 // Something was created in the watched directory.
	InDelete       Mask = 0x00000200 // Something was deleted from the watched directory.
	InDeleteSelf   Mask = 0x00000400 // What is watched was itself deleted.
	InMoveSelf     Mask = 0x00000800 // What is watched was itself moved.

	InClose Mask = InCloseWrite | InCloseNowrite
	InMove  Mask = InMovedFrom | InMovedTo
	InAll   Mask = 0x00000fff // All twelve of the above.
)

// Bits that are found in [Event.Mask] only.
const (
	InUnmount   Mask = 0x00002000 // The file system was unmounted; InIgnored follows.
	InQOverflow Mask = 0x00004000 // The kernel's queue overflowed; see [ErrEventOverflow].
	InIgnored   Mask = 0x00008000 // The watch has ended: removed, or what it watched is gone.
	InIsdir     Mask = 0x40000000 // The subject is a directory.
)

// Flags for adding a watch with [WithMask].
const (
	InOnlydir    Mask = 0x01000000 // Only if the path is a directory.
	InDontFollow Mask = 0x02000000 // Don't follow the path if it is a symbolic link.
	InExclUnlink Mask = 0x04000000 // No events for children that have been unlinked.
	InMaskCreate Mask = 0x10000000 // Fail if it is watched already.
	InMaskAdd    Mask = 0x20000000 // Add to the mask of a watch that is there already.
	InOneshot    Mask = 0x80000000 // End after one event.
)

var maskNames = []struct {
	bit  Mask
	name string
}{
	{InAccess, "ACCESS"}, {InModify, "MODIFY"}, {InAttrib, "ATTRIB"},
	{InCloseWrite, "CLOSE_WRITE"}, {InCloseNowrite, "CLOSE_NOWRITE"}, {InOpen, "OPEN"},
	{InMovedFrom, "MOVED_FROM"}, {InMovedTo, "MOVED_TO"}, {InCreate, "CREATE"}, {InDelete, "DELETE"},
	{InDeleteSelf, "DELETE_SELF"}, {InMoveSelf, "MOVE_SELF"},
	{InUnmount, "UNMOUNT"}, {InQOverflow, "Q_OVERFLOW"}, {InIgnored, "IGNORED"},
	{InOnlydir, "ONLYDIR"}, {InDontFollow, "DONT_FOLLOW"}, {InExclUnlink, "EXCL_UNLINK"},
	{InMaskCreate, "MASK_CREATE"}, {InMaskAdd, "MASK_ADD"}, {InIsdir, "ISDIR"}, {InOneshot, "ONESHOT"},
}

// String gives the names of the bits, "CREATE|ISDIR"; bits without a name follow in hexadecimal.
func (m Mask) String() string {
	if m == 0 {
		return "0"
	}
	var b strings.Builder
	for _, n := range maskNames {
		if m&n.bit != 0 {
			m &^= n.bit
			add(&b, n.name)
		}
	}
	if m != 0 {
		add(&b, "0x"+strconv.FormatUint(uint64(m), 16))
	}
	return b.String()
}

// Has tells whether all bits of h are there.
func (m Mask) Has(h Mask) bool { return m&h == h }

// Op is a set of operations as fsnotify names them. Several bits of [Mask] can mean the same Op.
type Op uint32

// The first five, their meaning and their values are fsnotify's. [Watcher.Add] asks for these five.
const (
	Create     Op = 1 << iota // Something has appeared: InCreate, InMovedTo.
	Write                     // InModify.
	Remove                    // InDelete, InDeleteSelf.
	Rename                    // Something has left under this name: InMovedFrom, InMoveSelf.
	Chmod                     // InAttrib.
	Open                      // InOpen.
	Read                      // InAccess.
	CloseWrite                // InCloseWrite.
	CloseRead                 // InCloseNowrite.
)

const allOps = CloseRead<<1 - 1

var ops = []struct {
	op   Op
	mask Mask
	name string
}{
	{Create, InCreate | InMovedTo, "CREATE"},
	{Remove, InDelete | InDeleteSelf, "REMOVE"},
	{Write, InModify, "WRITE"},
	{Rename, InMovedFrom | InMoveSelf, "RENAME"},
	{Chmod, InAttrib, "CHMOD"},
	{Open, InOpen, "OPEN"},
	{Read, InAccess, "READ"},
	{CloseWrite, InCloseWrite, "CLOSE_WRITE"},
	{CloseRead, InCloseNowrite, "CLOSE_READ"},
}

// Op gives the operations that the mask stands for; 0 if it has none of the twelve events.
func (m Mask) Op() Op {
	var op Op
	for i := range ops {
		if m&ops[i].mask != 0 {
			op |= ops[i].op
		}
	}
	return op
}

// Mask gives the bits to ask for to hear of these operations.
func (o Op) Mask() Mask {
	var m Mask
	for i := range ops {
		if o&ops[i].op != 0 {
			m |= ops[i].mask
		}
	}
	return m
}

// Has tells whether all operations of h are there.
func (o Op) Has(h Op) bool { return o&h == h }

// String gives the names of the operations, "CREATE|WRITE".
func (o Op) String() string {
	var b strings.Builder
	for i := range ops {
		if o&ops[i].op != 0 {
			add(&b, ops[i].name)
		}
	}
	if o &^= allOps; o != 0 {
		add(&b, "0x"+strconv.FormatUint(uint64(o), 16))
	}
	if b.Len() == 0 {
		return "[no events]"
	}
	return b.String()
}

// Flags tell what an event is besides one from the kernel.
type Flags uint32

const (
	// Synthetic is not from the kernel: a scan has found this, and it is reported as its appearing would have been.
	Synthetic Flags = 1 << iota
	// SyncBegin opens a list of all that is in a tree. Mask is 0 and Name the tree's root.
	SyncBegin
	// SyncEnd says that from here on the tree is whole. Mask is 0 and Name the tree's root.
	SyncEnd
	// Trouble says that a directory can't be watched: Name is which, [Event.Err] why.
	Trouble
	// Healed says that a directory of which Trouble was told is watched again, and what is in it was told: Name is which.
	// Mask is InIsdir, and Err nil, so it is sent on the channel Events.
	Healed Flags = 0x80
)

// Has tells whether all flags of h are there.
func (f Flags) Has(h Flags) bool { return f&h == h }

// String gives the names of the flags, "SYNTHETIC".
func (f Flags) String() string {
	var b strings.Builder
	for _, flag := range []struct {
		bit  Flags
		name string
	}{
		{Synthetic, "SYNTHETIC"}, {SyncBegin, "SYNC_BEGIN"}, {SyncEnd, "SYNC_END"}, {Trouble, "ERROR"}, {Healed, "HEALED"},
	} {
		if f&flag.bit != 0 {
			add(&b, flag.name)
			f &^= flag.bit
		}
	}
	if f != 0 {
		add(&b, "0x"+strconv.FormatUint(uint64(f), 16))
	}
	if b.Len() == 0 {
		return "0"
	}
	return b.String()
}

func add(b *strings.Builder, name string) {
	if b.Len() > 0 {
		b.WriteByte('|')
	}
	b.WriteString(name)
}

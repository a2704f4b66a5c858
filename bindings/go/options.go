package asyncinotify

// Option is an option of [Watcher.AddWith].
type Option func(*options)

type options struct {
	mask      Mask
	recursive bool
	flags     uint32
	maxDepth  uint32
	filter    func(path string) bool
}

const defaultOps = Create | Write | Remove | Rename | Chmod

// WithOps asks for these operations instead of fsnotify's five.
func WithOps(op Op) Option { return WithMask(op.Mask()) }

// WithMask asks for these events of inotify, and may have its flags for adding, such as InOnlydir.
func WithMask(mask Mask) Option { return func(o *options) { o.mask = mask } }

// WithRecursive watches the directory and everything below it, now and later. See the package's documentation.
//
// AddWith returns when the whole tree is watched, some 10 µs a directory; it fails with ENOSPC, and leaves nothing
// behind, if there are more directories than fs.inotify.max_user_watches.
func WithRecursive() Option { return func(o *options) { o.recursive = true } }

// WithListing begins with a list of what there is: an event flagged SyncBegin, one flagged Synthetic for every entry,
// and SyncEnd. So it does again after an overflow: what was not named then is gone. Implies WithRecursive.
func WithListing() Option { return withTree(listExisting) }

// WithBackground lets AddWith return at once; the tree is set up while events are taken, and an event flagged SyncEnd
// says that it is complete. Implies WithRecursive.
func WithBackground() Option { return withTree(background) }

// WithOneFilesystem doesn't enter what is mounted below the root. Implies WithRecursive.
func WithOneFilesystem() Option { return withTree(oneFilesystem) }

func withTree(flag uint32) Option {
	return func(o *options) {
		o.recursive = true
		o.flags |= flag
	}
}

// WithMaxDepth watches only so many levels: 1 is the root directory alone, 2 its subdirectories too, 0 is no limit.
// Implies WithRecursive.
func WithMaxDepth(levels uint32) Option {
	return func(o *options) {
		o.recursive = true
		o.maxDepth = levels
	}
}

// WithFilter asks f for each directory below the root whether to watch it. Where it returns false nothing below is watched
// either, and no kernel watch spent. Implies WithRecursive.
//
// f is called once for each directory, with its full path, in AddWith and later wherever events are taken: from one
// goroutine or another, but while it runs no events are delivered. It may use the Watcher, close it even, but not wait for
// events, nor end its goroutine (runtime.Goexit, testing's FailNow). A panic in it comes out of AddWith or Next; without
// anybody in Next it ends the program, as in any goroutine.
func WithFilter(f func(path string) bool) Option {
	return func(o *options) {
		o.recursive = true
		o.filter = f
	}
}

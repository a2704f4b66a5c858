package asyncinotify

// #cgo pkg-config: asyncinotify
// #include <stdlib.h>
// #include "callback.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/cgo"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	listExisting  = C.ASYNCINOTIFY_RECURSIVE_LIST_EXISTING
	background    = C.ASYNCINOTIFY_RECURSIVE_BACKGROUND
	oneFilesystem = C.ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM

	// batch is how many events one crossing into C fetches at most.
	batch = 256
)

// Watcher watches files, directories and trees. It has to be closed with [Watcher.Close].
type Watcher struct {
	// Events delivers what happens; it is closed by Close. Nil in a Watcher made by [New].
	Events <-chan Event
	// Errors delivers what goes wrong: [ErrEventOverflow], or an [*Error] with the directory that can't be watched. The
	// watcher goes on after it, and when the directory is watched again, an event flagged [Healed] comes on Events. Errors
	// has to be received from as well: Events waits for it, as in fsnotify. Closed by Close. Nil in a Watcher made by
	// [New].
	Errors <-chan error

	handle *C.asyncinotify
	file   *os.File // a duplicate of the pollable descriptor, known to the runtime's poller
	conn   syscall.RawConn

	// turn is held by whoever takes events, where the channels' goroutine is not the only one. What follows is his.
	turn    chan struct{}
	raw     *[batch]C.asyncinotify_event // in C's memory: C fills it with C's pointers
	pending []Event                      // taken, and to be handed out from next on
	next    int

	isClosed  atomic.Bool
	closed    chan struct{} // closed when Close begins
	done      chan struct{} // closed when all is freed
	pumped    chan struct{} // closed when the channels are; nil in a Watcher made by New
	filtering int32         // filters running now
	fetches   atomic.Uint64 // for tests: how often events were asked for
	panicked  atomic.Pointer[panicked]
	oneshots  atomic.Int32 // how many watches for one event there may be

	mu   sync.Mutex
	busy bool // somebody is between taking and having copied events: closing is left to him
	// The library knows watches by number, Remove by path. A path can have several: trees overlap, and a plain watch may
	// stand beside them. A number can have several paths: hard links.
	byPath map[string][]WatchID
	byID   map[WatchID]*watch
}

type watch struct {
	paths   []string
	oneshot bool
}

// New opens a Watcher without channels, and without a goroutine: take its events with [Watcher.Next].
func New() (*Watcher, error) {
	w := &Watcher{
		turn:    make(chan struct{}, 1),
		pending: make([]Event, 0, batch),
		closed:  make(chan struct{}),
		done:    make(chan struct{}),
		byPath:  make(map[string][]WatchID),
		byID:    make(map[WatchID]*watch),
	}
	if _, err := call("", func() int { return int(C.asyncinotify_new(C.ASYNCINOTIFY_INIT_DEFAULT, &w.handle)) }); err != nil {
		return nil, err
	}
	// The poller wants a descriptor that it may close; a duplicate is ready exactly when the library's is.
	fd, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(C.asyncinotify_fd(w.handle)), syscall.F_DUPFD_CLOEXEC, 0)
	err := error(errno)
	if errno == 0 {
		// os.NewFile gives only non-blocking descriptors to the poller.
		if err = syscall.SetNonblock(int(fd), true); err == nil {
			w.file = os.NewFile(fd, "asyncinotify")
			w.conn, err = w.file.SyscallConn()
		} else {
			syscall.Close(int(fd))
		}
	}
	if err == nil {
		// Fails where the poller didn't take it; then waiting would block a thread, and Close not end it.
		err = w.file.SetReadDeadline(time.Time{})
	}
	if err == nil {
		w.raw = (*[batch]C.asyncinotify_event)(C.malloc(batch * C.sizeof_asyncinotify_event))
		return w, nil
	}
	if w.file != nil {
		w.file.Close()
	}
	C.asyncinotify_close(w.handle)
	return nil, fmt.Errorf("asyncinotify: descriptor for the poller: %w", err)
}

// NewWatcher opens a Watcher that delivers on its channels Events and Errors, which are not buffered.
func NewWatcher() (*Watcher, error) { return NewBufferedWatcher(0) }

// NewBufferedWatcher is as NewWatcher, with room for size events in the channel Events. The kernel has a queue of its own,
// so what this buys is fewer switches between goroutines.
func NewBufferedWatcher(size uint) (*Watcher, error) {
	w, err := New()
	if err != nil {
		return nil, err
	}
	events, errs := make(chan Event, size), make(chan error)
	w.Events, w.Errors, w.pumped = events, errs, make(chan struct{})
	go w.pump(events, errs)
	return w, nil
}

func (w *Watcher) pump(events chan<- Event, errs chan<- error) {
	defer close(w.pumped)
	defer close(events)
	defer close(errs)
	for {
		err := w.fill(context.Background())
		if errors.Is(err, ErrClosed) {
			return
		}
		if err != nil && !w.send(errs, err) {
			return
		}
		for ; w.next < len(w.pending); w.next++ {
			event := &w.pending[w.next]
			if event.Err != nil {
				if !w.send(errs, event.Err) {
					return
				}
				continue
			}
			select {
			case events <- *event:
			case <-w.closed:
				return
			}
		}
	}
}

// send is false when the Watcher is closed.
func (w *Watcher) send(errs chan<- error, err error) bool {
	select {
	case errs <- err:
		return true
	case <-w.closed:
		return false
	}
}

// Next waits for the next event and returns it. It fails with ctx's error when ctx is done, and with [ErrClosed] when the
// Watcher is closed. Other errors are of the moment (no memory), and nothing is lost: it may be called again.
//
// What goes wrong with a directory, and an overflow, are events: see [Event.Err].
//
// Any number of goroutines may call it; each event goes to one of them. With a Watcher that has channels it receives from
// them.
func (w *Watcher) Next(ctx context.Context) (Event, error) {
	if w.Events == nil {
		return w.take(ctx)
	}
	if err := ctx.Err(); err != nil {
		return Event{}, err
	}
	select {
	case event, ok := <-w.Events:
		if ok {
			return event, nil
		}
	case err, ok := <-w.Errors:
		if ok {
			return Event{Err: err}, nil
		}
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
	return Event{}, ErrClosed
}

// take hands out the next event, waiting for it if need be.
func (w *Watcher) take(ctx context.Context) (Event, error) {
	select {
	case w.turn <- struct{}{}:
	default:
		select {
		case w.turn <- struct{}{}:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		case <-w.closed:
			return Event{}, ErrClosed
		}
	}
	defer func() { <-w.turn }()

	for {
		if w.isClosed.Load() {
			return Event{}, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return Event{}, err
		}
		if w.next < len(w.pending) {
			event := w.pending[w.next]
			w.pending[w.next] = Event{} // its strings are no longer ours to keep
			w.next++
			return event, nil
		}
		if err := w.fill(ctx); err != nil {
			return Event{}, err
		}
	}
}

var past = time.Unix(1, 0)

// fill gets events into pending, waiting for them if need be. Without an error there may still be none.
func (w *Watcher) fill(ctx context.Context) (err error) {
	w.mu.Lock()
	if w.isClosed.Load() {
		w.mu.Unlock()
		return ErrClosed
	}
	w.busy = true
	w.mu.Unlock()

	// The poller is edge-triggered: whoever waits has seen a fetch that brought nothing, after the poller was reset.
	var fetchErr error
	var stop func()
	waitErr := w.conn.Read(func(uintptr) bool {
		var n int
		n, fetchErr = w.fetch()
		if n > 0 || fetchErr != nil || w.isClosed.Load() || w.panicked.Load() != nil {
			return true
		}
		if stop == nil && ctx.Done() != nil {
			stop = w.interruptWhenDone(ctx)
		}
		return false
	})
	if stop != nil {
		stop()
	}

	w.mu.Lock()
	w.busy = false
	if w.isClosed.Load() {
		w.free()
	}
	w.mu.Unlock()
	w.repanic()
	switch {
	case w.isClosed.Load():
		return ErrClosed
	case fetchErr != nil:
		return fetchErr
	case waitErr != nil && !errors.Is(waitErr, os.ErrDeadlineExceeded):
		return waitErr
	}
	return nil // a deadline is ctx's, which take looks at
}

// interruptWhenDone ends the wait when ctx is done. The function it returns has to be called after the wait.
func (w *Watcher) interruptWhenDone(ctx context.Context) (stop func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-ctx.Done():
			w.file.SetReadDeadline(past)
		case <-over:
		}
	}()
	return func() {
		close(over)
		<-ended
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.isClosed.Load() { // Close has set one that is to stay
			w.file.SetReadDeadline(time.Time{})
		}
	}
}

// fetch takes what is there now into pending, which is empty.
func (w *Watcher) fetch() (int, error) {
	w.fetches.Add(1)
	n, err := call("", func() int { return int(C.asyncinotify_get_events(w.handle, &w.raw[0], batch)) })
	if err != nil {
		return 0, err
	}
	w.pending, w.next = w.pending[:0], 0
	for i := range w.raw[:n] {
		w.pending = append(w.pending, w.event(&w.raw[i]))
	}
	return n, nil
}

// event copies an event out of C's memory.
func (w *Watcher) event(raw *C.asyncinotify_event) Event {
	mask := Mask(raw.mask)
	event := Event{
		Name:        C.GoStringN(raw.path, C.int(raw.path_len)),
		Op:          mask.Op(),
		Mask:        mask,
		Flags:       Flags(raw.flags),
		RenamedFrom: C.GoStringN(raw.moved_from, C.int(raw.moved_from_len)),
		Cookie:      uint32(raw.cookie),
		Watch:       WatchID(raw.watch),
	}
	if raw.name != nil { // the tail of path
		event.Entry = event.Name[len(event.Name)-int(raw.name_len):]
	}
	switch {
	case mask&InQOverflow != 0:
		event.Err = ErrEventOverflow
	case event.Flags&Trouble != 0:
		event.Err = cannotWatch(event.Name, syscall.Errno(raw.error))
	}
	if event.Watch != 0 && (mask&InIgnored != 0 || w.oneshots.Load() > 0) {
		w.ended(event.Watch, mask)
	}
	return event
}

// ended forgets a watch, if this event was its last.
func (w *Watcher) ended(id WatchID, mask Mask) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if watch := w.byID[id]; watch != nil && (watch.oneshot || mask&InIgnored != 0) {
		w.forget(id)
	}
}

// forget is called with mu held.
func (w *Watcher) forget(id WatchID) {
	watch := w.byID[id]
	if watch == nil {
		return
	}
	if watch.oneshot {
		w.oneshots.Add(-1)
	}
	for _, path := range watch.paths {
		ids := w.byPath[path]
		for i := range ids {
			if ids[i] == id {
				ids = append(ids[:i:i], ids[i+1:]...)
				break
			}
		}
		if w.byPath[path] = ids; len(ids) == 0 {
			delete(w.byPath, path)
		}
	}
	delete(w.byID, id)
}

// Add watches a file or directory for Create, Write, Remove, Rename and Chmod. A directory's entries are watched with it,
// but not what is below them.
func (w *Watcher) Add(path string) error { return w.AddWith(path) }

// AddWith watches a file, a directory, or with [WithRecursive] a tree.
//
// The names of events begin with path as it is given here. Adding what is watched already, be it by another path, replaces
// the mask of the watch, but a tree always is a watch of its own.
func (w *Watcher) AddWith(path string, opts ...Option) error {
	o := options{mask: defaultOps.Mask()}
	for _, opt := range opts {
		opt(&o)
	}
	if w.isClosed.Load() {
		return ErrClosed
	}
	if strings.IndexByte(path, 0) >= 0 {
		return &Error{syscall.EINVAL, path, fmt.Sprintf("path %q has a NUL in it", path)}
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))

	var id C.asyncinotify_watch
	var err error
	if o.recursive {
		var handle cgo.Handle
		if o.filter != nil {
			handle = cgo.NewHandle(&filter{w, o.filter})
		}
		_, err = call(path, func() int {
			return int(C.asyncinotifygo_add_recursive(w.handle, name, C.uint32_t(o.mask), C.uint32_t(o.flags),
				C.uint32_t(o.maxDepth), C.uintptr_t(handle), &id))
		})
		if err != nil && handle != 0 {
			handle.Delete()
		}
		w.repanic()
	} else {
		_, err = call(path, func() int {
			return int(C.asyncinotify_add_watch(w.handle, name, C.uint32_t(o.mask), &id))
		})
	}
	if err != nil {
		return w.orClosed(err)
	}
	w.remember(WatchID(id), filepath.Clean(path), o.mask&InOneshot != 0)
	// A filter may have closed the Watcher on the goroutine that takes events, which frees it only later.
	return w.orClosed(nil)
}

func (w *Watcher) remember(id WatchID, path string, oneshot bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.byID[id]
	if known == nil {
		known = &watch{}
		w.byID[id] = known
	}
	if known.oneshot != oneshot {
		known.oneshot = oneshot
		if oneshot {
			w.oneshots.Add(1)
		} else {
			w.oneshots.Add(-1)
		}
	}
	for _, p := range known.paths {
		if p == path {
			return
		}
	}
	known.paths = append(known.paths, path)
	w.byPath[path] = append(w.byPath[path], id)
	// Its last event may have been taken before it was known here.
	if C.asyncinotify_watch_is_active(w.handle, C.asyncinotify_watch(id)) < 0 {
		w.forget(id)
	}
}

// orClosed is ErrClosed where err comes from that.
func (w *Watcher) orClosed(err error) error {
	if w.isClosed.Load() {
		return ErrClosed
	}
	return err
}

// WatchIDs gives the numbers of the watches that were added with path, as [Event.Watch] has them.
func (w *Watcher) WatchIDs(path string) []WatchID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]WatchID(nil), w.byPath[filepath.Clean(path)]...)
}

// Remove ends what was added with path: a watch, a whole tree, or all of them if there are several. Events that happened
// before are still delivered, then one with InIgnored. It fails with [ErrNonExistentWatch] if there is nothing to remove.
func (w *Watcher) Remove(path string) error {
	if w.isClosed.Load() {
		return ErrClosed
	}
	removed := false
	for _, id := range w.WatchIDs(path) {
		_, err := call(path, func() int {
			return int(C.asyncinotify_rm_watch(w.handle, C.asyncinotify_watch(id)))
		})
		// ENOENT: it has ended, and its last event is not taken yet.
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return w.orClosed(err)
		}
		removed = removed || err == nil
		w.mu.Lock()
		w.forget(id)
		w.mu.Unlock()
	}
	if !removed {
		return fmt.Errorf("%w: %q", ErrNonExistentWatch, path)
	}
	return nil
}

// WatchList gives the paths that are watched now, each once and sorted. A tree is one path: see [Watcher.Directories].
func (w *Watcher) WatchList() []string {
	if w.isClosed.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]string, 0, len(w.byPath))
	for path, ids := range w.byPath {
		for _, id := range ids {
			if C.asyncinotify_watch_is_active(w.handle, C.asyncinotify_watch(id)) == 1 {
				list = append(list, path)
				break
			}
		}
	}
	sort.Strings(list)
	return list
}

// Directories gives the directories that are watched now by the tree that was added with path, parents before their
// children, by the names they have now. It fails with [ErrNonExistentWatch] if there is no such tree.
func (w *Watcher) Directories(path string) ([]string, error) {
	var list []string
	err := w.ofTree(path, &list, func(id C.asyncinotify_watch, handle C.uintptr_t) C.intptr_t {
		return C.asyncinotifygo_each_directory(w.handle, id, handle)
	})
	return list, err
}

// Troubles gives the directories of the tree that was added with path that can't be watched now, by the names they have
// now, each with the reason of the last try: those of which [Event.Err] or Errors has told, and [Healed] has not. Nothing
// below them is watched. It fails with [ErrNonExistentWatch] if there is no such tree.
func (w *Watcher) Troubles(path string) ([]*Error, error) {
	var list []*Error
	err := w.ofTree(path, &list, func(id C.asyncinotify_watch, handle C.uintptr_t) C.intptr_t {
		return C.asyncinotifygo_each_trouble(w.handle, id, handle)
	})
	return list, err
}

// ofTree asks for a list of the tree that was added with path; the callbacks in C are given a handle of list.
func (w *Watcher) ofTree(path string, list any, ask func(id C.asyncinotify_watch, handle C.uintptr_t) C.intptr_t) error {
	if w.isClosed.Load() {
		return ErrClosed
	}
	handle := cgo.NewHandle(list)
	defer handle.Delete()
	for _, id := range w.WatchIDs(path) {
		_, err := call(path, func() int { return int(ask(C.asyncinotify_watch(id), C.uintptr_t(handle))) })
		// ENOENT: it has ended. EINVAL: a plain watch.
		if err == nil || !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EINVAL) {
			return w.orClosed(err)
		}
	}
	return fmt.Errorf("%w: no tree %q", ErrNonExistentWatch, path)
}

// DebugDump writes to out what the library knows of this Watcher: its watches, trees and directories, as text to attach to
// the report of a fault.
func (w *Watcher) DebugDump(out io.Writer) error {
	if w.isClosed.Load() {
		return ErrClosed
	}
	// The library writes to a descriptor that blocks, so what it writes has to be read meanwhile.
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	dumped := make(chan error, 1)
	go func() {
		fd := C.int(write.Fd())
		_, err := call("", func() int { return int(C.asyncinotify_debug_dump(w.handle, fd)) })
		write.Close()
		dumped <- err
	}()
	_, err = io.Copy(out, read)
	// All of it, even if out takes no more: the library would wait for ever, or its write be a SIGPIPE.
	io.Copy(io.Discard, read)
	if dumpErr := <-dumped; dumpErr != nil {
		return w.orClosed(dumpErr)
	}
	return err
}

// Close ends all watches, closes the channels and frees everything. Whoever waits in Next gets [ErrClosed]; what was not
// delivered is lost. Only in a filter it may return before all this is done. A second Close does nothing.
func (w *Watcher) Close() error {
	w.mu.Lock()
	if !w.isClosed.Swap(true) {
		close(w.closed)
		if w.busy {
			w.file.SetReadDeadline(past)
		} else {
			w.free()
		}
	}
	w.mu.Unlock()
	// The goroutine that runs a filter would wait for itself.
	if atomic.LoadInt32(&w.filtering) == 0 {
		<-w.done
		if w.pumped != nil {
			<-w.pumped
		}
	}
	return nil
}

// free is called with mu held, once, when nobody uses what it frees.
func (w *Watcher) free() {
	w.file.Close()
	C.asyncinotify_close(w.handle)
	C.free(unsafe.Pointer(w.raw))
	close(w.done)
}

// Version is the version of the library that is loaded.
func Version() string { return C.GoString(C.asyncinotify_version_string()) }

package asyncinotify

// #include <asyncinotify.h>
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

var (
	// ErrClosed is returned by methods of a Watcher that has been closed. It is an [os.ErrClosed] too.
	ErrClosed = fmt.Errorf("asyncinotify: watcher: %w", os.ErrClosed)
	// ErrNonExistentWatch is returned by [Watcher.Remove], [Watcher.Directories] and [Watcher.Troubles] for a path that
	// is not watched.
	ErrNonExistentWatch = errors.New("asyncinotify: can't remove non-existent watch")
	// ErrEventOverflow says that the kernel's queue overflowed and events were lost. Trees repair themselves: see
	// [WithRecursive]. fs.inotify.max_queued_events is the length of the queue.
	ErrEventOverflow = errors.New("asyncinotify: the kernel's event queue overflowed")
)

// Error is a failure that the library has told.
type Error struct {
	// Errno is the cause. errors.Is sees it: errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOSPC).
	Errno syscall.Errno
	// Path is what could not be watched; empty if it is not about a path.
	Path string
	// Message is the whole story in one line: the call, the path, the cause, and for a limit the sysctl to raise.
	Message string
}

// Error gives the message.
func (e *Error) Error() string { return "asyncinotify: " + e.Message }

// Unwrap gives the errno.
func (e *Error) Unwrap() error { return e.Errno }

func cannotWatch(path string, errno syscall.Errno) *Error {
	return &Error{errno, path, "can't watch " + path + ": " + errno.Error()}
}

// call runs f, one call of the library, and makes an error of a result below 0. The library keeps its message by thread,
// so the goroutine has to stay on it until the message is read.
func call(path string, f func() int) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	result := f()
	if result < 0 {
		return 0, &Error{syscall.Errno(-result), path, C.GoString(C.asyncinotify_last_error_message())}
	}
	return result, nil
}

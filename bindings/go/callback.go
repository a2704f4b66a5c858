package asyncinotify

// #include <asyncinotify.h>
import "C"

import (
	"runtime/cgo"
	"sync/atomic"
	"syscall"
)

// filter is what a cgo.Handle given to C as a filter's userdata stands for.
type filter struct {
	watcher *Watcher
	ask     func(path string) bool
}

//export asyncinotifyGoFilter
func asyncinotifyGoFilter(handle C.uintptr_t, path *C.char, length C.size_t) (watch C.int) {
	f := cgo.Handle(handle).Value().(*filter)
	atomic.AddInt32(&f.watcher.filtering, 1)
	defer atomic.AddInt32(&f.watcher.filtering, -1)
	// A panic must not unwind C's frames. The call that led here throws it on.
	defer func() {
		if p := recover(); p != nil {
			f.watcher.panicked.CompareAndSwap(nil, &panicked{p})
		}
	}()
	if f.ask(C.GoStringN(path, C.int(length))) {
		return 1
	}
	return 0
}

//export asyncinotifyGoDestroy
func asyncinotifyGoDestroy(handle C.uintptr_t) { cgo.Handle(handle).Delete() }

//export asyncinotifyGoDirectory
func asyncinotifyGoDirectory(handle C.uintptr_t, path *C.char, length C.size_t) {
	list := cgo.Handle(handle).Value().(*[]string)
	*list = append(*list, C.GoStringN(path, C.int(length)))
}

//export asyncinotifyGoTrouble
func asyncinotifyGoTrouble(handle C.uintptr_t, path *C.char, length C.size_t, errno C.int) {
	list := cgo.Handle(handle).Value().(*[]*Error)
	*list = append(*list, cannotWatch(C.GoStringN(path, C.int(length)), syscall.Errno(errno)))
}

// panicked is what a filter has panicked with.
type panicked struct{ value any }

// repanic throws on what a filter has thrown in the call just made.
func (w *Watcher) repanic() {
	if p := w.panicked.Swap(nil); p != nil {
		panic(p.value)
	}
}

// Abi prints what Go makes of asyncinotify.h, in the words of c-table: the binding's own constants where it has any, and
// cgo's for the rest.
package main

// #cgo pkg-config: asyncinotify
// #include <asyncinotify.h>
import "C"

import (
	"fmt"
	"reflect"
	"strings"

	"asyncinotify"
)

func main() {
	for name, value := range map[string]any{
		"ACCESS": asyncinotify.InAccess, "MODIFY": asyncinotify.InModify, "ATTRIB": asyncinotify.InAttrib,
		"CLOSE_WRITE": asyncinotify.InCloseWrite, "CLOSE_NOWRITE": asyncinotify.InCloseNowrite,
		"OPEN": asyncinotify.InOpen, "MOVED_FROM": asyncinotify.InMovedFrom, "MOVED_TO": asyncinotify.InMovedTo,
		"CREATE": asyncinotify.InCreate, "DELETE": asyncinotify.InDelete,
		"DELETE_SELF": asyncinotify.InDeleteSelf, "MOVE_SELF": asyncinotify.InMoveSelf,
		"CLOSE": asyncinotify.InClose, "MOVE": asyncinotify.InMove, "ALL": asyncinotify.InAll,
		"UNMOUNT": asyncinotify.InUnmount, "Q_OVERFLOW": asyncinotify.InQOverflow,
		"IGNORED": asyncinotify.InIgnored, "ISDIR": asyncinotify.InIsdir, "ONLYDIR": asyncinotify.InOnlydir,
		"DONT_FOLLOW": asyncinotify.InDontFollow, "EXCL_UNLINK": asyncinotify.InExclUnlink,
		"MASK_CREATE": asyncinotify.InMaskCreate, "MASK_ADD": asyncinotify.InMaskAdd, "ONESHOT": asyncinotify.InOneshot,
		"EVENT_SYNTHETIC": asyncinotify.Synthetic, "EVENT_SYNC_BEGIN": asyncinotify.SyncBegin,
		"EVENT_SYNC_END": asyncinotify.SyncEnd, "EVENT_ERROR": asyncinotify.Trouble,
		"EVENT_HEALED": asyncinotify.Healed,

		"INIT_CLOEXEC": C.ASYNCINOTIFY_INIT_CLOEXEC, "INIT_NONBLOCK": C.ASYNCINOTIFY_INIT_NONBLOCK,
		"INIT_DEFAULT":            C.ASYNCINOTIFY_INIT_DEFAULT,
		"RECURSIVE_LIST_EXISTING": C.ASYNCINOTIFY_RECURSIVE_LIST_EXISTING,
		"RECURSIVE_BACKGROUND":    C.ASYNCINOTIFY_RECURSIVE_BACKGROUND, "RECURSIVE_ONE_FILESYSTEM": C.ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM,
		"TIMEOUT_DISABLED": C.ASYNCINOTIFY_TIMEOUT_DISABLED, "TIMEOUT_INFINITE": C.ASYNCINOTIFY_TIMEOUT_INFINITE,
		"VERSION_MAJOR": C.ASYNCINOTIFY_VERSION_MAJOR, "VERSION_MINOR": C.ASYNCINOTIFY_VERSION_MINOR,
		"VERSION_PATCH": C.ASYNCINOTIFY_VERSION_PATCH, "VERSION_NUMBER": C.ASYNCINOTIFY_VERSION_NUMBER,
	} {
		number := reflect.ValueOf(value)
		if number.CanUint() {
			fmt.Printf("constant ASYNCINOTIFY_%s %d\n", name, number.Uint())
		} else {
			fmt.Printf("constant ASYNCINOTIFY_%s %d\n", name, number.Int())
		}
	}
	fmt.Println("constant ASYNCINOTIFY_VERSION_STRING", asyncinotify.Version())
	for bit := 0; bit < 32; bit++ {
		fmt.Println("name", bit, asyncinotify.Mask(1)<<bit)
	}
	layout("asyncinotify_event", reflect.TypeOf(C.asyncinotify_event{}))
	layout("asyncinotify_recursive_options", reflect.TypeOf(C.asyncinotify_recursive_options{}))
}

func layout(name string, t reflect.Type) {
	fmt.Println("size", name, t.Size())
	fmt.Println("align", name, t.Align())
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		// cgo puts an underscore before what is a word of Go.
		fmt.Printf("field %s.%s %d %d %s\n", name, strings.TrimPrefix(field.Name, "_"), field.Offset, field.Type.Size(), class(field.Type))
	}
}

// class has no word for size_t: to Go it is the integer of that size.
func class(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int32:
		return "i32"
	case reflect.Uint32:
		return "u32"
	case reflect.Uint64:
		return "u64"
	case reflect.Ptr, reflect.UnsafePointer:
		return "ptr"
	case reflect.Array:
		return class(t.Elem())
	}
	return "unknown:" + t.String()
}

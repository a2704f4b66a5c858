package asyncinotify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const patience = 10 * time.Second

func open(t testing.TB) *Watcher {
	t.Helper()
	return opened(t)(New())
}

func openWithChannels(t testing.TB) *Watcher {
	t.Helper()
	return opened(t)(NewWatcher())
}

func opened(t testing.TB) func(*Watcher, error) *Watcher {
	return func(w *Watcher, err error) *Watcher {
		t.Helper()
		check(t, err)
		t.Cleanup(func() { check(t, w.Close()) })
		return w
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%v, not %v", err, target)
	}
}

func next(t testing.TB, w *Watcher) Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	event, err := w.Next(ctx)
	check(t, err)
	return event
}

// until takes events up to one that has mask and name.
func until(t testing.TB, w *Watcher, mask Mask, name string) (events []Event) {
	t.Helper()
	for {
		event := next(t, w)
		events = append(events, event)
		if event.Mask.Has(mask) && event.Name == name {
			return events
		}
	}
}

func untilFlag(t testing.TB, w *Watcher, flag Flags) (events []Event) {
	t.Helper()
	for {
		event := next(t, w)
		events = append(events, event)
		if event.Flags.Has(flag) {
			return events
		}
	}
}

func nothing(t testing.TB, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if event, err := w.Next(ctx); err == nil {
		t.Fatalf("unexpected: %v", event)
	} else {
		is(t, err, context.DeadlineExceeded)
	}
}

func write(t testing.TB, path string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte("x"), 0o600))
}

func mkdir(t testing.TB, path string) {
	t.Helper()
	check(t, os.MkdirAll(path, 0o700))
}

// kernelWatches counts the kernel watches of the process. Tests don't run side by side.
func kernelWatches(t testing.TB) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fdinfo")
	check(t, err)
	for _, fd := range fds {
		info, _ := os.ReadFile("/proc/self/fdinfo/" + fd.Name())
		n += strings.Count(string(info), "inotify wd")
	}
	return n
}

func TestEventHasAllThatTheLibraryTells(t *testing.T) {
	dir := t.TempDir()
	w := open(t)
	check(t, w.Add(dir))
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a)
	check(t, os.Rename(a, b))
	mkdir(t, filepath.Join(dir, "d"))

	watch := w.WatchIDs(dir)[0]
	created := next(t, w)
	if want := (Event{Name: a, Entry: "a", Op: Create, Mask: InCreate, Watch: watch}); created != want {
		t.Errorf("%#v, not %#v", created, want)
	}
	if written := next(t, w); !written.Has(Write) || written.Name != a {
		t.Error(written)
	}
	from, to := next(t, w), next(t, w)
	if !from.Has(Rename) || from.Name != a || from.RenamedFrom != "" || from.Cookie == 0 {
		t.Errorf("%#v", from)
	}
	want := Event{Name: b, Entry: "b", Op: Create, Mask: InMovedTo, RenamedFrom: a, Cookie: from.Cookie, Watch: watch}
	if to != want {
		t.Errorf("%#v, not %#v", to, want)
	}
	if d := next(t, w); !d.IsDir() || !d.Has(Create) {
		t.Error(d)
	}
	check(t, os.Remove(filepath.Join(dir, "d")))
	check(t, os.Remove(b))
	check(t, os.Remove(dir))
	self := until(t, w, InDeleteSelf, dir)
	if e := self[len(self)-1]; e.Entry != "" || !e.Has(Remove) {
		t.Errorf("%#v", e)
	}
	until(t, w, InIgnored, dir)
	nothing(t, w)
}

func TestChannels(t *testing.T) {
	dir := t.TempDir()
	w := openWithChannels(t)
	check(t, w.Add(dir))
	const files = 1000
	go func() {
		for i := 0; i < files; i++ {
			if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600); err != nil {
				t.Error(err)
			}
		}
	}()
	deadline := time.After(patience)
	for i := 0; i < files; {
		select {
		case event := <-w.Events:
			if event.Has(Create) {
				if want := fmt.Sprintf("%s/%d", dir, i); event.Name != want {
					t.Fatalf("%v, not %s", event, want)
				}
				i++
			}
		case err := <-w.Errors:
			t.Fatal(err)
		case <-deadline:
			t.Fatalf("only %d of %d", i, files)
		}
	}
	check(t, w.Close())
	for range w.Events {
	}
	for err := range w.Errors {
		t.Error(err)
	}
	_, err := w.Next(context.Background())
	is(t, err, ErrClosed)
}

func TestNextReceivesFromTheChannels(t *testing.T) {
	dir := t.TempDir()
	w := openWithChannels(t)
	check(t, w.Add(dir))
	write(t, dir+"/f")
	until(t, w, InModify, dir+"/f")
	nothing(t, w)
}

func TestBufferedChannel(t *testing.T) {
	w := opened(t)(NewBufferedWatcher(7))
	if cap(w.Events) != 7 {
		t.Fatal(cap(w.Events))
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	w := open(t)
	is(t, w.Remove(dir), ErrNonExistentWatch)
	check(t, w.Add(dir))
	write(t, dir+"/f")
	check(t, w.Remove(dir+"/"))
	write(t, dir+"/g")
	is(t, w.Remove(dir), ErrNonExistentWatch)
	for _, event := range until(t, w, InIgnored, dir) {
		if event.Entry == "g" {
			t.Error(event)
		}
	}
	nothing(t, w)
	if list := w.WatchList(); len(list) != 0 {
		t.Error(list)
	}
	check(t, w.Add(dir))
	write(t, dir+"/h")
	until(t, w, InCreate, dir+"/h")
}

func TestRemoveOfEndedWatch(t *testing.T) {
	dir := t.TempDir() + "/dir"
	mkdir(t, dir)
	w := open(t)
	check(t, w.Add(dir))
	check(t, os.Remove(dir))
	until(t, w, InIgnored, dir)
	is(t, w.Remove(dir), ErrNonExistentWatch)
	if len(w.byID) != 0 || len(w.byPath) != 0 {
		t.Errorf("still known: %v %v", w.byID, w.byPath)
	}
}

func TestOneshot(t *testing.T) {
	dir := t.TempDir()
	w := open(t)
	check(t, w.AddWith(dir, WithMask(InCreate|InOneshot)))
	write(t, dir+"/f")
	write(t, dir+"/g")
	until(t, w, InCreate, dir+"/f")
	if event := next(t, w); event.Mask != InIgnored || event.Watch != 0 || event.Name != "" {
		t.Errorf("%#v", event)
	}
	nothing(t, w)
	is(t, w.Remove(dir), ErrNonExistentWatch)
	if len(w.byID) != 0 || len(w.byPath) != 0 || w.oneshots.Load() != 0 {
		t.Errorf("still known: %v %v", w.byID, w.byPath)
	}
}

func TestOneInodeByTwoPaths(t *testing.T) {
	dir := t.TempDir()
	a, b := dir+"/a", dir+"/b"
	write(t, a)
	check(t, os.Link(a, b))
	w := open(t)
	check(t, w.Add(a))
	check(t, w.AddWith(b, WithOps(Chmod)))
	if !reflect.DeepEqual(w.WatchIDs(a), w.WatchIDs(b)) {
		t.Error(w.WatchIDs(a), w.WatchIDs(b))
	}
	write(t, a) // no longer in the mask
	check(t, os.Chmod(a, 0o644))
	if event := next(t, w); event.Mask != InAttrib {
		t.Error(event)
	}
	check(t, w.Remove(b))
	is(t, w.Remove(a), ErrNonExistentWatch)
}

func TestWatchList(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir+"/a/below")
	mkdir(t, dir+"/b")
	w := open(t)
	check(t, w.Add(dir+"/b"))
	check(t, w.AddWith(dir+"/a", WithRecursive()))
	check(t, w.Add(dir+"/a"))
	if list, want := w.WatchList(), []string{dir + "/a", dir + "/b"}; !reflect.DeepEqual(list, want) {
		t.Error(list)
	}
	list, err := w.Directories(dir + "/a")
	check(t, err)
	if want := []string{dir + "/a", dir + "/a/below"}; !reflect.DeepEqual(list, want) {
		t.Error(list)
	}
	_, err = w.Directories(dir + "/b")
	is(t, err, ErrNonExistentWatch)
	// Both that were added by this path.
	check(t, w.Remove(dir+"/a"))
	if list, want := w.WatchList(), []string{dir + "/b"}; !reflect.DeepEqual(list, want) {
		t.Error(list)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	w := open(t)
	err := w.Add(dir + "/nothing")
	is(t, err, fs.ErrNotExist)
	is(t, err, syscall.ENOENT)
	var detail *Error
	if !errors.As(err, &detail) || detail.Path != dir+"/nothing" || !strings.Contains(err.Error(), dir+"/nothing") {
		t.Errorf("%#v", err)
	}
	write(t, dir+"/file")
	is(t, w.AddWith(dir+"/file", WithRecursive(), WithFilter(func(string) bool { return true })), syscall.ENOTDIR)
	is(t, w.AddWith(dir, WithMask(0)), syscall.EINVAL)
	is(t, w.Add(dir+"\x00/x"), syscall.EINVAL)
	check(t, w.Add(dir))
	is(t, w.AddWith(dir, WithMask(InCreate|InMaskCreate)), fs.ErrExist)
}

func TestAnyBytesInNames(t *testing.T) {
	dir := t.TempDir() + "/\xff\n \u00e9"
	mkdir(t, dir)
	w := open(t)
	check(t, w.AddWith(dir, WithRecursive()))
	mkdir(t, dir+"/\x01\x80")
	write(t, dir+"/\x01\x80/\xfe")
	until(t, w, InCreate, dir+"/\x01\x80/\xfe")
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir+"/old/deep")
	w := open(t)
	check(t, w.AddWith(dir, WithRecursive(), WithOps(Create|Remove|Rename)))
	for i := 0; i < 200; i++ { // faster than watches can be added
		mkdir(t, fmt.Sprintf("%s/new%d/a/b/c", dir, i))
		write(t, fmt.Sprintf("%s/new%d/a/b/c/leaf", dir, i))
	}
	created := map[string]int{}
	for len(created) < 200*5 {
		event := next(t, w)
		if event.Err != nil || !event.Has(Create) {
			t.Fatal(event)
		}
		if created[event.Name]++; created[event.Name] > 1 {
			t.Fatalf("twice: %v", event)
		}
	}
	check(t, os.Rename(dir+"/old", dir+"/renamed"))
	until(t, w, InMovedTo, dir+"/renamed")
	write(t, dir+"/renamed/deep/file")
	until(t, w, InCreate, dir+"/renamed/deep/file")
	check(t, w.Remove(dir))
	until(t, w, InIgnored, dir)
	if n := kernelWatches(t); n != 0 {
		t.Errorf("%d kernel watches left", n)
	}
}

func TestListing(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir+"/a")
	write(t, dir+"/a/f")
	w := open(t)
	check(t, w.AddWith(dir, WithListing(), WithOps(Create)))
	var names []string
	events := untilFlag(t, w, SyncEnd)
	for _, event := range events[1 : len(events)-1] {
		if !event.Flags.Has(Synthetic) {
			t.Error(event)
		}
		names = append(names, event.Name)
	}
	if first := events[0]; first.Flags != SyncBegin || first.Mask != 0 || first.Op != 0 || first.Name != dir {
		t.Errorf("%#v", first)
	}
	if want := []string{dir + "/a", dir + "/a/f"}; !reflect.DeepEqual(names, want) {
		t.Error(names)
	}
}

// A scan in slices has to come back to the poller, which is edge-triggered, until it is done.
func TestBackground(t *testing.T) {
	dir := t.TempDir()
	const directories = 3000
	for i := 0; i < directories; i++ {
		mkdir(t, fmt.Sprintf("%s/%d/%d", dir, i%50, i))
	}
	w := open(t)
	check(t, w.AddWith(dir, WithBackground()))
	if event := next(t, w); event.Flags != SyncEnd {
		t.Fatal(event)
	}
	list, err := w.Directories(dir)
	check(t, err)
	if len(list) != directories+50+1 {
		t.Error(len(list))
	}
	write(t, dir+"/7/2957/f")
	until(t, w, InCreate, dir+"/7/2957/f")
}

func TestMaxDepthAndOneFilesystem(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir+"/a/b/c")
	w := open(t)
	check(t, w.AddWith(dir, WithMaxDepth(2), WithOneFilesystem()))
	list, err := w.Directories(dir)
	check(t, err)
	if want := []string{dir, dir + "/a"}; !reflect.DeepEqual(list, want) {
		t.Error(list)
	}
}

func TestFilter(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir+"/.git/objects")
	mkdir(t, dir+"/src")
	w := open(t)
	var mu sync.Mutex
	asked := map[string]int{}
	check(t, w.AddWith(dir, WithFilter(func(path string) bool {
		mu.Lock()
		defer mu.Unlock()
		asked[path]++
		return filepath.Base(path) != ".git"
	})))
	mkdir(t, dir+"/later/.git/objects")
	until(t, w, InCreate, dir+"/later/.git")
	write(t, dir+"/src/f")
	until(t, w, InCreate, dir+"/src/f")
	list, err := w.Directories(dir)
	check(t, err)
	if len(list) != 3 {
		t.Error(list)
	}
	mu.Lock()
	defer mu.Unlock()
	want := map[string]int{dir + "/.git": 1, dir + "/src": 1, dir + "/later": 1, dir + "/later/.git": 1}
	if !reflect.DeepEqual(asked, want) {
		t.Error(asked)
	}
}

func TestFilterMayUseTheWatcher(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	mkdir(t, dir+"/a")
	w := open(t)
	check(t, w.AddWith(dir, WithFilter(func(path string) bool {
		if err := w.Add(other); err != nil {
			t.Error(err)
		}
		w.WatchList()
		return true
	})))
	write(t, other+"/f")
	until(t, w, InCreate, other+"/f")
}

func TestFilterPanics(t *testing.T) {
	dir := t.TempDir()
	w := open(t)
	check(t, w.AddWith(dir, WithFilter(func(path string) bool { panic("filter says: " + path) })))
	mkdir(t, dir+"/a")
	func() {
		defer func() {
			if p := recover(); p != "filter says: "+dir+"/a" {
				t.Error(p)
			}
		}()
		until(t, w, InIgnored, "never")
	}()
	// Nothing is broken by it.
	write(t, dir+"/f")
	until(t, w, InCreate, dir+"/f")
}

func TestFilterCloses(t *testing.T) {
	for _, inAdd := range []bool{true, false} {
		dir := t.TempDir()
		w := openWithChannels(t)
		made := dir + "/a"
		if inAdd {
			mkdir(t, made)
		}
		err := w.AddWith(dir, WithFilter(func(path string) bool {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			return true
		}))
		if inAdd {
			is(t, err, ErrClosed)
		} else {
			check(t, err)
			mkdir(t, made)
		}
		for range w.Events {
		}
		check(t, w.Close())
	}
}

// Whatever ends a tree, C gives back its filter, and Go frees what the filter holds.
func TestFilterIsFreed(t *testing.T) {
	for name, end := range map[string]func(w *Watcher, dir string){
		"remove": func(w *Watcher, dir string) {
			check(t, w.Remove(dir))
			until(t, w, InIgnored, dir)
			nothing(t, w)
		},
		"deleted": func(w *Watcher, dir string) {
			check(t, os.Remove(dir))
			until(t, w, InIgnored, dir)
			nothing(t, w)
		},
		"close":  func(w *Watcher, dir string) { check(t, w.Close()) },
		"failed": func(w *Watcher, dir string) {},
	} {
		w, dir := open(t), t.TempDir()
		freed := make(chan struct{})
		func() {
			probe := new([64]byte)
			runtime.SetFinalizer(probe, func(*[64]byte) { close(freed) })
			path := dir
			if name == "failed" {
				path += "/nothing"
			}
			err := w.AddWith(path, WithFilter(func(string) bool { return probe[0] == 0 }))
			if (err != nil) != (name == "failed") {
				t.Fatal(err)
			}
		}()
		end(w, dir)
		deadline := time.Now().Add(patience)
		for waiting := true; waiting; {
			runtime.GC()
			select {
			case <-freed:
				waiting = false
			case <-time.After(10 * time.Millisecond):
				if time.Now().After(deadline) {
					t.Fatalf("%s: C still has the filter's handle", name)
				}
			}
		}
	}
}

func TestContext(t *testing.T) {
	dir := t.TempDir()
	w := open(t)
	check(t, w.Add(dir))
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() {
		_, err := w.Next(ctx)
		result <- err
	}()
	waitUntilParked(t, w)
	cancel()
	is(t, <-result, context.Canceled)
	_, err := w.Next(ctx)
	is(t, err, context.Canceled)
	// The wait after one that was cancelled is whole again.
	go write(t, dir+"/f")
	until(t, w, InCreate, dir+"/f")
}

// waitUntilParked waits until somebody waits for events.
func waitUntilParked(t testing.TB, w *Watcher) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		w.mu.Lock()
		busy := w.busy
		w.mu.Unlock()
		// busy begins before the first fetch, and that is not yet waiting.
		if busy && w.fetches.Load() > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
		runtime.Gosched()
	}
}

func TestCloseEndsEveryWait(t *testing.T) {
	for _, open := range []func() (*Watcher, error){New, NewWatcher} {
		w, err := open()
		check(t, err)
		check(t, w.AddWith(t.TempDir(), WithRecursive()))
		results := make(chan error)
		for i := 0; i < 5; i++ {
			go func() {
				_, err := w.Next(context.Background())
				results <- err
			}()
		}
		waitUntilParked(t, w)
		check(t, w.Close())
		for i := 0; i < 5; i++ {
			is(t, <-results, ErrClosed)
		}
		check(t, w.Close())
		is(t, w.Add("/"), ErrClosed)
		is(t, w.Remove("/"), ErrClosed)
		is(t, w.Remove("/"), os.ErrClosed)
		_, err = w.Directories("/")
		is(t, err, ErrClosed)
		_, err = w.Troubles("/")
		is(t, err, ErrClosed)
		if w.WatchList() != nil {
			t.Error(w.WatchList())
		}
		if n := kernelWatches(t); n != 0 {
			t.Errorf("%d kernel watches left", n)
		}
	}
}

// Everything at once, for the race detector: takers, adders, removers, writers, and a close in the middle.
func TestRaces(t *testing.T) {
	dir := t.TempDir()
	for round := 0; round < 5; round++ {
		w, err := New()
		check(t, err)
		var group sync.WaitGroup
		start := func(f func(i int) error) {
			group.Add(1)
			go func() {
				defer group.Done()
				for i := 0; ; i++ {
					if err := f(i); errors.Is(err, ErrClosed) {
						return
					} else if err != nil && !errors.Is(err, ErrNonExistentWatch) && !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
						return
					}
				}
			}()
		}
		var taken atomic.Int32
		enough := make(chan struct{})
		for i := 0; i < 3; i++ {
			start(func(int) error {
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
				defer cancel()
				_, err := w.Next(ctx)
				if err == nil && taken.Add(1) == 300 {
					close(enough)
				}
				return err
			})
		}
		tree := fmt.Sprintf("%s/%d", dir, round)
		mkdir(t, tree)
		check(t, w.AddWith(tree, WithFilter(func(path string) bool { return true })))
		start(func(i int) error {
			return w.AddWith(tree, WithRecursive(), WithFilter(func(string) bool { return true }))
		})
		start(func(i int) error { return w.Remove(tree) })
		start(func(i int) error { w.WatchList(); _, err := w.Directories(tree); return err })
		start(func(i int) error { _, err := w.Troubles(tree); return err })
		start(func(i int) error {
			check(t, os.MkdirAll(fmt.Sprintf("%s/%d/x", tree, i), 0o700))
			if w.isClosed.Load() {
				return ErrClosed
			}
			return nil
		})
		select {
		case <-enough:
		case <-time.After(patience):
			t.Errorf("only %d events", taken.Load())
		}
		check(t, w.Close())
		group.Wait()
	}
}

// A goroutine that waits holds no thread and doesn't come round: no fetches at rest.
func TestIdle(t *testing.T) {
	before := threads(t)
	var watchers []*Watcher
	for i := 0; i < 20; i++ { // fs.inotify.max_user_instances is shared with all that this user runs
		w := openWithChannels(t)
		check(t, w.Add(t.TempDir()))
		watchers = append(watchers, w)
	}
	for _, w := range watchers {
		waitUntilParked(t, w)
	}
	if more := threads(t) - before; more > 10 {
		t.Errorf("%d more threads for %d watchers", more, len(watchers))
	}
	fetches := func() (n uint64) {
		for _, w := range watchers {
			n += w.fetches.Load()
		}
		return n
	}
	atRest := fetches()
	time.Sleep(time.Second) // the time of idleness that is measured
	if n := fetches() - atRest; n > 0 {
		t.Errorf("%d fetches in a second of idleness", n)
	}
	w := watchers[0]
	name := w.WatchList()[0] + "/f"
	write(t, name)
	until(t, w, InCreate, name)
}

func threads(t *testing.T) int {
	tasks, err := os.ReadDir("/proc/self/task")
	check(t, err)
	return len(tasks)
}

// 10,000 files through batches of 256: each edge of the poller has to lead to all that is there.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	w := openWithChannels(t)
	check(t, w.AddWith(dir, WithRecursive(), WithMask(InCloseWrite)))
	const files, directories = 10000, 100
	go func() {
		for i := 0; i < files; i++ {
			name := fmt.Sprintf("%s/%d/%d", dir, i%directories, i)
			if i < directories {
				if err := os.Mkdir(filepath.Dir(name), 0o700); err != nil {
					t.Error(err)
				}
			}
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Error(err)
			}
		}
	}()
	seen := map[string]bool{}
	deadline := time.After(3 * patience)
	for len(seen) < files {
		select {
		case event := <-w.Events:
			seen[event.Name] = true
		case err := <-w.Errors:
			t.Fatal(err)
		case <-deadline:
			t.Fatalf("%d of %d", len(seen), files)
		}
	}
}

func TestTroubleIsTold(t *testing.T) {
	dir := t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	check(t, os.Chmod(dir, 0o755))
	check(t, os.Mkdir(dir+"/closed", 0o000))
	w := open(t) // without channels: who takes events meanwhile takes part in the scan
	asNobody(func() { check(t, w.AddWith(dir, WithRecursive())) })
	event := next(t, w)
	is(t, event.Err, fs.ErrPermission)
	var detail *Error
	if !errors.As(event.Err, &detail) || detail.Path != dir+"/closed" || event.Name != dir+"/closed" || event.Flags != Trouble {
		t.Errorf("%#v", event)
	}
	write(t, dir+"/f")
	until(t, w, InCreate, dir+"/f")
	troubles, err := w.Troubles(dir)
	check(t, err)
	if len(troubles) != 1 || *troubles[0] != *detail {
		t.Errorf("%v", troubles)
	}
}

func TestTroubleHeals(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *Watcher{"Next": open, "channels": openWithChannels} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := open(t)
			check(t, w.AddWith(dir, WithRecursive()))
			troubles, err := w.Troubles(dir)
			check(t, err)
			if troubles != nil {
				t.Errorf("%v", troubles)
			}
			lift := noDescriptors(t)
			mkdir(t, dir+"/a/b")
			var event Event
			for event.Err == nil {
				event = next(t, w)
			}
			is(t, event.Err, syscall.EMFILE)
			troubles, err = w.Troubles(dir)
			check(t, err)
			if len(troubles) != 1 || troubles[0].Path != dir+"/a" || troubles[0].Errno != syscall.EMFILE {
				t.Errorf("%v", troubles)
			}
			lift()
			var names []string
			for !event.Flags.Has(Healed) {
				event = next(t, w)
				check(t, event.Err)
				names = append(names, event.Name)
			}
			if event.Name != dir+"/a" || event.Flags != Healed || event.Op != 0 || event.Mask != InIsdir {
				t.Errorf("%#v", event)
			}
			if want := []string{dir + "/a/b", dir + "/a"}; !reflect.DeepEqual(names, want) {
				t.Errorf("%v", names)
			}
			troubles, err = w.Troubles(dir)
			check(t, err)
			if troubles != nil {
				t.Errorf("%v", troubles)
			}
			check(t, w.Add(dir+"/a/b"))
			_, err = w.Troubles(dir + "/a/b")
			is(t, err, ErrNonExistentWatch)
		})
	}
}

// noDescriptors lets the process open no file until the function that it returns is called, or the test ends.
func noDescriptors(t *testing.T) (end func()) {
	var before syscall.Rlimit
	check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	end = func() { check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)) }
	t.Cleanup(end)
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1, Max: before.Max}))
	return end
}

// asNobody runs f on a thread to which file permissions apply, also where the tests run as root.
func asNobody(f func()) {
	const nobody = 65534
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		defer syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0)
	}
	f()
}

func TestOverflow(t *testing.T) {
	// Nobody takes the events while the files are made: more than the kernel queues, however long its queue is here.
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	check(t, err)
	queue, err := strconv.Atoi(strings.TrimSpace(string(text)))
	check(t, err)
	if queue > 1000000 {
		t.Skipf("fs.inotify.max_queued_events is %d: so many files would take too long", queue)
	}
	files := queue + 1000
	plain := opened(t)(New())
	w := opened(t)(NewWatcher())

	dir := t.TempDir()
	check(t, plain.Add(dir))
	check(t, w.AddWith(dir, WithListing(), WithOps(Create)))
	for i := 0; i < files; i++ {
		write(t, fmt.Sprintf("%s/%d", dir, i))
	}
	for overflowed := false; !overflowed; {
		event := next(t, plain)
		overflowed = event.Err == ErrEventOverflow
		if overflowed && (event.Watch != 0 || !event.Mask.Has(InQOverflow)) {
			t.Errorf("%#v", event)
		}
	}
	overflows, listed, lists := 0, map[string]bool{}, 0
	deadline := time.After(patience)
	for overflows == 0 || len(listed) < files {
		select {
		case event := <-w.Events:
			switch {
			case event.Flags.Has(SyncBegin):
				listed = map[string]bool{}
			case event.Flags.Has(SyncEnd):
				lists++
			default:
				listed[event.Name] = true
			}
		case err := <-w.Errors:
			is(t, err, ErrEventOverflow)
			overflows++
		case <-deadline:
			t.Fatalf("%d overflows, %d lists, %d of %d files", overflows, lists, len(listed), files)
		}
	}
	if lists < 1 {
		t.Error("no list")
	}
}

func TestNames(t *testing.T) {
	for value, want := range map[fmt.Stringer]string{
		Mask(0):                "0",
		InCreate | InIsdir:     "CREATE|ISDIR",
		InClose:                "CLOSE_WRITE|CLOSE_NOWRITE",
		InOneshot | 0x00100000: "ONESHOT|0x100000",
		Op(0):                  "[no events]",
		Create | Write:         "CREATE|WRITE",
		Chmod | 1<<20:          "CHMOD|0x100000",
		Flags(0):               "0",
		Synthetic | 1<<9:       "SYNTHETIC|0x200",
		Trouble | Healed:       "ERROR|HEALED",
		Event{Mask: InMovedTo, Name: "/b", RenamedFrom: "/a"}:              `MOVED_TO      "/b" ← "/a"`,
		Event{Mask: InCreate, Name: "/a", Flags: Synthetic}:                `CREATE SYNTHETIC "/a"`,
		Event{Name: "/", Flags: SyncEnd}:                                   `SYNC_END      "/"`,
		Event{Mask: InIsdir, Name: "/a", Flags: Healed}:                    `ISDIR HEALED  "/a"`,
		Event{Mask: InQOverflow, Err: ErrEventOverflow}:                    ErrEventOverflow.Error(),
		Event{Mask: InAccess, Name: "a\nb"}:                                `ACCESS        "a\nb"`,
		InAll | InUnmount | InQOverflow | InIgnored:                        "ACCESS|MODIFY|ATTRIB|CLOSE_WRITE|CLOSE_NOWRITE|OPEN|MOVED_FROM|MOVED_TO|CREATE|DELETE|DELETE_SELF|MOVE_SELF|UNMOUNT|Q_OVERFLOW|IGNORED",
		InOnlydir | InDontFollow | InExclUnlink | InMaskCreate | InMaskAdd: "ONLYDIR|DONT_FOLLOW|EXCL_UNLINK|MASK_CREATE|MASK_ADD",
	} {
		if got := value.String(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	if all := InAll.Op(); all != allOps || all.Mask() != InAll {
		t.Error(all)
	}
	if !(Create | Write).Has(Write) || Create.Has(Create|Write) || !InClose.Has(InCloseWrite) {
		t.Error("Has")
	}
	if Version() == "" {
		t.Error("no version")
	}
}

type takesNothing struct{}

func (takesNothing) Write([]byte) (int, error) { return 0, fs.ErrInvalid }

func TestDebugDump(t *testing.T) {
	w, dir := open(t), t.TempDir()
	for i := 0; i < 2000; i++ { // more than a pipe holds
		check(t, os.Mkdir(fmt.Sprintf("%s/%d", dir, i), 0o700))
	}
	check(t, w.AddWith(dir, WithRecursive()))
	var text strings.Builder
	check(t, w.DebugDump(&text))
	for i := 0; i < 2000; i++ {
		if path := fmt.Sprintf("%q", fmt.Sprintf("%s/%d", dir, i)); !strings.Contains(text.String(), path) {
			t.Fatalf("no %s in %s", path, text.String())
		}
	}
	if err := w.DebugDump(takesNothing{}); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
	check(t, w.Close())
	if err := w.DebugDump(&text); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

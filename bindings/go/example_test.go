package asyncinotify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"asyncinotify"
)

// As with fsnotify: a goroutine receives from both channels.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	watcher, err := asyncinotify.NewWatcher()
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Close()

	done := make(chan struct{})
	go func() {
		for {
			select {
			case event, ok := <-watcher.Events:
				if !ok {
					return
				}
				if event.Has(asyncinotify.Write) {
					fmt.Println("modified", filepath.Base(event.Name))
					close(done)
				}
			case err, ok := <-watcher.Errors:
				if !ok {
					return
				}
				log.Println("error:", err)
			}
		}
	}()

	if err := watcher.Add(dir); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output: modified file
}

// Without channels and without a goroutine: Next waits, until the context is done.
func ExampleWatcher_Next() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	watcher, err := asyncinotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Close()
	if err := watcher.AddWith(dir, asyncinotify.WithMask(asyncinotify.InCreate)); err != nil {
		log.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "new"), 0o700); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for {
		event, err := watcher.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			fmt.Println("a second has passed")
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Mask, event.Entry)
	}
	// Output:
	// CREATE|ISDIR new
	// a second has passed
}

// A whole tree, less what nobody wants to hear of: directories made in a hurry are not missed, and renames are followed.
func ExampleWatcher_AddWith() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	watcher, err := asyncinotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Close()
	err = watcher.AddWith(dir,
		asyncinotify.WithOps(asyncinotify.Create|asyncinotify.Rename),
		asyncinotify.WithFilter(func(path string) bool { return filepath.Base(path) != ".git" }))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "a", "b", "c"), 0o700); err != nil {
		log.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "z")); err != nil {
		log.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "z", "b", "c", "d"), 0o700); err != nil {
		log.Fatal(err)
	}

	for {
		event, err := watcher.Next(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		if event.Entry == "d" {
			name, _ := filepath.Rel(dir, event.Name)
			fmt.Println("made:", name)
			break
		}
	}
	// Output: made: z/b/c/d
}

// What there is first, then what changes: a copy made from these events stays right, even if the kernel drops some.
func ExampleWithListing() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Mkdir(filepath.Join(dir, "there"), 0o700); err != nil {
		log.Fatal(err)
	}

	watcher, err := asyncinotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Close()
	if err := watcher.AddWith(dir, asyncinotify.WithListing()); err != nil {
		log.Fatal(err)
	}
	for {
		event, err := watcher.Next(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%v %v %q\n", event.Mask, event.Flags, event.Entry)
		if event.Flags.Has(asyncinotify.SyncEnd) {
			break
		}
	}
	// Output:
	// 0 SYNC_BEGIN ""
	// CREATE|ISDIR SYNTHETIC "there"
	// 0 SYNC_END ""
}

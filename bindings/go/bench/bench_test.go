// Package bench times asyncinotify beside fsnotify on the same work: events a second, from the kernel's full queue to the
// program. It is a module of its own, so that the binding depends on nothing.
//
//	go test -bench .
package bench

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"asyncinotify"

	"github.com/fsnotify/fsnotify"
)

// The kernel's queue holds 16384 events by default; each file makes a CREATE and a WRITE.
const (
	files  = 6000
	events = 2 * files
)

// work makes the events while nobody takes them, and takes the files away again while nobody watches.
func work(b *testing.B, drain func(dir string) func() int) {
	b.Helper()
	var elapsed, cpu time.Duration
	for i := 0; i < b.N; i++ {
		b.StopTimer()
		dir, err := os.MkdirTemp("", "asyncinotify-bench")
		if err != nil {
			b.Fatal(err)
		}
		take := drain(dir)
		for f := 0; f < files; f++ {
			if err := os.WriteFile(filepath.Join(dir, "file-number-"+strconv.Itoa(f)), []byte{'x'}, 0o600); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		began, cpuBegan := time.Now(), cpuTime(b)
		n := take()
		elapsed += time.Since(began)
		cpu += cpuTime(b) - cpuBegan
		b.StopTimer()
		if n != events {
			b.Fatalf("%d events, not %d", n, events)
		}
		os.RemoveAll(dir)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)*events/elapsed.Seconds(), "events/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/(float64(b.N)*events), "cpu-ns/event")
}

// cpuTime is steadier than the clock on a machine that has other work.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkFsnotify(b *testing.B) {
	work(b, func(dir string) func() int {
		watcher, err := fsnotify.NewWatcher()
		check(b, err)
		check(b, watcher.Add(dir))
		return func() (n int) {
			defer watcher.Close()
			for n < events {
				select {
				case event := <-watcher.Events:
					if event.Name != "" {
						n++
					}
				case err := <-watcher.Errors:
					b.Fatal(err)
				}
			}
			return n
		}
	})
}

func channels(b *testing.B, size uint, opts ...asyncinotify.Option) {
	work(b, func(dir string) func() int {
		watcher, err := asyncinotify.NewBufferedWatcher(size)
		check(b, err)
		check(b, watcher.AddWith(dir, opts...))
		return func() (n int) {
			defer watcher.Close()
			for n < events {
				select {
				case event := <-watcher.Events:
					if event.Name != "" {
						n++
					}
				case err := <-watcher.Errors:
					b.Fatal(err)
				}
			}
			return n
		}
	})
}

func BenchmarkChannels(b *testing.B)         { channels(b, 0) }
func BenchmarkBufferedChannels(b *testing.B) { channels(b, 256) }
func BenchmarkTreeChannels(b *testing.B)     { channels(b, 0, asyncinotify.WithRecursive()) }

func BenchmarkNext(b *testing.B) {
	work(b, func(dir string) func() int {
		watcher, err := asyncinotify.New()
		check(b, err)
		check(b, watcher.Add(dir))
		return func() (n int) {
			defer watcher.Close()
			for n < events {
				event, err := watcher.Next(context.Background())
				check(b, err)
				if event.Name != "" {
					n++
				}
			}
			return n
		}
	})
}

// Asyncinotify-watch prints what happens below the given directories, until it is interrupted.
//
//	asyncinotify-watch [-exclude name] [-list] [directory...]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"asyncinotify"
)

func main() {
	log.SetFlags(0)
	exclude := flag.String("exclude", "", "a `name` of directories not to enter")
	list := flag.Bool("list", false, "begin with what is there")
	flag.Parse()
	directories := flag.Args()
	if len(directories) == 0 {
		directories = []string{"."}
	}

	watcher, err := asyncinotify.New()
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Close()
	options := []asyncinotify.Option{asyncinotify.WithRecursive(), asyncinotify.WithMask(asyncinotify.InAll)}
	if *exclude != "" {
		options = append(options, asyncinotify.WithFilter(func(path string) bool { return filepath.Base(path) != *exclude }))
	}
	if *list {
		options = append(options, asyncinotify.WithListing())
	}
	for _, directory := range directories {
		if err := watcher.AddWith(directory, options...); err != nil {
			log.Fatal(err)
		}
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for {
		event, err := watcher.Next(ctx)
		switch {
		case errors.Is(err, context.Canceled):
			return
		case err != nil:
			log.Fatal(err)
		case event.Err != nil:
			log.Print(event.Err)
		default:
			fmt.Println(event)
		}
	}
}

module asyncinotify/bench

go 1.19

require (
	asyncinotify v0.1.0
	github.com/fsnotify/fsnotify v1.6.0
)

require golang.org/x/sys v0.3.0 // indirect

replace asyncinotify => ../

// The sources that Debian has (golang-github-fsnotify-fsnotify-dev, golang-golang-x-sys-dev): no network is needed.
replace (
	github.com/fsnotify/fsnotify => /usr/share/gocode/src/github.com/fsnotify/fsnotify
	golang.org/x/sys => /usr/share/gocode/src/golang.org/x/sys
)

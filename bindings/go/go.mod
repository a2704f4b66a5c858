module asyncinotify

go 1.19

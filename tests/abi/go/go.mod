module asyncinotify/abi

go 1.19

require asyncinotify v0.1.0

replace asyncinotify => ../../../bindings/go

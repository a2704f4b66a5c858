#!/bin/sh
# Prints where build.rs put the header at the last release build.
set -eu
ls -t "${CARGO_TARGET_DIR:-target}"/release/build/asyncinotify-*/out/asyncinotify.h | head -n 1

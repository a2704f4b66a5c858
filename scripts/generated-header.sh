#!/bin/sh
# Prints where build.rs put the header at the last release build.
set -eu
# shellcheck disable=SC2012 # the newest: cargo names these folders itself
ls -t "${CARGO_TARGET_DIR:-target}"/release/build/asyncinotify-*/out/asyncinotify.h | head -n 1

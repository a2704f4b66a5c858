#!/bin/sh
# Runs a command that needs a tool not everybody has.
# usage: with.sh TOOL PACKAGE COMMAND...      TOOL: a program's name, or pkg:NAME for a library known to pkg-config
# Without the tool: one line that says which Debian package brings it, and success; with REQUIRE_ALL=1 a failure.
set -eu
tool=$1 package=$2
shift 2
case $tool in
pkg:*) pkg-config --exists "${tool#pkg:}" ;;
*) command -v "$tool" ;;
esac >/dev/null 2>&1 && exec "$@"
echo "SKIP: ${tool#pkg:} (install $package)"
[ "${REQUIRE_ALL:-}" != 1 ]

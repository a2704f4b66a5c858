# shellcheck shell=bash
# Sourced by the checks of bindings: where the installed library, the source and a folder to work in are.
# use_prefix PREFIX: sets prefix and work, and what finds the library there
use_prefix() {
	source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
	prefix=$(cd "$1" && pwd)
	work=$(mktemp -d "${TMPDIR:-/tmp}/asyncinotify-binding.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	# Go and Zig take what pkg-config says apart at spaces, and so does README's reader with a path in a command.
	ln -s "$source" "$work/libasyncinotify"
	case $prefix in
	*' '*)
		ln -s "$prefix" "$work/prefix"
		prefix=$work/prefix
		printf '#!/bin/sh\nexec pkg-config --define-prefix "$@"\n' >"$work/pkg-config"
		chmod +x "$work/pkg-config"
		export PKG_CONFIG=$work/pkg-config
		;;
	esac
	export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib
	# make exports these. With DESTDIR set, if only to nothing, `zig build` installs below /usr.
	unset DESTDIR PREFIX LIBDIR INCLUDEDIR
	# Nothing is fetched: the binding depends on nothing. Go takes no notice of a library or a header that has changed, nor of
	# what pkg-config says; but of other flags it does.
	export GOPROXY=off GOFLAGS=-mod=readonly GOTOOLCHAIN=local
	CGO_CFLAGS="-g -O2 -DASYNCINOTIFY_SUM=$(echo "$prefix" | cat - "$prefix/include/asyncinotify.h" "$prefix/lib/libasyncinotify.so" | cksum | tr " " _)u"
	export CGO_CFLAGS
}

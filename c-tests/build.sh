# shellcheck shell=sh
# Builds a program of C tests against an installed asyncinotify. To be sourced.
# build_tests PREFIX FOLDER [FLAG…]: FOLDER/*.c and the harness become $build/tests; $build goes at the end

build_tests() {
	prefix=$(CDPATH='' cd -- "$1" && pwd) folder=$2
	shift 2
	build=$(mktemp -d "${TMPDIR:-/tmp}/asyncinotify-c-tests-XXXXXX")
	trap 'rm -rf "$build"' EXIT
	trap 'exit 130' INT TERM

	found=$(find "$prefix" -name asyncinotify.pc | head -n 1)
	[ -n "$found" ] || {
		echo "there is no asyncinotify.pc below $prefix" >&2
		exit 2
	}
	PKG_CONFIG_PATH=$(dirname "$found")${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
	LD_LIBRARY_PATH=$(dirname "$(dirname "$found")")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} # pkg-config would escape spaces
	export PKG_CONFIG_PATH LD_LIBRARY_PATH

	modules=asyncinotify
	if pkg-config --exists liburing; then
		modules="$modules liburing"
		set -- "$@" -DHAVE_LIBURING
	fi

	# Object by object, two at a time; a script and eval because pkg-config escapes spaces for a shell.
	support=$folder/../c-tests/support
	flags="-std=gnu11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -pthread $* ${CFLAGS:-}"
	echo "${CC:-cc} $flags $(pkg-config --cflags "$modules") -I'$support' -c \"\$1\" -o '$build'/\"\$(basename \"\$1\" .c).o\"" >"$build/compile"
	printf '%s\n' "$folder"/*.c "$support"/*.c | xargs -d '\n' -n 1 -P 2 sh "$build/compile"
	eval "${CC:-cc} -g -pthread $* ${CFLAGS:-} -o '$build/tests' '$build'/*.o $(pkg-config --libs "$modules") -ldl"
}

# shellcheck shell=bash
# Sourced by what builds C++ under the address and the undefined-behaviour sanitizers.
sanitizers='-fsanitize=address,undefined -fno-sanitize-recover=undefined'

# links COMMAND...: a trivial program
links() {
	local program status=0
	program=$(mktemp "${TMPDIR:-/tmp}/asyncinotify-links-XXXXXX")
	echo 'int main() {}' | "$@" -o "$program" -x c++ - 2>/dev/null || status=1
	rm -f "$program"
	return "$status"
}

# lacks_sanitizers COMPILER: it links programs, but none with these flags. The runtime need not come with the compiler.
# One that links nothing at all is left to say so when it is used.
lacks_sanitizers() {
	# shellcheck disable=SC2086
	! links "$1" $sanitizers && links "$1"
}

# sanitizers_package COMPILER: what has the runtime
sanitizers_package() {
	local version
	version=$("$1" -dumpversion)
	case $1 in
	clang*) echo "libclang-rt-${version%%.*}-dev" ;;
	*) echo "libgcc-${version%%.*}-dev" ;;
	esac
}

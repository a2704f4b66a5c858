#!/bin/sh
# Puts the built library in place, or takes it away again. Called by `make install` and `make uninstall`.
# usage: install.sh install FOLDER-OF-BUILT-LIBRARIES
#        install.sh uninstall
# From the environment: PREFIX, LIBDIR (default PREFIX/lib), INCLUDEDIR (default PREFIX/include), DESTDIR.
set -eu

# A relative folder is meant from where make was called: what ends up in asyncinotify.pc has to be absolute.
absolute() {
	case $1 in
	/*) printf '%s\n' "$1" ;;
	*) printf '%s/%s\n' "$PWD" "$1" ;;
	esac
}

prefix=$(absolute "${PREFIX:-/usr/local}")
libdir=$(absolute "${LIBDIR:-$prefix/lib}")
includedir=$(absolute "${INCLUDEDIR:-$prefix/include}")
pkgconfigdir=$libdir/pkgconfig
cmakedir=$libdir/cmake/asyncinotify
docdir=$prefix/share/doc/asyncinotify
root=${DESTDIR:+$(absolute "$DESTDIR")}
source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$source/Cargo.toml" | head -n 1)
soversion=${version%%.*}

# Folders below the prefix are written relative to it, so that the installed tree can be moved.
below_prefix() {
	case $1 in
	"$prefix"/*) printf "%s%s\n" "\${prefix}" "${1#"$prefix"}" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

# The headers' folder as the CMake package finds it: relative to libdir where both lie below the prefix.
cmake_includedir() {
	case $libdir/:$includedir/ in
	"$prefix"/*:"$prefix"/*) printf "%s/%s\n" "\${_asyncinotify_libdir}" "$(realpath -m --relative-to="$libdir" "$includedir")" ;;
	*) printf '%s\n' "$includedir" ;;
	esac
}

# A space in a folder's name is escaped in a .pc file, as in a shell command.
for_pc() { printf '%s\n' "$1" | sed 's/ /\\ /g'; }
for_sed() { printf '%s\n' "$1" | sed 's/[&|\\]/\\&/g'; }

fill_in() {
	sed -e "s|@prefix@|$(for_sed "$(for_pc "$prefix")")|" \
		-e "s|@libdir@|$(for_sed "$(for_pc "$(below_prefix "$libdir")")")|" \
		-e "s|@includedir@|$(for_sed "$(for_pc "$(below_prefix "$includedir")")")|" \
		-e "s|@cmake_includedir@|$(for_sed "$(cmake_includedir)")|" \
		-e "s|@VERSION@|$version|g" \
		-e "s|@SOVERSION@|$soversion|g" "$1"
}

# put MODE FILE FOLDER [NAME]
put() {
	mkdir -p "$root$3"
	install -m "$1" "$2" "$root$3/${4:-$(basename "$2")}"
	printf '%s\n' "$root$3/${4:-$(basename "$2")}"
}

link() {
	ln -sfn "$1" "$root$libdir/$2"
	printf '%s -> %s\n' "$root$libdir/$2" "$1"
}

case ${1-} in
install)
	built=$2
	put 755 "$built/libasyncinotify.so" "$libdir" "libasyncinotify.so.$version"
	link "libasyncinotify.so.$version" "libasyncinotify.so.$soversion"
	link "libasyncinotify.so.$soversion" libasyncinotify.so
	put 644 "$built/libasyncinotify.a" "$libdir"
	for header in "$source"/include/asyncinotify.h*; do
		put 644 "$header" "$includedir"
	done
	filled=$(mktemp)
	trap 'rm -f "$filled"' EXIT
	fill_in "$source/asyncinotify.pc.in" >"$filled"
	put 644 "$filled" "$pkgconfigdir" asyncinotify.pc
	for template in "$source"/cmake/*.in; do
		fill_in "$template" >"$filled"
		put 644 "$filled" "$cmakedir" "$(basename "$template" .in)"
	done
	for text in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE; do
		put 644 "$source/$text" "$docdir"
	done
	# A library that was put into the system's own folders is found only after ldconfig; a package's tool does that itself.
	if [ -z "$root" ] && [ "$(id -u)" = 0 ] && ldconfig -v -N 2>/dev/null | grep -q "^$libdir:"; then
		ldconfig
	fi
	;;
uninstall)
	for file in libasyncinotify.so "libasyncinotify.so.$soversion" "libasyncinotify.so.$version" libasyncinotify.a; do
		rm -f "$root$libdir/$file"
	done
	rm -f "$root$includedir/asyncinotify.h" "$root$includedir/asyncinotify.hpp" "$root$pkgconfigdir/asyncinotify.pc"
	rm -rf "$root$cmakedir" "$root$docdir"
	;;
*)
	echo "usage: $0 install FOLDER | uninstall" >&2
	exit 2
	;;
esac

#!/usr/bin/env bash
# Builds the C++ examples and runs each on real files: its output is checked, how it ends, and that it sleeps while
# nothing happens.
# usage: test.sh PREFIX
set -uo pipefail
prefix=$(cd "$1" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(mktemp -d "${TMPDIR:-/tmp}/asyncinotify-cpp-examples-XXXXXX")
trap 'rm -rf "$bin"' EXIT
# shellcheck source=cpp-tests/sanitizers.sh
. "$here/../cpp-tests/sanitizers.sh"
passed=0 failed=0 skipped=0 pid=
export LC_ALL=C QT_QPA_PLATFORM=offscreen

die() {
	echo "    $*"
	[ ! -s out ] || sed 's/^/    | /' out | tail -n 40
	exit 1
}
start() {
	local program=$1
	shift
	"$bin/$program" "$@" >>out 2>&1 &
	pid=$!
}
until_ok() {
	local deadline=$((SECONDS + 10))
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.02
	done
}
printed() { grep -Eq -- "$1" out; }
expect() { until_ok printed "$1" || die "not printed: $1"; }
kernel_watches() { cat "/proc/$pid/fdinfo/"* 2>/dev/null | grep -c '^inotify'; }
has_watches() { [ "$(kernel_watches)" = "$1" ]; }
until_watching() { until_ok has_watches "$1" || die "$(kernel_watches) kernel watches, not $1"; }
interrupt() {
	local status=0
	kill -INT "$pid" || die 'has ended already'
	ends
}
ends() {
	local status=0
	wait "$pid" || status=$?
	[ "$status" = 0 ] || die "returned $status"
	pid=
}

# How often the program woke up by itself; a tick of its own once a second is all there may be.
switches() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$pid/task/$pid/status"; }
sleeps() {
	local before after
	before=$(switches)
	expect "^$(($(grep -cE '^[0-9]+ s$' out) + 2)) s$"
	after=$(switches)
	[ $((after - before)) -le 12 ] || die "woke up $((after - before)) times in two seconds in which nothing happened"
}

# All events of many files, and of a directory that is renamed.
tree_of() {
	mkdir -p box/sub
	start "$1" box
	until_watching 2
	mkdir -p box/x/y/z && echo >box/x/y/z/leaf
	expect '^ *[+]? *CLOSE_WRITE +box/x/y/z/leaf$'
	mv box/x box/sub/moved
	expect 'MOVED_TO\|ISDIR +box/sub/moved'
	(cd box/sub/moved/y && for i in {1..10000}; do : >"$i"; done)
	expect 'CLOSE_WRITE +box/sub/moved/y/10000$'
	[ "$(grep -Ec '^ *[+]? *CREATE +box/sub/moved/y/[0-9]+$' out)" = 10000 ] || die 'not all of 10000 files, or some twice'
}

watch_() {
	tree_of watch
	interrupt
	touch file
	start watch file
	until_watching 1
	rm file
	ends # nothing is left to watch
	expect 'IGNORED +file$'
}

callbacks_() {
	mkdir one two
	mkfifo input
	exec 3<>input
	"$bin/callbacks" one two >>out 2>&1 <input 3>&- &
	pid=$!
	until_watching 2
	touch one/a
	expect '^one: here is a$'
	rm one/a
	expect '^one: gone is a$'
	rmdir two
	expect '^two: 1 events$' # IGNORED; its capture is destroyed at once, not at the end
	! printed '^one: [0-9]+ events' || die 'ended too early'
	kill -TERM "$pid"
	wait "$pid"
	rm out
	"$bin/callbacks" one >out 2>&1 </dev/null || die "returned $? at the end of its input"
	expect '^one: 0 events$'
	pid=
}

asio_() {
	tree_of asio
	sleeps
	rm -r box
	ends
	expect '^IGNORED +box$'
	rm out
	mkdir box
	start asio box
	until_watching 1
	expect '^1 s$'
	interrupt
}

qt_() {
	tree_of qt
	sleeps
	rm -r box
	ends
	expect '^IGNORED +box$'
	rm out
	mkdir box
	start qt box
	until_watching 1
	expect '^1 s$'
	interrupt
}

usage_() {
	local program status
	for program in "${built[@]}"; do
		status=0
		"$bin/$program" --nonsense >out 2>&1 || status=$?
		[ "$status" = 2 ] || die "$program returned $status"
		expect '^usage: '
		status=0
		"$bin/$program" no-such-thing >out 2>&1 </dev/null || status=$?
		[ "$status" = 1 ] || die "$program returned $status"
		expect "^$program: .*no-such-thing.*No such file or directory"
	done
}

case_() {
	local name=$1 compiler=$2 folder
	folder=$(mktemp -d "${TMPDIR:-/tmp}/asyncinotify-cpp-example-XXXXXX")
	if (
		trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null' EXIT
		cd "$folder" && "${name}_"
	); then
		echo "ok $name example [$compiler]"
		passed=$((passed + 1))
	else
		echo "FAILED $name example [$compiler]"
		failed=$((failed + 1))
	fi
	rm -rf "$folder"
}

missing() {
	echo "SKIP: $1 (install $2)"
	skipped=$((skipped + 1))
	[ "${REQUIRE_ALL:-}" != 1 ] || failed=$((failed + 1))
}

# Asio has coroutines only with compilers that it knows to have them.
has_asio() { printf '#if !__has_include(<asio.hpp>)\n#error\n#endif\n' | "$1" -fsyntax-only -x c++ - 2>/dev/null; }
asio_has_coroutines() {
	printf '#include <asio/detail/config.hpp>\n#ifndef ASIO_HAS_CO_AWAIT\n#error\n#endif\n' |
		"$1" -std=c++20 -fsyntax-only -x c++ - 2>/dev/null
}

for compiler in g++ clang++; do
	# The tests have said so.
	if ! command -v "$compiler" >/dev/null || lacks_sanitizers "$compiler"; then
		continue
	fi
	programs=(watch callbacks)
	if ! has_asio "$compiler"; then
		missing "asio [$compiler]" libasio-dev
	elif asio_has_coroutines "$compiler"; then
		programs+=(asio)
	else
		echo "note: Asio has no coroutines with $("$compiler" --version | head -n 1), so there is no asio example to build"
	fi
	if pkg-config --exists Qt6Core; then
		programs+=(qt)
	else
		missing "qt [$compiler]" qt6-base-dev
	fi
	built=()
	for program in "${programs[@]}"; do
		if make --no-print-directory -C "$here" PREFIX="$prefix" OUT="$bin" CXX="$compiler" \
			WARNINGS='-Wall -Wextra -Werror' CXXFLAGS="-O1 -g $sanitizers" -B "$bin/$program" >"$bin/log" 2>&1; then
			built+=("$program")
		else
			sed 's/^/    | /' "$bin/log" | head -n 40
			echo "FAILED $program example does not compile [$compiler]"
			failed=$((failed + 1))
		fi
	done
	for program in "${built[@]}"; do case_ "$program" "$compiler"; done
	case_ usage "$compiler"
done
echo "cpp examples: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

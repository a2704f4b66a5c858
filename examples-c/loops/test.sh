#!/usr/bin/env bash
# Tests the examples for event loops: each runs its self-test (see common.h), then again under valgrind on fewer files.
# usage: test.sh FOLDER-OF-BUILT-EXAMPLES [NAME...]
set -uo pipefail
bin=$(cd "$1" && pwd)
shift
all=(epoll-watch two-instances threads-watch uv-watch glib-watch glib-test libevent-watch sd-event-watch ev-watch uring-watch)
names=("$@")
[ $# -gt 0 ] || names=("${all[@]}")
passed=0 failed=0 skipped=0
work=$(mktemp -d "${TMPDIR:-/tmp}/asyncinotify-loops.XXXXXX")
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work LC_ALL=C

# The loop's name and version, and the package that has it.
loop_of() {
	case $1 in
	uv-*) echo "libuv $(pkg-config --modversion libuv)" ;;
	glib-*) echo "GLib $(pkg-config --modversion glib-2.0)" ;;
	libevent-*) echo "libevent $(pkg-config --modversion libevent_core)" ;;
	sd-event-*) echo "sd-event $(pkg-config --modversion libsystemd)" ;;
	uring-*) echo "liburing $(pkg-config --modversion liburing)" ;;
	ev-*) printf '#include <ev.h>\nEV_VERSION_MAJOR EV_VERSION_MINOR\n' | cc -E -P - | awk 'END { print "libev " $1 "." $2 }' ;;
	*) echo "Linux $(uname -r | cut -d. -f1,2)" ;;
	esac 2>/dev/null
}
package_of() {
	case $1 in
	uv-*) echo libuv1-dev ;;
	glib-*) echo libglib2.0-dev ;;
	libevent-*) echo libevent-dev ;;
	sd-event-*) echo libsystemd-dev ;;
	uring-*) echo liburing-dev ;;
	ev-*) echo libev-dev ;;
	esac
}

missing() {
	echo "SKIP: $1 (install $2)"
	if [ "${REQUIRE_ALL:-}" = 1 ]; then
		failed=$((failed + 1))
	else
		skipped=$((skipped + 1))
	fi
}

# attempt NAME COMMAND...: its output goes to $work/out; false if it did not pass
attempt() {
	local name=$1 status=0
	shift
	"$@" >"$work/out" 2>&1 || status=$?
	case $status in
	0)
		passed=$((passed + 1))
		return 0
		;;
	77)
		cat "$work/out"
		skipped=$((skipped + 1))
		;;
	*)
		echo "FAILED $name"
		sed 's/^/    | /' "$work/out" | tail -n 40
		failed=$((failed + 1))
		;;
	esac
	return 1
}

row() { printf '%-16s %-23s %9s %9s %13s %14s %6s\n' "$@"; }

selftest() {
	local name=$1
	if [ "$name" = glib-test ]; then
		attempt "$name" "$bin/$name" && row "$name" "$(loop_of "$name")" "$(grep -c '^ok' "$work/out") tests" '' '' '' ''
	elif attempt "$name" "$bin/$name" --selftest; then
		local woken events idle between busy
		read -r woken events idle between busy <"$work/out"
		row "$name" "$(loop_of "$name")" "$woken" "$events" "$idle" "$between" "$busy"
	fi
}

under_valgrind() {
	local name=$1 arguments=(--selftest 1000) kinds=definite,indirect,possible
	[ "$name" != glib-test ] || arguments=()
	[ "$name" != glib-watch ] || kinds=definite,indirect # GLib's signal thread never ends, and that looks like a leak
	attempt "$name under valgrind" valgrind -q --error-exitcode=99 --fair-sched=yes --leak-check=full \
		--show-leak-kinds=$kinds --errors-for-leak-kinds=$kinds \
		"$bin/$name" "${arguments[@]}" && echo "ok $name under valgrind"
}

echo 'For 10,000 files: how often the loop woke, events, wake-ups in two seconds at rest; with a timer and slow callbacks, the'
echo 'most events between two ticks, and how often a thread was told that another is taking events.'
row program loop wake-ups events 'idle wake-ups' 'between ticks' -EBUSY
available=()
for name in "${names[@]}"; do
	if [ -x "$bin/$name" ]; then
		available+=("$name")
		selftest "$name"
	else
		missing "$name" "$(package_of "$name")"
	fi
done
if command -v valgrind >/dev/null; then
	for name in "${available[@]}"; do
		under_valgrind "$name"
	done
else
	missing 'examples for event loops under valgrind' valgrind
fi
echo "event loops: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

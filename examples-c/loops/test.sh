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

# start KIND NAME COMMAND...: in the background, four at a time: most of it is waiting. Output and status go to files.
start() {
	local file=$work/$1-$2
	shift 2
	while [ "$(jobs -rp | wc -l)" -ge 4 ]; do
		wait -n
	done
	{
		"$@" >"$file.out" 2>&1
		echo $? >"$file.status"
	} &
}

# passes KIND NAME: says what there is to say of one that did not pass
passes() {
	local file=$work/$1-$2
	case $(cat "$file.status") in
	0)
		passed=$((passed + 1))
		return 0
		;;
	77) # the kernel's own, nothing that could be installed
		grep '^SKIP' "$file.out"
		skipped=$((skipped + 1))
		;;
	*)
		echo "FAILED $2 $1"
		sed 's/^/    | /' "$file.out" | tail -n 40
		failed=$((failed + 1))
		;;
	esac
	return 1
}

row() { printf '%-16s %-23s %9s %9s %13s %14s %6s\n' "$@"; }

selftest() {
	case $1 in
	glib-test) start selftest "$1" "$bin/$1" ;;
	*) start selftest "$1" "$bin/$1" --selftest ;;
	esac
}

report() {
	local woken events idle between busy
	passes selftest "$1" || return
	if [ "$1" = glib-test ]; then
		row "$1" "$(loop_of "$1")" "$(grep -c '^ok' "$work/selftest-$1.out") tests" '' '' '' ''
	else
		read -r woken events idle between busy <"$work/selftest-$1.out"
		row "$1" "$(loop_of "$1")" "$woken" "$events" "$idle" "$between" "$busy"
	fi
}

under_valgrind() {
	local arguments=(--selftest 1000) kinds=definite,indirect,possible
	[ "$1" != glib-test ] || arguments=()
	[ "$1" != glib-watch ] || kinds=definite,indirect # GLib's signal thread never ends, and that looks like a leak
	start 'under valgrind' "$1" valgrind -q --error-exitcode=99 --fair-sched=yes --leak-check=full \
		--show-leak-kinds=$kinds --errors-for-leak-kinds=$kinds "$bin/$1" "${arguments[@]}"
}

available=()
for name in "${names[@]}"; do
	if [ -x "$bin/$name" ]; then
		available+=("$name")
		selftest "$name"
	else
		missing "$name" "$(package_of "$name")"
	fi
done
with_valgrind=()
if command -v valgrind >/dev/null; then
	with_valgrind=("${available[@]}")
else
	missing 'examples for event loops under valgrind' valgrind
fi
for name in "${with_valgrind[@]}"; do
	under_valgrind "$name"
done
wait

echo 'For 10,000 files: how often the loop woke, events, wake-ups in two seconds at rest; with a timer and slow callbacks, the'
echo 'most events between two ticks, and how often a thread was told that another is taking events.'
row program loop wake-ups events 'idle wake-ups' 'between ticks' -EBUSY
for name in "${available[@]}"; do
	report "$name"
done
for name in "${with_valgrind[@]}"; do
	passes 'under valgrind' "$name" && echo "ok $name under valgrind"
done
echo "event loops: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

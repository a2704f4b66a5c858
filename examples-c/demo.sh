#!/usr/bin/env bash
# `make run`: shows the library at work.
# usage: demo.sh FOLDER-OF-BUILT-EXAMPLES [DIRECTORY]
# With a directory: prints its tree's events until Ctrl-C. Without: changes a tree of its own step by step and shows the
# events of each step as `tree` prints them; ends by itself, and fails if an event is missing.
set -euo pipefail
tree=$1/tree

if [ -n "${2-}" ]; then
	exec "$tree" --background "$2"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/asyncinotify-demo.XXXXXX")
pid=
finish() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
mkdir "$work/away"
cd "$work"
mkdir -p shop/orders/old
echo 1 >shop/orders/1.txt
[ -t 1 ] && bold=$'\e[1m' plain=$'\e[0m' || bold='' plain=''

printf '%s$ tree --list shop%s\n' "$bold" "$plain"
case $tree in /*) ;; *) tree=$OLDPWD/$tree ;; esac
"$tree" --list shop >events 2>&1 &
pid=$!
shown=0

new() { tail -n +$((shown + 1)) events; }
told() { new | grep -E -- "$1" >/dev/null; }

# until_ok WHAT COMMAND...: until it succeeds, with a generous time-out
until_ok() {
	local what=$1 deadline=$((SECONDS + 60))
	shift
	until "$@"; do
		if [ "$SECONDS" -ge "$deadline" ] || ! kill -0 "$pid" 2>/dev/null; then
			new
			echo "demo: not told: $what" >&2
			exit 1
		fi
		sleep 0.02
	done
}

# Shows the new lines once one of them matches.
show() {
	until_ok "$1" told "$1"
	new
	shown=$(wc -l <events)
}

step() {
	printf '\n%s$ %s%s\n' "$bold" "$1" "$plain"
	eval "$1"
	show "$2"
}

show '\[complete\]'
step 'echo "a pair of boots" > shop/orders/2.txt' 'CLOSE_WRITE +shop/orders/2.txt'
step 'mkdir -p shop/a/b/c && echo made at once > shop/a/b/c/leaf' 'CLOSE_WRITE +shop/a/b/c/leaf'
step 'mv shop/a shop/orders/renamed' 'MOVED_TO\|ISDIR +shop/orders/renamed +\(was shop/a\)'
step 'echo by its new path > shop/orders/renamed/b/c/leaf' 'CLOSE_WRITE +shop/orders/renamed/b/c/leaf'
step 'mv shop/orders/renamed away' 'MOVED_FROM\|ISDIR +shop/orders/renamed'
step 'mv away/renamed shop/back' 'CLOSE_WRITE +shop/back/b/c/leaf'
step 'chmod 600 shop/orders/1.txt && rm -r shop/back' 'DELETE\|ISDIR +shop/back$'

# The burst: 4000 directories and 1000 files at once, as when an archive is unpacked.
mkdir -p away/d{1..1000}/a/b/c
for i in {1..1000}; do echo "$i" >"away/d$i/a/b/c/leaf"; done
tar -cf away.tar -C away .
printf '\n%s$ tar -xf away.tar -C shop && touch shop/last%s\n' "$bold" "$plain"
tar -xf away.tar -C shop && touch shop/last

# What a scan finds may be told after `last`: a directory is watched when `tree` comes to it, and tar does not wait.
leaves() { grep -E 'CLOSE_WRITE +shop/d[0-9]+/a/b/c/leaf$' burst; }
all_heard() {
	new >burst
	heard=$(leaves | awk '{ print $NF }' | sort -u | wc -l)
	[ "$heard" = 1000 ] && grep -qE 'CLOSE_WRITE +shop/last' burst
}
until_ok '1000 files and shop/last' all_heard
echo "  $heard of 1000 files were reported by their full path, $(leaves | grep -c '^+' || true) found by scanning (+)"

printf '\n%s^C%s\n' "$bold" "$plain"
kill -INT "$pid"
wait "$pid"
pid=
tail -n 1 events
printf '\nNow a tree of yours: make run DIR=/some/dir\n'

#!/usr/bin/env bash
# Tests the examples: each runs on real files, its output is checked, and it ends by SIGINT. Then all again under
# valgrind, where it is installed: no error, no leak.
# usage: test.sh FOLDER-OF-BUILT-EXAMPLES [NAME...]
set -uo pipefail
bin=$(cd "$1" && pwd) || exit
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
shift
cases=("$@")
[ $# -gt 0 ] || cases=(usage errors watch poll_loop epoll_loop callbacks blocking threads tree tree_progress tree_trouble mirror
	mirror_renames mirror_overflow mirror_trouble demo)
runner=() under='' seconds=60
passed=0 failed=0
export LC_ALL=C

# Each case runs in a subshell, in a folder of its own. `start` runs a program in the background with its output in the
# file `out`; the first thing that fails ends the case.
die() {
	echo "    $*"
	[ ! -s out ] || sed 's/^/    | /' out | tail -n 40
	exit 1
}

pid=
start() {
	local program=$1
	shift
	"${runner[@]}" "$bin/$program" "$@" >>out 2>&1 &
	pid=$!
}

# Without these capabilities permissions are for root too.
without=-dac_override,-dac_read_search
confine() {
	[ "$(id -u)" != 0 ] || runner=(setpriv "--bounding-set=$without" "--inh-caps=$without" "${runner[@]}")
}

# until_ok COMMAND...: until it succeeds, with a generous time-out
until_ok() {
	local deadline=$((SECONDS + seconds))
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.02
	done
}

printed() { grep -Eqs -- "$1" out; }
expect() { until_ok printed "$1" || die "not printed: $1"; }
never() { ! printed "$1" || die "printed: $1"; }
# The kernel watches that the started program holds now.
kernel_watches() { cat "/proc/$pid/fdinfo/"* 2>/dev/null | grep -c '^inotify'; }
has_watches() { [ "$(kernel_watches)" = "$1" ]; }
until_watching() { until_ok has_watches "$1" || die "$(kernel_watches) kernel watches, not $1"; }

# end [STATUS]: SIGINT ends the program, with that status
end() {
	local status=0
	kill -INT "$pid" || die "has ended already"
	wait "$pid" || status=$?
	[ "$status" = "${1:-0}" ] || die "returned $status"
	pid=
}

usage_() {
	local program status
	for program in watch poll-loop callbacks blocking threads tree mirror; do
		status=0
		"${runner[@]}" "$bin/$program" --nonsense >out 2>&1 || status=$?
		[ "$status" = 2 ] || die "$program returned $status"
		expect '^usage: '
	done
}

# A message names the call, the path and the cause.
errors_() {
	local program status
	for program in watch poll-loop callbacks tree; do
		status=0
		"${runner[@]}" "$bin/$program" no-such-thing >out 2>&1 </dev/null || status=$?
		[ "$status" = 1 ] || die "$program returned $status"
		expect "^$program: .*no-such-thing.*No such file or directory"
	done
}

watch_() {
	mkdir box
	touch file
	start watch box file
	until_watching 2
	echo text >box/a
	expect '^CREATE +box/a$'
	expect '^CLOSE_WRITE +box/a$'
	mv box/a box/b
	expect '^MOVED_FROM +box/a$'
	expect '^MOVED_TO +box/b  \(was box/a\)$'
	mkdir box/sub
	expect '^CREATE\|ISDIR +box/sub$'
	echo more >>file
	expect '^MODIFY +file$'
	rm file
	expect '^IGNORED +file$'
	end
	start watch box
	until_watching 1
	rm -r box
	wait "$pid" || die "returned $? when nothing was left to watch"
	expect '^IGNORED +box$'
}

poll_loop_() {
	mkdir box
	mkfifo input
	exec 3<>input
	"${runner[@]}" "$bin/poll-loop" "$@" box >>out 2>&1 <input &
	pid=$!
	until_watching 1
	touch box/a
	expect '^CREATE +box/a$'
	echo hello >&3
	expect '^standard input +6 bytes$'
	rm box/a
	expect '^DELETE +box/a$'
	end
}
epoll_loop_() { poll_loop_ --epoll; }

callbacks_() {
	mkdir one two
	touch file
	start callbacks one two file
	until_watching 3
	touch one/a
	expect '^one: here is a$'
	rm one/a
	expect '^one: gone is a$'
	echo text >file
	expect '^file: written$'
	rmdir two
	expect '^two: 1 events$' # IGNORED; its data is freed at once, not at the end
	never '^one: [0-9]+ events'
	end
	expect '^one: 2 events$'
	expect '^file: 1 events$'
}

blocking_() {
	mkdir box
	start blocking box 300
	until_watching 1
	touch box/a
	wait "$pid" || die "returned $?"
	expect '^quiet after 1 events$'
	start blocking box 300
	until_watching 1
	end 1
	expect '^interrupted after 0 events$'
}

threads_() {
	mkdir one two
	mkfifo input
	exec 3<>input
	"${runner[@]}" "$bin/threads" >>out 2>&1 <input 3>&- &
	pid=$!
	echo one >&3
	expect '^watch [0-9]+ is one$'
	touch one/a
	expect '^CREATE +one/a$'
	echo no-such-thing >&3
	expect 'no-such-thing.*No such file or directory'
	echo two >&3
	expect '^watch [0-9]+ is two$'
	touch two/b
	expect '^CREATE +two/b$'
	end
	"${runner[@]}" "$bin/threads" >>out 2>&1 < <(echo one) || die "returned $? at the end of its input"
}

tree_() {
	mkdir -p box/deep/er box/skip/below outside
	touch box/deep/er/old box/skip/hidden
	start tree --list --background --exclude skip box
	expect '^  \[complete\] +box$'
	expect '^\+ CREATE\|ISDIR +box/deep/er$'
	expect '^\+ CREATE +box/deep/er/old$'
	has_watches 3 || die "$(kernel_watches) kernel watches: the excluded directory costs one"
	mkdir -p box/x/y/z && echo >box/x/y/z/leaf
	expect '^[+ ] CLOSE_WRITE +box/x/y/z/leaf$'
	mv box/x box/deep/moved
	expect '^  MOVED_TO\|ISDIR +box/deep/moved  \(was box/x\)$'
	echo >box/deep/moved/y/z/leaf2
	expect '^[+ ] CLOSE_WRITE +box/deep/moved/y/z/leaf2$'
	touch box/skip/below/unseen
	mv box/deep/moved outside
	expect '^  MOVED_FROM\|ISDIR +box/deep/moved'
	until_watching 3
	touch box/last
	expect '^[+ ] CLOSE_WRITE +box/last$'
	never 'hidden|unseen|below'
	end
	expect '^3 directories watched, [1-9][0-9]* events, 0 errors, 0 overflows$'
	rm -r out
	start tree box
	until_watching 5
	rm -r box
	wait "$pid" || die "returned $? when no tree was left"
	expect '^0 directories watched'
}

# A terminal gets a progress line, and it is wiped out in the end.
tree_progress_() {
	local i
	for i in {1..300}; do mkdir -p "box/$i/"{1..10}; done
	mkfifo input
	exec 3<>input
	script -qefc "'$bin/tree' --background box" out >/dev/null 2>&1 <input &
	pid=$!
	expect '\[complete\] +box'
	printf '\003' >&3 # Ctrl-C, as the terminal turns it into SIGINT
	wait "$pid" || die "returned $?"
	expect '3301 directories watched'
	pid=
}

tree_trouble_() {
	confine
	mkdir -p box/open box/closed
	touch box/closed/inside
	chmod 000 box/closed
	start tree --list box
	expect '^  \[error\] +box/closed: Permission denied$'
	expect '^  \[complete\] +box$'
	never 'inside'
	chmod 755 box/closed
	expect '^  \[healed\] +box/closed$'
	printed '^\+ CREATE +box/closed/inside$' || die 'healed before its content was told'
	end
	expect '^3 directories watched, [1-9][0-9]* events, 1 errors, 0 overflows$'
}

# Types, modes, names and targets of links first; then what is in files (for diff, two pipes are different).
listing() { (cd "$1" && find . -name '.mirror-*' -prune -o -printf '%y %m %P %l\n' | sort) 2>/dev/null; }
same() {
	diff <(listing source) <(listing copy) >difference &&
		! diff -r --no-dereference -x '.mirror-*' source copy 2>&1 | grep -v ' is a fifo while ' >difference
}
until_same() { until_ok same || die "$(head -n 40 difference)"; }

mirror_() {
	mkdir -p source/a/b
	echo 1 >source/a/b/1
	ln -s a/b source/link
	start mirror source copy
	expect '^in step$'
	until_same
	mkdir -p source/x/y/z && echo 2 >source/x/y/z/2
	until_same
	echo more >>source/a/b/1
	until_same
	chmod 751 source/a
	chmod 640 source/a/b/1
	until_same
	truncate -s 1 source/a/b/1
	until_same
	ln source/a/b/1 source/a/second
	ln -sfn elsewhere source/link
	mkfifo source/pipe
	until_same
	rm -r source/x source/link
	mkdir source/link
	until_same
	printf 'odd' >"$(printf 'source/\377 odd\nname')"
	until_same
	end
	[ -z "$(find copy -name '.mirror-*')" ] || die 'the hidden folder was left behind'
	expect '^[1-9][0-9]* events, 0 overflows, 0 failures$'
	# What changed meanwhile is found at the next start.
	"${runner[@]}" "$bin/mirror" source copy >out 2>&1 && die 'took a copy that is not empty'
	echo 3 >source/3
	rm -r source/a/b
	start mirror --update source copy
	until_same
	end
}

mirror_renames_() {
	local i
	mkdir -p source/d0/sub outside
	echo 0 >source/d0/sub/f
	start mirror source copy
	expect '^in step$'
	until_same
	for i in {1..200}; do
		mv "source/d$((i - 1))" "source/d$i"
		echo "$i" >"source/d$i/sub/f"
		mkdir -p "source/d$((i - 1))/sub"
		echo "$i again" >"source/d$((i - 1))/sub/f"
		mv "source/d$i" source/tmp && mv "source/d$((i - 1))" "source/other$i" && mv source/tmp "source/d$i"
	done
	until_same
	mv source/d200 outside
	mv source/other1 source/other2 # into it
	until_same
	mv outside/d200 source/other3/sub/back
	echo one >source/1 && echo two >source/2 && mv source/1 source/2
	until_same
	end
	expect ', 0 overflows, 0 failures$'
	never 'comparing all'
}

# The mirror is stopped while more happens than the kernel's queue holds.
mirror_overflow_() {
	local mode i
	mkdir -p source/{1..20}/sub source/gone/by/then
	touch source/{1..20}/sub/file{1..100} source/gone/by/then/file
	start mirror source copy
	expect '^in step$'
	until_same
	kill -STOP "$pid"
	for ((i = 0; i <= $(cat /proc/sys/fs/inotify/max_queued_events) / 2000; i++)); do
		mode=$((i % 2 ? 600 : 644))
		chmod "$mode" source/{1..20}/sub/*
	done
	rm -r source/gone source/1/sub
	mv source/2 source/gone
	mkdir -p source/gone/new/deep
	echo text | tee source/gone/new/deep/file source/3/sub/file1 >/dev/null
	ln -sf nowhere source/3/sub/file2
	kill -CONT "$pid"
	expect 'events were lost'
	until_same
	touch source/gone/last
	until_same
	end
	expect '^[1-9][0-9]* events, [1-9][0-9]* overflows, 0 failures$'
}

mirror_trouble_() {
	confine
	mkdir -p source/closed/deep
	echo 1 >source/closed/deep/1
	chmod 000 source/closed
	start mirror source copy
	expect "^mirror: can't watch source/closed: Permission denied$"
	expect '^in step$'
	chmod 755 source/closed
	expect '^mirror: source/closed is watched again$'
	until_same
	end
	expect '^[1-9][0-9]* events, 0 overflows, 0 failures$'
	# What the copy has of it already is not true for ever.
	chmod 000 source/closed
	rm out
	start mirror --update source copy
	expect '^in step$'
	until_ok [ ! -e copy/closed/deep ] || die 'what is not watched is still in the copy'
	[ -d copy/closed ] || die 'the directory is gone from the copy'
	end 1
	expect '^mirror: could not watch source/closed: Permission denied$'
	expect '^[1-9][0-9]* events, 0 overflows, 1 failures$'
}

demo_() { "$here/demo.sh" "$bin" >out 2>&1 </dev/null && expect '1000 of 1000 files'; }

run_cases() {
	local name folder began
	for name in "${cases[@]}"; do
		began=$SECONDS
		folder=$(mktemp -d "${TMPDIR:-/tmp}/asyncinotify-example.XXXXXX")
		if (
			trap '[ -z "$pid" ] || { kill -CONT "$pid"; kill -KILL "$pid"; } 2>/dev/null' EXIT
			cd "$folder" && "${name}_"
		); then
			echo "ok $name$under ($((SECONDS - began)) s)"
			passed=$((passed + 1))
		else
			echo "FAILED $name$under"
			failed=$((failed + 1))
		fi
		chmod -R u+rwx "$folder" && rm -rf "$folder"
	done
}

run_cases
if command -v valgrind >/dev/null; then
	runner=(valgrind -q --error-exitcode=99 --leak-check=full "--show-leak-kinds=definite,indirect,possible"
		"--errors-for-leak-kinds=definite,indirect,possible")
	under=' under valgrind' seconds=120
	mapfile -t cases < <(printf '%s\n' "${cases[@]}" | grep -vE '^(demo|tree_progress)$') # they have no runner
	run_cases
else
	echo 'SKIP: examples under valgrind (install valgrind)'
	[ "${REQUIRE_ALL:-}" != 1 ] || failed=$((failed + 1))
fi
echo "examples: $passed passed, $failed failed"
[ "$failed" = 0 ]

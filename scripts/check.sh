#!/usr/bin/env bash
# `make check`: runs check-NAME for each name given, goes on after a failure, and closes with every runner's summary
# lines, which checks failed, and how many.
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
summary='' passed=0 failed=0

for name in "$@"; do
	printf '\n== check-%s\n' "$name"
	began=$SECONDS
	if "${MAKE:-make}" --no-print-directory "check-$name" 2>&1 | tee "$log"; then
		verdict=ok passed=$((passed + 1))
	else
		verdict=FAILED failed=$((failed + 1))
	fi
	summary+="check-$name: $verdict ($((SECONDS - began)) s)"$'\n'
	summary+=$(grep -E '^(SKIP:|lint:|faults:|fuzz |ok  )|[0-9]+ passed' "$log" |
		sed 's/^/    /')$'\n'
done

printf '\n== summary\n%s' "$summary" | grep -v '^$'
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Compiles Go programs with one line of progress:
#
#   hack/compile.sh <title> <output> <ldflags> <package ...>
#
# Runs in the module of the working directory. An output that ends in / is a folder. All programs of
# the repository are compiled with the flags below: packages that several of them share, in whatever
# module, are then compiled once. -w leaves debug information out of the programs, so that the
# compiler need not write any, which is 7 % of its time.
#
# On a terminal the line is rewritten in place, elsewhere it is repeated every 30 s. What go prints
# is shown if it fails, without the names of downloaded modules and compiled packages.
set -eu

title=$1 output=$2 ldflags=$3
shift 3
export CGO_ENABLED=0
flags="-trimpath -buildvcs=false -gcflags=all=-dwarf=false"

[ -t 1 ] && terminal=yes || terminal=
work=$(mktemp -d)
child=
reporter=
started=$(date +%s)

clean_up() {
	stop "$child"
	stop "$reporter"
	rm -rf "$work"
}

stop() { [ -z "$1" ] || kill "$1" 2>/dev/null || true; }

trap clean_up EXIT
trap 'exit 130' INT TERM

seconds_since() { echo $(($(date +%s) - $1)); }

# count <pattern>: how many lines of the log match.
count() { grep -c "$1" "$work/log" || true; }

# show <line>: in place of the one before it.
show() {
	if [ -n "$terminal" ]; then
		printf '\r\033[K%s' "$1"
	else
		printf '%s\n' "$1"
	fi
}

# report <function that prints the line>: until it is killed.
report() {
	waited=0
	while sleep 1 </dev/null >/dev/null 2>&1; do
		waited=$((waited + 1))
		if [ -n "$terminal" ] || [ $((waited % 30)) -eq 0 ]; then
			show "$("$1")"
		fi
	done
}

# wait_for_child <function that prints the line>
wait_for_child() {
	report "$1" &
	reporter=$!
	status=0
	wait "$child" || status=$?
	child=
	kill "$reporter" 2>/dev/null || true
	wait "$reporter" 2>/dev/null || true
	reporter=
	[ -z "$terminal" ] || printf '\r\033[K'
	[ "$status" -eq 0 ] || fail "$status"
}

# fail <status>: shows the log, without the lines that are no errors.
fail() {
	awk -v packages="$work/packages" '
		BEGIN { while ((getline name < packages) > 0) compiled[name] }
		/^go: downloading / || $0 in compiled { next }
		{ print }' "$work/log" >&2
	printf '%s: failed after %s s\n' "$title" "$(seconds_since "$started")" >&2
	exit "$1"
}

downloading() {
	echo "$title: $(count '^go: downloading ') modules downloaded, compiling is next"
}

compiling() {
	compiled=$(count '^[^ #:]*$')
	echo "$title: $compiled of $total packages$(time_left)"
}

# time_left: the first packages say little about the time that the others take.
time_left() {
	[ $((compiled * 20)) -ge "$total" ] && [ "$compiled" -gt 0 ] || return 0
	left=$(($(seconds_since "$compile_started") * (total - compiled) / compiled))
	if [ "$left" -ge 90 ]; then
		echo ", about $(((left + 30) / 60)) min left"
	elif [ "$left" -ge 10 ]; then
		echo ", about $left s left"
	else
		echo ", linking"
	fi
}

# Lists the packages that are not in the build cache, and downloads the modules that are missing.
: >"$work/packages"
# shellcheck disable=SC2086 # several flags
go list -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' $flags "$@" >"$work/packages" 2>"$work/log" &
child=$!
wait_for_child downloading

total=$(wc -l <"$work/packages" | tr -d ' ')
compile_started=$(date +%s)
: >"$work/log"
[ "$total" -lt 50 ] || show "$(compiling)"
# shellcheck disable=SC2086
go build -v $flags -ldflags "$ldflags" -o "$output" "$@" >"$work/log" 2>&1 &
child=$!
wait_for_child compiling
printf '%s: built in %s s\n' "$title" "$(seconds_since "$started")"

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Shared by the host scripts: where things are, how to complain, how to lock.

# Scripts that source this use a subset of these variables.
# shellcheck disable=SC2034
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/buddy_pool
PROG=scripts/$(basename "$0")

# Lines in a kernel log that no test may cause (gate G0).
SPLAT='Kernel panic|BUG:|WARNING:|KASAN|KCSAN|UBSAN|KFENCE|possible (circular|recursive)'
SPLAT+='|inconsistent lock|sleeping function|scheduling while atomic|rcu.*stall'
SPLAT+='|hung task|Call Trace|refcount_t|list_(add|del) corruption|Bad page'
SPLAT+='|list_add double add|kernel BUG at|Oops|ODEBUG'
SPLAT+='|x86/PAT:.*(map pfn expected|invalid memtype)|leaked'
SPLAT+='|nonexistent resource|resource sanity check'

# show_splat LOG ALLOWED: from the first splat on that does not match ALLOWED, an ERE, some
# lines of a kernel log; fails if there is none. scripts/test repeats them at its end, which
# may be all that is seen of a run.
show_splat() {
	local first
	first=$(grep -nE "$SPLAT" "$1" | grep -vE "$2" | sed -n '1s/:.*//p') || true
	[ -n "$first" ] && sed -n "$first,+29s/^/# log: /p" "$1"
}

# depmod and modprobe are there, and not in everybody's path.
PATH+=:/usr/sbin:/sbin

# Called from make, its options and variables must not reach the makes we call.
unset MAKEFLAGS MFLAGS MAKELEVEL KBUILD_OUTPUT

die() {
	echo "$PROG: $*" >&2
	exit 1
}

note() {
	echo "$PROG: $*" >&2
}

# Prints the comment block at the top of the calling script.
usage() {
	sed -n '3,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"
}

# A new directory that goes away with the script.
make_tmpdir() {
	mkdir -p "$CACHE/tmp"
	TMP=$(mktemp -d "$CACHE/tmp/$(basename "$0").XXXXXX")
	trap 'rm -rf "$TMP"' EXIT
}

# with_lock NAME COMMAND...: one holder of NAME at a time on this machine.
with_lock() {
	local name=$1 fd
	shift
	mkdir -p "$CACHE/lock"
	exec {fd}>"$CACHE/lock/$name"
	flock "$fd"
	"$@"
	exec {fd}>&-
}

# run_logged LOG COMMAND...: quiet when it works, the end of the log when not.
run_logged() {
	local log=$1
	shift
	"$@" >"$log" 2>&1 </dev/null || {
		tail -n 40 "$log" >&2
		die "failed: $* (full log: $log)"
	}
}

# sync_tree DIR: copies the sources there, leaving what was built in DIR alone. Only what
# differs is written, with the time of now, whatever its time was: so what was built of
# the rest stays valid, and of that it does not.
sync_tree() {
	mkdir -p "$1"
	rsync -rlp --checksum --delete --filter=':- .gitignore' --exclude=/.git \
		--exclude=/.make.log "$REPO/" "$1/"
}

# pack_guest ROOT IMAGE: ROOT as an initramfs, everything owned by root. Not compressed:
# an emulated guest would spend two seconds on that.
pack_guest() {
	(cd "$1" && find . | sort | cpio -o -H newc -R 0:0 --quiet) >"$2"
}

# guest_skeleton ROOT MAIN: busybox, /init, and scripts/MAIN as what it runs.
guest_skeleton() {
	local busybox
	busybox=$(command -v busybox) || die "no busybox; run: scripts/deps vm"
	mkdir -p "$1/bin" "$1/m"
	cp "$busybox" "$1/bin/busybox"
	cp "$REPO/scripts/guest-init" "$1/init"
	cp "$REPO/scripts/$2" "$1/main"
	chmod +x "$1/init"
}

new_nonce() {
	od -An -N8 -tx8 /dev/urandom | tr -d ' '
}

# new_log_dir NAME: sets LOG to a new directory; those older than a week go.
new_log_dir() {
	mkdir -p "$CACHE/log"
	find "$CACHE/log" -ignore_readdir_race -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +
	LOG=$(mktemp -d "$CACHE/log/$1.XXXXXX")
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Helpers for the guest tests tests/vm/NAME.sh, which run under busybox sh as root
# and print KTAP. In the guest: /m the modules, /t this directory.
#
# A test starts with comments that say what machine it needs (all optional):
#   # vm-device: QEMU ARGUMENTS     may be repeated
#   # vm-append: KERNEL COMMAND LINE
#   # vm-modules: NAME...           modules of the kernel itself, loaded before
#   # vm-mem: 1G    # vm-smp: 2     # vm-timeout: 150 (seconds)
#   # vm-suite: NAME               functional, if not said
#   # vm-config: OPTION...          only on kernels with CONFIG_OPTION=y
#   # vm-qmp: FILE                  host program in tests/vm, see scripts/vm --help
#   # vm-expect-log: ERE            a kernel log line that must come and is no error
# then sources this file, plans, checks:
#   . /t/lib.sh
#   plan 2
#   check "loads" load base=0x30000000 size=64M
#   check "unloads" unload

KTAP_N=0
KTAP_FAILED=0

# plan N: say beforehand how many results will come. Else end with done_testing.
plan() {
	KTAP_N=0
	echo "1..$1"
}

done_testing() {
	echo "1..$KTAP_N"
}

ok() {
	KTAP_N=$((KTAP_N + 1))
	echo "ok $KTAP_N $*"
}

not_ok() {
	KTAP_N=$((KTAP_N + 1))
	KTAP_FAILED=$((KTAP_FAILED + 1))
	echo "not ok $KTAP_N $*"
}

diag() {
	echo "$*" | sed 's/^/# /'
}

# skip REASON: one result that was not tried.
skip() {
	ok "# SKIP $*"
}

# check DESCRIPTION COMMAND...: ok if COMMAND succeeds; its output is shown.
check() {
	_what=$1
	shift
	if "$@" >/tmp/check.out 2>&1; then
		sed 's/^\(# \)*/# /' /tmp/check.out
		ok "$_what"
	else
		sed 's/^\(# \)*/# /' /tmp/check.out
		diag "failed: $*"
		not_ok "$_what"
	fi
}

# check_fails DESCRIPTION COMMAND...: ok if COMMAND fails, but not by a signal.
check_fails() {
	_what=$1
	shift
	"$@" >/tmp/check.out 2>&1
	_status=$?
	sed 's/^\(# \)*/# /' /tmp/check.out
	if [ $_status -ne 0 ] && [ $_status -lt 126 ]; then
		ok "$_what"
	else
		diag "should have failed, status $_status: $*"
		not_ok "$_what"
	fi
}

# check_log DESCRIPTION ERE: ok if the log since dmesg_mark has exactly one such line.
check_log() {
	_lines=$(dmesg_since | grep -cE "$2")
	if [ "$_lines" = 1 ]; then
		ok "$1"
	else
		diag "$_lines log lines match '$2'; the log since the mark:"
		diag "$(dmesg_since)"
		not_ok "$1"
	fi
}

# run_ktap DESCRIPTION PROGRAM...: a program with results of its own, as a subtest.
run_ktap() {
	_what=$1
	shift
	"$@" >/tmp/ktap.out 2>&1
	_status=$?
	sed 's/^/    /' /tmp/ktap.out
	if [ $_status -eq 0 ]; then
		ok "$_what"
	else
		diag "exit status $_status"
		not_ok "$_what"
	fi
}

# dmesg_mark: dmesg_since will print what the kernel logs from here on.
dmesg_mark() {
	DMESG_MARK="mark-$$-$KTAP_N-$(cut -d' ' -f1 /proc/uptime)"
	echo "$DMESG_MARK" >/dev/kmsg
}

dmesg_since() {
	dmesg | sed "1,/$DMESG_MARK\$/d"
}

# load PARAMETER...: load our module; unload: remove it.
load() {
	insmod /m/buddy-pool.ko "$@"
}

unload() {
	rmmod buddy_pool
}

# Out-of-tree modules, last loaded first.
lsmod_ours() {
	awk '/\(.*O.*\)$/ { print $1 }' /proc/modules
}

# What a test must leave as it found it. A test that changes the machine on
# purpose (hot-unplug) calls snapshot again when nothing of ours is loaded. In
# vmallocinfo the kernel's own come and go; those of a module that is no more have an
# address for a caller.
machine_state() {
	cat /proc/iomem /proc/devices /proc/misc
	find /dev ! -path '/dev/shm/*' | sort
	ls -1 /sys/class /sys/class/misc /sys/kernel/debug /sys/kernel/slab 2>&1
	awk '/\[buddy/ || / phys=/ || $3 ~ /^0x/' /proc/vmallocinfo
	cat /sys/kernel/debug/dma_buf/bufinfo 2>&1
}

snapshot() {
	machine_state >/run/snapshot
}

snapshot_unchanged() {
	machine_state | diff -u /run/snapshot -
}

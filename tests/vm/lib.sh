# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Helpers for the guest tests tests/vm/NAME.sh, which run under busybox sh as root
# and print KTAP. In the guest: /m the modules, /t this directory.
#
# A test starts with comments that say what machine it needs (all optional):
#   # vm-like: TEST                 the same one as that test, in the same boot
#   # vm-device: QEMU ARGUMENTS     may be repeated
#   # vm-append: KERNEL COMMAND LINE
#   # vm-modules: NAME...           modules of the kernel itself, loaded before
#   # vm-image: yes                 the kernel's image is in the guest, as /t/image
#   # vm-sleeps: yes               the machine is suspended to RAM
#   # vm-disk: SIZE                 an empty disk for QEMU, in the file 'disk'
#   # vm-mem: 1G    # vm-smp: 2     # vm-timeout: 150 (seconds)
#   # vm-threads: all              QEMU emulates the CPUs at once, not in turn, and RCU takes
#                                 its own time: for races, but not where devices come and
#                                 go, see hotplug.sh
#   # vm-turn: N                  where tests take turns (scripts/vm --turn), this one does as
#                                 the N-th would: so that no turn takes longer than others,
#                                 or with one whose boot it shares
#   # vm-suite: NAME               functional, if not said
#   # vm-config: OPTION...          only on kernels with CONFIG_OPTION=y; !OPTION: without
#   # vm-control: yes               the guest may control QEMU, see qmp_start
#   # vm-qmp: FILE                  host program in tests/vm, see scripts/vm --help
#   # vm-expect-log: ERE            a kernel log line that must come and is no error
#   # vm-allow-log: ERE             one that may come and is no error
#   # vm-known-report: ERE          a report of lockdep that matches is the kernel's own,
#                                   if none of our functions takes part
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

# Where the kernel has all its checks on, a process takes a tenth of a second: this and
# what is called often makes few.
show_output() {
	[ ! -s /tmp/check.out ] || sed 's/^\(# \)*/# /' /tmp/check.out
}

# check DESCRIPTION COMMAND...: ok if COMMAND succeeds; its output is shown.
check() {
	_what=$1
	shift
	if "$@" >/tmp/check.out 2>&1; then
		show_output
		ok "$_what"
	else
		show_output
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
	show_output
	if [ $_status -ne 0 ] && [ $_status -lt 126 ]; then
		ok "$_what"
	else
		diag "should have failed, status $_status: $*"
		not_ok "$_what"
	fi
}

# check_log DESCRIPTION ERE: ok if the log since dmesg_mark has exactly one such line.
check_log() {
	_lines=$(dmesg | grep -cE "$2")
	if [ "$_lines" = 1 ]; then
		ok "$1"
	else
		diag "$_lines log lines match '$2'; the log since the mark:"
		diag "$(dmesg)"
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
	if [ $_status -ne 0 ]; then
		diag "exit status $_status"
		not_ok "$_what"
	elif ! grep -q '^ok ' /tmp/ktap.out; then
		# A filter that matches nothing is no error to the harness.
		diag "no test ran: $*"
		not_ok "$_what"
	else
		ok "$_what"
	fi
}

# points OUTPUT LIST: the points that a fault sweep counted are those in LIST, no fewer
# and no more, for no fewer calls.
points() {
	sed -n 's/^ *# points: //p' "$1" | awk -v kernel="$(uname -r | cut -d. -f1,2)" '
		FILENAME != "-" && $1 == kernel { want[$2 " " $3 " " $4] = $5 }
		FILENAME != "-" { next }
		{
			key = $1 " " $2 " " $3
			print kernel " " $0
			if (!(key in want)) {
				print "not in the list"
				different++
			} else if ($4 != want[key]) {
				print ($4 < want[key] ? "fewer" : "more") " than " want[key]
				different++
			}
			delete want[key]
		}
		END {
			for (key in want) {
				print "no longer there: " key " " want[key]
				different++
			}
			if (different) print "if that is right, record it in the list"
			exit different > 0 || !NR
		}' "$2" -
}

# dmesg_mark: dmesg will print what the kernel logs from here on. To read all of a long log
# takes a kernel that has its checks on a fifth of a second. What it logged before the first
# test is in /run/boot.log.
dmesg_mark() {
	# First: what was cut, with its end of line, is only there once another line follows.
	echo "mark after result $KTAP_N" >/dev/kmsg
	dmesg -c >/dev/null
}

# complains ERE: the one line that our modules have logged since the mark is such a line;
# with an empty ERE: there is none. What the kernel says of unknown parameters does not
# count, nor what pools say that could be made before the one that could not.
complains() {
	dmesg | ERE=$1 awk '
		!/buddy_pool: / || /unknown parameter|, min block .*, [uw][cb]$/ { next }
		{ print; n++; good += $0 ~ ENVIRON["ERE"] }
		END { exit (ENVIRON["ERE"] == "" ? n > 0 : n != 1 || good != 1) }' ||
		{ echo "wanted: ${1:-no line}" && return 1; }
}

# qmp_start: from here on, 'qmp COMMAND [ARGUMENTS]' does what QEMU calls COMMAND, such as
#   qmp device_del '"id":"card"'
# and prints the answer; qmp_stop ends that.
qmp_start() {
	QMP_N=0
	stty -F /dev/ttyS3 raw -echo
	cat /dev/ttyS3 >/run/qmp &
	QMP_READER=$!
	sleep 0.2
	qmp qmp_capabilities >/dev/null
	qmp query-status
}

qmp_stop() {
	kill "$QMP_READER"
	wait "$QMP_READER" 2>/dev/null
}

qmp() {
	QMP_N=$((QMP_N + 1))
	# What QEMU said while a machine began to run, be it this one or one that ran before it
	# was woken, may have been echoed in part. No JSON has this byte: a new text begins.
	printf '\377' >/dev/ttyS3
	echo "{\"execute\":\"$1\",\"arguments\":{$2},\"id\":$QMP_N}" >/dev/ttyS3
	within 50 grep -q "\"id\": ${QMP_N}[,}]" /run/qmp || { echo "no answer" && return 1; }
	grep "\"id\": ${QMP_N}[,}]" /run/qmp | tee /run/qmp.answer
	! grep -q '"error"' /run/qmp.answer
}

# within N COMMAND...: succeeds as soon as COMMAND does, in N tenths of a second; on a slow
# machine after N attempts. Where looking takes long, it is done less often: it keeps others
# from their work.
within() {
	_tenths=$1
	_attempts=0
	_pause=0.02
	shift
	read_uptime
	_until=$((_now + _tenths * 10))
	until "$@" >/dev/null 2>&1; do
		_attempts=$((_attempts + 1))
		[ $_attempts -lt "$_tenths" ] || [ "$_now" -lt $_until ] || return 1
		_before=$_now
		sleep $_pause
		read_uptime
		[ $((_now - _before)) -lt 6 ] || _pause=0.1
	done
}

# Sets _now, in hundredths of a second; $(...) would be a process.
read_uptime() {
	read -r _now _ </proc/uptime
	_now=${_now%.*}${_now#*.}
}

# value NAME DEFAULT: a number from the kernel command line
value() {
	sed -n "s/.*\b$1=\([0-9]*\).*/\1/p;t" /proc/cmdline | grep . || echo "$2"
}

# The card of the machine that hotplug and rivals share: ivshmem, alone
# behind the root port rp0. QEMU wants memory that no card had before.
CARD=$(cat /run/card 2>/dev/null || echo 0)
CARD_DEVICE=0000:01:00.0
CARD_SYS=/sys/bus/pci/devices/$CARD_DEVICE

card_is_gone() {
	[ ! -e $CARD_SYS ]
}

card_has_left() {
	within 150 card_is_gone && within 50 grep -q "DEVICE_DELETED.*\"card$CARD\"" /run/qmp &&
		qmp object-del "\"id\":\"shm$CARD\""
}

unplug() {
	qmp device_del "\"id\":\"card$CARD\"" && card_has_left
}

plug() {
	CARD=$((CARD + 1))
	echo $CARD >/run/card
	qmp object-add "\"qom-type\":\"memory-backend-ram\",\"id\":\"shm$CARD\",\"share\":true,\"size\":67108864" &&
		qmp device_add "\"driver\":\"ivshmem-plain\",\"memdev\":\"shm$CARD\",\"bus\":\"rp0\",\"id\":\"card$CARD\"" &&
		within 150 test -e $CARD_SYS/resource2
}

# bind [DEVICE]: as an administrator does; a driver that has the device gives it up.
bind() {
	_device=${1:-$CARD_DEVICE}
	_driver=/sys/bus/pci/devices/$_device/driver
	if [ -e "$_driver" ]; then echo "$_device" >"$_driver/unbind" || return 1; fi
	echo buddy_pool >"/sys/bus/pci/devices/$_device/driver_override" &&
		echo "$_device" >/sys/bus/pci/drivers_probe &&
		[ -c "/dev/buddy_pool/$(echo "$_device" | tr : -)" ]
}

# claims: how many ranges in /proc/iomem are ours; claimed: one is, at least
claims() {
	grep -c ' : buddy_pool ' /proc/iomem
}

claimed() {
	[ "$(claims)" != 0 ]
}

# start_gone NODE: a user with a mapped block, and a child of it (gone_test), in the
# background
start_gone() {
	rm -f /run/gone.*
	gone_test "$1" >/run/gone.out 2>&1 &
	GONE=$!
	within 100 test -e /run/gone.ready
}

# gone_finds_out: now that the device went, what the user and its child have left
gone_finds_out() {
	touch /run/gone.go
	wait "$GONE"
	_status=$?
	cat /run/gone.out
	return $_status
}

# hold_mapped NODE: somebody has a block mapped, and its file closed; until let_go
hold_mapped() {
	rm -f /run/mapped
	map_block "$1" >/run/mapped &
	HOLDER=$!
	within 100 grep -q mapped /run/mapped
}

let_go() {
	kill "$HOLDER"
	wait "$HOLDER" 2>/dev/null
	[ $? = 143 ]
}

# start_load ARGUMENT...: users at work (load_test), in the background
start_load() {
	rm -f /run/load.*
	load_test "$@" >/run/load.out 2>&1 &
	LOAD=$!
	within 300 test -e /run/load.ready
}

# load_ends: users noticed within a second, and all of them.
load_ends() {
	within 10 sh -c "! pidof load_test"
	_late=$?
	[ $_late = 0 ] || killall load_test
	wait "$LOAD"
	_status=$?
	cat /run/load.out
	[ $_late = 0 ] && [ $_status = 0 ]
}

# api GROUP PARAMETER...: the results of a group of tests/modules/, which are in the
# kernel log. Fails if one does, or if they are not as many as the plan says.
api() {
	dmesg_mark
	_group=$1
	shift
	if insmod /m/buddy_api_test.ko run="$_group" "$@"; then rmmod buddy_api_test; fi
	dmesg | sed -n 's/^.*buddy_api_test: \(KTAP\|#\|ok\|not ok\|1\.\.\)/\1/p' >/tmp/api.out
	cat /tmp/api.out
	_n=$(grep -c '^ok ' /tmp/api.out)
	[ "$_n" -gt 0 ] && grep -q "^1\.\.$_n\$" /tmp/api.out
}

# load PARAMETER...: load our module; unload: remove it.
load() {
	insmod /m/buddy-pool.ko "$@"
}

unload() {
	rmmod buddy_pool
}

is_loading() {
	grep -q '^buddy_pool .* Loading' /proc/modules
}

# start_loading PARAMETER...: the same in the background, where it takes long
start_loading() {
	insmod /m/buddy-pool.ko "$@" 2>/tmp/insmod &
	LOADER=$!
	within 50 is_loading
}

# kill_loading: succeeds if the module is gone in a second.
kill_loading() {
	kill_and_see "$LOADER" sh -c "! grep -q '^buddy_pool ' /proc/modules"
}

# kill_and_see PID COMMAND...: a child is killed; succeeds if COMMAND does in a second.
kill_and_see() {
	_pid=$1
	shift
	kill -9 "$_pid"
	within 10 "$@"
	_late=$?
	wait "$_pid" 2>/dev/null
	return $_late
}

# Out-of-tree modules, last loaded first.
lsmod_ours() {
	awk '/\(.*O.*\)$/ { print $1 }' /proc/modules
}

# vmalloc_areas AWK_PATTERN: those lines of vmallocinfo. The file is read a page at a time
# and goes on by number of line: an area in front that goes meanwhile makes it leave out
# another one. So this reads until it gets the same twice.
vmalloc_areas() {
	awk '
		function areas(all) {
			while ((getline <"/proc/vmallocinfo") > 0) if ('"$1"') all = all $0 "\n"
			close("/proc/vmallocinfo")
			return all
		}
		BEGIN {
			now = "none"
			for (n = 0; n < 9 && now != before; n++) {
				before = now
				now = areas()
			}
			printf "%s", now
		}'
}

# What a test must leave as it found it. In vmallocinfo the kernel's own come and go; those
# of a module that is no more have an address for a caller.
machine_state() {
	cat /proc/iomem /proc/devices /proc/misc /sys/kernel/debug/dma_buf/bufinfo \
		/sys/kernel/debug/x86/pat_memtype_list 2>&1
	find /dev ! -path '/dev/shm/*' | sort
	printf '%s\n' /sys/class/* /sys/class/misc/* /sys/kernel/debug/* /sys/kernel/slab/*
	# shellcheck disable=SC2016 # $3 is awk's
	vmalloc_areas '/\[buddy/ || / phys=/ || $3 ~ /^0x/'
}

# A test that changes the machine on purpose (hot-unplug) calls this again when nothing of
# ours is loaded; it fails if something is, or if memory of a module that is no more is new:
# neither would ever be missed.
snapshot() {
	touch /run/snapshot
	mv /run/snapshot /run/snapshot.before
	machine_state >/run/snapshot
	# Graphics drivers have a buddy allocator with a slab of its own.
	! grep buddy /run/snapshot | grep -vE 'slab/(gpu|drm)_buddy' || not_ok "nothing of ours is left"
	[ ! -s /run/snapshot.before ] || [ "$(orphans /run/snapshot)" = "$(orphans /run/snapshot.before)" ] ||
		not_ok "no memory of a module is left"
}

# orphans SNAPSHOT: the areas in it whose owner is no more
orphans() {
	awk '$1 ~ /^0x[0-9a-f]+-0x/ && $3 ~ /^0x/' "$1"
}

snapshot_unchanged() {
	machine_state | diff -u /run/snapshot -
}

# Tests that run in two kernels, one after the other; see kexec.sh
is_next_kernel() {
	[ "$(value next_kernel 0)" = 1 ]
}

# start_next_kernel now|panic COMMAND_LINE: the kernel that runs, with the file system that
# it started with: later ones, such as /run, come from there, too, but not what is in them
start_next_kernel() {
	(cd / && find . -xdev ! -path './run/*' | cpio -o -H newc) >/run/initrd 2>/dev/null &&
		kexec_load "$1" /t/image /run/initrd "$2 next_kernel=1"
}

# A word far from what users at work have, of the range and of the card, is as it was left.
memory_is_full() {
	_bar=$(sed -n '3s/ .*//p' /sys/bus/pci/devices/0000:00:02.0/resource)
	[ "$(devmem 0x33000000 64)" = 0xA5A5A5A5A5A5A5A5 ] &&
		[ "$(devmem $((_bar + 0x3000000)) 64)" = 0xA5A5A5A5A5A5A5A5 ]
}

# both_are_zero ROW: so is all of range and card, for who gets it; and full afterwards
both_are_zero() {
	for _pool in range card; do
		export BUDDY_POOL_NODE=/dev/buddy_pool/$_pool
		run_ktap "$1 I05 $_pool: it is zero" node_owner_test \
			-t I05_what_the_memory_held_before_is_not_shown
	done
}

# fill_or_find ROW: all blocks of both kinds of memory are zero when they are had, and
# full when they are left.
fill_or_find() {
	check "$1 loads" load base=0x30000000 size=64M pci=0000:00:02.0 bar=2 name=range,card
	both_are_zero "$1"
	check "$1 unloads" unload
	check "$1 the memory is full" memory_is_full
}

# run_last COMMAND: when all is done, with users at work
run_last() {
	cat >/run/last <<-END
		. /t/lib.sh
		load base=0x30000000 size=64M pci=0000:00:02.0 bar=2 name=range,card &&
			start_load /dev/buddy_pool/range /run/never &&
			start_load /dev/buddy_pool/card /run/never &&
			[ "\$(pidof load_test | wc -w)" -ge 10 ] || exit 1
		$1
		exit 1
	END
}

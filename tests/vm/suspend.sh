# SPDX-License-Identifier: GPL-2.0
# A machine that sleeps while programs have blocks, on both kinds of memory. The row
# of the test catalogue stands before each description. More aborted ones:
# scripts/vm --append suspend_aborts=100 suspend
#
# Not for a machine with 'vm-threads: all': each time that tasks are frozen or thawed the
# kernel patches its own code, and a CPU that is emulated at the same time could still
# have the breakpoint that stood there meanwhile, which is an oops then, or a reset.
#
# vm-like: node
# vm-sleeps: yes
# vm-config: PM_SLEEP_DEBUG
# vm-turn: 0
# vm-timeout: 300
. /t/lib.sh

DELAY=/sys/module/suspend/parameters/pm_test_delay
RTC=/sys/class/rtc/rtc0/wakealarm

# Suspends to RAM; the clock wakes the machine. An alarm that goes off before it sleeps does
# not, nor does another: so this looks how long it takes nearly to fall asleep, and back.
sleep_well() {
	read_uptime
	_start=$_now
	sleep_to core || return 1
	read_uptime
	_seconds=$((2 + (_now - _start) / 25))
	echo "awake again $_seconds s later"
	echo 0 >$RTC
	echo +$_seconds >$RTC
	echo mem >/sys/power/state
}

# sleep_to LEVEL [STATE]: goes to sleep as far as LEVEL, and comes back at once.
sleep_to() {
	_status=0
	echo "$1" >/sys/power/pm_test
	echo "${2:-mem}" >/sys/power/state || _status=1
	echo none >/sys/power/pm_test
	return $_status
}

working() {
	pidof load_test >/dev/null && ! grep '^#' /run/load.out
}

[ ! -e $DELAY ] || echo 0 >$DELAY
echo 0 >/proc/sys/debug/exception-trace
check "loads" load base=0x30000000 size=64M pci=0000:00:02.0 bar=2 name=range,card
rm -f /run/card.go
load_test /dev/buddy_pool/card /run/load.go >/run/card.out 2>&1 &
card_users=$!
check "users of the BAR are at work" within 300 test -e /run/load.ready
check "users of the range are at work" start_load /dev/buddy_pool/range /run/load.go
for level in freezer devices platform processors core; do
	check "K01 sleeps as far as $level" sleep_to $level
	check "K01 users work on" working
done

# Calls that wait, in a program of its own: the pool must be empty for its test.
wait_for_space() {
	BUDDY_POOL_RACE_SECONDS=10 race_test -t F25_nobody_waits_for_ever
	echo $? >/run/waited
}

freeze_meanwhile() {
	_n=0
	until [ -e /run/waited ]; do
		sleep_to freezer || return 1
		_n=$((_n + 1))
		sleep 0.1
	done
	echo "$_n times"
	[ $_n -ge 10 ]
}

what_they_say() {
	cat /run/wait.out
	return "$(cat /run/waited)"
}
export BUDDY_POOL_NODE=/dev/buddy_pool/range
touch /run/load.go
wait "$LOAD"
wait $card_users
check "K01 users of the BAR had their memory throughout" sh -c "cat /run/card.out; grep -q '4 of 4' /run/card.out"
check "K01 and those of the range" sh -c "cat /run/load.out; grep -q '4 of 4' /run/load.out"
rm -f /run/waited
wait_for_space >/run/wait.out 2>&1 &
check "K06 frozen ten times while calls wait" freeze_meanwhile
run_ktap "K06 all were woken, and got space" what_they_say

check "unloads" unload
check "loads with a shard for each CPU" load base=0x30000000 size=64M name=range shards=2
check "users of the range are at work" start_load /dev/buddy_pool/range /run/load.go
# QEMU's clock does not wake a machine that is only idle.
check "K01 suspends to idle, as far as it goes without waiting" sleep_to platform freeze
check "K01 users work on" working
if [ -e $RTC ]; then
	check "K02 suspends to RAM and wakes up" sleep_well
	check "K02 users work on" working
else
	skip "K02 suspends and wakes up: this kernel has no clock to wake it"
fi

# The clock's alarm goes off after the last look at what could wake the machine. On a busy
# host the emulated clock loses an alarm now and then: then it is set again.
alarm_after_last_look() {
	_count=$(cat /sys/power/wakeup_count)
	echo "$_count" >/sys/power/wakeup_count || return 1
	for _alarm in 1 2 3 4 5 6 7 8 9 10; do
		echo 0 >$RTC
		echo +1 >$RTC
		! within 30 sh -c "[ \$(cat /sys/power/wakeup_count) != $_count ]" || return 0
	done
	return 1
}

aborted() {
	_aborts=0
	for _i in $(seq "$1"); do
		alarm_after_last_look || return 1
		echo mem >/sys/power/state 2>/dev/null || _aborts=$((_aborts + 1))
	done
	echo "$_aborts of $1"
	[ $_aborts = "$1" ]
}
if [ -e $RTC ]; then
	n=$(value suspend_aborts 10)
	echo devices >/sys/power/pm_test
	check "K05 suspend is aborted $n times" aborted "$n"
	echo none >/sys/power/pm_test
	check "K05 users work on" working
else
	skip "K05 suspend is aborted: this kernel has no clock to do it"
fi

# What the machine's clock says, and how many CPUs it has, is nothing to a pool.
turmoil() {
	_now=$(date +%s)
	date -s "@$((_now + 86400 * 365))" >/dev/null && date -s "@$((_now - 86400))" >/dev/null &&
		date -s "@$_now" >/dev/null || return 1
	for _i in 1 2 3 4 5; do
		echo 0 >/sys/devices/system/cpu/cpu1/online && sleep 0.2 &&
			echo 1 >/sys/devices/system/cpu/cpu1/online || return 1
	done
}
check "K09 F23 the clock jumps, a CPU comes and goes" turmoil
check "K09 users work on" working
touch /run/load.go
wait "$LOAD"
check "K09 all had their memory throughout" sh -c "cat /run/load.out; grep -q '4 of 4' /run/load.out"
check "F23 no block was lost" buddyctl -p range alloc 64M --hold 0

check "unloads" unload

# Freeing zeroes what is free, and nothing else has to: but for what it held in sleep.
zeroed() {
	buddyctl -p pool0 alloc 16M --hold 0 >/dev/null || return 1
	buddyctl -p pool0 stats | awk '$1 == "zeroed" { print $2 }'
}
check "loads" load base=0x30000000 size=16M zero=free
check "K01 zeroed at load, and by a free" [ "$(zeroed)" = 32M ]
check "K01 sleeps as far as freezer" sleep_to freezer
check "K01 after that, for a request, too" [ "$(zeroed)" = 64M ]
check "K01 once" [ "$(zeroed)" = 80M ]
check "unloads" unload
# Going to sleep makes consoles.
snapshot
done_testing

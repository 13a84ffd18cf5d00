# SPDX-License-Identifier: GPL-2.0
# Races on the node: tests/node/race_test.c, each for 30 s. Longer or shorter, or with
# the seed of a run before: scripts/vm --append 'race_seconds=300 race_seed=1234' race
#
# Three pools are raced for at a time, so that this takes three minutes and not seven:
# no race looks beyond its own pool, and that its threads are interrupted by those of
# others, at any point, is what finds a race. Those that map are on the PCI BAR.
#
# Between them they take every pair of locks: with lockdep, on kasan-7.3, that is row
# F19; on kcsan-7.3 it is F28.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-append: memmap=128M$0x30000000
# vm-threads: all
# vm-suite: races
# vm-timeout: 600
. /t/lib.sh

seconds=$(value race_seconds 30)
seed=$(value race_seed '')
BUDDY_POOL_RACE_SECONDS=$seconds
BUDDY_POOL_KILLS=$(value race_kills 1000)
export BUDDY_POOL_RACE_SECONDS BUDDY_POOL_KILLS
[ -z "$seed" ] || export BUDDY_POOL_SEED="$seed"

# on POOL TEST...: races on that pool, one after the other, in the background.
on() {
	_pool=$1
	shift
	for _test in "$@"; do
		BUDDY_POOL_NODE=/dev/buddy_pool/$_pool race_test -t "$_test" || touch "/run/failed.$_pool"
	done >"/run/races.$_pool" 2>&1 &
}

report() {
	sed 's/^/    /' "/run/races.$1"
	if [ -e "/run/failed.$1" ]; then
		not_ok "races on $1, $seconds s each"
	else
		ok "races on $1, $seconds s each"
	fi
	check "everything came back to $1" sh -c "buddyctl -p $1 stats | grep -q '^used *0\$'"
}

# use_for_ever FILE: the module may go away only while nobody has the node open. FILE
# gets a line for each time that it was there, or was not.
use_for_ever() {
	while [ ! -e /tmp/enough ]; do
		if buddyctl -p pool0 alloc 4K --hold 0 >/dev/null 2>&1; then
			echo used
		else
			echo "not there"
		fi
	done >"$1"
}

# both_saw LINE
both_saw() {
	grep -qx "$1" /run/used.1 && grep -qx "$1" /run/used.2
}

# At least 20 times, and until both users have met what they can meet.
reload_meanwhile() {
	for _i in $(seq 200); do
		until unload 2>/dev/null; do sleep 0.01; done
		load base=0x30000000 size=64M || return 1
		[ "$_i" -lt 20 ] || ! both_saw used || ! both_saw "not there" || break
	done
	echo "$_i times"
}

echo 0 >/proc/sys/debug/exception-trace
rm -f /run/failed.*
check "loads" load base=0x30000000,0x34000000 size=64M,64M pci=0000:00:02.0 bar=2 name=low,high,card
on low B25_F02_two_threads_free_one_handle \
	D15_D23_F05_F17_everything_against_close \
	F02_F04_F17_threads_that_share_a_file \
	D16_D17_processes_killed_at_any_moment
on high F25_nobody_waits_for_ever \
	B05_F02_an_argument_that_changes_meanwhile \
	B46_a_storm_of_signals \
	B14_a_call_that_waits_for_ever_and_is_killed \
	B14_a_late_argument_is_as_good_as_any
on card B58_F29_free_against_mmap_against_the_next_owner \
	C52_C56_faults_against_munmap_free_and_fork \
	C55_one_page_for_four_threads_at_once \
	F01_F04_F17_threads_with_files_of_their_own \
	D16_D17_processes_killed_at_any_moment
wait
for pool in low high card; do report $pool; done
# So that a new race can't be left out; one runs twice.
check "every race was run" [ "$(cat /run/races.* | grep -c '^ok 1 ')" = \
	"$(($(race_test -l 2>&1 | grep -c '[A-O][0-9][0-9]_') + 1))" ]
check "unloads" unload

check "loads" load base=0x30000000 size=64M
rm -f /tmp/enough
use_for_ever /run/used.1 &
use_for_ever /run/used.2 &
check "F06 F07 open and allocate against rmmod and insmod" reload_meanwhile
touch /tmp/enough
wait
check "F06 F07 users had blocks" both_saw used
check "F06 F07 and found no module" both_saw "not there"
check "unloads" unload
done_testing

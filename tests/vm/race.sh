# SPDX-License-Identifier: GPL-2.0
# Races on the node: tests/node/race_test.c, on one pool. Longer, or with the seed
# of a run before: scripts/vm --append 'race_seconds=30 race_seed=1234' race
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-device: -device pci-testdev,membar=64M,addr=3.0
# vm-append: memmap=64M$0x30000000
# vm-modules: ahci
# vm-suite: races
# vm-timeout: 400
. /t/lib.sh

seconds=$(value race_seconds 3)
seed=$(value race_seed '')
BUDDY_POOL_RACE_SECONDS=$seconds
BUDDY_POOL_KILLS=$(value race_kills 1000)
export BUDDY_POOL_RACE_SECONDS BUDDY_POOL_KILLS
[ -z "$seed" ] || export BUDDY_POOL_SEED="$seed"

# The module may go away only while nobody has the node open.
use_for_ever() {
	while [ ! -e /tmp/enough ]; do
		buddyctl -p pool0 alloc 4K --hold 0
	done
}

reload_meanwhile() {
	for _i in $(seq 20); do
		until unload 2>/dev/null; do sleep 0.01; done
		load base=0x30000000 size=64M || return 1
	done
}

echo 0 >/proc/sys/debug/exception-trace
check "loads" load base=0x30000000 size=64M
run_ktap "races, $seconds s each" race_test
check "everything came back" sh -c "buddyctl stats | grep -q '^used *0\$'"

rm -f /tmp/enough
use_for_ever >/dev/null 2>&1 &
use_for_ever >/dev/null 2>&1 &
check "F06 F07 open and allocate against rmmod and insmod" reload_meanwhile
touch /tmp/enough
wait
check "unloads" unload
done_testing

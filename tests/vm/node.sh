# SPDX-License-Identifier: GPL-2.0
# The character device, on both kinds of memory: the C programs of tests/node.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-device: -device pci-testdev,membar=64M,addr=3.0
# vm-append: memmap=64M$0x30000000
# vm-modules: ahci
. /t/lib.sh

load_both() {
	load base=0x30000000 size=64M pci=0000:00:02.0 bar=2 name=range,card
}

# Tests that expect a segmentation fault must not fill the log.
echo 0 >/proc/sys/debug/exception-trace
check "loads" load_both
for pool in range card; do
	export BUDDY_POOL_NODE=/dev/buddy_pool/$pool
	for program in /bin/node_*_test; do
		run_ktap "$pool: ${program##*/}" "$program"
	done
done
check "unloads" unload

check "loads again over memory that was written" load_both
for pool in range card; do
	export BUDDY_POOL_NODE=/dev/buddy_pool/$pool
	run_ktap "$pool: I05 old contents" node_owner_test -t I05_what_the_memory_held_before_is_not_shown
done
check "unloads" unload
done_testing

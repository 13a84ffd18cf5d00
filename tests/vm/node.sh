# SPDX-License-Identifier: GPL-2.0
# The character device, on both kinds of memory: the C programs node_* of tests/node.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-device: -device pci-testdev,membar=64M,addr=3.0
# vm-device: -device edu,addr=4.0
# vm-append: memmap=64M$0x30000000 syscall.x32=y kunit.enable=1 kunit.autorun=1
# vm-modules: ahci configfs
# vm-timeout: 120
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
# The same calls from 32-bit processes (rows B48 and B49).
for pool in range card; do
	export BUDDY_POOL_NODE=/dev/buddy_pool/$pool
	for program in /bin/node_*_test32; do
		if [ -x "$program" ]; then
			run_ktap "B48 B49 32 bits, $pool: ${program##*/}" "$program"
		else
			skip "B48 B49: no 32-bit C library where this was built"
		fi
	done
done
check "unloads" unload

check "loads again over memory that was written" load_both
for pool in range card; do
	export BUDDY_POOL_NODE=/dev/buddy_pool/$pool
	run_ktap "$pool: I05 old contents" node_owner_test -t I05_what_the_memory_held_before_is_not_shown
done
check "unloads" unload
# Its inode must not outlive its file system, though it is the first of the pool.
elsewhere() {
	mkdir -p /tmp/elsewhere
	mount -t tmpfs none /tmp/elsewhere || return 1
	mknod -m 600 /tmp/elsewhere/node c 10 "$(awk '$2 == "buddy_pool-range" { print $1 }' /proc/misc)"
	buddyctl -p /tmp/elsewhere/node info && umount /tmp/elsewhere
}

dmesg_mark
check "D18 loads" load_both
check "D18 the file system of a node is unmounted" elsewhere
check "D18 the pool's own node works on" buddyctl -p range alloc 1M --hold 0
check "D18 unloads" unload
check_fails "D18 the kernel has nothing to say" sh -c "dmesg | grep -i 'busy inodes'"
# Four shards of 16 MiB: blocks cross from one to the next.
check "loads with shards" load base=0x30000000 size=64M name=range shards=4
export BUDDY_POOL_NODE=/dev/buddy_pool/range BUDDY_POOL_SHARDS=4
for program in span mmap alloc owner batch; do
	run_ktap "shards=4: node_${program}_test" "node_${program}_test"
done
check "unloads" unload
done_testing

# SPDX-License-Identifier: GPL-2.0
# The fault sweep of the node: tests/node/sweep_test.c. For a kernel with fault
# injection: scripts/vm --kernel kasan-7.3 sweep
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-append: memmap=64M$0x30000000
# vm-allow-log: VM_FAULT_OOM leaked out to the #PF handler
# vm-suite: sweep
# vm-timeout: 120
. /t/lib.sh

if [ ! -d /sys/kernel/debug/failslab ]; then
	skip "this kernel has no fault injection"
	done_testing
	exit
fi
check "loads" load base=0x30000000 size=64M
dmesg_mark
run_ktap "each call" sweep_test
check "each call: as many points as before" points /tmp/ktap.out /t/sweep.list
check_fails "the log says nothing of it" sh -c "dmesg | grep buddy_pool"
check "unloads" unload
done_testing

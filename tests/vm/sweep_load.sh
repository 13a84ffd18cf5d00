# SPDX-License-Identifier: GPL-2.0
# The fault sweep of loading and unloading the module, of binding and unbinding a device,
# and of a pool made at run time: tests/node/sweep_load_test.c. For a kernel that can tell
# who asks for memory.
#
# The kernel shows a stack where it can't make a slab cache.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-append: memmap=64M$0x30000000
# vm-suite: sweep
# vm-allow-log: Call Trace:
# vm-timeout: 900
. /t/lib.sh

if [ ! -e /sys/kernel/debug/failslab/require-start ]; then
	skip "this kernel can't make allocations fail by who asks"
	done_testing
	exit
fi
run_ktap "load, unload, bind, unbind, configfs" sweep_load_test
if grep -q __gcov_init /m/buddy-pool.ko; then
	skip "a module that counts its lines takes memory for that"
else
	check "as many points as before" points /tmp/ktap.out /t/sweep_load.list
fi
done_testing

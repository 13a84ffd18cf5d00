# SPDX-License-Identifier: GPL-2.0
# This kernel starts the next one while programs have blocks; that one makes a pool of
# the same memory, in which all is as they left it. The test runs in both of them. The
# row of the test catalogue stands before each description.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-image: yes
# vm-append: memmap=64M$0x30000000 crashkernel=256M
# vm-config: KEXEC_FILE
# vm-timeout: 60
. /t/lib.sh

if is_next_kernel; then
	check "K07 the next kernel finds the memory full" memory_is_full
else
	# shellcheck disable=SC2016 # for later
	run_last 'start_next_kernel now "$(cat /proc/cmdline)"'
fi
fill_or_find K07
done_testing

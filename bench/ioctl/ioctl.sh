# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What calls cost, in a guest with Debian's own kernel: run by scripts/bench-ioctl.
#
# vm-append: memmap=256M$0x20000000
# vm-timeout: 120
. /t/lib.sh

milliseconds=$(sed -n 's/.*\bbench_ms=\([0-9]*\).*/\1/p' /proc/cmdline)

check "loads" load base=0x20000000 size=256M zero=never
dmesg_mark
check "measures pairs in the kernel" insmod /m/buddy-bench-pair.ko where=stock-6.1
diag "$(dmesg | grep -o 'bench|.*')"
check "measures calls" ioctl_cost /dev/buddy_pool/pool0 "${milliseconds:-5000}" stock-6.1
check "unloads the measure" rmmod buddy_bench_pair
check "unloads" unload
done_testing

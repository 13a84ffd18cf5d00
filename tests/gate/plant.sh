# SPDX-License-Identifier: GPL-2.0
# Plants one fault, named on the kernel command line. Run by scripts/gate, which
# expects that the run fails; with 'nothing', that it does not. So each boot on a kernel
# that has them covers KCSAN (F28), debug objects and lists (G23) and kmemleak (G26).
#
# vm-append: memmap=64M$0x30000000
. /t/lib.sh

plan 2
# shellcheck disable=SC2154 # from the kernel command line
check "plants: $bp_plant" insmod /m/buddy_gate.ko plant="$bp_plant"
check "unloads" rmmod buddy_gate

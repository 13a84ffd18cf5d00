# SPDX-License-Identifier: GPL-2.0
# Mistakes that only a debug kernel can find: the kernel's own checks say so.
#
# vm-config: KASAN
# vm-config: DEBUG_ATOMIC_SLEEP
# vm-expect-log: BUG: sleeping function called from invalid context
# vm-expect-log: BUG: KASAN: (slab-)?use-after-free in buddy_pool_alloc
# vm-expect-log: Call Trace:
. /t/lib.sh

check "loads" load
run_ktap "M11 a call that may sleep where it must not" api sleep
run_ktap "M14 use after put" api use_after_put
check "unloads" unload
done_testing

# SPDX-License-Identifier: GPL-2.0
# Very many devices, persistent memory, and memory that the kernel was told not to
# use. The row of the test catalogue stands before each description.
#
# vm-like: pcie
. /t/lib.sh

DRIVER=/sys/bus/pci/drivers/buddy_pool

pools() {
	find /dev/buddy_pool -type c | wc -l
}

devices() {
	grep -l 0x1b36 /sys/bus/pci/devices/*/vendor | wc -l
}

bind_all() {
	echo '1b36 0005' >$DRIVER/new_id
	diag "$(devices) devices, $(pools) pools"
	[ "$(pools)" = 32 ]
}

use_all() {
	for node in /dev/buddy_pool/*; do
		buddyctl -p "$node" alloc 1M --hold 0 || return 1
	done
}

check "A48 loads" load
check "A48 32 devices are bound at once" bind_all
check "A48 each has a pool of its own" use_all
check "A48 unloads" unload
check "A48 all are without a driver" sh -c "! ls -d /sys/bus/pci/devices/0000:00:0[89ab].*/driver"
check "A48 none is enabled" sh -c "! grep -v 0 /sys/bus/pci/devices/0000:00:0[89ab].*/enable"

list=0000:00:08.0
bars=2
for path in $(find /sys/bus/pci/devices/0000:00:0[89ab].* | sort | sed -n 2,16p); do
	list=$list,${path##*/}
	bars=$bars,2
done
check "A48 16 by parameters" load "pci=$list" bar=$bars
check "A48 each has a pool" [ "$(pools)" = 16 ]
check "A48 each works" use_all
check "unloads" unload
check_fails "A48 17 are too many" load "pci=$list,0000:00:0b.7" bar=$bars,2

# The line below is its driver's, as 'namespace0.0'.
if grep -A 1 '20000000-23ffffff : Persistent Memory' /proc/iomem | grep -q '^  '; then
	check_fails "A25 persistent memory is not ours" load base=0x20000000 size=1M
	check "A25 the log says whose" sh -c "dmesg | grep 'buddy_pool: .*0x20000000.* is in use'"
else
	skip "A25 persistent memory: this kernel has no driver for it"
fi

# Beyond mem= the kernel has no struct page; what is there is memory all the same.
check "A27 loads over memory without struct page" load base=0x30000000 size=64M
check "A27 it can be had" buddyctl alloc 64M --hold 0
check "A27 a block can be written and read" first_block
check "unloads" unload
done_testing

# SPDX-License-Identifier: GPL-2.0
# A card that is pulled out under its users and plugged in again, that is reset, and
# whose BAR does not answer. The guest plays the other side as well, over QEMU's
# control socket. The row of the test catalogue stands before each description.
# More cycles: scripts/vm --append hotplug_cycles=200 hotplug
#
# Not for a machine with 'vm-threads: all': when a card begins or ceases to decode its
# addresses, QEMU 7.2 can leave the other CPU without a timer for ever, which ends in an RCU
# stall. Our module need not be there: to switch a BAR on and off in a loop does it. It
# seems that the map of the memory changes while that CPU writes to its interrupt controller.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm0
# vm-device: -device pcie-root-port,id=rp0,chassis=1,slot=1,addr=4.0
# vm-device: -device ivshmem-plain,memdev=shm0,bus=rp0,id=card0
# vm-append: memmap=64M$0x30000000
# vm-mem: 1G,slots=2,maxmem=4G
# vm-modules: pci-stub vfio-pci
# vm-control: yes
# vm-config: HOTPLUG_PCI_ACPI
# vm-turn: 1
# vm-timeout: 240
. /t/lib.sh

DEVICE=$CARD_DEVICE
SYS=$CARD_SYS
NODE=/dev/buddy_pool/card

# What a card that comes and goes must not leave more of, time after time
kernel_objects() {
	{ cat /proc/devices /proc/misc && ls /sys/class/misc /sys/kernel/slab /sys/bus/pci/devices &&
		sed 's/^ *[0-9a-f]*-[0-9a-f]*//' /proc/iomem && vmalloc_areas '/\[buddy/' | wc -l; } | md5sum
}

slab_kib() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk '$1 == "SUnreclaim:" { print $2 }' /proc/meminfo
}

echo 0 >/proc/sys/debug/exception-trace
check "the guest can control QEMU" qmp_start
check "loads" load pci="$DEVICE" bar=2 name=card
check "J01 the BAR is claimed" claimed
check "J01 unplugged while idle" unplug
check "J01 the node is gone" [ ! -e $NODE ]
check_fails "J01 so is the claim" claimed
check "plugged in again" plug
check "unloads" unload

check "loads" load pci="$DEVICE" bar=2 name=card
check "J02 J03 a user has a block mapped, and a child" start_gone $NODE
check "J02 unplugged" unplug
check "J02 plugged in again while the old file is open" plug
check "J02 bound: a new pool" bind
check "J02 the new pool is whole" buddyctl -p 0000-01-00.0 alloc 64M --hold 0
run_ktap "J02 the old file and the old mappings are dead for ever" gone_finds_out

check "J03 users are at work" start_load /dev/buddy_pool/0000-01-00.0
check "J03 J26 F09 F10 unplugged under load" unplug
check "J03 each user gets ENODEV or SIGBUS within a second" load_ends
check "plugged in again" plug

one_cycle() {
	bind && start_load /dev/buddy_pool/0000-01-00.0 && unplug && load_ends && plug
}

cycles() {
	_i=0
	while [ $_i -lt "$1" ]; do
		one_cycle >/run/cycle.out 2>&1 || { cat /run/cycle.out && return 1; }
		_i=$((_i + 1))
	done
}

check "J06 unplugged 5 times, to begin with" cycles 5
objects=$(kernel_objects)
before=$(slab_kib)
n=$(value hotplug_cycles 20)
check "J06 unplugged under load $n times" cycles "$n"
check "J06 there are as many objects as before" [ "$(kernel_objects)" = "$objects" ]
after=$(slab_kib)
diag "slab: $before KiB, then $after KiB"
check "J06 the kernel's slabs have not grown" [ "$after" -lt $((before + 1024 + n * 4)) ]

check "bound" bind
NODE=/dev/buddy_pool/0000-01-00.0
check "J10 users are at work" start_load $NODE /run/load.go
reset() {
	cat "$SYS"/reset_method
	echo 1 >"$SYS"/reset
}
dmesg_mark
check "J10 the slot is reset under them" reset
check_log "J10 the log says so" 'buddy_pool: 0000-01-00\.0: .* was reset'
sleep 1
touch /run/load.go
check "J10 for users it did not happen: their accesses waited" load_ends

check "unloads" unload
check "loads" load zero=free
check "bound" bind
export BUDDY_POOL_RESET="$SYS"/reset BUDDY_POOL_NODE=$NODE
run_ktap "J10 reset while memory is zeroed" reset_test
unset BUDDY_POOL_NODE
check "unloads" unload
check "loads" load
check "bound" bind

# The memory bit of the command register, as setpci does it
decode() {
	# shellcheck disable=SC2059 # it makes the byte
	printf "$1" | dd of="$SYS"/config bs=1 seek=4 conv=notrunc 2>/dev/null
}
check "J09 a user has a block mapped" start_gone $NODE
check "J09 the BAR is switched off under it" decode '\000'
check "J07 a new block is had all the same: nothing is read" buddyctl -p $NODE alloc 1M --hold 0
check "J07 the whole rest can be had" buddyctl -p $NODE alloc 32M --hold 0
check "J07 statistics are right" sh -c "buddyctl -p $NODE stats | grep -q '^used *1M\$'"
check "J09 unplugged like that" unplug
run_ktap "J09 what the user has left" gone_finds_out
check "plugged in again" plug

# There is a window for the slot, but none of that size.
check "J24 unplugged" unplug
check "J24 a card of 1 TiB is plugged in" qmp device_add \
	'"driver":"pci-testdev","membar":1099511627776,"bus":"rp0","id":"giant"'
check "J24 it is found" within 50 test -e "$SYS"/driver_override
check "unloads" unload
dmesg_mark
check_fails "J24 it can't be had" finsmod /m/buddy-pool.ko pci="$DEVICE" bar=2
# Some kernels keep what a BAR without an address was, others do not.
check_log "J24 the log says why" "buddy_pool: .*: BAR 2 of $DEVICE (has no address|does not exist)"
check "J24 it is unplugged" qmp device_del '"id":"giant"'
check "J24 it is gone" within 50 card_is_gone
check "a card that fits is plugged in" plug

# Memory for the machine, just where a pool has its range, and then beside it
add_memory() {
	qmp object-add "\"qom-type\":\"memory-backend-ram\",\"id\":\"$1-memory\",\"size\":134217728" &&
		qmp device_add "\"driver\":\"pc-dimm\",\"memdev\":\"$1-memory\",\"id\":\"$1\""
}
has_memory() {
	grep -qE "^$1-[0-9a-f]* : System RAM" /proc/iomem
}
check "K10 loads where memory can be added" load base=0x100000000 size=64M
check "K10 memory is added" add_memory dimm0
sleep 2
check_fails "K10 the kernel does not get it" has_memory 100000000
check "K10 the pool has its range" buddyctl alloc 64M --hold 0
check "unloads" unload
check "K10 memory is added elsewhere" add_memory dimm1
if grep -q 'acpi_memory_device_add$' /proc/kallsyms; then
	check "K10 the kernel gets that" within 100 has_memory 108000000
else
	skip "K10 the kernel gets that: this kernel can't"
fi

check "the card of the beginning is as good as new" load pci="$DEVICE" bar=2
check "unloads" unload
qmp_stop
snapshot
done_testing

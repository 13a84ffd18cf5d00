# SPDX-License-Identifier: GPL-2.0
# What PCI Express adds: slots with a button and a switch of their own, function level
# reset, power states, errors on the bus. The row of the test catalogue stands before
# each description.
#
# vm-device: -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm0
# vm-device: -device pcie-root-port,id=rp0,chassis=1,slot=1,addr=4.0
# vm-device: -device ivshmem-plain,memdev=shm0,bus=rp0,id=card0
# vm-device: -device pcie-root-port,id=rp1,chassis=2,slot=2,addr=5.0
# vm-device: -device virtio-rng-pci,bus=rp1,id=rng,aer=on
# vm-device: -device pcie-root-port,id=rp2,chassis=3,slot=3,addr=6.0
# vm-device: -device virtio-rng-pci,bus=rp2,id=rng0,aer=on,multifunction=on,addr=0.0
# vm-device: -device virtio-rng-pci,bus=rp2,id=rng1,aer=on,addr=0.1
# The rest is for many.sh: 32 devices, and memory beyond that of the kernel.
# vm-device: -device pci-testdev,membar=1M,addr=8.0,multifunction=on -device pci-testdev,membar=1M,addr=8.1 -device pci-testdev,membar=1M,addr=8.2 -device pci-testdev,membar=1M,addr=8.3
# vm-device: -device pci-testdev,membar=1M,addr=8.4 -device pci-testdev,membar=1M,addr=8.5 -device pci-testdev,membar=1M,addr=8.6 -device pci-testdev,membar=1M,addr=8.7
# vm-device: -device pci-testdev,membar=1M,addr=9.0,multifunction=on -device pci-testdev,membar=1M,addr=9.1 -device pci-testdev,membar=1M,addr=9.2 -device pci-testdev,membar=1M,addr=9.3
# vm-device: -device pci-testdev,membar=1M,addr=9.4 -device pci-testdev,membar=1M,addr=9.5 -device pci-testdev,membar=1M,addr=9.6 -device pci-testdev,membar=1M,addr=9.7
# vm-device: -device pci-testdev,membar=1M,addr=a.0,multifunction=on -device pci-testdev,membar=1M,addr=a.1 -device pci-testdev,membar=1M,addr=a.2 -device pci-testdev,membar=1M,addr=a.3
# vm-device: -device pci-testdev,membar=1M,addr=a.4 -device pci-testdev,membar=1M,addr=a.5 -device pci-testdev,membar=1M,addr=a.6 -device pci-testdev,membar=1M,addr=a.7
# vm-device: -device pci-testdev,membar=1M,addr=b.0,multifunction=on -device pci-testdev,membar=1M,addr=b.1 -device pci-testdev,membar=1M,addr=b.2 -device pci-testdev,membar=1M,addr=b.3
# vm-device: -device pci-testdev,membar=1M,addr=b.4 -device pci-testdev,membar=1M,addr=b.5 -device pci-testdev,membar=1M,addr=b.6 -device pci-testdev,membar=1M,addr=b.7
# vm-append: mem=768M memmap=64M!0x20000000
# vm-modules: nd_e820 nd_pmem configfs
# vm-control: yes
# Linux 7.3's pciehp takes two of its locks in either order.
# vm-known-report: &ctrl->reset_lock
# vm-config: PCIEAER
# vm-config: PCIEASPM
# vm-timeout: 120
. /t/lib.sh

# Stands for a card with all that PCI Express has: 16 KiB of prefetchable memory.
DEVICE=0000:02:00.0
SYS=/sys/bus/pci/devices/$DEVICE
NODE=/dev/buddy_pool/0000-02-00.0
# The same, with a sister that has another driver
TWIN=0000:03:00.0
TWIN_NODE=/dev/buddy_pool/0000-03-00.0
SISTER=0000:03:00.1
SLOT=$(grep -lx 0000:01:00 /sys/bus/pci/slots/*/address | head -n 1)
SLOT=${SLOT%/address}

# config OFFSET: a byte of the device's configuration, as a number
config() {
	echo $((0x$(dd if=$SYS/config bs=1 skip="$1" count=1 2>/dev/null | xxd -p)))
}

# config_write OFFSET BYTE, the byte in octal
config_write() {
	# shellcheck disable=SC2059 # it makes the byte
	printf "\\$2" | dd of=$SYS/config bs=1 seek="$1" conv=notrunc 2>/dev/null
}

# Offset of the capability $1
capability() {
	_at=$(config 52)
	until [ "$_at" = 0 ] || [ "$(config "$_at")" = "$1" ]; do _at=$(config $((_at + 1))); done
	[ "$_at" != 0 ] && echo "$_at"
}

# bars DEVICE: the addresses that the device itself has, as its registers have them
bars() {
	dd if="/sys/bus/pci/devices/$1/config" bs=4 skip=4 count=6 2>/dev/null | xxd -p
}

bars_are() {
	bars "$1"
	[ "$(bars "$1")" = "$2" ]
}

decodes() {
	[ $(($(config 4) & 2)) = 2 ]
}

echo 0 >/proc/sys/debug/exception-trace
check "the guest can control QEMU" qmp_start

# A device that was left asleep; bind.sh has one that was left off.
check "loads as a library" load
power=$(capability 1)
config_write $((power + 4)) 3
check "A47 the device is in D3hot" [ $(($(config $((power + 4))) & 3)) = 3 ]
check "A47 binds" bind $DEVICE
check "A47 the BAR is on" decodes
check "A47 the device is in D0" [ $(($(config $((power + 4))) & 3)) = 0 ]
check "A47 a block can be had" buddyctl -p $NODE alloc 16K --hold 0

check "J11 a user has a block mapped" hold_mapped $NODE
check "J11 runtime power management is allowed" sh -c "echo auto >$SYS/power/control"
sleep 1
check "J11 the device stays awake" [ "$(cat $SYS/power/runtime_status)" = active ]
check "J11 in D0" [ "$(cat $SYS/power_state)" = D0 ]
check "J11 the user had it until now" let_go

# shellcheck disable=SC2013 # words
for method in $(cat $SYS/reset_method); do
	dmesg_mark
	check "J10 a user has a block mapped" hold_mapped $NODE
	check "J10 reset by $method" sh -c "echo $method >$SYS/reset_method && echo 1 >$SYS/reset"
	check_log "J10 the log says so" 'buddy_pool: 0000-02-00\.0: .* was reset'
	check "J10 the BAR is on" decodes
	check "J10 another block can be had" buddyctl -p $NODE alloc 4K --hold 0
	check "J10 the user had its mapping until now" let_go
done
echo >$SYS/reset_method

# An error on the link; QEMU plays the device's part. Then the port resets the link.
# inject DEVICE ERROR
inject() {
	qmp human-monitor-command "\"command-line\":\"pcie_aer_inject_error $1 $2\""
}

# So many recoveries, since the mark
recovered() {
	dmesg | grep -c 'AER: device recovery successful' | grep -x "$1"
}

fatal_error() {
	dmesg_mark
	check "J12 an error that is fatal" inject rng DLP
	check "J12 the pool has ended" within 100 [ ! -e $NODE ]
	check "J12 is recovered from" within 100 recovered 1
	check_log "J12 the log says so" "buddy_pool: $DEVICE: fatal error on the bus"
	check "J12 the device has its addresses again" bars_are $DEVICE "$1"
	echo $DEVICE >/sys/bus/pci/drivers/buddy_pool/unbind
	check "J12 bound again: a new pool" bind $DEVICE
	check "J12 it works" buddyctl -p $NODE alloc 16K --hold 0
}

# with_sister PARAMETER...: a pool beside another function of the device, with a driver
with_sister() {
	check "J12 the sister has a driver" insmod /m/buddy_voter.ko "$@"
	echo buddy_voter >/sys/bus/pci/devices/$SISTER/driver_override
	[ ! -e /sys/bus/pci/devices/$SISTER/driver ] ||
		echo $SISTER >/sys/bus/pci/devices/$SISTER/driver/unbind
	check "J12 which is bound" sh -c "echo $SISTER >/sys/bus/pci/drivers_probe &&
		[ -e /sys/bus/pci/drivers/buddy_voter/$SISTER ]"
	check "J12 a pool beside it" bind $TWIN
}

without_sister() {
	echo >/sys/bus/pci/devices/$TWIN/driver_override
	echo >/sys/bus/pci/devices/$SISTER/driver_override
	check "J12 the sister's driver goes" rmmod buddy_voter
}

# Not fatal for the device with the pool, but its sister wants a reset all the same
sisters_error() {
	with_sister
	_bars=$(bars $TWIN)
	check "J12 somebody has a block" sh -c "buddyctl -p $TWIN_NODE alloc 4K --hold 30 >/run/held & sleep 0.5"
	dmesg_mark
	check "J12 an error that is not fatal" inject rng1 POISON_TLP
	check "J12 the slot is reset" within 100 recovered 1
	check "J12 the pool has ended" [ ! -e $TWIN_NODE ]
	check_log "J12 the log says so" "buddy_pool: $TWIN: reset after an error on the bus"
	killall buddyctl
	check "J12 the device has its addresses again" bars_are $TWIN "$_bars"
	check "J12 bound again: a new pool" bind $TWIN
	check "J12 it works" buddyctl -p $TWIN_NODE alloc 16K --hold 0
	without_sister
}

# While the sister thinks about it, the device recovers, and its pool has ended.
slow_recovery() {
	_config=/sys/kernel/config
	_late=$_config/buddy_pool/late
	with_sister wait_ms=2000
	check "loads configfs" insmod /m/buddy-pool-configfs.ko
	mountpoint -q $_config || mount -t configfs none $_config
	mkdir $_late
	echo $TWIN >$_late/pci
	echo 4 >$_late/bar
	dmesg_mark
	check "J12 an error that is fatal" inject rng1 DLP
	check "J12 the pool has ended" within 100 [ ! -e $TWIN_NODE ]
	check_fails "J12 meanwhile there can't be one" sh -c "echo 1 >$_late/live"
	check_fails "J12 for that took less time" recovered 1
	check_log "J12 the log says so" "buddy_pool: late: $TWIN has not recovered from an error: try again later"
	check "J12 it has recovered" within 100 recovered 1
	check "J12 now there can" sh -c "echo 1 >$_late/live"
	check "J12 it works" buddyctl -p late alloc 4K --hold 0
	check "J12 and goes" sh -c "echo 0 >$_late/live"
	rmdir $_late
	rmmod buddy_pool_configfs
	without_sister
}

if grep -q 'AER: enabled' /run/boot.log; then
	dmesg_mark
	check "J12 an error that is not fatal" inject rng POISON_TLP
	check "J12 is recovered from" within 50 recovered 1
	check "J12 the pool is as before" buddyctl -p $NODE alloc 4K --hold 0
	BARS=$(bars $DEVICE)
	check_fails "J12 the device has addresses" [ "$(echo "$BARS" | tr -d '0\n')" = "" ]
	fatal_error "$BARS"
	# What is restored once counts as saved no more on some kernels.
	fatal_error "$BARS"
	sisters_error
	slow_recovery
else
	skip "J12 errors on the bus: this kernel does not handle them"
fi
echo >$SYS/driver_override
check "unloads" unload

# Last, since lockdep stops at the known report.
check "loads" load pci="$CARD_DEVICE" bar=2 name=card
check "J13 a user has a block mapped" start_gone /dev/buddy_pool/card
check "J13 the slot's power is switched off" sh -c "echo 0 >$SLOT/power && [ ! -e $CARD_SYS ]"
run_ktap "J13 what the user has left" gone_finds_out
check "J13 QEMU has taken the card out" card_has_left
check "J13 another is plugged in, and the slot switches itself on" plug
check "J13 a new pool" bind
check "J13 users are at work" start_load /dev/buddy_pool/0000-01-00.0
check "J01 the slot's button is pressed, and the card leaves" unplug
check "J03 users get ENODEV or SIGBUS" load_ends
check "unloads" unload
qmp_stop
snapshot
done_testing

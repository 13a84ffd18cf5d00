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
# vm-control: yes
# vm-config: PCIEAER
# vm-timeout: 120
. /t/lib.sh

# Stands for a card with all that PCI Express has: 16 KiB of prefetchable memory.
DEVICE=0000:02:00.0
SYS=/sys/bus/pci/devices/$DEVICE
NODE=/dev/buddy_pool/0000-02-00.0
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

decodes() {
	[ $(($(config 4) & 2)) = 2 ]
}

# start_user NODE, user_finds_out: a user with a mapping, and what it has left
start_user() {
	rm -f /run/gone.*
	gone_test "$1" >/run/gone.out &
	user=$!
	within 100 test -e /run/gone.ready
}

user_finds_out() {
	touch /run/gone.go
	wait "$user"
	cat /run/gone.out
}

echo 0 >/proc/sys/debug/exception-trace
check "the guest can control QEMU" qmp_start
check "loads" load pci="$CARD_DEVICE" bar=2 name=card
check "J13 a user has a block mapped" start_user /dev/buddy_pool/card
check "J13 the slot's power is switched off" sh -c "echo 0 >$SLOT/power && [ ! -e $CARD_SYS ]"
run_ktap "J13 what the user has left" user_finds_out
check "J13 QEMU has taken the card out" card_has_left
check "J13 another is plugged in, and the slot switches itself on" plug
check "J13 a new pool" bind
check "J13 users are at work" start_load /dev/buddy_pool/0000-01-00.0
check "J01 the slot's button is pressed, and the card leaves" unplug
check "J03 users get ENODEV or SIGBUS" load_ends
check "unloads" unload

# A device that was left off, or asleep
check "loads as a library" load
power=$(capability 1)
config_write 4 0
check_fails "A47 the BAR is switched off" decodes
check "A47 binds" bind $DEVICE
check "A47 the BAR is on" decodes
check "A47 a block can be had" buddyctl -p $NODE alloc 16K --hold 0
echo $DEVICE >/sys/bus/pci/drivers/buddy_pool/unbind
config_write $((power + 4)) 3
check "A47 the device is in D3hot" [ $(($(config $((power + 4))) & 3)) = 3 ]
check "A47 binds" bind $DEVICE
check "A47 the device is in D0" [ $(($(config $((power + 4))) & 3)) = 0 ]
check "A47 a block can be had" buddyctl -p $NODE alloc 16K --hold 0

check "J11 runtime power management is allowed" sh -c "echo auto >$SYS/power/control"
sleep 1
check "J11 the device stays awake" [ "$(cat $SYS/power/runtime_status)" = active ]
check "J11 in D0" [ "$(cat $SYS/power_state)" = D0 ]

# shellcheck disable=SC2013 # words
for method in $(cat $SYS/reset_method); do
	dmesg_mark
	check "J10 a user has a block mapped" sh -c "buddyctl -p $NODE alloc 4K --hold 30 >/run/held & sleep 0.5"
	check "J10 reset by $method" sh -c "echo $method >$SYS/reset_method && echo 1 >$SYS/reset"
	check_log "J10 the log says so" 'buddy_pool: 0000-02-00\.0: .* was reset'
	check "J10 the BAR is on" decodes
	check "J10 another block can be had" buddyctl -p $NODE alloc 4K --hold 0
	killall buddyctl
done
echo >$SYS/reset_method

# An error on the link; QEMU plays the device's part. Then the port resets the link.
inject() {
	qmp human-monitor-command "\"command-line\":\"pcie_aer_inject_error rng $1\""
}
if dmesg | grep -q 'AER: enabled'; then
	check "J12 an error that is not fatal" inject POISON_TLP
	check "J12 is recovered from" within 50 sh -c "dmesg | grep -q 'AER: device recovery successful'"
	check "J12 the pool is as before" buddyctl -p $NODE alloc 4K --hold 0
	dmesg_mark
	check "J12 an error that is fatal" inject DLP
	check "J12 the pool has ended" within 100 [ ! -e $NODE ]
	check "J12 is recovered from" within 100 sh -c "dmesg | grep -c 'AER: device recovery successful' | grep -x 2"
	check_log "J12 the log says so" "buddy_pool: $DEVICE: fatal error on the bus"
	echo $DEVICE >/sys/bus/pci/drivers/buddy_pool/unbind
	check "J12 bound again: a new pool" bind $DEVICE
	check "J12 it works" buddyctl -p $NODE alloc 16K --hold 0
else
	skip "J12 errors on the bus: this kernel does not handle them"
fi
echo >$SYS/driver_override
check "unloads" unload
qmp_stop
snapshot
done_testing

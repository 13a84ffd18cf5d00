# SPDX-License-Identifier: GPL-2.0
# Others who want the same memory, device, driver or module at the same time. The row
# of the test catalogue stands before each description.
#
# vm-like: hotplug
# vm-turn: 1
# vm-timeout: 120
. /t/lib.sh

DRIVERS=/sys/bus/pci/drivers

# refused ERRNO FILE ADDRESS: a page of FILE can't be mapped.
refused() {
	! map_page "$2" "$3" >/tmp/error
	cat /tmp/error
	grep -qx "$1" /tmp/error
}

card_address() {
	sed -n '3s/ .*//p' "$CARD_SYS"/resource
}

check "J21 /dev/mem has the range while nobody else does" map_page /dev/mem 0x30000000
check "J19 sysfs has the BAR" map_page "$CARD_SYS"/resource2_wc 0
check "loads" load base=0x30000000 size=64M pci="$CARD_DEVICE" bar=2 name=range,card
check "J21 /dev/mem is closed to the range" refused EPERM /dev/mem 0x30000000
check "J21 up to its end" refused EPERM /dev/mem 0x33fff000
check "J21 and to the BAR" refused EPERM /dev/mem "$(card_address)"
check "J19 sysfs is closed to the BAR" refused EINVAL "$CARD_SYS"/resource2 0
check "J19 in both modes" refused EINVAL "$CARD_SYS"/resource2_wc 0
check "J19 the other BAR is not ours" map_page "$CARD_SYS"/resource0 0

check "J14 users are at work" start_load /dev/buddy_pool/card /run/load.go
cat "$CARD_SYS"/resource >/tmp/resource
check "J14 the bus is scanned" sh -c "echo 1 >/sys/bus/pci/rescan"
check "J14 no BAR moves" diff "$CARD_SYS"/resource /tmp/resource
touch /run/load.go
check "J14 users did not notice" load_ends

check "L02 a block is mapped, and the file closed" hold_mapped /dev/buddy_pool/range
check_fails "L02 not while there is a mapping" unload
check "L02 the mapping goes" let_go
check "L02 unloads once the last is gone" unload

# take DRIVER: as an administrator who wants the device for another driver
take() {
	echo "$1" >"$CARD_SYS"/driver_override && echo "$CARD_DEVICE" >$DRIVERS/"$1"/bind
}

driver() {
	basename "$(readlink "$CARD_SYS"/driver)"
}

check "J22 an administrator binds the device" load && bind
for rival in vfio-pci pci-stub; do
	if [ -e $DRIVERS/$rival ]; then
		check_fails "J22 $rival can't take it" take $rival
	else
		skip "J22 $rival: this kernel has it not"
	fi
done
check "J22 it is still ours" [ "$(driver)" = buddy_pool ]
if [ -e $DRIVERS/pci-stub ]; then
	echo "$CARD_DEVICE" >$DRIVERS/buddy_pool/unbind
	check "J22 once unbound, it can" take pci-stub
	check_fails "J22 then we can't" take buddy_pool
	unload
	dmesg_mark
	check_fails "J22 by parameters neither" finsmod /m/buddy-pool.ko pci="$CARD_DEVICE" bar=2
	check_log "J22 the log names the driver" 'in use by the driver pci-stub'
	echo "$CARD_DEVICE" >$DRIVERS/pci-stub/unbind
	load
else
	skip "J22 the other way round: this kernel has no pci-stub"
	echo "$CARD_DEVICE" >$DRIVERS/buddy_pool/unbind
fi
echo >"$CARD_SYS"/driver_override
check "unloads" unload

# The last step of probe fails: the name is taken.
enabled() {
	cat "$CARD_SYS"/enable
}
was=$(enabled)
check "J17 loads with the name that the device would have" \
	load base=0x30000000 size=1M name=0000-01-00.0
echo buddy_pool >"$CARD_SYS"/driver_override
dmesg_mark
echo "$CARD_DEVICE" >/sys/bus/pci/drivers_probe
check "J17 the device is not bound" [ ! -e "$CARD_SYS"/driver ]
check_log "J17 the log says why" 'buddy_pool: .*0000-01-00\.0.* of that name'
check "J17 it is not enabled" [ "$(enabled)" = "$was" ]
check "J17 nothing is claimed but by the pool of that name" [ "$(claims)" = 1 ]
check "J17 the pool of that name is as before" buddyctl alloc 1M --hold 0
check "unloads" unload

check "A54 loads as a library" load
for device in 0000:00:1f.0 0000:00:1f.3; do
	was=$(cat /sys/bus/pci/devices/$device/enable)
	dmesg_mark
	check_fails "A54 $device can't be bound" bind $device
	check_log "A54 the log says why" "$device has no memory BAR"
	check "A54 it is not enabled" [ "$(cat /sys/bus/pci/devices/$device/enable)" = "$was" ]
	echo >/sys/bus/pci/devices/$device/driver_override
done
check "unloads" unload
echo >"$CARD_SYS"/driver_override

# A system without /dev: the pool is there, and a node can be made by hand.
without_dev() {
	# shellcheck disable=SC2016 # in the inner shell
	unshare -m sh -c '
		mount -t tmpfs none /dev && mknod /dev/null c 1 3 || exit 1
		insmod /m/buddy-pool.ko base=0x30000000 size=1M && [ ! -e /dev/buddy_pool ] || exit 1
		mknod /dev/by-hand c $(tr : " " </sys/class/misc/buddy_pool-pool0/dev) &&
			buddyctl -p /dev/by-hand alloc 1M --hold 0'
}
check "A55 loads and works without /dev" without_dev
check "unloads" unload

sed 's/\(vermagic=[^ ]*\) SMP/\1 UP_/' /m/buddy-pool.ko >/tmp/other.ko
refused_module() {
	! finsmod /tmp/other.ko >/tmp/error
	cat /tmp/error
	grep -qx ENOEXEC /tmp/error && [ "$(stat -c %s /tmp/other.ko)" = "$(stat -c %s /m/buddy-pool.ko)" ]
}
check "A56 a module for another kernel is refused" refused_module
rm /tmp/other.ko

one_of_many() {
	for _i in $(seq 100); do
		{ rmmod buddy_pool 2>/dev/null && echo won >>/run/won; } &
		_children="$_children $!"
	done
	# shellcheck disable=SC2086 # numbers
	wait $_children
	[ "$(wc -l </run/won)" = 1 ]
}
rm -f /run/won
check "loads" load
check "L03 of a hundred who unload at once, one does" one_of_many
check "L03 it is unloaded" [ ! -e /sys/module/buddy_pool ]

read_parameters() {
	while [ ! -e /run/enough ]; do
		cat /sys/module/buddy_pool/parameters/* 2>/dev/null
	done
}
reload() {
	for _i in $(seq 20); do load base=0x30000000 size=1M && unload || return 1; done
}
rm -f /run/enough
read_parameters >/run/read &
reader=$!
check "L07 loads and unloads while its parameters are read" reload
touch /run/enough
wait $reader
check "L07 they were read" grep -q 0x30000000 /run/read
done_testing

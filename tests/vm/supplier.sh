# SPDX-License-Identifier: GPL-2.0
# Pools that go under their users in the kernel: drivers are unbound first, and
# others are told. The row of the test catalogue stands before each description.
#
# vm-like: node
# vm-timeout: 90
. /t/lib.sh

POOL=0000:00:02.0
CLIENT=0000:00:04.0
PCI=/sys/bus/pci

bound() {
	[ -e "$PCI/devices/$1/driver" ]
}

# override DEVICE DRIVER: as an administrator who knows which driver it shall have
override() {
	echo "$2" >"$PCI/devices/$1/driver_override" && echo "$1" >$PCI/drivers_probe && bound "$1"
}

deferred() {
	grep -q $CLIENT /sys/kernel/debug/devices_deferred
}

# came_first ERE ERE: both are in the log since the mark, once, in this order.
came_first() {
	dmesg | grep -E "$1|$2" >/tmp/order
	cat /tmp/order
	[ "$(wc -l </tmp/order)" = 2 ] && head -n 1 /tmp/order | grep -qE "$1"
}

logged() {
	dmesg | grep -q "$1"
}

LETS_GO='lets go of its buffer'

check "loads as a library" load
check "loads a driver before there is its pool" insmod /m/buddy_client.ko pool=0000-00-02.0
check_fails "M24 it has no device" bound $CLIENT
check "M24 the driver core waits for the pool" deferred
check "the pool's device is bound" bind $POOL
check "J08 its BAR is claimed" claimed
# The driver core tries deferred devices in a worker.
check "M24 then the driver gets its device" within 50 bound $CLIENT
dmesg_mark
check "unbinds the pool's device" sh -c "echo $POOL >$PCI/drivers/buddy_pool/unbind"
check_fails "J08 the driver is unbound first" bound $CLIENT
check_log "it was told to let go" "$LETS_GO"
check_fails "J08 nothing is claimed" claimed

check "binds the pool's device" bind $POOL
check "and the driver" override $CLIENT buddy_client
dmesg_mark
check "J08 removes the pool's device" sh -c "echo 1 >$PCI/devices/$POOL/remove"
check_fails "J08 the driver is unbound first" bound $CLIENT
check_log "it was told to let go" "$LETS_GO"
check "rescans" sh -c "echo 1 >$PCI/rescan"
check "unloads the driver" rmmod buddy_client

check "binds the pool's device" bind $POOL
check "loads a client without a device" \
	insmod /m/buddy_api_test.ko run=listener pool=0000-00-02.0
dmesg_mark
check "J08 removes the pool's device" sh -c "echo 1 >$PCI/devices/$POOL/remove"
check_log "M13 the client was told before" "told that its pool goes: good"
check_fails "J08 nothing is claimed" claimed
check_fails "L08 the pool's module can't go before the client" unload
check "L08 the client can" rmmod buddy_api_test
check "rescans" sh -c "echo 1 >$PCI/rescan"

check "binds the pool's device" bind $POOL
check "loads a client that leaves in time" \
	insmod /m/buddy_api_test.ko run=listener pool=0000-00-02.0
check "it leaves" rmmod buddy_api_test
dmesg_mark
check "J08 removes the pool's device" sh -c "echo 1 >$PCI/devices/$POOL/remove"
check_fails "M13 nobody is told" logged "told that its pool goes"
check "rescans" sh -c "echo 1 >$PCI/rescan"

check "loads a driver that uses a pool" insmod /m/buddy_client.ko pool=card
check "M24 the driver core waits for the pool" deferred
dmesg_mark
check "loads a driver that makes a pool of its device" \
	insmod /m/buddy_api_test.ko run=supplier pool=card
check "it has the device" override $POOL buddy_api_test
check_log "M24 nobody gets its pool before it is bound" "in its probe.. the client has no device"
check "M24 then the driver gets its device" within 50 bound $CLIENT
dmesg_mark
check "M04 unbinds the first" sh -c "echo $POOL >$PCI/drivers/buddy_api_test/unbind"
check "M04 the other let go before" came_first "$LETS_GO" "supplier goes with 0 blocks"
check_fails "it has no device" bound $CLIENT
check "unloads all" rmmod buddy_client buddy_api_test buddy_pool
echo >$PCI/devices/$POOL/driver_override
echo >$PCI/devices/$CLIENT/driver_override
# The BARs may lie elsewhere now.
snapshot
done_testing

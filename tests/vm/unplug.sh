# SPDX-License-Identifier: GPL-2.0
# Devices that go away under their users, and come back. The row of the test
# catalogue stands before each description.
#
# vm-like: node
# vm-timeout: 90
. /t/lib.sh

DEVICE=0000:00:02.0
SYS=/sys/bus/pci/devices/$DEVICE
DRIVER=/sys/bus/pci/drivers/buddy_pool

quick() {
	_from=$(cut -d. -f1 /proc/uptime)
	"$@" && [ $(($(cut -d. -f1 /proc/uptime) - _from)) -le 10 ]
}

remove() {
	echo 1 >$SYS/remove
}

rescan() {
	echo 1 >/sys/bus/pci/rescan && [ -e $SYS ]
}

unbind() {
	echo $DEVICE >$DRIVER/unbind
}

echo 0 >/proc/sys/debug/exception-trace
check "loads" load pci=$DEVICE bar=2 name=card
check "a user has a block mapped" start_gone /dev/buddy_pool/card
check "J08 removal does not wait for the user (J26)" quick remove
check "J01 the node is gone" [ ! -e /dev/buddy_pool/card ]
check_fails "J01 so is the claim" claimed
run_ktap "what the user has left" gone_finds_out
check "J08 the device is found again" rescan
check "unloads" unload
# The BARs may lie elsewhere now.
snapshot
check "loads as a library" load
check "J08 an administrator binds it" bind $DEVICE
check "J08 the BAR is claimed" claimed
check "J02 a new user gets blocks" buddyctl -p 0000-00-02.0 alloc 64M --hold 0

check "another user has a block mapped" start_gone /dev/buddy_pool/0000-00-02.0
check "J08 unbinding does not wait, either" quick unbind
run_ktap "what that user has left" gone_finds_out
check_fails "J08 nothing is claimed" claimed

cycles() {
	_i=0
	while [ $_i -lt 50 ]; do
		echo $DEVICE >/sys/bus/pci/drivers_probe || return 1
		start_gone /dev/buddy_pool/0000-00-02.0 && unbind || return 1
		gone_finds_out >/run/cycle.out || { cat /run/cycle.out && return 1; }
		_i=$((_i + 1))
	done
}
check "J08 50 times over" cycles

# shots COMMAND...: five times, while users are at work, whatever it does to the device
# or them at once; then nobody has the device, and another user can.
shots() {
	for _i in 1 2 3 4 5; do
		echo $DEVICE >/sys/bus/pci/drivers_probe
		start_load /dev/buddy_pool/0000-00-02.0 || return 1
		"$@"
		# shellcheck disable=SC2086 # numbers
		wait $_shots
		killall load_test 2>/dev/null
		wait "$LOAD"
		[ ! -e $SYS/driver ] && ! claimed && ! pidof load_test || return 1
		[ -e $SYS ] || { rescan && echo buddy_pool >$SYS/driver_override; }
	done
}

kill_users() {
	unbind &
	_shots=$!
	killall -9 load_test
}

unbind_twice() {
	unbind 2>/dev/null &
	_shots=$!
	unbind 2>/dev/null &
	_shots="$_shots $!"
	remove &
	_shots="$_shots $!"
}
check "F13 unbound while four users are killed" shots kill_users
check "F14 unbound twice and removed, all at once" shots unbind_twice
check "F14 it is as good as before" sh -c \
	"echo $DEVICE >/sys/bus/pci/drivers_probe && buddyctl -p 0000-00-02.0 alloc 64M --hold 0 && echo $DEVICE >$DRIVER/unbind"

check "L10 it can be bound when unloading" sh -c "echo $DEVICE >/sys/bus/pci/drivers_probe"
check "L10 unloads with a device bound" unload
echo >$SYS/driver_override
check "loads by parameter with a device that was bound before" load pci=$DEVICE bar=2
check "unloads" unload
check "L10 the driver is gone" [ ! -e $DRIVER ]
done_testing

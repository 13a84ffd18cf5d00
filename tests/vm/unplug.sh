# SPDX-License-Identifier: GPL-2.0
# Devices that go away under their users, and come back. The row of the test
# catalogue stands before each description.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-timeout: 90
. /t/lib.sh

DEVICE=0000:00:02.0
SYS=/sys/bus/pci/devices/$DEVICE
DRIVER=/sys/bus/pci/drivers/buddy_pool

# start NODE: a user with an open file and a mapping, in the background.
start() {
	rm -f /run/gone.*
	gone_test "$1" >/run/gone.out &
	user=$!
	_n=0
	until [ -e /run/gone.ready ]; do
		sleep 0.1
		_n=$((_n + 1))
		[ $_n -lt 100 ] || return 1
	done
}

# finish: the user finds out what is left; its results are shown.
finish() {
	touch /run/gone.go
	wait "$user"
	cat /run/gone.out
}

quick() {
	_from=$(cut -d. -f1 /proc/uptime)
	"$@" && [ $(($(cut -d. -f1 /proc/uptime) - _from)) -le 2 ]
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

bind() {
	echo buddy_pool >$SYS/driver_override && echo $DEVICE >/sys/bus/pci/drivers_probe &&
		[ -e /dev/buddy_pool/0000-00-02.0 ]
}

claimed() {
	grep -q ' : buddy_pool ' /proc/iomem
}

echo 0 >/proc/sys/debug/exception-trace
check "loads" load pci=$DEVICE bar=2 name=card
check "a user has a block mapped" start /dev/buddy_pool/card
check "J08 removal does not wait for the user (J26)" quick remove
check "J01 the node is gone" [ ! -e /dev/buddy_pool/card ]
check_fails "J01 so is the claim" claimed
run_ktap "what the user has left" finish
check "J08 the device is found again" rescan
check "unloads" unload
# The BARs may lie elsewhere now.
snapshot
check "loads as a library" load
check "J08 an administrator binds it" bind
check "J08 the BAR is claimed" claimed
check "J02 a new user gets blocks" buddyctl -p 0000-00-02.0 alloc 64M --hold 0

check "another user has a block mapped" start /dev/buddy_pool/0000-00-02.0
check "J08 unbinding does not wait, either" quick unbind
run_ktap "what that user has left" finish
check_fails "J08 nothing is claimed" claimed

cycles() {
	_i=0
	while [ $_i -lt 50 ]; do
		echo $DEVICE >/sys/bus/pci/drivers_probe || return 1
		start /dev/buddy_pool/0000-00-02.0 || return 1
		unbind || return 1
		finish >/run/cycle.out
		if grep -q '^not ok' /run/cycle.out; then
			cat /run/cycle.out
			return 1
		fi
		_i=$((_i + 1))
	done
}
check "J08 50 times over" cycles

check "J10 it can be bound when unloading" sh -c "echo $DEVICE >/sys/bus/pci/drivers_probe"
check "L10 unloads with a device bound" unload
echo >$SYS/driver_override
check "loads by parameter with a device that was bound before" load pci=$DEVICE bar=2
check "unloads" unload
check "L10 the driver is gone" [ ! -e $DRIVER ]
done_testing

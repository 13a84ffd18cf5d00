# SPDX-License-Identifier: GPL-2.0
# Devices that an administrator binds, one or very many. The row of the test catalogue
# stands before each description.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-device: -device pci-testdev,membar=1M,addr=4.0,multifunction=on -device pci-testdev,membar=1M,addr=4.1 -device pci-testdev,membar=1M,addr=4.2 -device pci-testdev,membar=1M,addr=4.3 -device pci-testdev,membar=1M,addr=4.4 -device pci-testdev,membar=1M,addr=4.5 -device pci-testdev,membar=1M,addr=4.6 -device pci-testdev,membar=1M,addr=4.7
# vm-device: -device pci-testdev,membar=1M,addr=5.0,multifunction=on -device pci-testdev,membar=1M,addr=5.1 -device pci-testdev,membar=1M,addr=5.2 -device pci-testdev,membar=1M,addr=5.3 -device pci-testdev,membar=1M,addr=5.4 -device pci-testdev,membar=1M,addr=5.5 -device pci-testdev,membar=1M,addr=5.6 -device pci-testdev,membar=1M,addr=5.7
# vm-device: -device pci-testdev,membar=1M,addr=6.0,multifunction=on -device pci-testdev,membar=1M,addr=6.1 -device pci-testdev,membar=1M,addr=6.2 -device pci-testdev,membar=1M,addr=6.3 -device pci-testdev,membar=1M,addr=6.4 -device pci-testdev,membar=1M,addr=6.5 -device pci-testdev,membar=1M,addr=6.6 -device pci-testdev,membar=1M,addr=6.7
# vm-device: -device pci-testdev,membar=1M,addr=7.0,multifunction=on -device pci-testdev,membar=1M,addr=7.1 -device pci-testdev,membar=1M,addr=7.2 -device pci-testdev,membar=1M,addr=7.3 -device pci-testdev,membar=1M,addr=7.4 -device pci-testdev,membar=1M,addr=7.5 -device pci-testdev,membar=1M,addr=7.6 -device pci-testdev,membar=1M,addr=7.7
. /t/lib.sh

DRIVER=/sys/bus/pci/drivers/buddy_pool
IVSHMEM=0000:00:02.0
# The I/O ports of its SMBus controller are all that it has.
SMBUS=0000:00:1f.3
SYS=/sys/bus/pci/devices

write() {
	echo "$1" >"$2"
}

# So many nodes
nodes() {
	_wanted=$1
	set -- /dev/buddy_pool/*
	echo "$@"
	[ $# = "$_wanted" ]
}

disabled() {
	[ "$(cat $SYS/*:0[4-7].?/enable | sort -u)" = 0 ]
}

# What firmware may leave behind: a device that does not answer to its addresses
decode_off() {
	printf '\000\000' | dd of=$SYS/$IVSHMEM/config bs=1 seek=4 conv=notrunc 2>/dev/null
}

decodes() {
	[ $(($(od -An -tu1 -j4 -N1 $SYS/$IVSHMEM/config) & 2)) = 2 ]
}

all_work() {
	for _node in /dev/buddy_pool/*; do
		buddyctl -p "$_node" alloc 1M --hold 0 || return 1
	done
}

check "loads as a library" load
check "new_id" write "1af4 1110" $DRIVER/new_id
check "new_id binds the device" [ -c /dev/buddy_pool/0000-00-02.0 ]
check "its pool works" buddyctl alloc 64M --hold 0
check "unbind" write $IVSHMEM $DRIVER/unbind
check "the node is gone" [ ! -e /dev/buddy_pool ]
check "remove_id" write "1af4 1110" $DRIVER/remove_id

dmesg_mark
write buddy_pool $SYS/$SMBUS/driver_override
check_fails "A54 a device without memory" write $SMBUS $DRIVER/bind
check_log "A54 the log says why" "buddy_pool: 0000-00-1f.3: $SMBUS has no memory BAR"
check "A54 it is not enabled" [ "$(cat $SYS/$SMBUS/enable)" = 0 ]
write "" $SYS/$SMBUS/driver_override

check "A48 all 32 devices of a kind" write "1b36 0005" $DRIVER/new_id
check "A48 each has a pool" nodes 32
check "A48 all of them work" all_work
check "A48 unloads" unload
check "A48 none is enabled any more" disabled
check "nothing stayed behind" snapshot_unchanged

check "A47 memory decoding is off" decode_off
check_fails "A47 it is" decodes
check "A47 loads" load pci=$IVSHMEM bar=2
check "A47 the device was enabled" decodes
check "A47 a block can be written and read" first_block
check "A47 unloads" unload
check "nothing stayed behind" snapshot_unchanged
done_testing

# SPDX-License-Identifier: GPL-2.0
# A device that an administrator binds by its kind, and one that firmware left off. The
# row of the test catalogue stands before each description.
#
# vm-like: node
. /t/lib.sh

DRIVER=/sys/bus/pci/drivers/buddy_pool
IVSHMEM=0000:00:02.0
SYS=/sys/bus/pci/devices

write() {
	echo "$1" >"$2"
}

# What firmware may leave behind: a device that does not answer to its addresses
decode_off() {
	printf '\000\000' | dd of=$SYS/$IVSHMEM/config bs=1 seek=4 conv=notrunc 2>/dev/null
}

decodes() {
	[ $(($(od -An -tu1 -j4 -N1 $SYS/$IVSHMEM/config) & 2)) = 2 ]
}

check "loads as a library" load
check "new_id" write "1af4 1110" $DRIVER/new_id
check "new_id binds the device" [ -c /dev/buddy_pool/0000-00-02.0 ]
check "its pool works" buddyctl alloc 64M --hold 0
check "unbind" write $IVSHMEM $DRIVER/unbind
check "the node is gone" [ ! -e /dev/buddy_pool ]
check "remove_id" write "1af4 1110" $DRIVER/remove_id
# Somebody who is not its driver has the BAR.
enabled() {
	cat $SYS/$IVSHMEM/enable
}
was=$(enabled)
check "A46 another module has the BAR" insmod /m/buddy_api_test.ko run=rival
dmesg_mark
write buddy_pool $SYS/$IVSHMEM/driver_override
write $IVSHMEM /sys/bus/pci/drivers_probe
check "A46 J18 then it can't be bound" [ ! -e $SYS/$IVSHMEM/driver ]
check_log "A46 J18 the log says who has it" 'buddy_pool: .* belongs to rival'
check "J18 it is not left enabled" [ "$(enabled)" = "$was" ]
check "A46 the other module gives it up" rmmod buddy_api_test
write $IVSHMEM /sys/bus/pci/drivers_probe
check "A46 now it can" buddyctl -p 0000-00-02.0 alloc 64M --hold 0
write "" $SYS/$IVSHMEM/driver_override
check "unloads" unload
check "nothing stayed behind" snapshot_unchanged

check "A47 memory decoding is off" decode_off
check_fails "A47 it is" decodes
check "A47 loads" load pci=$IVSHMEM bar=2
check "A47 the device was enabled" decodes
check "A47 a block can be written and read" first_block
check "A47 unloads" unload
check "nothing stayed behind" snapshot_unchanged
done_testing

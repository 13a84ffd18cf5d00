# SPDX-License-Identifier: GPL-2.0
# Another module as a client of a pool. The row of the test catalogue stands
# before each description.
#
# vm-like: node
. /t/lib.sh

used() {
	buddyctl -p ddr --json stats | sed -n 's/^ *"used":\([0-9]*\),*$/\1/p'
}

client() {
	insmod /m/buddy_client.ko "$@"
}

bound() {
	[ -e /sys/bus/pci/devices/0000:00:04.0/driver ]
}

check "loads" load base=0x30000000 size=64M name=ddr
check "loads the client" client pool=ddr size=3000000
check "it has its device" bound
check "its buffer is in use" [ "$(used)" = 3002368 ]
check_fails "L08 the pool's module can't go before its client (M16)" unload
check "M25 a program gets the rest" buddyctl -p ddr alloc 32M --hold 0
check "D26 what the client has is nobody's to free" [ "$(used)" = 3002368 ]
check "L08 the client can" rmmod buddy_client
check "its buffer came back" [ "$(used)" = 0 ]

check "loads a client that wants too much" client pool=ddr size=100000000
check_fails "it has no device" bound
check "and no memory" [ "$(used)" = 0 ]
check "unloads it" rmmod buddy_client
check "M21 loads a client of a pool that is not there" client pool=other
check_fails "that has no device, either" bound
check "unloads that" rmmod buddy_client

check "L09 loads a client that looks our functions up" insmod /m/buddy_by_name.ko
check_fails "L09 the pool's module can't go before that" unload
check "L09 unloads it" rmmod buddy_by_name
check "unloads" unload
check_fails "L09 there is nothing to be found" insmod /m/buddy_by_name.ko
check_fails "M24 a client can't load before the pool's module" client pool=ddr
done_testing

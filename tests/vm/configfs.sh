# SPDX-License-Identifier: GPL-2.0
# Pools that come and go while the module stays. The same checks as at load, and the
# same messages; the row of the test catalogue stands before each description.
#
# vm-like: node
# vm-turn: 0
# vm-timeout: 120
. /t/lib.sh

CONFIG=/sys/kernel/config
ROOT=$CONFIG/buddy_pool
IVSHMEM=0000:00:02.0
TESTDEV=0000:00:03.0
DRIVER=/sys/bus/pci/drivers/buddy_pool

INVAL='Invalid argument'
BUSY='busy'

# put POOL SETTING TEXT [SETTING TEXT...]
put() {
	_pool=$ROOT/$1
	shift
	while [ $# -gt 0 ]; do
		echo "$2" >"$_pool/$1" || return 1
		shift 2
	done
}

# refused ERROR LOG_ERE COMMAND...: fails so, with one such line in the log, or with
# an empty LOG_ERE none.
refused() {
	_error=$1
	_ere=$2
	shift 2
	dmesg_mark
	if "$@" 2>/tmp/error; then
		echo "it worked" && return 1
	fi
	grep "$_error\$" /tmp/error || { cat /tmp/error && echo "wanted: $_error" && return 1; }
	complains "$_ere"
}

# No pool has left anything. The slab cache of the module stays as long as it does.
only_module_left() {
	machine_state | grep -vx /sys/kernel/slab/buddy_pool_block | diff -u /run/snapshot -
}

is() {
	[ "$(cat "$ROOT/$1/$2")" = "$3" ]
}

node() {
	[ -c "/dev/buddy_pool/$1" ]
}

no_node() {
	[ ! -e "/dev/buddy_pool/$1" ]
}

unused() {
	! grep -q ' : buddy_pool' /proc/iomem
}

# as_user COMMAND: what somebody without capabilities can do.
as_user() {
	echo 'user:x:1000:1000::/tmp:/bin/sh' >/etc/passwd
	su user -c "$1"
	_status=$?
	rm /etc/passwd
	return $_status
}

driver_of() {
	basename "$(readlink "/sys/bus/pci/devices/$1/driver")"
}

# no_driver DEVICE: not bound, not enabled, free for any driver.
no_driver() {
	[ ! -e "/sys/bus/pci/devices/$1/driver" ] &&
		[ "$(cat "/sys/bus/pci/devices/$1/driver_override")" = "(null)" ] &&
		[ "$(cat "/sys/bus/pci/devices/$1/enable")" = 0 ]
}

mkdir -p /etc
grep -q " $CONFIG " /proc/mounts || { mount -t configfs configfs $CONFIG && mounted=1; }
check_fails "M24 not before the module itself" insmod /m/buddy-pool-configfs.ko
dmesg_mark
check "A01 the module loads without a pool" load
check_log "A30 and says that it has none" 'buddy_pool: no pool yet'
check "configfs support loads" insmod /m/buddy-pool-configfs.ko
check_fails "L08 the module can't go before it" unload

for name in .a 'a b' 'käse' "$(printf '%32s' '' | tr ' ' a)" "$(printf '%255s' '' | tr ' ' a)"; do
	check "A35 mkdir '$name'" refused "$INVAL" 'a name is' mkdir "$ROOT/$name"
done
check "mkdir" mkdir $ROOT/ddr
check_fails "A35 mkdir again" mkdir $ROOT/ddr
check "settings are root's" [ "$(stat -c %a $ROOT/ddr/* | sort -u)" = 600 ]
check "they are the module's parameters, but for the name" [ "$(cd $ROOT/ddr && echo *)" = \
	"$(cd /sys/module/buddy_pool/parameters && echo * live | tr ' ' '\n' |
		grep -vx name | sort | tr '\n' ' ' | sed 's/ $//')" ]
check "all are empty at first" [ "$(cat $ROOT/ddr/[!l]* | sort -u)" = "" ]
check "it is not live" is ddr live 0
check "nor was it ever: 0 is no error" put ddr live 0

check "A02 neither base nor pci" refused "$INVAL" 'ddr: neither base and size' put ddr live 1
for size in x 64MB -1 ' 64M' 18446744073709551616; do
	check "size='$size'" refused "$INVAL" 'no number of bytes' put ddr size "$size"
done
check "base=0x3000000h" refused "$INVAL" 'no number of bytes' put ddr base 0x3000000h
check "A31 min_block=3M" refused "$INVAL" 'power of two' put ddr min_block 3M
check "A31 min_alloc=0" refused "$INVAL" 'at least 1' put ddr min_alloc 0
check "A41 bar=6" refused "$INVAL" 'must be 0 to 5' put ddr bar 6
check "A39 pci=00:02.0" refused "$INVAL" 'no PCI device' put ddr pci 00:02.0
check "cache=fast" refused "$INVAL" 'cache=fast' put ddr cache fast
check "zero=maybe" refused "$INVAL" 'zero=maybe' put ddr zero maybe
check "share_dirty=perhaps" refused "$INVAL" 'must be 0 or 1' put ddr share_dirty perhaps
check "share_dirty=tomorrow" refused "$INVAL" 'must be 0 or 1' put ddr share_dirty tomorrow
check "live=perhaps" refused "$INVAL" '' put ddr live perhaps
check "live=1M" refused "$INVAL" '' put ddr live 1M
check "live=2" refused "$INVAL" '' put ddr live 2
check "what was refused is not kept" is ddr size ''

check "A02 base alone" put ddr base 0x10000000
check "A02 base alone" refused "$INVAL" 'base is given without size' put ddr live 1
check "A15 System RAM" put ddr size 1M
check "A15 System RAM" refused "$BUSY" 'ddr: .* is System RAM: reserve it' put ddr live 1
check "A26 base=0" put ddr base 0
check "A26 base=0" refused "$INVAL" 'first MiB' put ddr live 1
check "base and pci" put ddr base 0x30000000 pci $IVSHMEM bar 2
check "base and pci" refused "$INVAL" 'a pool has one of them' put ddr live 1
check "bar with base" put ddr pci ''
check "bar with base" refused "$INVAL" 'bar is given with base' put ddr live 1
check "size with pci" put ddr base '' pci $IVSHMEM
check "size with pci" refused "$INVAL" 'size is given with pci' put ddr live 1
check "an empty line is no setting" put ddr base 0x30000000 pci '' bar ''
check "nothing was claimed so far" only_module_left

dmesg_mark
check "A33 a range" put ddr base 0x30000000 size 32M live 1
check_log "the log says what at load" \
	'ddr: 32\.0 MiB at \[mem 0x30000000-0x31ffffff\] \(Reserved\), min block 4\.00 KiB, wc$'
check "it is live" is ddr live 1
check "there is a node" node ddr
check "it works" buddyctl -p ddr alloc 32M --hold 0
check "live already" refused "$BUSY" 'ddr: the pool is live' put ddr live 1
check "settings stay while it is live" refused "$BUSY" 'ddr: the pool is live' put ddr size 1M
check "so does the directory" refused "$BUSY" '' rmdir $ROOT/ddr
check "mkdir of another" mkdir $ROOT/high
check "A33 overlapping" put high base 0x31fff000 size 8K
check "A33 overlapping" refused "$BUSY" 'belongs to buddy_pool ddr in Reserved' put high live 1
check "A34 side by side" put high base 0x32000000 size 32M min_block 64K cache wb zero free live 1
check "A34 with settings of its own" sh -c \
	"buddyctl -p high info | tr -s ' ' | grep -cE '^(min_block 64K|cache wb|zero free)\$' | grep -qx 3"
check "the other one has not" sh -c "buddyctl -p ddr info | grep -q '^min_block *4K\$'"

rm -f /tmp/held
buddyctl -p ddr alloc 1M --hold 60 >/tmp/held &
holder=$!
until grep -qs handle /tmp/held; do sleep 0.1; done
check "L02 not while a file is open" refused "$BUSY" 'ddr: in use' put ddr live 0
check "it is still live" is ddr live 1
check "and as good as before" buddyctl -p ddr alloc 31M --align 1M --hold 0
kill -9 $holder
wait $holder 2>/dev/null
rm -f /run/gone.*
setsid gone_test /dev/buddy_pool/ddr >/run/gone.out &
user=$!
until [ -e /run/gone.ready ]; do sleep 0.1; done
check "L02 not while a block is mapped" refused "$BUSY" 'ddr: in use' put ddr live 0
# Its children, too
kill -9 -- -$user
wait $user 2>/dev/null
sleep 1
check "M16 another module takes a buffer" insmod /m/buddy_client.ko pool=ddr size=3000000
check "M16 not while a module has the pool" refused "$BUSY" 'ddr: in use' put ddr live 0
check "F18 another pool goes and comes meanwhile" put high live 0 live 1
check "F18 the module's is as before" sh -c "buddyctl -p ddr --json stats | grep -q '\"used\":3002368'"
check "M16 once that is gone" rmmod buddy_client
check "it can go" put ddr live 0
check "the node is gone" no_node ddr
check "the other one's is not" node high
check "it can come back" put ddr size 16M live 1
check "L08 nor can the modules go while it is there" sh -c "! rmmod buddy_pool_configfs"
check "they all go" put ddr live 0
check "they all go" put high live 0
check "nothing stayed behind" only_module_left
check "rmdir" rmdir $ROOT/ddr $ROOT/high

check "rights: mkdir" mkdir $ROOT/mine
check "rights: settings" put mine base 0x30000000 size 1M
check_fails "rights: nobody else may read the address" as_user "cat $ROOT/mine/base"
check_fails "rights: nor write" as_user "echo 1 >$ROOT/mine/live"
chmod 666 $ROOT/mine/live
check "rights: given the file, the capability lacks" refused 'Operation not permitted' '' \
	as_user "echo 1 >$ROOT/mine/live"
check "rights: it is not live" is mine live 0
check "rmdir" rmdir $ROOT/mine

check "A39 a BAR" mkdir $ROOT/card $ROOT/small $ROOT/large
check "A40 no such device" put card pci 0000:00:1e.7 bar 2
check "A40 no such device" refused 'No such device' 'no such device' put card live 1
check "A42 no such BAR" put card pci $IVSHMEM bar 5
check "A42 no such BAR" refused 'No such device or address' 'does not exist' put card live 1
check "A44 a small BAR" put card bar 0
check "A44 a small BAR" refused 'No such device or address' 'smaller than a page' put card live 1
check "the device is free for all" no_driver $IVSHMEM
check "the right BAR" put card bar 2 live 1
check "it has the driver" [ "$(driver_of $IVSHMEM)" = buddy_pool ]
check "there is a node" buddyctl -p card alloc 64M --hold 0
check "it says that it is there" is card live 1
check "A33 a BAR twice" put large pci $IVSHMEM bar 2
check "A33 a BAR twice" refused "$BUSY" "belongs to buddy_pool card in $IVSHMEM" put large live 1
check "the first is unaffected" buddyctl -p card alloc 64M --hold 0
check "two BARs of one device" put small pci $TESTDEV bar 0 live 1
check "two BARs of one device" put large pci $TESTDEV bar 2 live 1
check "one goes" put small live 0
check "the other stays" buddyctl -p large alloc 64M --hold 0
check "and its driver" [ "$(driver_of $TESTDEV)" = buddy_pool ]
echo other >/sys/bus/pci/devices/$TESTDEV/driver_override
check "the other goes, too" put large live 0
check "a driver_override of others stays" \
	[ "$(cat /sys/bus/pci/devices/$TESTDEV/driver_override)" = other ]
check "and keeps us out" refused "$BUSY" 'is for another driver' put large live 1
check "and stays" [ "$(cat /sys/bus/pci/devices/$TESTDEV/driver_override)" = other ]
echo buddy_pool >/sys/bus/pci/devices/$TESTDEV/driver_override
check "one for us does not" put large live 1
check "the other goes again" put large live 0
check "one that was for us before stays, too" \
	[ "$(cat /sys/bus/pci/devices/$TESTDEV/driver_override)" = buddy_pool ]
echo >/sys/bus/pci/devices/$TESTDEV/driver_override
check "that device is free for all" no_driver $TESTDEV
check "the device goes away" sh -c "echo $IVSHMEM >$DRIVER/unbind"
check "J08 so does the node" no_node card
check "J08 it says so" is card live gone
check "J08 settings are as they were" refused "$BUSY" 'card: the pool is live' put card bar 0
check "J08 and can be used again" put card live 0 live 1
check "J08 it works" buddyctl -p card alloc 64M --hold 0
check "it goes" put card live 0
check "the device is free for all" no_driver $IVSHMEM
check "rmdir" rmdir $ROOT/card $ROOT/small $ROOT/large
check "nothing stayed behind" only_module_left

# tells TEXT COMMAND...: fails, and says so in one line.
tells() {
	_text=$1
	shift
	if "$@" 2>/tmp/error; then
		return 1
	fi
	cat /tmp/error
	[ "$(wc -l </tmp/error)" = 1 ] && grep -q "$_text" /tmp/error
}

check "buddyctl create" buddyctl create ddr base=0x30000000 size=64M min_block=64K
check "buddyctl delete, in use" tells 'busy: the kernel log says why' \
	buddyctl -p ddr alloc 64K -- buddyctl delete ddr
check "buddyctl create, there already" tells "'delete' would remove" \
	buddyctl create ddr base=0x30000000 size=64M
check "the pool is as it was" buddyctl -p ddr alloc 64M --hold 0
check "buddyctl delete" buddyctl delete ddr
check "buddyctl delete, not there" tells "no pool of that name was made" buddyctl delete ddr
check "buddyctl create, a range in use" tells 'busy: the kernel log says why' \
	buddyctl create ddr base=0x10000000 size=1M
check "buddyctl create, a bad value" tells 'size=64X: Invalid' \
	buddyctl create ddr base=0x30000000 size=64X
check "buddyctl create, no such setting" tells "no setting 'sise'" \
	buddyctl create ddr base=0x30000000 sise=64M
check "buddyctl create, live by hand" tells 'makes the pool live by itself' \
	buddyctl create ddr base=0x30000000 size=64M live=1
check "a device is bound by hand" bind $IVSHMEM
check "buddyctl create, a name that its pool has" tells 'exists: the kernel log says why' \
	buddyctl create 0000-00-02.0 base=0x30000000 size=64M
echo $IVSHMEM >$DRIVER/unbind
echo >/sys/bus/pci/devices/$IVSHMEM/driver_override
check "buddyctl create, a bad name" tells 'no name for a pool' buddyctl create ../ddr base=1 size=1
check "buddyctl leaves nothing behind" [ "$(ls $ROOT)" = "" ]

cycles() {
	_i=0
	while [ $_i -lt "$1" ]; do
		mkdir $ROOT/ddr $ROOT/card && put ddr base 0x30000000 size 64M live 1 &&
			put card pci $IVSHMEM bar 2 live 1 live 0 && put ddr live 0 &&
			rmdir $ROOT/ddr $ROOT/card || return 1
		_i=$((_i + 1))
	done
}
check "A50 50 times over" cycles 50
check "A50 nothing stayed behind" only_module_left

# Everybody tries for 3 s, and mostly fails; nothing may break, or hang.
racer() {
	while [ ! -e /tmp/stop ]; do "$@"; done >/dev/null 2>&1
}
rm -f /tmp/stop
mkdir $ROOT/ddr
put ddr base 0x30000000 size 1M
racer put ddr live 1 &
racer put ddr live 1 &
racer put ddr live 0 &
racer put ddr live 0 &
racer buddyctl -p ddr alloc 4K --hold 0 &
racer rmdir $ROOT/ddr &
racer sh -c "mkdir $ROOT/ddr; echo 0x30000000 >$ROOT/ddr/base; echo 1M >$ROOT/ddr/size" &
sleep 3
touch /tmp/stop
wait
[ ! -d $ROOT/ddr ] || put ddr live 0
check "a race of many ends with nothing" only_module_left
[ ! -d $ROOT/ddr ] || rmdir $ROOT/ddr
check "it still works after that" cycles 1

check "unloads" rmmod buddy_pool_configfs
check "buddyctl create, without the module" tells 'load buddy_pool_configfs' \
	buddyctl create ddr base=0x30000000 size=64M
check "unloads" unload
[ -z "${mounted:-}" ] || umount $CONFIG
done_testing

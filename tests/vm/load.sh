# SPDX-License-Identifier: GPL-2.0
# What must load, how it shows, and how it goes away. The row of the test
# catalogue stands before each description. More cycles: scripts/vm --append
# load_cycles=1000 load
#
# vm-like: node
. /t/lib.sh

IVSHMEM=0000:00:02.0
TESTDEV=0000:00:03.0

# member POOL NAME: a number out of 'buddyctl info' and 'stats'.
member() {
	{ buddyctl -p "$1" --json info && buddyctl -p "$1" --json stats; } |
		sed -n "s/^ *\"$2\":\([0-9]*\),*\$/\1/p" | head -n 1
}

# members POOL COMMAND NAMES: the same, all at once: sets the variables NAMES, a|b|c
members() {
	eval "$(buddyctl -p "$1" --json "$2" |
		sed -nE "/\"orders\"/q; s/^ *\"($3)\":([0-9]*),*\$/\\1=\\2/p")"
}

# All of the pool $1, $2 bytes, can be had at once and in min blocks, and comes back.
all_usable() {
	min_block=0 length=0 free=0 used=1
	members "$1" info 'min_block|length'
	[ "$length" = "$2" ] || return 1
	blocks=$(($2 / min_block))
	buddyctl -p "$1" alloc "$2" --align 1 --hold 0 || return 1
	if [ $blocks -le 65536 ]; then
		buddyctl -p "$1" alloc 4K --count $blocks --hold 0 >/dev/null || return 1
	fi
	members "$1" stats 'free|used'
	[ "$free" = "$2" ] && [ "$used" = 0 ]
}

# Loads, uses all of pool0, unloads; nothing stays behind.
cycle() {
	_size=$1
	shift
	load "$@" && all_usable pool0 "$_size"
	_status=$?
	unload && snapshot_unchanged && [ $_status = 0 ]
}

load_and_unload() {
	for _i in $(seq "$1"); do
		load base=0x30000000 size=64M pci=$IVSHMEM bar=2 && unload || return 1
	done
}

check "A01 no parameter: a library, without a node" load
check "A01 there is no node" [ ! -e /dev/buddy_pool ]
check "L01 unloads, and nothing stays behind" unload
check "L01 nothing stayed behind" snapshot_unchanged

# A page of the range, as root can see it without us
dev_mem() {
	dd if=/dev/mem of=/dev/null bs=4096 skip=$((0x30000000 / 4096)) count=1
}

check "J21 /dev/mem has the range as long as nobody claims it" dev_mem
dmesg_mark
check "a range and a BAR in one go" load base=0x30000000 size=64M pci=$IVSHMEM bar=2
check_log "one log line for the range" \
	'buddy_pool: pool0: 64\.0 MiB at \[mem 0x30000000-0x33ffffff\] \(Reserved\), min block 4\.00 KiB, wc$'
check_log "one log line for the BAR" \
	"buddy_pool: pool1: 64\\.0 MiB of $IVSHMEM BAR 2, min block 4\\.00 KiB, wc\$"
check "O10 and no other line" [ "$(dmesg | grep -c buddy_pool:)" = 2 ]
check "O08 the node is for root only" [ "$(stat -c %F:%a /dev/buddy_pool/pool0)" = "character special file:600" ]
check "O08 what udev gets: a name and a mode" sh -c \
	"sort /sys/class/misc/buddy_pool-pool0/uevent | tr '\n' ' ' |
		grep -x 'DEVMODE=0600 DEVNAME=buddy_pool/pool0 MAJOR=10 MINOR=[0-9]* '"
check "there are two nodes" [ "$(echo /dev/buddy_pool/*)" = "/dev/buddy_pool/pool0 /dev/buddy_pool/pool1" ]
check "the claim of the range is in /proc/iomem" grep -q '30000000-33ffffff : buddy_pool pool0$' /proc/iomem
check_fails "J21 /dev/mem is closed to it" dev_mem
check "A34 the whole range is usable" all_usable pool0 $((64 << 20))
check "A34 the whole BAR is usable" all_usable pool1 $((64 << 20))
check_fails "A37 a second insmod is refused" load base=0x30000000 size=64M
check "A37 the first is unaffected" all_usable pool0 $((64 << 20))
check_fails "A36 parameters can't be written" sh -c 'echo 1 >/sys/module/buddy_pool/parameters/size'

rm -f /tmp/held
buddyctl -p pool1 alloc 1M --hold 60 >/tmp/held &
holder=$!
until grep -qs handle /tmp/held; do sleep 0.1; done
check_fails "L02 not while a node is open" unload
kill -9 $holder
wait $holder 2>/dev/null
dmesg_mark
check "L02 unloads once the last is gone" unload
check "O10 without a line" [ "$(dmesg | grep -c buddy_pool:)" = 0 ]
check "L02 nothing stayed behind" snapshot_unchanged

check "A29 the last base= counts" load base=0x10000000 base=0x30000000 size=1M
check "A29 it does" grep -q '30000000-300fffff : buddy_pool pool0$' /proc/iomem
check "A29 and no other" [ "$(claims)" = 1 ]
check "unloads" unload
dmesg_mark
check "A30 misspelt parameters only" load bse=0x30000000 sze=1M
check_log "A30 are told: no pool" 'buddy_pool: no pool yet'
check "unloads" unload

check "A05 one min block" cycle 4096 base=0x30000000 size=4K
check "A07 3 MiB at an odd page" cycle $((3 << 20)) base=0x30001000 size=3M
for mib in 3 5 7 11 13 63; do
	check "A09 $mib MiB" cycle $((mib << 20)) base=0x30000000 size=${mib}M
done
check "A08 a ragged size is trimmed (+1)" cycle $((1 << 20)) base=0x30000000 size=$(((1 << 20) + 1))
check "A08 a ragged size is trimmed (+4095)" cycle $((1 << 20)) base=0x30000000 size=$(((1 << 20) + 4095))
check "min_block=64K" cycle $((64 << 20)) base=0x30000000 size=64M min_block=64K
check "part of a BAR's device: BAR 0 of 4 KiB (A44)" cycle 4096 pci=$TESTDEV bar=0
check "two BARs of one device" load pci=$TESTDEV,$TESTDEV bar=0,2 name=small,large
check "A34 both are there" [ -c /dev/buddy_pool/small ] && [ -c /dev/buddy_pool/large ]
check "unloads" unload

check "A34 two adjacent ranges" load base=0x30000000,0x32000000 size=32M,32M name=low,high
check "A34 low is whole" all_usable low $((32 << 20))
check "A34 high is whole" all_usable high $((32 << 20))
check "A34 they are not one" [ "$(member low largest)" = $((32 << 20)) ]
check "unloads" unload

dmesg_mark
check "A24 inside a firmware range" load base=0xfed1c000 size=4K
check_log "A24 the log names what it is part of" 'pool0: .*\[mem 0xfed1c000-0xfed1cfff\] \(.*\)'
check "unloads" unload

for mode in uc wc wb; do
	check "cache=$mode loads" load base=0x30000000 size=1M cache=$mode
	check "cache=$mode is reported" sh -c "buddyctl info | grep -q 'cache *$mode\$'"
	check "cache=$mode: a block can be written and read" first_block
	check "unloads" unload
done
check "A45 a BAR that is not prefetchable" load pci=$TESTDEV bar=0
check "A45 is not cached" sh -c "buddyctl info | grep -q 'cache *uc\$'"
check "unloads" unload

check "zero=never loads" load base=0x30000000 size=1M zero=never
check "zero=never is reported" sh -c "buddyctl info | grep -q 'zeroed *no\$'"
check "unloads" unload

check "limits: loads" load base=0x30000000 size=1M min_alloc=8K max_alloc=64K
check_fails "limits: below min_alloc" buddyctl alloc 4K --hold 0
check_fails "limits: above max_alloc" buddyctl alloc 128K --hold 0
check "limits: at both" buddyctl alloc 8K --hold 0
check "limits: at both" buddyctl alloc 64K --hold 0
check "unloads" unload

# The first pool is there while the second is zeroed, and the third can't be made.
load_in_vain() {
	rm -f /run/early.end
	early_test /dev/buddy_pool/first /run/early.end >/run/early.out 2>&1 &
	_early=$!
	for _i in 1 2 3 4 5; do
		load base=0x30000000,0x30001000,0x1000 size=4K,32M,4K zero=free \
			name=first,second,third 2>/dev/null && return 1
	done
	touch /run/early.end
	wait $_early
	_status=$?
	cat /run/early.out
	return $_status
}

check "L04 a load that fails: nobody gets in before that" load_in_vain
check "L04 nothing stayed behind" snapshot_unchanged
check "L04 loads" load base=0x30000000 size=64M
check "L04 a block can be had" buddyctl alloc 4K --hold 0
check "unloads" unload

# What modinfo has to say of the module, and of each parameter
described() {
	tr '\000' '\n' </m/buddy-pool.ko | grep -aE '^(license|description|parm)=' >/tmp/modinfo
	cat /tmp/modinfo
	grep -q '^license=GPL' /tmp/modinfo && grep -q '^description=[A-Z]' /tmp/modinfo || return 1
	for _parameter in /sys/module/buddy_pool/parameters/*; do
		grep -q "^parm=${_parameter##*/}:[A-Za-z]" /tmp/modinfo || return 1
	done
}
check "loads" load
check "O09 modinfo describes it and its parameters" described
check "unloads" unload

n=$(value load_cycles 50)
check "A50 loaded and removed $n times" load_and_unload "$n"
check "A50 nothing stayed behind" snapshot_unchanged

run_ktap "the map's drawing and the sizes" map_test

# J16: programs have mapped blocks and are at work when the machine goes down. scripts/vm
# sees whether it does.
cat >/run/last <<'END'
. /t/lib.sh
load base=0x30000000 size=64M pci=0000:00:02.0 bar=2 name=range,card &&
	start_load /dev/buddy_pool/range /run/never &&
	start_load /dev/buddy_pool/card /run/never &&
	[ "$(pidof load_test | wc -w)" -ge 10 ]
END
done_testing

# SPDX-License-Identifier: GPL-2.0
# buddyctl: blocks of an inherited open file, batches, reserved ranges, JSON.
#
# vm-like: node
. /t/lib.sh

# says ERE COMMAND: its output has such a line.
says() {
	sh -c "$2" >/tmp/out 2>&1
	cat /tmp/out
	grep -qE "$1" /tmp/out
}

# refused STATUS ERE COMMAND
refused() {
	sh -c "$3" >/tmp/out 2>&1
	_status=$?
	cat /tmp/out
	[ $_status = "$1" ] && grep -qE "$2" /tmp/out
}

check "loads" load base=0x30000000 size=64M
check "a block by its handle" says '^handle 1: 8K at offset 0 \(physical 0x30000000\), 0 mappings, mine$' \
	"buddyctl alloc 8K --label mine -- sh -c 'buddyctl query \$BUDDY_POOL_HANDLE'"
check "all blocks, more than one call lists" says '^3000$' \
	"buddyctl alloc 4K --count 3000 -- buddyctl list-blocks | grep -c mappings"
check "as JSON" says '"mappings":0' "buddyctl alloc 4K --count 3 -- buddyctl --json list-blocks"
check "the schema is 1" says '"schema":1' "buddyctl alloc 4K -- buddyctl --json query 1"
check "a handle that is none" refused 1 'no such block' "buddyctl alloc 4K -- buddyctl query 2"
check "help after a command" says '^usage: buddyctl' "buddyctl alloc --help"
check "query only of an inherited file" refused 2 'only inside' "buddyctl query 1"
check "list-blocks likewise" refused 2 'only inside' "buddyctl list-blocks"
check "the physical address is for root" says '"physical":null' "buddyctl alloc 4K -- \
	unshare -U buddyctl --json query 1"
check "a batch that does not fit" refused 1 'beside those that fit, the longest free run is 24M' \
	"buddyctl alloc 40M --count 2 --align 1 --hold 0"
check "nor does this, which would fill it" refused 1 'beside those that fit, nothing is free' \
	"buddyctl alloc 8M --count 20 --hold 0"
check "a whole power of two" refused 1 'try --align 1 instead of --pow2' \
	"buddyctl alloc 4K --fixed 6M -- buddyctl -p pool0 alloc 40M --pow2 --align 1 --hold 0"
check "a place that is not free" refused 1 "'buddyctl map' shows what is free" \
	"buddyctl alloc 4K --fixed 0 -- buddyctl -p pool0 alloc 4K --fixed 0 --hold 0"
check "one place, or a window" refused 2 'no --start, --end or --count' \
	"buddyctl alloc 4K --fixed 0 --start 4K"
check "a command that is not there" refused 127 "can't run nothing" "buddyctl alloc 4K -- nothing"
check "one that is none" refused 126 "can't run /" "buddyctl alloc 4K -- /"
check "more blocks than the environment takes" says '^0 16000$' "buddyctl alloc 4K --count 16000 \
	-- sh -c 'echo \${#BUDDY_POOL_OFFSET} \$(buddyctl list-blocks | wc -l)'"
check "a label that looks like an option" says '0 mappings, -h$' \
	"buddyctl alloc 4K --label -h -- buddyctl list-blocks"
check "-- as a label" says '0 mappings, --$' "buddyctl alloc 4K --label -- -- buddyctl list-blocks"
check "two sizes" refused 2 'one size only' "buddyctl alloc 4K 8K --hold 0"
check "an inherited file that is none" refused 1 'no file descriptor' "BUDDY_POOL_FD= buddyctl query 1"
check "JSON that can't be written" refused 1 "can't write" \
	"buddyctl alloc 4K --count 100 -- sh -c 'buddyctl --json list-blocks >/dev/full'"
check "no command then" refused 1 "can't write" \
	"buddyctl --json alloc 4K --count 100 -- true >/dev/full"
check "help after an argument" says '^usage: buddyctl' "buddyctl alloc 4K --help"
check "a name that is none" refused 2 'is no name' "buddyctl create .. size=1M"
check "a setting that is none" refused 2 'is no setting' "buddyctl create a x/y=1"

check "reserve" buddyctl reserve 1M 64K
check "it shows" says '^reserved *64K$' "buddyctl stats"
check "it is not free" refused 1 'not all of it is free' "buddyctl reserve 1M 64K"
check "nor is what is around it" refused 1 'not all of it is free' "buddyctl reserve 0 2M"
check "no block there" refused 1 'fixed place' "buddyctl alloc 4K --fixed 1M --hold 0"
check "outside the pool" refused 1 'in the pool' "buddyctl reserve 64M 4K"
check "no multiple of min_block" refused 1 'multiples' "buddyctl reserve 1 4K"
check "no number" refused 2 'no numbers' "buddyctl reserve x 4K"
check "unreserve a part" refused 1 'as for reserve' "buddyctl unreserve 1M 4K"
check "unreserve" buddyctl unreserve 1M 64K
check "all is free" says '^free *64M$' "buddyctl stats"

check "stats: fragmentation" says '^fragmentation *500$' \
	"buddyctl alloc 8K --fixed 0x1fff000 -- buddyctl stats"
check "stats: one line for each order" says '^ *64M +1 ' "buddyctl stats"
check "stats: the same in JSON" says '"enqueues":' "buddyctl --json stats"
check "info: no limit is null" says '"max_user_bytes":null' "buddyctl --json info"
check "info: when blocks are zeroed" says '^zero *alloc$' "buddyctl info"
check "unloads" unload
done_testing

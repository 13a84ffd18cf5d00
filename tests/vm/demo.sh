# SPDX-License-Identifier: GPL-2.0
# What scripts/demo shows, with a check after each step. Lines that start with
# '# ' are what the reader sees.
#
# vm-like: node
. /t/lib.sh

title() {
	diag ""
	diag "--- $*"
}

# show COMMAND: prints it and what it says; sets status.
show() {
	diag ""
	diag "\$ $1"
	sh -c "$1" >/tmp/out 2>&1
	status=$?
	sed 's/^/# /' /tmp/out
}

# works DESCRIPTION COMMAND, and refused DESCRIPTION COMMAND
works() {
	show "$2"
	if [ $status -eq 0 ]; then ok "$1"; else not_ok "$1 (exit status $status)"; fi
}

refused() {
	show "$2"
	if [ $status -eq 1 ]; then ok "$1"; else not_ok "$1 (exit status $status)"; fi
}

# says DESCRIPTION ERE: about the last output
says() {
	if grep -qE "$2" /tmp/out; then ok "$1"; else not_ok "$1 (no '$2')"; fi
}

# Every byte of both pools is free.
all_free() {
	for pool in reserved card; do
		show "buddyctl -p $pool stats | grep -E '^(free|used|held|nr_blocks) '"
		says "$pool: all of it is free" '^free *64M$'
		says "$pool: nothing is used" '^used *0$'
		says "$pool: nothing is held" '^held *0$'
	done
}

# hold_blocks ARGUMENT...: 'buddyctl ARGUMENT... --hold 1000' until let_go.
hold_blocks() {
	diag ""
	diag "\$ buddyctl $* --hold 1000 &"
	rm -f /tmp/held
	buddyctl "$@" --hold 1000 >/tmp/held 2>&1 &
	holder=$!
	until [ -s /tmp/held ] || ! kill -0 $holder; do sleep 0.1; done
	sed 's/^/# /' /tmp/held
}

let_go() {
	diag ""
	diag "\$ kill -KILL $holder"
	kill -KILL $holder
	wait $holder 2>/dev/null
}

title "Two kinds of device memory: a range that the boot loader kept from Linux ..."
works "the range is reserved" "grep -i '30000000-.*reserved' /proc/iomem"
diag ""
diag "... and BAR 2 of a PCI device, which is 64 MiB of memory"
works "the BAR is there" "sed -n 3p /sys/bus/pci/devices/0000:00:02.0/resource"

title "One module for both"
dmesg_mark
works "the module loads" "insmod /m/buddy-pool.ko base=0x30000000 size=64M pci=0000:00:02.0 bar=2 name=reserved,card"
show "dmesg | grep buddy_pool: | tail -n 2"
says "the log names the range" 'reserved: .*0x30000000-0x33ffffff'
says "the log names the BAR" 'card: .*0000:00:02.0 BAR 2'
works "there are nodes" "ls -l /dev/buddy_pool"
works "buddyctl lists them" "buddyctl list"
says "the range is one" '^reserved +64M +64M .*physical'
says "the BAR is one" '^card +64M +64M .*pci'
works "what a pool is" "buddyctl -p reserved info"

title "A C program gets a block, writes and reads it through mmap, frees it, frees it again"
works "on the range, 64 KiB" "first_block /dev/buddy_pool/reserved"
says "memory holds what was written" 'read 0xcafe and 0xbeef'
says "a double free is refused" 'freed again: No such file'
works "on the BAR, 5 MiB" "first_block /dev/buddy_pool/card 5242880"
says "memory holds what was written" 'read 0xcafe and 0xbeef'

title "Blocks of several sizes; a length that is no power of two wastes nothing"
works "before: a free pool" "buddyctl -p reserved map --rows 4"
says "all is free" '64M: 0 used'
works "20K for 17K" "buddyctl -p reserved alloc 17K --hold 0"
says "17 KiB become 20 KiB" '20K at offset'
works "the least and the most" "buddyctl -p reserved alloc 1 --hold 0; buddyctl -p reserved alloc 64M --hold 0"
says "a byte takes a min block" '4K at offset'
says "the whole range is one block" '64M at offset 0$'
hold_blocks -p reserved alloc 16M --top-down --label elsewhere
works "the map, as the owner of four blocks sees it" \
	"buddyctl -p reserved alloc 3M --count 4 -- buddyctl map --rows 4"
says "own blocks are told from others" '@@@.*\.\.\.'
says "and from those of other processes" '####$'
let_go

title "Refusals are sentences"
refused "a double free" \
	"buddyctl -p reserved alloc 64K -- sh -c 'buddyctl free \$BUDDY_POOL_HANDLE; buddyctl free \$BUDDY_POOL_HANDLE'"
says "and why" 'freed it before'
refused "too much at once" "buddyctl -p reserved alloc 40M --count 2 --hold 0 --align 1"
says "and what would do" "try fewer, or 'alloc 24M --align 1'"
refused "more than there is" "buddyctl -p card alloc 1G --hold 0"

title "The blocks of a killed process come back"
hold_blocks -p card alloc 16M
works "used by a process" "buddyctl -p card map --rows 4"
says "16 MiB are used" '16M used'
let_go
works "killed" "buddyctl -p card map --rows 4"
says "everything is free again" '64M: 0 used'

title "Statistics"
works "the counters" "buddyctl -p reserved stats"
says "bad frees were counted" '^bad_frees'
all_free

title "Unload"
works "the module unloads" "rmmod buddy_pool"
works "the range is as it was" "grep -i '30000000-.*reserved' /proc/iomem"
check "nothing stays behind" snapshot_unchanged
done_testing

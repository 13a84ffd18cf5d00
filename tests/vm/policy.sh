# SPDX-License-Identifier: GPL-2.0
# zero=alloc, free and never: tests/node/policy_test.c for each. With zero=free the
# tests of the node pass as they do with zero=alloc, and memory that was written
# before the module was loaded is not shown.
#
# vm-like: node
# vm-timeout: 180
. /t/lib.sh

# policy DESCRIPTION PARAMETER...
policy() {
	_policy=$1
	shift
	check "$_policy: loads" load base=0x30000000 size=64M "$@"
	check "$_policy: a kernel user writes" insmod /m/buddy_writer.ko size=8388608
	check "$_policy: and goes" rmmod buddy_writer
	run_ktap "$_policy: what it wrote" zero_test -t I01_what_a_kernel_user_wrote_is_not_shown
	run_ktap "$_policy" policy_test
}

# In a small pool: each try writes to all of its pages, and looks at them.
killed() {
	check "zero=$1: loads, a small pool" load base=0x30000000 size=16M "zero=$1"
	run_ktap "zero=$1: I02 killed while it zeroes" zero_test -t I02_B14_a_call_that_is_killed_while_it_zeroes
	run_ktap "zero=$1: I02 D17 killed at any moment" zero_test -t I02_D17_children_that_zero_are_killed_at_any_moment
	check "zero=$1: unloads" unload
}

echo 0 >/proc/sys/debug/exception-trace
killed alloc
policy "zero=alloc" zero=alloc
run_ktap "fills the memory" node_owner_test -t I05_fill
check "unloads" unload

policy "zero=free" zero=free
run_ktap "zero=free: I05 old contents" node_owner_test -t I05_what_the_memory_held_before_is_not_shown
run_ktap "zero=free: mappings" node_mmap_test
run_ktap "zero=free: owners" node_owner_test
run_ktap "zero=free: batches" node_batch_test
check "unloads" unload
for end in exit death exit_with_many_files; do
	check "zero=free: loads" load base=0x30000000 size=64M zero=free
	run_ktap "zero=free: I02 D17 $end" zero_test -t I02_D17_${end}_is_not_held_up_by_zeroing
	check "unloads" unload
done
killed free

policy "zero=never" zero=never
check "zero=never: says so" sh -c "buddyctl info | grep -q 'zero *never\$'"
check "unloads" unload

policy "zero=never share_dirty=1" zero=never share_dirty=1
check "unloads" unload
done_testing

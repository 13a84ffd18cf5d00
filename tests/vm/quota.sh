# SPDX-License-Identifier: GPL-2.0
# Quotas: tests/node/quota_test.c, whose numbers these are, in 64 and 32 bits.
#
# vm-like: node
# vm-timeout: 60
. /t/lib.sh

# may_not_load PARAMETER...: refused, and for no other reason than that value.
may_not_load() {
	! load base=0x30000000 size=64M "$@" || { unload && return 1; }
}

check "loads" load base=0x30000000 size=64M pci=0000:00:02.0 bar=2 max_file_bytes=1M \
	max_file_blocks=20 max_user_bytes=1536K max_user_blocks=30
for pool in pool0 pool1; do
	export BUDDY_POOL_NODE=/dev/buddy_pool/$pool
	run_ktap "quotas, $pool" quota_test
	[ ! -x /bin/quota_test32 ] || run_ktap "quotas, $pool, for a 32-bit process" quota_test32
done
unset BUDDY_POOL_NODE
check "H03 INFO has them for people, too" \
	sh -c "buddyctl -p pool0 info | grep -q 'max_file_blocks *20\$'"
check "unloads" unload

check "H04 without a parameter: 65,536 blocks a file" load base=0x30000000 size=64M
check "H04 INFO has that" sh -c "buddyctl info | grep -q 'max_file_blocks *65536\$'"
check "unloads" unload

for quota in max_file_bytes max_user_bytes max_file_blocks max_user_blocks; do
	check "H03 $quota=x" may_not_load $quota=x
	check "H03 $quota=-1" may_not_load $quota=-1
done
done_testing

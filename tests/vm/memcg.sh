# SPDX-License-Identifier: GPL-2.0
# Kernel memory of handles, and who pays for it: tests/node/memcg_test.c. In a boot of
# its own, since a cgroup that is out of memory fills the log.
#
# vm-append: memmap=256M$0x20000000
# vm-config: MEMCG
# vm-turn: 1
# vm-expect-log: memcg_test invoked oom-killer
# vm-expect-log: Call Trace:
# vm-timeout: 90
. /t/lib.sh

mount_cgroups() {
	mkdir -p /run/memcg && mount -t cgroup2 none /run/memcg &&
		echo +memory >/run/memcg/cgroup.subtree_control
}

check "mounts the cgroups" mount_cgroups
check "loads" load base=0x20000000 size=256M zero=never
run_ktap "memory cgroups" memcg_test
check "unloads" unload
check "the groups are gone" umount /run/memcg
done_testing

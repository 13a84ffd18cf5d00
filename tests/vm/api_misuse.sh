# SPDX-License-Identifier: GPL-2.0
# What the API refuses, and logs: once for each kind, with a warning on kernels
# with CONFIG_DEBUG_VM. The checks are in tests/modules/api_misuse.c.
#
# vm-like: memcg
# vm-turn: 1
# vm-timeout: 60
# vm-expect-log: buddy_pool: misuse: |WARNING: .*(report|buddy_pool_(create|alloc|destroy|put))\+|Call Trace:
. /t/lib.sh

# NMIs on the other CPU, as long as the group runs
nmi() {
	(
		while sleep 1; do echo l; done >/proc/sysrq-trigger
	) &
	_keys=$!
	api nmi
	_status=$?
	kill $_keys
	return $_status
}

# The kernel log has one line of each kind, whoever made the mistake how often.
logged() {
	[ "$(grep -c "buddy_pool: misuse: .* $1\$" /run/misuse.log)" = 1 ]
}

check "loads" load
run_ktap "misuse" api misuse
dmesg >/run/misuse.log
run_ktap "misuse again" api misuse
dmesg >>/run/misuse.log
run_ktap "M12 in NMI" nmi
dmesg >>/run/misuse.log
check "M01 create of nothing is logged" logged "is given no configuration"
check "M06 no pool is logged (M05)" logged "is given no pool"
check "M03 a second destroy is logged" logged "is given a pool that was destroyed"
check "M15 a put too many is logged" logged "is given a pool that is no more"
check "M12 a call in NMI is logged" logged "is called in NMI"
check "unloads" unload
done_testing

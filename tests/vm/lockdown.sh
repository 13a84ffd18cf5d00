# SPDX-License-Identifier: GPL-2.0
# Under lockdown an unsigned module can't come in, and says so (row A38). With a
# signed one, base= would be refused: that needs a key, which a stock kernel has not.
#
# vm-append: memmap=64M$0x30000000 lockdown=integrity
. /t/lib.sh

refused() {
	! finsmod /m/buddy-pool.ko "$@" >/tmp/error
	cat /tmp/error
	grep -qx EPERM /tmp/error
}

dmesg_mark
check "A38 base= is refused" refused base=0x30000000 size=64M
check_log "A38 the log says why" 'Lockdown: .*unsigned module loading is restricted'
check "A38 as a library, too" refused
check "A38 nothing stays behind" snapshot_unchanged
done_testing

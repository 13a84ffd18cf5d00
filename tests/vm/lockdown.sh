# SPDX-License-Identifier: GPL-2.0
# Lockdown that comes when the module is there already: no pool over a range can be
# made any more, as base= is refused then (row A38). A BAR needs no address. Nor can the
# module come in again, since it is not signed; with a signed one, base= would be refused,
# but that needs a key, which a stock kernel has not.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-append: memmap=64M$0x30000000 bp_lockdown=later
# vm-modules: configfs
. /t/lib.sh

CONFIG=/sys/kernel/config
ROOT=$CONFIG/buddy_pool
LOCKDOWN=/sys/kernel/security/lockdown

write() {
	echo "$1" >"$2"
}

grep -q ' /sys/kernel/security ' /proc/mounts || mount -t securityfs securityfs /sys/kernel/security
if [ ! -w $LOCKDOWN ]; then
	skip "A38 this kernel has no lockdown"
	done_testing
	exit
fi
grep -q " $CONFIG " /proc/mounts || { mount -t configfs configfs $CONFIG && mounted=1; }
load
insmod /m/buddy-pool-configfs.ko
mkdir $ROOT/ddr $ROOT/old $ROOT/card
check "before: a range" sh -c "echo 0x30000000 >$ROOT/old/base && echo 1M >$ROOT/old/size &&
	echo 1 >$ROOT/old/live"
check "A38 settings" sh -c "echo 0x31000000 >$ROOT/ddr/base && echo 1M >$ROOT/ddr/size"
check "A38 lockdown" write integrity $LOCKDOWN
dmesg_mark
check_fails "A38 no range any more" write 1 $ROOT/ddr/live
check_log "A38 the log says why" 'Lockdown: .*unsafe module parameters is restricted'
check "A38 nothing is claimed" sh -c "! grep -q 31000000 /proc/iomem"
check "A38 a BAR is no address" sh -c "echo 0000:00:02.0 >$ROOT/card/pci && echo 2 >$ROOT/card/bar &&
	echo 1 >$ROOT/card/live"
check "A38 what there was can go" write 0 $ROOT/old/live
check "the BAR can go" write 0 $ROOT/card/live
check "rmdir" rmdir $ROOT/ddr $ROOT/old $ROOT/card
check "unloads" rmmod buddy_pool_configfs
check "unloads" unload
[ -z "${mounted:-}" ] || umount $CONFIG

refused() {
	! finsmod /m/buddy-pool.ko "$@" >/tmp/error
	cat /tmp/error
	grep -qx EPERM /tmp/error
}

dmesg_mark
check "A38 base= is refused" refused base=0x30000000 size=64M
check_log "A38 the log says why" 'Lockdown: .*unsigned module loading is restricted'
check "A38 as a library, too" refused
umount /sys/kernel/security
done_testing

# SPDX-License-Identifier: GPL-2.0
# The machine hibernates while programs have blocks. Another kernel starts, writes to all
# of the range, and then goes on with the image of the first. So the test begins in two
# kernels. The row of the test catalogue stands before each description.
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-device: -drive if=none,id=disk,format=raw,file=disk -device ide-hd,drive=disk
# vm-disk: 1G
# vm-append: memmap=64M$0x30000000
# vm-modules: ahci sd_mod
# vm-control: yes
# vm-config: HIBERNATION
# vm-timeout: 120
. /t/lib.sh

DISK=/dev/sda

has_image() {
	[ "$(dd if=$DISK bs=1 skip=4086 count=9 2>/dev/null)" = S1SUSPEND ]
}

# This kernel is not the one that hibernated: it ends here.
become_the_other() {
	tr '\0' '\245' </dev/zero | dd of=/dev/mem bs=1M seek=768 count=64 iflag=fullblock conv=notrunc
	cat /sys/class/block/sda/dev >/sys/power/resume
	echo "the image was not taken" && false
}

within 100 test -b $DISK
if has_image; then
	check "K04 goes on with the image" become_the_other
	done_testing
	exit
fi

# keep POOL: a block that is full, until /run/awake
keep() {
	keep_block "/dev/buddy_pool/$1" /run/awake >"/run/$1.kept" &
	within 50 grep -q mapped "/run/$1.kept"
}

# has POOL BYTE: that is what is in the block now
has() {
	within 50 sh -c "! pidof keep_block"
	cat "/run/$1.kept"
	[ "$(sed -n 2p "/run/$1.kept")" = "$2" ]
}

hibernate() {
	echo reboot >/sys/power/disk
	echo 0 >/sys/power/image_size
	echo disk >/sys/power/state
}

check "QEMU can be controlled" qmp_start
check "there is room for the image" sh -c "mkswap $DISK && swapon $DISK"
check "loads" load base=0x30000000 size=64M pci=0000:00:02.0 bar=2 name=range,card zero=free
check "somebody has a block of the range" keep range
check "somebody has a block of the card" keep card
check "QEMU starts the machine again" qmp set-action '"reboot":"reset"'
dmesg_mark
check "K04 hibernates, and goes on" hibernate
check_log "K04 the log tells" "buddy_pool: .*may hold anything"
check "QEMU ends when the machine does" qmp set-action '"reboot":"shutdown"'
touch /run/awake
check "K04 the image has nothing of the range: there is what the other kernel left" has range 0xa5
check "K04 the card has kept what it held" has card 0x5a
# What was zero before the machine went down counts as zero no more.
both_are_zero K04
check "unloads" unload
check "no room for an image any more" swapoff $DISK
qmp_stop
# Going to sleep makes consoles.
snapshot
done_testing

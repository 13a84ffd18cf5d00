# SPDX-License-Identifier: GPL-2.0
# Wrong parameters: each fails to load with the expected error and one clear line
# in the kernel log, and leaves everything as it was. The row of the test catalogue
# stands before each description.
#
# vm-like: node
# vm-turn: 0
. /t/lib.sh

IVSHMEM=0000:00:02.0
TESTDEV=0000:00:03.0
AHCI=0000:00:1f.2

# What a failed load could disturb; guest-vm compares more at the end.
state() {
	printf '%s\n' /dev/* /sys/class/misc/* /sys/bus/pci/drivers/* /sys/kernel/slab/*
	cat /proc/iomem /proc/ioports /proc/misc /proc/devices /proc/modules \
		/sys/bus/pci/devices/*/enable /sys/kernel/debug/x86/pat_memtype_list
	vmalloc_areas '/\[buddy/'
}

# refused ERRNO LOG_ERE PARAMETER...
refused() {
	_errno=$1
	_ere=$2
	shift 2
	dmesg_mark
	refused_by_core "$_errno" "$@" && complains "$_ere"
}

# refused_by_core ERRNO PARAMETER...: before the module has a say.
refused_by_core() {
	_errno=$1
	shift
	if finsmod /m/buddy-pool.ko "$@" >/tmp/insmod; then
		unload
		echo "it loaded"
		return 1
	fi
	read -r _said </tmp/insmod
	echo "$_said"
	[ "$(state)" = "$BEFORE" ] || { state | diff -u /tmp/before - && echo "for a moment"; return 1; }
	case "|$_errno|" in *"|$_said|"*) ;; *) echo "wanted: $_errno" && return 1 ;; esac
}

# First line of /proc/iomem with this name: its start.
start_of() {
	sed -n "s/^ *\([0-9a-f]*\)-[0-9a-f]* : $1\$/\1/p" /proc/iomem | head -n 1
}

# over ROW NAME: a page on top of a resource that is there.
over() {
	_start=$(start_of "$2")
	if [ -n "$_start" ]; then
		check "$1 over $2" refused EBUSY "$3" base=0x"$_start" size=4K
	else
		skip "$1 over $2: this machine has none"
	fi
}

R=base=0x30000000

# The first load says 'taints kernel', and lets the kernel make what it keeps.
load && unload
state >/tmp/before
BEFORE=$(cat /tmp/before)

check "A02 base alone" refused EINVAL 'each range needs both' $R
check "A02 size alone" refused EINVAL 'each range needs both' size=64M
check "A30 misspelt base" refused EINVAL 'each range needs both' bse=0x30000000 size=64M
check "A32 more bases than sizes" refused EINVAL 'each range needs both' $R,0x31000000 size=1M
check "A32 more sizes than bases" refused EINVAL 'each range needs both' $R size=1M,1M
check "A32 17 ranges" refused_by_core EINVAL \
	$R,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1 size=1M

check "A03 size=0" refused EINVAL 'size is 0' $R size=0
check "A04 size=1" refused EINVAL 'less than min_block' $R size=1
check "A04 size=4095" refused EINVAL 'less than min_block' $R size=4095
for size in '' x 64MB 1.5M -1 ' 64M' 64MM 0x 18446744073709551616 16777216T; do
	check "size='$size'" refused EINVAL 'no number of bytes' $R "size=$size"
done
for base in '' x -1 0x3000000h 0x10000000000000000; do
	check "base='$base'" refused EINVAL 'no number of bytes' "base=$base" size=1M
done
check "A06 base=0x30000001" refused EINVAL 'multiple of the page size' base=0x30000001 size=1M
check "A06 base=0x30000800" refused EINVAL 'multiple of the page size' base=0x30000800 size=1M
check "A10 up to 2^64" refused EINVAL 'beyond the last physical address' \
	base=0xfffffffffffff000 size=4K
check "A11 wraps past 2^64" refused EINVAL 'beyond the last physical address' \
	base=0xfffffffffffff000 size=8K
check "A11 wraps to 0" refused EINVAL 'beyond the last physical address' \
	base=0x8000000000000000 size=0x8000000000000000
check "A12 beyond the physical address bits" refused EINVAL \
	'beyond the last physical address' base=0x10000000000000 size=64M
check "A13 ends beyond them" refused EINVAL 'beyond the last physical address' \
	$R size=0x10000000000000
check "A26 base=0" refused EINVAL 'first MiB' base=0 size=64K

check "A15 inside System RAM" refused EBUSY \
	'in use: 0x10000000-0x100fffff is System RAM: reserve it' base=0x10000000 size=1M
check "A17 RAM in the middle" refused EBUSY 'is System RAM' base=0x2ff00000 size=66M
check "A17 RAM at the start" refused EBUSY ': 0x2ffff000-0x2fffffff is System RAM' \
	base=0x2ffff000 size=8K
check "A17 RAM at the end" refused EBUSY ': 0x34000000-0x34000fff is System RAM' \
	base=0x33fff000 size=8K
over A18 'Kernel code' 'is System RAM'
over A18 'Kernel data' 'is System RAM'
over A19 'HPET 0' 'partly outside of 0xfed00000-0xfed003ff, HPET 0'
over A19 'IOAPIC 0' 'belongs to IOAPIC 0'
over A19 'Local APIC' 'belongs to Local APIC'
over A19 'PCI MMCONFIG 0000 .*' 'belongs to PCI MMCONFIG 0000 '
over A21 'ACPI Tables' 'belongs to ACPI Tables'
over A21 'ACPI Non-volatile Storage' 'belongs to ACPI Non-volatile Storage'
over A22 'ahci' "belongs to ahci in $AHCI"
over A23 "$IVSHMEM" "use pci=$IVSHMEM bar="
check "A24 across the border of a firmware range" refused EBUSY \
	'partly inside and partly outside of 0xfed1c000-0x[0-9a-f]*, Reserved' \
	base=0xfed1b000 size=8K

check "A33 identical" refused EBUSY 'belongs to buddy_pool pool0 in Reserved' \
	$R,0x30000000 size=64M,64M
check "A33 nested" refused EBUSY 'belongs to buddy_pool low' \
	$R,0x31000000 size=64M,1M name=low,high
check "A33 overlapping by a page" refused EBUSY ': 0x30000000-0x30ffffff belongs to' \
	$R,0x30fff000 size=16M,16M
check "A33 a BAR twice" refused EBUSY "belongs to buddy_pool pool0 in $IVSHMEM" \
	pci=$IVSHMEM,$IVSHMEM bar=2,2

for block in 0 1 2048 4095 4097 3M 0x8000000000000001; do
	check "A31 min_block=$block" refused EINVAL 'power of two' $R size=64M min_block=$block
done
check "A31 min_block=-1" refused EINVAL 'no number of bytes' $R size=64M min_block=-1
check "A31 min_block more than the pool" refused EINVAL 'less than min_block' \
	$R size=64M min_block=128M
check "A31 min_block=2^63" refused EINVAL 'less than min_block' \
	$R size=64M min_block=0x8000000000000000
check "A31 min_alloc=0" refused EINVAL 'at least 1' $R size=64M min_alloc=0
check "A31 max_alloc=0" refused EINVAL 'at least 1' $R size=64M max_alloc=0
check "A31 min_alloc > max_alloc" refused EINVAL 'limits' $R size=64M min_alloc=2M max_alloc=1M
check "A31 max_alloc > size" refused EINVAL 'limits' $R size=64M max_alloc=128M
check "A31 max_alloc < min_block" refused EINVAL 'min_block' \
	$R size=64M min_block=64K max_alloc=32K
check "cache=fast" refused EINVAL 'cache=fast' $R size=64M cache=fast
check "zero=maybe" refused EINVAL 'zero=maybe' $R size=64M zero=maybe

LONG=$(printf '%255s' '' | tr ' ' a)
for name in ../x a/b . .. .a %s%n 'a b' 'käse' "$(echo "$LONG" | cut -c1-32)" "$LONG"; do
	check "A35 name='$name'" refused EINVAL 'a name is' $R size=64M "name=$name"
done
check "A35 an empty name" refused EINVAL 'a name is' $R size=64M name=
check "A35 a name of 1,025 characters" refused_by_core ENOSPC \
	$R size=64M "name=$LONG$LONG$LONG$LONG$LONG"
# Linux 7.3 makes EBUSY of EEXIST from any module.
check "A35 the same name twice" refused "EEXIST|EBUSY" 'of that name' \
	$R,0x31000000 size=1M,1M name=a,a
check "A35 more names than pools" refused EINVAL 'names' $R size=1M name=a,b

for pci in '' 0 zz:zz.z 00:01.0 0000:00:1f.8 0000:00:20.0 10000:00:00.0 0000:00:02.0x ' 0000:00:02.0'; do
	check "A39 pci='$pci'" refused EINVAL 'no PCI device' "pci=$pci" bar=2
done
check "A39 pci= of 1,000 characters" refused EINVAL 'no PCI device' \
	"pci=$(printf '%1000s' '' | tr ' ' 0)" bar=2
check "A02 pci alone" refused EINVAL 'each device needs both' pci=$IVSHMEM
check "A02 bar alone" refused EINVAL 'each device needs both' bar=2
check "A40 no such device" refused ENODEV 'no such device' pci=0000:00:1e.7 bar=0
for bar in -1 6 7 255; do
	check "A41 bar=$bar" refused EINVAL 'must be 0 to 5' pci=$IVSHMEM bar=$bar
done
check "A41 bar=2^31" refused_by_core "EINVAL|ERANGE" pci=$IVSHMEM bar=2147483648
check "A42 a BAR that is not there" refused ENXIO 'does not exist' pci=$IVSHMEM bar=5
check "A42 upper half of a 64-bit BAR" refused ENXIO 'does not exist' pci=$TESTDEV bar=3
check "A42 a BAR that is I/O ports" refused ENXIO 'I/O ports' pci=$TESTDEV bar=1
check "A44 a BAR of 256 bytes" refused ENXIO 'smaller than a page' pci=$IVSHMEM bar=0
if [ -e /sys/bus/pci/devices/$AHCI/driver ]; then
	check "A22 a device with a driver" refused EBUSY 'driver ahci' pci=$AHCI bar=5
else
	skip "A22 a device with a driver: this kernel has none for $AHCI"
fi
check "a good range, then a bad BAR: neither" refused ENXIO 'I/O ports' \
	$R size=64M pci=$TESTDEV bar=1

check "after all that, a good one loads" load $R size=64M pci=$IVSHMEM bar=2
check "and unloads" unload
done_testing

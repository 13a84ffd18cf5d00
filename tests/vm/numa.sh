# SPDX-License-Identifier: GPL-2.0
# A device of another NUMA node, which the kernel probes on a CPU there, in a worker of
# its own. The row of the test catalogue stands before each description. KASAN would want
# an eighth of the BAR as shadow memory.
#
# vm-device: -global q35-pcihost.pci-hole64-size=1T -cpu max,-erms,phys-bits=46
# vm-device: -object memory-backend-ram,size=512M,id=m0 -object memory-backend-ram,size=512M,id=m1
# vm-device: -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1
# vm-device: -device pxb-pcie,id=far,bus_nr=64,numa_node=1
# vm-device: -device pcie-root-port,id=far_port,bus=far,chassis=9,slot=9
# vm-device: -device pci-testdev,membar=64G,bus=far_port
# vm-smp: 2,sockets=2
# vm-config: NUMA !KASAN
. /t/lib.sh

DEVICE=$(basename "$(dirname "$(grep -lx 0x0005 /sys/bus/pci/devices/*/device)")")

# Who loads stays on the first CPU, which is not of that node.
taskset -p 1 $$ >/dev/null
check "the device is far away" [ "$(cat "/sys/bus/pci/devices/$DEVICE/numa_node")" = 1 ]
check "A52 a load that takes long" start_loading pci="$DEVICE" bar=2 zero=free min_block=64K
sleep 1
check "A52 it is not done" is_loading
check "A52 killed, it is gone in a second" kill_loading
check "A52 nothing stayed behind" snapshot_unchanged
# A kworker binds it, since it is of another node, and that can't be killed.
zeroed() {
	buddyctl stats | awk '$1 == "zeroed" { print $2 }'
}
check "A52 loads" load zero=free min_block=64K
bind "$DEVICE" >/tmp/bind.out 2>&1 &
BINDER=$!
check "A52 it is bound in no time, and zeroed later" within 50 sh -c 'buddyctl stats'
wait $BINDER
check "A52 nothing is zero yet" [ "$(zeroed)" = 0 ]
check "A52 a block is had, and given back" buddyctl alloc 64K --hold 0
check "A52 it was zeroed both times" [ "$(zeroed)" = 128K ]
check "unloads" unload
echo >"/sys/bus/pci/devices/$DEVICE/driver_override"

check "loads" load pci="$DEVICE" bar=2 min_block=64K
check "a block can be had" buddyctl alloc 64K --hold 0
check "unloads" unload
done_testing

# SPDX-License-Identifier: GPL-2.0
# The API for other modules, from every context and over every kind of range. The
# checks are in tests/modules/, with the rows of the test catalogue.
#
# vm-like: node
# vm-timeout: 90
. /t/lib.sh

check "loads" load base=0x30000000 size=64M name=ddr
for group in contexts hold storm names bars; do
	run_ktap "$group" api $group
done
run_ktap "ranges" api ranges pool=ddr base=0x30000000
run_ktap "mappings" api mappings pool=ddr
run_ktap "wakes" api wakes pool=ddr
check "unloads" unload
done_testing

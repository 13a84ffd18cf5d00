# SPDX-License-Identifier: GPL-2.0
# The KUnit modules, on a kernel with everything that a driver meets. scripts/kunit
# runs them faster, on User Mode Linux.
#
# vm-config: KUNIT
# vm-append: memmap=64M$0x30000000 kunit.enable=1 kunit.autorun=1
# vm-threads: all
# vm-timeout: 100
. /t/lib.sh

# Linux before 6.4 prints neither header nor plan for the suites of a module. The values
# of a test that takes parameters have no plan in any version: as comments, since the
# test itself fails if one of them does.
ktap() {
	dmesg | sed 's/^\[[^]]*\]\( *\[[^]]*\]\)* //' |
		grep -E '^ *(KTAP version|1\.\.|(not )?ok |# )' | sed 's/^        /# /' >/tmp/kunit.log
	grep -q '^KTAP version' /tmp/kunit.log || {
		echo "KTAP version 1"
		echo "1..$(grep -cE '^(not )?ok ' /tmp/kunit.log)"
	}
	cat /tmp/kunit.log
	grep -qE '^ok ' /tmp/kunit.log && ! grep -qE '^not ok ' /tmp/kunit.log
}

check "loads as a library" load
for ko in /m/*kunit*.ko; do
	dmesg_mark
	check "$(basename "$ko") loads" insmod "$ko"
	run_ktap "$(basename "$ko")" ktap
	check "$(basename "$ko") unloads" rmmod "$ko"
done
check "unloads" unload
done_testing

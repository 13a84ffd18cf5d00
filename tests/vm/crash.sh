# SPDX-License-Identifier: GPL-2.0
# As kexec, but the next kernel starts because this one has crashed.
#
# vm-like: kexec
# vm-config: KEXEC_FILE
# vm-timeout: 60
# vm-expect-log: Kernel panic - not syncing: sysrq triggered crash
# vm-expect-log: Call Trace:
. /t/lib.sh

if is_next_kernel; then
	check "K08 the next kernel finds the memory full" memory_is_full
else
	# It has but the memory that was kept for it, and cannot rely on the other CPU.
	check "the next kernel is ready" start_next_kernel panic \
		"$(sed 's/crashkernel=[^ ]*//' /proc/cmdline) nr_cpus=1"
	run_last 'echo c >/proc/sysrq-trigger'
fi
fill_or_find K08
done_testing

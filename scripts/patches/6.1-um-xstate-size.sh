#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# um: make room for the xstate of newer hosts
#
# Linux 6.1 gives the host's xstate 2696 bytes. A CPU with AMX has 11008: reading
# is cut short without an error, but writing wants the exact size, so UML panics
# on the first user process ("ptrace set fp regs failed, errno = 14"). Give it
# 12 KiB and remember the size that the host reports. The kernel stacks must hold
# it as well: CONFIG_KERNEL_STACK_ORDER=4 in scripts/kconfig/uml-6.1.config. Linux
# 6.13 sizes the buffer at run time.
#
# usage: scripts/patches/6.1-um-xstate-size.sh TREE
set -euo pipefail

registers=$1/arch/x86/um/os-Linux/registers.c
offsets=$1/arch/x86/um/user-offsets.c

sed -i \
	-e '/^int have_xstate_support;/a static unsigned long xstate_size;' \
	-e '/^int save_fp_registers/,/^}/ s/= FP_SIZE \*.*;/= xstate_size;/' \
	-e '/^int restore_fp_registers/,/^}/ s/= FP_SIZE \*.*;/= xstate_size;/' \
	-e 's/\(NT_X86_XSTATE, &iov) == 0\))/\1 \&\& (xstate_size = iov.iov_len))/' \
	"$registers"
sed -i 's/\(HOST_FP_SIZE, \)2696)/\112288)/' "$offsets"

# One declaration, two uses, one assignment; one size
if [ "$(grep -c xstate_size "$registers")" != 4 ] || ! grep -q 'HOST_FP_SIZE, 12288' "$offsets"; then
	echo "$0: $1 is not the source that this was made for" >&2
	exit 1
fi

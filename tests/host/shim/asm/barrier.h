/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_ASM_BARRIER_H
#define HOST_ASM_BARRIER_H

/* As on x86 */
static inline void smp_wmb(void)
{
	__asm__ volatile("" : : : "memory");
}

#endif

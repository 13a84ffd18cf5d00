/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_LINUX_BITOPS_H
#define HOST_LINUX_BITOPS_H

#include <linux/bits.h>
#include <linux/types.h>

#ifdef HOST_BENCH

/* As the kernel has them for x86, to count and time what it executes */
static inline unsigned long __ffs64(u64 word)
{
	asm("rep; bsf %1, %0" : "=r"(word) : "rm"(word));
	return word;
}

static inline int fls64(u64 word)
{
	int last = -1;

	asm("bsrq %1, %q0" : "+r"(last) : "rm"(word));
	return last + 1;
}

#else

/*
 * The kernel leaves the result for 0 undefined. Say 64, which no caller can
 * use, for a sanitizer or a model to notice.
 */
static inline unsigned int __ffs64(u64 word)
{
	return word ? __builtin_ctzll(word) : 64;
}

static inline int fls64(u64 word)
{
	return word ? 64 - __builtin_clzll(word) : 0;
}

#endif

static inline unsigned int hweight64(u64 word)
{
	return __builtin_popcountll(word);
}

#endif

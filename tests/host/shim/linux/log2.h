/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_LINUX_LOG2_H
#define HOST_LINUX_LOG2_H

#include <linux/bitops.h>

static inline bool is_power_of_2(unsigned long n)
{
	return n && !(n & (n - 1));
}

#define ilog2(n)	(fls64(n) - 1)

#endif

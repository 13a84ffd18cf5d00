/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_LINUX_MATH_H
#define HOST_LINUX_MATH_H

/* @to is a power of two */
#define round_up(x, to)		((((x) - 1) | ((__typeof__(x))(to) - 1)) + 1)
#define round_down(x, to)	((x) & ~((__typeof__(x))(to) - 1))

#endif

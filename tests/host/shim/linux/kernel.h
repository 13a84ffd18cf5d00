/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_LINUX_KERNEL_H
#define HOST_LINUX_KERNEL_H

#include <linux/limits.h>
#include <linux/math.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

#endif

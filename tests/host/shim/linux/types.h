/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The headers in this directory give buddy_core.c what it uses of the kernel,
 * in user space. The system's own <linux/...> are found first by libc's
 * headers, too, so that each of ours that has a namesake goes on to it.
 */
#ifndef HOST_LINUX_TYPES_H
#define HOST_LINUX_TYPES_H

#include_next <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

#endif

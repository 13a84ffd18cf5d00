/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the groups of tests of the API share. A group makes checks, and does not
 * know what becomes of them; kunit/buddy_api_kunit.c does.
 */
#ifndef BUDDY_API_TEST_H
#define BUDDY_API_TEST_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "buddy_pool.h"

/* check(condition, format, ...): one result. Process context. Returns @condition. */
#define check(condition, ...) api_check(condition, __LINE__, #condition, __VA_ARGS__)
__printf(4, 5) bool api_check(bool passed, int line, const char *what, const char *format, ...);

/* A pool over bare numbers, or NULL with a result that says so */
struct buddy_pool *api_create(const char *name, u64 size);

void api_contexts(void);
void api_hold(void);
void api_storm(void);
void api_misuse(void);
void api_names(void);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the groups of tests of buddy_api_test share. A group makes checks; each
 * is a result in the kernel log, from where tests/vm/api.sh takes it.
 */
#ifndef BUDDY_API_TEST_H
#define BUDDY_API_TEST_H

#include <linux/compiler.h>
#include <linux/delay.h>
#include <linux/types.h>

#include "buddy_pool.h"

/* check(condition, format, ...): one result. Process context. Returns @condition. */
#define check(condition, ...) api_check(condition, __LINE__, #condition, __VA_ARGS__)
__printf(4, 5) bool api_check(bool passed, int line, const char *what, const char *format, ...);

/* A pool over bare numbers, or NULL with a result that says so */
struct buddy_pool *api_create(const char *name, u64 size);

/*
 * Sleeps while threads race: for a second, and then until @all_met, since they may get
 * next to no time where others are busy on the host; but no longer than half a minute.
 */
static inline void api_race(bool (*all_met)(void))
{
	unsigned int seconds = 0;

	do {
		msleep(1000);
	} while (++seconds < 30 && !all_met());
}

/* Parameters of the module */
extern char *api_pool;		/* name of a pool that is there */
extern unsigned long api_base;	/* an address in it, if it is over a physical range */

void api_contexts(void);
void api_hold(void);
void api_storm(void);
void api_misuse(void);
void api_nmi(void);
void api_sleep(void);
void api_use_after_put(void);
void api_names(void);
void api_ranges(void);
void api_bars(void);
void api_mappings(void);
void api_wakes(void);

/* Clients that stay until the module is unloaded */
int api_listener_start(void);
void api_listener_stop(void);
int api_supplier_start(void);
void api_supplier_stop(void);
int api_rival_start(void);
void api_rival_stop(void);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which parts of a range may hold what somebody wrote there: a few intervals.
 *
 * There is no room for more than BUDDY_DIRTY_MAX of them. What does not fit is
 * taken for dirty as well, so that too much may be zeroed, but never too little.
 *
 * This takes no lock and allocates nothing.
 */
#ifndef BUDDY_DIRTY_H
#define BUDDY_DIRTY_H

#include <linux/types.h>

#define BUDDY_DIRTY_MAX	16

/**
 * struct buddy_dirty - intervals, in order; no two of them meet
 * @nr: number of them
 * @part: where each starts, and one past its end
 */
struct buddy_dirty {
	unsigned int nr;
	struct {
		u64 start;
		u64 end;
	} part[BUDDY_DIRTY_MAX];
};

/* All of [@start, @end) is dirty from now on. The ends are no more than 2^64 - 1. */
void buddy_dirty_add(struct buddy_dirty *dirty, u64 start, u64 end);

/* [@start, @end) is clean, as far as that can be remembered. */
void buddy_dirty_remove(struct buddy_dirty *dirty, u64 start, u64 end);

/* The first dirty part of [*@start, *@end), to which they are set; false if none */
bool buddy_dirty_next(const struct buddy_dirty *dirty, u64 *start, u64 *end);

#endif

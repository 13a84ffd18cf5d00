// SPDX-License-Identifier: GPL-2.0
/*
 * Intervals of a range that are dirty; see buddy_dirty.h. They are in an array,
 * since there are few and an update moves no more than a few hundred bytes.
 */
#include <linux/minmax.h>
#include <linux/string.h>

#include "buddy_dirty.h"

/* The first part that ends at @at or behind it, or nr */
static unsigned int first_from(const struct buddy_dirty *dirty, u64 at)
{
	unsigned int i;

	for (i = 0; i < dirty->nr && dirty->part[i].end < at; i++)
		;
	return i;
}

/* Makes the @old parts from @i on @new ones, to be filled in */
static void replace(struct buddy_dirty *dirty, unsigned int i, unsigned int old, unsigned int new)
{
	memmove(&dirty->part[i + new], &dirty->part[i + old],
		(dirty->nr - i - old) * sizeof(dirty->part[0]));
	dirty->nr += new - old;
}

/* Gives up the smallest gap, to have room for one more */
static void make_room(struct buddy_dirty *dirty)
{
	unsigned int i, best = 1;

	for (i = 2; i < dirty->nr; i++)
		if (dirty->part[i].start - dirty->part[i - 1].end <
		    dirty->part[best].start - dirty->part[best - 1].end)
			best = i;
	dirty->part[best].start = dirty->part[best - 1].start;
	replace(dirty, best - 1, 1, 0);
}

void buddy_dirty_add(struct buddy_dirty *dirty, u64 start, u64 end)
{
	unsigned int i = first_from(dirty, start);
	unsigned int n = 0;

	if (start >= end)
		return;
	while (i + n < dirty->nr && dirty->part[i + n].start <= end)
		n++;
	if (n) {
		start = min(start, dirty->part[i].start);
		end = max(end, dirty->part[i + n - 1].end);
	} else if (dirty->nr == BUDDY_DIRTY_MAX) {
		make_room(dirty);
		buddy_dirty_add(dirty, start, end);
		return;
	}
	replace(dirty, i, n, 1);
	dirty->part[i].start = start;
	dirty->part[i].end = end;
}

void buddy_dirty_remove(struct buddy_dirty *dirty, u64 start, u64 end)
{
	unsigned int i = first_from(dirty, start);

	while (i < dirty->nr && dirty->part[i].start < end && start < end) {
		u64 part_start = dirty->part[i].start;
		u64 part_end = dirty->part[i].end;

		if (part_start < start && part_end > end) {
			/* In two, unless there is no room */
			if (dirty->nr == BUDDY_DIRTY_MAX)
				return;
			replace(dirty, i, 1, 2);
			dirty->part[i].start = part_start;
			dirty->part[i].end = start;
			dirty->part[i + 1].start = end;
			dirty->part[i + 1].end = part_end;
			return;
		}
		if (part_start >= start && part_end <= end) {
			replace(dirty, i, 1, 0);
			continue;
		}
		if (part_start < start)
			dirty->part[i].end = min(part_end, start);
		else
			dirty->part[i].start = end;
		i++;
	}
}

bool buddy_dirty_next(const struct buddy_dirty *dirty, u64 *start, u64 *end)
{
	unsigned int i = first_from(dirty, *start);

	/* One that ends just there has nothing of it. */
	if (i < dirty->nr && dirty->part[i].end == *start)
		i++;
	if (i == dirty->nr || dirty->part[i].start >= *end || *start >= *end)
		return false;
	*start = max(*start, dirty->part[i].start);
	*end = min(*end, dirty->part[i].end);
	return true;
}

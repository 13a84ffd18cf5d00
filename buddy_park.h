/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Parking: for each order, the block that was freed last stays as it is, and is
 * the first to be handed out. So is the buddy of a small block that a larger one
 * had to be split for.
 *
 * Programs free a block and soon want another like it. Without parking that
 * merges the block with its buddies up to the top, and splits them down again.
 * Or they want many alike: then every other one is at hand.
 *
 * A parked block is free in all but the core's eyes, to which it is allocated.
 * Whatever is not a plain request or a good free unparks all blocks first, so
 * results are those of the core alone; the placement of a request may differ in
 * that it gets the block of its size that was freed or split off last. So that
 * it does not keep larger blocks from forming when they are needed, no block is
 * parked that is more than 1/128 of what is free: without that bound, small and
 * tight pools refused four times as many requests.
 *
 * Like the core, this takes no lock, allocates nothing, and compiles in user
 * space.
 */
#ifndef BUDDY_PARK_H
#define BUDDY_PARK_H

#include "buddy_core.h"

#define BUDDY_PARK_SHIFT	7

/**
 * struct buddy_park - a core with parked blocks
 * @core: the core; call buddy_park_flush() before calling it directly
 * @nr_parked: blocks that are parked, in min blocks
 * @block: by order, index of the parked block plus one, or 0
 */
struct buddy_park {
	struct buddy_core core;
	u64 nr_parked;
	u64 block[BUDDY_CORE_ORDERS];
};

/**
 * buddy_park_nr_free() - blocks that are free, parked ones included
 * @park: the pool
 *
 * Return: a number of min blocks.
 */
static inline u64 buddy_park_nr_free(const struct buddy_park *park)
{
	return park->core.nr_free + park->nr_parked;
}

/**
 * buddy_park_flush() - unpark all blocks, so that the core knows they are free
 * @park: the pool
 */
void buddy_park_flush(struct buddy_park *park);

/**
 * buddy_park_alloc_block() - take one block, at natural alignment, anywhere
 * @park: the pool
 * @order: of the block, at most that of the pool
 * @index: set to the first block on success
 *
 * Does not unpark anything; buddy_park_alloc() does, and may yet succeed.
 *
 * Return: whether there was one.
 */
static inline bool buddy_park_alloc_block(struct buddy_park *park, unsigned int order, u64 *index)
{
	u64 parked = park->block[order];
	unsigned int nr;

	if (parked) {
		*index = parked - 1;
		park->block[order] = 0;
		park->nr_parked -= 1ULL << order;
		return true;
	}
	if (unlikely(!(park->core.nr_free >> order >> BUDDY_PARK_SHIFT)))
		return !buddy_core_alloc_block(&park->core, order, index);
	nr = buddy_core_alloc_pair(&park->core, order, index);
	if (unlikely(nr > 1)) {
		park->block[order] = *index + (1ULL << order) + 1;
		park->nr_parked += 1ULL << order;
	}
	return nr;
}

/**
 * buddy_park_alloc() - as buddy_core_alloc()
 * @park: the pool
 * @req: the request
 * @index: set to the first block on success
 *
 * Return: as buddy_core_alloc(); nothing is parked then unless it is 0.
 */
int buddy_park_alloc(struct buddy_park *park, const struct buddy_core_request *req, u64 *index);

/**
 * buddy_park_free() - as buddy_core_free()
 * @park: the pool
 * @index: any number
 *
 * Return: as buddy_core_free().
 */
int buddy_park_free(struct buddy_park *park, u64 index);

#endif

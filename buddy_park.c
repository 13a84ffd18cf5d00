// SPDX-License-Identifier: GPL-2.0
/* Parking; see buddy_park.h for what it is and does. */
#include <asm/barrier.h>
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/errno.h>

#include "buddy_park.h"

static void unpark(struct buddy_park *park, unsigned int order)
{
	u64 index = park->block[order] - 1;

	park->block[order] = 0;
	/* In this order, as nobody who looks without a lock shall take it for taken. */
	buddy_core_release(&park->core, index, 1ULL << order);
	smp_wmb(); /* with bytes_taken_unlocked() */
	park->nr_parked -= 1ULL << order;
}

void buddy_park_flush(struct buddy_park *park)
{
	unsigned int order;

	for (order = 0; park->nr_parked; order++)
		if (park->block[order])
			unpark(park, order);
}

int buddy_park_alloc(struct buddy_park *park, const struct buddy_core_request *req, u64 *index)
{
	unsigned int order = fls64(req->nr - 1);
	bool plain = !(req->nr & (req->nr - 1)) && req->align_order <= order && !req->flags &&
		     req->start <= park->core.first && req->end >= park->core.end;

	if (plain && buddy_park_alloc_block(park, order, index))
		return 0;
	buddy_park_flush(park);
	return buddy_core_alloc(&park->core, req, index);
}

/*
 * Free a block. Only what a request of its order would get is parked, and little of
 * what is free.
 */
static inline int park_block(struct buddy_park *park, u64 index, unsigned int order)
{
	u64 older = park->block[order];

	if (unlikely(older == index + 1))
		return -ENOENT;
	if (unlikely(!(buddy_park_nr_free(park) >> order >> BUDDY_PARK_SHIFT))) {
		buddy_core_release_block(&park->core, index, order);
		return 0;
	}
	park->block[order] = index + 1;
	if (older)
		buddy_core_release_block(&park->core, older - 1, order);
	else
		park->nr_parked += 1ULL << order;
	return 0;
}

/* Free @index, which is not a small block, or is inside a parked one */
static noinline int free_other(struct buddy_park *park, u64 index)
{
	u64 nr;
	int err;

	err = buddy_core_extent(&park->core, index, &nr);
	if (unlikely(err)) {
		buddy_park_flush(park);
		return buddy_core_extent(&park->core, index, &nr);
	}
	if (!((index | nr) & (nr - 1)))
		return park_block(park, index, __ffs64(nr));
	buddy_core_release(&park->core, index, nr);
	return 0;
}

int buddy_park_free(struct buddy_park *park, u64 index)
{
	int order = buddy_core_small_block(&park->core, index);

	if (unlikely(order < 0))
		return free_other(park, index);
	return park_block(park, index, order);
}

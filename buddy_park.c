// SPDX-License-Identifier: GPL-2.0
/* Parking; see buddy_park.h for what it is and does. */
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/errno.h>

#include "buddy_park.h"

static void unpark(struct buddy_park *park, unsigned int order)
{
	u64 index = park->block[order] - 1;

	park->block[order] = 0;
	park->nr_parked -= 1ULL << order;
	buddy_core_release(&park->core, index, 1ULL << order);
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

int buddy_park_free(struct buddy_park *park, u64 index, u64 *nr)
{
	unsigned int order;
	u64 older;
	int err;

	err = buddy_core_extent(&park->core, index, nr);
	if (unlikely(err)) {
		/* It may be inside a parked block, which is no allocation. */
		buddy_park_flush(park);
		return buddy_core_extent(&park->core, index, nr);
	}
	order = fls64(*nr - 1);
	older = park->block[order];
	if (unlikely(older == index + 1))
		return -ENOENT;
	/* Only what a request of its order would get, and little of what is free */
	if (likely(!((index | *nr) & (*nr - 1)) &&
		   buddy_park_nr_free(park) >> order >> BUDDY_PARK_SHIFT)) {
		park->block[order] = index + 1;
		if (!older) {
			park->nr_parked += *nr;
			return 0;
		}
		index = older - 1;
	}
	buddy_core_release(&park->core, index, *nr);
	return 0;
}

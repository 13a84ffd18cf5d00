// SPDX-License-Identifier: GPL-2.0
/*
 * Requests in bytes, and the indexes of the core; see buddy_layout.h.
 *
 * Window ends are kept as offsets from the base, since a pool may end at 2^64.
 */
#include <linux/bitops.h>
#include <linux/log2.h>
#include <linux/minmax.h>

#include "buddy_layout.h"

#define REQUEST_FLAGS (BUDDY_POOL_ALLOC_TOP_DOWN | BUDDY_POOL_ALLOC_FIXED | \
		       BUDDY_POOL_ALLOC_POW2 | BUDDY_POOL_MAY_SLEEP | \
		       BUDDY_POOL_WANT_LARGEST)

/* Order of the largest block, which is as aligned as it is long, in [first, first + nr) */
static unsigned int largest_order(u64 first, u64 nr)
{
	unsigned int order = buddy_core_max_order(nr);

	while (buddy_layout_align(first, order) > first + nr - (1ULL << order))
		order--;
	return order;
}

void buddy_layout_complete(struct buddy_layout *layout)
{
	u64 below = BIT_ULL(63) - (1ULL << layout->shift);

	layout->origin = layout->base & ~below;
	layout->natural_order = largest_order(buddy_layout_index(layout, layout->base),
					      layout->size >> layout->shift);
}

static unsigned int natural_order(const struct buddy_layout *layout, u64 nr)
{
	return min_t(unsigned int, fls64(nr - 1), layout->natural_order);
}

static enum buddy_pool_reason set_length(const struct buddy_layout *layout,
					 const struct buddy_pool_request *request,
					 struct buddy_core_request *core)
{
	u64 size = request->size;

	if (size > layout->max_alloc)
		return BUDDY_POOL_REASON_OVERSIZE;
	if (size < layout->min_alloc)
		return BUDDY_POOL_REASON_UNDERSIZE;
	core->nr = size ? ((size - 1) >> layout->shift) + 1 : 1;
	if (request->flags & BUDDY_POOL_ALLOC_POW2)
		core->nr = 1ULL << fls64(core->nr - 1);
	if (core->nr > layout->size >> layout->shift)
		return BUDDY_POOL_REASON_OVERSIZE;
	return BUDDY_POOL_REASON_NONE;
}

static enum buddy_pool_reason set_alignment(const struct buddy_layout *layout,
					    const struct buddy_pool_request *request,
					    struct buddy_core_request *core)
{
	u64 align = request->align;
	u64 remainder = layout->origin & ((1ULL << layout->shift) - 1);

	if (!align) {
		core->align_order = natural_order(layout, core->nr);
		return BUDDY_POOL_REASON_NONE;
	}
	if (!buddy_is_power_of_2(align) || remainder & (align - 1))
		return BUDDY_POOL_REASON_ALIGN;
	core->align_order = max_t(unsigned int, ilog2(align), layout->shift) - layout->shift;
	return BUDDY_POOL_REASON_NONE;
}

/* The window [start, end) in indexes; whole blocks only */
static enum buddy_pool_reason set_window(const struct buddy_layout *layout,
					 const struct buddy_pool_request *request,
					 struct buddy_core_request *core)
{
	u64 first = buddy_layout_index(layout, layout->base);
	u64 start = request->start ? request->start - layout->base : 0;
	u64 end = request->end ? request->end - layout->base : layout->size;
	u64 block = 1ULL << layout->shift;
	u64 aligned;

	if (start >= end || end > layout->size)
		return BUDDY_POOL_REASON_WINDOW;
	core->start = first + (start >> layout->shift) + !!(start & (block - 1));
	core->end = first + (end >> layout->shift);
	if (core->start >= core->end)
		return BUDDY_POOL_REASON_WINDOW;
	if (core->nr > core->end - core->start)
		return BUDDY_POOL_REASON_OVERSIZE;
	aligned = buddy_layout_align(core->start, core->align_order);
	return aligned > core->end - core->nr ? BUDDY_POOL_REASON_ALIGN : BUDDY_POOL_REASON_NONE;
}

static enum buddy_pool_reason set_fixed(const struct buddy_layout *layout,
					const struct buddy_pool_request *request,
					struct buddy_core_request *core)
{
	u64 offset = request->start - layout->base;

	if (request->end || request->flags & BUDDY_POOL_ALLOC_TOP_DOWN)
		return BUDDY_POOL_REASON_FLAGS;
	if (!buddy_layout_contains(layout, request->start))
		return BUDDY_POOL_REASON_WINDOW;
	if (offset & ((1ULL << layout->shift) - 1))
		return BUDDY_POOL_REASON_MISALIGNED;
	if (request->align && request->start & (request->align - 1))
		return BUDDY_POOL_REASON_ALIGN;
	core->start = buddy_layout_index(layout, request->start);
	core->end = core->start + core->nr;
	core->align_order = 0;
	return core->nr > (layout->size - offset) >> layout->shift ? BUDDY_POOL_REASON_OVERSIZE :
								 BUDDY_POOL_REASON_NONE;
}

enum buddy_pool_reason buddy_layout_translate(const struct buddy_layout *layout,
					      const struct buddy_pool_request *request,
					      struct buddy_core_request *core)
{
	enum buddy_pool_reason reason;

	if (request->flags & ~REQUEST_FLAGS)
		return BUDDY_POOL_REASON_FLAGS;
	reason = set_length(layout, request, core);
	if (reason)
		return reason;
	reason = set_alignment(layout, request, core);
	if (reason)
		return reason;
	core->flags = request->flags & BUDDY_POOL_ALLOC_TOP_DOWN ? BUDDY_CORE_TOP_DOWN : 0;
	if (request->flags & BUDDY_POOL_ALLOC_FIXED)
		return set_fixed(layout, request, core);
	return set_window(layout, request, core);
}

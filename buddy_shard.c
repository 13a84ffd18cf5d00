// SPDX-License-Identifier: GPL-2.0
/*
 * Shards: a range of addresses with a lock, an allocator and counters of its own.
 * A pool is one shard, or several side by side.
 *
 * Here addresses and bytes turn into the indexes and orders of the core. Index 0
 * of a shard lies at the address @origin, which is its base rounded down to the
 * largest block that it can hold, so that an index is as aligned as its address.
 * If the base of the pool is no multiple of the min block, that remainder is
 * part of every address and of @origin; alignments above it can't be met then,
 * and are refused.
 *
 * Window ends are kept as offsets from the base, since a pool may end at 2^64.
 *
 * Locking: buddy_shard.lock guards the allocator, the counters and the
 * reservations of one shard. No two shards are ever locked at once.
 */
#include <linux/cleanup.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "buddy_internal.h"
#include "buddy_shard.h"

/* An allocation of the core that no free takes back, but unreserve only */
struct buddy_reservation {
	struct rb_node link;
	u64 index;
	u64 nr;
};

/*
 * Addresses
 */

static u64 index_to_address(const struct buddy_shard *shard, u64 index)
{
	return shard->origin + (index << shard->shift);
}

static u64 address_to_index(const struct buddy_shard *shard, u64 address)
{
	return (address - shard->origin) >> shard->shift;
}

static bool in_shard(const struct buddy_shard *shard, u64 address)
{
	return address >= shard->base && address - shard->base < shard->size;
}

/* The core, with nothing parked, for all that looks at more than one block */
static struct buddy_core *flushed(struct buddy_shard *shard)
{
	lockdep_assert_held(&shard->lock);
	buddy_park_flush(&shard->park);
	return &shard->park.core;
}

/* In blocks that exist */
static u64 bytes_taken(const struct buddy_shard *shard)
{
	return shard->size - (buddy_park_nr_free(&shard->park) << shard->shift) - shard->reserved;
}

/*
 * Requests
 */

static unsigned int natural_order(const struct buddy_shard *shard, u64 nr)
{
	return min_t(unsigned int, fls64(nr - 1), shard->natural_order);
}

static enum buddy_pool_reason set_length(const struct buddy_shard *shard,
					 const struct buddy_pool_request *request,
					 struct buddy_core_request *core)
{
	u64 size = request->size;

	if (size > shard->max_alloc)
		return BUDDY_POOL_REASON_OVERSIZE;
	if (size < shard->min_alloc)
		return BUDDY_POOL_REASON_UNDERSIZE;
	core->nr = size ? ((size - 1) >> shard->shift) + 1 : 1;
	if (request->flags & BUDDY_POOL_ALLOC_POW2)
		core->nr = 1ULL << fls64(core->nr - 1);
	if (core->nr > shard->size >> shard->shift)
		return BUDDY_POOL_REASON_OVERSIZE;
	return BUDDY_POOL_REASON_NONE;
}

static enum buddy_pool_reason set_alignment(const struct buddy_shard *shard,
					    const struct buddy_pool_request *request,
					    struct buddy_core_request *core)
{
	u64 align = request->align;
	u64 remainder = shard->origin & ((1ULL << shard->shift) - 1);

	if (!align) {
		core->align_order = natural_order(shard, core->nr);
		return BUDDY_POOL_REASON_NONE;
	}
	if (!is_power_of_2(align) || remainder & (align - 1))
		return BUDDY_POOL_REASON_ALIGN;
	core->align_order = max_t(unsigned int, ilog2(align), shard->shift) - shard->shift;
	return core->align_order > shard->max_order ? BUDDY_POOL_REASON_ALIGN :
						     BUDDY_POOL_REASON_NONE;
}

/* The window [start, end) in indexes; whole blocks only */
static enum buddy_pool_reason set_window(const struct buddy_shard *shard,
					 const struct buddy_pool_request *request,
					 struct buddy_core_request *core)
{
	u64 first = address_to_index(shard, shard->base);
	u64 start = request->start ? request->start - shard->base : 0;
	u64 end = request->end ? request->end - shard->base : shard->size;
	u64 block = 1ULL << shard->shift;
	u64 aligned;

	if (start >= end || end > shard->size)
		return BUDDY_POOL_REASON_WINDOW;
	core->start = first + (start >> shard->shift) + !!(start & (block - 1));
	core->end = first + (end >> shard->shift);
	if (core->start >= core->end)
		return BUDDY_POOL_REASON_WINDOW;
	if (core->nr > core->end - core->start)
		return BUDDY_POOL_REASON_OVERSIZE;
	aligned = round_up(core->start, 1ULL << core->align_order);
	return aligned > core->end - core->nr ? BUDDY_POOL_REASON_ALIGN : BUDDY_POOL_REASON_NONE;
}

static enum buddy_pool_reason set_fixed(const struct buddy_shard *shard,
					const struct buddy_pool_request *request,
					struct buddy_core_request *core)
{
	u64 offset = request->start - shard->base;

	if (request->end || request->flags & BUDDY_POOL_ALLOC_TOP_DOWN)
		return BUDDY_POOL_REASON_FLAGS;
	if (!in_shard(shard, request->start))
		return BUDDY_POOL_REASON_WINDOW;
	if (offset & ((1ULL << shard->shift) - 1))
		return BUDDY_POOL_REASON_MISALIGNED;
	if (request->align && request->start & (request->align - 1))
		return BUDDY_POOL_REASON_ALIGN;
	core->start = address_to_index(shard, request->start);
	core->end = core->start + core->nr;
	return core->nr > (shard->size - offset) >> shard->shift ? BUDDY_POOL_REASON_OVERSIZE :
								 BUDDY_POOL_REASON_NONE;
}

#define REQUEST_FLAGS (BUDDY_POOL_ALLOC_TOP_DOWN | BUDDY_POOL_ALLOC_FIXED | \
		       BUDDY_POOL_ALLOC_POW2 | BUDDY_POOL_MAY_SLEEP | \
		       BUDDY_POOL_WANT_LARGEST)

/* Translates a request, or says why it can never be met */
static enum buddy_pool_reason translate(const struct buddy_shard *shard,
					const struct buddy_pool_request *request,
					struct buddy_core_request *core)
{
	enum buddy_pool_reason reason;

	if (request->flags & ~REQUEST_FLAGS)
		return BUDDY_POOL_REASON_FLAGS;
	reason = set_length(shard, request, core);
	if (reason)
		return reason;
	reason = set_alignment(shard, request, core);
	if (reason)
		return reason;
	core->flags = request->flags & BUDDY_POOL_ALLOC_TOP_DOWN ? BUDDY_CORE_TOP_DOWN : 0;
	if (request->flags & BUDDY_POOL_ALLOC_FIXED)
		return set_fixed(shard, request, core);
	return set_window(shard, request, core);
}

static void count_granted(struct buddy_shard *shard, u64 size, u64 nr)
{
	shard->allocs++;
	shard->requested += size;
	shard->granted += nr << shard->shift;
	shard->peak = max(shard->peak, bytes_taken(shard));
}

/* Why there is no space, and if asked for, what there is */
static void explain_no_space(struct buddy_shard *shard, const struct buddy_core_request *core,
			     u32 flags, struct buddy_pool_result *result)
{
	struct buddy_core *all = flushed(shard);

	if (flags & BUDDY_POOL_ALLOC_FIXED)
		result->reason = BUDDY_POOL_REASON_IN_USE;
	else if (all->nr_free < core->nr)
		result->reason = BUDDY_POOL_REASON_EXHAUSTED;
	else
		result->reason = BUDDY_POOL_REASON_FRAGMENTED;
	result->largest = 0;
	if (flags & BUDDY_POOL_WANT_LARGEST)
		result->largest = buddy_core_largest(all, core->start, core->end, NULL) <<
				  shard->shift;
}

/* One attempt of bounded length under the lock; -EAGAIN asks for another */
static int try_alloc(struct buddy_shard *shard, const struct buddy_pool_request *request,
		     const struct buddy_core_request *core, u64 *cursor, u64 *index,
		     struct buddy_pool_result *result)
{
	int err;

	guard(spinlock_irqsave)(&shard->lock);
	if (request->flags & BUDDY_POOL_ALLOC_FIXED) {
		*index = core->start;
		err = buddy_core_alloc_at(flushed(shard), core->start, core->nr);
	} else {
		err = *cursor ? -EAGAIN : buddy_park_alloc(&shard->park, core, index);
		if (err == -EAGAIN)
			err = buddy_core_search(flushed(shard), core, cursor, index);
	}
	if (!err) {
		count_granted(shard, request->size, core->nr);
	} else if (err == -ENOSPC || !(request->flags & BUDDY_POOL_MAY_SLEEP)) {
		explain_no_space(shard, core, request->flags, result);
		err = -ENOSPC;
	}
	return err;
}

/* The request that nearly all are: a power of two of blocks, anywhere */
static inline bool alloc_plain(struct buddy_shard *shard, const struct buddy_pool_request *request,
			       struct buddy_pool_result *result)
{
	u64 size = request->size;
	u64 index, nr;

	if (request->align | request->start | request->end || !size ||
	    request->flags & ~(BUDDY_POOL_MAY_SLEEP | BUDDY_POOL_WANT_LARGEST) ||
	    size < shard->min_alloc || size > shard->max_alloc)
		return false;
	nr = ((size - 1) >> shard->shift) + 1;
	if (nr & (nr - 1))
		return false;
	scoped_guard(spinlock_irqsave, &shard->lock) {
		if (!buddy_park_alloc_block(&shard->park, __ffs64(nr), &index))
			return false;
		count_granted(shard, size, nr);
	}
	result->address = index_to_address(shard, index);
	result->size = nr << shard->shift;
	result->reason = BUDDY_POOL_REASON_NONE;
	return true;
}

int buddy_shard_alloc(struct buddy_shard *shard, const struct buddy_pool_request *request,
		      struct buddy_pool_result *result)
{
	struct buddy_core_request core;
	u64 cursor = 0;
	u64 index;
	int err;

	if (likely(alloc_plain(shard, request, result)))
		return 0;
	result->reason = translate(shard, request, &core);
	if (result->reason)
		return -EINVAL;
	for (;;) {
		err = try_alloc(shard, request, &core, &cursor, &index, result);
		if (err != -EAGAIN)
			break;
		cond_resched();
	}
	if (err)
		return err;
	result->address = index_to_address(shard, index);
	result->size = core.nr << shard->shift;
	return 0;
}

enum buddy_pool_reason buddy_shard_check(const struct buddy_shard *shard,
					 const struct buddy_pool_request *request)
{
	struct buddy_core_request core;

	return translate(shard, request, &core);
}

void buddy_shard_count_refused(struct buddy_shard *shard, int err, enum buddy_pool_reason reason)
{
	guard(spinlock_irqsave)(&shard->lock);
	if (reason == BUDDY_POOL_REASON_OVERSIZE) {
		shard->oversize++;
	} else if (reason == BUDDY_POOL_REASON_UNDERSIZE) {
		shard->undersize++;
	} else if (err == -ENOSPC) {
		shard->allocs++;
		shard->out_of_space++;
	}
}

/*
 * Reservations
 */

static int compare_reservation(const void *key, const struct rb_node *link)
{
	u64 index = rb_entry(link, struct buddy_reservation, link)->index;
	u64 wanted = *(const u64 *)key;

	return wanted < index ? -1 : wanted > index;
}

static bool reservation_is_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct buddy_reservation, link)->index <
	       rb_entry(b, struct buddy_reservation, link)->index;
}

/* The reservation that starts at @index, or NULL */
static struct buddy_reservation *find_reservation(const struct buddy_shard *shard, u64 index)
{
	struct rb_node *link;

	lockdep_assert_held(&shard->lock);
	if (likely(!shard->nr_reserved))
		return NULL;
	link = rb_find(&index, &shard->reservations, compare_reservation);
	return link ? rb_entry(link, struct buddy_reservation, link) : NULL;
}

static bool is_whole_blocks(const struct buddy_shard *shard, u64 address, u64 size)
{
	return !(((address - shard->origin) | size) & ((1ULL << shard->shift) - 1));
}

int buddy_shard_reserve(struct buddy_shard *shard, u64 address, u64 size)
{
	struct buddy_reservation *reservation;
	int err;

	if (!size || !is_whole_blocks(shard, address, size))
		return -EINVAL;
	if (!in_shard(shard, address) || size > shard->size - (address - shard->base))
		return -ERANGE;
	reservation = kmalloc(sizeof(*reservation), GFP_KERNEL);
	if (!reservation)
		return -ENOMEM;
	reservation->index = address_to_index(shard, address);
	reservation->nr = size >> shard->shift;
	scoped_guard(spinlock_irqsave, &shard->lock) {
		err = buddy_core_alloc_at(flushed(shard), reservation->index, reservation->nr);
		if (!err) {
			rb_add(&reservation->link, &shard->reservations, reservation_is_before);
			shard->nr_reserved++;
			shard->reserved += size;
		}
	}
	if (err)
		kfree(reservation);
	return err ? -EBUSY : 0;
}

int buddy_shard_unreserve(struct buddy_shard *shard, u64 address, u64 size)
{
	struct buddy_reservation *reservation = NULL;
	u64 nr;

	if (!in_shard(shard, address) || !is_whole_blocks(shard, address, size))
		return -ENOENT;
	scoped_guard(spinlock_irqsave, &shard->lock) {
		reservation = find_reservation(shard, address_to_index(shard, address));
		if (reservation && reservation->nr == size >> shard->shift) {
			rb_erase(&reservation->link, &shard->reservations);
			buddy_core_free(flushed(shard), reservation->index, &nr);
			shard->nr_reserved--;
			shard->nr_unreserved++;
			shard->reserved -= size;
		} else {
			reservation = NULL;
		}
	}
	if (!reservation)
		return -ENOENT;
	kfree(reservation);
	return 0;
}

/*
 * Frees
 */

static int refuse_free(struct buddy_shard *shard, int err, enum buddy_pool_reason why,
		       enum buddy_pool_reason *reason)
{
	shard->bad_free[why]++;
	if (reason)
		*reason = why;
	return err;
}

int buddy_shard_free(struct buddy_shard *shard, u64 address, enum buddy_pool_reason *reason)
{
	struct buddy_core_extent extent;
	int err;

	guard(spinlock_irqsave)(&shard->lock);
	if (!in_shard(shard, address))
		return refuse_free(shard, -ERANGE, BUDDY_POOL_REASON_OUT_OF_RANGE, reason);
	if ((address - shard->origin) & ((1ULL << shard->shift) - 1))
		return refuse_free(shard, -EINVAL, BUDDY_POOL_REASON_MISALIGNED, reason);
	if (find_reservation(shard, address_to_index(shard, address)))
		return refuse_free(shard, -ENOENT, BUDDY_POOL_REASON_RESERVED, reason);
	err = buddy_park_free(&shard->park, address_to_index(shard, address));
	if (err == -ENOENT)
		return refuse_free(shard, err, BUDDY_POOL_REASON_NOT_ALLOCATED, reason);
	if (err) {
		buddy_core_query(flushed(shard), address_to_index(shard, address), &extent);
		if (find_reservation(shard, extent.start))
			return refuse_free(shard, -ENOENT, BUDDY_POOL_REASON_RESERVED, reason);
		return refuse_free(shard, err, BUDDY_POOL_REASON_INTERIOR, reason);
	}
	shard->frees++;
	if (reason)
		*reason = BUDDY_POOL_REASON_NONE;
	return 0;
}

/*
 * Queries
 */

int buddy_shard_query(struct buddy_shard *shard, u64 address, u64 *start, u64 *size)
{
	struct buddy_core_extent extent;

	if (!in_shard(shard, address))
		return -ERANGE;
	guard(spinlock_irqsave)(&shard->lock);
	buddy_core_query(flushed(shard), address_to_index(shard, address), &extent);
	*start = index_to_address(shard, extent.start);
	*size = extent.nr << shard->shift;
	if (extent.kind == BUDDY_CORE_FREE)
		return BUDDY_POOL_STATE_FREE;
	return find_reservation(shard, extent.start) ? BUDDY_POOL_STATE_RESERVED :
						      BUDDY_POOL_STATE_USED;
}

u64 buddy_shard_free_run(struct buddy_shard *shard, u64 address)
{
	u64 index = address_to_index(shard, address);
	struct buddy_core_extent extent;
	struct buddy_core *core;
	u64 next = index;

	guard(spinlock_irqsave)(&shard->lock);
	core = flushed(shard);
	/* A run is no more than two maximal free blocks of each order. */
	while (!buddy_core_query(core, next, &extent) && extent.kind == BUDDY_CORE_FREE)
		next = extent.start + extent.nr;
	return next == index ? 0 : index_to_address(shard, next) - address;
}

static void add_core_counters(struct buddy_pool_usage *usage, const struct buddy_core *core)
{
	struct buddy_core_stats stats;
	unsigned int o;

	buddy_core_stats(core, &stats);
	usage->splits += stats.splits;
	usage->merges += stats.merges;
	for (o = 0; o < usage->nr_orders; o++) {
		usage->order[o].enqueues += stats.order[o].enqueues;
		usage->order[o].dequeues += stats.order[o].dequeues;
		usage->order[o].removes += stats.order[o].removes;
		usage->order[o].size += stats.order[o].size;
	}
}

void buddy_shard_add_usage(struct buddy_shard *shard, struct buddy_pool_usage *usage)
{
	struct buddy_core *core;
	unsigned int r;
	u64 largest;

	guard(spinlock_irqsave)(&shard->lock);
	core = flushed(shard);
	usage->size += shard->size;
	usage->free += core->nr_free << shard->shift;
	usage->held += shard->held;
	usage->reserved += shard->reserved;
	usage->used += bytes_taken(shard) - shard->held;
	usage->peak += shard->peak;
	usage->requested += shard->requested;
	usage->granted += shard->granted;
	usage->allocs += shard->allocs;
	usage->frees += shard->frees;
	usage->nr_blocks += shard->allocs - shard->out_of_space - shard->frees;
	usage->out_of_space += shard->out_of_space;
	usage->oversize += shard->oversize;
	usage->undersize += shard->undersize;
	for (r = 0; r < ARRAY_SIZE(usage->bad_free); r++) {
		usage->bad_free[r] += shard->bad_free[r];
		usage->bad_frees += shard->bad_free[r];
	}
	largest = buddy_core_largest(core, core->first, core->end, NULL) << shard->shift;
	usage->largest = max(usage->largest, largest);
	usage->nr_orders = max(usage->nr_orders, shard->max_order + 1);
	add_core_counters(usage, core);
}

void buddy_shard_count_bad_free(struct buddy_shard *shard, enum buddy_pool_reason reason)
{
	guard(spinlock_irqsave)(&shard->lock);
	shard->bad_free[reason]++;
}

u64 buddy_shard_nr_freed(struct buddy_shard *shard)
{
	guard(spinlock_irqsave)(&shard->lock);
	return shard->frees + shard->nr_unreserved;
}

void buddy_shard_hold(struct buddy_shard *shard, u64 size)
{
	guard(spinlock_irqsave)(&shard->lock);
	shard->held += size;
}

void buddy_shard_unhold(struct buddy_shard *shard, u64 size)
{
	guard(spinlock_irqsave)(&shard->lock);
	shard->held -= size;
}

/*
 * Life cycle
 */

u64 buddy_shard_place(struct buddy_shard *shard)
{
	u64 block = shard->base >> shard->shift;
	u64 nr = shard->size >> shard->shift;

	shard->max_order = buddy_core_max_order(nr);
	block &= (1ULL << shard->max_order) - 1;
	shard->origin = shard->base - (block << shard->shift);
	return buddy_core_metadata_size(block, nr);
}

void buddy_shard_init(struct buddy_shard *shard, void *metadata)
{
	spin_lock_init(&shard->lock);
	shard->reservations = RB_ROOT;
	buddy_core_init(&shard->park.core, address_to_index(shard, shard->base),
			shard->size >> shard->shift, metadata);
	shard->natural_order = fls64(shard->park.core.avail) - 1;
}

void buddy_shard_destroy(struct buddy_shard *shard)
{
	struct buddy_reservation *reservation, *next;

	rbtree_postorder_for_each_entry_safe(reservation, next, &shard->reservations, link)
		kfree(reservation);
}

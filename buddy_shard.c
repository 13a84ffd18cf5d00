// SPDX-License-Identifier: GPL-2.0
/*
 * Shards: a range of addresses with a lock, an allocator and counters of its own.
 * A pool is one shard, or several side by side.
 *
 * Index 0 of a shard lies at the address @origin, which is its base rounded down
 * to the largest block that it can hold, so that an index is as aligned as its
 * address. It is index @offset of the pool, in which requests are translated.
 *
 * Locking: buddy_shard.lock guards the allocator, the counters and the
 * reservations of one shard. Here no more than one is taken at a time; see
 * buddy_span.h for the rest.
 */
#include <linux/cleanup.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "buddy_internal.h"
#include "buddy_shard.h"

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

/* For all that looks at more than one block */
struct buddy_core *buddy_shard_flush(struct buddy_shard *shard)
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

/*
 * bytes_taken() of a shard that others may be about to change: what is read of it need
 * not belong together, but for what is reserved, which may be most of the shard.
 */
static u64 bytes_taken_unlocked(const struct buddy_shard *shard)
{
	unsigned int seq;
	u64 rest;

	do {
		seq = read_seqcount_begin(&shard->shards->reserving);
		/* Racy, as told above; a sum that is far off is cut to what can be. */
		rest = data_race(shard->park.nr_parked);
		/* With unpark(): what moves counts twice rather than not at all. */
		smp_rmb();
		/* Racy likewise */
		rest = data_race(((rest + shard->park.core.nr_free) << shard->shift) +
				 shard->reserved);
	} while (read_seqcount_retry(&shard->shards->reserving, seq));
	return rest < shard->size ? shard->size - rest : 0;
}

/*
 * The peak of several shards, of which [first, last] are locked. A counter that all
 * of them write to would cost what shards are there to save, so their sum is looked
 * at only when one of them has changed by a step since it last did so, or grants a
 * block that is larger than a step. Between that, a shard can rise by no more than
 * three steps unseen.
 *
 * The sum is of no one moment. What is freed in a shard that was looked at, and then
 * allocated in one that was not yet, counts twice. But of several CPUs that grant at
 * once one sees what all have: hence the barrier.
 */
static void sample_peak(struct buddy_shards *shards, unsigned int first, unsigned int last)
{
	u64 sum = 0;
	unsigned int i;

	for (i = first; i <= last; i++) {
		struct buddy_shard *shard = &shards->shard[i];
		u64 taken = bytes_taken(shard);
		u64 step = shard->calm / 2;

		lockdep_assert_held(&shard->lock);
		shard->calm_from = taken > step ? taken - step : 0;
	}
	smp_mb(); /* our grants, before others'; pairs with itself */
	for (i = 0; i < shards->nr; i++)
		sum += bytes_taken_unlocked(&shards->shard[i]);
	buddy_shards_raise_peak(shards, sum);
}

static noinline void sample_peak_of_one(struct buddy_shard *shard)
{
	unsigned int i = shard - shard->shards->shard;

	sample_peak(shard->shards, i, i);
}

static __always_inline void add_granted(struct buddy_shard *shard, u64 size, u64 nr)
{
	shard->allocs++;
	shard->requested += size;
	shard->granted += nr << shard->shift;
}

static __always_inline void count_granted(struct buddy_shard *shard, u64 size, u64 nr)
{
	u64 taken = bytes_taken(shard);

	add_granted(shard, size, nr);
	if (likely(taken - shard->calm_from <= shard->calm))
		return;
	if (shard->shards->nr == 1)
		shard->calm = taken;
	else
		sample_peak_of_one(shard);
}

/* @count blocks of @nr min blocks each */
static void count_any_granted(struct buddy_shard *shard, u64 size, u64 nr, unsigned int count)
{
	shard->allocs += count - 1;
	shard->requested += (count - 1) * size;
	shard->granted += (count - 1) * nr << shard->shift;
	count_granted(shard, size, nr);
	if (count * nr << shard->shift > shard->max_plain && shard->shards->nr > 1)
		sample_peak_of_one(shard);
}

void buddy_shard_count_span(struct buddy_shards *shards, unsigned int first, unsigned int last,
			    u64 size, u64 nr)
{
	add_granted(&shards->shard[first], size, nr);
	sample_peak(shards, first, last);
}

/*
 * What of a request in indexes of the pool this shard alone can try to meet, in its
 * own; false if nothing.
 */
static bool clip(const struct buddy_shard *shard, const struct buddy_core_request *wanted,
		 struct buddy_core_request *part)
{
	u64 start = max(wanted->start, buddy_shard_first(shard));
	u64 end = min(wanted->end, buddy_shard_end(shard));
	u64 aligned = buddy_layout_align(start, wanted->align_order);

	if (aligned >= end || end - aligned < wanted->nr)
		return false;
	*part = *wanted;
	/* Of a power of two that is more than its length, it has one multiple at most. */
	if (wanted->align_order > shard->max_order) {
		start = aligned;
		end = aligned + wanted->nr;
		part->align_order = 0;
	}
	part->start = start - shard->offset;
	part->end = end - shard->offset;
	return true;
}

/* Takes what was clipped if it is quickly found; else -EAGAIN if a search may find it */
static int take_quickly(struct buddy_shard *shard, const struct buddy_core_request *part,
			u64 *index)
{
	lockdep_assert_held(&shard->lock);
	if (part->end - part->start > part->nr)
		return buddy_park_alloc(&shard->park, part, index);
	*index = part->start;
	return buddy_core_alloc_at(buddy_shard_flush(shard), part->start, part->nr);
}

int buddy_shard_take(struct buddy_shard *shard, const struct buddy_pool_request *request,
		     const struct buddy_core_request *wanted, u64 *index)
{
	struct buddy_core_request part;

	if (!clip(shard, wanted, &part) || take_quickly(shard, &part, index))
		return -ENOSPC;
	count_any_granted(shard, request->size, part.nr, 1);
	*index += shard->offset;
	return 0;
}

/* Why there is no space, and if asked for, what there is */
static void explain_no_space(struct buddy_shard *shard, const struct buddy_pool_request *request,
			     const struct buddy_core_request *wanted,
			     struct buddy_pool_result *result)
{
	if (request->flags & BUDDY_POOL_ALLOC_FIXED)
		result->reason = BUDDY_POOL_REASON_IN_USE;
	else if (buddy_shard_nr_free_in(shard, wanted->start, wanted->end, wanted->nr) < wanted->nr)
		result->reason = BUDDY_POOL_REASON_EXHAUSTED;
	else
		result->reason = BUDDY_POOL_REASON_FRAGMENTED;
	result->largest = 0;
	if (request->flags & BUDDY_POOL_WANT_LARGEST)
		result->largest = buddy_shard_largest(shard, wanted->start, wanted->end)
				  << shard->shift;
}

/*
 * One attempt of bounded length under the lock; -EAGAIN asks for another. @core: what
 * was clipped of @wanted
 */
static int try_alloc(struct buddy_shard *shard, const struct buddy_pool_request *request,
		     const struct buddy_core_request *wanted,
		     const struct buddy_core_request *core, u64 *cursor, u64 *index,
		     struct buddy_pool_result *result)
{
	int err;

	guard(raw_spinlock_irqsave)(&shard->lock);
	err = *cursor ? -EAGAIN : take_quickly(shard, core, index);
	if (err == -EAGAIN)
		err = buddy_core_search(buddy_shard_flush(shard), core, cursor, index);
	if (!err) {
		count_any_granted(shard, request->size, core->nr, 1);
	} else if (err == -ENOSPC || !(request->flags & BUDDY_POOL_MAY_SLEEP)) {
		explain_no_space(shard, request, wanted, result);
		err = -ENOSPC;
	}
	return err;
}

/* The order of what nearly all requests are for, a power of two of blocks anywhere; or -1 */
static __always_inline int plain_order(const struct buddy_shard *shard,
				       const struct buddy_pool_request *request)
{
	u64 size = request->size;
	u64 nr;

	if (request->align | request->start | request->end || !size ||
	    request->flags & ~(BUDDY_POOL_MAY_SLEEP | BUDDY_POOL_WANT_LARGEST) ||
	    size < shard->min_alloc || size > shard->max_plain)
		return -1;
	nr = ((size - 1) >> shard->shift) + 1;
	return nr & (nr - 1) ? -1 : (int)__ffs64(nr);
}

bool buddy_shard_alloc_plain(struct buddy_shard *shard, const struct buddy_pool_request *request,
			     struct buddy_pool_result *result)
{
	int order = plain_order(shard, request);
	u64 index;

	if (order < 0)
		return false;
	scoped_guard(raw_spinlock_irqsave, &shard->lock) {
		if (!buddy_park_alloc_block(&shard->park, order, &index))
			return false;
		count_granted(shard, request->size, 1ULL << order);
	}
	result->address = index_to_address(shard, index);
	result->size = 1ULL << order << shard->shift;
	result->reason = BUDDY_POOL_REASON_NONE;
	return true;
}

unsigned int buddy_shard_alloc_row(struct buddy_shard *shard,
				   const struct buddy_pool_request *request, unsigned int count,
				   struct buddy_pool_result *result)
{
	int order = plain_order(shard, request);
	u64 index;

	if (order < 0)
		return 0;
	scoped_guard(raw_spinlock_irqsave, &shard->lock) {
		count = buddy_core_alloc_row(buddy_shard_flush(shard), order, count, &index);
		if (!count)
			return 0;
		count_any_granted(shard, request->size, 1ULL << order, count);
	}
	result->address = index_to_address(shard, index);
	result->size = 1ULL << order << shard->shift;
	result->reason = BUDDY_POOL_REASON_NONE;
	return count;
}

int buddy_shard_search(struct buddy_shard *shard, const struct buddy_pool_request *request,
		       const struct buddy_core_request *wanted, struct buddy_pool_result *result)
{
	struct buddy_core_request core;
	u64 cursor = 0;
	u64 index;
	int err;

	if (!clip(shard, wanted, &core))
		return -ENOSPC;
	for (;;) {
		err = try_alloc(shard, request, wanted, &core, &cursor, &index, result);
		if (err != -EAGAIN)
			break;
		cond_resched();
	}
	if (err)
		return err;
	result->address = index_to_address(shard, index);
	result->size = core.nr << shard->shift;
	result->reason = BUDDY_POOL_REASON_NONE;
	return 0;
}

int buddy_shard_alloc(struct buddy_shard *shard, const struct buddy_pool_request *request,
		      struct buddy_pool_result *result)
{
	struct buddy_core_request core;

	result->reason = buddy_layout_translate(&shard->shards->layout, request, &core);
	if (result->reason)
		return -EINVAL;
	return buddy_shard_search(shard, request, &core, result);
}

void buddy_shard_count_refused(struct buddy_shard *shard, int err, enum buddy_pool_reason reason)
{
	guard(raw_spinlock_irqsave)(&shard->lock);
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
	if (likely(!shard->nr_special))
		return NULL;
	link = rb_find(&index, &shard->reservations, compare_reservation);
	return link ? rb_entry(link, struct buddy_reservation, link) : NULL;
}

bool buddy_shard_is_reserved(const struct buddy_shard *shard, u64 index)
{
	return find_reservation(shard, index);
}

void buddy_shard_add_reservation(struct buddy_shard *shard, struct buddy_reservation *reservation)
{
	lockdep_assert_held(&shard->lock);
	rb_add(&reservation->link, &shard->reservations, reservation_is_before);
	shard->nr_special++;
}

struct buddy_reservation *buddy_shard_remove_reservation(struct buddy_shard *shard, u64 index,
							 u64 nr)
{
	struct buddy_reservation *reservation = find_reservation(shard, index);

	if (!reservation || reservation->nr != nr)
		return NULL;
	rb_erase(&reservation->link, &shard->reservations);
	shard->nr_special--;
	return reservation;
}

/*
 * Frees
 */

int buddy_shard_refuse_free(struct buddy_shard *shard, int err, enum buddy_pool_reason why,
			    enum buddy_pool_reason *reason)
{
	shard->bad_free[why]++;
	if (reason)
		*reason = why;
	return err;
}

/* Is @index in a piece of what other shards have pieces of, too? */
static bool is_in_span(const struct buddy_shard *shard, u64 index)
{
	const struct buddy_core *core = &shard->park.core;

	return index - core->first < shard->front || core->end - index <= shard->back;
}

/* May the block at @index not just be freed? Told apart only if there is such a block */
static noinline int check_special(struct buddy_shard *shard, u64 index,
				  enum buddy_pool_reason *reason)
{
	if (is_in_span(shard, index))
		return -EXDEV;
	if (find_reservation(shard, index))
		return buddy_shard_refuse_free(shard, -ENOENT, BUDDY_POOL_REASON_RESERVED, reason);
	return 0;
}

/* No block begins at @index: nothing does, or a block or a reserved range goes on there. */
static noinline int refuse_bad_free(struct buddy_shard *shard, u64 index, int err,
				    enum buddy_pool_reason *reason)
{
	struct buddy_core_extent extent;

	if (err == -ENOENT)
		return buddy_shard_refuse_free(shard, err, BUDDY_POOL_REASON_NOT_ALLOCATED,
					       reason);
	buddy_core_query(buddy_shard_flush(shard), index, &extent);
	if (find_reservation(shard, extent.start))
		return buddy_shard_refuse_free(shard, -ENOENT, BUDDY_POOL_REASON_RESERVED, reason);
	return buddy_shard_refuse_free(shard, err, BUDDY_POOL_REASON_INTERIOR, reason);
}

int buddy_shard_free(struct buddy_shard *shard, u64 address, enum buddy_pool_reason *reason)
{
	u64 index = address_to_index(shard, address);
	int err;

	guard(raw_spinlock_irqsave)(&shard->lock);
	if (unlikely(index << shard->shift != address - shard->origin))
		return buddy_shard_refuse_free(shard, -EINVAL, BUDDY_POOL_REASON_MISALIGNED,
					       reason);
	if (unlikely(shard->nr_special)) {
		err = check_special(shard, index, reason);
		if (err)
			return err;
	}
	err = buddy_park_free(&shard->park, index);
	if (unlikely(err))
		return refuse_bad_free(shard, index, err, reason);
	shard->frees++;
	if (reason)
		*reason = BUDDY_POOL_REASON_NONE;
	return 0;
}

/* Is any of the blocks in a span, or reserved? */
static bool row_is_special(struct buddy_shard *shard, u64 index, unsigned int order,
			   unsigned int count)
{
	unsigned int i;

	if (likely(!shard->nr_special))
		return false;
	for (i = 0; i < count; i++, index += 1ULL << order)
		if (is_in_span(shard, index) || find_reservation(shard, index))
			return true;
	return false;
}

bool buddy_shard_free_row(struct buddy_shard *shard, u64 address, u64 size, unsigned int count)
{
	u64 index = address_to_index(shard, address);
	u64 nr = size >> shard->shift;
	unsigned int order;

	if (!buddy_is_power_of_2(nr))
		return false;
	order = ilog2(nr);
	guard(raw_spinlock_irqsave)(&shard->lock);
	if (row_is_special(shard, index, order, count) ||
	    !buddy_core_release_row(buddy_shard_flush(shard), index, order, count))
		return false;
	shard->frees += count;
	return true;
}

/*
 * Queries
 */

int buddy_shard_query(struct buddy_shard *shard, u64 address, u64 *start, u64 *size)
{
	u64 index = address_to_index(shard, address);
	struct buddy_core_extent extent;

	guard(raw_spinlock_irqsave)(&shard->lock);
	if (is_in_span(shard, index))
		return -EXDEV;
	buddy_core_query(buddy_shard_flush(shard), index, &extent);
	*start = index_to_address(shard, extent.start);
	*size = extent.nr << shard->shift;
	if (extent.kind == BUDDY_CORE_FREE)
		return BUDDY_POOL_STATE_FREE;
	return find_reservation(shard, extent.start) ? BUDDY_POOL_STATE_RESERVED :
						      BUDDY_POOL_STATE_USED;
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
	struct buddy_core *core = buddy_shard_flush(shard);
	unsigned int r;

	usage->size += shard->size;
	usage->free += core->nr_free << shard->shift;
	usage->held += shard->held;
	usage->reserved += shard->reserved;
	/* Held is counted where a block begins: this may be less than 0, but not the sum. */
	usage->used += bytes_taken(shard) - shard->held;
	usage->peak += shard->calm;
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
	usage->nr_orders = max(usage->nr_orders, shard->max_order + 1);
	add_core_counters(usage, core);
}

u64 buddy_shard_largest(struct buddy_shard *shard, u64 start, u64 end)
{
	start = max(start, buddy_shard_first(shard));
	end = min(end, buddy_shard_end(shard));
	if (start >= end)
		return 0;
	return buddy_core_largest(buddy_shard_flush(shard), start - shard->offset,
				  end - shard->offset, NULL);
}

u64 buddy_shard_nr_free_in(struct buddy_shard *shard, u64 start, u64 end, u64 enough)
{
	start = max(start, buddy_shard_first(shard));
	end = min(end, buddy_shard_end(shard));
	if (start >= end)
		return 0;
	return buddy_core_nr_free_in(buddy_shard_flush(shard), start - shard->offset,
				     end - shard->offset, enough);
}

void buddy_shard_count_bad_free(struct buddy_shard *shard, enum buddy_pool_reason reason)
{
	guard(raw_spinlock_irqsave)(&shard->lock);
	shard->bad_free[reason]++;
}

void buddy_shard_sync(struct buddy_shard *shard)
{
	scoped_guard(raw_spinlock_irqsave, &shard->lock) {
	}
}

void buddy_shard_hold(struct buddy_shard *shard, u64 size)
{
	guard(raw_spinlock_irqsave)(&shard->lock);
	shard->held += size;
}

void buddy_shard_unhold(struct buddy_shard *shard, u64 size)
{
	guard(raw_spinlock_irqsave)(&shard->lock);
	shard->held -= size;
}

/*
 * Life cycle
 */

u64 buddy_shard_place(struct buddy_shard *shard, struct buddy_shards *shards)
{
	const struct buddy_layout *layout = &shards->layout;
	u64 block = shard->base >> layout->shift;
	u64 nr = shard->size >> layout->shift;

	shard->shards = shards;
	shard->shift = layout->shift;
	shard->min_alloc = layout->min_alloc;
	shard->max_plain = layout->max_alloc;
	if (shards->nr > 1) {
		u64 step = 1ULL << shards->order << shard->shift >> BUDDY_CALM_SHIFT;

		/* What is granted for it, too, is no more than a step, and may be nothing. */
		shard->max_plain = min(layout->max_alloc, step >> shard->shift << shard->shift);
		shard->calm = 2 * step;
	}
	shard->max_order = buddy_core_max_order(nr);
	block &= (1ULL << shard->max_order) - 1;
	shard->origin = shard->base - (block << shard->shift);
	shard->offset = buddy_layout_index(layout, shard->origin);
	return buddy_core_metadata_size(block, nr);
}

void buddy_shard_init(struct buddy_shard *shard, void *metadata)
{
	raw_spin_lock_init(&shard->lock);
	shard->reservations = RB_ROOT;
	buddy_core_init(&shard->park.core, address_to_index(shard, shard->base),
			shard->size >> shard->shift, metadata);
}

void buddy_shard_destroy(struct buddy_shard *shard)
{
	struct buddy_reservation *reservation, *next;

	rbtree_postorder_for_each_entry_safe(reservation, next, &shard->reservations, link)
		kfree(reservation);
}

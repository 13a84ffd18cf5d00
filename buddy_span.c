// SPDX-License-Identifier: GPL-2.0
/*
 * The shards of a pool together; see buddy_span.h. Indexes are those of the pool,
 * but where a function of the core is called.
 */
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "buddy_span.h"

/* If nobody says how many shards there shall be, no more than one for each of these */
#define DEFAULT_SHARD_BLOCKS	BIT_ULL(16)

/* Adjacent blocks, [start, end) */
struct run {
	u64 start;
	u64 end;
};

/*
 * Locks
 */

/* Lock shards [from, to]. Lockdep takes them for one lock, however many they are. */
static void lock_shards(struct buddy_shards *shards, unsigned int from, unsigned int to)
{
	unsigned int i;

	lockdep_assert_held(&shards->span_lock);
	for (i = from; i <= to; i++)
		raw_spin_lock_nest_lock(&shards->shard[i].lock, &shards->span_lock);
}

static void unlock_shards(struct buddy_shards *shards, unsigned int from, unsigned int to)
{
	unsigned int i;

	for (i = from; i <= to; i++)
		raw_spin_unlock(&shards->shard[i].lock);
}

/*
 * Free runs across borders
 */

/* Where the free run begins that ends at @end, which is in the shard or its end */
static u64 run_before(struct buddy_shard *shard, u64 end)
{
	struct buddy_core *core = buddy_shard_flush(shard);
	u64 index = end - shard->offset;
	struct buddy_core_extent extent;

	while (index > core->first) {
		buddy_core_query(core, index - 1, &extent);
		if (extent.kind != BUDDY_CORE_FREE)
			break;
		index = extent.start;
	}
	return index + shard->offset;
}

/* Where the free run ends that begins at @start, or @start */
static u64 run_after(struct buddy_shard *shard, u64 start)
{
	struct buddy_core *core = buddy_shard_flush(shard);
	u64 index = start - shard->offset;
	struct buddy_core_extent extent;

	while (index < core->end) {
		buddy_core_query(core, index, &extent);
		if (extent.kind != BUDDY_CORE_FREE)
			break;
		index = extent.start + extent.nr;
	}
	return index + shard->offset;
}

/*
 * The free run at the end of shard @i, and on through those up to @last. Returns
 * where to look for the next: the shard in which it ends, or the one after @i.
 */
static unsigned int run_at_end(const struct buddy_shards *shards, unsigned int i,
			       unsigned int last, struct run *run)
{
	struct buddy_shard *shard = &shards->shard[i];
	unsigned int next = i + 1;

	run->end = buddy_shard_end(shard);
	run->start = run_before(shard, run->end);
	if (run->start == run->end)
		return next;
	while (i < last && run->end == buddy_shard_end(&shards->shard[i]))
		run->end = run_after(&shards->shard[++i], run->end);
	return max(next, i);
}

/* Where @wanted fits into the run; does it? */
static bool fits(const struct buddy_core_request *wanted, const struct run *run, u64 *index)
{
	u64 start = buddy_layout_align(max(run->start, wanted->start), wanted->align_order);
	u64 end = min(run->end, wanted->end);

	if (start >= end || end - start < wanted->nr)
		return false;
	*index = start;
	if (wanted->flags & BUDDY_CORE_TOP_DOWN)
		*index = round_down(end - wanted->nr, 1ULL << wanted->align_order);
	return true;
}

/* The place in the shortest run across borders that @wanted fits into, or false */
static bool find_run(const struct buddy_shards *shards, unsigned int first, unsigned int last,
		     const struct buddy_core_request *wanted, u64 *index)
{
	bool down = wanted->flags & BUDDY_CORE_TOP_DOWN;
	u64 best = U64_MAX;
	unsigned int i;
	struct run run;
	u64 place;

	for (i = first; i < last;) {
		i = run_at_end(shards, i, last, &run);
		if (!fits(wanted, &run, &place))
			continue;
		if (run.end - run.start < best || (down && run.end - run.start == best)) {
			best = run.end - run.start;
			*index = place;
		}
	}
	return best != U64_MAX;
}

/* The longest of them in [start, end) */
static u64 longest_run(const struct buddy_shards *shards, u64 start, u64 end)
{
	unsigned int i, last = shards->nr - 1;
	struct run run;
	u64 best = 0;

	for (i = 0; i < last;) {
		i = run_at_end(shards, i, last, &run);
		run.start = max(run.start, start);
		run.end = min(run.end, end);
		if (run.start < run.end)
			best = max(best, run.end - run.start);
	}
	return best;
}

/*
 * Spans
 */

static void set_front(struct buddy_shard *shard, u64 nr)
{
	shard->nr_special += !!nr;
	shard->nr_special -= !!shard->front;
	shard->front = nr;
}

static void set_back(struct buddy_shard *shard, u64 nr)
{
	shard->nr_special += !!nr;
	shard->nr_special -= !!shard->back;
	shard->back = nr;
}

/* What of @run is in @shard, in indexes of that */
static struct run piece_of(const struct buddy_shard *shard, const struct run *run)
{
	struct run piece = {
		.start = max(run->start, buddy_shard_first(shard)) - shard->offset,
		.end = min(run->end, buddy_shard_end(shard)) - shard->offset,
	};

	return piece;
}

/* Make @run, which is free, one allocation, if need be of several shards */
static void take_run(struct buddy_shards *shards, const struct run *run)
{
	unsigned int i, last = buddy_shards_at(shards, run->end - 1);

	for (i = buddy_shards_at(shards, run->start); i <= last; i++) {
		struct buddy_shard *shard = &shards->shard[i];
		struct run piece = piece_of(shard, run);

		buddy_core_alloc_at(buddy_shard_flush(shard), piece.start, piece.end - piece.start);
		if (run->start < buddy_shard_first(shard))
			set_front(shard, piece.end - piece.start);
		if (i < last)
			set_back(shard, piece.end - piece.start);
	}
}

/* The reverse */
static void release_run(struct buddy_shards *shards, const struct run *run)
{
	unsigned int i, last = buddy_shards_at(shards, run->end - 1);
	u64 nr;

	for (i = buddy_shards_at(shards, run->start); i <= last; i++) {
		struct buddy_shard *shard = &shards->shard[i];

		buddy_core_free(buddy_shard_flush(shard), piece_of(shard, run).start, &nr);
		if (run->start < buddy_shard_first(shard))
			set_front(shard, 0);
		if (i < last)
			set_back(shard, 0);
	}
}

/* Does all of the shard belong to what begins before it and goes on behind it? */
static bool is_middle(const struct buddy_shard *shard)
{
	return shard->back && shard->front == shard->size >> shard->shift;
}

/* The span that the block @index belongs to, if it does to one */
static bool find_span(const struct buddy_shards *shards, u64 index, struct run *span)
{
	unsigned int from = buddy_shards_at(shards, index);
	const struct buddy_shard *shard = &shards->shard[from];
	unsigned int to = from;

	lockdep_assert_held(&shards->span_lock);
	if (index - buddy_shard_first(shard) < shard->front)
		from--;
	else if (buddy_shard_end(shard) - index <= shard->back)
		to++;
	else
		return false;
	while (is_middle(&shards->shard[from]))
		from--;
	while (is_middle(&shards->shard[to]))
		to++;
	span->start = buddy_shard_end(&shards->shard[from]) - shards->shard[from].back;
	span->end = buddy_shard_first(&shards->shard[to]) + shards->shard[to].front;
	return true;
}

/*
 * Requests
 */

/* The shards of @wanted's window, [first, last] */
static void window_shards(const struct buddy_shards *shards,
			  const struct buddy_core_request *wanted, unsigned int *first,
			  unsigned int *last)
{
	*first = buddy_shards_at(shards, wanted->start);
	*last = buddy_shards_at(shards, wanted->end - 1);
}

static int alloc_from_one(struct buddy_shards *shards, const struct buddy_pool_request *request,
			  const struct buddy_core_request *wanted, unsigned int home,
			  struct buddy_pool_result *result)
{
	bool down = wanted->flags & BUDDY_CORE_TOP_DOWN;
	struct buddy_pool_request part = *request;
	unsigned int first, last, n, nr, i;

	part.flags &= ~BUDDY_POOL_WANT_LARGEST;
	window_shards(shards, wanted, &first, &last);
	nr = last - first + 1;
	if (request->start || request->end)
		home = first;
	for (n = 0; n < nr; n++) {
		i = down ? last - n : first + (home - first + n) % nr;
		if (!buddy_shard_search(&shards->shard[i], &part, wanted, result))
			return 0;
	}
	return -ENOSPC;
}

/* Shards [first, last] are locked: what each can grant now, or several together */
static int alloc_locked(struct buddy_shards *shards, const struct buddy_pool_request *request,
			const struct buddy_core_request *wanted, unsigned int first,
			unsigned int last, u64 *index)
{
	bool down = wanted->flags & BUDDY_CORE_TOP_DOWN;
	unsigned int n, nr = last - first + 1;
	struct run run;

	for (n = 0; n < nr; n++)
		if (!buddy_shard_take(&shards->shard[down ? last - n : first + n], request, wanted,
				      index))
			return 0;
	if (!find_run(shards, first, last, wanted, index))
		return -ENOSPC;
	run.start = *index;
	run.end = *index + wanted->nr;
	take_run(shards, &run);
	buddy_shard_count_span(shards, buddy_shards_at(shards, run.start),
			       buddy_shards_at(shards, run.end - 1), request->size, wanted->nr);
	return 0;
}

/* Is less free in the window than was asked for? Only the shards at its ends are counted. */
static bool is_exhausted(struct buddy_shards *shards, const struct buddy_core_request *wanted,
			 unsigned int first, unsigned int last)
{
	unsigned int i;
	u64 nr = 0;

	for (i = first; i <= last && nr < wanted->nr; i++)
		nr += buddy_shard_nr_free_in(&shards->shard[i], wanted->start, wanted->end,
					     wanted->nr - nr);
	return nr < wanted->nr;
}

/*
 * All shards that matter at once. As nothing changes meanwhile, a refusal is right of
 * blocks: none that the request would fit into went from one shard to the other. For a run
 * of several blocks each shard was searched before, and here only what crosses their ends.
 */
static int alloc_from_all(struct buddy_shards *shards, const struct buddy_pool_request *request,
			  const struct buddy_core_request *wanted, struct buddy_pool_result *result)
{
	bool fixed = request->flags & BUDDY_POOL_ALLOC_FIXED;
	unsigned int first, last;
	u64 index;
	int err;

	window_shards(shards, wanted, &first, &last);
	guard(raw_spinlock_irqsave)(&shards->span_lock);
	lock_shards(shards, first, last);
	err = alloc_locked(shards, request, wanted, first, last, &index);
	if (!err) {
		result->address = buddy_layout_address(&shards->layout, index);
		result->size = wanted->nr << shards->layout.shift;
		result->reason = BUDDY_POOL_REASON_NONE;
	} else if (fixed) {
		result->reason = BUDDY_POOL_REASON_IN_USE;
	} else {
		result->reason = is_exhausted(shards, wanted, first, last) ?
					 BUDDY_POOL_REASON_EXHAUSTED :
					 BUDDY_POOL_REASON_FRAGMENTED;
	}
	unlock_shards(shards, first, last);
	return err;
}

/* Without @start and @end, all of the pool. Looks at one shard after the other. */
static u64 largest(struct buddy_shards *shards, u64 start, u64 end)
{
	u64 best = 0;
	unsigned int i;

	for (i = 0; i < shards->nr; i++) {
		guard(raw_spinlock_irqsave)(&shards->shard[i].lock);
		best = max(best, buddy_shard_largest(&shards->shard[i], start, end));
	}
	scoped_guard(raw_spinlock_irqsave, &shards->span_lock) {
		lock_shards(shards, 0, shards->nr - 1);
		best = max(best, longest_run(shards, start, end));
		unlock_shards(shards, 0, shards->nr - 1);
	}
	return best << shards->layout.shift;
}

/* Where this CPU begins, as a position in @shard */
static unsigned int home_of(const struct buddy_shards *shards)
{
	return buddy_shards_home(shards) - shards->shard;
}

int buddy_span_alloc(struct buddy_shards *shards, const struct buddy_pool_request *request,
		     struct buddy_pool_result *result)
{
	unsigned int home = home_of(shards);
	struct buddy_core_request wanted;
	int err;

	result->reason = buddy_layout_translate(&shards->layout, request, &wanted);
	if (result->reason)
		return -EINVAL;
	err = alloc_from_one(shards, request, &wanted, home, result);
	if (err)
		err = alloc_from_all(shards, request, &wanted, result);
	if (!err)
		return 0;
	result->largest = 0;
	if (request->flags & BUDDY_POOL_WANT_LARGEST)
		result->largest = largest(shards, wanted.start, wanted.end);
	return err;
}

unsigned int buddy_span_alloc_row(struct buddy_shards *shards,
				  const struct buddy_pool_request *request, unsigned int count,
				  struct buddy_pool_result *result)
{
	unsigned int home = home_of(shards);
	unsigned int n, nr;

	for (n = 0; n < shards->nr; n++) {
		nr = buddy_shard_alloc_row(&shards->shard[(home + n) % shards->nr], request, count,
					   result);
		if (nr)
			return nr;
	}
	return 0;
}

/*
 * Frees and queries
 */

/* [first, last]: the shards of @span, which are locked */
static int free_span(struct buddy_shards *shards, u64 index, const struct run *span,
		     unsigned int first, enum buddy_pool_reason *reason)
{
	struct buddy_shard *head = &shards->shard[first];

	if (buddy_shard_is_reserved(head, span->start - head->offset))
		return buddy_shard_refuse_free(head, -ENOENT, BUDDY_POOL_REASON_RESERVED, reason);
	if (index != span->start)
		return buddy_shard_refuse_free(head, -EINVAL, BUDDY_POOL_REASON_INTERIOR, reason);
	release_run(shards, span);
	head->frees++;
	if (reason)
		*reason = BUDDY_POOL_REASON_NONE;
	return 0;
}

int buddy_span_free(struct buddy_shards *shards, u64 address, enum buddy_pool_reason *reason)
{
	u64 index = buddy_layout_index(&shards->layout, address);
	unsigned int first, last;
	struct run span;
	int err;

	guard(raw_spinlock_irqsave)(&shards->span_lock);
	/* Meanwhile it may have been freed; but now it is no span, and can't become one. */
	if (!find_span(shards, index, &span))
		return buddy_shard_free(buddy_shards_of(shards, address), address, reason);
	first = buddy_shards_at(shards, span.start);
	last = buddy_shards_at(shards, span.end - 1);
	lock_shards(shards, first, last);
	err = free_span(shards, index, &span, first, reason);
	unlock_shards(shards, first, last);
	return err;
}

int buddy_span_query(struct buddy_shards *shards, u64 address, u64 *start, u64 *size)
{
	u64 index = buddy_layout_index(&shards->layout, address);
	struct buddy_shard *head;
	struct run span;

	guard(raw_spinlock_irqsave)(&shards->span_lock);
	if (!find_span(shards, index, &span))
		return buddy_shard_query(buddy_shards_of(shards, address), address, start, size);
	*start = buddy_layout_address(&shards->layout, span.start);
	*size = (span.end - span.start) << shards->layout.shift;
	head = &shards->shard[buddy_shards_at(shards, span.start)];
	guard(raw_spinlock)(&head->lock);
	return buddy_shard_is_reserved(head, span.start - head->offset) ?
	       BUDDY_POOL_STATE_RESERVED : BUDDY_POOL_STATE_USED;
}

u64 buddy_span_free_run(struct buddy_shards *shards, u64 address)
{
	u64 index = buddy_layout_index(&shards->layout, address);
	unsigned int first = buddy_shards_at(shards, index);
	unsigned int last = first;
	u64 end;

	guard(raw_spinlock_irqsave)(&shards->span_lock);
	lock_shards(shards, first, first);
	end = run_after(&shards->shard[first], index);
	while (end == buddy_shard_end(&shards->shard[last]) && last + 1 < shards->nr) {
		last++;
		lock_shards(shards, last, last);
		end = run_after(&shards->shard[last], end);
	}
	unlock_shards(shards, first, last);
	return end == index ? 0 : buddy_layout_address(&shards->layout, end) - address;
}

/*
 * Reservations
 */

static bool is_whole_blocks(const struct buddy_layout *layout, u64 address, u64 size)
{
	return !(((address - layout->origin) | size) & ((1ULL << layout->shift) - 1));
}

static bool contains_range(const struct buddy_layout *layout, u64 address, u64 size)
{
	return buddy_layout_contains(layout, address) &&
	       size <= layout->size - (address - layout->base);
}

static struct run run_of(const struct buddy_layout *layout, u64 address, u64 size)
{
	u64 start = buddy_layout_index(layout, address);

	return (struct run){ start, start + (size >> layout->shift) };
}

/*
 * Counts @run as reserved in each shard, or no longer, within buddy_shards.reserving:
 * between this and what is done to the core, the range is both, or neither.
 */
static void count_reserved(struct buddy_shards *shards, const struct run *run, bool reserved)
{
	unsigned int i, last = buddy_shards_at(shards, run->end - 1);

	for (i = buddy_shards_at(shards, run->start); i <= last; i++) {
		struct buddy_shard *shard = &shards->shard[i];
		struct run piece = piece_of(shard, run);
		u64 size = (piece.end - piece.start) << shard->shift;

		shard->reserved += reserved ? size : -size;
	}
}

/* Is all of @run free, in shards that are locked? */
static bool run_is_free(struct buddy_shards *shards, const struct run *run)
{
	unsigned int i = buddy_shards_at(shards, run->start);
	u64 index = run->start;

	while (index < run->end) {
		u64 free_end = run_after(&shards->shard[i], index);

		if (free_end < run->end && free_end < buddy_shard_end(&shards->shard[i]))
			return false;
		index = free_end;
		i++;
	}
	return true;
}

static bool reserve_run(struct buddy_shards *shards, const struct run *run,
			struct buddy_reservation *reservation)
{
	unsigned int first = buddy_shards_at(shards, run->start);
	unsigned int last = buddy_shards_at(shards, run->end - 1);
	struct buddy_shard *head = &shards->shard[first];
	bool free;

	reservation->index = run->start - head->offset;
	reservation->nr = run->end - run->start;
	guard(raw_spinlock_irqsave)(&shards->span_lock);
	lock_shards(shards, first, last);
	free = run_is_free(shards, run);
	if (free) {
		write_seqcount_begin(&shards->reserving);
		count_reserved(shards, run, true);
		take_run(shards, run);
		write_seqcount_end(&shards->reserving);
		buddy_shard_add_reservation(head, reservation);
	}
	unlock_shards(shards, first, last);
	return free;
}

int buddy_span_reserve(struct buddy_shards *shards, u64 address, u64 size)
{
	struct run run = run_of(&shards->layout, address, size);
	struct buddy_reservation *reservation;

	if (!size)
		return -EINVAL;
	if (!contains_range(&shards->layout, address, size))
		return -ERANGE;
	if (!is_whole_blocks(&shards->layout, address, size))
		return -EINVAL;
	reservation = kmalloc(sizeof(*reservation), GFP_KERNEL);
	if (!reservation)
		return -ENOMEM;
	if (reserve_run(shards, &run, reservation))
		return 0;
	kfree(reservation);
	return -EBUSY;
}

static struct buddy_reservation *unreserve_run(struct buddy_shards *shards, const struct run *run)
{
	unsigned int first = buddy_shards_at(shards, run->start);
	unsigned int last = buddy_shards_at(shards, run->end - 1);
	struct buddy_shard *head = &shards->shard[first];
	struct buddy_reservation *reservation;

	guard(raw_spinlock_irqsave)(&shards->span_lock);
	lock_shards(shards, first, last);
	reservation = buddy_shard_remove_reservation(head, run->start - head->offset,
						     run->end - run->start);
	if (reservation) {
		write_seqcount_begin(&shards->reserving);
		release_run(shards, run);
		count_reserved(shards, run, false);
		write_seqcount_end(&shards->reserving);
	}
	unlock_shards(shards, first, last);
	return reservation;
}

int buddy_span_unreserve(struct buddy_shards *shards, u64 address, u64 size)
{
	struct run run = run_of(&shards->layout, address, size);
	struct buddy_reservation *reservation;

	if (!size || !is_whole_blocks(&shards->layout, address, size) ||
	    !contains_range(&shards->layout, address, size))
		return -ENOENT;
	reservation = unreserve_run(shards, &run);
	if (!reservation)
		return -ENOENT;
	kfree(reservation);
	return 0;
}

/*
 * Statistics
 */

void buddy_span_usage(struct buddy_shards *shards, struct buddy_pool_usage *usage)
{
	unsigned int i, last = shards->nr - 1;

	scoped_guard(raw_spinlock_irqsave, &shards->span_lock) {
		lock_shards(shards, 0, last);
		for (i = 0; i <= last; i++)
			buddy_shard_add_usage(&shards->shard[i], usage);
		if (!last)
			usage->largest = buddy_shard_largest(shards->shard, 0, U64_MAX)
					 << shards->layout.shift;
		unlock_shards(shards, 0, last);
	}
	if (!last)
		return;
	buddy_shards_raise_peak(shards, usage->used + usage->held);
	usage->peak = atomic64_read(&shards->peak);
	/* Not while all are locked, since this takes its time */
	usage->largest = min(largest(shards, 0, U64_MAX), usage->free);
}

/*
 * Life cycle
 */

unsigned int buddy_span_default(u64 nr)
{
	u64 cpus = roundup_pow_of_two(num_online_cpus());

	return clamp_t(u64, nr / DEFAULT_SHARD_BLOCKS, 1, min_t(u64, cpus, BUDDY_MAX_SHARDS));
}

/* Each CPU gets the shard in the middle of its share of the pool. */
static void find_homes(struct buddy_shards *shards, unsigned int wanted)
{
	u64 nr = shards->layout.size >> shards->layout.shift;
	u64 first = buddy_layout_index(&shards->layout, shards->layout.base);
	u64 share = div_u64(nr, wanted);
	unsigned int cpu;

	for (cpu = 0; cpu < BUDDY_MAX_SHARDS; cpu++) {
		u64 index = first + cpu % wanted * share + share / 2;

		shards->home[cpu] = buddy_shards_at(shards, index);
	}
}

int buddy_span_divide(struct buddy_shards *shards, unsigned int wanted)
{
	const struct buddy_layout *layout = &shards->layout;
	u64 first, end;
	unsigned int i;

	buddy_layout_complete(&shards->layout);
	raw_spin_lock_init(&shards->span_lock);
	seqcount_raw_spinlock_init(&shards->reserving, &shards->span_lock);
	first = buddy_layout_index(layout, layout->base);
	end = first + (layout->size >> layout->shift);
	shards->order = wanted > 1 ? fls64(div_u64(end - first - 1, wanted)) : 63;
	shards->skipped = first >> shards->order;
	shards->nr = wanted > 1 ? ((end - 1) >> shards->order) - shards->skipped + 1 : 1;
	shards->shard = kvcalloc(shards->nr, sizeof(*shards->shard), GFP_KERNEL);
	if (!shards->shard)
		return -ENOMEM;
	for (i = 0; i < shards->nr; i++) {
		u64 next = shards->skipped + i + 1;
		u64 start = max((next - 1) << shards->order, first);
		u64 stop = i < shards->nr - 1 ? next << shards->order : end;

		shards->shard[i].base = buddy_layout_address(layout, start);
		shards->shard[i].size = (stop - start) << layout->shift;
	}
	find_homes(shards, wanted);
	return 0;
}

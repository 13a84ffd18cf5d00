// SPDX-License-Identifier: GPL-2.0
/*
 * Pools: addresses and bytes around the indexes and orders of the core, the
 * lock, the limits, the counters, and the registry by name.
 *
 * Index 0 of a pool lies at the address @origin, which is @base rounded down to
 * the largest block that the pool can hold, so that an index is as aligned as
 * its address. If @base is no multiple of the min block, that remainder is part
 * of every address and of @origin; alignments above it can't be met then, and
 * are refused.
 *
 * Window ends are kept as offsets from @base, since a pool may end at 2^64.
 *
 * Locking: buddy_pool.lock guards the core and the counters. pool_list_lock
 * guards the registry; a pool leaves it before its last reference is gone.
 */
#define pr_fmt(fmt) "buddy_pool: " fmt

#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "buddy_internal.h"
#include "buddy_park.h"

struct buddy_pool {
	/* First, since every operation takes it */
	spinlock_t lock;
	unsigned int shift;		/* log2 of the min block */
	u64 origin;			/* address of index 0 */
	u64 base;
	u64 size;
	u64 min_alloc;
	u64 max_alloc;
	unsigned int max_order;

	/* Guarded by lock */
	struct buddy_park park;
	u64 requested;			/* sums over all requests granted: */
	u64 granted;
	u64 allocs;
	u64 out_of_space;
	u64 oversize;
	u64 undersize;
	u64 frees;
	u64 bad_free[BUDDY_POOL_REASON_RESERVED + 1];
	u64 held;			/* bytes */
	u64 reserved;			/* bytes */
	u64 nr_reserved;		/* ranges that exist */
	struct rb_root reservations;	/* by index */
	u64 peak;			/* bytes */

	struct kref ref;
	struct list_head link;		/* pool_list_lock */
	void *metadata;
	struct buddy_range range;
	char name[BUDDY_POOL_NAME_LEN];
};

/* An allocation of the core that no free takes back, but unreserve only */
struct buddy_reservation {
	struct rb_node link;
	u64 index;
	u64 nr;
};

static LIST_HEAD(pool_list);
static DEFINE_MUTEX(pool_list_lock);

/*
 * Addresses
 */

static u64 index_to_address(const struct buddy_pool *pool, u64 index)
{
	return pool->origin + (index << pool->shift);
}

static u64 address_to_index(const struct buddy_pool *pool, u64 address)
{
	return (address - pool->origin) >> pool->shift;
}

static bool in_pool(const struct buddy_pool *pool, u64 address)
{
	return address >= pool->base && address - pool->base < pool->size;
}

/* The core, with nothing parked, for all that looks at more than one block */
static struct buddy_core *flushed(struct buddy_pool *pool)
{
	lockdep_assert_held(&pool->lock);
	buddy_park_flush(&pool->park);
	return &pool->park.core;
}

/* In blocks that exist */
static u64 bytes_taken(const struct buddy_pool *pool)
{
	return pool->size - (buddy_park_nr_free(&pool->park) << pool->shift) - pool->reserved;
}

/* Allocations that exist; reservations are no allocs */
static u64 nr_blocks(const struct buddy_pool *pool)
{
	return pool->allocs - pool->out_of_space - pool->frees;
}

/*
 * Requests
 */

static unsigned int natural_order(const struct buddy_pool *pool, u64 nr)
{
	return min_t(unsigned int, fls64(nr - 1), pool->max_order);
}

static enum buddy_pool_reason set_length(const struct buddy_pool *pool,
					 const struct buddy_pool_request *request,
					 struct buddy_core_request *core)
{
	u64 size = request->size;

	if (size > pool->max_alloc)
		return BUDDY_POOL_REASON_OVERSIZE;
	if (size < pool->min_alloc)
		return BUDDY_POOL_REASON_UNDERSIZE;
	core->nr = size ? ((size - 1) >> pool->shift) + 1 : 1;
	if (request->flags & BUDDY_POOL_ALLOC_POW2)
		core->nr = 1ULL << fls64(core->nr - 1);
	if (core->nr > pool->size >> pool->shift)
		return BUDDY_POOL_REASON_OVERSIZE;
	return BUDDY_POOL_REASON_NONE;
}

static enum buddy_pool_reason set_alignment(const struct buddy_pool *pool,
					    const struct buddy_pool_request *request,
					    struct buddy_core_request *core)
{
	u64 align = request->align;
	u64 remainder = pool->origin & ((1ULL << pool->shift) - 1);

	if (!align) {
		core->align_order = natural_order(pool, core->nr);
		return BUDDY_POOL_REASON_NONE;
	}
	if (!is_power_of_2(align) || remainder & (align - 1))
		return BUDDY_POOL_REASON_ALIGN;
	core->align_order = max_t(unsigned int, ilog2(align), pool->shift) - pool->shift;
	return core->align_order > pool->max_order ? BUDDY_POOL_REASON_ALIGN :
						     BUDDY_POOL_REASON_NONE;
}

/* The window [start, end) in indexes; whole blocks only */
static enum buddy_pool_reason set_window(const struct buddy_pool *pool,
					 const struct buddy_pool_request *request,
					 struct buddy_core_request *core)
{
	u64 first = address_to_index(pool, pool->base);
	u64 start = request->start ? request->start - pool->base : 0;
	u64 end = request->end ? request->end - pool->base : pool->size;
	u64 block = 1ULL << pool->shift;

	if (start >= end || end > pool->size)
		return BUDDY_POOL_REASON_WINDOW;
	core->start = first + (start >> pool->shift) + !!(start & (block - 1));
	core->end = first + (end >> pool->shift);
	if (core->start >= core->end)
		return BUDDY_POOL_REASON_WINDOW;
	return core->nr > core->end - core->start ? BUDDY_POOL_REASON_OVERSIZE :
						    BUDDY_POOL_REASON_NONE;
}

static enum buddy_pool_reason set_fixed(const struct buddy_pool *pool,
					const struct buddy_pool_request *request,
					struct buddy_core_request *core)
{
	u64 offset = request->start - pool->base;

	if (request->end || request->flags & BUDDY_POOL_ALLOC_TOP_DOWN)
		return BUDDY_POOL_REASON_FLAGS;
	if (!in_pool(pool, request->start))
		return BUDDY_POOL_REASON_WINDOW;
	if (offset & ((1ULL << pool->shift) - 1))
		return BUDDY_POOL_REASON_MISALIGNED;
	if (request->align && request->start & (request->align - 1))
		return BUDDY_POOL_REASON_ALIGN;
	core->start = address_to_index(pool, request->start);
	core->end = core->start + core->nr;
	return core->nr > (pool->size - offset) >> pool->shift ? BUDDY_POOL_REASON_OVERSIZE :
								 BUDDY_POOL_REASON_NONE;
}

#define REQUEST_FLAGS (BUDDY_POOL_ALLOC_TOP_DOWN | BUDDY_POOL_ALLOC_FIXED | \
		       BUDDY_POOL_ALLOC_POW2 | BUDDY_POOL_MAY_SLEEP)

/* Translates a request, or says why it can never be met */
static enum buddy_pool_reason translate(const struct buddy_pool *pool,
					const struct buddy_pool_request *request,
					struct buddy_core_request *core)
{
	enum buddy_pool_reason reason;

	if (request->flags & ~REQUEST_FLAGS)
		return BUDDY_POOL_REASON_FLAGS;
	reason = set_length(pool, request, core);
	if (reason)
		return reason;
	reason = set_alignment(pool, request, core);
	if (reason)
		return reason;
	core->flags = request->flags & BUDDY_POOL_ALLOC_TOP_DOWN ? BUDDY_CORE_TOP_DOWN : 0;
	if (request->flags & BUDDY_POOL_ALLOC_FIXED)
		return set_fixed(pool, request, core);
	return set_window(pool, request, core);
}

static void count_refused(struct buddy_pool *pool, enum buddy_pool_reason reason)
{
	guard(spinlock_irqsave)(&pool->lock);
	if (reason == BUDDY_POOL_REASON_OVERSIZE)
		pool->oversize++;
	else if (reason == BUDDY_POOL_REASON_UNDERSIZE)
		pool->undersize++;
}

static void count_granted(struct buddy_pool *pool, u64 size, u64 nr)
{
	pool->requested += size;
	pool->granted += nr << pool->shift;
	pool->peak = max(pool->peak, bytes_taken(pool));
}

static void explain_no_space(struct buddy_pool *pool, const struct buddy_core_request *core,
			     bool fixed, struct buddy_pool_result *result)
{
	struct buddy_core *all = flushed(pool);
	u64 end = min(core->end, all->end);

	pool->out_of_space++;
	result->largest = buddy_core_largest(all, core->start, end, NULL) << pool->shift;
	if (fixed)
		result->reason = BUDDY_POOL_REASON_IN_USE;
	else if (all->nr_free < core->nr)
		result->reason = BUDDY_POOL_REASON_EXHAUSTED;
	else
		result->reason = BUDDY_POOL_REASON_FRAGMENTED;
}

/* One attempt of bounded length under the lock; -EAGAIN asks for another */
static int try_alloc(struct buddy_pool *pool, const struct buddy_pool_request *request,
		     const struct buddy_core_request *core, u64 *cursor, u64 *index,
		     struct buddy_pool_result *result)
{
	bool fixed = request->flags & BUDDY_POOL_ALLOC_FIXED;
	int err;

	guard(spinlock_irqsave)(&pool->lock);
	if (*cursor) {
		err = buddy_core_search(flushed(pool), core, cursor, index);
	} else {
		pool->allocs++;
		if (fixed) {
			*index = core->start;
			err = buddy_core_alloc_at(flushed(pool), core->start, core->nr);
		} else {
			err = buddy_park_alloc(&pool->park, core, index);
			if (err == -EAGAIN)
				err = buddy_core_search(flushed(pool), core, cursor, index);
		}
	}
	if (!err) {
		count_granted(pool, request->size, core->nr);
	} else if (err == -ENOSPC || !(request->flags & BUDDY_POOL_MAY_SLEEP)) {
		explain_no_space(pool, core, fixed, result);
		err = -ENOSPC;
	}
	return err;
}

int buddy_pool_alloc(struct buddy_pool *pool, const struct buddy_pool_request *request,
		     struct buddy_pool_result *result)
{
	struct buddy_core_request core;
	u64 cursor = 0;
	u64 index;
	int err;

	result->reason = translate(pool, request, &core);
	if (result->reason) {
		count_refused(pool, result->reason);
		return -EINVAL;
	}
	for (;;) {
		err = try_alloc(pool, request, &core, &cursor, &index, result);
		if (err != -EAGAIN)
			break;
		cond_resched();
	}
	if (err)
		return err;
	result->address = index_to_address(pool, index);
	result->size = core.nr << pool->shift;
	return 0;
}
EXPORT_SYMBOL_GPL(buddy_pool_alloc);

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
static struct buddy_reservation *find_reservation(const struct buddy_pool *pool, u64 index)
{
	struct rb_node *link;

	lockdep_assert_held(&pool->lock);
	if (likely(!pool->nr_reserved))
		return NULL;
	link = rb_find(&index, &pool->reservations, compare_reservation);
	return link ? rb_entry(link, struct buddy_reservation, link) : NULL;
}

static bool is_whole_blocks(const struct buddy_pool *pool, u64 address, u64 size)
{
	return !(((address - pool->origin) | size) & ((1ULL << pool->shift) - 1));
}

int buddy_pool_reserve(struct buddy_pool *pool, u64 address, u64 size)
{
	struct buddy_reservation *reservation;
	int err;

	if (!size || !is_whole_blocks(pool, address, size))
		return -EINVAL;
	if (!in_pool(pool, address) || size > pool->size - (address - pool->base))
		return -ERANGE;
	reservation = kmalloc(sizeof(*reservation), GFP_KERNEL);
	if (!reservation)
		return -ENOMEM;
	reservation->index = address_to_index(pool, address);
	reservation->nr = size >> pool->shift;
	scoped_guard(spinlock_irqsave, &pool->lock) {
		err = buddy_core_alloc_at(flushed(pool), reservation->index, reservation->nr);
		if (!err) {
			rb_add(&reservation->link, &pool->reservations, reservation_is_before);
			pool->nr_reserved++;
			pool->reserved += size;
		}
	}
	if (err)
		kfree(reservation);
	return err ? -EBUSY : 0;
}
EXPORT_SYMBOL_GPL(buddy_pool_reserve);

int buddy_pool_unreserve(struct buddy_pool *pool, u64 address, u64 size)
{
	struct buddy_reservation *reservation = NULL;
	u64 nr;

	if (!in_pool(pool, address) || !is_whole_blocks(pool, address, size))
		return -ENOENT;
	scoped_guard(spinlock_irqsave, &pool->lock) {
		reservation = find_reservation(pool, address_to_index(pool, address));
		if (reservation && reservation->nr == size >> pool->shift) {
			rb_erase(&reservation->link, &pool->reservations);
			buddy_core_free(flushed(pool), reservation->index, &nr);
			pool->nr_reserved--;
			pool->reserved -= size;
		} else {
			reservation = NULL;
		}
	}
	if (!reservation)
		return -ENOENT;
	kfree(reservation);
	return 0;
}
EXPORT_SYMBOL_GPL(buddy_pool_unreserve);

/*
 * Frees
 */

static int refuse_free(struct buddy_pool *pool, int err, enum buddy_pool_reason why,
		       enum buddy_pool_reason *reason)
{
	pool->bad_free[why]++;
	if (reason)
		*reason = why;
	return err;
}

int buddy_pool_free(struct buddy_pool *pool, u64 address, enum buddy_pool_reason *reason)
{
	u64 nr;
	int err;

	guard(spinlock_irqsave)(&pool->lock);
	if (!in_pool(pool, address))
		return refuse_free(pool, -ERANGE, BUDDY_POOL_REASON_OUT_OF_RANGE, reason);
	if ((address - pool->origin) & ((1ULL << pool->shift) - 1))
		return refuse_free(pool, -EINVAL, BUDDY_POOL_REASON_MISALIGNED, reason);
	if (find_reservation(pool, address_to_index(pool, address)))
		return refuse_free(pool, -ENOENT, BUDDY_POOL_REASON_RESERVED, reason);
	err = buddy_park_free(&pool->park, address_to_index(pool, address), &nr);
	if (err == -ENOENT)
		return refuse_free(pool, err, BUDDY_POOL_REASON_NOT_ALLOCATED, reason);
	if (err)
		return refuse_free(pool, err, BUDDY_POOL_REASON_INTERIOR, reason);
	pool->frees++;
	if (reason)
		*reason = BUDDY_POOL_REASON_NONE;
	return 0;
}
EXPORT_SYMBOL_GPL(buddy_pool_free);

/*
 * Queries
 */

int buddy_pool_query(struct buddy_pool *pool, u64 address, u64 *start, u64 *size)
{
	struct buddy_core_extent extent;

	if (!in_pool(pool, address))
		return -ERANGE;
	guard(spinlock_irqsave)(&pool->lock);
	buddy_core_query(flushed(pool), address_to_index(pool, address), &extent);
	*start = index_to_address(pool, extent.start);
	*size = extent.nr << pool->shift;
	if (extent.kind == BUDDY_CORE_FREE)
		return BUDDY_POOL_STATE_FREE;
	return find_reservation(pool, extent.start) ? BUDDY_POOL_STATE_RESERVED :
						      BUDDY_POOL_STATE_USED;
}
EXPORT_SYMBOL_GPL(buddy_pool_query);

static void copy_order_counters(struct buddy_pool_usage *usage,
				const struct buddy_core_stats *stats)
{
	unsigned int o;

	for (o = 0; o < usage->nr_orders; o++) {
		usage->order[o].enqueues = stats->order[o].enqueues;
		usage->order[o].dequeues = stats->order[o].dequeues;
		usage->order[o].removes = stats->order[o].removes;
		usage->order[o].size = stats->order[o].size;
	}
	usage->splits = stats->splits;
	usage->merges = stats->merges;
}

void buddy_pool_usage(struct buddy_pool *pool, struct buddy_pool_usage *usage)
{
	struct buddy_core_stats stats;
	struct buddy_core *core;
	unsigned int r;

	memset(usage, 0, sizeof(*usage));
	usage->nr_orders = pool->max_order + 1;
	guard(spinlock_irqsave)(&pool->lock);
	usage->size = pool->size;
	core = flushed(pool);
	usage->free = core->nr_free << pool->shift;
	usage->held = pool->held;
	usage->reserved = pool->reserved;
	usage->used = bytes_taken(pool) - pool->held;
	usage->peak = pool->peak;
	usage->requested = pool->requested;
	usage->granted = pool->granted;
	usage->allocs = pool->allocs;
	usage->frees = pool->frees;
	usage->nr_blocks = nr_blocks(pool);
	usage->out_of_space = pool->out_of_space;
	usage->oversize = pool->oversize;
	usage->undersize = pool->undersize;
	for (r = 0; r < ARRAY_SIZE(usage->bad_free); r++) {
		usage->bad_free[r] = pool->bad_free[r];
		usage->bad_frees += pool->bad_free[r];
	}
	usage->largest = buddy_core_largest(core, core->first, core->end, NULL) << pool->shift;
	buddy_core_stats(core, &stats);
	copy_order_counters(usage, &stats);
}
EXPORT_SYMBOL_GPL(buddy_pool_usage);

u64 buddy_pool_block_size(u64 size, u64 min_block, u64 max_block)
{
	if (!is_power_of_2(min_block) || !is_power_of_2(max_block) || min_block > max_block ||
	    size > max_block)
		return 0;
	return size <= min_block ? min_block : 1ULL << fls64(size - 1);
}
EXPORT_SYMBOL_GPL(buddy_pool_block_size);

/*
 * For the node
 */

void buddy_pool_limits(const struct buddy_pool *pool, struct buddy_pool_limits *limits)
{
	limits->base = pool->base;
	limits->size = pool->size;
	limits->min_block = 1ULL << pool->shift;
	limits->min_alloc = pool->min_alloc;
	limits->max_alloc = pool->max_alloc;
}

const char *buddy_pool_name(const struct buddy_pool *pool)
{
	return pool->name;
}

const struct buddy_range *buddy_pool_range(const struct buddy_pool *pool)
{
	return &pool->range;
}

/* A free that did not get as far as an address */
void buddy_pool_count_bad_free(struct buddy_pool *pool, enum buddy_pool_reason reason)
{
	guard(spinlock_irqsave)(&pool->lock);
	pool->bad_free[reason]++;
}

/* A block of @size bytes lost its owner, and is kept by mappings. */
void buddy_pool_hold(struct buddy_pool *pool, u64 size)
{
	guard(spinlock_irqsave)(&pool->lock);
	pool->held += size;
}

/* A held block of @size bytes is about to be freed. */
void buddy_pool_unhold(struct buddy_pool *pool, u64 size)
{
	guard(spinlock_irqsave)(&pool->lock);
	pool->held -= size;
}

/*
 * Life cycle
 */

static bool name_is_valid(const char *name)
{
	size_t i, length = strnlen(name, BUDDY_POOL_NAME_LEN);

	if (!length || length == BUDDY_POOL_NAME_LEN || name[0] == '.')
		return false;
	for (i = 0; i < length; i++)
		if (!isascii(name[i]) || (!isalnum(name[i]) && !strchr("._-", name[i])))
			return false;
	return true;
}

/* The power of two that is @size or more, as far as there is one */
static u64 roundup_size(u64 size)
{
	return size > 1ULL << 63 ? U64_MAX : 1ULL << fls64(size - 1);
}

/* Tells in the log what is wrong with the limits, by the rules of buddy_pool.h */
static int set_limits(struct buddy_pool *pool, const struct buddy_pool_config *config)
{
	u64 min_block = config->min_block ?: PAGE_SIZE;
	u64 remainder;

	pool->shift = ilog2(min_block);
	pool->base = pool->range.start;
	pool->size = pool->range.size >> pool->shift << pool->shift;
	pool->min_alloc = config->min_alloc;
	pool->max_alloc = config->max_alloc ?: pool->size;
	if (!pool->size) {
		pr_err("%s: size %llu is less than min_block %llu\n", pool->name,
		       pool->range.size, min_block);
		return -EINVAL;
	}
	if (pool->max_alloc > pool->size || pool->min_alloc > pool->max_alloc) {
		pr_err("%s: limits must be min_alloc %llu <= max_alloc %llu <= size %llu\n",
		       pool->name, pool->min_alloc, pool->max_alloc, pool->size);
		return -EINVAL;
	}
	if (config->max_alloc && min_block > roundup_size(config->max_alloc)) {
		pr_err("%s: min_block %llu is more than max_alloc %llu\n", pool->name, min_block,
		       config->max_alloc);
		return -EINVAL;
	}
	if (pool->size >> pool->shift > BUDDY_CORE_MAX_BLOCKS) {
		pr_err("%s: too many blocks; min_block=%llu would do\n", pool->name,
		       roundup_size(pool->size / BUDDY_CORE_MAX_BLOCKS));
		return -EINVAL;
	}
	pool->max_order = buddy_core_max_order(pool->size >> pool->shift);
	remainder = pool->base & ((1ULL << (pool->max_order + pool->shift)) - 1);
	pool->origin = pool->base - (remainder >> pool->shift << pool->shift);
	return 0;
}

static int init_core(struct buddy_pool *pool)
{
	u64 nr = pool->size >> pool->shift;
	u64 first = address_to_index(pool, pool->base);
	u64 bytes = buddy_core_metadata_size(first, nr);

	/* More than vmalloc() hands out at once, or than the machine has */
	if (bytes <= min_t(u64, INT_MAX, (u64)totalram_pages() << PAGE_SHIFT) / 2)
		pool->metadata = __vmalloc(bytes, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
	if (!pool->metadata) {
		pr_err("%s: no memory for %llu bytes of metadata; a larger min_block needs less\n",
		       pool->name, bytes);
		return -ENOMEM;
	}
	buddy_core_init(&pool->park.core, first, nr, pool->metadata);
	return 0;
}

static int register_pool(struct buddy_pool *pool)
{
	struct buddy_pool *other;

	guard(mutex)(&pool_list_lock);
	list_for_each_entry(other, &pool_list, link) {
		if (pool->name[0] && !strcmp(other->name, pool->name)) {
			pr_err("%s: there is a pool of that name\n", pool->name);
			return -EEXIST;
		}
	}
	list_add_tail(&pool->link, &pool_list);
	return 0;
}

static int claim_range(struct buddy_pool *pool, const struct buddy_pool_config *config)
{
	u64 last;

	if (config->claim || config->pdev)
		return buddy_range_claim(&pool->range, config);
	if (!config->size || check_add_overflow(config->base, config->size - 1, &last)) {
		pr_err("size %llu from %#llx is empty or goes beyond 2^64\n", config->size,
		       config->base);
		return -EINVAL;
	}
	pool->range.start = config->base;
	pool->range.size = config->size;
	return 0;
}

struct buddy_pool *buddy_pool_create(const struct buddy_pool_config *config)
{
	struct buddy_pool *pool;
	int err;

	if (config->name && !name_is_valid(config->name)) {
		pr_err("a name is 1 to %d letters, digits, '.', '_' or '-', not first '.'\n",
		       BUDDY_POOL_NAME_LEN - 1);
		return ERR_PTR(-EINVAL);
	}
	pool = kvzalloc(sizeof(*pool), GFP_KERNEL);
	if (!pool)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&pool->lock);
	kref_init(&pool->ref);
	strscpy(pool->name, config->name ?: "", sizeof(pool->name));

	err = claim_range(pool, config);
	if (err)
		goto free_pool;
	err = set_limits(pool, config);
	if (err)
		goto release_range;
	err = init_core(pool);
	if (err)
		goto release_range;
	err = register_pool(pool);
	if (err)
		goto free_metadata;
	return pool;

free_metadata:
	vfree(pool->metadata);
release_range:
	buddy_range_release(&pool->range);
free_pool:
	kvfree(pool);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(buddy_pool_create);

static void free_reservations(struct buddy_pool *pool)
{
	struct buddy_reservation *reservation, *next;

	rbtree_postorder_for_each_entry_safe(reservation, next, &pool->reservations, link)
		kfree(reservation);
}

static void destroy_pool(struct kref *ref)
{
	struct buddy_pool *pool = container_of(ref, struct buddy_pool, ref);
	u64 nr = nr_blocks(pool);

	list_del(&pool->link);
	mutex_unlock(&pool_list_lock);
	if (nr)
		pr_warn("%s: destroyed with %llu blocks still allocated\n", pool->name, nr);
	buddy_range_release(&pool->range);
	free_reservations(pool);
	vfree(pool->metadata);
	kvfree(pool);
}

void buddy_pool_ref(struct buddy_pool *pool)
{
	kref_get(&pool->ref);
}

struct buddy_pool *buddy_pool_get(const char *name)
{
	struct buddy_pool *pool;

	guard(mutex)(&pool_list_lock);
	list_for_each_entry(pool, &pool_list, link) {
		if (name[0] && !strcmp(pool->name, name)) {
			kref_get(&pool->ref);
			return pool;
		}
	}
	return NULL;
}
EXPORT_SYMBOL_GPL(buddy_pool_get);

void buddy_pool_put(struct buddy_pool *pool)
{
	/* Under the lock, so that buddy_pool_get() finds none that is going */
	if (pool)
		kref_put_mutex(&pool->ref, destroy_pool, &pool_list_lock);
}
EXPORT_SYMBOL_GPL(buddy_pool_put);

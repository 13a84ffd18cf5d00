/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A range of addresses with a lock, an allocator and counters of its own; see
 * buddy_shard.c. The functions are those of buddy_pool.h for one shard; all but
 * the life cycle work in any context but NMI.
 */
#ifndef BUDDY_SHARD_H
#define BUDDY_SHARD_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/rbtree.h>
#include <linux/seqlock.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "buddy_layout.h"
#include "buddy_park.h"
#include "buddy_pool.h"

/**
 * struct buddy_reservation - a range that no free gives back, but unreserve only
 * @link: in buddy_shard.reservations of the shard that it begins in
 * @index: first block, in that shard's indexes
 * @nr: blocks, also those beyond the end of the shard
 */
struct buddy_reservation {
	struct rb_node link;
	u64 index;
	u64 nr;
};

/**
 * struct buddy_shard - a range of addresses
 * @lock: guards all from @park on; the rest is constant. Raw, since hard interrupts
 *	take it, with PREEMPT_RT, too; what is done under it is bounded
 * @shift: log2 of the min block
 * @max_order: of the largest block it could hold if its base were aligned
 * @origin: address of index 0
 * @base: first address
 * @size: bytes
 * @min_alloc: the pool's
 * @max_plain: greatest size that buddy_shard_alloc_plain() grants; the pool's
 *	max_alloc, or less with several shards, for buddy_shards.peak to be right
 * @offset: index of @origin in the pool
 * @shards: all of the pool
 * @park: what is free
 * @requested: rises with each request granted, by the bytes asked for
 * @granted: rises with each request granted, by the bytes given
 * @allocs: rises with each request granted, or refused for want of space
 * @frees: rises with each block given back
 * @out_of_space: rises with each request refused for want of space
 * @oversize: rises with each request refused as too long
 * @undersize: rises with each request refused as too short
 * @bad_free: rise with each free refused, by reason
 * @held: bytes in blocks that have no owner, but mappings
 * @reserved: bytes in reserved ranges
 * @calm_from: while the bytes in blocks are no less than this,
 * @calm: and no more than that above, the pool's peak need not be looked at again.
 *	0, and the most bytes that were ever in blocks, if there is one shard
 * @nr_special: reserved ranges that begin here, @front and @back if not 0; while it
 *	is 0, all allocations are plain blocks
 * @front: so many blocks at the beginning belong to what begins in the shard before.
 *	Written with buddy_shards.span_lock held as well, so read under either
 * @back: so many blocks at the end belong to what goes on in the next, likewise
 * @reservations: the reserved ranges, by index
 */
struct buddy_shard {
	raw_spinlock_t lock;		/* from park on */
	unsigned int shift;
	unsigned int max_order;
	u64 origin;
	u64 base;
	u64 size;
	u64 min_alloc;
	u64 max_plain;
	u64 offset;
	struct buddy_shards *shards;

	struct buddy_park park;
	u64 requested;
	u64 granted;
	u64 allocs;
	u64 frees;
	u64 out_of_space;
	u64 oversize;
	u64 undersize;
	u64 bad_free[BUDDY_POOL_REASON_RESERVED + 1];
	u64 held;
	u64 reserved;
	u64 calm_from;
	u64 calm;
	u64 nr_special;
	u64 front;
	u64 back;
	struct rb_root reservations;
} ____cacheline_aligned_in_smp;

/* The first index and the one past the last, in indexes of the pool */
static inline u64 buddy_shard_first(const struct buddy_shard *shard)
{
	return shard->offset + shard->park.core.first;
}

static inline u64 buddy_shard_end(const struct buddy_shard *shard)
{
	return shard->offset + shard->park.core.end;
}

#define BUDDY_MAX_SHARDS	64

/* So many times smaller than a shard are the changes that a peak may miss in it */
#define BUDDY_CALM_SHIFT	9

/**
 * struct buddy_shards - all shards of a pool, in the order of their addresses
 * @shard: the first of them
 * @nr: how many, 1 to BUDDY_MAX_SHARDS + 1
 * @order: log2 of the length of all but the first and the last, in min blocks
 * @skipped: so many shards of that length would be before the first
 * @layout: of the pool
 * @span_lock: taken before the locks of more than one; see buddy_span.h
 * @reserving: changes while a range is being reserved or given back
 * @peak: the most bytes that were seen in blocks of all shards, if there are several;
 *	see sample_peak()
 * @home: by the low bits of a CPU's number, the shard that it begins with
 */
struct buddy_shards {
	struct buddy_shard *shard;
	unsigned int nr;
	unsigned int order;
	u64 skipped;
	struct buddy_layout layout;
	raw_spinlock_t span_lock;	/* before all of shard[].lock */
	seqcount_raw_spinlock_t reserving;
	atomic64_t peak;
	u8 home[BUDDY_MAX_SHARDS];
};

static inline void buddy_shards_raise_peak(struct buddy_shards *shards, u64 taken)
{
	s64 peak = atomic64_read(&shards->peak);

	while (taken > (u64)peak && !atomic64_try_cmpxchg(&shards->peak, &peak, taken))
		;
}

/* The shard of the block with this index in the pool, as a position in @shard */
static inline unsigned int buddy_shards_at(const struct buddy_shards *shards, u64 index)
{
	return shards->nr == 1 ? 0 : (index >> shards->order) - shards->skipped;
}

static inline struct buddy_shard *buddy_shards_of(const struct buddy_shards *shards, u64 address)
{
	u64 index = buddy_layout_index(&shards->layout, address);

	return likely(shards->nr == 1) ? shards->shard :
					 &shards->shard[buddy_shards_at(shards, index)];
}

/* The shard that this CPU begins with */
static inline struct buddy_shard *buddy_shards_home(const struct buddy_shards *shards)
{
	return likely(shards->nr == 1) ? shards->shard :
		&shards->shard[shards->home[raw_smp_processor_id() % BUDDY_MAX_SHARDS]];
}

/* As buddy_pool_alloc(), for a pool of one shard and what is not plain */
int buddy_shard_alloc(struct buddy_shard *shard, const struct buddy_pool_request *request,
		      struct buddy_pool_result *result);

/* Grants a power of two, anywhere, if that is quickly done. Says whether it did. */
bool buddy_shard_alloc_plain(struct buddy_shard *shard, const struct buddy_pool_request *request,
			     struct buddy_pool_result *result);

/*
 * Grants up to @count such blocks side by side, of which @result is the first, and no
 * more than BUDDY_CORE_ROW_BLOCKS. Returns how many; 0 says no more than false does.
 */
unsigned int buddy_shard_alloc_row(struct buddy_shard *shard,
				   const struct buddy_pool_request *request, unsigned int count,
				   struct buddy_pool_result *result);

/*
 * Frees @count blocks side by side, of @size bytes each, from @address on, no more than
 * BUDDY_CORE_ROW_BLOCKS. Says whether it did, which takes powers of two, all of them in
 * the shard; if not, they have to be freed one by one.
 */
bool buddy_shard_free_row(struct buddy_shard *shard, u64 address, u64 size, unsigned int count);

/* @wanted: @request in indexes of the pool. Returns 0 or -ENOSPC. */
int buddy_shard_search(struct buddy_shard *shard, const struct buddy_pool_request *request,
		       const struct buddy_core_request *wanted, struct buddy_pool_result *result);

/*
 * Of an address in the shard. These return -EXDEV for one in a block or a range that
 * crosses the end of the shard, and have then done nothing.
 */
int buddy_shard_free(struct buddy_shard *shard, u64 address, enum buddy_pool_reason *reason);
int buddy_shard_query(struct buddy_shard *shard, u64 address, u64 *start, u64 *size);

/* Counts a request that no shard granted, or a free that none can be asked. */
void buddy_shard_count_refused(struct buddy_shard *shard, int err, enum buddy_pool_reason reason);
void buddy_shard_count_bad_free(struct buddy_shard *shard, enum buddy_pool_reason reason);

/* Returns when those are done who have the lock. */
void buddy_shard_sync(struct buddy_shard *shard);

/* A block of @size bytes lost its owner and is kept by mappings; and lost those. */
void buddy_shard_hold(struct buddy_shard *shard, u64 size);
void buddy_shard_unhold(struct buddy_shard *shard, u64 size);

/*
 * For those who hold the lock
 */

/* The core, with nothing parked */
struct buddy_core *buddy_shard_flush(struct buddy_shard *shard);

/* buddy_shard_search() without a search; sets @index, in indexes of the pool. */
int buddy_shard_take(struct buddy_shard *shard, const struct buddy_pool_request *request,
		     const struct buddy_core_request *wanted, u64 *index);

/* A span of @nr min blocks in shards [@first, @last] is granted to @size bytes. */
void buddy_shard_count_span(struct buddy_shards *shards, unsigned int first, unsigned int last,
			    u64 size, u64 nr);

/* Counts a refused free, sets @reason if not NULL, and returns @err. */
int buddy_shard_refuse_free(struct buddy_shard *shard, int err, enum buddy_pool_reason why,
			    enum buddy_pool_reason *reason);

/* @index: in indexes of the shard; the last returns NULL if there is no such range. */
bool buddy_shard_is_reserved(const struct buddy_shard *shard, u64 index);
void buddy_shard_add_reservation(struct buddy_shard *shard, struct buddy_reservation *reservation);
struct buddy_reservation *buddy_shard_remove_reservation(struct buddy_shard *shard, u64 index,
							 u64 nr);

/* Adds the shard's share to @usage, which begins with zeros; but not to largest. */
void buddy_shard_add_usage(struct buddy_shard *shard, struct buddy_pool_usage *usage);

/* The longest free run in the shard's part of a window, in indexes of the pool */
u64 buddy_shard_largest(struct buddy_shard *shard, u64 start, u64 end);

/* The free blocks there; see buddy_core_nr_free_in(). */
u64 buddy_shard_nr_free_in(struct buddy_shard *shard, u64 start, u64 end, u64 enough);

/*
 * Life cycle
 */

/* Fills in what follows from base, size and the pool; returns bytes of metadata. */
u64 buddy_shard_place(struct buddy_shard *shard, struct buddy_shards *shards);

/* @metadata: that many bytes of zeros, aligned to a cache line */
void buddy_shard_init(struct buddy_shard *shard, void *metadata);
void buddy_shard_destroy(struct buddy_shard *shard);

#endif

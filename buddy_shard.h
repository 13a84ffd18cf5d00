/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A range of addresses with a lock, an allocator and counters of its own; see
 * buddy_shard.c. The functions are those of buddy_pool.h for one shard; all but
 * the life cycle work in any context but NMI.
 */
#ifndef BUDDY_SHARD_H
#define BUDDY_SHARD_H

#include <linux/cache.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "buddy_park.h"
#include "buddy_pool.h"

/**
 * struct buddy_shard - a range of addresses
 * @lock: guards all from @park on; the rest is constant
 * @shift: log2 of the min block
 * @max_order: of the largest block it could hold if its base were aligned
 * @natural_order: of the largest block it holds
 * @origin: address of index 0
 * @base: first address
 * @size: bytes
 * @min_alloc: the pool's
 * @max_alloc: the pool's
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
 * @peak: the most bytes that were ever in blocks
 * @nr_reserved: reserved ranges
 * @nr_unreserved: rises with each reserved range given back
 * @reservations: the reserved ranges, by index
 */
struct buddy_shard {
	spinlock_t lock;		/* from park on */
	unsigned int shift;
	unsigned int max_order;
	unsigned int natural_order;
	u64 origin;
	u64 base;
	u64 size;
	u64 min_alloc;
	u64 max_alloc;

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
	u64 peak;
	u64 nr_reserved;
	u64 nr_unreserved;
	struct rb_root reservations;
} ____cacheline_aligned_in_smp;

int buddy_shard_alloc(struct buddy_shard *shard, const struct buddy_pool_request *request,
		      struct buddy_pool_result *result);

/* Why a request can never be met, or BUDDY_POOL_REASON_NONE */
enum buddy_pool_reason buddy_shard_check(const struct buddy_shard *shard,
					 const struct buddy_pool_request *request);

int buddy_shard_free(struct buddy_shard *shard, u64 address, enum buddy_pool_reason *reason);
int buddy_shard_reserve(struct buddy_shard *shard, u64 address, u64 size);
int buddy_shard_unreserve(struct buddy_shard *shard, u64 address, u64 size);
int buddy_shard_query(struct buddy_shard *shard, u64 address, u64 *start, u64 *size);

/* The free bytes from @address, which is in the shard, up to a block or its end */
u64 buddy_shard_free_run(struct buddy_shard *shard, u64 address);

/* Adds the shard's share to @usage, which begins with zeros. */
void buddy_shard_add_usage(struct buddy_shard *shard, struct buddy_pool_usage *usage);

/* Counts a request that no shard granted, or a free that none can be asked. */
void buddy_shard_count_refused(struct buddy_shard *shard, int err, enum buddy_pool_reason reason);
void buddy_shard_count_bad_free(struct buddy_shard *shard, enum buddy_pool_reason reason);

/* Rises whenever space comes back. */
u64 buddy_shard_nr_freed(struct buddy_shard *shard);

/* A block of @size bytes lost its owner and is kept by mappings; and lost those. */
void buddy_shard_hold(struct buddy_shard *shard, u64 size);
void buddy_shard_unhold(struct buddy_shard *shard, u64 size);

/* Fills in what follows from base, size and shift; returns bytes of metadata. */
u64 buddy_shard_place(struct buddy_shard *shard);

/* @metadata: that many bytes of zeros, aligned to a cache line */
void buddy_shard_init(struct buddy_shard *shard, void *metadata);
void buddy_shard_destroy(struct buddy_shard *shard);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shards of a pool together: which of them a request goes to, and the blocks
 * that cross from one to the next.
 *
 * A pool is divided at multiples of a power of two, so that blocks stay aligned;
 * the first and the last shard may be shorter. A CPU begins with a shard of its
 * own, its home, and goes on to the others if that has no space. What no shard can
 * grant alone is looked for in the free runs that cross a border: the end of one
 * shard, any number of whole ones, and the beginning of another.
 *
 * Such a block, a span, is an allocation in the core of each shard that it has a
 * piece in. The shards know of it by two numbers, buddy_shard.front and .back. So
 * that nothing on the way of other blocks has to look at these, they count in
 * buddy_shard.nr_special, which is 0 nearly always.
 *
 * Locking: buddy_shards.span_lock is taken before the locks of more than one
 * shard, and by whoever makes or ends a span, and serialises all of them. While it
 * is held no span comes or goes. Whoever needs one shard takes its lock alone. No
 * other lock is taken inside, and none is held for longer than it takes to look at
 * both ends of each shard, to make one bounded attempt to allocate in each, or, for
 * buddy_span_usage(), to add up the counters of each.
 */
#ifndef BUDDY_SPAN_H
#define BUDDY_SPAN_H

#include <linux/types.h>

#include "buddy_shard.h"

/* As buddy_pool_alloc(), for a pool of several shards */
int buddy_span_alloc(struct buddy_shards *shards, const struct buddy_pool_request *request,
		     struct buddy_pool_result *result);

/* As buddy_shard_alloc_row(), in the first shard that can */
unsigned int buddy_span_alloc_row(struct buddy_shards *shards,
				  const struct buddy_pool_request *request, unsigned int count,
				  struct buddy_pool_result *result);

/* As those of buddy_shard.h, for an address for which they return -EXDEV */
int buddy_span_free(struct buddy_shards *shards, u64 address, enum buddy_pool_reason *reason);
int buddy_span_query(struct buddy_shards *shards, u64 address, u64 *start, u64 *size);

/* As those of buddy_pool.h, for any pool */
int buddy_span_reserve(struct buddy_shards *shards, u64 address, u64 size);
int buddy_span_unreserve(struct buddy_shards *shards, u64 address, u64 size);

/* @usage begins with zeros. */
void buddy_span_usage(struct buddy_shards *shards, struct buddy_pool_usage *usage);

/* The free bytes from @address, which is in the pool, up to a block or its end */
u64 buddy_span_free_run(struct buddy_shards *shards, u64 address);

/**
 * buddy_span_divide() - decide on shards, and allocate them
 * @shards: with base, size, limits and shift in its layout; the rest is filled in
 * @wanted: about so many shards, 1 to BUDDY_MAX_SHARDS
 *
 * The shards are not initialised, but for their place.
 *
 * Return: 0, or -ENOMEM.
 */
int buddy_span_divide(struct buddy_shards *shards, unsigned int wanted);

/* How many shards a pool of @nr blocks gets if nobody says */
unsigned int buddy_span_default(u64 nr);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a pool lies, and what a request in bytes asks of the core.
 *
 * Here addresses and bytes turn into the indexes and orders of the core. Index 0
 * lies at the address @origin, which is 0 or, so that no index goes beyond 64 bits,
 * 2^63: an index is as aligned as its address, whatever the order. If the base is no
 * multiple of the min block, that remainder is part of every address and of @origin;
 * alignments above it can't be met then, and are refused.
 */
#ifndef BUDDY_LAYOUT_H
#define BUDDY_LAYOUT_H

#include <linux/limits.h>
#include <linux/types.h>

#include "buddy_core.h"
#include "buddy_pool.h"

/**
 * struct buddy_layout - constants of a pool
 * @shift: log2 of the min block
 * @natural_order: of the largest block it holds
 * @origin: address of index 0
 * @base: first address
 * @size: bytes
 * @min_alloc: least size of a request
 * @max_alloc: greatest size of a request
 */
struct buddy_layout {
	unsigned int shift;
	unsigned int natural_order;
	u64 origin;
	u64 base;
	u64 size;
	u64 min_alloc;
	u64 max_alloc;
};

static inline u64 buddy_layout_address(const struct buddy_layout *layout, u64 index)
{
	return layout->origin + (index << layout->shift);
}

static inline u64 buddy_layout_index(const struct buddy_layout *layout, u64 address)
{
	return (address - layout->origin) >> layout->shift;
}

static inline bool buddy_layout_contains(const struct buddy_layout *layout, u64 address)
{
	return address >= layout->base && address - layout->base < layout->size;
}

/* is_power_of_2() takes an unsigned long. */
static inline bool buddy_is_power_of_2(u64 n)
{
	return n && !(n & (n - 1));
}

/* The first index from @index on that is a multiple of 2^@order, or U64_MAX */
static inline u64 buddy_layout_align(u64 index, unsigned int order)
{
	u64 mask = (1ULL << order) - 1;

	return index > U64_MAX - mask ? U64_MAX : (index + mask) & ~mask;
}

/* Fills in what follows from base, size and shift */
void buddy_layout_complete(struct buddy_layout *layout);

/**
 * buddy_layout_translate() - say in indexes what is wanted
 * @layout: of the pool
 * @request: what is wanted
 * @core: filled. With BUDDY_POOL_ALLOC_FIXED, its window is just as long as the run
 *
 * Return: BUDDY_POOL_REASON_NONE, or why it can never be met.
 */
enum buddy_pool_reason buddy_layout_translate(const struct buddy_layout *layout,
					      const struct buddy_pool_request *request,
					      struct buddy_core_request *core);

#endif

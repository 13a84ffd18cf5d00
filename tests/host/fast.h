/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The model for pools that are too large for model.h: a plain binary tree whose
 * nodes are the blocks of the buddy system. It is slower than the core and takes
 * 200 times its memory, but each node says outright what the core encodes. Where both
 * models can be used, tests use both and compare them.
 *
 * It is the other implementation of N15: it knows nothing of words and nodes of 64,
 * and has to place each request, and count each block, as the core does.
 */
#ifndef HOST_FAST_H
#define HOST_FAST_H

#include "buddy_core.h"

#define FAST_ORDERS 22
#define FAST_BLOCKS (1ULL << (FAST_ORDERS - 1))
/* Blocks beside the border of a run: two for each order and each end */
#define FAST_BORDER (8 * FAST_ORDERS)

/*
 * A node of order o: bit q of orders is set if a maximal free block of order q
 * is in it. All of it is free: 1 << o; none: 0; in both cases what its children
 * say is out of date.
 */
struct fast_node {
	u64 orders;
	u32 free_before; /* free blocks from its start on */
	u32 free_after; /* free blocks up to its end */
	u32 longest; /* free run inside */
	u32 nr_free; /* blocks inside */
};

/**
 * struct fast - a large pool
 * @first: first index
 * @end: one past the last
 * @order: of the root
 * @nr_free: free blocks
 * @node: the root is 1, the children of n are 2n and 2n + 1
 * @length: by index: of the allocation that starts there, or 0
 * @place: by index: where live has it
 * @live: starts of all allocations, in no order
 * @nr_live: how many
 */
struct fast {
	u64 first;
	u64 end;
	unsigned int order;
	u64 nr_free;
	struct fast_node *node;
	u32 *length;
	u32 *place;
	u32 *live;
	u32 nr_live;
};

/* A maximal free block */
struct fast_block {
	u64 start;
	unsigned int order;
};

/* Reserves memory for FAST_BLOCKS once; a fast_init() follows for each pool */
void fast_create(struct fast *fast);
void fast_init(struct fast *fast, u64 first, u64 nr);

/* These do what their namesakes in model.h do. */
bool fast_is_free(const struct fast *fast, u64 start, u64 nr);
bool fast_has_run(const struct fast *fast,
		  const struct buddy_core_request *req);
bool fast_best_fit(const struct fast *fast,
		   const struct buddy_core_request *req, u64 *index);
void fast_take(struct fast *fast, u64 start, u64 nr);
int fast_free(struct fast *fast, u64 index, u64 *nr);
int fast_query(const struct fast *fast, u64 index,
	       struct buddy_core_extent *extent);
u64 fast_largest(const struct fast *fast, u64 start, u64 end);
u64 fast_nr_free(const struct fast *fast, u64 start, u64 end);

/*
 * The maximal free blocks that overlap [start, end), or come to do so by their
 * parents when all of that is freed; in address order. Returns how many. The
 * run is all free or all used.
 */
unsigned int fast_border(const struct fast *fast, u64 start, u64 end,
			 struct fast_block *blocks);

/* Free runs that overlap [start, end), counted up to @limit */
unsigned int fast_runs(const struct fast *fast, u64 start, u64 end,
		       unsigned int limit);

#endif

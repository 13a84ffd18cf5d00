/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the allocator must do, said in the simplest way: an array that tells for
 * each block who owns it. Everything is found by looking at every block, so
 * there is no structure that could be wrong.
 */
#ifndef HOST_MODEL_H
#define HOST_MODEL_H

#include "buddy_core.h"

#define MODEL_BLOCKS 5000
#define MODEL_ORDERS 14

/* A maximal free block */
struct model_block {
	u64 start;
	unsigned int order;
};

/**
 * struct model - a small pool
 * @first: index of block 0 of the arrays
 * @nr: blocks
 * @owner: for each block, number of its allocation, or 0 if it is free
 * @last_owner: the numbers given so far
 * @stale: what follows has to be worked out anew from @owner
 * @run: for each block, how many free ones there are from it on
 * @block: all maximal free blocks, in address order
 * @nr_blocks: how many
 */
struct model {
	u64 first;
	unsigned int nr;
	u32 owner[MODEL_BLOCKS];
	u32 last_owner;
	bool stale;
	u32 run[MODEL_BLOCKS + 1];
	struct model_block block[MODEL_BLOCKS];
	unsigned int nr_blocks;
};

void model_init(struct model *model, u64 first, unsigned int nr);

/* Is all of [start, start + nr) inside the pool and free? */
bool model_is_free(struct model *model, u64 start, u64 nr);

/* Is there a free run for @req? */
bool model_has_run(struct model *model, const struct buddy_core_request *req);

/*
 * Where best fit puts @req: among the maximal free blocks inside the window
 * that can hold its size and alignment, the smallest, of these the lowest (or
 * highest), in it the lowest (or highest) place that is aligned. Returns false if
 * there is no such block.
 */
bool model_best_fit(struct model *model, const struct buddy_core_request *req,
		    u64 *index);

void model_take(struct model *model, u64 start, u64 nr);

/* As buddy_core_free(), buddy_core_query() */
int model_free(struct model *model, u64 index, u64 *nr);
int model_query(struct model *model, u64 index,
		struct buddy_core_extent *extent);

/* Length of the longest free run inside [start, end) */
u64 model_largest(struct model *model, u64 start, u64 end);

/* Free blocks inside [start, end) */
u64 model_nr_free(struct model *model, u64 start, u64 end);

/* Brings @run and @block up to date, for direct use */
void model_look(struct model *model);

/* One character for each block: . free, a letter for each allocation */
const char *model_text(struct model *model);

#endif

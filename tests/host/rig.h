/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Runs operations on a pool and on the models side by side, and compares. Used
 * by the random test, the fuzzer and the replay of scripts.
 */
#ifndef HOST_RIG_H
#define HOST_RIG_H

#include <stdio.h>

#include "buddy_core.h"
#include "fast.h"
#include "model.h"

/* Pools up to so many blocks are compared with both models */
#define SMALL_BLOCKS 256

enum op_kind {
	OP_ALLOC,
	OP_AT,
	OP_FREE,
	OP_QUERY,
	OP_LARGEST,
	OP_ROW,
	OP_FREE_ROW,
	OP_KINDS,
};

/**
 * struct op - one operation; any values do, rig_step() makes them valid
 * @kind: enum op_kind
 * @flags: of the request
 * @align_order: of the request; or of each block of a row
 * @start: of the window; or the index
 * @end: of the window
 * @nr: blocks, of a row those of its order
 */
struct op {
	u8 kind;
	u8 flags;
	u8 align_order;
	u64 start;
	u64 end;
	u64 nr;
};

/**
 * struct rig - a pool under test
 * @core: the pool
 * @metadata: its metadata, exactly as long as asked for
 * @size: bytes of it
 * @fast: what it should be
 * @model: likewise, if @small
 * @small: the pool fits struct model
 * @want: what buddy_core_stats() should say
 * @steps: operations so far
 * @check_every: buddy_core_check() runs each time so many are done
 * @core_before: copies, to see that failures change nothing
 * @before: likewise
 * @compare: the copies are of the moment before this operation
 * @fault: what went wrong
 */
struct rig {
	struct buddy_core core;
	u8 *metadata;
	u64 size;
	struct fast fast;
	struct model model;
	bool small;
	struct buddy_core_stats want;
	u64 steps;
	u64 check_every;
	struct buddy_core core_before;
	u8 *before;
	bool compare;
	char fault[512];
};

/* Once, before the first rig_open() */
void rig_create(struct rig *rig);

/* Begins with a new pool of [first, first + nr); makes both valid */
const char *rig_open(struct rig *rig, u64 first, u64 nr);

/* Returns NULL, or what is wrong */
const char *rig_step(struct rig *rig, struct op op);

/* Frees all and checks that the pool is as it was when it was new */
const char *rig_close(struct rig *rig);

void op_print(FILE *file, const struct op *op);
bool op_parse(const char *line, struct op *op);

/* buddy_core_alloc(), and buddy_core_search() to the end if it says so */
int alloc_to_the_end(struct buddy_core *core,
		     const struct buddy_core_request *req, u64 *index);

/* How many aligned blocks, each as large as can be, make up a run */
unsigned int blocks_of_run(u64 start, u64 nr);

#endif

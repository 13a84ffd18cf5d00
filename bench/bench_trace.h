/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Traces of allocations and frees, made up in advance, so that every allocator
 * sees the same and no random numbers are drawn while the clock runs. Compiled
 * for the kernel and for user space.
 */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include <linux/types.h>

/**
 * struct bench_op - one operation of a trace
 * @slot: which allocation
 * @nr: blocks to allocate for it, or 0 to free it
 */
struct bench_op {
	u32 slot;
	u32 nr;
};

/**
 * struct bench_trace - a pool that is filled to a level and then kept there
 * @ops: the operations
 * @nr_ops: how many
 * @nr_fill: the first so many allocate and bring the pool to its level
 * @nr_slots: allocations that exist at any time are numbered below this
 */
struct bench_trace {
	struct bench_op *ops;
	u64 nr_ops;
	u64 nr_fill;
	u32 nr_slots;
};

/* What sizes a trace asks for */
enum bench_sizes {
	BENCH_SIZES_POW2,	/* 1 to 256: half of all 1, a quarter 2, ... */
	BENCH_SIZES_EXACT,	/* the same, less up to half of it */
	BENCH_SIZES_ONE,	/* 1 */
};

/**
 * struct bench_trace_spec - which trace to make
 * @blocks: size of the pool
 * @percent: how full it is kept, counting on all requests being granted
 * @sizes: of requests
 * @churn: operations after the fill
 * @seed: not 0
 */
struct bench_trace_spec {
	u64 blocks;
	unsigned int percent;
	enum bench_sizes sizes;
	u64 churn;
	u64 seed;
};

/* xorshift64*, by Marsaglia and Vigna */
static inline u32 bench_random(u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL >> 32;
}

static inline u32 bench_random_below(u64 *state, u32 limit)
{
	return (u64)bench_random(state) * limit >> 32;
}

/* Entries that the arrays given to bench_trace_make() must have */
u64 bench_trace_max_ops(const struct bench_trace_spec *spec);
u64 bench_trace_max_slots(const struct bench_trace_spec *spec);

/**
 * bench_trace_make() - make up a trace
 * @trace: to be filled, with @trace->ops of bench_trace_max_ops() entries
 * @spec: which
 * @live: for use while it runs: bench_trace_max_slots() entries
 * @sizes: likewise
 *
 * Whenever fewer blocks than the level are taken, one more allocation comes,
 * otherwise a random one is freed.
 */
void bench_trace_make(struct bench_trace *trace, const struct bench_trace_spec *spec,
		      u32 *live, u16 *sizes);

#endif

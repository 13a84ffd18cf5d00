// SPDX-License-Identifier: GPL-2.0
/*
 * B1, pairs in an empty pool, and B2, a pool that is kept at a level. Their pools
 * live from the first round to the last.
 */
#include <linux/prefetch.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "bench.h"

static const u64 pool_sizes[] = { 1 << 14, 1 << 18, 1 << 22 };

/*
 * B1
 */

static int set_up_pair(struct bench_run *run)
{
	int err = bench_make_pool(run);

	return err ?: bench_alloc_slots(run, 1);
}

static __always_inline void pair_step(struct bench_run *run, u64 i)
{
	if (run->allocator->alloc(run->pool, 1, run->slots))
		run->failed++;
	else
		run->allocator->free(run->pool, run->slots);
}

static int pair_round(struct bench_run *run)
{
	bench_measure(run, 0, bench_quick ? 20000 : 200000, pair_step);
	bench_note_metadata(run);
	return 0;
}

static void tear_down_pair(struct bench_run *run)
{
	if (run->pool)
		bench_destroy_pool(run);
}

int bench_pair(void)
{
	static const struct bench_phase phase = { "B1", "" };
	struct bench_case c = {
		.name = "alloc and free",
		.phases = &phase,
		.nr_phases = 1,
		.setup = set_up_pair,
		.round = pair_round,
		.teardown = tear_down_pair,
	};
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(pool_sizes) && !err; i++) {
		c.blocks = pool_sizes[i];
		err = bench_run_case(&c);
	}
	return err;
}

/*
 * B2
 */

/* The pool is filled to its level as fast as possible. */
static int replay_fill(struct bench_run *run)
{
	const struct bench_trace *trace = run->c->trace;
	u64 index = 0;

	for (run->pos = 0; run->pos < trace->nr_fill; run->pos++) {
		const struct bench_op *op = &trace->ops[run->pos];

		if (bench_place(run, index, op->nr, &run->slots[op->slot]))
			run->failed++;
		index += op->nr;
		if (run->pos % 4096 == 0)
			cond_resched();
	}
	return 0;
}

/* Operations from which a slot is fetched into the cache to its use */
#define AHEAD		8

static __always_inline void trace_step(struct bench_run *run, u64 i)
{
	const struct bench_op *op = &run->c->trace->ops[run->pos + i];
	struct bench_slot *slot = &run->slots[op->slot];

	/* That our slots are at random places shall not count, nor new pages of the trace. */
	prefetchw(&run->slots[op[AHEAD].slot]);
	prefetch(&op[BENCH_AHEAD]);
	if (op->nr) {
		if (run->allocator->alloc(run->pool, op->nr, slot)) {
			slot->handle = BENCH_EMPTY;
			run->failed++;
		}
	} else if (slot->handle != BENCH_EMPTY) {
		run->allocator->free(run->pool, slot);
		slot->handle = BENCH_EMPTY;
	}
}

/*
 * Each allocator goes on where it was, so one that is stopped by the limit has
 * done less of the same trace.
 */
static int steady_round(struct bench_run *run)
{
	run->pos += bench_measure(run, 0, run->c->param, trace_step);
	bench_note_metadata(run);
	return 0;
}

/* Fills and then ages the pool; what that measures is dropped. */
static int set_up_steady(struct bench_run *run)
{
	const struct bench_trace *trace = run->c->trace;
	u64 aging = trace->nr_ops - AHEAD - trace->nr_fill - run->c->param * (run->c->rounds + 1);
	u64 limit = run->limit;
	int err = bench_make_pool(run);

	err = err ?: bench_alloc_slots(run, trace->nr_slots);
	err = err ?: replay_fill(run);
	if (err)
		return err;
	run->limit = bench_ms_to_cycles(bench_quick ? 100 : 1500);
	run->pos += bench_measure(run, 0, aging, trace_step);
	run->limit = limit;
	run->result[0].cycles = 0;
	run->result[0].ops = 0;
	run->failed = 0;
	return 0;
}

static void tear_down_steady(struct bench_run *run)
{
	u64 i;

	if (!run->pool)
		return;
	for (i = 0; run->slots && i < run->c->trace->nr_slots; i++) {
		if (run->slots[i].handle != BENCH_EMPTY)
			bench_free_slot(run, i);
		if (i % 4096 == 0)
			cond_resched();
	}
	bench_destroy_pool(run);
}

static int make_trace(struct bench_trace *trace, const struct bench_trace_spec *spec)
{
	u32 *live = vmalloc(array_size(bench_trace_max_slots(spec), sizeof(*live)));
	u16 *sizes = vmalloc(array_size(bench_trace_max_slots(spec), sizeof(*sizes)));
	int err = -ENOMEM;

	trace->ops = vmalloc(array_size(bench_trace_max_ops(spec), sizeof(*trace->ops)));
	if (live && sizes && trace->ops) {
		bench_trace_make(trace, spec, live, sizes);
		err = 0;
	}
	vfree(live);
	vfree(sizes);
	return err;
}

static int steady_case(const char *name, u64 blocks, unsigned int percent, enum bench_sizes sizes)
{
	static const struct bench_phase phase = { "B2", "" };
	unsigned int rounds = bench_quick ? 3 : 7;
	u64 per_round = (bench_quick ? 30000 : 1000000) / rounds;
	/* So many that each block changes hands about once */
	u64 aging = min(blocks, 1ULL << 20) / 2;
	struct bench_trace trace;
	struct bench_trace_spec spec = {
		.blocks = blocks,
		.percent = percent,
		.sizes = sizes,
		.churn = aging + per_round * (rounds + 1) + AHEAD,
		.seed = 42 + percent,
	};
	struct bench_case c = {
		.name = name,
		.blocks = blocks,
		.phases = &phase,
		.nr_phases = 1,
		.setup = set_up_steady,
		.round = steady_round,
		.teardown = tear_down_steady,
		.param = per_round,
		.trace = &trace,
		.rounds = rounds,
	};
	int err = make_trace(&trace, &spec);

	err = err ?: bench_run_case(&c);
	vfree(trace.ops);
	return err;
}

int bench_steady(void)
{
	static const unsigned int percents[] = { 50, 80, 95 };
	static const char *const names[] = { "50 %", "80 %", "95 %" };
	unsigned int nr_sizes = ARRAY_SIZE(pool_sizes) - bench_quick;
	unsigned int i, j;
	int err = 0;

	for (i = 0; i < nr_sizes; i++)
		for (j = 0; j < ARRAY_SIZE(percents) && !err; j++)
			err = steady_case(names[j], pool_sizes[i], percents[j],
					  BENCH_SIZES_POW2);
	return err ?: steady_case("80 %, exact sizes", 1 << 18, 80, BENCH_SIZES_EXACT);
}

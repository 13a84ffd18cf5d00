// SPDX-License-Identifier: GPL-2.0
/*
 * Traces; see bench_trace.h. No allocator's answers are known here: a request
 * that one of them refuses is freed nevertheless, and the replay skips that.
 */
#include <linux/bitops.h>
#include <linux/types.h>

#include "bench_trace.h"

#define MAX_ORDER_ASKED	8

static u64 level_of(const struct bench_trace_spec *spec)
{
	return spec->blocks * spec->percent / 100;
}

/* Each allocation has at least one block */
u64 bench_trace_max_slots(const struct bench_trace_spec *spec)
{
	return level_of(spec) + 1;
}

u64 bench_trace_max_ops(const struct bench_trace_spec *spec)
{
	return bench_trace_max_slots(spec) + spec->churn;
}

static u32 draw_size(const struct bench_trace_spec *spec, u64 *random)
{
	unsigned int order = __ffs64(bench_random(random) | 1 << MAX_ORDER_ASKED);
	u32 nr = 1u << order;

	if (spec->sizes == BENCH_SIZES_ONE)
		return 1;
	if (spec->sizes == BENCH_SIZES_EXACT)
		nr -= bench_random_below(random, (nr + 1) / 2);
	return nr;
}

/*
 * The allocations that exist at some point of a trace. @live holds their slots
 * first and the unused slots behind them, so that a slot freed is used next.
 */
struct population {
	u32 *live;
	u16 *sizes;
	u32 nr;
	u32 nr_slots;
	u64 taken;
};

static void add(struct population *p, struct bench_op *op, u32 nr)
{
	op->slot = p->live[p->nr++];
	op->nr = nr;
	p->sizes[op->slot] = nr;
	p->taken += nr;
	if (p->nr > p->nr_slots)
		p->nr_slots = p->nr;
}

static void drop(struct population *p, struct bench_op *op, u32 victim)
{
	u32 last = --p->nr;

	op->slot = p->live[victim];
	op->nr = 0;
	p->taken -= p->sizes[op->slot];
	p->live[victim] = p->live[last];
	p->live[last] = op->slot;
}

void bench_trace_make(struct bench_trace *trace, const struct bench_trace_spec *spec,
		      u32 *live, u16 *sizes)
{
	struct population p = { .live = live, .sizes = sizes };
	u64 level = level_of(spec);
	u64 random = spec->seed;
	u64 i;

	for (i = 0; i < bench_trace_max_slots(spec); i++)
		live[i] = i;
	for (i = 0; p.taken < level; i++)
		add(&p, &trace->ops[i], draw_size(spec, &random));
	trace->nr_fill = i;
	for (; i < trace->nr_fill + spec->churn; i++) {
		if (p.taken < level)
			add(&p, &trace->ops[i], draw_size(spec, &random));
		else
			drop(&p, &trace->ops[i], bench_random_below(&random, p.nr));
	}
	trace->nr_ops = i;
	trace->nr_slots = p.nr_slots;
}

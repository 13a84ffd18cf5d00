// SPDX-License-Identifier: GPL-2.0
/*
 * B8, creating and destroying pools, with vzalloc() of the bytes that buddy_pool
 * takes to compare with.
 */
#include <linux/log2.h>
#include <linux/slab.h>

#include "bench.h"

/* Pools that exist at once, whose addresses are kept in slots */
static u64 nr_pools(const struct bench_run *run)
{
	return clamp(1ULL << 22 >> ilog2(run->c->blocks), 1ULL, 64ULL);
}

/* Has the size to compare with measured now, not while the clock runs. */
static int set_up_creation(struct bench_run *run)
{
	int err = bench_alloc_slots(run, nr_pools(run));

	run->limit = U64_MAX;
	if (err)
		return err;
	err = bench_make_pool(run);
	if (err)
		return err;
	bench_destroy_pool(run);
	return 0;
}

static __always_inline void create_step(struct bench_run *run, u64 i)
{
	run->slots[i].handle = (unsigned long)run->allocator->create(run->c->blocks);
	if (!run->slots[i].handle)
		run->failed++;
}

static __always_inline void destroy_step(struct bench_run *run, u64 i)
{
	if (run->slots[i].handle)
		run->allocator->destroy((void *)(unsigned long)run->slots[i].handle);
}

static int creation_round(struct bench_run *run)
{
	bench_measure(run, 0, nr_pools(run), create_step);
	bench_measure(run, 1, nr_pools(run), destroy_step);
	return 0;
}

int bench_creation(void)
{
	static const struct bench_phase phases[] = { { "B8", "create" }, { "B8", "destroy" } };
	static const u64 sizes[] = { 1 << 14, 1 << 18, 1 << 22, 1 << 28 };
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(sizes) - bench_quick && !err; i++) {
		struct bench_case c = {
			.name = "",
			.blocks = sizes[i],
			.phases = phases,
			.nr_phases = ARRAY_SIZE(phases),
			.setup = set_up_creation,
			.round = creation_round,
			/* One pool at a time is all there is of the largest. */
			.rounds = sizes[i] > 1 << 22 ? BENCH_MAX_ROUNDS : 0,
			.with_vzalloc = true,
		};

		err = bench_run_case(&c);
	}
	return err;
}

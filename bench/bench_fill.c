// SPDX-License-Identifier: GPL-2.0
/*
 * B3, a pool filled with single blocks and emptied in random order, B4, a window
 * filled, B5, the fragmentation test of gpu_buddy's own tests, and B6, requests
 * that are refused.
 *
 * Some of this takes an allocator minutes. Then it does only some of the
 * operations, spread over the whole: of each group of operations the first few
 * are measured and the others done by the allocator's place().
 */
#include <linux/prefetch.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>

#include "bench.h"

#define GROUP		1024

static int set_up_slots(struct bench_run *run)
{
	run->limit = U64_MAX;
	return bench_alloc_slots(run, run->c->blocks);
}

/*
 * B3
 */

static __always_inline void fill_step(struct bench_run *run, u64 i)
{
	struct bench_slot *slot = &run->slots[run->base + i];

	prefetchw(slot + BENCH_AHEAD);
	if (run->allocator->alloc(run->pool, 1, slot))
		run->failed++;
}

/* First fit looks at all that is taken before it comes to what is free. */
static bool is_slow_to_fill(const struct bench_run *run)
{
	return run->allocator->place && run->c->blocks > 1 << 18;
}

static void fill_phase(struct bench_run *run, unsigned int phase)
{
	unsigned int timed = is_slow_to_fill(run) ? 16 : GROUP;
	u64 i;

	for (run->base = 0; run->base < run->c->blocks; run->base += GROUP) {
		bench_measure(run, phase, timed, fill_step);
		for (i = run->base + timed; i < run->base + GROUP; i++)
			bench_place(run, i, 1, &run->slots[i]);
		cond_resched();
	}
}

/*
 * Shuffles the slots, rather than going through them at random, so that it is the
 * allocator's memory that is accessed at random, not ours.
 */
static void shuffle(struct bench_run *run)
{
	u64 i;

	for (i = 0; i < run->c->blocks; i++)
		swap(run->slots[i], run->slots[run->c->swaps[i]]);
}

static __always_inline void free_step(struct bench_run *run, u64 i)
{
	struct bench_slot *slot = &run->slots[run->base + i];

	prefetchw(slot + BENCH_AHEAD);
	run->allocator->free(run->pool, slot);
}

static void free_phase(struct bench_run *run, unsigned int phase)
{
	for (run->base = 0; run->base < run->c->blocks; run->base += GROUP) {
		bench_measure(run, phase, GROUP, free_step);
		cond_resched();
	}
}

static int fill_round(struct bench_run *run)
{
	int err = bench_make_pool(run);

	if (err)
		return err;
	fill_phase(run, 0);
	bench_note_metadata(run);
	shuffle(run);
	free_phase(run, 1);
	bench_destroy_pool(run);
	return 0;
}

/* With which slot to swap each: one before it, or itself */
static u32 *random_swaps(u64 nr)
{
	u32 *swaps = vmalloc(array_size(nr, sizeof(*swaps)));
	u64 random = 4711;
	u64 i;

	for (i = 0; swaps && i < nr; i++)
		swaps[i] = bench_random_below(&random, i + 1);
	return swaps;
}

int bench_fill(void)
{
	static const struct bench_phase phases[] = {
		{ "B3-fill", "" },
		{ "B3-free", "random order" },
	};
	static const u64 sizes[] = { 1 << 14, 1 << 18, 1 << 22 };
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(sizes) - bench_quick && !err; i++) {
		u32 *swaps = random_swaps(sizes[i]);
		struct bench_case c = {
			.name = "single blocks",
			.blocks = sizes[i],
			.phases = phases,
			.nr_phases = ARRAY_SIZE(phases),
			.setup = set_up_slots,
			.round = fill_round,
			.swaps = swaps,
			.rounds = sizes[i] > 1 << 18 ? 5 : 0,
		};

		err = swaps ? bench_run_case(&c) : -ENOMEM;
		vfree(swaps);
	}
	return err;
}

/*
 * B4
 *
 * The window is filled from below. Filling it by window requests would take
 * gpu_buddy a minute, so the pool is first filled without a window, and freed
 * from above down to where the request to be measured would find it.
 */

#define WINDOW		(SZ_256M >> BENCH_SHIFT)
#define TENTHS		10

static void free_down_to(struct bench_run *run, u64 from, u64 to)
{
	while (from > to)
		bench_free_slot(run, --from);
	cond_resched();
}

static __always_inline void window_step(struct bench_run *run, u64 i)
{
	if (run->allocator->alloc_window(run->pool, 1, WINDOW, &run->slots[run->base + i]))
		run->failed++;
}

static void window_phase(struct bench_run *run, unsigned int phase, u64 base)
{
	u64 done;

	run->base = base;
	done = bench_measure(run, phase, run->allocator->window_probes, window_step);
	while (done)
		bench_free_slot(run, base + --done);
	cond_resched();
}

/* Phases: all tenths together, the first, the last; each probed in its middle */
static int window_round(struct bench_run *run)
{
	u64 at = run->c->blocks;
	unsigned int tenth;
	int err = bench_make_pool(run);

	err = err ?: bench_fill_by_index(run, run->c->blocks);
	if (err)
		return err;
	bench_note_metadata(run);
	for (tenth = TENTHS; tenth-- > 0;) {
		u64 middle = WINDOW * (2 * tenth + 1) / (2 * TENTHS);

		free_down_to(run, at, middle);
		at = middle;
		window_phase(run, 0, at);
		if (tenth == 0)
			window_phase(run, 1, at);
		if (tenth == TENTHS - 1)
			window_phase(run, 2, at);
	}
	free_down_to(run, at, 0);
	bench_destroy_pool(run);
	return 0;
}

int bench_window(void)
{
	static const struct bench_phase phases[] = {
		{ "B4", "" }, { "B4", "first tenth" }, { "B4", "last tenth" },
	};
	struct bench_case c = {
		.name = "256 MiB window of 1 GiB",
		.blocks = SZ_1G >> BENCH_SHIFT,
		.phases = phases,
		.nr_phases = ARRAY_SIZE(phases),
		.setup = set_up_slots,
		.round = window_round,
	};

	return bench_run_case(&c);
}

/*
 * B5, after gpu_test_buddy_fragmentation_performance(). There the memory is
 * returned partly as cleared, which keeps gpu_buddy from merging it, so it is
 * done both ways; to others that makes no difference.
 */

enum { SMALL, PATTERN, LARGE, REVERSE };

#define PIECES		65536ULL
#define PIECE		(SZ_64K >> BENCH_SHIFT)

static __always_inline void small_step(struct bench_run *run, u64 i)
{
	struct bench_slot *slot = &run->slots[run->base + i];

	prefetchw(slot + BENCH_AHEAD);
	if (run->allocator->alloc_aligned(run->pool, SZ_8K >> BENCH_SHIFT, SZ_64K, slot))
		run->failed++;
}

static __always_inline void large_step(struct bench_run *run, u64 i)
{
	prefetchw(&run->slots[i + BENCH_AHEAD]);
	if (run->allocator->alloc(run->pool, PIECE, &run->slots[i]))
		run->failed++;
}

/* Not measured */
static void place_small(struct bench_run *run, u64 i)
{
	const struct bench_allocator *a = run->allocator;
	u64 nr = SZ_8K >> BENCH_SHIFT;

	if (a->place)
		a->place(run->pool, i * PIECE, nr, &run->slots[i]);
	else
		a->alloc_aligned(run->pool, nr, SZ_64K, &run->slots[i]);
}

static void small_phase(struct bench_run *run, unsigned int phase)
{
	unsigned int timed = is_slow_to_fill(run) ? (bench_quick ? 1 : 8) : GROUP;
	u64 i;

	for (run->base = 0; run->base < PIECES; run->base += GROUP) {
		bench_measure(run, phase, timed, small_step);
		for (i = run->base + timed; i < run->base + GROUP; i++)
			place_small(run, i);
		cond_resched();
	}
}

/* @param: the pieces are freed as cleared */
static __always_inline void free_piece(struct bench_run *run, u64 i)
{
	prefetchw(&run->slots[i + BENCH_AHEAD]);
	if (run->c->param)
		run->allocator->free_cleared(run->pool, &run->slots[i]);
	else
		run->allocator->free(run->pool, &run->slots[i]);
}

/* Pieces 0 and 3 of each four first */
static __always_inline void pattern_03_step(struct bench_run *run, u64 i)
{
	free_piece(run, i / 2 * 4 + i % 2 * 3);
}

static __always_inline void pattern_12_step(struct bench_run *run, u64 i)
{
	u64 piece = i / 2 * 4 + 1 + i % 2;

	prefetchw(&run->slots[piece + BENCH_AHEAD]);
	run->allocator->free(run->pool, &run->slots[piece]);
}

static __always_inline void reverse_step(struct bench_run *run, u64 i)
{
	u64 piece = PIECES - 2 - 2 * i;

	prefetchw(&run->slots[piece - min(piece, BENCH_AHEAD)]);
	free_piece(run, piece);
}

static int allocation_part(struct bench_run *run)
{
	u64 i;
	int err = bench_make_pool(run);

	if (err)
		return err;
	small_phase(run, SMALL);
	bench_note_metadata(run);
	bench_measure(run, PATTERN, PIECES / 2, pattern_03_step);
	bench_measure(run, PATTERN, PIECES / 2, pattern_12_step);
	bench_measure(run, LARGE, PIECES, large_step);
	for (i = 0; i < PIECES; i++)
		run->allocator->free(run->pool, &run->slots[i]);
	bench_destroy_pool(run);
	return 0;
}

/* Odd ones first, then the rest from the last to the first */
static int reverse_part(struct bench_run *run)
{
	u64 i;
	int err = bench_make_pool(run);

	if (err)
		return err;
	for (i = 0; i < PIECES; i++)
		place_small(run, i);
	for (i = 1; i < PIECES; i += 2)
		free_piece(run, i);
	bench_measure(run, REVERSE, PIECES / 2, reverse_step);
	bench_destroy_pool(run);
	return 0;
}

static int fragmentation_round(struct bench_run *run)
{
	int err = allocation_part(run);

	return err ?: reverse_part(run);
}

int bench_fragmentation(void)
{
	static const struct bench_phase phases[] = {
		[SMALL] = { "B5-alloc", "8 KiB at 64 KiB" },
		[PATTERN] = { "B5-free", "0,3 then 1,2 of four" },
		[LARGE] = { "B5-alloc", "64 KiB after that" },
		[REVERSE] = { "B5-free", "reverse" },
	};
	struct bench_case c = {
		.name = "as gpu_buddy's test",
		.blocks = SZ_4G >> BENCH_SHIFT,
		.phases = phases,
		.nr_phases = ARRAY_SIZE(phases),
		.setup = set_up_slots,
		.round = fragmentation_round,
		.param = true,
		.rounds = bench_quick ? 1 : 5,
	};
	int err = bench_run_case(&c);

	if (err || bench_quick)
		return err;
	c.name = "nothing cleared";
	c.param = false;
	return bench_run_case(&c);
}

/*
 * B6
 *
 * The pool is filled with single blocks, then every other island of @param
 * blocks is freed.
 */

enum { NATURAL, ANYWHERE, SEARCHING };

static int set_up_refused(struct bench_run *run)
{
	u64 blocks = run->c->blocks;
	u64 i;
	int err = bench_make_pool(run);

	err = err ?: bench_alloc_slots(run, blocks);
	err = err ?: bench_fill_by_index(run, blocks);
	for (i = 0; i < blocks && !err; i++)
		if (i & run->c->param)
			bench_free_slot(run, i);
	run->limit = bench_ms_to_cycles(bench_quick ? 5 : 50);
	return err;
}

static void tear_down_refused(struct bench_run *run)
{
	u64 i;

	if (!run->pool)
		return;
	for (i = 0; run->slots && i < run->c->blocks; i++)
		if (run->slots[i].handle != BENCH_EMPTY)
			bench_free_slot(run, i);
	bench_destroy_pool(run);
}

/* A slot that is never used, since all should be refused */
static __always_inline void natural_step(struct bench_run *run, u64 i)
{
	struct bench_slot slot;

	run->failed += !!run->allocator->alloc_refused(run->pool, 2 * run->c->param, &slot);
}

static __always_inline void anywhere_step(struct bench_run *run, u64 i)
{
	struct bench_slot slot;

	run->failed += !!run->allocator->alloc_run(run->pool, run->c->param + 1, &slot);
}

static __always_inline void searching_step(struct bench_run *run, u64 i)
{
	struct bench_slot slot;

	run->failed += !!run->allocator->alloc_run_searching(run->pool, run->c->param + 1,
							     &slot);
}

static int refused_round(struct bench_run *run)
{
	u64 failed = run->failed;
	u64 done = bench_measure(run, NATURAL, 100000, natural_step);

	cond_resched();
	done += bench_measure(run, ANYWHERE, 100000, anywhere_step);
	cond_resched();
	done += bench_measure(run, SEARCHING, 100000, searching_step);
	bench_note_metadata(run);
	return run->failed - failed == done ? 0 : -EINVAL;
}

int bench_refused(void)
{
	static const struct bench_phase phases[] = {
		[NATURAL] = { "B6", "twice an island, aligned" },
		[ANYWHERE] = { "B6", "one more than an island, anywhere" },
		[SEARCHING] = { "B6", "the same, searching to the end" },
	};
	struct bench_case c = {
		.blocks = 1 << 18,
		.phases = phases,
		.nr_phases = ARRAY_SIZE(phases),
		.setup = set_up_refused,
		.round = refused_round,
		.teardown = tear_down_refused,
	};
	int err;

	c.name = "islands of 1";
	c.param = 1;
	err = bench_run_case(&c);
	c.name = "islands of 16";
	c.param = 16;
	return err ?: bench_run_case(&c);
}

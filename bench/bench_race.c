// SPDX-License-Identifier: GPL-2.0
/*
 * B7, two threads on one pool: a test, not a benchmark, for a kernel with more
 * than one CPU. On User Mode Linux disabling interrupts costs two system calls
 * there, which hides the rest; host_bench.c has the numbers.
 */
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "bench.h"
#include "buddy_pool.h"

#define BLOCKS		BIT_ULL(14)
#define THREADS		2
#define OPS		300000

/**
 * struct racer - a thread
 * @pool: shared
 * @owned: shared; bit set = some thread has the block
 * @trace: its own
 * @slots: its own
 * @failed: requests refused
 * @wrong: blocks that were given out twice, or that could not be freed
 * @done: it is through
 */
struct racer {
	struct buddy_pool *pool;
	unsigned long *owned;
	struct bench_trace trace;
	struct buddy_pool_result *slots;
	u64 failed;
	u64 wrong;
	struct completion done;
};

static u64 index_of(const struct buddy_pool_result *slot)
{
	return (slot->address - BENCH_BASE) >> BENCH_SHIFT;
}

static void take(struct racer *racer, struct buddy_pool_result *slot, u64 nr)
{
	struct buddy_pool_request request = { .size = nr << BENCH_SHIFT };
	u64 i;

	slot->size = 0;
	if (buddy_pool_alloc(racer->pool, &request, slot)) {
		racer->failed++;
		return;
	}
	for (i = 0; i < nr; i++)
		racer->wrong += test_and_set_bit(index_of(slot) + i, racer->owned);
}

static void give_back(struct racer *racer, struct buddy_pool_result *slot)
{
	u64 i;

	for (i = 0; i < slot->size >> BENCH_SHIFT; i++)
		racer->wrong += !test_and_clear_bit(index_of(slot) + i, racer->owned);
	if (slot->size)
		racer->wrong += !!buddy_pool_free(racer->pool, slot->address, NULL);
	slot->size = 0;
}

static int race(void *data)
{
	struct racer *racer = data;
	u64 i;

	for (i = 0; i < racer->trace.nr_ops; i++) {
		const struct bench_op *op = &racer->trace.ops[i];

		if (op->nr)
			take(racer, &racer->slots[op->slot], op->nr);
		else
			give_back(racer, &racer->slots[op->slot]);
		if (i % 256 == 0)
			cond_resched();
	}
	for (i = 0; i < racer->trace.nr_slots; i++)
		give_back(racer, &racer->slots[i]);
	complete(&racer->done);
	return 0;
}

static int make_racer(struct racer *racer, struct buddy_pool *pool, unsigned long *owned,
		      u64 seed)
{
	struct bench_trace_spec spec = {
		.blocks = BLOCKS,
		.percent = 80 / THREADS,
		.churn = bench_quick ? OPS / 10 : OPS,
		.seed = seed,
	};
	u32 *live = vmalloc(array_size(bench_trace_max_slots(&spec), sizeof(*live)));
	u16 *sizes = vmalloc(array_size(bench_trace_max_slots(&spec), sizeof(*sizes)));
	int err = -ENOMEM;

	racer->pool = pool;
	racer->owned = owned;
	init_completion(&racer->done);
	racer->trace.ops = vmalloc(array_size(bench_trace_max_ops(&spec),
					      sizeof(*racer->trace.ops)));
	racer->slots = vzalloc(array_size(bench_trace_max_slots(&spec), sizeof(*racer->slots)));
	if (live && sizes && racer->trace.ops && racer->slots) {
		bench_trace_make(&racer->trace, &spec, live, sizes);
		err = 0;
	}
	vfree(live);
	vfree(sizes);
	return err;
}

static int run_racers(struct racer *racers)
{
	struct task_struct *task;
	unsigned int i;
	int err = 0;

	for (i = 0; i < THREADS; i++) {
		task = kthread_run(race, &racers[i], "bench_race%u", i);
		if (IS_ERR(task)) {
			err = PTR_ERR(task);
			break;
		}
	}
	while (i-- > 0)
		wait_for_completion(&racers[i].done);
	return err;
}

/* Nothing may be left, in our books and in the pool's, and all be in one again. */
static bool is_clean(struct racer *racers, struct buddy_pool *pool, unsigned long *owned,
		     unsigned int shards)
{
	static struct buddy_pool_usage usage;
	u64 wrong = 0, failed = 0;
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		wrong += racers[i].wrong;
		failed += racers[i].failed;
	}
	buddy_pool_usage(pool, &usage);
	pr_info("bench: race of %d threads, %u shards: %llu refused, %llu wrong, %llu used\n",
		THREADS, shards, failed, wrong, usage.used);
	return !wrong && !usage.used && !usage.nr_blocks && usage.free == usage.size &&
	       usage.largest == usage.size && bitmap_empty(owned, BLOCKS);
}

static int race_on(unsigned int shards)
{
	struct buddy_pool_config config = {
		.base = BENCH_BASE,
		.size = BLOCKS << BENCH_SHIFT,
		.min_block = BENCH_BLOCK,
		.shards = shards,
	};
	struct buddy_pool *pool = buddy_pool_create(&config);
	unsigned long *owned = bitmap_zalloc(BLOCKS, GFP_KERNEL);
	struct racer *racers = kcalloc(THREADS, sizeof(*racers), GFP_KERNEL);
	int err = IS_ERR(pool) || !owned || !racers ? -ENOMEM : 0;
	unsigned int i;

	for (i = 0; i < THREADS && !err; i++)
		err = make_racer(&racers[i], pool, owned, 7 + i);
	err = err ?: run_racers(racers);
	if (!err) {
		err = is_clean(racers, pool, owned, shards) ? 0 : -EINVAL;
		pr_info("bench: race %s\n", err ? "FAILED" : "ok");
	}
	for (i = 0; racers && i < THREADS; i++) {
		vfree(racers[i].trace.ops);
		vfree(racers[i].slots);
	}
	kfree(racers);
	bitmap_free(owned);
	if (!IS_ERR(pool))
		buddy_pool_put(pool);
	return err;
}

int bench_race(void)
{
	int err = race_on(1);

	return err ?: race_on(2);
}

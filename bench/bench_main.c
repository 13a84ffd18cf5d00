// SPDX-License-Identifier: GPL-2.0
/*
 * Benchmarks of buddy_pool and its peers in the kernel, all in one boot, on the
 * same traces. Loading the module runs them; it stays loaded with nothing to do.
 *
 * Each case is a pool size and a workload with its parameters. It is run in
 * rounds, and in each round every allocator has its turn, so that what disturbs
 * the machine for a while disturbs them all. A last round times each operation
 * for itself; the clock's own cost, which that adds, is so kept out of the rest.
 *
 * Results go to the log, one line each, in picoseconds:
 * bench|workload|case|blocks|allocator|ns_op|trace|p50|p99|p999|max|metadata|ops|failed
 * where trace is what the empty allocator took, already subtracted from ns_op.
 */
#define pr_fmt(fmt) fmt

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "bench.h"
#include "buddy_pool.h"

/* Pages for everything else */
#define LEFT_ALONE	(SZ_32M >> PAGE_SHIFT)

bool bench_quick;
module_param_named(quick, bench_quick, bool, 0444);
MODULE_PARM_DESC(quick, "small pools and few operations, to see that it works");

static char *workloads[8];
static int nr_workloads;
module_param_array_named(workload, workloads, charp, &nr_workloads, 0444);
MODULE_PARM_DESC(workload, "which to run, e.g. B2,B4; default all but B7");

bool bench_wanted(const char *workload)
{
	int i;

	for (i = 0; i < nr_workloads; i++)
		if (!strcmp(workloads[i], workload))
			return true;
	return !nr_workloads && strcmp(workload, "B7");
}

int bench_alloc_slots(struct bench_run *run, u64 nr)
{
	run->slots = vmalloc(array_size(nr, sizeof(*run->slots)));
	if (!run->slots)
		return -ENOMEM;
	memset(run->slots, 0xff, array_size(nr, sizeof(*run->slots)));
	return 0;
}

int bench_make_pool(struct bench_run *run)
{
	run->pool = run->allocator->create(run->c->blocks);
	return run->pool ? 0 : -ENOMEM;
}

void bench_destroy_pool(struct bench_run *run)
{
	bench_note_metadata(run);
	run->allocator->destroy(run->pool);
	run->pool = NULL;
}

int bench_place(struct bench_run *run, u64 index, u64 nr, struct bench_slot *slot)
{
	const struct bench_allocator *a = run->allocator;

	return a->place ? a->place(run->pool, index, nr, slot) : a->alloc(run->pool, nr, slot);
}

void bench_free_slot(struct bench_run *run, u64 slot)
{
	run->allocator->free(run->pool, &run->slots[slot]);
	run->slots[slot].handle = BENCH_EMPTY;
}

int bench_fill_by_index(struct bench_run *run, u64 nr)
{
	const struct bench_allocator *a = run->allocator;
	struct bench_slot slot;
	u64 i;

	for (i = 0; i < nr; i++) {
		if (bench_place(run, i, 1, &slot))
			return -ENOSPC;
		run->slots[a->index(run->pool, &slot)] = slot;
		if (i % 4096 == 0)
			cond_resched();
	}
	return 0;
}

void bench_note_metadata(struct bench_run *run)
{
	run->metadata = max(run->metadata, run->allocator->metadata(run->pool, run->c->blocks));
}

static void report(const struct bench_run *run, const struct bench_run *none)
{
	const struct bench_case *c = run->c;
	unsigned int p;

	for (p = 0; p < c->nr_phases; p++) {
		const struct bench_result *result = &run->result[p];
		const struct bench_phase *phase = &c->phases[p];
		u64 trace = bench_median_ps(none, p);
		u64 ps = bench_median_ps(run, p);

		if (!result->total_ops)
			continue;
		pr_info("bench|%s|%s%s%s|%llu|%s|%llu|%llu|%llu|%llu|%llu|%llu|%llu|%llu|%llu\n",
			phase->workload, c->name, c->name[0] && phase->what[0] ? ", " : "",
			phase->what, c->blocks, run->allocator->name, ps - min(ps, trace), trace,
			bench_percentile_ps(result, 500), bench_percentile_ps(result, 990),
			bench_percentile_ps(result, 999), bench_worst_ps(result),
			run->metadata, result->total_ops, run->failed);
	}
}

/* In turns forwards and backwards: each finds memory as the one before it left it. */
static int one_round(struct bench_run *runs, unsigned int nr_runs, unsigned int round)
{
	unsigned int i;
	int err;

	for (i = 0; i < nr_runs; i++) {
		struct bench_run *run = &runs[round % 2 ? nr_runs - 1 - i : i];

		cond_resched();
		err = run->c->round(run);
		if (err)
			return err;
		bench_end_round(run, round);
	}
	return 0;
}

static int all_rounds(struct bench_run *runs, unsigned int nr_runs, unsigned int rounds)
{
	unsigned int i;
	int err;

	for (i = 0; i < rounds; i++) {
		err = one_round(runs, nr_runs, i);
		if (err)
			return err;
	}
	for (i = 0; i < nr_runs; i++)
		runs[i].each = true;
	return one_round(runs, nr_runs, 0);
}

static int set_up(struct bench_run *run, struct bench_case *c,
		  const struct bench_allocator *allocator)
{
	run->c = c;
	run->allocator = allocator;
	run->limit = bench_ms_to_cycles(bench_quick ? 30 : 300);
	run->result = vzalloc(array_size(c->nr_phases, sizeof(*run->result)));
	if (!run->result)
		return -ENOMEM;
	return c->setup ? c->setup(run) : 0;
}

static void tear_down(struct bench_run *run)
{
	if (run->c && run->c->teardown)
		run->c->teardown(run);
	vfree(run->slots);
	vfree(run->result);
}

int bench_run_case(struct bench_case *c)
{
	unsigned int nr_runs = BENCH_NR_ALLOCATORS + c->with_vzalloc;
	struct bench_run *runs;
	unsigned int i;
	int err = 0;

	if (!c->rounds)
		c->rounds = bench_quick ? 3 : 7;
	runs = kcalloc(nr_runs, sizeof(*runs), GFP_KERNEL);
	if (!runs)
		return -ENOMEM;
	for (i = 0; i < nr_runs && !err; i++)
		err = set_up(&runs[i], c, i < BENCH_NR_ALLOCATORS ? bench_allocators[i] :
								    &bench_vzalloc);
	if (!err)
		err = all_rounds(runs, nr_runs, c->rounds);
	for (i = 1; i < nr_runs && !err; i++)
		report(&runs[i], &runs[0]);
	for (i = 0; i < nr_runs; i++)
		tear_down(&runs[i]);
	kfree(runs);
	if (err)
		pr_err("bench: %s %s, %llu blocks: error %d\n", c->phases[0].workload, c->name,
		       c->blocks, err);
	return err;
}

static const struct {
	const char *name;
	int (*run)(void);
} table[] = {
	{ "B1", bench_pair },
	{ "B2", bench_steady },
	{ "B3", bench_fill },
	{ "B4", bench_window },
	{ "B5", bench_fragmentation },
	{ "B6", bench_refused },
	{ "B7", bench_race },
	{ "B8", bench_creation },
};

/*
 * Uses nearly all memory once: what the host, under User Mode Linux, must give for
 * a page that is used for the first time shall not count.
 */
static void touch_memory(void)
{
	struct sysinfo info;
	struct page *page, *next;
	LIST_HEAD(pages);

	do {
		page = alloc_page(GFP_KERNEL | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN);
		if (page)
			list_add(&page->lru, &pages);
		cond_resched();
		si_meminfo(&info);
	} while (page && info.freeram > LEFT_ALONE);
	list_for_each_entry_safe(page, next, &pages, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
}

static int __init bench_init(void)
{
	unsigned int i;
	int err;

	touch_memory();
	bench_calibrate();
	pr_info("bench: a timestamp costs %llu ps, subtracted from p50 to max\n",
		bench_cycles_to_ps(bench_timer_cycles()));
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		if (!bench_wanted(table[i].name))
			continue;
		err = table[i].run();
		if (err)
			return err;
	}
	pr_info("bench: complete\n");
	return 0;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Benchmarks of buddy_pool, gpu_buddy and gen_pool");
MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);

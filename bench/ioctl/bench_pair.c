// SPDX-License-Identifier: GPL-2.0
/*
 * What the allocations that ioctl_cost.c makes take without the calls: a pair of
 * buddy_pool_alloc() and buddy_pool_free() in a pool like that. Prints a line as
 * those of bench_main.c when it is loaded, and stays loaded with nothing to do.
 */
#define pr_fmt(fmt) fmt

#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/sort.h>

#include "buddy_pool.h"

#define ROUNDS	9
#define PAIRS	20000

static char *where = "";
module_param(where, charp, 0444);
MODULE_PARM_DESC(where, "printed before the case");

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* Picoseconds for a pair */
static int measure(struct buddy_pool *pool, u64 *time)
{
	struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result result;
	u64 start = ktime_get_ns();
	int i, err;

	for (i = 0; i < PAIRS; i++) {
		err = buddy_pool_alloc(pool, &request, &result) ?:
		      buddy_pool_free(pool, result.address, NULL);
		if (err)
			return err;
	}
	*time = div_u64((ktime_get_ns() - start) * 1000, PAIRS);
	return 0;
}

static int __init bench_pair_init(void)
{
	struct buddy_pool_config config = { .size = SZ_256M, .min_block = SZ_4K };
	struct buddy_pool *pool = buddy_pool_create(&config);
	u64 times[ROUNDS];
	int r, err = 0;

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	for (r = 0; !err && r < ROUNDS; r++) {
		err = measure(pool, &times[r]);
		cond_resched();
	}
	buddy_pool_put(pool);
	if (err)
		return err;
	sort(times, ROUNDS, sizeof(times[0]), compare, NULL);
	pr_info("bench|ioctl|%s: in the kernel|65536|buddy_pool|%llu|0|-|-|-|-|-|%d|0\n", where,
		times[ROUNDS / 2], PAIRS * ROUNDS);
	return 0;
}

static void __exit bench_pair_exit(void)
{
}

module_init(bench_pair_init);
module_exit(bench_pair_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Benchmark of buddy_pool: what a pair costs in the kernel");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);

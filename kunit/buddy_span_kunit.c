// SPDX-License-Identifier: GPL-2.0
/*
 * Pools of several shards. Whatever one shard can do, several can do together: the
 * answers must be those of a pool of one, but for which of the right places it is.
 */
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "buddy_kunit.h"

static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "Seed of the random tests, as they print it; 0 for a new one");

/* Four shards */
#define SHARD	((u64)SZ_256K)
#define PAGE	((u64)SZ_4K)

static struct buddy_pool *create_shards(struct kunit *test)
{
	return create(test, .size = 4 * SHARD, .min_block = PAGE, .shards = 4);
}

static void check_bad_free(struct kunit *test, int line, u64 address, int err,
			   enum buddy_pool_reason why)
{
	enum buddy_pool_reason reason = BUDDY_POOL_REASON_NONE;
	u64 bad = look(test)->bad_frees, free = look(test)->free;

	KUNIT_EXPECT_EQ_MSG(test, buddy_pool_free(fixture(test)->pool, address, &reason), err,
			    "line %d: %#llx", line, address);
	KUNIT_EXPECT_EQ_MSG(test, (int)reason, (int)why, "line %d: %#llx", line, address);
	KUNIT_EXPECT_EQ(test, look(test)->bad_frees, bad + 1);
	KUNIT_EXPECT_EQ(test, look(test)->free, free);
}

#define expect_bad_free(test, address, err, why) \
	check_bad_free(test, __LINE__, address, err, BUDDY_POOL_REASON_##why)

static void check_extent(struct kunit *test, int line, u64 address, int state, u64 start, u64 size)
{
	u64 found, length;

	KUNIT_EXPECT_EQ_MSG(test, buddy_pool_query(fixture(test)->pool, address, &found, &length),
			    state, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, found, start, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, length, size, "line %d", line);
}

#define expect_extent(test, address, state, start, size) \
	check_extent(test, __LINE__, address, BUDDY_POOL_STATE_##state, start, size)

static void expect_sums(struct kunit *test)
{
	const struct buddy_pool_usage *usage = look(test);

	KUNIT_EXPECT_EQ(test, usage->free + usage->used + usage->held + usage->reserved,
			usage->size);
}

static void all_shards_are_used(struct kunit *test)
{
	unsigned int n;

	create(test, .base = 5 * PAGE, .size = SZ_1M, .min_block = PAGE, .shards = 4);
	for (n = 0; !alloc(test, .size = PAGE); n++)
		;
	KUNIT_EXPECT_EQ(test, n, 256);
	KUNIT_EXPECT_EQ(test, look(test)->used, SZ_1M);
	KUNIT_EXPECT_EQ(test, look(test)->peak, SZ_1M);
	KUNIT_EXPECT_EQ(test, look(test)->out_of_space, 1);
	KUNIT_EXPECT_EQ(test, free_everything(test), 256);
	expect_whole(test);
}

static void placement_in_windows(struct kunit *test)
{
	create_shards(test);
	expect_at(test, SZ_1M - PAGE, .size = PAGE, .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
	expect_at(test, SHARD, .size = SHARD, .start = SHARD / 2, .end = 5 * SHARD / 2);
	expect_at(test, 2 * SHARD, .size = SHARD / 2, .start = SHARD / 2 + PAGE,
		  .end = 5 * SHARD / 2);
	expect_refusal(test, EXHAUSTED, .size = SHARD / 2, .start = SHARD / 2 + PAGE,
		       .end = 5 * SHARD / 2);
	expect_refusal(test, FRAGMENTED, .size = SHARD / 2, .start = SHARD / 2 + PAGE,
		       .end = 5 * SHARD / 2 + 2 * PAGE);
	expect_at(test, 5 * SHARD / 2, .size = PAGE, .start = 5 * SHARD / 2,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, 3 * SHARD - PAGE, .size = 2 * PAGE, .start = 3 * SHARD - PAGE,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_refusal(test, OVERSIZE, .size = 2 * PAGE, .start = 4 * SHARD - PAGE,
		       .flags = BUDDY_POOL_ALLOC_FIXED);
}

static void frees_are_refused_with_reason(struct kunit *test)
{
	create_shards(test);
	expect_at(test, 3 * SHARD, .size = SZ_64K, .start = 3 * SHARD);
	expect_bad_free(test, 3 * SHARD + PAGE, -EINVAL, INTERIOR);
	expect_bad_free(test, SHARD, -ENOENT, NOT_ALLOCATED);
	expect_bad_free(test, 4 * SHARD, -ERANGE, OUT_OF_RANGE);
	expect_bad_free(test, SHARD + 1, -EINVAL, MISALIGNED);
	KUNIT_EXPECT_EQ(test, release(test, 3 * SHARD), 0);
	expect_whole(test);
}

/*
 * Spans
 */

static void pool_is_one_block(struct kunit *test)
{
	create_shards(test);
	KUNIT_EXPECT_EQ(test, look(test)->largest, 4 * SHARD);
	expect_at(test, 0, .size = 4 * SHARD);
	KUNIT_EXPECT_EQ(test, granted(test), 4 * SHARD);
	KUNIT_EXPECT_EQ(test, look(test)->used, 4 * SHARD);
	KUNIT_EXPECT_EQ(test, look(test)->peak, 4 * SHARD);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 1);
	expect_sums(test);
	expect_refusal(test, EXHAUSTED, .size = PAGE);
	expect_extent(test, 0, USED, 0, 4 * SHARD);
	expect_extent(test, 3 * SHARD, USED, 0, 4 * SHARD);
	expect_extent(test, 4 * SHARD - 1, USED, 0, 4 * SHARD);
	KUNIT_EXPECT_EQ(test, release(test, 0), 0);
	expect_bad_free(test, 0, -ENOENT, NOT_ALLOCATED);
	expect_whole(test);
}

/* More shards than lockdep has subclasses, or held locks */
static void pool_of_64_shards_is_one_block(struct kunit *test)
{
	create(test, .size = SZ_1M, .min_block = PAGE, .shards = 64);
	expect_at(test, 0, .size = SZ_1M);
	expect_refusal(test, EXHAUSTED, .size = SZ_1M);
	expect_extent(test, SZ_512K, USED, 0, SZ_1M);
	KUNIT_EXPECT_EQ(test, release(test, 0), 0);
	expect_whole(test);
}

/* The first of 65 shards has two blocks, the last has two. */
static void pool_of_unaligned_shards_is_one_block(struct kunit *test)
{
	u64 base = 2 * PAGE;

	create(test, .base = base, .size = SZ_1M, .min_block = PAGE, .shards = 64);
	expect_at(test, base, .size = SZ_1M, .align = PAGE);
	expect_extent(test, base + SZ_512K, USED, base, SZ_1M);
	KUNIT_EXPECT_EQ(test, release(test, base), 0);
	expect_whole(test);
}

static void block_larger_than_shard(struct kunit *test)
{
	create_shards(test);
	expect_at(test, 0, .size = SHARD + PAGE, .align = PAGE);
	expect_at(test, SHARD + PAGE, .size = SHARD + PAGE, .align = PAGE);
	expect_refusal(test, EXHAUSTED, .size = 2 * SHARD - PAGE, .align = PAGE);
	expect_at(test, 2 * SHARD + 2 * PAGE, .size = 2 * SHARD - 2 * PAGE, .align = PAGE);
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 3);
	KUNIT_EXPECT_EQ(test, free_everything(test), 3);
	expect_whole(test);
}

/* Aligned to its size, rounded up, as in a pool of one shard */
static void span_is_aligned_naturally(struct kunit *test)
{
	create_shards(test);
	expect_at(test, 0, .size = PAGE, .start = 0, .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, 2 * SHARD, .size = 2 * SHARD);
	expect_refusal(test, FRAGMENTED, .size = SHARD + PAGE);
	expect_at(test, PAGE, .size = SHARD + PAGE, .align = PAGE);
}

static void span_keeps_power_of_two(struct kunit *test)
{
	create_shards(test);
	expect_at(test, 0, .size = SHARD + PAGE, .flags = BUDDY_POOL_ALLOC_POW2);
	KUNIT_EXPECT_EQ(test, granted(test), 2 * SHARD);
	expect_at(test, 2 * SHARD, .size = SHARD + PAGE, .flags = BUDDY_POOL_ALLOC_POW2);
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
}

/* Two shards and a bit of both neighbours, and each piece in turn */
static void fixed_crosses_borders(struct kunit *test)
{
	u64 start = SHARD - PAGE, size = 2 * SHARD + 3 * PAGE;
	u64 at;

	create_shards(test);
	expect_at(test, start, .size = size, .start = start, .flags = BUDDY_POOL_ALLOC_FIXED);
	KUNIT_EXPECT_EQ(test, granted(test), size);
	KUNIT_EXPECT_EQ(test, look(test)->used, size);
	for (at = start; at < start + size; at += PAGE) {
		expect_extent(test, at + 1, USED, start, size);
		expect_refusal(test, IN_USE, .size = PAGE, .start = at,
			       .flags = BUDDY_POOL_ALLOC_FIXED);
		if (at != start)
			expect_bad_free(test, at, -EINVAL, INTERIOR);
		expect_bad_free(test, at + 1, -EINVAL, MISALIGNED);
	}
	expect_bad_free(test, start - PAGE, -ENOENT, NOT_ALLOCATED);
	expect_bad_free(test, start + size, -ENOENT, NOT_ALLOCATED);
	expect_refusal(test, IN_USE, .size = 2 * SHARD, .start = 2 * PAGE,
		       .flags = BUDDY_POOL_ALLOC_FIXED);
	KUNIT_EXPECT_EQ(test, release(test, start), 0);
	for (at = start; at < start + size; at += PAGE)
		expect_bad_free(test, at, -ENOENT, NOT_ALLOCATED);
	expect_whole(test);
}

/* Spans side by side in one shard, which ends one and begins the other */
static void spans_meet(struct kunit *test)
{
	create_shards(test);
	expect_at(test, SHARD - PAGE, .size = 2 * PAGE, .start = SHARD - PAGE,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, SHARD + PAGE, .size = SHARD, .start = SHARD + PAGE,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	/* This ends where a shard does, and so is no piece of what follows. */
	expect_at(test, 2 * SHARD + PAGE, .size = SHARD - PAGE, .start = 2 * SHARD + PAGE,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, 3 * SHARD, .size = SHARD);
	expect_extent(test, SHARD, USED, SHARD - PAGE, 2 * PAGE);
	expect_extent(test, 2 * SHARD, USED, SHARD + PAGE, SHARD);
	expect_extent(test, 3 * SHARD - 1, USED, 2 * SHARD + PAGE, SHARD - PAGE);
	expect_extent(test, 3 * SHARD, USED, 3 * SHARD, SHARD);
	KUNIT_EXPECT_EQ(test, release(test, SHARD + PAGE), 0);
	expect_extent(test, SHARD, USED, SHARD - PAGE, 2 * PAGE);
	expect_bad_free(test, 2 * SHARD, -ENOENT, NOT_ALLOCATED);
	KUNIT_EXPECT_EQ(test, release(test, SHARD - PAGE), 0);
	KUNIT_EXPECT_EQ(test, release(test, 2 * SHARD + PAGE), 0);
	KUNIT_EXPECT_EQ(test, release(test, 3 * SHARD), 0);
	expect_whole(test);
}

static void windows_touch_several_shards(struct kunit *test)
{
	create_shards(test);
	expect_at(test, SHARD - 3 * PAGE, .size = 6 * PAGE, .align = PAGE,
		  .start = SHARD - 3 * PAGE, .end = SHARD + 3 * PAGE);
	expect_refusal(test, EXHAUSTED, .size = PAGE, .start = SHARD - 3 * PAGE,
		       .end = SHARD + 3 * PAGE);
	expect_at(test, 2 * SHARD - 2 * PAGE, .size = 3 * PAGE, .align = 2 * PAGE,
		  .start = 2 * SHARD - 2 * PAGE, .end = 2 * SHARD + 2 * PAGE);
	expect_refusal(test, ALIGN, .size = 4 * PAGE, .align = 4 * PAGE,
		       .start = 2 * SHARD - 2 * PAGE, .end = 2 * SHARD + 2 * PAGE);
	expect_at(test, 5 * SHARD / 2 - 5 * PAGE, .size = 5 * SHARD / 4, .align = PAGE,
		  .start = 3 * SHARD / 2, .end = 15 * SHARD / 4 - 5 * PAGE,
		  .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
}

static void top_down_across_border(struct kunit *test)
{
	create_shards(test);
	expect_at(test, 5 * SHARD / 2, .size = 3 * SHARD / 2, .align = PAGE,
		  .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
	expect_at(test, SHARD, .size = 3 * SHARD / 2, .align = SHARD,
		  .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
	expect_at(test, 0, .size = PAGE, .align = 4 * SHARD, .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
}

/* More than any shard is aligned to, or as long as */
static void alignment_beyond_shard(struct kunit *test)
{
	create(test, .base = SHARD - PAGE, .size = 4 * SHARD, .min_block = PAGE, .shards = 4);
	expect_at(test, 2 * SHARD, .size = PAGE, .align = 2 * SHARD, .start = SHARD);
	expect_at(test, 4 * SHARD, .size = PAGE, .align = 4 * SHARD);
	expect_refusal(test, FRAGMENTED, .size = PAGE, .align = 2 * SHARD,
		       .flags = BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, 2 * SHARD - PAGE);
	expect_refusal(test, ALIGN, .size = PAGE, .align = 8 * SHARD);
	expect_at(test, SHARD, .size = SHARD, .align = SHARD, .start = SHARD);
	/* In the first shard, of one page, there is no place aligned to two. */
	expect_at(test, SHARD - PAGE, .size = PAGE, .start = SHARD - PAGE, .end = SHARD);
}

/* More than the whole pool is as long as, but its middle is aligned to */
static void alignment_beyond_pool(struct kunit *test)
{
	create(test, .base = SZ_1G - 2 * SHARD, .size = 4 * SHARD, .min_block = PAGE, .shards = 4);
	expect_at(test, SZ_1G, .size = SHARD + PAGE, .align = SZ_1G);
	expect_refusal(test, FRAGMENTED, .size = PAGE, .align = SZ_512M);
	KUNIT_EXPECT_EQ(test, release(test, SZ_1G), 0);
	expect_at(test, SZ_1G, .size = PAGE, .align = SZ_1G, .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
	expect_refusal(test, ALIGN, .size = PAGE, .align = SZ_2G);
}

/* The shortest run that will do, so that the longest lasts */
static void span_takes_shortest_run(struct kunit *test)
{
	create_shards(test);
	expect_at(test, SHARD / 2, .size = PAGE, .start = SHARD / 2,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, 2 * SHARD + PAGE, .size = PAGE, .start = 2 * SHARD + PAGE,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	/* From SHARD / 2 to 2 * SHARD, not the whole shard and a half behind that */
	expect_at(test, SHARD / 2 + PAGE, .size = SHARD + PAGE, .align = PAGE);
	expect_at(test, 2 * SHARD + 2 * PAGE, .size = 2 * SHARD - 2 * PAGE, .align = PAGE);
}

static void usage_counts_runs_across_borders(struct kunit *test)
{
	create_shards(test);
	expect_at(test, PAGE, .size = PAGE, .start = PAGE, .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, 3 * SHARD, .size = PAGE, .start = 3 * SHARD,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	KUNIT_EXPECT_EQ(test, look(test)->largest, 3 * SHARD - 2 * PAGE);
	expect_refusal(test, FRAGMENTED, .size = 3 * SHARD, .align = PAGE,
		       .flags = BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, 3 * SHARD - 2 * PAGE);
	expect_refusal(test, FRAGMENTED, .size = SHARD, .start = 2 * SHARD + PAGE,
		       .end = 3 * SHARD + 3 * PAGE, .align = PAGE,
		       .flags = BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, SHARD - PAGE);
	expect_refusal(test, IN_USE, .size = 4 * SHARD, .flags = BUDDY_POOL_ALLOC_FIXED |
		       BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, 3 * SHARD - 2 * PAGE);
}

/* Its length counts once, and so do it and its free. */
static void usage_counts_span_once(struct kunit *test)
{
	create_shards(test);
	expect_at(test, 0, .size = 3 * SHARD - 1, .align = PAGE);
	KUNIT_EXPECT_EQ(test, look(test)->requested, 3 * SHARD - 1);
	KUNIT_EXPECT_EQ(test, look(test)->granted, 3 * SHARD);
	KUNIT_EXPECT_EQ(test, look(test)->allocs, 1);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 1);
	KUNIT_EXPECT_EQ(test, release(test, 0), 0);
	KUNIT_EXPECT_EQ(test, look(test)->frees, 1);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 0);
	KUNIT_EXPECT_EQ(test, look(test)->peak, 3 * SHARD);
	expect_refusal(test, OVERSIZE, .size = 4 * SHARD + 1);
	KUNIT_EXPECT_EQ(test, look(test)->oversize, 1);
	expect_whole(test);
}

/* A byte takes a whole block, which in a shard that is so small is no small change. */
static void expect_peak_of_bytes(struct kunit *test)
{
	u64 other;

	KUNIT_ASSERT_EQ(test, alloc(test, .size = 1), 0);
	other = address(test) < SHARD ? SHARD : 0;
	KUNIT_EXPECT_EQ(test, release(test, address(test)), 0);
	expect_at(test, other, .size = 1, .start = other, .flags = BUDDY_POOL_ALLOC_FIXED);
	KUNIT_ASSERT_EQ(test, alloc(test, .size = 1), 0);
	free_everything(test);
	KUNIT_EXPECT_EQ(test, look(test)->peak, 2 * PAGE);
}

/* The peak of each shard is another moment's; the pool's is less than their sum. */
static void peak_is_that_of_the_pool(struct kunit *test)
{
	unsigned int i;

	create_shards(test);
	expect_peak_of_bytes(test);
	for (i = 0; i < 4; i++) {
		expect_at(test, i * SHARD, .size = SHARD, .start = i * SHARD,
			  .flags = BUDDY_POOL_ALLOC_FIXED);
		KUNIT_EXPECT_EQ(test, release(test, i * SHARD), 0);
	}
	KUNIT_EXPECT_EQ(test, look(test)->peak, SHARD);
	expect_at(test, 0, .size = PAGE, .start = 0, .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, SHARD, .size = SHARD, .start = SHARD, .flags = BUDDY_POOL_ALLOC_FIXED);
	KUNIT_EXPECT_EQ(test, release(test, SHARD), 0);
	KUNIT_EXPECT_EQ(test, look(test)->peak, SHARD + PAGE);
}

/* Of small changes, the peak may miss some, but never more than a 32nd of the pool. */
static void peak_is_near(struct kunit *test)
{
	const u64 size = SZ_1G, most = size / 32;
	unsigned int n;

	create(test, .size = size, .min_block = PAGE, .shards = 4);
	for (n = 0; n < 20000; n++)
		KUNIT_ASSERT_EQ(test, alloc(test, .size = PAGE, .start = n % 4 * (size / 4),
					    .end = (n % 4 + 1) * (size / 4)), 0);
	free_everything(test);
	KUNIT_EXPECT_LE(test, look(test)->peak, 20000 * PAGE);
	KUNIT_EXPECT_GE(test, look(test)->peak + most, 20000 * PAGE);
}

/*
 * Reservations
 */

static void reservation_crosses_borders(struct kunit *test)
{
	struct buddy_pool *pool = create_shards(test);
	u64 start = SHARD / 2, size = 2 * SHARD;
	u64 at;

	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, start, size), 0);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, size);
	KUNIT_EXPECT_EQ(test, look(test)->used, 0);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 0);
	expect_sums(test);
	for (at = start; at < start + size; at += SHARD / 4) {
		expect_extent(test, at, RESERVED, start, size);
		expect_bad_free(test, at, -ENOENT, RESERVED);
	}
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, 2 * SHARD, PAGE), -EBUSY);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, start, SHARD / 2), -ENOENT);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, SHARD, size - SHARD / 2), -ENOENT);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, start, size + PAGE), -ENOENT);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, start, 8 * SHARD), -ENOENT);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, size);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, start, size), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, start, size), -ENOENT);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, 0);
	expect_whole(test);
}

static void reservation_is_all_or_nothing(struct kunit *test)
{
	struct buddy_pool *pool = create_shards(test);

	expect_at(test, 3 * SHARD, .size = PAGE, .start = 3 * SHARD);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SHARD / 2, 3 * SHARD), -EBUSY);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, 0);
	KUNIT_EXPECT_EQ(test, look(test)->free, 4 * SHARD - PAGE);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SHARD / 2, 5 * SHARD / 2), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SHARD, 4 * SHARD), -ERANGE);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SHARD + 1, 4 * SHARD), -ERANGE);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SHARD + 1, PAGE), -EINVAL);
	/* What is left over is freed with the pool. */
}

/*
 * How many shards there are if nobody says; the largest order tells
 */

static void small_pool_is_one_shard(struct kunit *test)
{
	create(test, .size = 2 * SZ_64K * PAGE - PAGE, .min_block = PAGE);
	KUNIT_EXPECT_EQ(test, look(test)->nr_orders, 17);
}

static void large_pool_has_shards_by_cpus(struct kunit *test)
{
	unsigned int shards = min_t(unsigned int, roundup_pow_of_two(num_online_cpus()), 4);

	create(test, .size = 4 * SZ_64K * PAGE, .min_block = PAGE);
	KUNIT_EXPECT_EQ(test, look(test)->nr_orders, 19 - ilog2(shards));
	KUNIT_EXPECT_EQ(test, look(test)->largest, 4 * SZ_64K * PAGE);
}

static void large_pool_is_one_shard_if_asked(struct kunit *test)
{
	create(test, .size = 4 * SZ_64K * PAGE, .min_block = PAGE, .shards = 1);
	KUNIT_EXPECT_EQ(test, look(test)->nr_orders, 19);
}

/* Requests of one size from one CPU come from one shard while it has space. */
static void cpu_keeps_to_its_shard(struct kunit *test)
{
	unsigned int i;
	u64 first;

	create_shards(test);
	migrate_disable();
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SHARD / 4), 0);
	first = address(test);
	KUNIT_EXPECT_EQ(test, first, raw_smp_processor_id() % 4 * SHARD);
	for (i = 1; i < 4; i++)
		expect_at(test, first + i * SHARD / 4, .size = SHARD / 4);
	migrate_enable();
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SHARD / 4), 0);
	KUNIT_EXPECT_NE(test, address(test) / SHARD, first / SHARD);
}

/*
 * At random against a model: for each block, what its allocation begins with, plus
 * one; 0 is free. What can never be is asked of an empty pool of one shard.
 */

#define MODEL_BLOCKS	200
#define BLOCK		SZ_1K

struct model {
	struct kunit *test;
	struct rnd_state rnd;
	struct buddy_pool *empty;
	u64 base;
	u32 nr;			/* blocks */
	u32 head[MODEL_BLOCKS];
	bool reserved[MODEL_BLOCKS];
	u64 used;
	u64 peak;
	u64 nr_blocks;
	u64 granted;
	u64 refused;
};

static u64 where(const struct model *model, u32 block)
{
	return model->base + (u64)block * BLOCK;
}

/* The longest free run in [start, end) */
static u32 model_largest(const struct model *model, u32 start, u32 end)
{
	u32 i, run = 0, best = 0;

	for (i = start; i < end; i++) {
		run = model->head[i] ? 0 : run + 1;
		best = max(best, run);
	}
	return best;
}

/* The alignment that a request without one gets */
static u64 model_align(const struct model *model, u32 nr)
{
	u64 align = roundup_pow_of_two(nr);
	u64 first = model->base / BLOCK;

	while (round_up(first, align) + align > first + model->nr)
		align /= 2;
	return align * BLOCK;
}

static u32 model_blocks(const struct buddy_pool_request *request)
{
	u32 nr = DIV_ROUND_UP((u32)request->size ?: 1, BLOCK);

	return request->flags & BUDDY_POOL_ALLOC_POW2 ? roundup_pow_of_two(nr) : nr;
}

/* Is @at where @request may begin, if all that is free? */
static bool model_may_begin(const struct model *model, const struct buddy_pool_request *request,
			    u32 at)
{
	u32 nr = model_blocks(request);
	u64 align = request->align ?: model_align(model, nr);
	u64 end = request->end ?: where(model, model->nr);

	if (at + nr > model->nr)
		return false;
	if (request->flags & BUDDY_POOL_ALLOC_FIXED)
		return where(model, at) == request->start &&
		       !(request->align && where(model, at) % request->align);
	return where(model, at) % align == 0 && where(model, at) >= request->start &&
	       where(model, at + nr) <= end;
}

static bool model_fits(const struct model *model, const struct buddy_pool_request *request, u32 at)
{
	u32 i;

	if (!model_may_begin(model, request, at))
		return false;
	for (i = at; i < at + model_blocks(request); i++)
		if (model->head[i])
			return false;
	return true;
}

/* Is it right that @request can't be met for its alignment, or that it can be? */
static bool model_agrees(const struct model *model, const struct buddy_pool_request *request,
			 enum buddy_pool_reason never)
{
	bool found = false;
	u32 at;

	if (never && never != BUDDY_POOL_REASON_ALIGN)
		return true;
	for (at = 0; at < model->nr && !found; at++)
		found = model_may_begin(model, request, at);
	return found == !never;
}

static bool model_has_room(const struct model *model, const struct buddy_pool_request *request)
{
	u32 at;

	for (at = 0; at < model->nr; at++)
		if (model_fits(model, request, at))
			return true;
	return false;
}

static void model_take(struct model *model, u32 at, u32 nr, bool reserved)
{
	u32 i;

	for (i = at; i < at + nr; i++) {
		KUNIT_ASSERT_EQ(model->test, model->head[i], 0);
		model->head[i] = at + 1;
		model->reserved[i] = reserved;
	}
	if (reserved)
		return;
	model->used += (u64)nr * BLOCK;
	model->peak = max(model->peak, model->used);
	model->nr_blocks++;
}

static u32 model_length(const struct model *model, u32 at)
{
	u32 i;

	for (i = at; i < model->nr && model->head[i] == at + 1; i++)
		;
	return i - at;
}

static void model_release(struct model *model, u32 at)
{
	u32 nr = model_length(model, at);

	memset(&model->head[at], 0, nr * sizeof(*model->head));
	if (model->reserved[at])
		return;
	model->used -= (u64)nr * BLOCK;
	model->nr_blocks--;
}

static struct buddy_pool_request random_request(struct model *model)
{
	u64 length = (u64)model->nr * BLOCK;
	struct buddy_pool_request request = {
		.size = below(&model->rnd, 1 + below(&model->rnd, length + BLOCK)),
		.flags = BUDDY_POOL_MAY_SLEEP | BUDDY_POOL_WANT_LARGEST,
	};

	if (below(&model->rnd, 2))
		request.size = below(&model->rnd, 8 * BLOCK);
	if (below(&model->rnd, 4))
		request.align = BIT_ULL(below(&model->rnd, below(&model->rnd, 4) ? 13 : 40));
	if (below(&model->rnd, 2))
		request.start = model->base + below(&model->rnd, length);
	if (below(&model->rnd, 4) == 0)
		request.end = model->base + below(&model->rnd, length + 1);
	if (below(&model->rnd, 4) == 0) {
		request.align = below(&model->rnd, 8) ? 0 : request.align;
		request.start = where(model, below(&model->rnd, model->nr));
		request.flags |= BUDDY_POOL_ALLOC_FIXED;
		if (below(&model->rnd, 8))
			request.end = 0;
	}
	if (below(&model->rnd, 3) == 0)
		request.flags |= BUDDY_POOL_ALLOC_TOP_DOWN;
	if (below(&model->rnd, 8) == 0)
		request.flags |= BUDDY_POOL_ALLOC_POW2;
	if (request.flags & BUDDY_POOL_ALLOC_FIXED && below(&model->rnd, 8))
		request.flags &= ~BUDDY_POOL_ALLOC_TOP_DOWN;
	return request;
}

/* -EINVAL, and with it the reason, if an empty pool would not grant it either */
static enum buddy_pool_reason reason_never(struct model *model,
					   const struct buddy_pool_request *request)
{
	struct buddy_pool_result result = { };

	if (buddy_pool_alloc(model->empty, request, &result)) {
		KUNIT_ASSERT_NE(model->test, (int)result.reason, (int)BUDDY_POOL_REASON_NONE);
		return result.reason;
	}
	KUNIT_ASSERT_EQ(model->test, buddy_pool_free(model->empty, result.address, NULL), 0);
	return BUDDY_POOL_REASON_NONE;
}

static void expect_explained(struct model *model, const struct buddy_pool_request *request)
{
	const struct buddy_pool_result *result = &fixture(model->test)->result;
	u64 first = request->start ? request->start - model->base : 0;
	u64 end = request->end ? request->end - model->base : (u64)model->nr * BLOCK;
	u32 i, nr_free = 0, nr = model_blocks(request);
	struct kunit *test = model->test;

	for (i = DIV_ROUND_UP((u32)first, BLOCK); i < (u32)end / BLOCK; i++)
		nr_free += !model->head[i];
	if (request->flags & BUDDY_POOL_ALLOC_FIXED) {
		KUNIT_ASSERT_EQ(test, (int)result->reason, (int)BUDDY_POOL_REASON_IN_USE);
		end = first + (u64)nr * BLOCK;
	} else {
		KUNIT_ASSERT_EQ(test, (int)result->reason,
				nr_free < nr ? (int)BUDDY_POOL_REASON_EXHAUSTED :
					       (int)BUDDY_POOL_REASON_FRAGMENTED);
	}
	KUNIT_ASSERT_EQ(test, result->largest,
			model_largest(model, DIV_ROUND_UP((u32)first, BLOCK), (u32)end / BLOCK) *
			(u64)BLOCK);
}

static void model_alloc(struct model *model)
{
	struct buddy_pool_request request = random_request(model);
	enum buddy_pool_reason never = reason_never(model, &request);
	struct kunit *test = model->test;
	int err = alloc_request(test, &request);
	u32 at;

	KUNIT_ASSERT_TRUE_MSG(test, model_agrees(model, &request, never),
			      "%d: size %llu align %llu from %#llx to %#llx flags %#x", never,
			      request.size, request.align, request.start, request.end,
			      request.flags);
	KUNIT_ASSERT_EQ_MSG(test, err, never ? -EINVAL :
			    model_has_room(model, &request) ? 0 : -ENOSPC,
			    "size %llu align %llu from %#llx to %#llx flags %#x", request.size,
			    request.align, request.start, request.end, request.flags);
	if (err == -EINVAL) {
		KUNIT_ASSERT_EQ(test, (int)reason(test), (int)never);
		return;
	}
	if (err) {
		model->refused++;
		expect_explained(model, &request);
		return;
	}
	at = (u32)(address(test) - model->base) / BLOCK;
	KUNIT_ASSERT_EQ(test, where(model, at), address(test));
	KUNIT_ASSERT_TRUE(test, model_fits(model, &request, at));
	KUNIT_ASSERT_EQ(test, granted(test), model_blocks(&request) * (u64)BLOCK);
	model_take(model, at, model_blocks(&request), false);
	model->granted++;
}

static void model_free(struct model *model)
{
	u32 at = below(&model->rnd, model->nr);
	enum buddy_pool_reason why, expected;
	struct kunit *test = model->test;
	int err;

	/* Mostly at the head of whatever is there */
	if (model->head[at] && below(&model->rnd, 4))
		at = model->head[at] - 1;
	expected = !model->head[at] ? BUDDY_POOL_REASON_NOT_ALLOCATED :
		   model->reserved[at] ? BUDDY_POOL_REASON_RESERVED :
		   model->head[at] != at + 1 ? BUDDY_POOL_REASON_INTERIOR :
		   BUDDY_POOL_REASON_NONE;
	err = buddy_pool_free(fixture(test)->pool, where(model, at), &why);
	KUNIT_ASSERT_EQ(test, (int)why, (int)expected);
	KUNIT_ASSERT_EQ(test, err, expected == BUDDY_POOL_REASON_NONE ? 0 :
			expected == BUDDY_POOL_REASON_INTERIOR ? -EINVAL : -ENOENT);
	if (!err)
		model_release(model, at);
}

static void model_reserve(struct model *model)
{
	u32 at = below(&model->rnd, model->nr);
	u32 nr = 1 + below(&model->rnd, model->nr - at);
	struct kunit *test = model->test;
	bool is_free = model_largest(model, at, at + nr) == nr;

	KUNIT_ASSERT_EQ(test, buddy_pool_reserve(fixture(test)->pool, where(model, at),
						 (u64)nr * BLOCK), is_free ? 0 : -EBUSY);
	if (is_free)
		model_take(model, at, nr, true);
}

static void model_unreserve(struct model *model)
{
	u32 at = below(&model->rnd, model->nr);
	struct kunit *test = model->test;
	bool right;
	u32 nr;

	if (model->head[at] && below(&model->rnd, 4))
		at = model->head[at] - 1;
	nr = max(1u, model_length(model, at)) + (below(&model->rnd, 4) == 0);
	right = model->head[at] == at + 1 && model->reserved[at] && nr == model_length(model, at);
	KUNIT_ASSERT_EQ(test, buddy_pool_unreserve(fixture(test)->pool, where(model, at),
						   (u64)nr * BLOCK), right ? 0 : -ENOENT);
	if (right)
		model_release(model, at);
}

static void model_query(struct model *model)
{
	u64 start, size, address = model->base + below(&model->rnd, model->nr * BLOCK);
	u32 at = (u32)(address - model->base) / BLOCK;
	struct kunit *test = model->test;
	int state;

	state = buddy_pool_query(fixture(test)->pool, address, &start, &size);
	if (model->head[at]) {
		KUNIT_ASSERT_EQ(test, state, model->reserved[at] ? BUDDY_POOL_STATE_RESERVED :
								   BUDDY_POOL_STATE_USED);
		at = model->head[at] - 1;
		KUNIT_ASSERT_EQ(test, start, where(model, at));
		KUNIT_ASSERT_EQ(test, size, model_length(model, at) * (u64)BLOCK);
		return;
	}
	KUNIT_ASSERT_EQ(test, state, BUDDY_POOL_STATE_FREE);
	KUNIT_ASSERT_LE(test, start, address);
	KUNIT_ASSERT_GT(test, start + size, address);
	at = (u32)(start - model->base) / BLOCK;
	KUNIT_ASSERT_EQ(test, model_largest(model, at, at + (u32)size / BLOCK), (u32)size / BLOCK);
}

/* Each allocation is one piece of a walk, whatever it crosses, and so is each free run. */
static void model_walk(struct model *model)
{
	struct buddy_pool *pool = fixture(model->test)->pool;
	struct kunit *test = model->test;
	struct buddy_pool_walk walk = { };
	u32 end, at = 0;

	while (buddy_pool_next(pool, &walk)) {
		KUNIT_ASSERT_EQ(test, walk.start, where(model, at));
		KUNIT_ASSERT_EQ(test, (int)walk.state,
				!model->head[at] ? (int)BUDDY_POOL_STATE_FREE :
				model->reserved[at] ? (int)BUDDY_POOL_STATE_RESERVED :
						      (int)BUDDY_POOL_STATE_USED);
		for (end = at; end < model->nr && model->head[end] == model->head[at]; end++)
			;
		KUNIT_ASSERT_EQ(test, walk.size, (end - at) * (u64)BLOCK);
		at = end;
	}
	KUNIT_ASSERT_EQ(test, at, model->nr);
}

static void model_compare(struct model *model)
{
	const struct buddy_pool_usage *usage = look(model->test);
	u32 i, nr_free = 0, nr_reserved = 0;
	struct kunit *test = model->test;

	for (i = 0; i < model->nr; i++) {
		nr_free += !model->head[i];
		nr_reserved += model->head[i] && model->reserved[i];
	}
	KUNIT_ASSERT_EQ(test, usage->free, nr_free * (u64)BLOCK);
	KUNIT_ASSERT_EQ(test, usage->reserved, nr_reserved * (u64)BLOCK);
	KUNIT_ASSERT_EQ(test, usage->used, model->used);
	/* A shard that is so small misses nothing. */
	KUNIT_ASSERT_EQ(test, usage->peak, model->peak);
	KUNIT_ASSERT_EQ(test, usage->nr_blocks, model->nr_blocks);
	KUNIT_ASSERT_EQ(test, usage->largest, model_largest(model, 0, model->nr) * (u64)BLOCK);
}

static void model_drain(struct model *model)
{
	struct buddy_pool *pool = fixture(model->test)->pool;
	u32 at, nr;

	for (at = 0; at < model->nr; at += max(nr, 1u)) {
		nr = model_length(model, at);
		if (nr && model->reserved[at])
			KUNIT_ASSERT_EQ(model->test, buddy_pool_unreserve(pool, where(model, at),
									  (u64)nr * BLOCK), 0);
		else if (nr)
			KUNIT_ASSERT_EQ(model->test, release(model->test, where(model, at)), 0);
	}
}

static void model_step(struct model *model, bool fill)
{
	u32 dice = below(&model->rnd, 32);

	if (dice == 0)
		model_reserve(model);
	else if (dice < 4)
		model_unreserve(model);
	else if (dice < 7)
		model_query(model);
	else if (dice < (fill ? 24 : 15))
		model_alloc(model);
	else
		model_free(model);
}

/* One pool of @shards at some place, which need not be aligned to anything */
static void run_model(struct kunit *test, struct model *model, unsigned int shards)
{
	struct buddy_pool_config config = { .min_block = BLOCK, .shards = 1 };
	unsigned int n;

	memset(model->head, 0, sizeof(model->head));
	model->used = 0;
	model->peak = 0;
	model->nr_blocks = 0;
	model->nr = 8 + below(&model->rnd, MODEL_BLOCKS - 8);
	/* Often, a multiple of more than the pool is long is in it. */
	model->base = BIT_ULL(33) + (below(&model->rnd, 512) - 128ULL) * BLOCK;
	config.base = model->base;
	config.size = (u64)model->nr * BLOCK;
	model->empty = buddy_pool_create(&config);
	KUNIT_ASSERT_FALSE(test, IS_ERR(model->empty));
	fixture(test)->other = model->empty;
	config.shards = shards;
	create_config(test, &config);
	for (n = 0; n < 1500; n++) {
		model_step(model, n / 250 % 2 == 0);
		if (n % 16 == 0)
			model_compare(model);
		if (n % 32 == 0)
			model_walk(model);
	}
	model_drain(model);
	expect_whole(test);
	fixture_exit(test);
	fixture(test)->pool = NULL;
	fixture(test)->other = NULL;
	cond_resched();
}

static void random_operations_match_model(struct kunit *test)
{
	struct model *model = kunit_kzalloc(test, sizeof(*model), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, model);
	model->test = test;
	model->rnd = random_from(test, seed);
	for (i = 0; i < 80; i++)
		run_model(test, model, 2 + i % 7);
	KUNIT_EXPECT_GT(test, model->granted, 1000);
	KUNIT_EXPECT_GT(test, model->refused, 1000);
}

static struct kunit_case span_cases[] = {
	KUNIT_CASE(all_shards_are_used),
	KUNIT_CASE(placement_in_windows),
	KUNIT_CASE(frees_are_refused_with_reason),
	KUNIT_CASE(pool_is_one_block),
	KUNIT_CASE(pool_of_64_shards_is_one_block),
	KUNIT_CASE(pool_of_unaligned_shards_is_one_block),
	KUNIT_CASE(block_larger_than_shard),
	KUNIT_CASE(span_is_aligned_naturally),
	KUNIT_CASE(span_keeps_power_of_two),
	KUNIT_CASE(fixed_crosses_borders),
	KUNIT_CASE(spans_meet),
	KUNIT_CASE(windows_touch_several_shards),
	KUNIT_CASE(top_down_across_border),
	KUNIT_CASE(alignment_beyond_shard),
	KUNIT_CASE(alignment_beyond_pool),
	KUNIT_CASE(span_takes_shortest_run),
	KUNIT_CASE(usage_counts_runs_across_borders),
	KUNIT_CASE(usage_counts_span_once),
	KUNIT_CASE(peak_is_that_of_the_pool),
	KUNIT_CASE(peak_is_near),
	KUNIT_CASE(reservation_crosses_borders),
	KUNIT_CASE(reservation_is_all_or_nothing),
	KUNIT_CASE(small_pool_is_one_shard),
	KUNIT_CASE(large_pool_has_shards_by_cpus),
	KUNIT_CASE(large_pool_is_one_shard_if_asked),
	KUNIT_CASE(cpu_keeps_to_its_shard),
	KUNIT_CASE(random_operations_match_model),
	{ }
};

static struct kunit_suite span_suite = {
	.name = "buddy_pool_span",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = span_cases,
};

kunit_test_suite(span_suite);

MODULE_DESCRIPTION("KUnit tests of buddy_pool's shards and the blocks that cross them");
MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);

// SPDX-License-Identifier: GPL-2.0
/*
 * What any buddy allocator must meet: scenarios restated from the tests of the
 * kernel's own allocators and their users, by the ids of our catalogue: limits
 * (L), fill patterns (F), exact ranges (R), windows (W), contiguous requests (C),
 * alignment (A), look-up and accounting (T). Where it asks for more than they
 * do, or we differ on purpose, a comment says so.
 *
 * Each ends the same way, in scenario_exit(). All our blocks are contiguous;
 * what others get with one request for pieces is several requests here.
 *
 * Not here: Z, since blocks have no clear or dirty state; T2, since blocks are
 * not trimmed; T4, since only creation allocates memory; C8, since there is no
 * scatterlist.
 */
#include <linux/bitmap.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/vmalloc.h>

#include "buddy_kunit.h"

static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "Seed of the random tests, as they print it; 0 for a new one");

/* Most pools have min blocks of 4 KiB, here called pages. */
#define PAGES(n)	((u64)(n) * SZ_4K)

/*
 * Free all: then all is free, it has merged to what it was, and it can be had as
 * the largest blocks that the pool has.
 */
static void scenario_exit(struct kunit *test)
{
	struct fixture *fx = fixture(test);
	unsigned int o;
	u64 n, size;

	if (fx && fx->pool) {
		free_everything(test);
		expect_whole(test);
		for (o = fx->fresh.nr_orders; o--;) {
			size = fx->config.min_block << o;
			for (n = 0; n < fx->fresh.order[o].size; n++)
				KUNIT_EXPECT_EQ(test, alloc(test, .size = size), 0);
		}
		KUNIT_EXPECT_EQ(test, look(test)->free, 0);
		free_everything(test);
	}
	fixture_exit(test);
}

static void create_pages(struct kunit *test, u64 nr)
{
	create(test, .size = PAGES(nr), .min_block = SZ_4K);
}

/* Take just the pages [@start, @start + @nr). */
static int take_pages(struct kunit *test, u64 start, u64 nr)
{
	return alloc(test, .size = PAGES(nr), .start = PAGES(start),
		     .flags = BUDDY_POOL_ALLOC_FIXED);
}

static void *new_array(struct kunit *test, size_t nr, size_t size)
{
	void *array = kunit_kzalloc(test, nr * size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, array);
	return array;
}

static void shuffle(struct rnd_state *rnd, u32 *numbers, u32 nr)
{
	u32 i, other;

	for (i = 0; i < nr; i++) {
		numbers[i] = i;
		other = below(rnd, i + 1);
		swap(numbers[i], numbers[other]);
	}
}

/*
 * Random requests of up to @most pages, ever smaller, until not one page of
 * [@start, @end) is left. Returns the number of pages granted.
 */
static u64 fill(struct kunit *test, struct rnd_state *rnd, u64 start, u64 end, u32 most)
{
	u64 total = 0;
	u64 nr;

	do {
		nr = 1 + below(rnd, most);
		while (nr && alloc(test, .size = PAGES(nr), .align = SZ_4K, .start = PAGES(start),
				   .end = PAGES(end)))
			nr /= 2;
		KUNIT_EXPECT_TRUE(test, !nr || (address(test) >= PAGES(start) &&
						address(test) + PAGES(nr) <= PAGES(end)));
		total += nr;
	} while (nr);
	return total;
}

/*
 * Limits
 */

/* With blocks of 4 KiB the peer needs no memory for this many, and we too much. */
static void l1_all_addresses(struct kunit *test)
{
	create(test, .size = U64_MAX, .min_block = BIT_ULL(40));
	KUNIT_EXPECT_EQ(test, look(test)->size, U64_MAX << 40);
	KUNIT_EXPECT_EQ(test, look(test)->nr_orders, 24);
	expect_at(test, 0, .size = BIT_ULL(63));
	KUNIT_EXPECT_EQ(test, granted(test), BIT_ULL(63));
}

static void l2_size_below_min_block(struct kunit *test)
{
	const struct buddy_pool_config config = { .size = SZ_4K - 1, .min_block = SZ_4K };

	KUNIT_EXPECT_EQ(test, PTR_ERR(buddy_pool_create(&config)), -EINVAL);
}

/* The peer refuses both; we round the one down, and have no use for a limit. */
static void l2_any_min_block(struct kunit *test)
{
	create(test, .size = SZ_4K, .min_block = 3000);
	KUNIT_EXPECT_EQ(test, look(test)->size, SZ_4K);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = 1), 0);
	KUNIT_EXPECT_EQ(test, granted(test), 2048);
	fixture(test)->config.min_block = 2048;
}

static void l3_tail_is_ignored(struct kunit *test)
{
	create(test, .size = PAGES(17) + SZ_4K - 1, .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, look(test)->size, PAGES(17));
	KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(17)), 0);
	KUNIT_EXPECT_EQ(test, release(test, PAGES(17)), -ERANGE);
}

/* 1.1 GB of metadata: either there is memory for it, or a clean refusal. */
static void l4_2_32_blocks(struct kunit *test)
{
	const struct buddy_pool_config config = { .size = BIT_ULL(32) + 8, .min_block = 1 };
	struct buddy_pool *pool = buddy_pool_create(&config);

	if (IS_ERR(pool)) {
		KUNIT_EXPECT_EQ(test, PTR_ERR(pool), -ENOMEM);
		return;
	}
	buddy_pool_put(pool);
	create_config(test, &config);
	expect_at(test, 0, .size = BIT_ULL(32));
	KUNIT_EXPECT_EQ(test, granted(test), BIT_ULL(32));
	KUNIT_EXPECT_EQ(test, release(test, 0), 0);
	expect_at(test, 0, .size = BIT_ULL(32) + 4, .align = 1);
	KUNIT_EXPECT_EQ(test, granted(test), BIT_ULL(32) + 4);
}

/*
 * Fill patterns
 */

static void f1_optimistic_fill(struct kunit *test)
{
	unsigned int o;

	create_pages(test, BIT(17) - 1);
	for (o = 0; o <= 16; o++)
		KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(1) << o), 0);
	expect_refusal(test, EXHAUSTED, .size = PAGES(1));
}

static void f2_pessimistic_fill(struct kunit *test)
{
	u64 blocks[16], last;
	unsigned int o;

	create_pages(test, BIT(16));
	for (o = 0; o < 16; o++) {
		KUNIT_ASSERT_EQ(test, alloc(test, .size = PAGES(1) << o), 0);
		blocks[o] = address(test);
	}
	KUNIT_ASSERT_EQ(test, alloc(test, .size = PAGES(1)), 0);
	last = address(test);
	for (o = 0; o <= 16; o++)
		expect_refusal(test, EXHAUSTED, .size = PAGES(1) << o);

	KUNIT_EXPECT_EQ(test, release(test, last), 0);
	for (o = 0; o < 16; o++) {
		expect_refusal(test, EXHAUSTED, .size = PAGES(2) << o);
		KUNIT_EXPECT_EQ(test, release(test, blocks[o]), 0);
		KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(2) << o), 0);
		KUNIT_EXPECT_EQ(test, release(test, address(test)), 0);
	}
}

static void f3_pathological_fill(struct kunit *test)
{
	u64 held[6], holes[3];
	unsigned int nr_held = 0, oldest = 0;
	int top, o;

	create_pages(test, 8);
	for (top = 3; top; top--) {
		/* The oldest is the largest. */
		if (top < 3)
			KUNIT_ASSERT_EQ(test, release(test, held[oldest++]), 0);
		for (o = top - 1; o >= 0; o--) {
			KUNIT_ASSERT_EQ(test, alloc(test, .size = PAGES(1) << o), 0);
			held[nr_held++] = address(test);
		}
		KUNIT_ASSERT_EQ(test, alloc(test, .size = PAGES(1)), 0);
		holes[top - 1] = address(test);
		expect_refusal(test, EXHAUSTED, .size = PAGES(1) << top);
	}
	for (o = 0; o < 3; o++)
		KUNIT_EXPECT_EQ(test, release(test, holes[o]), 0);
	expect_refusal(test, FRAGMENTED, .size = PAGES(2));
	expect_refusal(test, FRAGMENTED, .size = PAGES(3));
	for (o = 2; o <= 3; o++)
		expect_refusal(test, EXHAUSTED, .size = PAGES(1) << o);
}

/* Marks the pages of the last block; they must not have been in another. */
static void mark_pages(struct kunit *test, unsigned long *map)
{
	u64 start = address(test) / SZ_4K;
	u64 nr = granted(test) / SZ_4K;

	KUNIT_ASSERT_LE(test, start + nr, look(test)->size / SZ_4K);
	KUNIT_ASSERT_GE(test, find_next_bit(map, start + nr, start), start + nr);
	bitmap_set(map, start, nr);
}

static void f4_random_orders(struct kunit *test)
{
	struct rnd_state rnd = random_from(test, seed);
	u64 nr = 1 + below(&rnd, 8192);
	unsigned long *map = new_array(test, BITS_TO_LONGS(nr), sizeof(long));
	unsigned int i;
	u32 orders[14];

	create_pages(test, nr);
	shuffle(&rnd, orders, ARRAY_SIZE(orders));
	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		u64 size = PAGES(1) << orders[i];

		while (!alloc(test, .size = size)) {
			KUNIT_ASSERT_EQ(test, granted(test), size);
			KUNIT_ASSERT_EQ(test, address(test) & (size - 1), 0);
			mark_pages(test, map);
		}
	}
	KUNIT_EXPECT_EQ(test, look(test)->used, PAGES(nr));
	KUNIT_EXPECT_EQ(test, bitmap_weight(map, nr), nr);
}

static void f5_random_sizes(struct kunit *test)
{
	struct rnd_state rnd = random_from(test, seed);
	u64 nr = 1 + below(&rnd, 8192);

	create_pages(test, nr);
	KUNIT_EXPECT_EQ(test, fill(test, &rnd, 0, nr, nr), nr);
	expect_refusal(test, EXHAUSTED, .size = 1);
}

/*
 * Exact ranges
 */

static void r1_whole_pool(struct kunit *test)
{
	create_pages(test, 1000);
	KUNIT_EXPECT_EQ(test, take_pages(test, 0, 1000), 0);
	KUNIT_EXPECT_EQ(test, look(test)->used, PAGES(1000));
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
	expect_refusal(test, EXHAUSTED, .size = PAGES(1));
}

static void r2_quarters(struct kunit *test)
{
	unsigned int i;

	create_pages(test, 1024);
	for (i = 0; i < 4; i++)
		expect_at(test, PAGES(i * 256), .size = PAGES(256), .start = PAGES(i * 256),
			  .flags = BUDDY_POOL_ALLOC_FIXED);
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
}

static void r3_first_middle_last_page(struct kunit *test)
{
	create_pages(test, 1024);
	KUNIT_EXPECT_EQ(test, take_pages(test, 0, 1), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, 512, 1), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, 1023, 1), 0);
	KUNIT_EXPECT_EQ(test, look(test)->used, PAGES(3));
}

static void r4_across_the_largest_blocks(struct kunit *test)
{
	create(test, .size = 7 * SZ_1M, .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, take_pages(test, 0, 1024), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, 1024, 512), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, 1536, 256), 0);
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
	KUNIT_EXPECT_EQ(test, free_everything(test), 3);
	KUNIT_EXPECT_EQ(test, take_pages(test, 0, 1792), 0);
	KUNIT_EXPECT_EQ(test, granted(test), 7 * SZ_1M);
}

static void r5_random_slices(struct kunit *test)
{
	struct rnd_state rnd = random_from(test, seed);
	u32 cuts[17], order[16];
	unsigned int i;

	create_pages(test, 16000);
	for (i = 0; i < 16; i++)
		cuts[i] = i ? cuts[i - 1] + 1 + below(&rnd, 15000 / 16) : 0;
	cuts[16] = 16000;
	shuffle(&rnd, order, 16);
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_EQ(test, take_pages(test, cuts[order[i]],
						 cuts[order[i] + 1] - cuts[order[i]]), 0);
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
}

static void r6_refusals_have_no_effect(struct kunit *test)
{
	create_pages(test, 1024);
	KUNIT_EXPECT_EQ(test, take_pages(test, 0, 512), 0);
	expect_refusal(test, IN_USE, .size = PAGES(1024), .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_refusal(test, IN_USE, .size = PAGES(512), .flags = BUDDY_POOL_ALLOC_FIXED);
	KUNIT_EXPECT_EQ(test, take_pages(test, 512, 512), 0);
}

static void r7_checkerboard(struct kunit *test)
{
	u64 at;

	create_pages(test, 256);
	for (at = 0; at < 256; at += 2)
		KUNIT_ASSERT_EQ(test, take_pages(test, at, 1), 0);
	for (at = 0; at < 256; at += 2) {
		expect_refusal(test, IN_USE, .size = PAGES(2), .start = PAGES(at),
			       .flags = BUDDY_POOL_ALLOC_FIXED);
		KUNIT_EXPECT_EQ(test, take_pages(test, at + 1, 1), 0);
	}
}

/* A size that is no multiple is rounded up, as everywhere. */
static void r8_bad_ranges(struct kunit *test)
{
	const u32 fixed = BUDDY_POOL_ALLOC_FIXED;

	create_pages(test, 16);
	expect_refusal(test, MISALIGNED, .size = PAGES(1), .start = 1, .flags = fixed);
	expect_refusal(test, OVERSIZE, .size = PAGES(2), .start = PAGES(15), .flags = fixed);
	expect_refusal(test, OVERSIZE, .size = PAGES(1) + 1, .start = PAGES(15), .flags = fixed);
	expect_refusal(test, WINDOW, .size = PAGES(1), .start = PAGES(16), .flags = fixed);
	expect_at(test, PAGES(14), .size = PAGES(1) + 1, .start = PAGES(14), .flags = fixed);
	KUNIT_EXPECT_EQ(test, granted(test), PAGES(2));
}

static void r9_same_range_again(struct kunit *test)
{
	unsigned int i;

	create_pages(test, 256);
	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_EQ(test, take_pages(test, 33, 100), 0);
		KUNIT_EXPECT_EQ(test, release(test, PAGES(33)), 0);
	}
}

static void r10_sizes_side_by_side(struct kunit *test)
{
	create(test, .size = SZ_8M, .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, take_pages(test, 0, 1), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, SZ_64K / SZ_4K, 16), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, SZ_1M / SZ_4K, 256), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, SZ_4M / SZ_4K, 1024), 0);
	KUNIT_EXPECT_EQ(test, look(test)->used, SZ_4K + SZ_64K + SZ_1M + SZ_4M);
}

static bool is_prime(u32 number)
{
	u32 divisor;

	for (divisor = 2; divisor * divisor <= number; divisor++)
		if (number % divisor == 0)
			return false;
	return true;
}

static void r11_primes(struct kunit *test)
{
	const u64 nr = 10000;
	u64 at, size;

	create_pages(test, nr);
	for (at = 0, size = 1; at + size <= nr; at += size++) {
		while (!is_prime(size))
			size++;
		if (at + size > nr)
			break;
		expect_at(test, PAGES(at), .size = PAGES(size), .start = PAGES(at),
			  .flags = BUDDY_POOL_ALLOC_FIXED);
		KUNIT_EXPECT_EQ(test, granted(test), PAGES(size));
	}
	KUNIT_EXPECT_EQ(test, look(test)->used, PAGES(at));
}

/* A hole in every 32 MiB of 2 GiB; with reservations, as for bad memory */
static void r12_all_but_reserved_ranges(struct kunit *test)
{
	struct rnd_state rnd = random_from(test, seed);
	const u64 pages = SZ_32M / SZ_4K;
	u64 start[64], nr[64];
	u64 reserved = 0;
	unsigned int i;

	create(test, .size = SZ_2G, .min_block = SZ_4K);
	for (i = 0; i < 64; i++) {
		nr[i] = 1 + below(&rnd, pages);
		start[i] = i * pages + below(&rnd, pages - nr[i] + 1);
		KUNIT_ASSERT_EQ(test, buddy_pool_reserve(fixture(test)->pool, PAGES(start[i]),
							 PAGES(nr[i])), 0);
		reserved += nr[i];
	}
	KUNIT_EXPECT_EQ(test, look(test)->reserved, PAGES(reserved));
	KUNIT_EXPECT_EQ(test, fill(test, &rnd, 0, 64 * pages, 1000), 64 * pages - reserved);
	free_everything(test);
	KUNIT_EXPECT_EQ(test, look(test)->free, PAGES(64 * pages - reserved));
	for (i = 0; i < 64; i++)
		KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(fixture(test)->pool, PAGES(start[i]),
							   PAGES(nr[i])), 0);
}

/*
 * Windows
 */

static void follow_w1(struct kunit *test, u64 start)
{
	u64 end = start + SZ_1M;

	expect_refusal(test, OVERSIZE, .size = SZ_1M + SZ_4K, .start = start, .end = end);
	expect_refusal(test, OVERSIZE, .size = SZ_1M, .start = start, .end = end - SZ_4K);
	expect_refusal(test, ALIGN, .size = SZ_512K, .align = SZ_512K, .start = start + SZ_4K,
		       .end = end - SZ_4K);
	expect_at(test, start, .size = SZ_1M, .start = start, .end = end);
	KUNIT_EXPECT_EQ(test, granted(test), SZ_1M);
	expect_refusal(test, EXHAUSTED, .size = SZ_4K, .start = start, .end = end);
	KUNIT_EXPECT_EQ(test, release(test, start), 0);
	expect_at(test, start, .size = SZ_4K, .align = SZ_1M, .start = start, .end = end);
}

static void w1_window_limits(struct kunit *test)
{
	struct rnd_state rnd = random_from(test, seed);
	u32 windows[16];
	unsigned int i;

	/* One more, so that the last window does not take what is left of it all */
	create(test, .size = 17 * SZ_1M, .min_block = SZ_4K);
	shuffle(&rnd, windows, 16);
	for (i = 0; i < 16; i++)
		follow_w1(test, (u64)windows[i] * SZ_1M);
}

static void w2_rest_of_window(struct kunit *test)
{
	struct rnd_state rnd = random_from(test, seed);
	unsigned int i;

	create(test, .size = SZ_64M, .min_block = SZ_4K);
	for (i = 0; i < 16; i++) {
		u64 start = PAGES(1024 * i + below(&rnd, 256));
		u64 end = start + PAGES(1 + below(&rnd, 768));
		u64 nr = 1 + below(&rnd, (end - start) / SZ_4K);
		u64 rest = end - start - PAGES(nr);

		KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(nr), .align = SZ_4K,
					    .start = start, .end = end), 0);
		KUNIT_EXPECT_TRUE(test, address(test) >= start &&
				  address(test) + PAGES(nr) <= end);
		KUNIT_EXPECT_LT(test, alloc(test, .size = rest + SZ_4K, .align = SZ_4K,
					    .start = start, .end = end), 0);
		KUNIT_EXPECT_EQ(test, fill(test, &rnd, start / SZ_4K, end / SZ_4K, 64),
				rest / SZ_4K);
	}
}

static void w3_growing_window(struct kunit *test)
{
	struct rnd_state rnd = random_from(test, seed);
	const u64 nr = 4096;
	u64 start = nr / 2, end = nr / 2 + 1;
	u64 total = 0;

	create_pages(test, nr);
	for (;;) {
		total += fill(test, &rnd, start, end, 16);
		KUNIT_EXPECT_EQ(test, total, end - start);
		if (end - start == nr)
			break;
		start -= min_t(u64, start, below(&rnd, 64));
		end += min_t(u64, nr - end, below(&rnd, 64));
	}
	expect_refusal(test, EXHAUSTED, .size = PAGES(1));
}

/* The peers' cost grows with the fill; ours is counted in buddy_pool_core. */
static void w5_fill_window_of_a_bar(struct kunit *test)
{
	const u64 start = SZ_256M + SZ_4K;
	u64 n;

	create(test, .size = SZ_1G, .min_block = SZ_4K);
	for (n = 0; n < SZ_256M / SZ_4K; n++) {
		KUNIT_ASSERT_EQ(test, alloc(test, .size = SZ_4K, .start = start,
					    .end = start + SZ_256M), 0);
		KUNIT_ASSERT_TRUE(test, address(test) >= start &&
				  address(test) < start + SZ_256M);
	}
	expect_refusal(test, EXHAUSTED, .size = SZ_4K, .start = start, .end = start + SZ_256M);
	KUNIT_EXPECT_EQ(test, look(test)->used, SZ_256M);
}

/* For memory that the CPU need not reach: above the first 16 MiB, if there is any */
static int alloc_unmappable(struct kunit *test)
{
	int err = alloc(test, .size = SZ_1M, .start = SZ_16M);

	return err ? alloc(test, .size = SZ_1M) : 0;
}

static void w6_mappable_part(struct kunit *test)
{
	unsigned int i;

	create(test, .size = SZ_64M, .min_block = SZ_4K);
	for (i = 0; i < 48 + 4; i++) {
		KUNIT_EXPECT_EQ(test, alloc_unmappable(test), 0);
		KUNIT_EXPECT_EQ(test, address(test) < SZ_16M, i >= 48);
	}
	for (i = 0; i < 12; i++) {
		KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_1M, .end = SZ_16M), 0);
		KUNIT_EXPECT_LT(test, address(test), SZ_16M);
	}
	KUNIT_EXPECT_EQ(test, release(test, SZ_32M), 0);
	expect_refusal(test, EXHAUSTED, .size = SZ_1M, .end = SZ_16M);
	KUNIT_EXPECT_EQ(test, alloc_unmappable(test), 0);
}

/*
 * Contiguous requests
 */

static void free_every_third(struct kunit *test, u64 first)
{
	u64 at;

	for (at = first; at < 48; at += 3)
		KUNIT_ASSERT_EQ(test, release(test, PAGES(at)), 0);
}

static void c1_every_third_page(struct kunit *test)
{
	u64 at;

	create_pages(test, 48);
	for (at = 0; at < 48; at++)
		KUNIT_ASSERT_EQ(test, take_pages(test, at, 1), 0);
	expect_refusal(test, EXHAUSTED, .size = PAGES(2), .align = SZ_4K);
	expect_refusal(test, EXHAUSTED, .size = PAGES(3), .align = SZ_4K);
	free_every_third(test, 1);
	expect_refusal(test, FRAGMENTED, .size = PAGES(2), .align = SZ_4K);
	expect_refusal(test, FRAGMENTED, .size = PAGES(3), .align = SZ_4K);
	free_every_third(test, 2);
	expect_refusal(test, FRAGMENTED, .size = PAGES(3), .align = SZ_4K);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(2), .align = SZ_4K), 0);
	free_every_third(test, 0);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(3), .align = SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, look(test)->used, PAGES(5));
}

static void c2_9_of_10_gib(struct kunit *test)
{
	create(test, .size = 10ULL * SZ_1G, .min_block = SZ_4K);
	expect_at(test, 0, .size = 9ULL * SZ_1G);
	KUNIT_EXPECT_EQ(test, granted(test), 9ULL * SZ_1G);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 1);
}

/* The peer refuses it. */
static void c3_9_gib_in_a_range(struct kunit *test)
{
	create(test, .size = 12ULL * SZ_1G, .min_block = SZ_4K);
	expect_at(test, SZ_1G, .size = 9ULL * SZ_1G, .align = SZ_1G, .start = SZ_1G,
		  .end = 11ULL * SZ_1G);
	KUNIT_EXPECT_EQ(test, granted(test), 9ULL * SZ_1G);
}

static const struct run {
	u64 start;
	u64 end;	/* of the free pages of 16 */
	u64 size;
} runs[] = {
	{ 1, 3, 2 }, { 1, 6, 5 }, { 1, 7, 4 }, { 1, 7, 5 }, { 1, 7, 6 }, { 3, 6, 3 },
};

static void describe_run(const struct run *run, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "%llu of [%llu, %llu)", run->size, run->start,
		 run->end);
}

KUNIT_ARRAY_PARAM(run, runs, describe_run);

/* The peer fails most of these. */
static void c4_run_that_is_no_block(struct kunit *test)
{
	const struct run *run = test->param_value;

	create_pages(test, 16);
	KUNIT_EXPECT_EQ(test, take_pages(test, 0, run->start), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, run->end, 16 - run->end), 0);
	expect_refusal(test, EXHAUSTED, .size = PAGES(run->end - run->start + 1), .align = SZ_4K);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(run->size), .align = SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, granted(test), PAGES(run->size));
	KUNIT_EXPECT_TRUE(test, address(test) >= PAGES(run->start) &&
			  address(test) + granted(test) <= PAGES(run->end));
}

static void c5_size_is_exact(struct kunit *test)
{
	struct rnd_state rnd = random_from(test, seed);
	unsigned int i;

	create_pages(test, 4096);
	for (i = 0; i < 100; i++) {
		u64 nr = i == 0 ? 1 : i == 1 ? 4096 : 1 + below(&rnd, 4096);

		KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(nr)), 0);
		KUNIT_EXPECT_EQ(test, granted(test), PAGES(nr));
		KUNIT_EXPECT_EQ(test, release(test, address(test)), 0);
	}
}

static void c5_islands(struct kunit *test)
{
	u64 at;

	create(test, .size = SZ_4M, .min_block = SZ_4K);
	for (at = 0; at < SZ_4M; at += SZ_128K)
		KUNIT_ASSERT_EQ(test, take_pages(test, at / SZ_4K, 16), 0);
	expect_refusal(test, FRAGMENTED, .size = SZ_64K + SZ_4K, .align = SZ_4K);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_64K - SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, release(test, address(test)), 0);
	for (at = 0; at < SZ_4M; at += SZ_128K)
		KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_64K), 0);
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
}

static void c6_splintered_pool(struct kunit *test)
{
	const u64 size = 4ULL * SZ_1G - SZ_4K;

	create(test, .size = size, .min_block = SZ_4K);
	expect_refusal(test, OVERSIZE, .size = 4ULL * SZ_1G);
	expect_at(test, 0, .size = size);
	KUNIT_EXPECT_EQ(test, granted(test), size);
}

static void c7_two_halves(struct kunit *test)
{
	create(test, .size = SZ_16M, .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, take_pages(test, 0, 1024), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, 2048, 1024), 0);
	expect_refusal(test, FRAGMENTED, .size = SZ_8M, .align = SZ_4K);
	expect_at(test, SZ_4M, .size = SZ_4M);
	expect_at(test, 3 * SZ_4M, .size = SZ_4M);
}

/*
 * Alignment
 */

/* Takes blocks until one is refused; returns how many. */
static unsigned int take_all(struct kunit *test, u64 size, u64 align)
{
	unsigned int n;

	for (n = 0; !alloc(test, .size = size, .align = align); n++) {
		KUNIT_EXPECT_EQ(test, address(test) & (align - 1), 0);
		KUNIT_EXPECT_EQ(test, granted(test), size);
	}
	return n;
}

static void a1_small_blocks_at_large_alignment(struct kunit *test)
{
	u64 at;

	create(test, .size = SZ_4M, .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, take_all(test, SZ_8K, SZ_256K), 16);
	KUNIT_EXPECT_EQ(test, free_everything(test), 16);
	KUNIT_EXPECT_EQ(test, take_all(test, SZ_16K, SZ_256K), 16);
	for (at = 0; at < SZ_4M; at += SZ_512K)
		KUNIT_EXPECT_EQ(test, release(test, at), 0);
	KUNIT_EXPECT_EQ(test, take_all(test, SZ_16K, SZ_256K), 8);
}

static void a2_falling_alignment(struct kunit *test)
{
	u64 align;

	create(test, .size = SZ_2M, .min_block = SZ_4K);
	for (align = SZ_1M; align >= SZ_8K; align /= 2) {
		/* Half of the places were taken at twice the alignment. */
		KUNIT_EXPECT_EQ(test, take_all(test, SZ_4K, align),
				align == SZ_1M ? 2 : SZ_1M / align);
		expect_refusal(test, FRAGMENTED, .size = SZ_4K, .align = align);
		KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K, .align = align / 2), 0);
		KUNIT_EXPECT_EQ(test, release(test, address(test)), 0);
	}
}

static void a2_rising_alignment(struct kunit *test)
{
	u64 align, at, next;

	create(test, .size = SZ_2M, .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, take_all(test, SZ_4K, SZ_8K), 256);
	for (align = SZ_8K; align <= SZ_512K; align *= 2) {
		/* Of the places that are left, free all that are not aligned to twice that. */
		for (at = align; at < SZ_2M; at = next) {
			next = at + 2 * align;
			KUNIT_EXPECT_EQ(test, release(test, at), 0);
		}
		expect_refusal(test, FRAGMENTED, .size = SZ_4K, .align = 2 * align);
		KUNIT_EXPECT_EQ(test, take_all(test, SZ_4K, align), SZ_1M / align);
		for (at = align; at < SZ_2M; at += 2 * align)
			KUNIT_EXPECT_EQ(test, release(test, at), 0);
	}
}

static void a3_fragment_and_recover(struct kunit *test)
{
	u64 at;

	create(test, .size = 4ULL * SZ_1G, .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, take_all(test, SZ_8K, SZ_64K), 65536);
	for (at = 0; at < 65536; at++)
		if (at % 4 == 0 || at % 4 == 3)
			KUNIT_EXPECT_EQ(test, release(test, at * SZ_64K), 0);
	for (at = 0; at < 65536; at++)
		if (at % 4 == 1 || at % 4 == 2)
			KUNIT_EXPECT_EQ(test, release(test, at * SZ_64K), 0);
	KUNIT_EXPECT_EQ(test, take_all(test, SZ_64K, SZ_64K), 65536);
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
}

/* The peer refuses all four; sizes and small alignments are rounded up here. */
static void a4_odd_values(struct kunit *test)
{
	create_pages(test, 16);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K + 1), 0);
	KUNIT_EXPECT_EQ(test, granted(test), SZ_8K);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = 1), 0);
	KUNIT_EXPECT_EQ(test, granted(test), SZ_4K);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K, .align = 16), 0);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = 3 * SZ_4K);
}

/* BARs and carveouts begin anywhere; a device cares for the address, not the offset. */
static void a5_alignment_of_the_address(struct kunit *test)
{
	const u64 base = BIT_ULL(38) + 7 * SZ_4K;
	u64 align;

	create(test, .base = base, .size = SZ_1M, .min_block = SZ_4K);
	for (align = SZ_8K; align <= SZ_512K; align *= 2) {
		KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K, .align = align), 0);
		KUNIT_EXPECT_EQ(test, address(test) & (align - 1), 0);
	}
	free_everything(test);
	/* Of the multiples of 64 KiB, the first is in front of the pool. */
	KUNIT_EXPECT_EQ(test, take_all(test, SZ_4K, SZ_64K), 16);
}

/*
 * Look-up and accounting
 */

static void t1_look_up(struct kunit *test)
{
	struct buddy_pool *pool;
	u64 start, size;

	create(test, .size = 6 * SZ_1M, .min_block = SZ_4K);
	pool = fixture(test)->pool;
	KUNIT_EXPECT_EQ(test, take_pages(test, 1024, 1), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_query(pool, SZ_4M, &start, &size),
			BUDDY_POOL_STATE_USED);
	KUNIT_EXPECT_EQ(test, start, SZ_4M);
	KUNIT_EXPECT_EQ(test, size, SZ_4K);
	KUNIT_EXPECT_EQ(test, buddy_pool_query(pool, SZ_4M + 16, &start, &size),
			BUDDY_POOL_STATE_USED);
	KUNIT_EXPECT_EQ(test, start, SZ_4M);
	KUNIT_EXPECT_EQ(test, buddy_pool_query(pool, SZ_4M - SZ_4K, &start, &size),
			BUDDY_POOL_STATE_FREE);
	KUNIT_EXPECT_EQ(test, buddy_pool_query(pool, 6 * SZ_1M, &start, &size), -ERANGE);
}

static void t3_five_or_eight_pages(struct kunit *test)
{
	create_pages(test, 64);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(5)), 0);
	KUNIT_EXPECT_EQ(test, granted(test), PAGES(5));
	KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(5), .flags = BUDDY_POOL_ALLOC_POW2), 0);
	KUNIT_EXPECT_EQ(test, granted(test), PAGES(8));
}

/* There is no size to get wrong, and blocks have no owner in the kernel. */
static void t5_bad_frees_change_nothing(struct kunit *test)
{
	struct fixture *fx = fixture(test);

	create_pages(test, 64);
	KUNIT_EXPECT_EQ(test, take_pages(test, 8, 5), 0);
	KUNIT_EXPECT_EQ(test, take_pages(test, 13, 3), 0);
	KUNIT_EXPECT_EQ(test, release(test, PAGES(13)), 0);
	fx->fresh = *look(test);
	KUNIT_EXPECT_EQ(test, release(test, PAGES(13)), -ENOENT);
	KUNIT_EXPECT_EQ(test, release(test, PAGES(9)), -EINVAL);
	KUNIT_EXPECT_EQ(test, release(test, PAGES(8) + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, release(test, PAGES(64)), -ERANGE);

	KUNIT_EXPECT_EQ(test, look(test)->bad_frees, 4);
	KUNIT_EXPECT_EQ(test, look(test)->frees, fx->fresh.frees);
	KUNIT_EXPECT_EQ(test, look(test)->free, fx->fresh.free);
	KUNIT_EXPECT_EQ(test, memcmp(look(test)->order, fx->fresh.order,
				     sizeof(fx->fresh.order)), 0);
	KUNIT_EXPECT_EQ(test, release(test, PAGES(8)), 0);
	buddy_pool_usage(fx->pool, &fx->fresh);
}

#define POISON_BYTES	SZ_256K
#define POISON_LIVE	64

struct poisoned {
	u8 *start;
	u64 size;
	u8 poison;
};

static void poison_check_and_free(struct kunit *test, struct poisoned *block)
{
	if (!block->start)
		return;
	KUNIT_EXPECT_NULL(test, memchr_inv(block->start, block->poison, block->size));
	KUNIT_EXPECT_EQ(test, release(test, (unsigned long)block->start), 0);
	block->start = NULL;
}

static void poison_alloc(struct kunit *test, struct poisoned *block, u64 size, u8 poison)
{
	int err = alloc(test, .size = size);

	if (err)
		return;
	block->start = (u8 *)(unsigned long)address(test);
	block->size = granted(test);
	block->poison = poison;
	memset(block->start, poison, block->size);
}

/* A pool over memory, so that two owners of one byte would notice */
static void t6_poison_survives(struct kunit *test)
{
	struct poisoned *blocks = new_array(test, POISON_LIVE, sizeof(*blocks));
	u8 *memory = new_array(test, POISON_BYTES, 1);
	struct rnd_state rnd = random_from(test, seed);
	u32 order[POISON_LIVE];
	unsigned int i;

	create(test, .base = (unsigned long)memory, .size = POISON_BYTES, .min_block = 64);
	for (i = 0; i < 800; i++) {
		struct poisoned *block = &blocks[below(&rnd, POISON_LIVE)];

		poison_check_and_free(test, block);
		poison_alloc(test, block, 1 + 2 * below(&rnd, 4096), i);
	}
	shuffle(&rnd, order, POISON_LIVE);
	for (i = 0; i < POISON_LIVE; i++)
		poison_check_and_free(test, &blocks[order[i]]);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 0);
}

static void t6_teardown_reports_live_blocks(struct kunit *test)
{
	char line[128];

	create(test, .name = "kunit-live", .size = PAGES(16), .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(1)), 0);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(2)), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(fixture(test)->pool, PAGES(8), PAGES(1)), 0);
	buddy_pool_put(fixture(test)->pool);
	fixture(test)->pool = NULL;
	KUNIT_EXPECT_TRUE(test, find_in_log("kunit-live: destroyed with 2 blocks still allocated",
					    line, sizeof(line)));
}

static void t6_teardown_of_empty_pool_is_silent(struct kunit *test)
{
	char line[128];

	create(test, .name = "kunit-empty", .size = PAGES(16), .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = PAGES(1)), 0);
	KUNIT_EXPECT_EQ(test, release(test, address(test)), 0);
	buddy_pool_put(fixture(test)->pool);
	fixture(test)->pool = NULL;
	KUNIT_EXPECT_FALSE(test, find_in_log("kunit-empty: ", line, sizeof(line)));
}

static struct kunit_case scenario_cases[] = {
	KUNIT_CASE(l1_all_addresses),
	KUNIT_CASE(l2_size_below_min_block),
	KUNIT_CASE(l2_any_min_block),
	KUNIT_CASE(l3_tail_is_ignored),
	KUNIT_CASE(l4_2_32_blocks),
	KUNIT_CASE(f1_optimistic_fill),
	KUNIT_CASE(f2_pessimistic_fill),
	KUNIT_CASE(f3_pathological_fill),
	KUNIT_CASE(f4_random_orders),
	KUNIT_CASE(f5_random_sizes),
	KUNIT_CASE(r1_whole_pool),
	KUNIT_CASE(r2_quarters),
	KUNIT_CASE(r3_first_middle_last_page),
	KUNIT_CASE(r4_across_the_largest_blocks),
	KUNIT_CASE(r5_random_slices),
	KUNIT_CASE(r6_refusals_have_no_effect),
	KUNIT_CASE(r7_checkerboard),
	KUNIT_CASE(r8_bad_ranges),
	KUNIT_CASE(r9_same_range_again),
	KUNIT_CASE(r10_sizes_side_by_side),
	KUNIT_CASE(r11_primes),
	KUNIT_CASE(r12_all_but_reserved_ranges),
	KUNIT_CASE(w1_window_limits),
	KUNIT_CASE(w2_rest_of_window),
	KUNIT_CASE(w3_growing_window),
	KUNIT_CASE(w5_fill_window_of_a_bar),
	KUNIT_CASE(w6_mappable_part),
	KUNIT_CASE(c1_every_third_page),
	KUNIT_CASE(c2_9_of_10_gib),
	KUNIT_CASE(c3_9_gib_in_a_range),
	KUNIT_CASE_PARAM(c4_run_that_is_no_block, run_gen_params),
	KUNIT_CASE(c5_size_is_exact),
	KUNIT_CASE(c5_islands),
	KUNIT_CASE(c6_splintered_pool),
	KUNIT_CASE(c7_two_halves),
	KUNIT_CASE(a1_small_blocks_at_large_alignment),
	KUNIT_CASE(a2_falling_alignment),
	KUNIT_CASE(a2_rising_alignment),
	KUNIT_CASE(a3_fragment_and_recover),
	KUNIT_CASE(a4_odd_values),
	KUNIT_CASE(a5_alignment_of_the_address),
	KUNIT_CASE(t1_look_up),
	KUNIT_CASE(t3_five_or_eight_pages),
	KUNIT_CASE(t5_bad_frees_change_nothing),
	KUNIT_CASE(t6_poison_survives),
	KUNIT_CASE(t6_teardown_reports_live_blocks),
	KUNIT_CASE(t6_teardown_of_empty_pool_is_silent),
	{ }
};

static struct kunit_suite scenario_suite = {
	.name = "buddy_pool_scenarios",
	.init = fixture_init,
	.exit = scenario_exit,
	.test_cases = scenario_cases,
};

kunit_test_suite(scenario_suite);

MODULE_DESCRIPTION("KUnit tests of the scenarios that buddy allocators must meet");
MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);

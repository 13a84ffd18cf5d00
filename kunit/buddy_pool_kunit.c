// SPDX-License-Identifier: GPL-2.0
/*
 * The exported API, on pools over bare numbers: what sections 2 to 5 of the
 * reference's description promise, its two worked examples, and what we add.
 */
#include <linux/kstrtox.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/module.h>

#include "buddy_kunit.h"

static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "Seed of the random tests, as they print it; 0 for a new one");

/*
 * Creation
 */

struct creation {
	const char *name;
	struct buddy_pool_config config;
	int err;
	u64 size;	/* managed, if there is no error */
	u64 min_block;	/* likewise */
};

static const struct creation creations[] = {
	{ "plain", { .size = SZ_64K, .min_block = SZ_4K }, 0, SZ_64K, SZ_4K },
	{ "one block", { .size = SZ_4K, .min_block = SZ_4K }, 0, SZ_4K, SZ_4K },
	{ "one byte", { .size = 1, .min_block = 1 }, 0, 1, 1 },
	{ "rest of the size is left out", { .size = SZ_64K + 4095, .min_block = SZ_4K },
	  0, SZ_64K, SZ_4K },
	{ "min_block is rounded down", { .size = SZ_64K, .min_block = 8191 }, 0, SZ_64K, SZ_4K },
	{ "min_block 0 is a page", { .size = SZ_1M }, 0, SZ_1M, PAGE_SIZE },
	{ "unaligned base", { .base = 0x1234567, .size = SZ_64K, .min_block = SZ_4K },
	  0, SZ_64K, SZ_4K },
	/* The reference refuses the upper half of all addresses; devices live there. */
	{ "upper half", { .base = BIT_ULL(63) + 1, .size = SZ_64K, .min_block = SZ_4K },
	  0, SZ_64K, SZ_4K },
	{ "up to the last byte", { .base = -(u64)SZ_64K, .size = SZ_64K, .min_block = SZ_4K },
	  0, SZ_64K, SZ_4K },
	{ "beyond the last byte", { .base = -(u64)SZ_64K + 1, .size = SZ_64K,
	  .min_block = SZ_4K }, -EINVAL },
	{ "almost all addresses", { .size = U64_MAX, .min_block = BIT_ULL(48) },
	  0, U64_MAX << 48, BIT_ULL(48) },
	{ "greatest min_block", { .size = U64_MAX, .min_block = U64_MAX },
	  0, BIT_ULL(63), BIT_ULL(63) },
	{ "no size", { .min_block = SZ_4K }, -EINVAL },
	{ "less than a block", { .size = SZ_4K - 1, .min_block = SZ_4K }, -EINVAL },
	{ "max_alloc of the pool", { .size = SZ_64K, .min_block = SZ_4K, .max_alloc = SZ_64K },
	  0, SZ_64K, SZ_4K },
	{ "max_alloc beyond the pool",
	  { .size = SZ_64K, .min_block = SZ_4K, .max_alloc = SZ_64K + 1 }, -EINVAL },
	{ "max_alloc beyond the managed part",
	  { .size = SZ_64K + 1, .min_block = SZ_4K, .max_alloc = SZ_64K + 1 }, -EINVAL },
	/* The reference needs room for max_alloc rounded up; our blocks are exact. */
	{ "max_alloc, rounded up, beyond the pool",
	  { .size = 40 * SZ_1K, .min_block = SZ_4K, .max_alloc = 33 * SZ_1K },
	  0, 40 * SZ_1K, SZ_4K },
	{ "min_alloc of max_alloc",
	  { .size = SZ_64K, .min_block = SZ_4K, .min_alloc = 5000, .max_alloc = 5000 },
	  0, SZ_64K, SZ_4K },
	{ "min_alloc beyond max_alloc",
	  { .size = SZ_64K, .min_block = SZ_4K, .min_alloc = 5001, .max_alloc = 5000 }, -EINVAL },
	{ "min_alloc beyond the pool",
	  { .size = SZ_64K, .min_block = SZ_4K, .min_alloc = SZ_64K + 1 }, -EINVAL },
	{ "min_block beyond max_alloc",
	  { .size = SZ_64K, .min_block = 2048, .max_alloc = 1000 }, -EINVAL },
	/* The reference compares what it does not use, min_block before rounding. */
	{ "min_block beyond max_alloc until rounded",
	  { .size = SZ_64K, .min_block = 1500, .max_alloc = 1000 }, 0, SZ_64K, SZ_1K },
	/* 2^52 blocks would take 2^50 bytes; the reference has an error of its own. */
	{ "too many blocks", { .size = U64_MAX, .min_block = SZ_4K }, -ENOMEM },
	{ "too many blocks for one allocation", { .size = BIT_ULL(40), .min_block = 1 }, -ENOMEM },
	{ "too many shards", { .size = SZ_1M, .min_block = SZ_4K, .shards = 65 }, -EINVAL },
	{ "more shards than blocks", { .size = SZ_8K, .min_block = SZ_4K, .shards = 3 }, -EINVAL },
	{ "min_alloc beyond a shard",
	  { .size = SZ_64K, .min_block = SZ_4K, .min_alloc = SZ_64K, .shards = 2 },
	  0, SZ_64K, SZ_4K },
};

static void describe_creation(const struct creation *creation, char *text)
{
	strscpy(text, creation->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(creation, creations, describe_creation);

static void M01_create_applies_rules(struct kunit *test)
{
	const struct creation *creation = test->param_value;
	struct buddy_pool *pool = buddy_pool_create(&creation->config);

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(pool), creation->err);
	if (creation->err)
		return;
	fixture(test)->pool = pool;
	KUNIT_EXPECT_EQ(test, look(test)->size, creation->size);
	KUNIT_EXPECT_EQ(test, look(test)->free, creation->size);
	KUNIT_EXPECT_EQ(test, look(test)->largest, creation->size);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = creation->config.min_alloc), 0);
	KUNIT_EXPECT_EQ(test, granted(test),
			roundup(creation->config.min_alloc ?: 1, creation->min_block));
}

struct name {
	const char *name;
	int err;
};

static const struct name names[] = {
	{ "a", 0 }, { "0", 0 }, { "-", 0 }, { "_", 0 }, { "vram.0-A_z", 0 },
	{ "1234567890123456789012345678901", 0 }, { "12345678901234567890123456789012", -EINVAL },
	{ "", -EINVAL }, { ".", -EINVAL }, { "..", -EINVAL }, { ".a", -EINVAL },
	{ "a/b", -EINVAL }, { "a b", -EINVAL }, { "a\n", -EINVAL }, { "\xc3\xa4", -EINVAL },
};

static void create_checks_name(struct kunit *test)
{
	struct buddy_pool_config config = { .size = SZ_4K, .min_block = SZ_4K };
	struct buddy_pool *pool;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		config.name = names[i].name;
		pool = buddy_pool_create(&config);
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(pool), names[i].err, "'%s'",
				    names[i].name);
		if (!IS_ERR(pool))
			buddy_pool_put(pool);
	}
}

static void get_finds_pool_until_last_put(struct kunit *test)
{
	struct buddy_pool *pool = create(test, .name = "kunit-a", .size = SZ_64K,
					 .min_block = SZ_4K);

	KUNIT_EXPECT_PTR_EQ(test, buddy_pool_get("kunit-a"), pool);
	buddy_pool_put(pool);
	/* Our own reference is left. */
	KUNIT_EXPECT_PTR_EQ(test, buddy_pool_get("kunit-a"), pool);
	buddy_pool_put(pool);
	buddy_pool_put(pool);
	fixture(test)->pool = NULL;
	KUNIT_EXPECT_NULL(test, buddy_pool_get("kunit-a"));
}

static void get_does_not_find_others(struct kunit *test)
{
	create(test, .size = SZ_64K, .min_block = SZ_4K);
	KUNIT_EXPECT_NULL(test, buddy_pool_get(""));
	KUNIT_EXPECT_NULL(test, buddy_pool_get("kunit-none"));
}

static void create_refuses_taken_name(struct kunit *test)
{
	struct buddy_pool_config config = { .name = "kunit-a", .size = SZ_4K };
	struct buddy_pool *other;

	create_config(test, &config);
	KUNIT_EXPECT_EQ(test, PTR_ERR(buddy_pool_create(&config)), -EEXIST);
	config.name = "kunit-b";
	other = buddy_pool_create(&config);
	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	buddy_pool_put(other);
}

/* The log names a min_block with which the metadata fits; take it at its word. */
static void create_tells_min_block_that_would_do(struct kunit *test)
{
	struct buddy_pool_config config = { .name = "kunit-many", .size = U64_MAX, .min_block = 1 };
	char line[256];
	char *number;

	KUNIT_EXPECT_EQ(test, PTR_ERR(buddy_pool_create(&config)), -ENOMEM);
	KUNIT_ASSERT_TRUE(test, find_in_log("kunit-many: ", line, sizeof(line)));
	number = strstr(line, "min_block=");
	KUNIT_ASSERT_NOT_NULL(test, number);
	number += strlen("min_block=");
	*strchrnul(number, ' ') = '\0';
	KUNIT_ASSERT_EQ(test, kstrtou64(number, 10, &config.min_block), 0);
	create_config(test, &config);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = 1), 0);
}

static void M01_log_calls_pool_without_a_name_so(struct kunit *test)
{
	struct buddy_pool_config config = { .size = U64_MAX, .min_block = 1 };
	char line[256];

	KUNIT_EXPECT_EQ(test, PTR_ERR(buddy_pool_create(&config)), -ENOMEM);
	KUNIT_ASSERT_TRUE(test, find_in_log("bytes of metadata are too many", line, sizeof(line)));
	KUNIT_EXPECT_NOT_NULL(test, strstr(line, "(unnamed): "));
}

/*
 * Requests: size
 */

static void alloc_grants_whole_min_blocks(struct kunit *test)
{
	u64 size;

	create(test, .size = SZ_16K, .min_block = 64);
	for (size = 0; size <= SZ_16K; size++) {
		KUNIT_ASSERT_EQ(test, alloc(test, .size = size), 0);
		KUNIT_ASSERT_EQ(test, granted(test), roundup(size ?: 1, 64));
		KUNIT_ASSERT_EQ(test, release(test, address(test)), 0);
	}
	expect_refusal(test, OVERSIZE, .size = SZ_16K + 1);
	expect_whole(test);
}

/* What the reference grants */
static void alloc_grants_power_of_two_if_asked(struct kunit *test)
{
	u64 size;

	create(test, .size = SZ_16K, .min_block = 64);
	for (size = 0; size <= SZ_16K; size++) {
		KUNIT_ASSERT_EQ(test, alloc(test, .size = size, .flags = BUDDY_POOL_ALLOC_POW2), 0);
		KUNIT_ASSERT_EQ(test, granted(test), buddy_pool_block_size(size, 64, SZ_16K));
		KUNIT_ASSERT_EQ(test, release(test, address(test)), 0);
	}
	expect_whole(test);
}

static void M19_alloc_refuses_sizes_outside_limits(struct kunit *test)
{
	create(test, .size = SZ_64K, .min_block = SZ_4K, .min_alloc = 100, .max_alloc = 20000);
	expect_refusal(test, UNDERSIZE, .size = 0);
	expect_refusal(test, UNDERSIZE, .size = 99);
	/* The block would have room for it. */
	expect_refusal(test, OVERSIZE, .size = 20001);
	expect_refusal(test, OVERSIZE, .size = BIT_ULL(63));
	expect_refusal(test, OVERSIZE, .size = U64_MAX);
	expect_refusal(test, OVERSIZE, .size = U64_MAX, .flags = BUDDY_POOL_ALLOC_POW2);
	KUNIT_EXPECT_EQ(test, look(test)->undersize, 2);
	KUNIT_EXPECT_EQ(test, look(test)->oversize, 4);
	KUNIT_EXPECT_EQ(test, look(test)->allocs, 0);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = 100), 0);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = 20000), 0);
}

static void alloc_refuses_power_of_two_beyond_the_pool(struct kunit *test)
{
	create(test, .size = 40 * SZ_1K, .min_block = SZ_4K);
	expect_refusal(test, OVERSIZE, .size = 33 * SZ_1K, .flags = BUDDY_POOL_ALLOC_POW2);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = 33 * SZ_1K), 0);
}

struct block_size {
	u64 size;
	u64 min_block;
	u64 max_block;
	u64 expected;
};

static const struct block_size block_sizes[] = {
	{ 0, 1, 1, 1 }, { 1, 1, 1, 1 }, { 2, 1, 1, 0 }, { 0, 64, SZ_1M, 64 },
	{ 64, 64, SZ_1M, 64 }, { 65, 64, SZ_1M, 128 }, { SZ_1M, 64, SZ_1M, SZ_1M },
	{ SZ_1M - 1, 64, SZ_1M, SZ_1M }, { SZ_1M + 1, 64, SZ_1M, 0 },
	{ BIT_ULL(63), 1, BIT_ULL(63), BIT_ULL(63) },
	{ BIT_ULL(62) + 1, 1, BIT_ULL(63), BIT_ULL(63) }, { U64_MAX, 1, BIT_ULL(63), 0 },
	{ 1, 0, 64, 0 }, { 1, 3, 64, 0 }, { 1, 64, 0, 0 }, { 1, 64, 65, 0 }, { 1, 128, 64, 0 },
};

static void block_size_is_power_of_two_or_nothing(struct kunit *test)
{
	unsigned int i;
	u64 size;

	for (i = 0; i < ARRAY_SIZE(block_sizes); i++)
		KUNIT_EXPECT_EQ_MSG(test, buddy_pool_block_size(block_sizes[i].size,
								block_sizes[i].min_block,
								block_sizes[i].max_block),
				    block_sizes[i].expected, "row %u", i);
	/* As the reference's own test does */
	for (size = 1; size <= SZ_1M; size += 3)
		KUNIT_ASSERT_EQ(test, buddy_pool_block_size(size, 1, SZ_1M),
				roundup_pow_of_two(size));
}

/*
 * Requests: alignment, window, place
 */

static void alloc_aligns_naturally_by_default(struct kunit *test)
{
	u64 size;

	/* The base is a multiple of 64 KiB, and of no more. */
	create(test, .base = 0x30000, .size = SZ_1M, .min_block = SZ_1K);
	for (size = 1; size <= SZ_64K; size += 997) {
		KUNIT_ASSERT_EQ(test, alloc(test, .size = 1), 0);
		KUNIT_ASSERT_EQ(test, alloc(test, .size = size), 0);
		KUNIT_EXPECT_EQ(test, address(test) %
				buddy_pool_block_size(size, SZ_1K, SZ_64K), 0);
		free_everything(test);
	}
}

/* Natural alignment ends at the largest block that the pool has. */
static void alloc_aligns_as_far_as_the_pool_has_blocks(struct kunit *test)
{
	/* Blocks: 4 KiB at 4 KiB, 8 KiB at 8 KiB, 4 KiB at 16 KiB */
	create(test, .base = SZ_4K, .size = SZ_16K, .min_block = SZ_4K);
	expect_at(test, SZ_8K, .size = 3 * SZ_4K);
	KUNIT_EXPECT_EQ(test, release(test, SZ_8K), 0);
	expect_at(test, SZ_4K, .size = SZ_16K, .align = SZ_4K);
}

static void alloc_refuses_alignment_that_cannot_be_met(struct kunit *test)
{
	create(test, .base = SZ_4K, .size = SZ_16K, .min_block = SZ_4K);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = 3);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = SZ_4K + 1);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = U64_MAX);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = BIT_ULL(63));
	/* 8 KiB is the one such place, and 12 KiB are left behind it. */
	expect_refusal(test, ALIGN, .size = SZ_16K, .align = SZ_8K);
	expect_refusal(test, ALIGN, .size = SZ_16K);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = SZ_8K, .start = 3 * SZ_4K,
		       .end = 4 * SZ_4K);
}

/* The address decides, not how long the pool is, or how far from its base. */
static void alloc_grants_alignment_beyond_the_pool_where_the_address_has_it(struct kunit *test)
{
	create(test, .base = SZ_1M - SZ_8K, .size = SZ_16K, .min_block = SZ_4K);
	expect_at(test, SZ_1M, .size = SZ_4K, .align = SZ_64K);
	/* What is left over counts, though it is not aligned so. */
	expect_refusal(test, FRAGMENTED, .size = SZ_4K, .align = SZ_1M,
		       .flags = BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, SZ_8K);
	KUNIT_EXPECT_EQ(test, release(test, SZ_1M), 0);
	expect_at(test, SZ_1M, .size = SZ_8K, .align = SZ_1M,
		  .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
	KUNIT_EXPECT_EQ(test, release(test, SZ_1M), 0);
	expect_at(test, SZ_1M, .size = SZ_4K, .align = SZ_1M, .start = SZ_1M,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
}

static void alloc_refuses_alignment_that_no_address_has(struct kunit *test)
{
	create(test, .base = SZ_1M - SZ_8K, .size = SZ_16K, .min_block = SZ_4K);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = SZ_2M);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = SZ_1M, .end = SZ_1M);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = SZ_1M, .start = SZ_1M + 1);
	/* It has 8 KiB from there on. */
	expect_refusal(test, ALIGN, .size = 3 * SZ_4K, .align = SZ_1M);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = SZ_2M, .start = SZ_1M,
		       .flags = BUDDY_POOL_ALLOC_FIXED);
}

/* N12: 2^63 is in a pool of single bytes, and nothing is rounded up to beyond 2^64. */
static void alloc_aligns_on_both_sides_of_2_63(struct kunit *test)
{
	const u64 half = BIT_ULL(63);

	create(test, .base = half - 8, .size = 16, .min_block = 1);
	expect_at(test, half, .size = 2, .align = half);
	expect_refusal(test, FRAGMENTED, .size = 1, .align = BIT_ULL(62));
	expect_refusal(test, ALIGN, .size = 1, .align = half, .start = half + 1);
	expect_refusal(test, ALIGN, .size = 9, .align = BIT_ULL(4));
	expect_at(test, half + 4, .size = 4, .align = 4);
	expect_at(test, half - 8, .size = 7, .align = 8);
	expect_at(test, half + 2, .size = 2, .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
	KUNIT_EXPECT_EQ(test, free_everything(test), 4);
	expect_whole(test);
}

static void alloc_aligns_single_bytes_up_to_2_64(struct kunit *test)
{
	create(test, .base = -16ULL, .size = 16, .min_block = 1);
	expect_at(test, -16ULL, .size = 4, .align = 16);
	expect_refusal(test, ALIGN, .size = 1, .align = 32);
	expect_refusal(test, ALIGN, .size = 1, .align = BIT_ULL(63));
	expect_at(test, -12ULL, .size = 4, .align = 4, .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
	expect_at(test, -8ULL, .size = 3, .start = -11ULL, .align = 8);
}

static void alloc_takes_alignment_below_min_block_as_that(struct kunit *test)
{
	create(test, .size = SZ_16K, .min_block = SZ_4K);
	expect_at(test, 0, .size = 1, .align = 1);
	expect_at(test, SZ_8K, .size = SZ_8K, .align = 16);
	expect_at(test, SZ_4K, .size = 1, .align = SZ_4K);
}

/* If the base has a remainder, so has every address. */
static void alloc_knows_what_an_odd_base_permits(struct kunit *test)
{
	const u64 base = SZ_1M + 0x30;

	create(test, .base = base, .size = SZ_64K, .min_block = SZ_4K);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = SZ_4K);
	expect_refusal(test, ALIGN, .size = SZ_4K, .align = 0x20);
	expect_at(test, base, .size = SZ_4K, .align = 0x10);
	expect_at(test, base + SZ_8K, .size = SZ_8K);
	expect_at(test, base + SZ_4K, .size = SZ_4K);
}

static void alloc_refuses_bad_windows(struct kunit *test)
{
	create(test, .base = SZ_1M, .size = SZ_64K, .min_block = SZ_4K);
	expect_refusal(test, WINDOW, .size = 1, .start = SZ_1M + SZ_8K, .end = SZ_1M + SZ_8K);
	expect_refusal(test, WINDOW, .size = 1, .start = SZ_1M + SZ_8K, .end = SZ_1M + SZ_4K);
	expect_refusal(test, WINDOW, .size = 1, .start = SZ_1M - 1);
	expect_refusal(test, WINDOW, .size = 1, .start = SZ_1M + SZ_64K);
	expect_refusal(test, WINDOW, .size = 1, .end = SZ_1M);
	expect_refusal(test, WINDOW, .size = 1, .end = SZ_1M + SZ_64K + 1);
	expect_refusal(test, WINDOW, .size = 1, .end = U64_MAX);
	/* It overlaps two blocks and holds none. */
	expect_refusal(test, WINDOW, .size = 1, .start = SZ_1M + 1, .end = SZ_1M + SZ_8K - 1);
	expect_refusal(test, OVERSIZE, .size = SZ_4K + 1, .end = SZ_1M + SZ_4K);
	KUNIT_EXPECT_EQ(test, look(test)->oversize, 1);
}

static void alloc_uses_whole_blocks_of_window_only(struct kunit *test)
{
	create(test, .base = SZ_1M, .size = SZ_64K, .min_block = SZ_4K);
	expect_at(test, SZ_1M + SZ_4K, .size = 1, .start = SZ_1M + 1,
		  .end = SZ_1M + 3 * SZ_4K - 1);
	expect_refusal(test, EXHAUSTED, .size = 1, .start = SZ_1M + 1,
		       .end = SZ_1M + 3 * SZ_4K - 1);
}

static void alloc_up_to_the_last_byte_of_all(struct kunit *test)
{
	const u64 base = -(u64)SZ_64K;
	enum buddy_pool_reason why;

	create(test, .base = base, .size = SZ_64K, .min_block = SZ_4K);
	expect_at(test, -(u64)SZ_4K, .size = SZ_4K, .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
	expect_at(test, -(u64)SZ_8K, .size = SZ_4K, .start = -(u64)SZ_8K);
	expect_at(test, -(u64)SZ_16K, .size = SZ_8K, .start = -(u64)SZ_16K,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, base, .size = SZ_32K);
	KUNIT_EXPECT_EQ(test, buddy_pool_free(fixture(test)->pool, U64_MAX, &why), -EINVAL);
	KUNIT_EXPECT_EQ(test, buddy_pool_free(fixture(test)->pool, 0, &why), -ERANGE);
	KUNIT_EXPECT_EQ(test, free_everything(test), 4);
	expect_whole(test);
}

static void alloc_fixed_refuses_bad_places(struct kunit *test)
{
	const u32 fixed = BUDDY_POOL_ALLOC_FIXED;

	create(test, .base = SZ_1M, .size = SZ_64K, .min_block = SZ_4K);
	expect_refusal(test, WINDOW, .size = 1, .start = SZ_1M - SZ_4K, .flags = fixed);
	expect_refusal(test, WINDOW, .size = 1, .start = 0, .flags = fixed);
	expect_refusal(test, WINDOW, .size = 1, .start = SZ_1M + SZ_64K, .flags = fixed);
	expect_refusal(test, MISALIGNED, .size = 1, .start = SZ_1M + 1, .flags = fixed);
	expect_refusal(test, ALIGN, .size = 1, .start = SZ_1M + SZ_4K, .align = SZ_8K,
		       .flags = fixed);
	expect_refusal(test, OVERSIZE, .size = SZ_8K, .start = SZ_1M + SZ_64K - SZ_4K,
		       .flags = fixed);
	expect_refusal(test, FLAGS, .size = 1, .start = SZ_1M, .end = SZ_1M + SZ_4K,
		       .flags = fixed);
	expect_refusal(test, FLAGS, .size = 1, .start = SZ_1M,
		       .flags = fixed | BUDDY_POOL_ALLOC_TOP_DOWN);
	expect_at(test, SZ_1M + SZ_4K, .size = SZ_8K, .start = SZ_1M + SZ_4K, .flags = fixed);
}

static void M18_alloc_refuses_unknown_flags(struct kunit *test)
{
	const u32 known = BUDDY_POOL_ALLOC_TOP_DOWN | BUDDY_POOL_ALLOC_FIXED |
			  BUDDY_POOL_ALLOC_POW2 | BUDDY_POOL_MAY_SLEEP |
			  BUDDY_POOL_WANT_LARGEST;
	unsigned int bit;

	create(test, .size = SZ_64K, .min_block = SZ_4K);
	for (bit = 0; bit < 32; bit++)
		if (!(known & BIT(bit)))
			expect_refusal(test, FLAGS, .size = 1, .flags = BIT(bit));
}

/*
 * Requests: want of space
 */

static void no_space_is_explained(struct kunit *test)
{
	create(test, .size = SZ_32K, .min_block = SZ_4K);
	expect_at(test, SZ_4K, .size = SZ_4K, .start = SZ_4K, .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, SZ_16K, .size = SZ_4K, .start = SZ_16K, .flags = BUDDY_POOL_ALLOC_FIXED);

	/* 4 KiB, 8 KiB and 12 KiB are free. */
	expect_refusal(test, FRAGMENTED, .size = SZ_16K, .flags = BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, 3 * SZ_4K);
	expect_refusal(test, EXHAUSTED, .size = 7 * SZ_4K, .align = 1,
		       .flags = BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, 3 * SZ_4K);
	expect_refusal(test, IN_USE, .size = SZ_16K,
		       .flags = BUDDY_POOL_ALLOC_FIXED | BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, SZ_8K);
	expect_refusal(test, EXHAUSTED, .size = SZ_8K, .end = SZ_8K,
		       .flags = BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, SZ_4K);
	expect_refusal(test, EXHAUSTED, .size = SZ_4K, .start = SZ_4K, .end = SZ_8K,
		       .flags = BUDDY_POOL_WANT_LARGEST);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, 0);
	expect_refusal(test, FRAGMENTED, .size = SZ_8K, .align = SZ_4K, .end = 3 * SZ_4K);
	expect_refusal(test, FRAGMENTED, .size = SZ_16K);
	KUNIT_EXPECT_EQ(test, fixture(test)->result.largest, 0);
	KUNIT_EXPECT_EQ(test, look(test)->out_of_space, 7);
}

/* Without leave to sleep, a search ends after so many runs. */
static void may_sleep_searches_to_the_end(struct kunit *test)
{
	const u64 nr = 8 * 100;
	u64 at;

	create(test, .size = (nr + 8) * SZ_4K, .min_block = SZ_4K);
	/* Runs of four from 5 on, in which no three are aligned to four; then they are. */
	for (at = 0; at < nr; at += 8)
		KUNIT_ASSERT_EQ(test, alloc(test, .size = SZ_16K, .start = (at + 1) * SZ_4K,
					    .flags = BUDDY_POOL_ALLOC_FIXED), 0);
	expect_at(test, nr * SZ_4K, .size = SZ_16K, .start = nr * SZ_4K,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, (nr + 7) * SZ_4K, .size = SZ_4K, .start = (nr + 7) * SZ_4K,
		  .flags = BUDDY_POOL_ALLOC_FIXED);

	expect_refusal(test, FRAGMENTED, .size = 3 * SZ_4K, .align = SZ_16K);
	expect_at(test, (nr + 4) * SZ_4K, .size = 3 * SZ_4K, .align = SZ_16K,
		  .flags = BUDDY_POOL_MAY_SLEEP);
	expect_refusal(test, FRAGMENTED, .size = 3 * SZ_4K, .align = SZ_16K,
		       .flags = BUDDY_POOL_MAY_SLEEP);
	/* One request each, however often the lock was taken */
	KUNIT_EXPECT_EQ(test, look(test)->allocs, 100 + 2 + 3);
	KUNIT_EXPECT_EQ(test, look(test)->out_of_space, 2);
}

/*
 * Frees
 */

struct bad_free {
	u64 offset;
	int err;
	enum buddy_pool_reason why;
};

static const struct bad_free bad_frees[] = {
	{ -1ULL, -ERANGE, BUDDY_POOL_REASON_OUT_OF_RANGE },
	{ SZ_64K, -ERANGE, BUDDY_POOL_REASON_OUT_OF_RANGE },
	{ SZ_64K + 100, -ERANGE, BUDDY_POOL_REASON_OUT_OF_RANGE },
	{ 1, -EINVAL, BUDDY_POOL_REASON_MISALIGNED },
	{ SZ_4K - 1, -EINVAL, BUDDY_POOL_REASON_MISALIGNED },
	{ SZ_4K, -EINVAL, BUDDY_POOL_REASON_INTERIOR },
	{ SZ_8K, -EINVAL, BUDDY_POOL_REASON_INTERIOR },
	{ 3 * SZ_4K, -ENOENT, BUDDY_POOL_REASON_NOT_ALLOCATED },
	{ SZ_32K, -ENOENT, BUDDY_POOL_REASON_NOT_ALLOCATED },
};

/* The pool has 100 bytes more than whole blocks, and 12 KiB taken at its base. */
static void M08_free_refuses_with_reason(struct kunit *test)
{
	const u64 base = 0x123000030;
	enum buddy_pool_reason why;
	unsigned int i;

	create(test, .base = base, .size = SZ_64K + 100, .min_block = SZ_4K);
	expect_at(test, base, .size = 3 * SZ_4K, .start = base, .flags = BUDDY_POOL_ALLOC_FIXED);
	for (i = 0; i < ARRAY_SIZE(bad_frees); i++) {
		KUNIT_EXPECT_EQ_MSG(test, buddy_pool_free(fixture(test)->pool,
							  base + bad_frees[i].offset, &why),
				    bad_frees[i].err, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, (int)why, (int)bad_frees[i].why, "row %u", i);
		KUNIT_EXPECT_EQ(test, look(test)->bad_frees, i + 1);
	}
	KUNIT_EXPECT_EQ(test, look(test)->bad_free[BUDDY_POOL_REASON_OUT_OF_RANGE], 3);
	KUNIT_EXPECT_EQ(test, look(test)->bad_free[BUDDY_POOL_REASON_MISALIGNED], 2);
	KUNIT_EXPECT_EQ(test, look(test)->bad_free[BUDDY_POOL_REASON_INTERIOR], 2);
	KUNIT_EXPECT_EQ(test, look(test)->bad_free[BUDDY_POOL_REASON_NOT_ALLOCATED], 2);
	KUNIT_EXPECT_EQ(test, look(test)->used, 3 * SZ_4K);
	KUNIT_EXPECT_EQ(test, look(test)->frees, 0);
}

static void M09_free_refuses_second_time(struct kunit *test)
{
	enum buddy_pool_reason why = BUDDY_POOL_REASON_FLAGS;

	create(test, .size = SZ_64K, .min_block = SZ_4K);
	expect_at(test, 0, .size = SZ_8K);
	KUNIT_EXPECT_EQ(test, buddy_pool_free(fixture(test)->pool, 0, &why), 0);
	KUNIT_EXPECT_EQ(test, (int)why, (int)BUDDY_POOL_REASON_NONE);
	KUNIT_EXPECT_EQ(test, buddy_pool_free(fixture(test)->pool, 0, &why), -ENOENT);
	KUNIT_EXPECT_EQ(test, (int)why, (int)BUDDY_POOL_REASON_NOT_ALLOCATED);
	KUNIT_EXPECT_EQ(test, look(test)->frees, 1);
	expect_whole(test);
}

/*
 * Queries and statistics
 */

static void expect_extent(struct kunit *test, u64 where, int state, u64 start, u64 size)
{
	u64 found_start = 0, found_size = 0;

	KUNIT_EXPECT_EQ_MSG(test, buddy_pool_query(fixture(test)->pool, where, &found_start,
						   &found_size), state, "at %#llx", where);
	KUNIT_EXPECT_EQ_MSG(test, found_start, start, "at %#llx", where);
	KUNIT_EXPECT_EQ_MSG(test, found_size, size, "at %#llx", where);
}

static void query_tells_extent_around_any_address(struct kunit *test)
{
	const u64 base = SZ_1M + 1;

	create(test, .base = base, .size = SZ_64K, .min_block = SZ_4K);
	expect_at(test, base + SZ_16K, .size = 3 * SZ_4K, .start = base + SZ_16K,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_extent(test, base, BUDDY_POOL_STATE_FREE, base, SZ_16K);
	expect_extent(test, base + SZ_16K - 1, BUDDY_POOL_STATE_FREE, base, SZ_16K);
	expect_extent(test, base + SZ_16K, BUDDY_POOL_STATE_USED, base + SZ_16K, 3 * SZ_4K);
	expect_extent(test, base + 7 * SZ_4K - 1, BUDDY_POOL_STATE_USED, base + SZ_16K, 3 * SZ_4K);
	expect_extent(test, base + 7 * SZ_4K, BUDDY_POOL_STATE_FREE, base + 7 * SZ_4K, SZ_4K);
	expect_extent(test, base + SZ_64K - 1, BUDDY_POOL_STATE_FREE, base + SZ_32K, SZ_32K);
	expect_extent(test, base - 1, -ERANGE, 0, 0);
	expect_extent(test, base + SZ_64K, -ERANGE, 0, 0);
}

static void usage_counts_bytes(struct kunit *test)
{
	create(test, .size = SZ_64K, .min_block = SZ_4K);
	expect_at(test, 0, .size = 5000);
	expect_at(test, SZ_16K, .size = SZ_16K);
	KUNIT_EXPECT_EQ(test, look(test)->used, SZ_8K + SZ_16K);
	KUNIT_EXPECT_EQ(test, look(test)->free, SZ_64K - SZ_8K - SZ_16K);
	KUNIT_EXPECT_EQ(test, look(test)->largest, SZ_32K);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 2);
	KUNIT_EXPECT_EQ(test, look(test)->peak, SZ_8K + SZ_16K);

	KUNIT_EXPECT_EQ(test, release(test, SZ_16K), 0);
	expect_at(test, SZ_8K, .size = 1);
	KUNIT_EXPECT_EQ(test, look(test)->used, SZ_8K + SZ_4K);
	/* They do not fall. */
	KUNIT_EXPECT_EQ(test, look(test)->peak, SZ_8K + SZ_16K);
	KUNIT_EXPECT_EQ(test, look(test)->requested, 5000 + SZ_16K + 1);
	KUNIT_EXPECT_EQ(test, look(test)->granted, SZ_8K + SZ_16K + SZ_4K);
	KUNIT_EXPECT_EQ(test, look(test)->allocs, 3);
	KUNIT_EXPECT_EQ(test, look(test)->frees, 1);
}

/* Identities of the reference's section 5 */
static void expect_counters_agree(struct kunit *test)
{
	const struct buddy_pool_usage *usage = look(test);
	u64 free = 0, removes = 0;
	unsigned int o;

	for (o = 0; o < usage->nr_orders; o++) {
		KUNIT_EXPECT_EQ(test, usage->order[o].size, usage->order[o].enqueues -
				usage->order[o].dequeues - usage->order[o].removes);
		free += usage->order[o].size << o;
		removes += usage->order[o].removes;
	}
	KUNIT_EXPECT_EQ(test, free * fixture(test)->config.min_block, usage->free);
	KUNIT_EXPECT_EQ(test, usage->nr_blocks, usage->allocs - usage->out_of_space - usage->frees);
	KUNIT_EXPECT_EQ(test, usage->size,
			usage->free + usage->used + usage->held + usage->reserved);
	/* We count the two that are joined, and each of many that a free joins. */
	KUNIT_EXPECT_GE(test, usage->merges, removes);
}

/*
 * The reference's worked examples (its section 10). Addresses may differ, and
 * so may what depends on our blocks being exact and as large as the pool.
 */

#define VECTOR_A \
	.base = SZ_2M, .size = SZ_2M, .min_block = SZ_8K, .min_alloc = 1, \
	.max_alloc = 17 * SZ_1K

static void vector_a_answers(struct kunit *test)
{
	unsigned int n;
	u64 first;

	create(test, VECTOR_A);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = 17 * SZ_1K), 0);
	/* The reference grants 32 KiB. */
	KUNIT_EXPECT_EQ(test, granted(test), 24 * SZ_1K);
	first = address(test);
	KUNIT_EXPECT_EQ(test, release(test, first), 0);
	KUNIT_EXPECT_EQ(test, release(test, first), -ENOENT);
	expect_refusal(test, UNDERSIZE, .size = 0);
	expect_refusal(test, OVERSIZE, .size = 17 * SZ_1K + 1);
	for (n = 0; !alloc(test, .size = 1); n++)
		;
	KUNIT_EXPECT_EQ(test, n, 256);
	KUNIT_EXPECT_EQ(test, (int)reason(test), BUDDY_POOL_REASON_EXHAUSTED);
	KUNIT_EXPECT_EQ(test, free_everything(test), 256);
	expect_whole(test);
}

static void vector_a_counts(struct kunit *test)
{
	unsigned int o;

	create(test, VECTOR_A);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = 17 * SZ_1K), 0);
	KUNIT_EXPECT_EQ(test, release(test, address(test)), 0);
	KUNIT_EXPECT_EQ(test, release(test, address(test)), -ENOENT);
	alloc(test, .size = 0);
	alloc(test, .size = 17 * SZ_1K + 1);
	while (!alloc(test, .size = 1))
		;
	KUNIT_EXPECT_EQ(test, look(test)->allocs, 258);
	KUNIT_EXPECT_EQ(test, look(test)->frees, 1);
	KUNIT_EXPECT_EQ(test, look(test)->out_of_space, 1);
	KUNIT_EXPECT_EQ(test, look(test)->bad_frees, 1);
	KUNIT_EXPECT_EQ(test, look(test)->undersize, 1);
	KUNIT_EXPECT_EQ(test, look(test)->oversize, 1);
	/*
	 * 3 of 256 blocks leave 7 pieces and are 2 themselves; then all are cut
	 * to single ones. The reference begins with 64 pieces.
	 */
	KUNIT_EXPECT_EQ(test, look(test)->splits, 8 + 255);
	KUNIT_EXPECT_EQ(test, look(test)->merges, 8);
	for (o = 0; o < look(test)->nr_orders; o++)
		KUNIT_EXPECT_EQ(test, look(test)->order[o].size, 0);
	expect_counters_agree(test);
}

#define VECTOR_B \
	.base = 0x7001, .size = 70 * SZ_1K + 1023, .min_block = SZ_1K, .max_alloc = SZ_8K

static const struct step {
	u64 size;
	u64 exact;
	u64 pow2;	/* what the reference grants */
} vector_b[] = {
	{ 0, 1024, 1024 }, { 1, 1024, 1024 }, { 1024, 1024, 1024 }, { 1025, 2048, 2048 },
	{ 2048, 2048, 2048 }, { 4096, 4096, 4096 }, { 4097, 5120, 8192 }, { 8192, 8192, 8192 },
	{ 3000, 3072, 4096 },
};

static void follow_vector_b(struct kunit *test, u32 flags)
{
	u64 addresses[ARRAY_SIZE(vector_b)];
	unsigned int i;

	create(test, VECTOR_B);
	KUNIT_EXPECT_EQ(test, look(test)->size, 0x11800);
	for (i = 0; i < ARRAY_SIZE(vector_b); i++) {
		KUNIT_EXPECT_EQ(test, alloc(test, .size = vector_b[i].size, .flags = flags), 0);
		KUNIT_EXPECT_EQ(test, granted(test), flags ? vector_b[i].pow2 : vector_b[i].exact);
		addresses[i] = address(test);
	}
	for (i = 0; i < ARRAY_SIZE(vector_b); i++)
		KUNIT_EXPECT_EQ(test, release(test, addresses[i]), 0);
	expect_whole(test);
	KUNIT_EXPECT_EQ(test, look(test)->allocs, 9);
	KUNIT_EXPECT_EQ(test, look(test)->frees, 9);
	KUNIT_EXPECT_EQ(test, look(test)->splits, look(test)->merges);
	expect_counters_agree(test);
}

static void vector_b_with_exact_blocks(struct kunit *test)
{
	follow_vector_b(test, 0);
}

static void vector_b_with_whole_blocks(struct kunit *test)
{
	follow_vector_b(test, BUDDY_POOL_ALLOC_POW2);
}

static void vector_b_refuses_frees(struct kunit *test)
{
	create(test, VECTOR_B);
	KUNIT_EXPECT_EQ(test, release(test, 0x7001 - 1), -ERANGE);
	KUNIT_EXPECT_EQ(test, release(test, 0x7001 + 0x11800), -ERANGE);
	KUNIT_EXPECT_EQ(test, release(test, 0x7001 + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, release(test, 0x7001 + 1024), -ENOENT);
	KUNIT_EXPECT_EQ(test, release(test, 0x7001), -ENOENT);
	KUNIT_EXPECT_EQ(test, look(test)->bad_frees, 5);
	expect_whole(test);
}

/*
 * Reserved ranges, of a pool of 16 blocks at 1 MiB
 */

static struct buddy_pool *create_for_reserve(struct kunit *test)
{
	return create(test, .base = SZ_1M, .size = SZ_64K, .min_block = SZ_4K);
}

static void reserve_withdraws_range(struct kunit *test)
{
	struct buddy_pool *pool = create_for_reserve(test);
	u64 n;

	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M + SZ_4K, 3 * SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, 3 * SZ_4K);
	KUNIT_EXPECT_EQ(test, look(test)->free, 13 * SZ_4K);
	KUNIT_EXPECT_EQ(test, look(test)->used, 0);
	KUNIT_EXPECT_EQ(test, look(test)->peak, 0);
	expect_extent(test, SZ_1M + SZ_8K, BUDDY_POOL_STATE_RESERVED, SZ_1M + SZ_4K, 3 * SZ_4K);
	expect_refusal(test, IN_USE, .size = SZ_4K, .start = SZ_1M + SZ_8K,
		       .flags = BUDDY_POOL_ALLOC_FIXED);
	for (n = 0; !alloc(test, .size = SZ_4K); n++)
		KUNIT_EXPECT_TRUE(test, address(test) < SZ_1M + SZ_4K ||
				  address(test) >= SZ_1M + SZ_16K);
	KUNIT_EXPECT_EQ(test, n, 13);
	expect_counters_agree(test);
}

static void unreserve_gives_range_back(struct kunit *test)
{
	struct buddy_pool *pool = create_for_reserve(test);

	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M + SZ_4K, 3 * SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, SZ_1M + SZ_4K, SZ_4K), -ENOENT);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, SZ_1M + SZ_8K, SZ_8K), -ENOENT);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, SZ_1M, SZ_16K), -ENOENT);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, SZ_1M - SZ_4K, SZ_4K), -ENOENT);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, 3 * SZ_4K);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, SZ_1M + SZ_4K, 3 * SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, SZ_1M + SZ_4K, 3 * SZ_4K), -ENOENT);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, 0);
	KUNIT_EXPECT_EQ(test, look(test)->frees, 0);
	expect_whole(test);
}

static void unreserve_refuses_allocated_block(struct kunit *test)
{
	struct buddy_pool *pool = create_for_reserve(test);

	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M, SZ_4K), 0);
	expect_at(test, SZ_1M + SZ_4K, .size = SZ_4K);
	KUNIT_EXPECT_EQ(test, buddy_pool_unreserve(pool, SZ_1M + SZ_4K, SZ_4K), -ENOENT);
	KUNIT_EXPECT_EQ(test, release(test, SZ_1M + SZ_4K), 0);
}

static void reserve_refuses_bad_ranges(struct kunit *test)
{
	struct buddy_pool *pool = create_for_reserve(test);

	expect_at(test, SZ_1M + SZ_16K, .size = SZ_4K, .start = SZ_1M + SZ_16K,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M + 1, SZ_4K), -EINVAL);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M, SZ_4K + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M - SZ_4K, SZ_8K), -ERANGE);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M + SZ_64K, SZ_4K), -ERANGE);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M, SZ_64K + SZ_4K), -ERANGE);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M, -(u64)SZ_4K), -ERANGE);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M + SZ_8K, SZ_16K), -EBUSY);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M, SZ_4K), -EBUSY);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, SZ_4K);
}

static void free_refuses_reserved_range(struct kunit *test)
{
	struct buddy_pool *pool = create_for_reserve(test);
	enum buddy_pool_reason why;
	u64 at;

	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, SZ_1M, SZ_16K), 0);
	for (at = SZ_1M; at < SZ_1M + SZ_16K; at += SZ_4K) {
		KUNIT_EXPECT_EQ(test, buddy_pool_free(pool, at, &why), -ENOENT);
		KUNIT_EXPECT_EQ(test, (int)why, (int)BUDDY_POOL_REASON_RESERVED);
	}
	KUNIT_EXPECT_EQ(test, look(test)->reserved, SZ_16K);
	KUNIT_EXPECT_EQ(test, look(test)->bad_free[BUDDY_POOL_REASON_RESERVED], 4);
}

/*
 * Pools of 128 blocks and more set the block of each size aside that was freed
 * last, or split off last, for the next request of that size. To all others it is
 * free.
 */

static void create_with_parked_page(struct kunit *test)
{
	create(test, .size = SZ_4M, .min_block = SZ_4K);
	expect_at(test, 0, .size = SZ_4K);
	expect_at(test, SZ_4K, .size = SZ_4K);
	expect_at(test, SZ_8K, .size = SZ_4K);
	KUNIT_EXPECT_EQ(test, release(test, 0), 0);
	KUNIT_EXPECT_EQ(test, release(test, SZ_4K), 0);
}

static void alloc_prefers_block_freed_last(struct kunit *test)
{
	create_with_parked_page(test);
	expect_at(test, SZ_4K, .size = SZ_4K);
	expect_at(test, 0, .size = SZ_4K);
}

/* Here one block is too much of what is free; and the one freed first is lower. */
static void alloc_prefers_lowest_block_in_small_pool(struct kunit *test)
{
	create(test, .size = SZ_64K, .min_block = SZ_4K);
	expect_at(test, 0, .size = SZ_4K);
	expect_at(test, SZ_4K, .size = SZ_4K);
	expect_at(test, SZ_8K, .size = SZ_4K);
	expect_at(test, 3 * SZ_4K, .size = SZ_4K);
	KUNIT_EXPECT_EQ(test, release(test, 0), 0);
	KUNIT_EXPECT_EQ(test, release(test, SZ_8K), 0);
	expect_at(test, 0, .size = SZ_4K);
}

static void free_refuses_parked_block(struct kunit *test)
{
	enum buddy_pool_reason why;

	create_with_parked_page(test);
	KUNIT_EXPECT_EQ(test, buddy_pool_free(fixture(test)->pool, SZ_4K, &why), -ENOENT);
	KUNIT_EXPECT_EQ(test, (int)why, (int)BUDDY_POOL_REASON_NOT_ALLOCATED);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 1);
	KUNIT_EXPECT_EQ(test, look(test)->used, SZ_4K);
}

static void free_refuses_inside_of_parked_block(struct kunit *test)
{
	create(test, .size = SZ_4M, .min_block = SZ_4K);
	expect_at(test, 0, .size = SZ_16K);
	KUNIT_EXPECT_EQ(test, release(test, 0), 0);
	KUNIT_EXPECT_EQ(test, release(test, SZ_8K), -ENOENT);
	expect_whole(test);
}

static void fixed_request_gets_parked_block(struct kunit *test)
{
	create_with_parked_page(test);
	expect_at(test, SZ_4K, .size = SZ_4K, .start = SZ_4K, .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, 0, .size = SZ_4K);
}

static void create_with_parked_buddy(struct kunit *test)
{
	create(test, .size = SZ_4M, .min_block = SZ_4K);
	expect_at(test, 0, .size = SZ_4K);
}

static void alloc_gets_parked_buddy(struct kunit *test)
{
	create_with_parked_buddy(test);
	expect_at(test, SZ_4K, .size = SZ_4K);
	expect_at(test, SZ_8K, .size = SZ_4K);
	expect_at(test, 3 * SZ_4K, .size = SZ_4K);
	KUNIT_EXPECT_EQ(test, look(test)->used, SZ_16K);
}

static void free_refuses_parked_buddy(struct kunit *test)
{
	enum buddy_pool_reason why;

	create_with_parked_buddy(test);
	KUNIT_EXPECT_EQ(test, buddy_pool_free(fixture(test)->pool, SZ_4K, &why), -ENOENT);
	KUNIT_EXPECT_EQ(test, (int)why, (int)BUDDY_POOL_REASON_NOT_ALLOCATED);
	KUNIT_EXPECT_EQ(test, look(test)->used, SZ_4K);
	KUNIT_EXPECT_EQ(test, release(test, 0), 0);
	expect_at(test, 0, .size = SZ_4M);
}

static void fixed_request_gets_parked_buddy(struct kunit *test)
{
	create_with_parked_buddy(test);
	expect_at(test, SZ_4K, .size = SZ_4K, .start = SZ_4K, .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, SZ_8K, .size = SZ_4K);
}

static void window_request_gets_parked_block(struct kunit *test)
{
	create_with_parked_page(test);
	expect_at(test, 0, .size = SZ_8K, .end = SZ_8K);
}

static void largest_request_gets_parked_block(struct kunit *test)
{
	create_with_parked_page(test);
	KUNIT_EXPECT_EQ(test, release(test, SZ_8K), 0);
	expect_at(test, 0, .size = SZ_4M);
}

static void reserve_gets_parked_block(struct kunit *test)
{
	create_with_parked_page(test);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(fixture(test)->pool, 0, SZ_8K), 0);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K), 0);
	KUNIT_EXPECT_GT(test, address(test), SZ_8K);
}

/*
 * Random requests in bytes against a model: for each block, the number of the
 * one that its allocation begins with, plus one; 0 is free.
 */

#define RANDOM_BASE	(BIT_ULL(40) + 77 * SZ_1K)
#define RANDOM_BLOCKS	333

struct random_run {
	struct kunit *test;
	struct rnd_state rnd;
	u32 head[RANDOM_BLOCKS];
	u64 used;
};

static u64 blocks_for(u64 size)
{
	return DIV_ROUND_UP(size ?: 1, SZ_1K);
}

/* Is there a place for @request, or, if @ever, would there be in an empty pool? */
static bool model_has_room(const struct random_run *run, const struct buddy_pool_request *request,
			   bool ever)
{
	u64 nr = blocks_for(request->size);
	u64 start, i, where;

	for (start = 0; start + nr <= RANDOM_BLOCKS; start++) {
		where = RANDOM_BASE + start * SZ_1K;
		if (where % request->align || where < request->start ||
		    where + nr * SZ_1K > request->end)
			continue;
		for (i = 0; i < nr && (ever || !run->head[start + i]); i++)
			;
		if (i == nr)
			return true;
	}
	return false;
}

static void model_take(struct random_run *run, u64 start, u64 nr)
{
	u64 i;

	for (i = 0; i < nr; i++) {
		KUNIT_ASSERT_EQ(run->test, run->head[start + i], 0);
		run->head[start + i] = start + 1;
	}
	run->used += nr * SZ_1K;
}

static struct buddy_pool_request random_request(struct random_run *run)
{
	struct buddy_pool_request request = {
		.size = below(&run->rnd, 1 + below(&run->rnd, 40 * SZ_1K)),
		.align = BIT_ULL(below(&run->rnd, 15)),
		.start = RANDOM_BASE,
		.end = RANDOM_BASE + RANDOM_BLOCKS * SZ_1K,
		.flags = BUDDY_POOL_MAY_SLEEP,
	};

	if (below(&run->rnd, 2)) {
		request.start += below(&run->rnd, RANDOM_BLOCKS * SZ_1K);
		request.end -= below(&run->rnd, request.end - request.start);
	}
	if (below(&run->rnd, 2))
		request.flags |= BUDDY_POOL_ALLOC_TOP_DOWN;
	return request;
}

static void random_alloc(struct random_run *run)
{
	struct buddy_pool_request request = random_request(run);
	struct kunit *test = run->test;
	u64 nr = blocks_for(request.size);
	int err = alloc_request(test, &request);

	KUNIT_ASSERT_EQ_MSG(test, err, !model_has_room(run, &request, true) ? -EINVAL :
			    !model_has_room(run, &request, false) ? -ENOSPC : 0,
			    "size %llu align %llu from %#llx to %#llx flags %#x", request.size,
			    request.align, request.start, request.end, request.flags);
	if (err)
		return;
	KUNIT_ASSERT_EQ(test, address(test) % request.align, 0);
	KUNIT_ASSERT_GE(test, address(test), request.start);
	KUNIT_ASSERT_LE(test, address(test) + nr * SZ_1K, request.end);
	KUNIT_ASSERT_EQ(test, granted(test), nr * SZ_1K);
	model_take(run, (address(test) - RANDOM_BASE) / SZ_1K, nr);
}

static void random_free(struct random_run *run)
{
	u64 start = below(&run->rnd, RANDOM_BLOCKS);
	u64 head, i;

	/* Mostly at the head of whatever is there */
	if (run->head[start] && below(&run->rnd, 4))
		start = run->head[start] - 1;
	head = run->head[start];
	KUNIT_ASSERT_EQ(run->test, release(run->test, RANDOM_BASE + start * SZ_1K),
			!head ? -ENOENT : head != start + 1 ? -EINVAL : 0);
	if (head != start + 1)
		return;
	for (i = start; i < RANDOM_BLOCKS && run->head[i] == head; i++) {
		run->head[i] = 0;
		run->used -= SZ_1K;
	}
}

static void random_operations_match_model(struct kunit *test)
{
	struct random_run *run = kunit_kzalloc(test, sizeof(*run), GFP_KERNEL);
	unsigned int n;

	KUNIT_ASSERT_NOT_NULL(test, run);
	run->test = test;
	run->rnd = random_from(test, seed);
	create(test, .base = RANDOM_BASE, .size = RANDOM_BLOCKS * SZ_1K, .min_block = SZ_1K);
	for (n = 0; n < 8000; n++) {
		/* Fill up and drain in turn. */
		if (below(&run->rnd, 8) < (n / 1000 % 2 ? 3 : 6))
			random_alloc(run);
		else
			random_free(run);
		/* Not always, since looking unparks what is parked. */
		if (n % 16 == 0)
			KUNIT_ASSERT_EQ(test, look(test)->used, run->used);
	}
	expect_counters_agree(test);
	free_everything(test);
	expect_whole(test);
}

static struct kunit_case pool_cases[] = {
	KUNIT_CASE_PARAM(M01_create_applies_rules, creation_gen_params),
	KUNIT_CASE(create_checks_name),
	KUNIT_CASE(get_finds_pool_until_last_put),
	KUNIT_CASE(get_does_not_find_others),
	KUNIT_CASE(create_refuses_taken_name),
	KUNIT_CASE(create_tells_min_block_that_would_do),
	KUNIT_CASE(M01_log_calls_pool_without_a_name_so),
	KUNIT_CASE(alloc_grants_whole_min_blocks),
	KUNIT_CASE(alloc_grants_power_of_two_if_asked),
	KUNIT_CASE(M19_alloc_refuses_sizes_outside_limits),
	KUNIT_CASE(alloc_refuses_power_of_two_beyond_the_pool),
	KUNIT_CASE(block_size_is_power_of_two_or_nothing),
	KUNIT_CASE(alloc_aligns_naturally_by_default),
	KUNIT_CASE(alloc_aligns_as_far_as_the_pool_has_blocks),
	KUNIT_CASE(alloc_refuses_alignment_that_cannot_be_met),
	KUNIT_CASE(alloc_grants_alignment_beyond_the_pool_where_the_address_has_it),
	KUNIT_CASE(alloc_refuses_alignment_that_no_address_has),
	KUNIT_CASE(alloc_aligns_on_both_sides_of_2_63),
	KUNIT_CASE(alloc_aligns_single_bytes_up_to_2_64),
	KUNIT_CASE(alloc_takes_alignment_below_min_block_as_that),
	KUNIT_CASE(alloc_knows_what_an_odd_base_permits),
	KUNIT_CASE(alloc_refuses_bad_windows),
	KUNIT_CASE(alloc_uses_whole_blocks_of_window_only),
	KUNIT_CASE(alloc_up_to_the_last_byte_of_all),
	KUNIT_CASE(alloc_fixed_refuses_bad_places),
	KUNIT_CASE(M18_alloc_refuses_unknown_flags),
	KUNIT_CASE(no_space_is_explained),
	KUNIT_CASE(may_sleep_searches_to_the_end),
	KUNIT_CASE(M08_free_refuses_with_reason),
	KUNIT_CASE(M09_free_refuses_second_time),
	KUNIT_CASE(query_tells_extent_around_any_address),
	KUNIT_CASE(usage_counts_bytes),
	KUNIT_CASE(vector_a_answers),
	KUNIT_CASE(vector_a_counts),
	KUNIT_CASE(vector_b_with_exact_blocks),
	KUNIT_CASE(vector_b_with_whole_blocks),
	KUNIT_CASE(vector_b_refuses_frees),
	KUNIT_CASE(reserve_withdraws_range),
	KUNIT_CASE(unreserve_gives_range_back),
	KUNIT_CASE(unreserve_refuses_allocated_block),
	KUNIT_CASE(reserve_refuses_bad_ranges),
	KUNIT_CASE(free_refuses_reserved_range),
	KUNIT_CASE(alloc_prefers_block_freed_last),
	KUNIT_CASE(alloc_prefers_lowest_block_in_small_pool),
	KUNIT_CASE(free_refuses_parked_block),
	KUNIT_CASE(free_refuses_inside_of_parked_block),
	KUNIT_CASE(fixed_request_gets_parked_block),
	KUNIT_CASE(alloc_gets_parked_buddy),
	KUNIT_CASE(free_refuses_parked_buddy),
	KUNIT_CASE(fixed_request_gets_parked_buddy),
	KUNIT_CASE(window_request_gets_parked_block),
	KUNIT_CASE(largest_request_gets_parked_block),
	KUNIT_CASE(reserve_gets_parked_block),
	KUNIT_CASE(random_operations_match_model),
	{ }
};

static struct kunit_suite pool_suite = {
	.name = "buddy_pool",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = pool_cases,
};

kunit_test_suite(pool_suite);

MODULE_DESCRIPTION("KUnit tests of the buddy_pool API");
MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);

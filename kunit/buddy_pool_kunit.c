// SPDX-License-Identifier: GPL-2.0
/*
 * The exported API, on pools over bare numbers: what the reference crate
 * promises, and more.
 */
#include <kunit/test.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "buddy_pool.h"

static struct buddy_pool *new_pool(struct kunit *test, const struct buddy_pool_config *config)
{
	struct buddy_pool *pool = buddy_pool_create(config);

	KUNIT_ASSERT_FALSE(test, IS_ERR(pool));
	return pool;
}

static int alloc(struct buddy_pool *pool, u64 size, u64 *address)
{
	struct buddy_pool_request request = { .size = size };
	struct buddy_pool_result result;
	int err = buddy_pool_alloc(pool, &request, &result);

	*address = result.address;
	return err;
}

/* The reference's front-page example, step by step */
static void front_page_example(struct kunit *test)
{
	const struct buddy_pool_config config = {
		.base = 0x100000,
		.size = SZ_2M,
		.min_block = SZ_8K,
		.min_alloc = 1,
		.max_alloc = 17 * SZ_1K,
	};
	struct buddy_pool_request request = { .size = 17 * SZ_1K };
	struct buddy_pool *pool = new_pool(test, &config);
	enum buddy_pool_reason reason;
	struct buddy_pool_result result;
	struct buddy_pool_usage *usage;
	unsigned int n;
	u64 address;

	usage = kunit_kzalloc(test, sizeof(*usage), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, usage);

	KUNIT_EXPECT_EQ(test, buddy_pool_alloc(pool, &request, &result), 0);
	KUNIT_EXPECT_EQ(test, result.size, 24ULL * SZ_1K);
	KUNIT_EXPECT_EQ(test, buddy_pool_free(pool, result.address, &reason), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_free(pool, result.address, &reason), -ENOENT);
	KUNIT_EXPECT_EQ(test, (int)reason, (int)BUDDY_POOL_REASON_NOT_ALLOCATED);

	request.size = 0;
	KUNIT_EXPECT_EQ(test, buddy_pool_alloc(pool, &request, &result), -EINVAL);
	KUNIT_EXPECT_EQ(test, (int)result.reason, (int)BUDDY_POOL_REASON_UNDERSIZE);
	request.size = 17 * SZ_1K + 1;
	KUNIT_EXPECT_EQ(test, buddy_pool_alloc(pool, &request, &result), -EINVAL);
	KUNIT_EXPECT_EQ(test, (int)result.reason, (int)BUDDY_POOL_REASON_OVERSIZE);

	for (n = 0; !alloc(pool, 1, &address); n++)
		;
	KUNIT_EXPECT_EQ(test, n, 256U);

	buddy_pool_usage(pool, usage);
	KUNIT_EXPECT_EQ(test, usage->allocs, 258ULL);
	KUNIT_EXPECT_EQ(test, usage->frees, 1ULL);
	KUNIT_EXPECT_EQ(test, usage->out_of_space, 1ULL);
	KUNIT_EXPECT_EQ(test, usage->bad_frees, 1ULL);
	KUNIT_EXPECT_EQ(test, usage->oversize, 1ULL);
	KUNIT_EXPECT_EQ(test, usage->undersize, 1ULL);
	KUNIT_EXPECT_EQ(test, usage->free, 0ULL);
	KUNIT_EXPECT_EQ(test, usage->used, (u64)SZ_2M);

	while (n--)
		KUNIT_EXPECT_EQ(test, buddy_pool_free(pool, config.base + n * SZ_8K, NULL), 0);
	buddy_pool_put(pool);
}

static struct kunit_case pool_cases[] = {
	KUNIT_CASE(front_page_example),
	{ }
};

static struct kunit_suite pool_suite = {
	.name = "buddy_pool",
	.test_cases = pool_cases,
};
kunit_test_suite(pool_suite);

MODULE_DESCRIPTION("KUnit tests of the buddy_pool API");
MODULE_LICENSE("GPL");

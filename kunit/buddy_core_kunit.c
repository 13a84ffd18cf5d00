// SPDX-License-Identifier: GPL-2.0
/*
 * The core inside a kernel: that it behaves as tests/host has proved of the
 * same source. It is included, since the module exports none of it.
 */
#include <kunit/test.h>
#include <linux/module.h>
#include <linux/vmalloc.h>

#include "../buddy_core.c"

static struct buddy_core *new_core(struct kunit *test, u64 first, u64 nr)
{
	struct buddy_core *core = kunit_kzalloc(test, sizeof(*core), GFP_KERNEL);
	void *metadata = kunit_kzalloc(test, buddy_core_metadata_size(first, nr), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, core);
	KUNIT_ASSERT_NOT_NULL(test, metadata);
	buddy_core_init(core, first, nr, metadata);
	return core;
}

/* A natural request for @nr blocks anywhere; the index, or an errno */
static s64 alloc_natural(struct buddy_core *core, u64 nr)
{
	struct buddy_core_request request = {
		.nr = nr,
		.start = core->first,
		.end = core->end,
		.align_order = order_of(nr),
	};
	u64 index;
	int err;

	err = buddy_core_alloc(core, &request, &index);
	return err ?: index;
}

static void alloc_single_block_takes_lowest(struct kunit *test)
{
	struct buddy_core *core = new_core(test, 0, 100);

	KUNIT_EXPECT_EQ(test, alloc_natural(core, 1), 96LL);
	KUNIT_EXPECT_NULL(test, buddy_core_check(core));
}

static void drain_returns_every_block_once(struct kunit *test)
{
	struct buddy_core *core = new_core(test, 5, 300);
	unsigned int n = 0;

	while (alloc_natural(core, 1) >= 0)
		n++;
	KUNIT_EXPECT_EQ(test, n, 300U);
	KUNIT_EXPECT_EQ(test, core->nr_free, 0ULL);
	KUNIT_EXPECT_NULL(test, buddy_core_check(core));
}

static void free_refuses_by_kind(struct kunit *test)
{
	struct buddy_core *core = new_core(test, 0, 64);
	s64 index = alloc_natural(core, 8);
	u64 nr;

	KUNIT_ASSERT_GE(test, index, 0LL);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, index + 1, &nr), -EINVAL);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 64, &nr), -ERANGE);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, index, &nr), 0);
	KUNIT_EXPECT_EQ(test, nr, 8ULL);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, index, &nr), -ENOENT);
	KUNIT_EXPECT_NULL(test, buddy_core_check(core));
}

static struct kunit_case core_cases[] = {
	KUNIT_CASE(alloc_single_block_takes_lowest),
	KUNIT_CASE(drain_returns_every_block_once),
	KUNIT_CASE(free_refuses_by_kind),
	{ }
};

static struct kunit_suite core_suite = {
	.name = "buddy_pool_core",
	.test_cases = core_cases,
};
kunit_test_suite(core_suite);

MODULE_DESCRIPTION("KUnit tests of the buddy_pool core");
MODULE_LICENSE("GPL");

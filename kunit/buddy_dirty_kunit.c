// SPDX-License-Identifier: GPL-2.0
/* The intervals of buddy_dirty.c, against a map that has a bit for each unit. */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "../buddy_dirty.c"

#define UNITS	256

static unsigned int seed;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "Seed of the random test, as it prints it; 0 for a new one");

static bool is_dirty(const struct buddy_dirty *dirty, u64 unit)
{
	u64 start = unit, end = unit + 1;

	return buddy_dirty_next(dirty, &start, &end);
}

static void expect_well_formed(struct kunit *test, const struct buddy_dirty *dirty)
{
	unsigned int i;

	KUNIT_ASSERT_LE(test, dirty->nr, BUDDY_DIRTY_MAX);
	for (i = 0; i < dirty->nr; i++) {
		KUNIT_EXPECT_LT(test, dirty->part[i].start, dirty->part[i].end);
		if (i)
			KUNIT_EXPECT_LT(test, dirty->part[i - 1].end, dirty->part[i].start);
	}
}

static void dirty_remove_splits(struct kunit *test)
{
	struct buddy_dirty dirty = { };
	u64 start = 0, end = 100;

	buddy_dirty_add(&dirty, 0, 100);
	buddy_dirty_remove(&dirty, 40, 60);
	KUNIT_ASSERT_EQ(test, 2, dirty.nr);
	KUNIT_ASSERT_TRUE(test, buddy_dirty_next(&dirty, &start, &end));
	KUNIT_EXPECT_EQ(test, 0, start);
	KUNIT_EXPECT_EQ(test, 40, end);
	start = 40;
	end = 100;
	KUNIT_ASSERT_TRUE(test, buddy_dirty_next(&dirty, &start, &end));
	KUNIT_EXPECT_EQ(test, 60, start);
	start = 40;
	end = 60;
	KUNIT_EXPECT_FALSE(test, buddy_dirty_next(&dirty, &start, &end));
	/* Nothing is dirty of nothing. */
	start = 20;
	end = 20;
	KUNIT_EXPECT_FALSE(test, buddy_dirty_next(&dirty, &start, &end));
}

static void dirty_add_joins_neighbours(struct kunit *test)
{
	struct buddy_dirty dirty = { };

	buddy_dirty_add(&dirty, 0, 10);
	buddy_dirty_add(&dirty, 20, 30);
	buddy_dirty_add(&dirty, 10, 20);
	KUNIT_EXPECT_EQ(test, 1, dirty.nr);
	KUNIT_EXPECT_EQ(test, 30, dirty.part[0].end);
}

static void dirty_when_full_forgets_no_dirt(struct kunit *test)
{
	struct buddy_dirty dirty = { };
	u64 i;

	for (i = 0; i <= BUDDY_DIRTY_MAX; i++)
		buddy_dirty_add(&dirty, 10 * i, 10 * i + (i == 3 ? 9 : 5));
	expect_well_formed(test, &dirty);
	for (i = 0; i <= BUDDY_DIRTY_MAX; i++)
		KUNIT_EXPECT_TRUE(test, is_dirty(&dirty, 10 * i));
	/* The smallest gap went, and no other. */
	KUNIT_EXPECT_TRUE(test, is_dirty(&dirty, 39));
	KUNIT_EXPECT_FALSE(test, is_dirty(&dirty, 29));
}

static void dirty_remove_when_full_keeps_dirt(struct kunit *test)
{
	struct buddy_dirty dirty = { };
	u64 i;

	for (i = 0; i < BUDDY_DIRTY_MAX; i++)
		buddy_dirty_add(&dirty, 10 * i, 10 * i + 5);
	buddy_dirty_remove(&dirty, 1, 3);
	expect_well_formed(test, &dirty);
	KUNIT_EXPECT_TRUE(test, is_dirty(&dirty, 2));
	buddy_dirty_remove(&dirty, 0, 3);
	KUNIT_EXPECT_FALSE(test, is_dirty(&dirty, 2));
	KUNIT_EXPECT_TRUE(test, is_dirty(&dirty, 3));
}

/* What is dirty must be known as such; all else too, while there is room. */
static void dirty_random_operations(struct kunit *test)
{
	DECLARE_BITMAP(map, UNITS) = { };
	struct buddy_dirty dirty = { };
	bool overflowed = false;
	struct rnd_state rnd;
	u32 i, start, end, unit;

	kunit_info(test, "seed %u\n", seed);
	prandom_seed_state(&rnd, seed);
	for (i = 0; i < 20000; i++) {
		start = prandom_u32_state(&rnd) % UNITS;
		end = start + prandom_u32_state(&rnd) % min(UNITS - start + 1, 40U);
		if (prandom_u32_state(&rnd) % 2) {
			bitmap_set(map, start, end - start);
			overflowed |= dirty.nr == BUDDY_DIRTY_MAX;
			buddy_dirty_add(&dirty, start, end);
		} else {
			bitmap_clear(map, start, end - start);
			overflowed |= dirty.nr == BUDDY_DIRTY_MAX;
			buddy_dirty_remove(&dirty, start, end);
		}
		expect_well_formed(test, &dirty);
		for (unit = 0; unit < UNITS; unit++) {
			if (is_dirty(&dirty, unit) == test_bit(unit, map))
				continue;
			KUNIT_ASSERT_FALSE_MSG(test, test_bit(unit, map), "%u is lost", unit);
			KUNIT_ASSERT_TRUE_MSG(test, overflowed, "%u is too much", unit);
		}
		if (i % 100 == 0) {
			buddy_dirty_remove(&dirty, 0, UNITS);
			KUNIT_ASSERT_EQ(test, 0, dirty.nr);
			bitmap_zero(map, UNITS);
			overflowed = false;
		}
	}
}

static int dirty_init(struct kunit *test)
{
	if (!seed)
		seed = get_random_u32() | 1;
	return 0;
}

static struct kunit_case dirty_cases[] = {
	KUNIT_CASE(dirty_remove_splits),
	KUNIT_CASE(dirty_add_joins_neighbours),
	KUNIT_CASE(dirty_when_full_forgets_no_dirt),
	KUNIT_CASE(dirty_remove_when_full_keeps_dirt),
	KUNIT_CASE(dirty_random_operations),
	{ }
};

static struct kunit_suite dirty_suite = {
	.name = "buddy_pool_dirty",
	.init = dirty_init,
	.test_cases = dirty_cases,
};

kunit_test_suite(dirty_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of buddy_pool: which memory is to be zeroed");

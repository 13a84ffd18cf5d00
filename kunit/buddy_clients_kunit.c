// SPDX-License-Identifier: GPL-2.0
/*
 * What clients of a pool have beyond blocks: the walk, the end of a pool and the
 * notice of it, and the devm_ functions. Contexts and mistakes are in tests/modules/.
 */
#include <linux/device.h>
#include <linux/module.h>
#include <linux/notifier.h>

#include "buddy_kunit.h"

/*
 * The walk
 */

static void check_piece(struct kunit *test, int line, struct buddy_pool_walk *walk, u64 start,
			u64 size, enum buddy_pool_state state)
{
	KUNIT_EXPECT_TRUE_MSG(test, buddy_pool_next(fixture(test)->pool, walk), "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, walk->start, start, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, walk->size, size, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, (int)walk->state, (int)state, "line %d", line);
}

#define expect_piece(test, walk, start, size, state) \
	check_piece(test, __LINE__, walk, start, size, BUDDY_POOL_STATE_##state)

static void expect_end(struct kunit *test, struct buddy_pool_walk *walk)
{
	struct buddy_pool_walk before = *walk;

	KUNIT_EXPECT_FALSE(test, buddy_pool_next(fixture(test)->pool, walk));
	KUNIT_EXPECT_EQ(test, walk->start, before.start);
	KUNIT_EXPECT_EQ(test, walk->size, before.size);
}

#define WALK_BASE 0x1234567

static void walk_in_order(struct kunit *test)
{
	struct buddy_pool *pool = create(test, .base = WALK_BASE, .size = SZ_64K,
					 .min_block = SZ_4K);
	struct buddy_pool_walk walk = { };

	expect_at(test, WALK_BASE + SZ_4K, .size = SZ_8K, .start = WALK_BASE + SZ_4K,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	expect_at(test, WALK_BASE + 3 * SZ_4K, .size = 5 * SZ_4K, .start = WALK_BASE + 3 * SZ_4K,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	KUNIT_EXPECT_EQ(test, buddy_pool_reserve(pool, WALK_BASE + 9 * SZ_4K, SZ_4K), 0);

	expect_piece(test, &walk, WALK_BASE, SZ_4K, FREE);
	expect_piece(test, &walk, WALK_BASE + SZ_4K, SZ_8K, USED);
	expect_piece(test, &walk, WALK_BASE + 3 * SZ_4K, 5 * SZ_4K, USED);
	expect_piece(test, &walk, WALK_BASE + 8 * SZ_4K, SZ_4K, FREE);
	expect_piece(test, &walk, WALK_BASE + 9 * SZ_4K, SZ_4K, RESERVED);
	/* One run, though it is several blocks */
	expect_piece(test, &walk, WALK_BASE + 10 * SZ_4K, 6 * SZ_4K, FREE);
	expect_end(test, &walk);
	expect_end(test, &walk);
}

static void walk_from_an_address(struct kunit *test)
{
	struct buddy_pool_walk walk = { .start = SZ_1M + SZ_4K + 1 };

	create(test, .base = SZ_1M, .size = SZ_64K, .min_block = SZ_4K);
	expect_at(test, SZ_1M + SZ_32K, .size = SZ_8K, .start = SZ_1M + SZ_32K,
		  .flags = BUDDY_POOL_ALLOC_FIXED);
	/* The rest of a free run */
	expect_piece(test, &walk, SZ_1M + SZ_4K + 1, SZ_32K - SZ_4K - 1, FREE);
	expect_piece(test, &walk, SZ_1M + SZ_32K, SZ_8K, USED);
	/* A block that starts before does not count. */
	walk = (struct buddy_pool_walk){ .start = SZ_1M + SZ_32K + 1 };
	expect_piece(test, &walk, SZ_1M + SZ_32K + SZ_8K, SZ_16K + SZ_8K, FREE);
	walk = (struct buddy_pool_walk){ .start = SZ_1M + SZ_64K };
	expect_end(test, &walk);
	walk = (struct buddy_pool_walk){ .start = U64_MAX };
	expect_end(test, &walk);
	walk = (struct buddy_pool_walk){ .start = 1 };
	expect_piece(test, &walk, SZ_1M, SZ_32K, FREE);
}

static void walk_to_the_last_byte(struct kunit *test)
{
	struct buddy_pool_walk walk = { };

	create(test, .base = -(u64)SZ_64K, .size = SZ_64K, .min_block = SZ_4K);
	expect_piece(test, &walk, -(u64)SZ_64K, SZ_64K, FREE);
	expect_end(test, &walk);
	expect_at(test, -(u64)SZ_32K, .size = SZ_32K, .flags = BUDDY_POOL_ALLOC_TOP_DOWN);
	walk = (struct buddy_pool_walk){ };
	expect_piece(test, &walk, -(u64)SZ_64K, SZ_32K, FREE);
	expect_piece(test, &walk, -(u64)SZ_32K, SZ_32K, USED);
	expect_end(test, &walk);
}

/* A pool in disorder, with as many shards as given: pieces add up to the statistics. */
static void walk_adds_up(struct kunit *test, unsigned int shards)
{
	struct buddy_pool *pool = create(test, .base = SZ_4K, .size = SZ_1M - SZ_4K,
					 .min_block = SZ_4K, .shards = shards);
	u64 sum[BUDDY_POOL_STATE_RESERVED + 1] = { }, nr_blocks = 0, next = SZ_4K;
	struct rnd_state rnd = random_from(test, 0);
	const struct buddy_pool_usage *usage;
	struct buddy_pool_walk walk = { };
	int i;

	for (i = 0; i < 200; i++) {
		alloc(test, .size = 1 + below(&rnd, SZ_16K), .align = SZ_4K);
		buddy_pool_reserve(pool, SZ_4K * (1 + below(&rnd, 254)), SZ_4K);
		release(test, SZ_4K * (1 + below(&rnd, 254)));
	}
	while (buddy_pool_next(pool, &walk)) {
		KUNIT_ASSERT_EQ(test, walk.start, next);
		next = walk.start + walk.size;
		sum[walk.state] += walk.size;
		nr_blocks += walk.state == BUDDY_POOL_STATE_USED;
	}
	usage = look(test);
	KUNIT_EXPECT_EQ(test, next, SZ_1M);
	KUNIT_EXPECT_EQ(test, sum[BUDDY_POOL_STATE_FREE], usage->free);
	KUNIT_EXPECT_EQ(test, sum[BUDDY_POOL_STATE_USED], usage->used);
	KUNIT_EXPECT_EQ(test, sum[BUDDY_POOL_STATE_RESERVED], usage->reserved);
	KUNIT_EXPECT_EQ(test, nr_blocks, usage->nr_blocks);
	KUNIT_EXPECT_GT(test, nr_blocks, 0);
}

static void walk_adds_up_in_one(struct kunit *test)
{
	walk_adds_up(test, 1);
}

static void walk_adds_up_in_shards(struct kunit *test)
{
	walk_adds_up(test, 4);
}

/* Nothing is held between two steps: the body may sleep, and change the pool. */
static void M23_walk_and_free(struct kunit *test)
{
	struct buddy_pool *pool = create(test, .size = SZ_1M, .min_block = SZ_4K);
	struct buddy_pool_walk walk = { };
	unsigned int nr = 0;

	while (!alloc(test, .size = SZ_8K))
		;
	while (buddy_pool_next(pool, &walk)) {
		might_sleep();
		if (walk.state == BUDDY_POOL_STATE_USED && nr++ % 2)
			KUNIT_EXPECT_EQ(test, release(test, walk.start), 0);
	}
	KUNIT_EXPECT_EQ(test, nr, SZ_1M / SZ_8K);
	KUNIT_EXPECT_EQ(test, look(test)->free, SZ_512K);
}

/*
 * The end of a pool
 */

struct listener {
	struct notifier_block notifier;
	struct kunit *test;
	u64 address;		/* of a block that it gives back */
	unsigned int nr_calls;
};

/* What a notifier may do, and what it may not */
static int M13_listen(struct notifier_block *notifier, unsigned long event, void *data)
{
	struct listener *listener = container_of(notifier, struct listener, notifier);
	struct kunit *test = listener->test;
	const struct buddy_pool_config going = { .name = "going", .size = SZ_4K };
	struct buddy_pool_walk walk = { };
	struct buddy_pool *pool = data;

	listener->nr_calls++;
	KUNIT_EXPECT_EQ(test, event, BUDDY_POOL_GOING);
	KUNIT_EXPECT_PTR_EQ(test, pool, fixture(test)->pool);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K), -ENODEV);
	KUNIT_EXPECT_EQ(test, (int)reason(test), BUDDY_POOL_REASON_GONE);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 1);
	KUNIT_EXPECT_TRUE(test, buddy_pool_next(pool, &walk));
	KUNIT_EXPECT_EQ(test, release(test, listener->address), 0);
	/* Nobody finds it, but its name is still its own. */
	KUNIT_EXPECT_NULL(test, buddy_pool_get("going"));
	KUNIT_EXPECT_EQ(test, PTR_ERR(buddy_pool_create(&going)), -EEXIST);
	KUNIT_EXPECT_EQ(test, buddy_pool_unregister_notifier(pool, notifier), -EDEADLK);
	KUNIT_EXPECT_EQ(test, buddy_pool_register_notifier(pool, notifier), -EDEADLK);
	return NOTIFY_DONE;
}

static void M13_notifier_calls_back(struct kunit *test)
{
	struct listener listener = { .notifier.notifier_call = M13_listen, .test = test };
	struct buddy_pool *pool = create(test, .name = "going", .size = SZ_64K,
					 .min_block = SZ_4K);

	/* The test's reference; the creator's goes with the pool. */
	KUNIT_ASSERT_PTR_EQ(test, buddy_pool_get("going"), pool);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K), 0);
	listener.address = address(test);
	KUNIT_EXPECT_EQ(test, buddy_pool_register_notifier(pool, &listener.notifier), 0);
	buddy_pool_destroy(pool);
	KUNIT_EXPECT_EQ(test, listener.nr_calls, 1);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_register_notifier(pool, &listener.notifier), -ENODEV);
	KUNIT_EXPECT_EQ(test, buddy_pool_unregister_notifier(pool, &listener.notifier), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_unregister_notifier(pool, &listener.notifier), -ENOENT);
}

static void notifier_that_left_is_not_called(struct kunit *test)
{
	struct listener listener = { .notifier.notifier_call = M13_listen, .test = test };
	struct buddy_pool *pool = create(test, .name = "going", .size = SZ_64K);

	KUNIT_ASSERT_PTR_EQ(test, buddy_pool_get("going"), pool);
	KUNIT_EXPECT_EQ(test, buddy_pool_register_notifier(pool, &listener.notifier), 0);
	KUNIT_EXPECT_EQ(test, buddy_pool_unregister_notifier(pool, &listener.notifier), 0);
	buddy_pool_destroy(pool);
	KUNIT_EXPECT_EQ(test, listener.nr_calls, 0);
}

/* Blocks live as long as the references do; the name is free before. */
static void M04_destroy_with_blocks(struct kunit *test)
{
	struct buddy_pool *pool = create(test, .name = "going", .size = SZ_64K,
					 .min_block = SZ_4K);
	struct buddy_pool *next;

	KUNIT_ASSERT_PTR_EQ(test, buddy_pool_get("going"), pool);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K), 0);
	buddy_pool_destroy(pool);
	KUNIT_EXPECT_NULL(test, buddy_pool_get("going"));
	next = buddy_pool_create(&(struct buddy_pool_config){ .name = "going", .size = SZ_4K });
	KUNIT_EXPECT_FALSE(test, IS_ERR(next));
	buddy_pool_put(next);

	KUNIT_EXPECT_EQ(test, look(test)->used, SZ_4K);
	KUNIT_EXPECT_EQ(test, release(test, address(test)), 0);
	KUNIT_EXPECT_EQ(test, release(test, address(test)), -ENOENT);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K), -ENODEV);
}

/* The last reference goes with blocks: one line says how many. */
static void M04_put_with_blocks(struct kunit *test)
{
	char line[256] = "";

	create(test, .name = "careless", .size = SZ_64K, .min_block = SZ_4K);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_8K), 0);
	buddy_pool_put(fixture(test)->pool);
	fixture(test)->pool = NULL;
	KUNIT_EXPECT_TRUE(test, find_in_log("careless: destroyed with 2 blocks", line,
					    sizeof(line)));
}

static void M05_null(struct kunit *test)
{
	buddy_pool_put(NULL);
	buddy_pool_put(ERR_PTR(-ENOENT));
	buddy_pool_destroy(NULL);
	buddy_pool_destroy(ERR_PTR(-ENOENT));
	KUNIT_EXPECT_NULL(test, buddy_pool_get(NULL));
	KUNIT_EXPECT_NULL(test, buddy_pool_get(""));
}

/*
 * Resources of a device
 */

static struct device *root_device(struct kunit *test)
{
	/* No owner: Linux 6.1 runs the tests before the module is in sysfs. */
	struct device *dev = __root_device_register("buddy_kunit", NULL);

	KUNIT_ASSERT_FALSE(test, IS_ERR(dev));
	return dev;
}

static void devm_goes_with_the_device(struct kunit *test)
{
	const struct buddy_pool_config config = { .name = "managed", .size = SZ_64K,
						  .min_block = SZ_4K };
	const struct buddy_pool_request request = { .size = SZ_8K };
	struct device *dev = root_device(test);
	struct buddy_pool_result *result = &fixture(test)->result;
	struct buddy_pool *pool;

	pool = devm_buddy_pool_create(dev, &config);
	KUNIT_EXPECT_FALSE(test, IS_ERR(pool));
	KUNIT_EXPECT_PTR_EQ(test, devm_buddy_pool_get(dev, "managed"), pool);
	fixture(test)->pool = buddy_pool_get("managed");
	KUNIT_EXPECT_EQ(test, devm_buddy_pool_alloc(dev, pool, &request, result), 0);
	KUNIT_EXPECT_EQ(test, devm_buddy_pool_alloc(dev, pool, &request, result), 0);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 2);
	KUNIT_EXPECT_EQ(test, devm_buddy_pool_free(dev, pool, result->address), 0);
	KUNIT_EXPECT_EQ(test, devm_buddy_pool_free(dev, pool, result->address), -ENOENT);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 1);
	KUNIT_EXPECT_EQ(test, look(test)->bad_frees, 0);

	root_device_unregister(dev);
	KUNIT_EXPECT_EQ(test, look(test)->nr_blocks, 0);
	KUNIT_EXPECT_EQ(test, look(test)->bad_frees, 0);
	KUNIT_EXPECT_EQ(test, alloc(test, .size = SZ_4K), -ENODEV);
	KUNIT_EXPECT_NULL(test, buddy_pool_get("managed"));
}

/* A block pins its pool, also if the reference it was allocated by is gone. */
static void devm_block_keeps_the_pool(struct kunit *test)
{
	const struct buddy_pool_request request = { .size = SZ_8K };
	struct buddy_pool *pool = create(test, .name = "managed", .size = SZ_64K);
	struct device *dev = root_device(test);

	KUNIT_EXPECT_EQ(test, devm_buddy_pool_alloc(dev, pool, &request, &fixture(test)->result),
			0);
	buddy_pool_put(pool);
	fixture(test)->pool = NULL;
	pool = buddy_pool_get("managed");
	KUNIT_EXPECT_NOT_NULL(test, pool);
	buddy_pool_put(pool);
	root_device_unregister(dev);
	KUNIT_EXPECT_NULL(test, buddy_pool_get("managed"));
}

static void devm_refusals(struct kunit *test)
{
	const struct buddy_pool_config config = { .name = "/", .size = SZ_64K };
	const struct buddy_pool_request request = { .size = SZ_128K };
	struct buddy_pool *pool = create(test, .size = SZ_64K);
	struct device *dev = root_device(test);

	KUNIT_EXPECT_EQ(test, PTR_ERR(devm_buddy_pool_get(dev, "nobody")), -EPROBE_DEFER);
	KUNIT_EXPECT_EQ(test, PTR_ERR(devm_buddy_pool_get(dev, "")), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(devm_buddy_pool_get(dev, NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(devm_buddy_pool_create(dev, &config)), -EINVAL);
	KUNIT_EXPECT_EQ(test, devm_buddy_pool_alloc(dev, pool, &request, &fixture(test)->result),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, (int)reason(test), BUDDY_POOL_REASON_OVERSIZE);
	KUNIT_EXPECT_EQ(test, devm_buddy_pool_free(dev, pool, 0), -ENOENT);
	root_device_unregister(dev);
	KUNIT_EXPECT_EQ(test, look(test)->frees, 0);
}

static struct kunit_case clients_cases[] = {
	KUNIT_CASE(walk_in_order),
	KUNIT_CASE(walk_from_an_address),
	KUNIT_CASE(walk_to_the_last_byte),
	KUNIT_CASE(walk_adds_up_in_one),
	KUNIT_CASE(walk_adds_up_in_shards),
	KUNIT_CASE(M23_walk_and_free),
	KUNIT_CASE(M13_notifier_calls_back),
	KUNIT_CASE(notifier_that_left_is_not_called),
	KUNIT_CASE(M04_destroy_with_blocks),
	KUNIT_CASE(M04_put_with_blocks),
	KUNIT_CASE(M05_null),
	KUNIT_CASE(devm_goes_with_the_device),
	KUNIT_CASE(devm_block_keeps_the_pool),
	KUNIT_CASE(devm_refusals),
	{ }
};

static struct kunit_suite clients_suite = {
	.name = "buddy_pool_clients",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = clients_cases,
};

kunit_test_suite(clients_suite);

MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);
MODULE_DESCRIPTION("KUnit tests of buddy_pool: walk, end of a pool, devm");

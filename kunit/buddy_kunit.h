/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites of the API share: a fixture with the pool of a test, which
 * goes away with the test, and short forms of the calls.
 */
#ifndef BUDDY_KUNIT_H
#define BUDDY_KUNIT_H

#include <kunit/test.h>
#include <linux/err.h>
#include <linux/kmsg_dump.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "buddy_pool.h"

/**
 * struct fixture - test->priv
 * @pool: the pool of the test
 * @other: a second one, or NULL
 * @config: what it was created over
 * @result: of the last alloc()
 * @fresh: statistics of the pool when it was new
 * @usage: for look()
 */
struct fixture {
	struct buddy_pool *pool;
	struct buddy_pool *other;
	struct buddy_pool_config config;
	struct buddy_pool_result result;
	struct buddy_pool_usage fresh;
	struct buddy_pool_usage usage;
};

static inline struct fixture *fixture(struct kunit *test)
{
	return test->priv;
}

static inline int fixture_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct fixture), GFP_KERNEL);
	return test->priv ? 0 : -ENOMEM;
}

static inline void fixture_exit(struct kunit *test)
{
	struct fixture *fx = fixture(test);

	if (!fx)
		return;
	buddy_pool_put(fx->pool);
	buddy_pool_put(fx->other);
}

static inline struct buddy_pool *create_config(struct kunit *test,
					       const struct buddy_pool_config *config)
{
	struct fixture *fx = fixture(test);
	struct buddy_pool *pool = buddy_pool_create(config);

	KUNIT_ASSERT_FALSE(test, IS_ERR(pool));
	fx->pool = pool;
	fx->config = *config;
	buddy_pool_usage(pool, &fx->fresh);
	return pool;
}

/* create(test, .size = SZ_2M, ...): the pool of @test */
#define create(test, ...) \
	create_config(test, &(const struct buddy_pool_config){ __VA_ARGS__ })

static inline int alloc_request(struct kunit *test, const struct buddy_pool_request *request)
{
	struct fixture *fx = fixture(test);

	memset(&fx->result, 0, sizeof(fx->result));
	return buddy_pool_alloc(fx->pool, request, &fx->result);
}

/* alloc(test, .size = SZ_4K, ...): an errno; what it got is in the fixture's result */
#define alloc(test, ...) \
	alloc_request(test, &(const struct buddy_pool_request){ __VA_ARGS__ })

static inline u64 address(struct kunit *test)
{
	return fixture(test)->result.address;
}

static inline u64 granted(struct kunit *test)
{
	return fixture(test)->result.size;
}

static inline enum buddy_pool_reason reason(struct kunit *test)
{
	return fixture(test)->result.reason;
}

static inline int release(struct kunit *test, u64 start)
{
	return buddy_pool_free(fixture(test)->pool, start, NULL);
}

/* The statistics as they are now */
static inline const struct buddy_pool_usage *look(struct kunit *test)
{
	struct fixture *fx = fixture(test);

	buddy_pool_usage(fx->pool, &fx->usage);
	return &fx->usage;
}

static inline void check_refusal(struct kunit *test, int line, enum buddy_pool_reason why,
				 const struct buddy_pool_request *request)
{
	bool no_space = why == BUDDY_POOL_REASON_EXHAUSTED ||
			why == BUDDY_POOL_REASON_FRAGMENTED || why == BUDDY_POOL_REASON_IN_USE;
	u64 free = look(test)->free;

	KUNIT_EXPECT_EQ_MSG(test, alloc_request(test, request), no_space ? -ENOSPC : -EINVAL,
			    "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, (int)reason(test), (int)why, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, look(test)->free, free, "line %d", line);
}

/* expect_refusal(test, why, .size = SZ_4K, ...): and nothing is taken */
#define expect_refusal(test, why, ...) \
	check_refusal(test, __LINE__, BUDDY_POOL_REASON_##why, \
		      &(const struct buddy_pool_request){ __VA_ARGS__ })

static inline void check_placement(struct kunit *test, int line, u64 where,
				   const struct buddy_pool_request *request)
{
	KUNIT_EXPECT_EQ_MSG(test, alloc_request(test, request), 0, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, address(test), where, "line %d", line);
}

/* expect_at(test, address, .size = SZ_4K, ...): that it is granted there */
#define expect_at(test, where, ...) \
	check_placement(test, __LINE__, where, &(const struct buddy_pool_request){ __VA_ARGS__ })

/*
 * Free whatever a walk through the pool finds allocated, so that a test need
 * not keep account; reserved ranges stay. Returns the number of blocks.
 */
static inline u64 free_everything(struct kunit *test)
{
	const struct fixture *fx = fixture(test);
	struct buddy_pool_walk walk = { };
	u64 nr = 0;

	while (buddy_pool_next(fx->pool, &walk)) {
		if (walk.state == BUDDY_POOL_STATE_USED) {
			KUNIT_EXPECT_EQ(test, release(test, walk.start), 0);
			nr++;
		}
	}
	return nr;
}

/* Nothing is allocated, and all buddies have merged: the pool is as it was new. */
static inline void expect_whole(struct kunit *test)
{
	const struct fixture *fx = fixture(test);
	const struct buddy_pool_usage *usage = look(test);
	unsigned int o;

	KUNIT_EXPECT_EQ(test, usage->free, usage->size);
	KUNIT_EXPECT_EQ(test, usage->nr_blocks, 0);
	KUNIT_EXPECT_EQ(test, usage->largest, fx->fresh.largest);
	for (o = 0; o < usage->nr_orders; o++)
		KUNIT_EXPECT_EQ(test, usage->order[o].size, fx->fresh.order[o].size);
}

/* Copies the last line of the kernel log that has @text in it to @line. */
static inline bool find_in_log(const char *text, char *line, size_t size)
{
	struct kmsg_dump_iter iter;
	bool found = false;
	char read[256];
	size_t length;

	kmsg_dump_rewind(&iter);
	while (kmsg_dump_get_line(&iter, false, read, sizeof(read) - 1, &length)) {
		read[length] = '\0';
		if (!strstr(read, text))
			continue;
		strscpy(line, read, size);
		found = true;
	}
	return found;
}

/* @seed: the module parameter; 0 for a new one. Printed, to be given again. */
static inline struct rnd_state random_from(struct kunit *test, u64 seed)
{
	struct rnd_state rnd;

	while (!seed)
		seed = get_random_u64();
	kunit_info(test, "seed=%llu", seed);
	prandom_seed_state(&rnd, seed);
	return rnd;
}

/* 0 to @end - 1; the bias does not matter. */
static inline u32 below(struct rnd_state *rnd, u32 end)
{
	return prandom_u32_state(rnd) % end;
}

#endif

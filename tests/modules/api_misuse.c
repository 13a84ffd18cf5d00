// SPDX-License-Identifier: GPL-2.0
/*
 * Mistakes of a client: refused, logged at most once for each kind, and without
 * effect on anybody else.
 */
#include <linux/err.h>
#include <linux/notifier.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "api_test.h"

/* Each function with @pool, which is none */
static void call_all(struct buddy_pool *pool, const char *what)
{
	struct buddy_pool_usage *usage = kzalloc(sizeof(*usage), GFP_KERNEL);
	const struct buddy_pool_request request = { .size = SZ_4K };
	static struct notifier_block notifier;
	struct buddy_pool_walk walk = { };
	struct buddy_pool_result result;
	enum buddy_pool_reason reason;
	u64 start, size;

	check(buddy_pool_alloc(pool, &request, &result) == -EINVAL, "M06 alloc from %s", what);
	check(result.reason == BUDDY_POOL_REASON_GONE, "M06 with a reason");
	check(buddy_pool_free(pool, 0, NULL) == -EINVAL, "M05 free to %s", what);
	check(buddy_pool_free(pool, 0, &reason) == -EINVAL &&
	      reason == BUDDY_POOL_REASON_GONE, "M05 with a reason");
	check(buddy_pool_query(pool, 0, &start, &size) == -EINVAL, "M06 query %s", what);
	check(!buddy_pool_next(pool, &walk), "M06 walk through %s", what);
	check(buddy_pool_reserve(pool, 0, SZ_4K) == -EINVAL, "M06 reserve in %s", what);
	check(buddy_pool_unreserve(pool, 0, SZ_4K) == -EINVAL, "M06 unreserve in %s", what);
	check(buddy_pool_register_notifier(pool, &notifier) == -EINVAL, "M06 ask %s", what);
	check(buddy_pool_unregister_notifier(pool, &notifier) == -EINVAL, "M06 nor be told");
	if (usage) {
		usage->size = 1;
		buddy_pool_usage(pool, usage);
		check(!usage->size, "M06 there are no statistics of %s", what);
	}
	kfree(usage);
	buddy_pool_put(pool);
	buddy_pool_destroy(pool);
	check(true, "M05 put and destroy of %s do nothing", what);
}

static void destroy_twice(void)
{
	const struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool *pool = api_create("twice", SZ_64K);
	struct buddy_pool_result block, other;

	if (!pool)
		return;
	check(buddy_pool_get("twice") == pool, "a reference of a user");
	check(!buddy_pool_alloc(pool, &request, &block), "a block");
	buddy_pool_destroy(pool);
	buddy_pool_destroy(pool);
	check(buddy_pool_alloc(pool, &request, &other) == -ENODEV,
	      "M03 destroyed twice, and the user's reference is good");
	check(other.reason == BUDDY_POOL_REASON_GONE, "M06 alloc from a destroyed pool");
	check(!buddy_pool_free(pool, block.address, NULL), "M04 its block is his to free");
	buddy_pool_put(pool);
	/* The memory is free now, and is not looked at: KASAN would say so. */
	buddy_pool_destroy(pool);
	buddy_pool_put(pool);
	buddy_pool_put(pool);
	check(!buddy_pool_get("twice"), "M03 destroyed and put once it is no more (M15)");
}

void api_misuse(void)
{
	check(PTR_ERR(buddy_pool_create(NULL)) == -EINVAL, "M01 create of nothing");
	call_all(NULL, "NULL");
	call_all(ERR_PTR(-ENOENT), "an ERR_PTR");
	destroy_twice();
}

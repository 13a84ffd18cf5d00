// SPDX-License-Identifier: GPL-2.0
/* Mistakes that only a debug kernel finds. */
#include <linux/kconfig.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>

#include "api_test.h"

/* The kernel complains, if it has DEBUG_ATOMIC_SLEEP; the request is served. */
void api_sleep(void)
{
	const struct buddy_pool_request request = { .size = SZ_4K,
						    .flags = BUDDY_POOL_MAY_SLEEP };
	struct buddy_pool *pool = api_create("sleep", SZ_64K);
	struct buddy_pool_result block;
	static DEFINE_SPINLOCK(lock);
	int err;

	if (!pool)
		return;
	err = buddy_pool_alloc(pool, &request, &block);
	check(!err, "MAY_SLEEP in process context");
	spin_lock(&lock);
	err = buddy_pool_alloc(pool, &request, &block);
	spin_unlock(&lock);
	check(!err, "M11 MAY_SLEEP with a spinlock held");
	buddy_pool_put(pool);
}

/* KASAN complains, and keeps the freed memory as it was. */
void api_use_after_put(void)
{
	const struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool *pool = api_create("dead", SZ_64K);
	struct buddy_pool_result block;

	if (!pool || !IS_ENABLED(CONFIG_KASAN))
		return;
	buddy_pool_put(pool);
	check(buddy_pool_alloc(pool, &request, &block) == -ENODEV,
	      "M14 alloc after the last put");
}

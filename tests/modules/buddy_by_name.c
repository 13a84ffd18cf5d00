// SPDX-License-Identifier: GPL-2.0
/*
 * A client that can do without us: it looks our functions up when it is loaded, and
 * keeps the one it found until it is unloaded.
 */
#include <linux/module.h>

#include "buddy_pool.h"

static int __init buddy_by_name_init(void)
{
	struct buddy_pool *(*get)(const char *name) = symbol_get(buddy_pool_get);

	if (!get)
		return -ENOENT;
	/* It is what it should be. */
	if (!get("no-such-pool"))
		return 0;
	symbol_put(buddy_pool_get);
	return -EIO;
}

static void __exit buddy_by_name_exit(void)
{
	symbol_put(buddy_pool_get);
}

module_init(buddy_by_name_init);
module_exit(buddy_by_name_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of buddy_pool: client that finds it by symbol_get()");

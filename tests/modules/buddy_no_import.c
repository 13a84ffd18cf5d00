// SPDX-License-Identifier: GPL-2.0
/*
 * M27: a client that does not import our namespace. It must not build; 'scripts/check
 * exports' tries.
 */
#include <linux/module.h>

#include "buddy_pool.h"

static int __init no_import_init(void)
{
	buddy_pool_put(buddy_pool_get("pool0"));
	return 0;
}

static void __exit no_import_exit(void)
{
}

module_init(no_import_init);
module_exit(no_import_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Client of buddy_pool that forgot to import its namespace");

// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel user that writes to its memory and does not clear it: takes a block of a
 * named pool, which must be one that is mapped write-combining, fills it with 0x77,
 * and has it until it is unloaded.
 */
#include <linux/io.h>
#include <linux/module.h>

#include "buddy_pool.h"

static char *pool = "pool0";
module_param(pool, charp, 0444);
MODULE_PARM_DESC(pool, "name of the pool");

static unsigned long size = 4096;
module_param(size, ulong, 0444);
MODULE_PARM_DESC(size, "bytes");

static struct buddy_pool *its_pool;
static struct buddy_pool_result block;

static int fill(void)
{
	void __iomem *io = ioremap_wc(block.address, block.size);

	if (!io)
		return -ENOMEM;
	memset_io(io, 0x77, block.size);
	iounmap(io);
	return 0;
}

static int __init buddy_writer_init(void)
{
	struct buddy_pool_request request = { .size = size };
	int err;

	its_pool = buddy_pool_get(pool);
	if (!its_pool)
		return -ENOENT;
	err = buddy_pool_alloc(its_pool, &request, &block);
	if (err)
		goto put_pool;
	err = fill();
	if (err)
		goto free_block;
	return 0;

free_block:
	buddy_pool_free(its_pool, block.address, NULL);
put_pool:
	buddy_pool_put(its_pool);
	return err;
}

static void __exit buddy_writer_exit(void)
{
	buddy_pool_free(its_pool, block.address, NULL);
	buddy_pool_put(its_pool);
}

module_init(buddy_writer_init);
module_exit(buddy_writer_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of buddy_pool: a kernel user that leaves data behind");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);

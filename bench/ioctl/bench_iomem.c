// SPDX-License-Identifier: GPL-2.0
/*
 * A range of device memory for User Mode Linux, which has none, so that a pool with
 * a node can be made there. It can be claimed and mapped; behind it is nothing, so
 * the pool must be one that is not zeroed.
 */
#include <linux/init.h>
#include <linux/ioport.h>
#include <linux/logic_iomem.h>
#include <linux/module.h>
#include <linux/sizes.h>

/* Far from UML's own memory */
static struct resource range = {
	.name = "bench_iomem",
	.start = 0x1000000000ULL,
	.end = 0x1000000000ULL + SZ_256M - 1,
	.flags = IORESOURCE_MEM,
};

static unsigned long bench_iomem_read(void *priv, unsigned int offset, int size)
{
	return 0;
}

static void bench_iomem_write(void *priv, unsigned int offset, int size, unsigned long value)
{
}

static const struct logic_iomem_ops bench_iomem_ops = {
	.read = bench_iomem_read,
	.write = bench_iomem_write,
};

static long bench_iomem_map(unsigned long offset, size_t size, const struct logic_iomem_ops **ops,
			    void **priv)
{
	*ops = &bench_iomem_ops;
	return 0;
}

static const struct logic_iomem_region_ops bench_iomem_region_ops = {
	.map = bench_iomem_map,
};

static int __init bench_iomem_init(void)
{
	return logic_iomem_add_region(&range, &bench_iomem_region_ops);
}

/* A region can't be taken back, so there is no exit. */
module_init(bench_iomem_init);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Memory of a device that is not there, for User Mode Linux");

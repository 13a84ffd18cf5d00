// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges: what somebody else owns is refused and stays as it is, and so does a
 * client's own mapping of a block. Needs a pool over a physical range, pool= at
 * base=, and for BARs the teaching device of QEMU, edu, without a driver.
 */
#include <linux/err.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include "api_test.h"

static long create_at(u64 base, u64 size)
{
	const struct buddy_pool_config config = { .base = base, .size = size, .claim = true };
	struct buddy_pool *pool = buddy_pool_create(&config);

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	buddy_pool_destroy(pool);
	return 0;
}

void api_ranges(void)
{
	check(create_at(api_base, SZ_1M) == -EBUSY, "M02 another pool's range");
	check(create_at(api_base - SZ_1M, SZ_2M) == -EBUSY, "M02 a part of it, and RAM");
	check(create_at(SZ_16M, SZ_1M) == -EBUSY, "M02 RAM");
	check(create_at(0xfec00000, SZ_4K) == -EBUSY, "M02 the interrupt controller");
	check(create_at(api_base, 0) == -EINVAL, "M01 no size");
	check(create_at(-(u64)SZ_4K, SZ_8K) == -EINVAL, "M01 a range that wraps");
	check(create_at(api_base + 1, SZ_4K) == -EINVAL, "M01 a base inside a page");
}

#define EDU_BAR_SIZE	SZ_1M

/* What a driver of the device does in its probe(), and another one again */
static void own_bar(struct pci_dev *pdev)
{
	struct buddy_pool_config config = { .name = "edu", .pdev = pdev };
	const struct buddy_pool_request request = { .size = SZ_4K };
	int users = atomic_read(&pdev->enable_cnt);
	struct buddy_pool *pool, *reference;
	struct buddy_pool_result block;

	pool = buddy_pool_create(&config);
	if (!check(!IS_ERR(pool), "a pool over a BAR"))
		return;
	config.name = NULL;
	check(PTR_ERR(buddy_pool_create(&config)) == -EBUSY, "M02 another one over it");
	check(!buddy_pool_alloc(pool, &request, &block), "a block");
	check(block.address - pci_resource_start(pdev, 0) < EDU_BAR_SIZE, "it is in the BAR");
	reference = buddy_pool_get("edu");
	buddy_pool_destroy(pool);
	/* The device may go now, whatever others still have. */
	check(!pci_request_region(pdev, 0, "api_test"), "M04 the BAR is free after destroy");
	check(atomic_read(&pdev->enable_cnt) == users, "and the device as it was");
	check(PTR_ERR(buddy_pool_create(&config)) == -EBUSY, "M02 a BAR of another module");
	check(atomic_read(&pdev->enable_cnt) == users, "M02 leaves the device as it was");
	pci_release_region(pdev, 0);
	check(!buddy_pool_free(reference, block.address, NULL), "M04 blocks can be freed");
	buddy_pool_put(reference);
}

void api_bars(void)
{
	struct pci_dev *pdev = pci_get_device(0x1234, 0x11e8, NULL);
	struct buddy_pool_config config = { .pdev = pdev, .bar = 3 };

	if (!check(pdev && !pdev->dev.driver, "there is an edu without a driver"))
		return;
	own_bar(pdev);
	check(PTR_ERR(buddy_pool_create(&config)) == -ENXIO, "M01 a BAR that is not there");
	config.bar = PCI_ROM_RESOURCE;
	check(PTR_ERR(buddy_pool_create(&config)) == -EINVAL, "M01 the ROM");
	config.bar = -1;
	check(PTR_ERR(buddy_pool_create(&config)) == -EINVAL, "M01 no BAR at all");
	config.bar = 0;
	config.size = EDU_BAR_SIZE + 1;
	check(PTR_ERR(buddy_pool_create(&config)) == -ENXIO, "M01 more than the BAR");
	pci_dev_put(pdev);
}

/* A mapping of a block is its maker's affair: it stays after the block is freed. */
void api_mappings(void)
{
	const struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool *pool = buddy_pool_get(api_pool);
	struct buddy_pool_result block, next;
	u32 __iomem *io;

	if (!check(pool, "the pool") ||
	    !check(!buddy_pool_alloc(pool, &request, &block), "a block"))
		return;
	io = ioremap_wc(block.address, SZ_4K);
	if (!check(io, "its mapping"))
		return;
	writel(0x12345678, io);
	check(!buddy_pool_free(pool, block.address, NULL), "the block is free");
	check(!buddy_pool_alloc(pool, &request, &next) && next.address == block.address,
	      "and has a new owner");
	check(readl(io) == 0x12345678, "M17 the old owner's mapping still shows it");
	iounmap(io);
	check(!buddy_pool_free(pool, next.address, NULL), "the new owner frees it");
	buddy_pool_put(pool);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * A driver to copy from: it takes the buffer that its device works on from a
 * named pool when it is bound to a device, and has it until it is unbound. If
 * there is no such pool yet, the driver core tries again later.
 *
 *	insmod buddy-pool.ko base=0x30000000 size=64M name=ddr
 *	insmod buddy_client.ko pool=ddr size=1048576
 *
 * The device is the teaching device of QEMU (-device edu). Where a real driver
 * would tell its device the address of the buffer, this one only logs that it
 * has one: the address itself is for the device, not for the log.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "buddy_pool.h"

static char *pool = "pool0";
module_param(pool, charp, 0444);
MODULE_PARM_DESC(pool, "Name of the pool that buffers come from (pool0)");

static ulong size = 1UL << 20;
module_param(size, ulong, 0444);
MODULE_PARM_DESC(size, "Bytes of buffer for each device (1 MiB)");

static int buddy_client_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct buddy_pool_request request = {
		.size = size,
		/* probe() may sleep, so let the pool search to the end. */
		.flags = BUDDY_POOL_MAY_SLEEP,
	};
	struct buddy_pool_result buffer;
	struct buddy_pool *from;
	int err;

	from = devm_buddy_pool_get(&pdev->dev, pool);
	if (IS_ERR(from))
		return dev_err_probe(&pdev->dev, PTR_ERR(from), "no pool %s\n", pool);
	err = devm_buddy_pool_alloc(&pdev->dev, from, &request, &buffer);
	if (err)
		return dev_err_probe(&pdev->dev, err, "no buffer of %lu bytes: reason %d\n", size,
				     buffer.reason);
	dev_info(&pdev->dev, "has a buffer of %llu bytes from %s\n", buffer.size, pool);
	return 0;
}

/*
 * Also called before the pool's own device goes. After this the buffer and the
 * pool are given back, so the device must not use the buffer any more.
 */
static void buddy_client_remove(struct pci_dev *pdev)
{
	dev_info(&pdev->dev, "lets go of its buffer\n");
}

static const struct pci_device_id buddy_client_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, buddy_client_ids);

static struct pci_driver buddy_client_driver = {
	.name = KBUILD_MODNAME,
	.id_table = buddy_client_ids,
	.probe = buddy_client_probe,
	.remove = buddy_client_remove,
};
module_pci_driver(buddy_client_driver);

MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);
MODULE_DESCRIPTION("Example of a driver that takes memory from a buddy_pool");

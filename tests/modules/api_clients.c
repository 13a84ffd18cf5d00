// SPDX-License-Identifier: GPL-2.0
/*
 * Clients that stay until the module is unloaded: one without a device, which is
 * told that its pool goes, a driver that makes a pool of its own device's BAR, and one
 * that has claimed a BAR first.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "api_test.h"

#define MAGIC	0x600dcafe

static struct {
	struct buddy_pool *pool;
	struct notifier_block notifier;
	struct mutex lock;		/* all below */
	u64 address;
	u32 __iomem *io;		/* of the block, as long as there is one */
} listener = { .lock = __MUTEX_INITIALIZER(listener.lock) };

static void let_go(void)
{
	lockdep_assert_held(&listener.lock);
	if (!listener.io)
		return;
	iounmap(listener.io);
	listener.io = NULL;
	if (buddy_pool_free(listener.pool, listener.address, NULL))
		pr_info("can't free its block\n");
}

/* The range is still there, and the block is still its own: what it wrote it reads. */
static int pool_goes(struct notifier_block *notifier, unsigned long event, void *pool)
{
	const struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result other;
	bool good = event == BUDDY_POOL_GOING && pool == listener.pool;

	good &= buddy_pool_alloc(pool, &request, &other) == -ENODEV;
	mutex_lock(&listener.lock);
	good &= listener.io && readl(listener.io) == MAGIC;
	let_go();
	mutex_unlock(&listener.lock);
	pr_info("told that its pool goes: %s\n", good ? "good" : "bad");
	return NOTIFY_OK;
}

int api_listener_start(void)
{
	const struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result block;
	int err;

	listener.pool = buddy_pool_get(api_pool);
	if (!listener.pool)
		return -ENOENT;
	err = buddy_pool_alloc(listener.pool, &request, &block);
	if (err)
		goto put_pool;
	listener.address = block.address;
	listener.io = ioremap_wc(block.address, SZ_4K);
	if (!listener.io) {
		err = -ENOMEM;
		goto free_block;
	}
	writel(MAGIC, listener.io);
	listener.notifier.notifier_call = pool_goes;
	err = buddy_pool_register_notifier(listener.pool, &listener.notifier);
	if (!err)
		return 0;
	iounmap(listener.io);
free_block:
	buddy_pool_free(listener.pool, block.address, NULL);
put_pool:
	buddy_pool_put(listener.pool);
	return err;
}

/* The order to copy: no notice comes any more, then let go, then put. */
void api_listener_stop(void)
{
	int err = buddy_pool_unregister_notifier(listener.pool, &listener.notifier);

	if (err)
		pr_info("can't unregister its notifier: %d\n", err);
	mutex_lock(&listener.lock);
	let_go();
	mutex_unlock(&listener.lock);
	buddy_pool_put(listener.pool);
}

/* The BAR 2 of QEMU's ivshmem devices becomes the pool pool=. */
static int supplier_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	const struct buddy_pool_config config = { .name = api_pool, .pdev = pdev, .bar = 2 };
	struct buddy_pool *pool = devm_buddy_pool_create(&pdev->dev, &config);
	struct pci_dev *other;

	if (IS_ERR(pool))
		return PTR_ERR(pool);
	/*
	 * This may fail yet, and nobody would unbind the client's driver, which waits for
	 * the pool, from its device.
	 */
	other = pci_get_device(0x1234, 0x11e8, NULL);
	if (other && device_attach(&other->dev) >= 0)
		pr_info("in its probe() the client has %s device\n",
			other->dev.driver ? "a" : "no");
	pci_dev_put(other);
	return 0;
}

static void supplier_remove(struct pci_dev *pdev)
{
	struct buddy_pool *pool = buddy_pool_get(api_pool);
	struct buddy_pool_usage *usage = kzalloc(sizeof(*usage), GFP_KERNEL);

	if (pool && usage) {
		buddy_pool_usage(pool, usage);
		pr_info("supplier goes with %llu blocks\n", usage->nr_blocks);
	}
	kfree(usage);
	buddy_pool_put(pool);
}

static const struct pci_device_id supplier_ids[] = {
	{ PCI_DEVICE(0x1af4, 0x1110) },
	{ }
};

static struct pci_driver supplier_driver = {
	.name = KBUILD_MODNAME,
	.id_table = supplier_ids,
	.probe = supplier_probe,
	.remove = supplier_remove,
};

int api_supplier_start(void)
{
	return pci_register_driver(&supplier_driver);
}

void api_supplier_stop(void)
{
	pci_unregister_driver(&supplier_driver);
}

/* Who has a BAR without being its device's driver */
static struct pci_dev *rival;

int api_rival_start(void)
{
	int err;

	rival = pci_get_device(0x1af4, 0x1110, NULL);
	if (!rival)
		return -ENODEV;
	err = pci_request_region(rival, 2, "rival");
	if (err)
		pci_dev_put(rival);
	return err;
}

void api_rival_stop(void)
{
	pci_release_region(rival, 2);
	pci_dev_put(rival);
}

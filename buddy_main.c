// SPDX-License-Identifier: GPL-2.0
/*
 * The way in: module parameters, and the pools that they ask for. buddy_admin.c
 * makes them.
 *
 *	insmod buddy-pool.ko base=0x30000000 size=64M
 *	insmod buddy-pool.ko pci=0000:03:00.0 bar=2 name=card
 *	insmod buddy-pool.ko base=0x30000000,0x34000000 size=64M,16M \
 *		pci=0000:03:00.0 bar=2 name=low,high,card
 *
 * With neither base= nor pci= the module is a library for other modules. If any
 * pool can't be made, the module does not load, and leaves nothing behind.
 */
#define pr_fmt(fmt) "buddy_pool: " fmt

#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/sched.h>
#include <linux/suspend.h>

#include "buddy_compat.h"
#include "buddy_internal.h"

#define MAX_POOLS 16

static char *base[MAX_POOLS];
static unsigned int nr_bases;
/* Addresses are for root. */
module_param_hw_array(base, charp, iomem, &nr_bases, 0400);
MODULE_PARM_DESC(base, "First physical address of each range; page aligned");

static char *size[MAX_POOLS];
static unsigned int nr_sizes;
module_param_array(size, charp, &nr_sizes, 0444);
MODULE_PARM_DESC(size, "Size of each range in bytes, or with K, M, G, T");

static char *pci[MAX_POOLS];
static unsigned int nr_devices;
module_param_array(pci, charp, &nr_devices, 0444);
MODULE_PARM_DESC(pci, "PCI devices, as 0000:03:00.0");

static char *bar[MAX_POOLS];
static unsigned int nr_bars;
module_param_array(bar, charp, &nr_bars, 0444);
MODULE_PARM_DESC(bar, "BAR of each PCI device, 0 to 5");

static char *name[MAX_POOLS];
static unsigned int nr_names;
module_param_array(name, charp, &nr_names, 0444);
MODULE_PARM_DESC(name, "Names, of the ranges first, then of the PCI devices (pool0, pool1, ...)");

static char *min_block;
module_param(min_block, charp, 0444);
MODULE_PARM_DESC(min_block, "Granularity in bytes: a power of two, at least a page (a page)");

static char *min_alloc;
module_param(min_alloc, charp, 0444);
MODULE_PARM_DESC(min_alloc, "Least size of a request in bytes, at least 1 (1)");

static char *max_alloc;
module_param(max_alloc, charp, 0444);
MODULE_PARM_DESC(max_alloc, "Greatest size of a request in bytes (size of the pool)");

static char *shards;
module_param(shards, charp, 0444);
MODULE_PARM_DESC(shards, "Parts with a lock of their own, for many CPUs (about one for each CPU, or for 65536 blocks)");

static char *cache;
module_param(cache, charp, 0444);
MODULE_PARM_DESC(cache, "Mappings: uc, wc, wb or auto (uc for BARs that are not prefetchable, else wc)");

static char *zero;
module_param(zero, charp, 0444);
MODULE_PARM_DESC(zero, "Zero blocks on alloc, on free (and all at load), or never (alloc)");

static bool share_dirty;
module_param(share_dirty, bool, 0444);
MODULE_PARM_DESC(share_dirty, "With zero=never, let users without CAP_SYS_RAWIO open the node (no)");

static char *max_file_bytes;
module_param(max_file_bytes, charp, 0444);
MODULE_PARM_DESC(max_file_bytes, "Most bytes for an open file (no limit)");

static char *max_user_bytes;
module_param(max_user_bytes, charp, 0444);
MODULE_PARM_DESC(max_user_bytes, "Most bytes for a user (no limit)");

static char *max_file_blocks;
module_param(max_file_blocks, charp, 0444);
MODULE_PARM_DESC(max_file_blocks, "Most blocks for an open file (65536)");

static char *max_user_blocks;
module_param(max_user_blocks, charp, 0444);
MODULE_PARM_DESC(max_user_blocks, "Most blocks for a user (no limit)");

/* In order of creation; what is there is all that has to be undone */
static struct buddy_admin_pool *pools[MAX_POOLS];
static unsigned int nr_pools;

static int check_counts(void)
{
	if (nr_bases != nr_sizes) {
		pr_err("%u base= but %u size=: each range needs both\n", nr_bases, nr_sizes);
		return -EINVAL;
	}
	if (nr_devices != nr_bars) {
		pr_err("%u pci= but %u bar=: each device needs both\n", nr_devices, nr_bars);
		return -EINVAL;
	}
	if (nr_bases + nr_devices > MAX_POOLS || nr_names > nr_bases + nr_devices) {
		pr_err("%u ranges and devices, %u names: at most %d pools, a name for each\n",
		       nr_bases + nr_devices, nr_names, MAX_POOLS);
		return -EINVAL;
	}
	return 0;
}

/* What all pools have in common */
static void get_common(struct buddy_settings *settings)
{
	*settings = (struct buddy_settings){
		.min_block = min_block,
		.min_alloc = min_alloc,
		.max_alloc = max_alloc,
		.shards = shards,
		.cache = cache,
		.zero = zero,
		.share_dirty = share_dirty ? "1" : "0",
		.max_file_bytes = max_file_bytes,
		.max_file_blocks = max_file_blocks,
		.max_user_bytes = max_user_bytes,
		.max_user_blocks = max_user_blocks,
	};
}

/* Names come in the order of the pools, whatever they are made of. */
static int add_pool(struct buddy_settings *settings)
{
	struct buddy_admin_pool *pool;
	char default_name[16];

	scnprintf(default_name, sizeof(default_name), "pool%u", nr_pools);
	settings->name = nr_pools < nr_names ? name[nr_pools] : default_name;
	pool = buddy_admin_create(settings);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	pools[nr_pools++] = pool;
	return 0;
}

static int add_pools(void)
{
	struct buddy_settings settings;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < nr_bases; i++) {
		get_common(&settings);
		settings.base = base[i];
		settings.size = size[i];
		err = add_pool(&settings);
	}
	for (i = 0; !err && i < nr_devices; i++) {
		get_common(&settings);
		settings.pci = pci[i];
		settings.bar = bar[i];
		err = add_pool(&settings);
	}
	return err;
}

/* What memory holds after the machine slept is up to the device that it is on. */
static int on_sleep(struct notifier_block *notifier, unsigned long event, void *unused)
{
	switch (event) {
	case PM_SUSPEND_PREPARE:
	case PM_HIBERNATION_PREPARE:
	case PM_RESTORE_PREPARE:
		buddy_pool_set_asleep(true);
		break;
	case PM_POST_HIBERNATION:
		pr_info("hibernation was tried: if the machine was off, the memory of all pools may hold anything\n");
		fallthrough;
	default:
		buddy_pool_set_asleep(false);
	}
	return NOTIFY_DONE;
}

static struct notifier_block sleep_notifier = { .notifier_call = on_sleep };

static void remove_all(void)
{
	/* The pools over BARs go with the driver. */
	buddy_pci_unregister();
	while (nr_pools)
		buddy_admin_destroy(pools[--nr_pools]);
	unregister_pm_notifier(&sleep_notifier);
	buddy_block_exit();
}

/*
 * The nodes are gone, and so is the module if init() fails, whoever has it: let those
 * leave who were refused by open().
 */
static void wait_for_openers(void)
{
	while (bp_module_is_used())
		schedule_timeout_uninterruptible(1);
}

static int __init buddy_pool_init(void)
{
	struct buddy_settings common;
	struct buddy_pool_config config;
	struct buddy_policy policy;
	int err;

	get_common(&common);
	err = check_counts() ?: buddy_settings_parse(&common, &config, &policy);
	if (err)
		return err;
	err = buddy_block_init();
	if (err)
		return err;
	err = register_pm_notifier(&sleep_notifier);
	if (err)
		goto exit_block;
	err = buddy_pci_register(&config, &policy);
	if (err)
		goto unregister;
	err = add_pools();
	if (err) {
		remove_all();
		wait_for_openers();
		return err;
	}
	if (!nr_pools)
		/* Wanted, or a misspelt parameter: the kernel takes those for nothing. */
		pr_info("no pool yet: neither base= and size= nor pci= and bar= were given\n");
	return 0;

unregister:
	unregister_pm_notifier(&sleep_notifier);
exit_block:
	buddy_block_exit();
	return err;
}

static void __exit buddy_pool_exit(void)
{
	remove_all();
}

module_init(buddy_pool_init);
module_exit(buddy_pool_exit);

MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
MODULE_DESCRIPTION("Buddy allocator for device memory: physical ranges and PCI BARs");

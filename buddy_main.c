// SPDX-License-Identifier: GPL-2.0
/*
 * The way in: module parameters, and the pools that they ask for.
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

#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "buddy_internal.h"

#define MAX_POOLS	BUDDY_POOL_MAX_POOLS

static char *base[MAX_POOLS];
static unsigned int nr_bases;
module_param_hw_array(base, charp, iomem, &nr_bases, 0444);
MODULE_PARM_DESC(base, "First physical address of each range; page aligned");

static char *size[MAX_POOLS];
static unsigned int nr_sizes;
module_param_array(size, charp, &nr_sizes, 0444);
MODULE_PARM_DESC(size, "Size of each range in bytes, or with K, M, G, T");

static char *pci[MAX_POOLS];
static unsigned int nr_devices;
module_param_array(pci, charp, &nr_devices, 0444);
MODULE_PARM_DESC(pci, "PCI devices, as 0000:03:00.0");

static int bar[MAX_POOLS];
static unsigned int nr_bars;
module_param_array(bar, int, &nr_bars, 0444);
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

static unsigned int shards;
module_param(shards, uint, 0444);
MODULE_PARM_DESC(shards, "Parts with a lock of their own, for many CPUs (as many as CPUs, of 65536 blocks or more)");

static char *cache = "auto";
module_param(cache, charp, 0444);
MODULE_PARM_DESC(cache, "Mappings: uc, wc, wb or auto (uc for BARs that are not prefetchable, else wc)");

static char *zero = "alloc";
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

static char *max_file_blocks = "65536";
module_param(max_file_blocks, charp, 0444);
MODULE_PARM_DESC(max_file_blocks, "Most blocks for an open file (65536)");

static char *max_user_blocks;
module_param(max_user_blocks, charp, 0444);
MODULE_PARM_DESC(max_user_blocks, "Most blocks for a user (no limit)");

/* In order of creation; what is there is all that has to be undone */
static struct {
	struct buddy_pool *pool;
	struct buddy_node *node;
} pools[MAX_POOLS];
static unsigned int nr_pools;

/*
 * Reading parameters
 */

/* A number of bytes: 67108864, 0x4000000, 64M. All of the text must be one. */
static int parse_bytes(const char *parameter, const char *text, u64 *bytes)
{
	static const char suffixes[] = "KMGT";
	size_t length = strlen(text);
	unsigned int shift = 0;
	const char *suffix;
	char digits[24];

	if (length && length < sizeof(digits)) {
		strscpy(digits, text, sizeof(digits));
		suffix = strchr(suffixes, toupper(digits[length - 1]));
		if (suffix) {
			shift = 10 * (suffix - suffixes + 1);
			digits[length - 1] = '\0';
		}
		if (!kstrtou64(digits, 0, bytes) && *bytes <= U64_MAX >> shift) {
			*bytes <<= shift;
			return 0;
		}
	}
	pr_err("%s=%s is no number of bytes, such as 0x30000000 or 64M\n", parameter, text);
	return -EINVAL;
}

static int parse_optional(const char *parameter, const char *text, u64 *bytes)
{
	return text ? parse_bytes(parameter, text, bytes) : 0;
}

/* The names of the choices, from value 0 on; a NULL one can't be chosen */
static int parse_choice(const char *parameter, const char *text, const char *const choices[],
			unsigned int nr_choices, unsigned int *value)
{
	int found = match_string(choices, nr_choices, text);

	if (found < 0 || !text[0]) {
		pr_err("%s=%s is unknown; see modinfo\n", parameter, text);
		return -EINVAL;
	}
	*value = found;
	return 0;
}

static int parse_limits(struct buddy_pool_config *config)
{
	static const char *const caches[] = { "auto", "uc", "wc", "wb" };
	int err;

	config->min_block = PAGE_SIZE;
	config->min_alloc = 1;
	config->shards = shards;
	err = parse_optional("min_block", min_block, &config->min_block) ?:
	      parse_optional("min_alloc", min_alloc, &config->min_alloc) ?:
	      parse_optional("max_alloc", max_alloc, &config->max_alloc) ?:
	      parse_choice("cache", cache, caches, ARRAY_SIZE(caches), &config->cache);
	if (err)
		return err;
	if (!is_power_of_2(config->min_block) || config->min_block < PAGE_SIZE) {
		pr_err("min_block=%s must be a power of two and at least the page size, %lu\n",
		       min_block, PAGE_SIZE);
		return -EINVAL;
	}
	if (!config->min_alloc) {
		pr_err("min_alloc=%s must be at least 1\n", min_alloc);
		return -EINVAL;
	}
	if (max_alloc && !config->max_alloc) {
		pr_err("max_alloc=%s must be at least 1\n", max_alloc);
		return -EINVAL;
	}
	return 0;
}

static int parse_policy(struct buddy_policy *policy)
{
	static const char *const zeros[] = { "", "never", "alloc", "free" };
	unsigned int when;
	int err;

	*policy = (struct buddy_policy){
		.share_dirty = share_dirty,
		.max_file_blocks = U64_MAX,
		.max_file_bytes = U64_MAX,
		.max_user_blocks = U64_MAX,
		.max_user_bytes = U64_MAX,
	};
	err = parse_choice("zero", zero, zeros, ARRAY_SIZE(zeros), &when) ?:
	      parse_optional("max_file_blocks", max_file_blocks, &policy->max_file_blocks) ?:
	      parse_optional("max_file_bytes", max_file_bytes, &policy->max_file_bytes) ?:
	      parse_optional("max_user_blocks", max_user_blocks, &policy->max_user_blocks) ?:
	      parse_optional("max_user_bytes", max_user_bytes, &policy->max_user_bytes);
	if (err)
		return err;
	policy->zero = when;
	return 0;
}

/* The device, with a reference, or an ERR_PTR(); the form is exactly 0000:03:00.0 */
static struct pci_dev *parse_device(const char *text)
{
	unsigned int domain, bus, slot, function;
	struct pci_dev *pdev;
	char form[16] = "?";

	if (sscanf(text, "%4x:%2x:%2x.%1u", &domain, &bus, &slot, &function) == 4 &&
	    slot <= 0x1f && function <= 7)
		scnprintf(form, sizeof(form), "%04x:%02x:%02x.%u", domain, bus, slot, function);
	if (strcasecmp(form, text)) {
		pr_err("pci=%.20s is no PCI device, such as 0000:03:00.0\n", text);
		return ERR_PTR(-EINVAL);
	}
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!pdev) {
		pr_err("pci=%s: there is no such device\n", text);
		return ERR_PTR(-ENODEV);
	}
	return pdev;
}

/*
 * Making pools
 */

/* Names come in the order of the pools, whatever they are made of. */
static void set_name(struct buddy_pool_config *config, unsigned int i, char *default_name,
		     size_t size)
{
	scnprintf(default_name, size, "pool%u", i);
	config->name = i < nr_names ? name[i] : default_name;
}

static int add_pool(struct buddy_pool_config *config, const struct buddy_policy *policy)
{
	struct buddy_pool *pool;
	struct buddy_node *node;

	pool = buddy_pool_create(config);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	node = buddy_node_create(pool, policy);
	if (IS_ERR(node)) {
		buddy_pool_put(pool);
		return PTR_ERR(node);
	}
	pools[nr_pools].pool = pool;
	pools[nr_pools].node = node;
	nr_pools++;
	return 0;
}

static void remove_pools(void)
{
	while (nr_pools) {
		nr_pools--;
		buddy_node_destroy(pools[nr_pools].node);
		buddy_pool_put(pools[nr_pools].pool);
	}
}

static int add_phys(unsigned int i, struct buddy_pool_config *config,
		    const struct buddy_policy *policy)
{
	char default_name[16];
	int err;

	err = parse_bytes("base", base[i], &config->base) ?:
	      parse_bytes("size", size[i], &config->size);
	if (err)
		return err;
	config->claim = true;
	set_name(config, i, default_name, sizeof(default_name));
	return add_pool(config, policy);
}

static int add_bar(unsigned int i, struct buddy_pool_config *config)
{
	char default_name[16];
	int err;

	if (bar[i] < 0 || bar[i] >= PCI_STD_NUM_BARS) {
		pr_err("bar=%d must be 0 to %d\n", bar[i], PCI_STD_NUM_BARS - 1);
		return -EINVAL;
	}
	config->pdev = parse_device(pci[i]);
	if (IS_ERR(config->pdev))
		return PTR_ERR(config->pdev);
	config->bar = bar[i];
	set_name(config, nr_bases + i, default_name, sizeof(default_name));
	err = buddy_pci_attach(config);
	pci_dev_put(config->pdev);
	return err;
}

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

static int add_pools(const struct buddy_pool_config *limits, const struct buddy_policy *policy)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < nr_bases; i++) {
		struct buddy_pool_config config = *limits;

		err = add_phys(i, &config, policy);
	}
	for (i = 0; !err && i < nr_devices; i++) {
		struct buddy_pool_config config = *limits;

		err = add_bar(i, &config);
	}
	return err;
}

static int __init buddy_pool_init(void)
{
	struct buddy_pool_config limits = { };
	struct buddy_policy policy;
	int err;

	err = check_counts() ?: parse_limits(&limits) ?: parse_policy(&policy);
	if (err)
		return err;
	err = buddy_pci_register(&limits, &policy);
	if (err)
		return err;
	err = add_pools(&limits, &policy);
	if (err) {
		buddy_pci_unregister();
		remove_pools();
	}
	return err;
}

static void __exit buddy_pool_exit(void)
{
	buddy_pci_unregister();
	remove_pools();
}

module_init(buddy_pool_init);
module_exit(buddy_pool_exit);

MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
MODULE_DESCRIPTION("Buddy allocator for device memory: physical ranges and PCI BARs");

// SPDX-License-Identifier: GPL-2.0
/*
 * Pools that the administrator asks for, by module parameters or configfs: from
 * settings, which are text, to a pool with a node, and back.
 *
 * The text is checked to its end. Whatever is wrong is told in one log line.
 */
#define pr_fmt(fmt) "buddy_pool: " fmt

#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "buddy_internal.h"
#include "buddy_layout.h"

/* One over a range has @pool and @node, one over a BAR has @pdev and @id. */
struct buddy_admin_pool {
	struct buddy_pool *pool;
	struct buddy_node *node;
	struct pci_dev *pdev;
	u64 id;
};

/*
 * Text to values. A NULL is a setting that was not made: the value stays.
 */

/* A number of bytes: 67108864, 0x4000000, 64M. All of the text must be one. */
static int parse_bytes(const char *setting, const char *text, u64 *bytes)
{
	static const char suffixes[] = "KMGT";
	size_t length = text ? strlen(text) : 0;
	unsigned int shift = 0;
	const char *suffix;
	char digits[24];

	if (!text)
		return 0;
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
	pr_err("%s=%.40s is no number of bytes, such as 0x30000000 or 64M\n", setting, text);
	return -EINVAL;
}

static int parse_number(const char *setting, const char *text, unsigned int last,
			unsigned int *number)
{
	unsigned int value;

	if (!text)
		return 0;
	if (!kstrtouint(text, 0, &value) && value <= last) {
		*number = value;
		return 0;
	}
	pr_err("%s=%.40s must be 0 %s %u\n", setting, text, last == 1 ? "or" : "to", last);
	return -EINVAL;
}

static int parse_bool(const char *setting, const char *text, bool *value)
{
	unsigned int number = *value;
	int err;

	err = parse_number(setting, text, 1, &number);
	*value = number;
	return err;
}

/* The names of the choices, from value 0 on; an empty one can't be chosen */
static int parse_choice(const char *setting, const char *text, const char *const choices[],
			unsigned int nr_choices, unsigned int *value)
{
	int found;

	if (!text)
		return 0;
	found = match_string(choices, nr_choices, text);
	if (found < 0 || !text[0]) {
		pr_err("%s=%.40s is unknown; see modinfo buddy_pool\n", setting, text);
		return -EINVAL;
	}
	*value = found;
	return 0;
}

/* Exactly the form 0000:03:00.0 */
static int parse_device(const char *text, unsigned int *domain, unsigned int *bus,
			unsigned int *devfn)
{
	unsigned int slot, function;
	char form[16] = "?";

	if (!text)
		return 0;
	if (sscanf(text, "%4x:%2x:%2x.%1u", domain, bus, &slot, &function) == 4 && slot <= 0x1f &&
	    function <= 7)
		scnprintf(form, sizeof(form), "%04x:%02x:%02x.%u", *domain, *bus, slot, function);
	if (strcasecmp(form, text)) {
		pr_err("pci=%.20s is no PCI device, such as 0000:03:00.0\n", text);
		return -EINVAL;
	}
	*devfn = PCI_DEVFN(slot, function);
	return 0;
}

static int parse_place(const struct buddy_settings *settings, struct buddy_pool_config *config)
{
	unsigned int bar = 0, domain, bus, devfn;
	int err;

	err = parse_bytes("base", settings->base, &config->base) ?:
	      parse_bytes("size", settings->size, &config->size) ?:
	      parse_device(settings->pci, &domain, &bus, &devfn) ?:
	      parse_number("bar", settings->bar, PCI_STD_NUM_BARS - 1, &bar);
	config->bar = bar;
	return err;
}

static int parse_limits(const struct buddy_settings *settings, struct buddy_pool_config *config)
{
	static const char *const caches[] = { "auto", "uc", "wc", "wb" };
	int err;

	config->min_block = PAGE_SIZE;
	config->min_alloc = 1;
	err = parse_bytes("min_block", settings->min_block, &config->min_block) ?:
	      parse_bytes("min_alloc", settings->min_alloc, &config->min_alloc) ?:
	      parse_bytes("max_alloc", settings->max_alloc, &config->max_alloc) ?:
	      parse_number("shards", settings->shards, INT_MAX, &config->shards) ?:
	      parse_choice("cache", settings->cache, caches, ARRAY_SIZE(caches), &config->cache);
	if (err)
		return err;
	if (!buddy_is_power_of_2(config->min_block) || config->min_block < PAGE_SIZE) {
		pr_err("min_block=%s must be a power of two and at least the page size, %lu\n",
		       settings->min_block, PAGE_SIZE);
		return -EINVAL;
	}
	if (!config->min_alloc) {
		pr_err("min_alloc=%s must be at least 1\n", settings->min_alloc);
		return -EINVAL;
	}
	if (settings->max_alloc && !config->max_alloc) {
		pr_err("max_alloc=%s must be at least 1\n", settings->max_alloc);
		return -EINVAL;
	}
	return 0;
}

static int parse_quotas(const struct buddy_settings *from, struct buddy_policy *policy)
{
	return parse_bytes("max_file_blocks", from->max_file_blocks, &policy->max_file_blocks) ?:
	       parse_bytes("max_file_bytes", from->max_file_bytes, &policy->max_file_bytes) ?:
	       parse_bytes("max_user_blocks", from->max_user_blocks, &policy->max_user_blocks) ?:
	       parse_bytes("max_user_bytes", from->max_user_bytes, &policy->max_user_bytes);
}

static int parse_policy(const struct buddy_settings *settings, struct buddy_policy *policy)
{
	static const char *const zeros[] = { "", "never", "alloc", "free" };
	unsigned int when = BUDDY_POOL_ZERO_ALLOC;
	int err;

	*policy = (struct buddy_policy){
		.max_file_blocks = 65536,
		.max_file_bytes = U64_MAX,
		.max_user_blocks = U64_MAX,
		.max_user_bytes = U64_MAX,
	};
	err = parse_choice("zero", settings->zero, zeros, ARRAY_SIZE(zeros), &when) ?:
	      parse_bool("share_dirty", settings->share_dirty, &policy->share_dirty) ?:
	      parse_quotas(settings, policy);
	policy->zero = when;
	return err;
}

/**
 * buddy_settings_parse() - text to values
 * @settings: the text; what is NULL gets its default
 * @config: the values. Its name is that of @settings, and pdev is not set
 * @policy: likewise
 *
 * Each setting is looked at for itself, so that one alone can be checked.
 *
 * Context: Any context but NMI.
 * Return: 0, or -EINVAL and a line in the log.
 */
int buddy_settings_parse(const struct buddy_settings *settings, struct buddy_pool_config *config,
			 struct buddy_policy *policy)
{
	*config = (struct buddy_pool_config){ .name = settings->name };
	return parse_place(settings, config) ?:
	       parse_limits(settings, config) ?:
	       parse_policy(settings, policy);
}
EXPORT_SYMBOL_GPL(buddy_settings_parse);

/*
 * Making pools, and taking them away
 */

static int check_complete(const struct buddy_settings *settings)
{
	const char *fault = NULL;

	if (settings->base && settings->pci)
		fault = "both base and pci are given: a pool has one of them";
	else if (!settings->base && !settings->pci)
		fault = "neither base and size nor pci and bar are given";
	else if (settings->base && !settings->size)
		fault = "base is given without size";
	else if (settings->pci && !settings->bar)
		fault = "pci is given without bar";
	else if (settings->pci && settings->size)
		fault = "size is given with pci: a pool over a BAR has all of it";
	else if (settings->base && settings->bar)
		fault = "bar is given with base, which is no BAR";
	if (!fault)
		return 0;
	pr_err("%s: %s\n", settings->name, fault);
	return -EINVAL;
}

static int make_phys(struct buddy_admin_pool *made, struct buddy_pool_config *config,
		     const struct buddy_policy *policy)
{
	config->claim = true;
	made->pool = buddy_pool_create_for(NULL, config);
	if (IS_ERR(made->pool))
		return PTR_ERR(made->pool);
	made->node = buddy_node_create(made->pool, policy, current);
	if (IS_ERR(made->node)) {
		buddy_pool_destroy(made->pool);
		return PTR_ERR(made->node);
	}
	return 0;
}

static int make_bar(struct buddy_admin_pool *made, const char *device,
		    struct buddy_pool_config *config, const struct buddy_policy *policy)
{
	unsigned int domain, bus, devfn;
	int err;

	err = parse_device(device, &domain, &bus, &devfn);
	if (err)
		return err;
	config->pdev = pci_get_domain_bus_and_slot(domain, bus, devfn);
	if (!config->pdev) {
		pr_err("pci=%s: there is no such device\n", device);
		return -ENODEV;
	}
	err = buddy_pci_attach(config, policy, &made->id);
	if (err)
		pci_dev_put(config->pdev);
	else
		made->pdev = config->pdev;
	return err;
}

/**
 * buddy_admin_create() - make a pool with a node
 * @settings: its name, and either base and size or pci and bar, and more
 *
 * Context: Process context. May sleep.
 * Return: the pool or an ERR_PTR(), as buddy_pool_create(); -ENODEV if there is no
 *	such device.
 */
struct buddy_admin_pool *buddy_admin_create(const struct buddy_settings *settings)
{
	struct buddy_pool_config config;
	struct buddy_admin_pool *made;
	struct buddy_policy policy;
	int err;

	err = buddy_settings_parse(settings, &config, &policy) ?: check_complete(settings);
	if (err)
		return ERR_PTR(err);
	made = kzalloc(sizeof(*made), GFP_KERNEL);
	if (!made)
		return ERR_PTR(-ENOMEM);
	if (settings->pci)
		err = make_bar(made, settings->pci, &config, &policy);
	else
		err = make_phys(made, &config, &policy);
	if (err) {
		kfree(made);
		return ERR_PTR(err);
	}
	return made;
}
EXPORT_SYMBOL_GPL(buddy_admin_create);

/**
 * buddy_admin_destroy() - take a pool away, whoever uses it
 * @made: the pool. One over a BAR must have gone with its device's driver.
 */
void buddy_admin_destroy(struct buddy_admin_pool *made)
{
	if (made->pdev) {
		pci_dev_put(made->pdev);
	} else {
		buddy_node_destroy(made->node);
		buddy_pool_put(made->pool);
	}
	kfree(made);
}

/**
 * buddy_admin_retire() - take a pool away if nobody uses it
 * @made: the pool; freed on success
 *
 * Context: Process context. May sleep.
 * Return: 0; -EBUSY if there is an open file, a mapping or a kernel client; -EINTR after a
 * fatal signal.
 */
int buddy_admin_retire(struct buddy_admin_pool *made)
{
	int err;

	if (made->pdev)
		err = buddy_pci_detach(made->pdev, made->id);
	else
		err = buddy_node_retire(made->node);
	if (!err)
		buddy_admin_destroy(made);
	return err;
}
EXPORT_SYMBOL_GPL(buddy_admin_retire);

/**
 * buddy_admin_is_gone() - did the device go away, and the pool with it?
 * @made: the pool
 *
 * Context: Process context.
 * Return: 1 if so; buddy_admin_retire() is still due. 0 if not; -EINTR after a signal.
 */
int buddy_admin_is_gone(const struct buddy_admin_pool *made)
{
	int has = made->pdev ? buddy_pci_has(made->pdev, made->id) : 1;

	return has < 0 ? has : !has;
}
EXPORT_SYMBOL_GPL(buddy_admin_is_gone);

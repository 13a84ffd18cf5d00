// SPDX-License-Identifier: GPL-2.0
/*
 * A client of buddy_pool that does all that a client may do, in every context,
 * and much of what it may not.
 *
 *	insmod buddy_api_test.ko run=contexts
 *
 * The results of a run are in the kernel log, as KTAP, when the module is loaded.
 * The name of a row of the test catalogue stands before what covers it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "api_test.h"

static char *run = "";
module_param(run, charp, 0444);
MODULE_PARM_DESC(run, "Group of tests to run");

char *api_pool = "pool0";
module_param_named(pool, api_pool, charp, 0444);
MODULE_PARM_DESC(pool, "Name of a pool that is there");

unsigned long api_base;
module_param_named(base, api_base, ulong, 0444);
MODULE_PARM_DESC(base, "Its first address");

static unsigned int nr_results, nr_failed;

bool api_check(bool passed, int line, const char *what, const char *format, ...)
{
	char name[128];
	va_list args;

	va_start(args, format);
	vscnprintf(name, sizeof(name), format, args);
	va_end(args);
	nr_results++;
	nr_failed += !passed;
	if (!passed)
		pr_info("# line %d: %s\n", line, what);
	pr_info("%sok %u %s\n", passed ? "" : "not ", nr_results, name);
	return passed;
}

struct buddy_pool *api_create(const char *name, u64 size)
{
	const struct buddy_pool_config config = { .name = name, .size = size, .min_block = SZ_4K };
	struct buddy_pool *pool = buddy_pool_create(&config);

	if (!IS_ERR(pool))
		return pool;
	check(false, "a pool of %llu bytes: error %ld", size, PTR_ERR(pool));
	return NULL;
}

/* A group either runs when the module is loaded, or stays until it is unloaded. */
static const struct group {
	const char *name;
	void (*run)(void);
	int (*start)(void);
	void (*stop)(void);
} groups[] = {
	{ "contexts", api_contexts },
	{ "hold", api_hold },
	{ "storm", api_storm },
	{ "misuse", api_misuse },
	{ "nmi", api_nmi },
	{ "sleep", api_sleep },
	{ "use_after_put", api_use_after_put },
	{ "names", api_names },
	{ "ranges", api_ranges },
	{ "bars", api_bars },
	{ "mappings", api_mappings },
	{ "wakes", api_wakes },
	{ "listener", NULL, api_listener_start, api_listener_stop },
	{ "supplier", NULL, api_supplier_start, api_supplier_stop },
	{ "rival", NULL, api_rival_start, api_rival_stop },
};

static const struct group *find_group(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		if (!strcmp(groups[i].name, run))
			return &groups[i];
	pr_err("there is no group %s\n", run);
	return NULL;
}

static int __init api_test_init(void)
{
	const struct group *group = find_group();

	if (!group)
		return -EINVAL;
	if (group->start)
		return group->start();
	pr_info("KTAP version 1\n");
	group->run();
	pr_info("1..%u\n", nr_results);
	return nr_failed ? -EIO : 0;
}

static void __exit api_test_exit(void)
{
	const struct group *group = find_group();

	if (group->stop)
		group->stop();
}

module_init(api_test_init);
module_exit(api_test_exit);

MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);
MODULE_DESCRIPTION("Client of buddy_pool that tests its API");

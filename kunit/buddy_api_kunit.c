// SPDX-License-Identifier: GPL-2.0
/*
 * Those groups of tests/modules/ that need no device and no debug kernel, as KUnit
 * tests: seconds on User Mode Linux, with lockdep, where a guest takes minutes.
 */
#include <kunit/test.h>
#include <linux/module.h>

#include "api_contexts.c"
#include "api_misuse.c"
#include "api_names.c"

/* The test that runs, since one runs at a time */
static struct kunit *running;

bool api_check(bool passed, int line, const char *what, const char *format, ...)
{
	char name[128];
	va_list args;

	va_start(args, format);
	vscnprintf(name, sizeof(name), format, args);
	va_end(args);
	KUNIT_EXPECT_TRUE_MSG(running, passed, "%s (line %d: %s)", name, line, what);
	return passed;
}

struct buddy_pool *api_create(const char *name, u64 size)
{
	const struct buddy_pool_config config = { .name = name, .size = size, .min_block = SZ_4K };
	struct buddy_pool *created = buddy_pool_create(&config);

	KUNIT_EXPECT_FALSE(running, IS_ERR(created));
	return IS_ERR(created) ? NULL : created;
}

static void M11_M12_contexts(struct kunit *test)
{
	running = test;
	api_contexts();
}

static void M28_interrupts_off(struct kunit *test)
{
	running = test;
	api_hold();
}

static void M12_all_contexts_at_once(struct kunit *test)
{
	running = test;
	api_storm();
}

static void M20_M21_one_name(struct kunit *test)
{
	running = test;
	api_names();
}

/* Refused, and logged. In kernels with DEBUG_VM that is a warning, so a panic here. */
static void M03_M06_M15_misuse(struct kunit *test)
{
	if (IS_ENABLED(CONFIG_DEBUG_VM))
		kunit_skip(test, "a kernel with DEBUG_VM warns");
	running = test;
	api_misuse();
}

static struct kunit_case api_cases[] = {
	KUNIT_CASE(M11_M12_contexts),
	KUNIT_CASE(M28_interrupts_off),
	KUNIT_CASE(M12_all_contexts_at_once),
	KUNIT_CASE(M20_M21_one_name),
	KUNIT_CASE(M03_M06_M15_misuse),
	{ }
};

static struct kunit_suite api_suite = {
	.name = "buddy_pool_api",
	.test_cases = api_cases,
};

kunit_test_suite(api_suite);

MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);
MODULE_DESCRIPTION("KUnit tests of buddy_pool: contexts, names, misuse");

// SPDX-License-Identifier: GPL-2.0
/* Draws made-up pools and compares every character. Prints TAP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbuddypool.h"
#include "map.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define K		1024ULL

#define FREE(start, len)	{ .offset = (start) * K, .length = (len) * K, .state = 1 }
#define USED(start, len)	{ .offset = (start) * K, .length = (len) * K, .state = 2 }
#define OWN(start, len)		{ .offset = (start) * K, .length = (len) * K, .state = 3 }

#define LEGEND(size) \
	"each character is " size ":  # used  + partly used  @ own  . free  = longest free run\n"
#define LEGEND_4K LEGEND("4K")

static int results, failures;

static void result(const char *name, bool good)
{
	failures += !good;
	printf("%sok %d %s\n", good ? "" : "not ", ++results, name);
}

static void draws(const char *name, const struct buddy_pool_extent *extents, size_t count,
		  unsigned int rows, const char *want)
{
	const struct map_style style = { .columns = 8, .rows = rows };
	char *got = NULL;
	size_t size;
	FILE *out = open_memstream(&got, &size);

	map_draw(out, extents, count, 4 * K, &style);
	fclose(out);
	if (strcmp(got, want))
		printf("# wanted:\n%s# got:\n%s", want, got);
	result(name, !strcmp(got, want));
	free(got);
}

static void test_drawings(void)
{
	static const struct buddy_pool_extent empty[] = { FREE(0, 32) };
	static const struct buddy_pool_extent mixed[] = {
		USED(0, 4), OWN(4, 8), FREE(12, 4), USED(16, 4), FREE(20, 4), FREE(24, 8),
	};
	static const struct buddy_pool_extent coarse[] = {
		USED(0, 4), FREE(4, 4), FREE(8, 8), USED(16, 12), OWN(28, 4), FREE(32, 32),
		FREE(64, 64),
	};
	static const struct buddy_pool_extent ragged[] = { USED(0, 4), FREE(4, 8) };
	static const struct buddy_pool_extent merged[] = { USED(0, 4), FREE(0, 32) };

	draws("an empty pool is one run", empty, ARRAY_SIZE(empty), 4,
	      "           0  ========\n" LEGEND("4K")
	      "32K: 0 used (0 own), 32K free, longest free run 32K\n");
	draws("neighbouring free blocks are one run", mixed, ARRAY_SIZE(mixed), 4,
	      "           0  #@@.#===\n" LEGEND("4K")
	      "32K: 16K used (8K own), 16K free, longest free run 12K\n");
	draws("a cell shows the most telling thing in it", coarse, ARRAY_SIZE(coarse), 1,
	      "           0  +@======\n" LEGEND("16K")
	      "128K: 20K used (4K own), 108K free, longest free run 96K\n");
	draws("two rows, each with its offset", coarse, ARRAY_SIZE(coarse), 2,
	      "           0  +.#@====\n     0x10000  ========\n" LEGEND("8K")
	      "128K: 20K used (4K own), 108K free, longest free run 96K\n");
	draws("a pool ends within a line", ragged, ARRAY_SIZE(ragged), 4,
	      "           0  #==\n" LEGEND("4K")
	      "12K: 4K used (0 own), 8K free, longest free run 8K\n");
	draws("what was freed meanwhile is there once", merged, ARRAY_SIZE(merged), 4,
	      "           0  #=======\n" LEGEND_4K
	      "32K: 4K used (0 own), 28K free, longest free run 28K\n");
}

static void test_sizes(void)
{
	static const struct {
		const char *text;
		int err;
		__u64 size;
	} cases[] = {
		{ "0", 0, 0 }, { "4096", 0, 4096 }, { "0x1000", 0, 4096 }, { "64K", 0, 65536 },
		{ "1m", 0, 1 << 20 }, { "2G", 0, 2ULL << 30 }, { "1T", 0, 1ULL << 40 },
		{ "18446744073709551615", 0, ~0ULL }, { "18446744073709551616", -34, 0 },
		{ "16777216T", -34, 0 }, { "16777215T", 0, 16777215ULL << 40 },
		{ "", -22, 0 }, { "-1", -22, 0 }, { " 1", -22, 0 }, { "1KB", -22, 0 },
		{ "1.5G", -22, 0 }, { "K", -22, 0 }, { "1P", -22, 0 },
	};
	char text[BP_SIZE_LEN];
	__u64 size;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size = 0;
		err = bp_parse_size(cases[i].text, &size);
		snprintf(text, sizeof(text), "size '%s'", cases[i].text);
		result(text, err == cases[i].err && size == cases[i].size);
	}
	bp_format_size(text, 3 << 20);
	result("3M is printed so", !strcmp(text, "3M"));
	bp_format_size(text, 4097);
	result("4097 is printed so", !strcmp(text, "4097"));
}

int main(void)
{
	puts("TAP version 13");
	test_drawings();
	test_sizes();
	printf("1..%d\n", results);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * The core inside a kernel: that it behaves as tests/host has proved of the
 * same source. It is included, since the module exports none of it, and so that
 * the words it visits can be counted.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>

static u64 nr_visits;
#define buddy_core_visit() (nr_visits++)

#include "../buddy_core.c"

static unsigned int seed;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "Seed of the random tests, as they print it; 0 for a new one");

/* 0 to @end - 1; the bias does not matter. */
static u32 below(struct rnd_state *rnd, u32 end)
{
	return prandom_u32_state(rnd) % end;
}

static struct rnd_state new_random(struct kunit *test)
{
	u32 used = seed ?: get_random_u32() | 1;
	struct rnd_state rnd;

	kunit_info(test, "seed=%u", used);
	prandom_seed_state(&rnd, used);
	return rnd;
}

static void *new_memory(struct kunit *test, size_t size)
{
	void *memory = kunit_kzalloc(test, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, memory);
	return memory;
}

static struct buddy_core *new_core(struct kunit *test, u64 first, u64 nr)
{
	struct buddy_core *core = new_memory(test, sizeof(*core));

	buddy_core_init(core, first, nr,
			new_memory(test, buddy_core_metadata_size(first, nr)));
	return core;
}

/* A request for @nr blocks at natural alignment, anywhere */
static struct buddy_core_request natural(const struct buddy_core *core, u64 nr)
{
	return (struct buddy_core_request){
		.nr = nr,
		.start = core->first,
		.end = core->end,
		.align_order = order_of(nr),
	};
}

/* The index, or an errno */
static s64 alloc_natural(struct buddy_core *core, u64 nr)
{
	struct buddy_core_request request = natural(core, nr);
	u64 index;
	int err;

	err = buddy_core_alloc(core, &request, &index);
	return err ?: index;
}

/* Likewise, searching to the end */
static s64 alloc_any(struct buddy_core *core, const struct buddy_core_request *request)
{
	u64 cursor = 0;
	u64 index;
	int err;

	err = buddy_core_alloc(core, request, &index);
	while (err == -EAGAIN)
		err = buddy_core_search(core, request, &cursor, &index);
	return err ?: index;
}

struct geometry {
	u64 first;
	u64 nr;
};

/* Around the words and levels of the tree */
static const struct geometry geometries[] = {
	{ 0, 1 }, { 0, 2 }, { 1, 3 }, { 0, 63 }, { 0, 64 }, { 0, 65 }, { 63, 64 }, { 5, 300 },
	{ 0, 4095 }, { 0, 4096 }, { 0, 4097 }, { 4095, 4097 }, { 777, 5000 }, { 0, 1 << 18 },
	{ 12345, 300000 },
};

static void describe_geometry(const struct geometry *geometry, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "%llu blocks from %llu", geometry->nr,
		 geometry->first);
}

KUNIT_ARRAY_PARAM(geometry, geometries, describe_geometry);

/*
 * Creation
 */

/* Carves as the reference does, but by index: the largest aligned block each time. */
static void init_carves_largest_blocks(struct kunit *test)
{
	const struct geometry *geometry = test->param_value;
	struct buddy_core *core = new_core(test, geometry->first, geometry->nr);
	u64 end = geometry->first + geometry->nr;
	u64 at = geometry->first;
	u64 expected[64] = { };
	unsigned int o;

	while (at < end) {
		for (o = 0; at % (2ULL << o) == 0 && at + (2ULL << o) <= end; o++)
			;
		expected[o]++;
		at += 1ULL << o;
	}
	for (o = 0; o < BUDDY_CORE_ORDERS; o++)
		KUNIT_EXPECT_EQ(test, count_blocks(core, o), expected[o]);
	KUNIT_EXPECT_EQ(test, core->nr_free, geometry->nr);
	KUNIT_EXPECT_STREQ(test, buddy_core_check(core) ?: "", "");
}

static void drain_returns_every_block_once(struct kunit *test)
{
	const struct geometry *geometry = test->param_value;
	struct buddy_core *core = new_core(test, geometry->first, geometry->nr);
	unsigned long *seen = new_memory(test, BITS_TO_LONGS(geometry->nr) * sizeof(long));
	u64 n = 0;
	s64 index;

	while ((index = alloc_natural(core, 1)) >= 0) {
		KUNIT_ASSERT_LT(test, index - core->first, geometry->nr);
		KUNIT_ASSERT_FALSE(test, test_and_set_bit(index - core->first, seen));
		n++;
	}
	KUNIT_EXPECT_EQ(test, index, -ENOSPC);
	KUNIT_EXPECT_EQ(test, n, geometry->nr);
	KUNIT_EXPECT_EQ(test, core->nr_free, 0);
	KUNIT_EXPECT_STREQ(test, buddy_core_check(core) ?: "", "");
}

static void free_of_all_blocks_restores_metadata(struct kunit *test)
{
	const struct geometry *geometry = test->param_value;
	struct buddy_core *core = new_core(test, geometry->first, geometry->nr);
	u64 bytes = buddy_core_metadata_size(geometry->first, geometry->nr);
	void *metadata = (void *)(core->node[0] +
				  (geometry->first >> 6) * sizeof(struct buddy_leaf));
	void *fresh = new_memory(test, bytes);
	u64 i, nr;

	memcpy(fresh, metadata, bytes);
	while (alloc_natural(core, 1) >= 0)
		;
	/* Every other one first, so that the rest has both buddies to merge with */
	for (i = 0; i < geometry->nr; i += 2)
		KUNIT_EXPECT_EQ(test, buddy_core_free(core, core->first + i, &nr), 0);
	for (i = 1; i < geometry->nr; i += 2)
		KUNIT_EXPECT_EQ(test, buddy_core_free(core, core->first + i, &nr), 0);
	KUNIT_EXPECT_EQ(test, memcmp(fresh, metadata, bytes), 0);
	KUNIT_EXPECT_STREQ(test, buddy_core_check(core) ?: "", "");
}

/*
 * Words, against the definitions
 */

static bool is_free_block(u64 word, unsigned int at, unsigned int r)
{
	return at % (1 << r) == 0 && !((word >> at) & low_bits(1 << r));
}

static bool is_maximal_block(u64 word, unsigned int at, unsigned int r)
{
	return is_free_block(word, at, r) &&
	       (r == 6 || !is_free_block(word, at & ~(1U << r), r + 1));
}

static void expect_word_is_understood(struct kunit *test, u64 word)
{
	unsigned int r, at, p;
	u64 orders = 0;

	for (r = 0; r <= 6; r++) {
		u64 blocks = 0;

		for (at = 0; at < 64; at++) {
			if (!is_maximal_block(word, at, r))
				continue;
			blocks |= 1ULL << at;
			orders |= 1ULL << r;
			for (p = at; p < at + (1U << r); p++)
				KUNIT_EXPECT_EQ_MSG(test, order_around(word, p), r, "%#llx", word);
		}
		KUNIT_EXPECT_EQ_MSG(test, maximal_blocks(word, r), blocks, "%#llx", word);
	}
	KUNIT_EXPECT_EQ_MSG(test, orders_in(word), orders, "%#llx", word);
}

static void words_are_understood(struct kunit *test)
{
	struct rnd_state rnd = new_random(test);
	unsigned int n;

	expect_word_is_understood(test, 0);
	expect_word_is_understood(test, ~0ULL);
	/* The example at the top of buddy_core.c */
	expect_word_is_understood(test, 0xffffffffffffffe0ULL);
	for (n = 0; n < 500; n++) {
		u64 word = (u64)prandom_u32_state(&rnd) << 32 | prandom_u32_state(&rnd);

		/* Half of them sparse, for the large blocks */
		if (n & 1)
			word &= (word << below(&rnd, 64)) & (word >> below(&rnd, 64));
		expect_word_is_understood(test, word);
	}
}

/*
 * Placement. Pools are drawn with a character for each block: . free, # the
 * first block of an allocation, - the rest of one. They begin at index 0.
 */

static struct buddy_core *core_like(struct kunit *test, const char *picture)
{
	struct buddy_core *core = new_core(test, 0, strlen(picture));
	unsigned int at, nr;

	for (at = 0; picture[at]; at += nr) {
		nr = 1;
		if (picture[at] == '.')
			continue;
		while (picture[at + nr] == '-')
			nr++;
		KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, at, nr), 0);
	}
	return core;
}

static const char *draw(struct kunit *test, const struct buddy_core *core)
{
	char *picture = new_memory(test, core->end + 1);
	struct buddy_core_extent extent;
	u64 at;

	for (at = 0; at < core->end; at++) {
		KUNIT_ASSERT_EQ(test, buddy_core_query(core, at, &extent), 0);
		picture[at] = ".#-"[extent.kind];
	}
	return picture;
}

struct placement {
	const char *name;
	const char *before;
	struct buddy_core_request request;	/* end 0: of the pool */
	const char *after;			/* NULL: refused */
};

static const struct placement placements[] = {
	{ "smallest block", "....##..........", { .nr = 1 }, "....###........." },
	{ "lowest of equal blocks", "##..##..........", { .nr = 1 }, "###.##.........." },
	{ "highest of equal blocks", "..##..##........",
	  { .nr = 1, .flags = BUDDY_CORE_TOP_DOWN }, "..##.###........" },
	{ "tail stays free", "....####", { .nr = 3, .align_order = 2 }, "#--.####" },
	{ "whole pool", "........", { .nr = 8, .align_order = 3 }, "#-------" },
	{ "whole odd pool", ".......", { .nr = 7 }, "#------" },
	{ "aligned beyond its size", "#..#....", { .nr = 1, .align_order = 2 }, "#..##..." },
	{ "top down keeps alignment", "........",
	  { .nr = 3, .align_order = 2, .flags = BUDDY_CORE_TOP_DOWN }, "....#--." },
	{ "no block", "#..#####", { .nr = 2, .align_order = 1 }, NULL },
	{ "2 across blocks", "#..#####", { .nr = 2 }, "##-#####" },
	{ "3 across blocks", "###...##", { .nr = 3 }, "####--##" },
	{ "5 across blocks", "#.....##", { .nr = 5 }, "##----##" },
	{ "4 across blocks", "#......#", { .nr = 4 }, "##---..#" },
	{ "4 across blocks, even", "#......#", { .nr = 4, .align_order = 1 }, "#.#---.#" },
	{ "4 across blocks, top down", "#......#",
	  { .nr = 4, .flags = BUDDY_CORE_TOP_DOWN }, "#..#---#" },
	{ "6 across blocks, even", "#......#", { .nr = 6, .align_order = 1 }, NULL },
	{ "lowest run that is long enough", "#.##..#...#....#", { .nr = 3 },
	  "#.##..##--#....#" },
	{ "highest run that is long enough", "#....#...#..##.#",
	  { .nr = 3, .flags = BUDDY_CORE_TOP_DOWN }, "#....##--#..##.#" },
	{ "window inside a block", "........", { .nr = 4, .start = 2, .end = 6 }, "..#---.." },
	{ "window without aligned place", "........",
	  { .nr = 4, .align_order = 2, .start = 2, .end = 6 }, NULL },
	{ "window that cuts a block", "........", { .nr = 2, .start = 3 }, "...#-..." },
	{ "window, top down", "........",
	  { .nr = 2, .end = 5, .flags = BUDDY_CORE_TOP_DOWN }, "...#-..." },
	{ "full window", "####....", { .nr = 1, .end = 4 }, NULL },
	{ "free blocks on both sides of it", "..####..", { .nr = 1, .start = 2, .end = 6 }, NULL },
	{ "run that leaves the window", "#....###", { .nr = 4, .end = 4 }, NULL },
	{ "run that enters the window", "#....###", { .nr = 3, .start = 2 }, "#.#--###" },
	{ "used up", "#-------", { .nr = 1 }, NULL },
};

static void describe_placement(const struct placement *placement, char *text)
{
	strscpy(text, placement->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(placement, placements, describe_placement);

static void alloc_places_by_best_fit(struct kunit *test)
{
	const struct placement *placement = test->param_value;
	struct buddy_core *core = core_like(test, placement->before);
	struct buddy_core_request request = placement->request;
	u64 nr;
	s64 index;

	request.end = request.end ?: core->end;
	index = alloc_any(core, &request);
	KUNIT_EXPECT_STREQ(test, draw(test, core), placement->after ?: placement->before);
	KUNIT_EXPECT_STREQ(test, buddy_core_check(core) ?: "", "");
	if (!placement->after) {
		KUNIT_EXPECT_EQ(test, index, -ENOSPC);
		return;
	}
	KUNIT_ASSERT_GE(test, index, 0);
	KUNIT_EXPECT_EQ(test, placement->after[index], '#');
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, index, &nr), 0);
	KUNIT_EXPECT_EQ(test, nr, request.nr);
	KUNIT_EXPECT_STREQ(test, draw(test, core), placement->before);
}

/* The rest of a block that an allocation is cut from is its size in binary. */
static void alloc_exact_leaves_binary_rest(struct kunit *test)
{
	struct buddy_core *core = new_core(test, 0, 64);
	u64 nr, freed;
	unsigned int o;

	for (nr = 1; nr <= 64; nr++) {
		KUNIT_EXPECT_EQ(test, alloc_natural(core, nr), 0);
		for (o = 0; o <= 6; o++)
			KUNIT_EXPECT_EQ(test, count_blocks(core, o), (64 - nr) >> o & 1);
		KUNIT_EXPECT_STREQ(test, buddy_core_check(core) ?: "", "");
		KUNIT_EXPECT_EQ(test, buddy_core_free(core, 0, &freed), 0);
		KUNIT_EXPECT_EQ(test, freed, nr);
	}
}

static void alloc_at_takes_all_or_nothing(struct kunit *test)
{
	struct buddy_core *core = core_like(test, "#...#.......");

	KUNIT_EXPECT_EQ(test, buddy_core_alloc_at(core, 0, 1), -ENOSPC);
	KUNIT_EXPECT_EQ(test, buddy_core_alloc_at(core, 1, 4), -ENOSPC);
	KUNIT_EXPECT_EQ(test, buddy_core_alloc_at(core, 4, 2), -ENOSPC);
	KUNIT_EXPECT_STREQ(test, draw(test, core), "#...#.......");
	KUNIT_EXPECT_EQ(test, buddy_core_alloc_at(core, 1, 3), 0);
	KUNIT_EXPECT_EQ(test, buddy_core_alloc_at(core, 7, 5), 0);
	KUNIT_EXPECT_STREQ(test, draw(test, core), "##--#..#----");
	KUNIT_EXPECT_STREQ(test, buddy_core_check(core) ?: "", "");
}

static void search_is_bounded_and_goes_on(struct kunit *test)
{
	const u64 nr = 3 * 8 * BUDDY_CORE_SEARCH_RUNS;
	struct buddy_core *core = new_core(test, 0, nr + 8);
	struct buddy_core_request request = { .nr = 3, .end = core->end, .align_order = 2 };
	unsigned int calls = 0;
	u64 cursor = 0;
	u64 at, index;
	int err;

	/* Runs of four from 5 on, in which no three are aligned to four; then they are */
	for (at = 0; at < nr; at += 8)
		KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, at + 1, 4), 0);
	KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, nr, 4), 0);
	KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, nr + 7, 1), 0);

	KUNIT_EXPECT_EQ(test, buddy_core_alloc(core, &request, &index), -EAGAIN);
	do {
		err = buddy_core_search(core, &request, &cursor, &index);
		calls++;
	} while (err == -EAGAIN);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, index, nr + 4);
	KUNIT_EXPECT_EQ(test, calls, 4);
}

/*
 * Frees and queries
 */

static void free_refuses_by_kind(struct kunit *test)
{
	struct buddy_core *core = core_like(test, "#-------........");
	u64 nr;

	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 1, &nr), -EINVAL);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 7, &nr), -EINVAL);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 8, &nr), -ENOENT);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 16, &nr), -ERANGE);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, ~0ULL, &nr), -ERANGE);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 0, &nr), 0);
	KUNIT_EXPECT_EQ(test, nr, 8);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 0, &nr), -ENOENT);
}

static void refusals_change_nothing(struct kunit *test)
{
	struct buddy_core *core = new_core(test, 5, 300);
	u64 bytes = buddy_core_metadata_size(5, 300);
	struct buddy_core *core_before = new_memory(test, sizeof(*core));
	void *metadata_before = new_memory(test, bytes);
	void *metadata = (void *)core->node[0];
	struct buddy_core_request request = { .nr = 100, .start = 5, .end = 305 };
	u64 nr;

	KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, 100, 7), 0);
	KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, 204, 1), 0);
	memcpy(metadata_before, metadata, bytes);
	*core_before = *core;

	request.align_order = 7;
	KUNIT_EXPECT_EQ(test, alloc_any(core, &request), -ENOSPC);
	request.nr = 200;
	request.align_order = 0;
	KUNIT_EXPECT_EQ(test, alloc_any(core, &request), -ENOSPC);
	KUNIT_EXPECT_EQ(test, buddy_core_alloc_at(core, 60, 41), -ENOSPC);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 101, &nr), -EINVAL);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 99, &nr), -ENOENT);
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, 4, &nr), -ERANGE);

	KUNIT_EXPECT_EQ(test, memcmp(core, core_before, sizeof(*core)), 0);
	KUNIT_EXPECT_EQ(test, memcmp(metadata, metadata_before, bytes), 0);
}

/* Each way to keep the length of an allocation; see the top of buddy_core.c */
static const struct geometry extents[] = {
	{ 1, 1 }, { 3, 5 }, { 60, 4 }, { 60, 8 }, { 64, 63 }, { 64, 64 }, { 64, 65 },
	{ 1, 126 }, { 1, 127 }, { 1, 128 }, { 63, 65 }, { 63, 66 }, { 63, 200 }, { 64, 4096 },
	{ 5, 9000 }, { 4096, 4096 },
};

KUNIT_ARRAY_PARAM(extent, extents, describe_geometry);

static void expect_extent(struct kunit *test, const struct buddy_core *core, u64 index,
			  const struct geometry *expected)
{
	struct buddy_core_extent extent;

	KUNIT_EXPECT_EQ(test, buddy_core_query(core, index, &extent), 0);
	KUNIT_EXPECT_EQ_MSG(test, extent.start, expected->first, "of %llu", index);
	KUNIT_EXPECT_EQ_MSG(test, extent.nr, expected->nr, "of %llu", index);
	KUNIT_EXPECT_EQ(test, (int)extent.kind,
			index == expected->first ? BUDDY_CORE_HEAD : BUDDY_CORE_INTERIOR);
}

static void query_finds_owner_of_every_block(struct kunit *test)
{
	const struct geometry *extent = test->param_value;
	struct buddy_core *core = new_core(test, 0, 16384);
	u64 end = extent->first + extent->nr;
	const struct geometry left = { 0, extent->first }, right = { end, 16384 - end };
	u64 at, nr;

	/* No free block tells where it ends. */
	KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, left.first, left.nr), 0);
	KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, extent->first, extent->nr), 0);
	KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, right.first, right.nr), 0);
	for (at = 0; at < 16384; at++)
		expect_extent(test, core, at, at < extent->first ? &left :
			      at < end ? extent : &right);
	KUNIT_EXPECT_STREQ(test, buddy_core_check(core) ?: "", "");
	KUNIT_EXPECT_EQ(test, buddy_core_free(core, extent->first, &nr), 0);
	KUNIT_EXPECT_EQ(test, nr, extent->nr);
	KUNIT_EXPECT_EQ(test, core->nr_free, extent->nr);
}

static void largest_sees_the_run_inside_the_window(struct kunit *test)
{
	struct buddy_core *core = core_like(test, "#......#..#.....");
	u64 run;

	KUNIT_EXPECT_EQ(test, buddy_core_largest(core, 0, 16, &run), 6);
	KUNIT_EXPECT_EQ(test, run, 1);
	KUNIT_EXPECT_EQ(test, buddy_core_largest(core, 4, 16, &run), 5);
	KUNIT_EXPECT_EQ(test, run, 11);
	KUNIT_EXPECT_EQ(test, buddy_core_largest(core, 4, 13, &run), 3);
	KUNIT_EXPECT_EQ(test, buddy_core_largest(core, 7, 8, &run), 0);
	KUNIT_EXPECT_EQ(test, buddy_core_largest(core, 2, 5, &run), 3);
	KUNIT_EXPECT_EQ(test, run, 2);
}

/*
 * Statistics
 */

static void stats_count_halvings_and_joinings(struct kunit *test)
{
	struct buddy_core *core = new_core(test, 0, 16);
	struct buddy_core_stats *stats = new_memory(test, sizeof(*stats));
	u64 nr;

	KUNIT_ASSERT_EQ(test, alloc_natural(core, 1), 0);
	buddy_core_stats(core, stats);
	/* 16 was halved to 8, 4, 2 and 1. */
	KUNIT_EXPECT_EQ(test, stats->splits, 4);
	KUNIT_EXPECT_EQ(test, stats->order[4].dequeues, 1);
	KUNIT_EXPECT_EQ(test, stats->order[4].size, 0);
	KUNIT_EXPECT_EQ(test, stats->order[0].enqueues, 1);

	KUNIT_ASSERT_EQ(test, buddy_core_free(core, 0, &nr), 0);
	buddy_core_stats(core, stats);
	KUNIT_EXPECT_EQ(test, stats->merges, 4);
	KUNIT_EXPECT_EQ(test, stats->order[0].removes, 1);
	KUNIT_EXPECT_EQ(test, stats->order[4].enqueues, 2);
	KUNIT_EXPECT_EQ(test, stats->order[4].size, 1);
}

/*
 * The checker must see each of these, and say which. The pool is of 300 blocks,
 * with 10 taken at 70.
 */

static void spoil_node(struct buddy_core *core)
{
	node_at(core, 1, 0)[0] ^= 1;
}

static void spoil_avail(struct buddy_core *core)
{
	core->avail ^= 1ULL << 20;
}

static void spoil_end(struct buddy_core *core)
{
	leaf_at(core, 4)->head &= ~(1ULL << 44);
}

static void spoil_head(struct buddy_core *core)
{
	leaf_at(core, 1)->head = 0;
}

static void spoil_second_head(struct buddy_core *core)
{
	leaf_at(core, 3)->head = 2;
}

static void spoil_counter(struct buddy_core *core)
{
	core->taken[3]++;
}

static void spoil_nr_free(struct buddy_core *core)
{
	core->nr_free--;
}

static const struct damage {
	void (*spoil)(struct buddy_core *core);
	const char *verdict;
} damages[] = {
	{ spoil_node, "a node disagrees with its children" },
	{ spoil_avail, "avail disagrees with the root" },
	{ spoil_end, "what lies outside the pool is not marked used" },
	{ spoil_head, "heads and extents disagree with used" },
	{ spoil_second_head, "a node disagrees with its children" },
	{ spoil_counter, "counters disagree with the free blocks" },
	{ spoil_nr_free, "counters disagree with the free blocks" },
};

static void check_sees_damage(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(damages); i++) {
		struct buddy_core *core = new_core(test, 0, 300);

		KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, 70, 10), 0);
		KUNIT_ASSERT_STREQ(test, buddy_core_check(core) ?: "", "");
		damages[i].spoil(core);
		KUNIT_EXPECT_STREQ(test, buddy_core_check(core) ?: "", damages[i].verdict);
	}
}

/*
 * Random operations against a model: an array that names the head of each
 * block's allocation, plus one; 0 is free.
 */

struct random_run {
	struct kunit *test;
	struct buddy_core *core;
	struct rnd_state rnd;
	u64 nr;
	u32 *head;
};

static bool model_is_free(const struct random_run *run, u64 start, u64 nr)
{
	u64 i;

	for (i = start; i < start + nr; i++)
		if (i < run->core->first || i >= run->core->end || run->head[i - run->core->first])
			return false;
	return true;
}

static void model_set(struct random_run *run, u64 start, u64 nr, u32 head)
{
	u64 i;

	for (i = start; i < start + nr; i++)
		run->head[i - run->core->first] = head;
}

static bool model_has_room(const struct random_run *run, const struct buddy_core_request *request)
{
	u64 step = 1ULL << request->align_order;
	u64 start = (request->start + step - 1) / step * step;

	for (; start + request->nr <= request->end; start += step)
		if (model_is_free(run, start, request->nr))
			return true;
	return false;
}

static struct buddy_core_request random_request(struct random_run *run)
{
	struct buddy_core_request request = {
		.nr = 1 + below(&run->rnd, 1 + below(&run->rnd, min_t(u64, run->nr, 90))),
		.start = run->core->first,
		.end = run->core->end,
		.flags = below(&run->rnd, 3) ? 0 : BUDDY_CORE_TOP_DOWN,
	};

	request.align_order = order_of(request.nr);
	if (below(&run->rnd, 2))
		request.align_order = below(&run->rnd, request.align_order + 2);
	request.align_order = min(request.align_order, buddy_core_max_order(run->nr));
	if (below(&run->rnd, 4) == 0) {
		request.start += below(&run->rnd, run->nr - request.nr + 1);
		request.end -= below(&run->rnd, request.end - request.start - request.nr + 1);
	}
	return request;
}

static void random_alloc(struct random_run *run)
{
	struct buddy_core_request request = random_request(run);
	s64 index = alloc_any(run->core, &request);

	if (index < 0) {
		KUNIT_ASSERT_EQ(run->test, index, -ENOSPC);
		KUNIT_ASSERT_FALSE(run->test, model_has_room(run, &request));
		return;
	}
	KUNIT_ASSERT_EQ(run->test, index & (BIT_ULL(request.align_order) - 1), 0);
	KUNIT_ASSERT_GE(run->test, index, request.start);
	KUNIT_ASSERT_LE(run->test, index + request.nr, request.end);
	KUNIT_ASSERT_TRUE(run->test, model_is_free(run, index, request.nr));
	model_set(run, index, request.nr, index - run->core->first + 1);
}

static void random_free(struct random_run *run)
{
	u64 i = below(&run->rnd, run->nr);
	u64 index = run->core->first + i;
	u64 expected = 0;
	u64 nr = 0;
	int err;

	/* Mostly at the head of whatever is there */
	if (run->head[i] && below(&run->rnd, 4)) {
		i = run->head[i] - 1;
		index = run->core->first + i;
	}
	err = buddy_core_free(run->core, index, &nr);
	if (run->head[i] != i + 1) {
		KUNIT_ASSERT_EQ(run->test, err, run->head[i] ? -EINVAL : -ENOENT);
		return;
	}
	while (i + expected < run->nr && run->head[i + expected] == i + 1)
		expected++;
	KUNIT_ASSERT_EQ(run->test, err, 0);
	KUNIT_ASSERT_EQ(run->test, nr, expected);
	model_set(run, index, nr, 0);
}

static void random_operations_match_model(struct kunit *test)
{
	const struct geometry *geometry = test->param_value;
	struct random_run run = { .test = test, .rnd = new_random(test) };
	unsigned int n;

	run.nr = min_t(u64, geometry->nr, 5000);
	run.core = new_core(test, min(geometry->first, run.nr - 1), run.nr);
	run.head = new_memory(test, run.nr * sizeof(*run.head));
	for (n = 0; n < 2000; n++) {
		/* Fill up and drain in turn. */
		if (below(&run.rnd, 8) < (n / 400 % 2 ? 3 : 6))
			random_alloc(&run);
		else
			random_free(&run);
		if (n % 256 == 0)
			KUNIT_ASSERT_STREQ(test, buddy_core_check(run.core) ?: "", "");
	}
}

/*
 * Cost, counted in words of metadata that are visited, since time would tell
 * more about the machine. It must depend on the height of the tree, and not on
 * the number of blocks; tests/host has the exact bounds.
 */

#define COST_BLOCKS	BIT_ULL(18)

static u64 cost_bound(const struct buddy_core *core)
{
	return 40 * (core->top + 1) * (core->top + 1);
}

/* Half full, and every free block alone: all sizes but single blocks fail. */
static struct buddy_core *checkered_core(struct kunit *test, u64 nr)
{
	struct buddy_core *core = new_core(test, 0, nr);
	u64 at;

	for (at = 0; at < nr; at += 2)
		KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, at, 1), 0);
	return core;
}

static void failing_natural_request_visits_nothing(struct kunit *test)
{
	struct buddy_core *core = checkered_core(test, COST_BLOCKS);

	nr_visits = 0;
	KUNIT_EXPECT_EQ(test, alloc_natural(core, 2), -ENOSPC);
	KUNIT_EXPECT_EQ(test, alloc_natural(core, 512), -ENOSPC);
	KUNIT_EXPECT_EQ(test, nr_visits, 0);
}

static void natural_requests_keep_their_bound(struct kunit *test)
{
	struct buddy_core *core = new_core(test, 0, COST_BLOCKS);
	struct rnd_state rnd = new_random(test);
	u64 worst_alloc = 0, worst_free = 0;
	unsigned int n;
	u64 nr;

	for (n = 0; n < 100000; n++) {
		nr_visits = 0;
		if (below(&rnd, 100) < 60) {
			alloc_natural(core, 1 + below(&rnd, 1 + below(&rnd, 300)));
			worst_alloc = max(worst_alloc, nr_visits);
		} else {
			buddy_core_free(core, below(&rnd, COST_BLOCKS), &nr);
			worst_free = max(worst_free, nr_visits);
		}
	}
	kunit_info(test, "at most %llu words to allocate, %llu to free", worst_alloc, worst_free);
	KUNIT_EXPECT_LE(test, worst_alloc, cost_bound(core));
	KUNIT_EXPECT_LE(test, worst_free, cost_bound(core));
	KUNIT_EXPECT_GT(test, worst_alloc, 0);
}

/* Scenario W5, in steps: a quarter of the pool as window, filled with single blocks */
static void w5_window_fill_keeps_its_cost(struct kunit *test)
{
	struct buddy_core *core = new_core(test, 0, COST_BLOCKS);
	struct buddy_core_request request = {
		.nr = 1,
		.start = COST_BLOCKS / 4 + 1,
		.end = COST_BLOCKS / 2 + 1,
	};
	u64 worst = 0, first_tenth = 0, last_tenth = 0;
	u64 n, index;

	for (n = 0; n < COST_BLOCKS / 4; n++) {
		nr_visits = 0;
		KUNIT_ASSERT_EQ(test, buddy_core_alloc(core, &request, &index), 0);
		worst = max(worst, nr_visits);
		if (n < COST_BLOCKS / 40)
			first_tenth += nr_visits;
		if (n >= COST_BLOCKS / 4 - COST_BLOCKS / 40)
			last_tenth += nr_visits;
	}
	KUNIT_EXPECT_EQ(test, buddy_core_alloc(core, &request, &index), -ENOSPC);
	kunit_info(test, "at most %llu words; first tenth %llu, last tenth %llu", worst,
		   first_tenth, last_tenth);
	KUNIT_EXPECT_LE(test, worst, cost_bound(core));
	KUNIT_EXPECT_LE(test, last_tenth, 2 * first_tenth);
}

/* Blocks of every order behind the window, none inside: each is looked for. */
static void failing_window_request_keeps_its_bound(struct kunit *test)
{
	struct buddy_core *core = new_core(test, 0, COST_BLOCKS);
	struct buddy_core_request request = { .nr = 1, .end = COST_BLOCKS / 4 };
	u64 index;

	KUNIT_ASSERT_EQ(test, buddy_core_alloc_at(core, 0, COST_BLOCKS / 2 + 1), 0);
	nr_visits = 0;
	KUNIT_EXPECT_EQ(test, buddy_core_alloc(core, &request, &index), -ENOSPC);
	kunit_info(test, "%llu words", nr_visits);
	KUNIT_EXPECT_LE(test, nr_visits, cost_bound(core));
}

static struct kunit_case core_cases[] = {
	KUNIT_CASE_PARAM(init_carves_largest_blocks, geometry_gen_params),
	KUNIT_CASE_PARAM(drain_returns_every_block_once, geometry_gen_params),
	KUNIT_CASE_PARAM(free_of_all_blocks_restores_metadata, geometry_gen_params),
	KUNIT_CASE(words_are_understood),
	KUNIT_CASE(alloc_exact_leaves_binary_rest),
	KUNIT_CASE_PARAM(alloc_places_by_best_fit, placement_gen_params),
	KUNIT_CASE(alloc_at_takes_all_or_nothing),
	KUNIT_CASE(search_is_bounded_and_goes_on),
	KUNIT_CASE(free_refuses_by_kind),
	KUNIT_CASE(refusals_change_nothing),
	KUNIT_CASE_PARAM(query_finds_owner_of_every_block, extent_gen_params),
	KUNIT_CASE(largest_sees_the_run_inside_the_window),
	KUNIT_CASE(stats_count_halvings_and_joinings),
	KUNIT_CASE(check_sees_damage),
	KUNIT_CASE_PARAM(random_operations_match_model, geometry_gen_params),
	KUNIT_CASE(failing_natural_request_visits_nothing),
	KUNIT_CASE(natural_requests_keep_their_bound),
	KUNIT_CASE(w5_window_fill_keeps_its_cost),
	KUNIT_CASE(failing_window_request_keeps_its_bound),
	{ }
};

static struct kunit_suite core_suite = {
	.name = "buddy_pool_core",
	.test_cases = core_cases,
};

kunit_test_suite(core_suite);

MODULE_DESCRIPTION("KUnit tests of the buddy_pool core");
MODULE_LICENSE("GPL");

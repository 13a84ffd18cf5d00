// SPDX-License-Identifier: GPL-2.0
/*
 * Cases that have a name: the conformance vectors of the reference crate, what
 * other allocators are tested with, and sizes that the other tests do not reach.
 *
 * Sizes in the sources are in bytes; here, one block stands for their smallest.
 *
 * These and the random ones run with -m32, on a big endian machine (N16), and under
 * ASan, UBSan and MSan (N19) too.
 */
#include <linux/bitops.h>
#include <linux/errno.h>

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rig.h"
#include "rng.h"
#include "tap.h"

/* Ends the test, unless it holds */
#define CHECK(expr) check(expr, #expr, __LINE__)

#define NOWHERE (~0ULL)

static jmp_buf ended;
static char why[200];

static void check(bool holds, const char *expr, int line)
{
	if (holds)
		return;
	snprintf(why, sizeof(why), "line %d: %s", line, expr);
	longjmp(ended, 1);
}

static void skip(const char *reason)
{
	snprintf(why, sizeof(why), "SKIP %s", reason);
	longjmp(ended, 1);
}

static struct buddy_core core;
static void *metadata, *mapping;
static u64 metadata_size, mapping_size;

/*
 * Lays out a new pool in memory that costs nothing before it is written, and behind
 * which there is none.
 */
static bool try_open_pool(u64 first, u64 nr)
{
	u64 page = sysconf(_SC_PAGESIZE), usable;

	if (mapping)
		munmap(mapping, mapping_size);
	mapping = NULL;
	metadata_size = buddy_core_metadata_size(first, nr);
	if (metadata_size > (size_t)-1 / 2)
		return false;
	usable = (metadata_size + page - 1) & -page;
	mapping_size = usable + page;
	mapping = mmap(NULL, mapping_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapping == MAP_FAILED) {
		mapping = NULL;
		return false;
	}
	if (mprotect((char *)mapping + usable, page, PROT_NONE))
		abort();
	metadata = (char *)mapping + usable - metadata_size;
	buddy_core_init(&core, first, nr, metadata);
	return true;
}

static void open_pool(u64 first, u64 nr)
{
	if (!try_open_pool(first, nr))
		abort();
}

static u64 alloc_in(u64 nr, unsigned int align_order, u64 start, u64 end,
		    unsigned int flags)
{
	struct buddy_core_request req = {
		.nr = nr,
		.start = start,
		.end = end,
		.align_order = align_order,
		.flags = flags,
	};
	u64 index;

	return alloc_to_the_end(&core, &req, &index) ? NOWHERE : index;
}

static u64 alloc_aligned(u64 nr, unsigned int align_order)
{
	return alloc_in(nr, align_order, core.first, core.end, 0);
}

/* At natural alignment */
static u64 alloc(u64 nr)
{
	return alloc_aligned(nr, nr > 1 ? fls64(nr - 1) : 0);
}

/* Wherever there is room */
static u64 alloc_any(u64 nr)
{
	return alloc_aligned(nr, 0);
}

static bool take(u64 index, u64 nr)
{
	return !buddy_core_alloc_at(&core, index, nr);
}

static bool give(u64 index)
{
	u64 nr;

	return !buddy_core_free(&core, index, &nr);
}

static int free_error(u64 index)
{
	u64 nr;

	return buddy_core_free(&core, index, &nr);
}

static u64 blocks_of_order(unsigned int order)
{
	struct buddy_core_stats stats;

	buddy_core_stats(&core, &stats);
	return stats.order[order].size;
}

/* N06: all is free again, and the metadata is that of a new pool. */
static void is_whole(void)
{
	static struct buddy_core fresh;
	u64 size = buddy_core_metadata_size(core.first, core.end - core.first);
	void *memory = calloc(1, size);
	bool same;

	CHECK(memory);
	buddy_core_init(&fresh, core.first, core.end - core.first, memory);
	same = !memcmp(memory, metadata, size) && fresh.avail == core.avail;
	free(memory);
	CHECK(same);
	CHECK(core.nr_free == core.end - core.first);
	CHECK(!buddy_core_check(&core));
}

/*
 * The reference crate's vectors. It makes no blocks larger than max_alloc, and
 * we do: hence more splits and merges, as many of the one as of the other.
 */

static void seed_vector_a(void)
{
	struct buddy_core_stats stats;
	u64 index;
	int n;

	open_pool(0, 256);
	index = alloc(4);
	CHECK(index != NOWHERE && give(index));
	CHECK(free_error(index) == -ENOENT);
	for (n = 0; alloc(1) != NOWHERE; n++)
		;
	CHECK(n == 256);
	buddy_core_stats(&core, &stats);
	/* 6 for the first, then one fewer than blocks */
	CHECK(stats.splits == 6 + 255 && stats.merges == 6);
	for (n = 0; n < BUDDY_CORE_ORDERS; n++) {
		CHECK(stats.order[n].size == 0);
		CHECK(stats.order[n].enqueues ==
		      stats.order[n].dequeues + stats.order[n].removes);
	}
	/* Of each two single blocks, one was left over by the other. */
	CHECK(stats.order[0].enqueues == 128 && stats.order[0].dequeues == 128);
}

static void seed_vector_b(void)
{
	static const u64 sizes[] = { 1, 1, 1, 2, 2, 4, 8, 8, 4 };
	u64 index[9];
	struct buddy_core_stats stats;
	int i;

	open_pool(0, 70);
	CHECK(blocks_of_order(6) == 1 && blocks_of_order(2) == 1 &&
	      blocks_of_order(1) == 1);
	for (i = 0; i < 9; i++) {
		index[i] = alloc(sizes[i]);
		CHECK(index[i] != NOWHERE && index[i] % sizes[i] == 0);
	}
	CHECK(core.nr_free == 70 - 31);
	for (i = 0; i < 9; i++)
		CHECK(give(index[i]));
	buddy_core_stats(&core, &stats);
	CHECK(stats.splits == stats.merges && stats.splits > 0);
	is_whole();
	CHECK(free_error(~0ULL) == -ERANGE);
	CHECK(free_error(70) == -ERANGE);
	CHECK(free_error(1) == -ENOENT && free_error(0) == -ENOENT);
}

/*
 * Pools
 */

static void one_block(void)
{
	struct buddy_core_extent extent;

	CHECK(buddy_core_max_order(1) == 0);
	open_pool(0, 1);
	CHECK(core.nr_free == 1 && blocks_of_order(0) == 1);
	CHECK(alloc(1) == 0 && alloc(1) == NOWHERE && !take(0, 1));
	CHECK(!buddy_core_query(&core, 0, &extent));
	CHECK(extent.start == 0 && extent.nr == 1 &&
	      extent.kind == BUDDY_CORE_HEAD);
	CHECK(buddy_core_query(&core, 1, &extent) == -ERANGE);
	CHECK(free_error(1) == -ERANGE && free_error(~0ULL) == -ERANGE);
	CHECK(buddy_core_largest(&core, 0, 1, NULL) == 0);
	CHECK(give(0) && free_error(0) == -ENOENT);
	CHECK(buddy_core_largest(&core, 0, 1, NULL) == 1);
	is_whole();
}

static void ragged_pools(void)
{
	u64 nr, n;
	unsigned int o;

	for (nr = 1; nr <= 300; nr++) {
		open_pool(0, nr);
		for (o = 0; o < 10; o++)
			CHECK(blocks_of_order(o) == (nr >> o & 1));
		CHECK(alloc_any(nr) == 0 && give(0));
		for (n = 0; n < nr; n++)
			CHECK(alloc(1) != NOWHERE);
		CHECK(alloc(1) == NOWHERE && core.nr_free == 0);
		for (n = 0; n < nr; n++)
			CHECK(give(nr % 7 ? (7 * n + 3) % nr : n));
		is_whole();
	}
}

static void metadata_is_small(void)
{
	u64 nr;

	CHECK(buddy_core_metadata_size(0, 1) <= 256);
	/* 64 leaves of 16 bytes, and a node of 64 */
	CHECK(buddy_core_metadata_size(0, 4096) == 64 * 16 + 64);
	for (nr = 1ULL << 18; nr <= BUDDY_CORE_MAX_BLOCKS; nr *= 2) {
		u64 size = buddy_core_metadata_size(0, nr);

		CHECK(size % 64 == 0);
		/* 2.2 bits for each block */
		CHECK(size < nr / 10 * 11 / 4);
		CHECK(buddy_core_metadata_size(nr - 1, nr + 1) <= size + 8192);
	}
}

/* Every run of a pool of some leaves, with neighbours on both sides and without */
static void every_run(void)
{
	struct buddy_core_extent extent;
	u64 start, nr;

	open_pool(3, 260);
	for (start = core.first + 1; start < core.end - 1; start++) {
		for (nr = 1; start + nr < core.end; nr++) {
			CHECK(take(start, nr));
			CHECK(take(start + nr, 1) && take(start - 1, 1));
			CHECK(!buddy_core_query(&core, start + nr - 1,
						&extent));
			CHECK(extent.start == start && extent.nr == nr);
			CHECK(extent.kind == (nr == 1 ? BUDDY_CORE_HEAD :
							BUDDY_CORE_INTERIOR));
			CHECK(nr == 1 || free_error(start + nr / 2) == -EINVAL);
			CHECK(give(start + nr) && give(start));
			CHECK(free_error(start) == -ENOENT && give(start - 1));
		}
	}
	is_whole();
}

/* Pools that are one block of as many as the tree has room for, and nearly so */
static void pool_is_one_block(void)
{
	struct buddy_core_extent extent;
	u64 nr, i;

	for (nr = 64 * 64; nr <= 64 * 64 * 64; nr *= 64) {
		for (i = 0; i < 2; i++) {
			open_pool(0, nr - i);
			is_whole();
			CHECK(buddy_core_largest(&core, 0, nr - i, NULL) ==
			      nr - i);
			CHECK(alloc_in(nr / 2, 0, 1, nr - i,
				       BUDDY_CORE_TOP_DOWN) == nr / 2 - i);
			CHECK(give(nr / 2 - i));
			CHECK(alloc_any(nr - i) == 0 && alloc(1) == NOWHERE);
			CHECK(!buddy_core_query(&core, nr - i - 1, &extent));
			CHECK(extent.start == 0 && extent.nr == nr - i);
			CHECK(!buddy_core_check(&core) && give(0));
			is_whole();
		}
	}
}

static u64 page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static void use_huge(u64 nr, u64 large)
{
	struct buddy_core_extent extent;
	u64 index, other = 0;

	index = alloc(large);
	CHECK(index != NOWHERE && index % large == 0);
	CHECK(!buddy_core_query(&core, index + large - 1, &extent));
	CHECK(extent.start == index && extent.nr == large);
	CHECK(free_error(index + large / 2 + 1) == -EINVAL);
	CHECK(alloc(large) == NOWHERE);
	CHECK(core.nr_free == nr - large && give(index));
	/* More than any block of it */
	index = alloc_any(large + 4);
	CHECK(index != NOWHERE && alloc_any(nr - large - 3) == NOWHERE);
	CHECK(!buddy_core_query(&core, index + large + 3, &extent) &&
	      extent.nr == large + 4);
	CHECK(free_error(index) == 0);
	CHECK(alloc_any(nr) == core.first && core.nr_free == 0);
	CHECK(!buddy_core_query(&core, core.end - 1, &extent) &&
	      extent.nr == nr);
	CHECK(give(core.first) && free_error(core.first) == -ENOENT);
	CHECK(take(core.end - 1, 1) && !take(core.end - 2, 2) &&
	      give(core.end - 1));
	CHECK(buddy_core_largest(&core, core.first, core.end, NULL) == nr);
	/* One of a larger block, and one of the blocks left over by that */
	CHECK(!buddy_core_alloc_block(&core, 0, &index) &&
	      !buddy_core_alloc_block(&core, 0, &other));
	CHECK(index != other && give(index) && give(other));
	CHECK(core.nr_free == nr);
}

static void pool_of_2_32_blocks(void)
{
	u64 nr = (1ULL << 32) + 12345;
	u64 before = page_faults();

	if (!try_open_pool(77, nr))
		skip("no address space for it");
	use_huge(nr, 1ULL << 31);
	open_pool(0, nr);
	use_huge(nr, 1ULL << 32);
	/* Its metadata is 270,000 pages. An emulator's own faults are counted, too. */
	CHECK(getenv("EMULATED") || page_faults() - before < 2000);
}

/* N12: as far as numbers go, under UBSan too */
static void largest_pool(void)
{
	if (!try_open_pool(0, BUDDY_CORE_MAX_BLOCKS))
		skip("no address space for it");
	CHECK(alloc(BUDDY_CORE_MAX_BLOCKS) == 0 && give(0));
	CHECK(alloc_in(1, 0, 0, core.end, BUDDY_CORE_TOP_DOWN) == core.end - 1);
	CHECK(alloc(BUDDY_CORE_MAX_BLOCKS / 2) == 0);
	CHECK(give(core.end - 1) && give(0));
	CHECK(blocks_of_order(40) == 1 && core.avail == 1ULL << 40);
	if (!try_open_pool((1ULL << 39) - 1, BUDDY_CORE_MAX_BLOCKS - 1))
		skip("no address space for it");
	use_huge(BUDDY_CORE_MAX_BLOCKS - 1, 1ULL << 39);
}

/*
 * Scenarios L, F, R, W, C, A and T of other allocators' tests
 */

static void fill_optimistic(void)
{
	unsigned int o;

	open_pool(0, (1 << 17) - 1);
	for (o = 0; o <= 16; o++)
		CHECK(alloc(1ULL << o) != NOWHERE);
	CHECK(alloc(1) == NOWHERE && core.nr_free == 0);
}

static void fill_pessimistic(void)
{
	u64 index[17], again;
	unsigned int o;

	open_pool(0, 1 << 16);
	for (o = 0; o < 16; o++) {
		index[o] = alloc(1ULL << o);
		CHECK(index[o] != NOWHERE);
	}
	index[16] = alloc(1);
	CHECK(index[16] != NOWHERE);
	for (o = 0; o <= 16; o++)
		CHECK(alloc(1ULL << o) == NOWHERE);
	CHECK(give(index[16]));
	for (o = 0; o < 16; o++) {
		CHECK(give(index[o]));
		again = alloc(2ULL << o);
		CHECK(again != NOWHERE && give(again));
	}
	is_whole();
	CHECK(alloc(1 << 16) == 0);
}

/* One block in each pair stays behind, so nothing larger can be had. */
static void fill_pathological(void)
{
	u64 nr = 8, i;

	open_pool(0, nr);
	for (i = 0; i < nr; i++)
		CHECK(alloc(1) == i);
	for (i = 0; i < nr; i += 2)
		CHECK(give(i));
	for (i = 2; i <= nr; i++)
		CHECK(alloc(i) == NOWHERE && alloc_any(i) == NOWHERE);
	for (i = 1; i < nr; i += 2)
		CHECK(give(i));
	is_whole();
}

static void fill_random_sizes(void)
{
	static u64 index[100000];
	struct rng rng = rng_from(5);
	u64 sum = 0, size;
	u32 n = 0;

	open_pool(11, 100000);
	while (core.nr_free) {
		size = 1 + rng_below(&rng, 500);
		index[n] = alloc_any(size);
		if (index[n] == NOWHERE) {
			size = 1;
			index[n] = alloc_any(size);
		}
		CHECK(index[n] != NOWHERE);
		sum += size;
		n++;
	}
	CHECK(sum == 100000);
	while (n--)
		CHECK(give(index[n]));
	is_whole();
}

static void exact_ranges(void)
{
	u64 i;
	int n;

	open_pool(0, 1024);
	CHECK(take(0, 1024) && core.nr_free == 0 && alloc(1) == NOWHERE);
	for (n = 0; n < 5; n++)
		CHECK(give(0) && take(0, 1024));
	CHECK(give(0));
	for (i = 0; i < 4; i++)
		CHECK(take(i * 256, 256));
	for (i = 0; i < 4; i++)
		CHECK(give(i * 256));
	CHECK(take(0, 1) && take(512, 1) && take(1023, 1) &&
	      core.nr_free == 1021);
	CHECK(give(0) && give(512) && give(1023));
	CHECK(take(0, 512) && !take(0, 1024) && !take(0, 512) &&
	      take(512, 512));
	CHECK(give(0) && give(512));
	CHECK(take(0, 1) && take(16, 16) && take(256, 256) && take(512, 500));
	CHECK(give(0) && give(16) && give(256) && give(512));
	is_whole();
}

static void exact_ranges_across_roots(void)
{
	open_pool(0, 1024 + 512 + 256);
	CHECK(take(0, 1024) && take(1024, 512) && take(1536, 256) &&
	      core.nr_free == 0);
	CHECK(give(1024) && give(0) && give(1536));
	CHECK(take(0, 1792) && core.nr_free == 0 && give(0));
	is_whole();
}

static void exact_checkerboard(void)
{
	u64 i;

	open_pool(0, 512);
	for (i = 0; i < 512; i += 2)
		CHECK(take(i, 1));
	for (i = 0; i < 512; i += 2)
		CHECK(!take(i, 2) && !take(i, 1) && take(i + 1, 1));
	CHECK(core.nr_free == 0);
}

/* Lengths 1, 2, 3, 5, 7, 11 ... one after the other until the pool is full */
static void exact_primes(void)
{
	u64 at = 0, length = 1, i;

	open_pool(0, 20000);
	while (at < 20000) {
		u64 nr = length < 20000 - at ? length : 20000 - at;

		CHECK(take(at, nr));
		at += nr;
		do {
			length++;
			for (i = 2; i < length && length % i; i++)
				;
		} while (i < length);
	}
	CHECK(core.nr_free == 0 && !buddy_core_check(&core));
}

/* What is left can all be had, whatever has been reserved. */
static void exact_reserved(void)
{
	struct rng rng = rng_from(9);
	u64 nr = 1 << 19, hole = 1 << 13, at, reserved = 0, got = 0;

	open_pool(0, nr);
	for (at = 0; at < nr; at += hole) {
		u64 size = 1 + rng_below(&rng, hole / 2);

		CHECK(take(at + rng_below(&rng, hole - size), size));
		reserved += size;
	}
	while (alloc_any(64) != NOWHERE)
		got += 64;
	while (alloc(1) != NOWHERE)
		got++;
	CHECK(got == nr - reserved);
}

static void window_each(void)
{
	u64 window = 256, start;

	open_pool(0, 4096);
	for (start = 0; start < 4096; start += window) {
		u64 end = start + window;

		CHECK(alloc_in(window, 8, start, end - 1, 0) == NOWHERE);
		CHECK(alloc_in(window / 2, 7, start + 1, end - 1, 0) ==
		      NOWHERE);
		CHECK(alloc_in(window / 2, 0, start + 1, end - 1, 0) !=
		      NOWHERE);
		CHECK(give(start + 1));
		CHECK(alloc_in(window, 8, start, end, 0) == start &&
		      give(start));
		CHECK(alloc_in(1, 8, start, end, 0) == start);
	}
}

static void window_grows(void)
{
	u64 nr = 3000, start, end, index;
	struct rng rng = rng_from(3);

	open_pool(100, nr);
	start = core.first + nr / 2;
	for (end = start + 1; core.nr_free;) {
		index = alloc_in(1, 0, start, end, rng_below(&rng, 2));
		CHECK(index == NOWHERE || (index >= start && index < end));
		if (start > core.first && index == NOWHERE)
			start -= 1 + rng_below(&rng,
					       start - core.first < 9 ? 1 : 9);
		if (end < core.end && index == NOWHERE)
			end += 1 + rng_below(&rng, core.end - end < 9 ? 1 : 9);
	}
	CHECK(start == core.first && end == core.end && alloc(1) == NOWHERE);
}

/* The part that has no window gets used first only if it is asked for. */
static void window_fails_when_full(void)
{
	u64 n;

	open_pool(0, 1024);
	for (n = 0; alloc_in(1, 0, 512, 1024, 0) != NOWHERE; n++)
		;
	CHECK(n == 512 && core.nr_free == 512);
	CHECK(alloc_in(1, 0, 512, 1024, BUDDY_CORE_TOP_DOWN) == NOWHERE);
	CHECK(alloc(512) == 0);
}

/* Of the two blocks that a window cuts, the lower one unless the higher is asked for. */
static void window_cuts_blocks(void)
{
	open_pool(0, 16);
	CHECK(take(0, 4) && take(12, 4));
	CHECK(alloc_in(3, 0, 5, 11, 0) == 5 && give(5));
	CHECK(alloc_in(3, 0, 5, 11, BUDDY_CORE_TOP_DOWN) == 8);
	CHECK(alloc_in(3, 0, 5, 11, BUDDY_CORE_TOP_DOWN) == 5);
	CHECK(alloc_in(3, 0, 5, 11, 0) == NOWHERE);
}

static void contiguous_thirds(void)
{
	u64 i;

	open_pool(0, 48);
	for (i = 0; i < 48; i++)
		CHECK(take(i, 1));
	CHECK(alloc_any(2) == NOWHERE && alloc_any(3) == NOWHERE);
	for (i = 1; i < 48; i += 3)
		CHECK(give(i));
	CHECK(alloc_any(2) == NOWHERE && alloc_any(3) == NOWHERE);
	for (i = 2; i < 48; i += 3)
		CHECK(give(i));
	CHECK(alloc_any(3) == NOWHERE);
	i = alloc_any(2);
	CHECK(i % 3 == 1 && give(i));
	for (i = 0; i < 48; i += 3)
		CHECK(give(i));
	CHECK(alloc_any(3) != NOWHERE && alloc_any(2) != NOWHERE &&
	      core.nr_free == 43);
}

static void contiguous_not_a_power_of_two(void)
{
	u64 gib = 1 << 18;

	open_pool(0, 10 * gib);
	CHECK(alloc_any(9 * gib) == 0 && core.nr_free == gib && give(0));
	CHECK(alloc_in(9 * gib, 0, gib, 10 * gib, 0) == gib && give(gib));
	CHECK(alloc_in(9 * gib, 0, 0, 10 * gib, BUDDY_CORE_TOP_DOWN) == gib &&
	      give(gib));
	open_pool(0, 4 * gib - 1);
	CHECK(alloc_any(4 * gib - 1) == 0);
}

/* Free runs are found whichever blocks they are made of. */
static void contiguous_across_blocks(void)
{
	static const struct {
		u64 start, end, nr;
	} runs[] = {
		{ 1, 3, 2 }, { 1, 6, 5 }, { 1, 7, 4 },
		{ 1, 7, 5 }, { 1, 7, 6 }, { 3, 6, 3 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		u64 index;

		open_pool(0, 8);
		CHECK(take(0, runs[i].start) &&
		      take(runs[i].end, 8 - runs[i].end));
		CHECK(alloc_any(runs[i].nr + (runs[i].end - runs[i].start)) ==
		      NOWHERE);
		index = alloc_any(runs[i].nr);
		CHECK(index >= runs[i].start &&
		      index + runs[i].nr <= runs[i].end);
	}
}

static void contiguous_needs_one_run(void)
{
	open_pool(0, 4096);
	CHECK(take(0, 1024) && take(2048, 1024));
	CHECK(alloc_any(2048) == NOWHERE && alloc_any(1025) == NOWHERE);
	CHECK(alloc(1024) == 1024 && alloc(1024) == 3072);
}

static void alignment_of_small(void)
{
	u64 index[16], i;

	open_pool(0, 1024);
	for (i = 0; i < 16; i++) {
		index[i] = alloc_aligned(2, 6);
		CHECK(index[i] % 64 == 0);
	}
	for (i = 0; i < 16; i++)
		CHECK(give(index[i]));
	for (i = 0; i < 16; i++) {
		index[i] = alloc_aligned(4, 6);
		CHECK(index[i] % 64 == 0);
	}
	for (i = 0; i < 16; i += 2)
		CHECK(give(index[i]));
	for (i = 0; i < 8; i++)
		CHECK(alloc_aligned(4, 6) != NOWHERE);
	CHECK(alloc_aligned(4, 6) == NOWHERE);
}

static void alignment_counts(void)
{
	unsigned int order;
	u64 n;

	for (order = 8; order >= 1; order--) {
		open_pool(0, 512);
		for (n = 0; alloc_aligned(1, order) != NOWHERE; n++)
			;
		CHECK(n == 512ULL >> order);
		CHECK(alloc_aligned(1, order - 1) != NOWHERE);
	}
}

/* Freed in the order 0, 3, 1, 2 of each four */
static void alignment_fragmentation(void)
{
	static u64 index[65536];
	static const int order[] = { 0, 3, 1, 2 };
	u64 i, j;

	open_pool(0, 1 << 20);
	for (i = 0; i < 65536; i++) {
		index[i] = alloc_aligned(2, 4);
		CHECK(index[i] != NOWHERE && index[i] % 16 == 0);
	}
	CHECK(alloc_aligned(2, 4) == NOWHERE);
	for (j = 0; j < 4; j++)
		for (i = order[j]; i < 65536; i += 4)
			CHECK(give(index[i]));
	is_whole();
	for (i = 0; i < 65536; i++) {
		index[i] = alloc(16);
		CHECK(index[i] != NOWHERE);
	}
	CHECK(core.nr_free == 0);
	while (i--)
		CHECK(give(index[i]));
	is_whole();
}

/* The run is aligned where its index is, from whatever index the pool starts. */
static void alignment_of_moved_pool(void)
{
	u64 first;

	for (first = 0; first < 64; first++) {
		open_pool(first, 100);
		CHECK(alloc_aligned(3, 5) % 32 == 0 &&
		      alloc_aligned(1, 4) % 16 == 0);
		CHECK(!buddy_core_check(&core));
	}
}

static void look_up(void)
{
	struct buddy_core_extent extent;

	open_pool(0, 1536);
	CHECK(take(1024, 1));
	CHECK(!buddy_core_query(&core, 1024, &extent) &&
	      extent.kind == BUDDY_CORE_HEAD);
	CHECK(!buddy_core_query(&core, 1023, &extent) &&
	      extent.kind == BUDDY_CORE_FREE);
	CHECK(extent.start == 0 && extent.nr == 1024);
	CHECK(buddy_core_query(&core, 1536, &extent) == -ERANGE);
}

static void tail_is_returned(void)
{
	open_pool(0, 16);
	CHECK(alloc(5) == 0 && core.nr_free == 11);
	CHECK(blocks_of_order(0) == 1 && blocks_of_order(1) == 1 &&
	      blocks_of_order(3) == 1);
	CHECK(alloc(8) == 8 && give(0) && give(8));
	is_whole();
}

static void odd_sizes_800(void)
{
	static u64 index[800];
	struct rng rng = rng_from(6);
	u64 i, j;

	open_pool(0, 16384);
	for (i = 0; i < 800; i++) {
		index[i] = alloc(1 + 2 * rng_below(&rng, 8));
		CHECK(index[i] != NOWHERE);
	}
	for (i = 0, j = 0; i < 800; i++, j = (j + 491) % 800)
		CHECK(give(index[j]) && free_error(index[j]) == -ENOENT);
	is_whole();
}

/*
 * What only we have
 */

/* Splits and merges, worked out by hand */
static void counters_by_hand(void)
{
	struct buddy_core_stats stats;

	open_pool(0, 16);
	/* 16 = 5 + 1 + 2 + 8: halved to 8 + 8, 4 + 4, 2 + 2, 1 + 1 */
	CHECK(alloc(5) == 0);
	buddy_core_stats(&core, &stats);
	CHECK(stats.splits == 4 && stats.merges == 0);
	CHECK(stats.order[4].enqueues == 1 && stats.order[4].dequeues == 1);
	CHECK(stats.order[3].enqueues == 1 && stats.order[3].size == 1);
	CHECK(stats.order[2].enqueues == 0);
	CHECK(stats.order[1].enqueues == 1 && stats.order[0].enqueues == 1);
	CHECK(give(0));
	buddy_core_stats(&core, &stats);
	CHECK(stats.splits == 4 && stats.merges == 4);
	CHECK(stats.order[4].enqueues == 2 && stats.order[4].size == 1);
	CHECK(stats.order[3].removes == 1 && stats.order[1].removes == 1 &&
	      stats.order[0].removes == 1);
}

/* Any order may be asked for, also one that no pool of this size can have. */
static void block_of_any_order(void)
{
	unsigned int order, nr;
	u64 index;

	open_pool(0, 1 << 13);
	for (order = 0; order < BUDDY_CORE_ORDERS; order++) {
		int ret = buddy_core_alloc_block(&core, order, &index);

		CHECK(ret == (order > 13 ? -ENOSPC : 0));
		CHECK(ret || (index == 0 && give(0)));
		nr = buddy_core_alloc_pair(&core, order, &index);
		CHECK(nr == (order > 13 ? 0 : 1));
		CHECK(!nr || (index == 0 && give(0)));
	}
	CHECK(buddy_core_extent(&core, 0, &index) == -ENOENT);
	CHECK(buddy_core_extent(&core, 1 << 13, &index) == -ERANGE);
	is_whole();
}

/*
 * Runs of four blocks, each across a border of four: three aligned to four are not
 * in them, but only a look at each of them can tell.
 */
static void splinter(u64 nr)
{
	u64 i;

	open_pool(0, nr);
	for (i = 0; i + 8 <= nr; i += 8)
		if (!take(i + 1, 4))
			abort();
}

static void search_is_bounded(void)
{
	struct buddy_core_request req = { .nr = 3,
					  .start = 0,
					  .end = 8000,
					  .align_order = 2 };
	u64 cursor = 0, index = 0;
	int calls = 1;

	splinter(8000);
	CHECK(give(7993) && take(7993, 3) && take(7999, 1));
	CHECK(buddy_core_alloc(&core, &req, &index) == -EAGAIN);
	while (buddy_core_search(&core, &req, &cursor, &index) == -EAGAIN)
		calls++;
	/* 1000 runs, 64 a call; the last one fits */
	CHECK(calls == 16 && index == 7996);
	CHECK(give(index));
	req.flags = BUDDY_CORE_TOP_DOWN;
	cursor = 0;
	CHECK(!buddy_core_search(&core, &req, &cursor, &index) &&
	      index == 7996);
}

/* Where a leaf and the edges of its neighbours rule a run out, that is quicker. */
static void search_of_leaves_is_bounded(void)
{
	struct buddy_core_request req = { .nr = 2, .start = 0, .end = 1 << 18 };
	u64 cursor = 0, index = 0, i;
	int calls = 1;

	open_pool(0, 1 << 18);
	for (i = 0; i < 1 << 18; i += 2)
		if (!take(i, 1))
			abort();
	CHECK(give((1 << 18) - 2) && take((1 << 18) - 1, 1));
	/* From 2^18 - 3 on: two, of different pairs */
	CHECK(buddy_core_alloc(&core, &req, &index) == -EAGAIN);
	while (buddy_core_search(&core, &req, &cursor, &index) == -EAGAIN)
		calls++;
	/* 63 times 64 leaves, of which 64 count as 5 runs, and 32 runs */
	CHECK(calls == 6 && index == (1 << 18) - 3);
	CHECK(give(index));
	req.flags = BUDDY_CORE_TOP_DOWN;
	cursor = 0;
	CHECK(!buddy_core_search(&core, &req, &cursor, &index) &&
	      index == (1 << 18) - 3);
}

/* Blocks that are too small to be in a run that fits are not looked at. */
static void search_looks_at_large_blocks(void)
{
	struct buddy_core_request req = { .nr = 6, .end = 1 << 18 };
	u64 cursor = 0, index = 0, i;

	open_pool(0, 1 << 18);
	for (i = 0; i < 1 << 18; i += 2)
		if (!take(i, 1))
			abort();
	for (i = 4; i <= 8; i += 2)
		CHECK(give((1 << 18) - i));
	CHECK(!buddy_core_search(&core, &req, &cursor, &index));
	CHECK(index == (1 << 18) - 9);
}

/* Others may alloc and free between two calls of a search. */
static void search_with_changes(void)
{
	struct rng rng = rng_from(8);
	int found = 0, round;

	for (round = 0; round < 400; round++) {
		struct buddy_core_request req = { .nr = 3,
						  .start = 0,
						  .end = 4096,
						  .align_order = 2 };
		u64 cursor = 0, index = 0, other;
		int ret;

		splinter(4096);
		req.flags = round % 2;
		ret = buddy_core_alloc(&core, &req, &index);
		while (ret == -EAGAIN) {
			other = rng_below(&rng, 512) * 8;
			if (rng_below(&rng, 2))
				give(other + 1);
			else
				take(other + 5, 2);
			CHECK(!buddy_core_check(&core));
			ret = buddy_core_search(&core, &req, &cursor, &index);
		}
		CHECK(ret == 0 || ret == -ENOSPC);
		CHECK(ret || (index < 4093 && free_error(index) == 0));
		CHECK(!buddy_core_check(&core));
		found += !ret;
	}
	CHECK(found > 10 && found < 390);
}

/* A run that was free throughout is found, also as a part of one that began before. */
static void search_of_a_run_that_grows(void)
{
	struct buddy_core_request req = { .nr = 3 * 64, .end = 16384, .align_order = 6 };
	u64 cursor = 0, index = 0;
	unsigned int i;

	open_pool(0, 16384);
	/* 63 runs that are too short, one more at 192, and the one that fits at 197 */
	for (i = 0; i < 63; i++)
		CHECK(take((3 * i + 2) * 64, 64));
	CHECK(take(189 * 64, 3 * 64) && take(194 * 64, 3 * 64));
	CHECK(take(200 * 64, 16384 - 200 * 64));
	CHECK(buddy_core_search(&core, &req, &cursor, &index) == -EAGAIN);
	CHECK(cursor == 194 * 64 && give(cursor));
	CHECK(!buddy_core_search(&core, &req, &cursor, &index));
	CHECK(index == 192 * 64 && !buddy_core_check(&core));
}

/*
 * Runs that only a leaf in their middle tells of: that one is free, and the leaves
 * beside it hold no block that is large enough to be looked at. In the second node,
 * while the first is full.
 */
static void search_of_runs_around_leaves(void)
{
	open_pool(0, 4096 + 320);
	CHECK(take(0, 64) && take(64, 4032));
	CHECK(take(4096 + 32, 76) && take(4096 + 212, 76));
	CHECK(alloc_any(100) == 4096 + 108 && give(4096 + 108));
	CHECK(alloc_in(100, 0, 0, core.end, BUDDY_CORE_TOP_DOWN) == 4096 + 112);
}

/* Behind the metadata of a pool there is none, which try_open_pool() has seen to. */
static void search_ends_with_the_pool(void)
{
	open_pool(0, 4096);
	CHECK(take(0, 4032) && take(4033, 60));
	CHECK(alloc_any(5) == NOWHERE);
	CHECK(alloc_any(3) == 4093 && alloc_any(1) == 4032);
}

static bool check_says(const char *text)
{
	const char *wrong = buddy_core_check(&core);

	return wrong && strstr(wrong, text);
}

/* What buddy_core_check() finds that no change of a single bit shows */
static void check_of_lengths(void)
{
	open_pool(0, 256);
	CHECK(take(64, 128) && !buddy_core_check(&core));
	/* Over a leaf that is free; two pieces, as before: 64 and 128 */
	buddy_core_leaf(&core, 1)->used = 192 << 1;
	CHECK(check_says("extents"));

	open_pool(0, 4096);
	CHECK(take(0, 64) && take(64, 4032) && !buddy_core_check(&core));
	/* Beyond the pool, where other metadata looks like a leaf inside an allocation */
	buddy_core_leaf(&core, 1)->used = 4096 << 1;
	CHECK(check_says("extents"));
}

/* There is no node before this pool's. */
static void check_of_nodes(void)
{
	u64 *node;

	open_pool(4096, 256);
	CHECK(take(4096, 3) && !buddy_core_check(&core));
	node = (u64 *)metadata + 4 * 2;
	CHECK(node[0] == 1);
	node[3] ^= 1 << 5;
	CHECK(check_says("a node"));
}

/* A run among many that consist of smaller blocks must not be overlooked. */
static void largest_after_many(void)
{
	u64 nr = 64 * 200, i, run;

	open_pool(0, nr);
	for (i = 0; i < 190; i++)
		CHECK(take(i * 64 + 8, 56));
	for (i = 190; i < 200; i++)
		CHECK(take(i * 64 + 32, 32));
	i = buddy_core_largest(&core, 0, nr, &run);
	CHECK(i == 32 && run >= 190 * 64);
}

/* Nor one among many more that are too short, around another of the largest blocks. */
static void largest_is_no_block(void)
{
	u64 i, run;

	open_pool(0, 512);
	for (i = 0; i < 256; i += 2)
		CHECK(take(i, 1));
	/* 16 at 272, and 46 at 305 */
	CHECK(take(256, 16) && take(288, 17) && take(351, 161));
	CHECK(buddy_core_largest(&core, 0, 512, &run) == 46 && run == 305);
}

/* Exact if no more runs are candidates than are looked at */
static void largest_is_the_last(void)
{
	u64 i, run;

	open_pool(0, 256);
	/* 4 at 0, BUDDY_CORE_SEARCH_RUNS - 2 of one block, and 7 at 130 */
	for (i = 4; i <= 128; i += 2)
		CHECK(take(i, 1));
	CHECK(take(129, 1) && take(137, 119));
	CHECK(buddy_core_largest(&core, 0, 256, &run) == 7 && run == 130);
}

/* A block that the window cuts is only as large as its part. */
static void largest_in_a_window(void)
{
	u64 run;

	open_pool(0, 128);
	CHECK(take(0, 8) && take(12, 52));
	CHECK(buddy_core_largest(&core, 0, 66, &run) == 4 && run == 8);
	CHECK(buddy_core_largest(&core, 0, 72, &run) == 8 && run == 64);
}

/* Free blocks of a window are told exactly up to so many pieces, and not beyond. */
static void free_in_many_pieces(void)
{
	u64 nr = 64 * (BUDDY_CORE_COUNT_PIECES + 100), most, i;

	open_pool(0, nr);
	for (i = 0; i < nr; i += 64)
		CHECK(take(i + 1, 62));
	most = 2 * BUDDY_CORE_COUNT_PIECES;
	CHECK(buddy_core_nr_free_in(&core, 0, nr, ~0ULL) == core.nr_free);
	CHECK(buddy_core_nr_free_in(&core, 64, nr, most) == most);
	CHECK(buddy_core_nr_free_in(&core, 64, nr, most + 1) == most + 1);
	CHECK(buddy_core_nr_free_in(&core, 64, 32 * most, most) == most - 2);
	CHECK(buddy_core_nr_free_in(&core, 63, 32 * most - 64, most) ==
	      most - 3);
	/* A large block is one piece, be it cut by the window. */
	CHECK(give(64 * 64 + 1) && free_error(64 * 64) == -ENOENT);
	for (i = 65; i < 128; i++)
		CHECK(give(i * 64 + 1));
	CHECK(buddy_core_nr_free_in(&core, 5000, 6000, ~0ULL) == 1000);
	CHECK(buddy_core_nr_free_in(&core, 64 * 64 + 1, 64 * 64 + 64, 1) == 63);
	CHECK(buddy_core_nr_free_in(&core, 2, 62, 1) == 0);
}

/* Rows of all orders, freed one by one and at once, whatever they were taken as */
static void rows_of_any_order(void)
{
	const unsigned int most = BUDDY_CORE_ROW_BLOCKS;
	unsigned int order, i;
	u64 index, size;

	for (order = 0; order <= 18; order++) {
		unsigned int nr = order < 13 ? most : 1U << (18 - order);

		size = 1ULL << order;
		open_pool(0, 1 << 18);
		CHECK(buddy_core_alloc_row(&core, order, ~0U, &index) == nr);
		CHECK(index == 0 && !buddy_core_check(&core));
		for (i = nr; i--;)
			CHECK(give(i * size));
		is_whole();
		for (i = 0; i < nr; i++)
			CHECK(alloc(size) == i * size);
		CHECK(!buddy_core_release_row(&core, 0, order + 1, nr));
		CHECK(!buddy_core_release_row(&core, 0, order, nr + 1));
		CHECK(!buddy_core_release_row(&core, size, order, nr));
		CHECK(!buddy_core_release_row(&core, -size, order, 2));
		CHECK(buddy_core_release_row(&core, 0, order, nr));
		is_whole();
		CHECK(!buddy_core_release_row(&core, 0, order, 1));
	}
	CHECK(buddy_core_alloc_row(&core, 19, 1, &index) == 0);
}

/* What looks like a row, but for one block */
static void rows_that_are_none(void)
{
	u64 at, i;

	for (at = 0; at < 160; at++) {
		open_pool(0, 256);
		CHECK(take(0, 1) && take(255, 1));
		for (i = 1; i < 160; i++)
			CHECK(take(i, 1));
		CHECK(give(at));
		CHECK(!buddy_core_release_row(&core, at < 100 ? at - at % 7 : 97, 0, 63));
		CHECK(at % 2 || take(at, 1));
		CHECK(buddy_core_release_row(&core, 96, 0, 64) == (at % 2 ? at < 96 : 1));
		CHECK(!buddy_core_check(&core));
	}
	/* The last one goes on beyond its leaf, or has another's length in the next. */
	open_pool(0, 512);
	CHECK(take(62, 1) && take(63, 2) && !take(64, 1));
	CHECK(!buddy_core_release_row(&core, 62, 0, 2));
	CHECK(give(63) && take(63, 200));
	CHECK(!buddy_core_release_row(&core, 62, 0, 2));
	CHECK(!buddy_core_release_row(&core, 64, 6, 2));
	CHECK(!buddy_core_release_row(&core, 64, 0, 64));
	CHECK(give(63) && take(63, 1));
	CHECK(buddy_core_release_row(&core, 62, 0, 2));
	is_whole();
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "seed vector A", seed_vector_a },
	{ "seed vector B", seed_vector_b },
	{ "pool of one block", one_block },
	{ "ragged pools of 1..300 blocks", ragged_pools },
	{ "metadata size", metadata_is_small },
	{ "every run of 260 blocks", every_run },
	{ "pools of one block", pool_is_one_block },
	{ "L4 pool of 2^32 + 12345 blocks", pool_of_2_32_blocks },
	{ "L1 largest pool", largest_pool },
	{ "F1 optimistic fill", fill_optimistic },
	{ "F2 pessimistic fill", fill_pessimistic },
	{ "F3 pathological fill", fill_pathological },
	{ "F5 fill with random sizes", fill_random_sizes },
	{ "R1 R2 R3 R6 R9 R10 exact ranges", exact_ranges },
	{ "R4 exact ranges across roots", exact_ranges_across_roots },
	{ "R7 checkerboard", exact_checkerboard },
	{ "R11 primes", exact_primes },
	{ "R12 reserved holes", exact_reserved },
	{ "W1 each window", window_each },
	{ "W3 growing window", window_grows },
	{ "W6 full window", window_fails_when_full },
	{ "window that cuts two blocks", window_cuts_blocks },
	{ "C1 thirds", contiguous_thirds },
	{ "C2 C3 C6 sizes that are no powers of two", contiguous_not_a_power_of_two },
	{ "C4 runs across blocks", contiguous_across_blocks },
	{ "C7 two halves are no whole", contiguous_needs_one_run },
	{ "A1 alignment above the size", alignment_of_small },
	{ "A2 counts by alignment", alignment_counts },
	{ "A3 fragmentation", alignment_fragmentation },
	{ "A5 alignment in a moved pool", alignment_of_moved_pool },
	{ "T1 look-up", look_up },
	{ "T3 unused tail", tail_is_returned },
	{ "T6 odd sizes", odd_sizes_800 },
	{ "counters worked out by hand", counters_by_hand },
	{ "blocks of any order", block_of_any_order },
	{ "search is bounded and goes on", search_is_bounded },
	{ "search of leaves is bounded and goes on", search_of_leaves_is_bounded },
	{ "search looks at large blocks only", search_looks_at_large_blocks },
	{ "search while others change the pool", search_with_changes },
	{ "search of a run that grows over the cursor", search_of_a_run_that_grows },
	{ "search of runs around leaves", search_of_runs_around_leaves },
	{ "search ends with the pool", search_ends_with_the_pool },
	{ "check of lengths", check_of_lengths },
	{ "check of nodes", check_of_nodes },
	{ "largest run after many small ones", largest_after_many },
	{ "largest run is not around the first of the largest blocks", largest_is_no_block },
	{ "largest run is the last that is looked at", largest_is_the_last },
	{ "largest run in a window", largest_in_a_window },
	{ "free blocks in many pieces", free_in_many_pieces },
	{ "rows of any order", rows_of_any_order },
	{ "rows that are none", rows_that_are_none },
};

static void run(unsigned int i)
{
	if (!setjmp(ended)) {
		tests[i].run();
		tap(true, "%s", tests[i].name);
	} else if (!strncmp(why, "SKIP", 4)) {
		tap(true, "%s # %s", tests[i].name, why);
	} else {
		tap(false, "%s", tests[i].name);
		printf("# %s\n", why);
	}
}

int main(void)
{
	unsigned int i;

	tap_begin();
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		run(i);
	return tap_end();
}

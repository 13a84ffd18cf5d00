// SPDX-License-Identifier: GPL-2.0
/*
 * N13: how much does an operation do at worst? buddy_core.c is compiled for the thread
 * sanitizer, whose functions are ours here: each load and store of a word of
 * metadata is counted. The bounds depend on the height of the tree, and so must
 * hold for 2^12 blocks as for 2^30.
 */
#include <linux/bitops.h>
#include <linux/errno.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rig.h"
#include "rng.h"
#include "tap.h"

/*
 * What calls of the sanitizer look like
 */

static unsigned long metadata_start, metadata_end;
static u64 nr_accesses;

static void count(const void *address)
{
	unsigned long at = (unsigned long)address;

	nr_accesses += at >= metadata_start && at < metadata_end;
}

#define COUNTER(name)            \
	void name(void *address) \
	{                        \
		count(address);  \
	}

COUNTER(__tsan_read1)
COUNTER(__tsan_read2)
COUNTER(__tsan_read4)
COUNTER(__tsan_read8)
COUNTER(__tsan_read16)
COUNTER(__tsan_write1)
COUNTER(__tsan_write2)
COUNTER(__tsan_write4)
COUNTER(__tsan_write8)
COUNTER(__tsan_write16)

void __tsan_init(void)
{
}

void __tsan_func_entry(void *address)
{
	(void)address;
}

void __tsan_func_exit(void *address)
{
	(void)address;
}

/*
 * Pools under load
 */

enum kind {
	ALLOC, /* natural alignment, no window */
	REFUSED, /* likewise, when there is no such block */
	REFUSED_DOWN, /* likewise, from the top */
	ALLOC_ANY, /* any alignment and window, without the search */
	SEARCH, /* each call of it */
	AT,
	FREE,
	QUERY,
	LARGEST,
	NR_FREE,
	ROW,
	FREE_ROW,
	KINDS,
};

static const char *const kind_names[KINDS] = {
	"alloc",
	"refused alloc",
	"refused alloc from the top",
	"alloc in a window",
	"a call of search",
	"alloc at",
	"free",
	"query",
	"largest",
	"free in a window",
	"row",
	"free of a row",
};

static struct buddy_core core;
static void *metadata;
static u64 metadata_size;
static u64 most[KINDS];
static struct rng rng;

#define MAX_LIVE (1U << 20)
static u64 live[MAX_LIVE];
static u32 nr_live;

static bool open_pool(u64 first, u64 nr)
{
	if (metadata)
		munmap(metadata, metadata_size);
	metadata_size = buddy_core_metadata_size(first, nr);
	metadata = mmap(NULL, metadata_size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (metadata == MAP_FAILED)
		abort();
	metadata_start = (unsigned long)metadata;
	metadata_end = metadata_start + metadata_size;
	buddy_core_init(&core, first, nr, metadata);
	nr_live = 0;
	return true;
}

static void note(enum kind kind)
{
	if (nr_accesses > most[kind])
		most[kind] = nr_accesses;
	nr_accesses = 0;
}

static void keep(int ret, u64 index)
{
	if (!ret && nr_live < MAX_LIVE)
		live[nr_live++] = index;
}

static void do_alloc(u64 nr, unsigned int flags)
{
	struct buddy_core_request req = {
		.nr = nr,
		.start = core.first,
		.end = core.end,
		.align_order = nr > 1 ? fls64(nr - 1) : 0,
		.flags = flags,
	};
	u64 index;
	int ret;

	nr_accesses = 0;
	ret = buddy_core_alloc(&core, &req, &index);
	note(!ret ? ALLOC : flags ? REFUSED_DOWN : REFUSED);
	keep(ret, index);
}

static void do_alloc_any(const struct buddy_core_request *req)
{
	u64 index, cursor = 0;
	int ret, calls = 0;

	nr_accesses = 0;
	ret = buddy_core_alloc(&core, req, &index);
	note(ALLOC_ANY);
	while (ret == -EAGAIN && calls++ < 8) {
		ret = buddy_core_search(&core, req, &cursor, &index);
		note(SEARCH);
	}
	keep(ret, index);
}

static void do_at(u64 index, u64 nr)
{
	int ret;

	nr_accesses = 0;
	ret = buddy_core_alloc_at(&core, index, nr);
	note(AT);
	keep(ret, index);
}

static void do_free(u64 index)
{
	u64 nr;

	nr_accesses = 0;
	buddy_core_free(&core, index, &nr);
	note(FREE);
}

static void do_free_any(void)
{
	u32 i;

	if (!nr_live)
		return;
	i = rng_below(&rng, nr_live);
	do_free(live[i]);
	live[i] = live[--nr_live];
}

/* A row of as many blocks as can be, and back: some of them one by one, the rest at once */
static void do_row(unsigned int order)
{
	unsigned int i, nr, single = rng_below(&rng, 4);
	u64 index;

	nr_accesses = 0;
	nr = buddy_core_alloc_row(&core, order, BUDDY_CORE_ROW_BLOCKS, &index);
	note(ROW);
	for (i = 0; i < nr && i < single; i++)
		do_free(index + ((u64)i << order));
	if (i == nr)
		return;
	if (rng_below(&rng, 8)) {
		nr_accesses = 0;
		buddy_core_release_row(&core, index + ((u64)i << order), order, nr - i);
		note(FREE_ROW);
		return;
	}
	for (; i < nr; i++)
		keep(0, index + ((u64)i << order));
}

static void do_query(u64 index)
{
	struct buddy_core_extent extent;

	nr_accesses = 0;
	buddy_core_query(&core, index, &extent);
	note(QUERY);
}

static void do_largest(u64 start, u64 end)
{
	nr_accesses = 0;
	buddy_core_largest(&core, start, end, NULL);
	note(LARGEST);
	buddy_core_nr_free_in(&core, start, end, ~0ULL);
	note(NR_FREE);
}

/* From one block to all, each power of two as likely */
static u64 any_size(u64 limit)
{
	u64 size = 1 + rng_below(&rng, 1ULL << rng_below(&rng, fls64(limit)));

	return size < limit ? size : limit;
}

static void any_operation(void)
{
	u64 nr_blocks = core.end - core.first;
	struct buddy_core_request req = { .start = core.first,
					  .end = core.end };
	u64 index = core.first + rng_below(&rng, nr_blocks);

	switch (rng_below(&rng, 9)) {
	case 8:
		do_row(fls64(any_size(nr_blocks)) - 1);
		break;
	case 0:
	case 1:
		do_alloc(any_size(nr_blocks), rng_below(&rng, 2));
		break;
	case 2:
		req.nr = any_size(nr_blocks / 2 + 1);
		if (rng_below(&rng, 2)) {
			req.start = core.first +
				    rng_below(&rng, nr_blocks - req.nr + 1);
			req.end = req.start + req.nr +
				  rng_below(&rng,
					    core.end - req.start - req.nr + 1);
		}
		req.align_order = rng_below(&rng, 3) ? 0 : rng_below(&rng, 8);
		req.flags = rng_below(&rng, 2);
		do_alloc_any(&req);
		break;
	case 3:
		do_at(index, any_size(core.end - index));
		break;
	case 4:
		do_query(index);
		do_largest(index, index + any_size(core.end - index));
		break;
	default:
		do_free_any();
		break;
	}
}

/* The largest runs there are, off every border, and what they leave over */
static void worst_runs(void)
{
	u64 start = core.first, end = core.end;

	do_at(start + 1, end - start - 2);
	do_query(end - 2);
	do_query((start + end) / 2);
	do_query((end - 2) >> 6 << 6);
	do_query(((end - 2) >> 12 << 12) - 1);
	do_free(start + 1);
	do_at(start, 1);
	do_at(end - 1, 1);
	do_largest(start, end);
	do_at(start + 1, end - start - 2);
	do_free(start);
	do_free(start + 1);
	do_free(end - 1);
	do_alloc(1, 0);
	do_free(start);
	do_alloc(1, BUDDY_CORE_TOP_DOWN);
	do_free(end - 1);
	do_at((start + end) / 2, 1);
	do_free((start + end) / 2);
}

/* Runs of 21 blocks, each of 5 pieces, as many as a search can see in some calls */
static void worst_search(void)
{
	struct buddy_core_request req = { .nr = 22,
					  .start = core.first,
					  .end = core.end };
	u64 nr = core.end - core.first < 1 << 15 ? core.end - core.first :
						   1 << 15;
	u64 at;

	for (at = core.first; at + 32 <= core.first + nr; at += 32)
		do_at(at + 22, 11);
	do_at(core.first + nr, core.end - core.first - nr);
	do_alloc_any(&req);
	do_largest(core.first, core.end);
	do_largest(core.first + 1, core.end);
	req.flags = BUDDY_CORE_TOP_DOWN;
	do_alloc_any(&req);
}

/* Long allocations whose interiors are not aligned to anything */
static void worst_queries(void)
{
	u64 nr = core.end - core.first;
	int i;

	for (i = 0; i < 20000; i++) {
		u64 start = core.first + rng_below(&rng, nr);
		u64 length = any_size(core.end - start);

		do_at(start, length);
		do_query(start + rng_below(&rng, length));
		do_query(start + length - 1);
		do_query((start + length - 1) >> 6 << 6);
		do_free(start);
	}
}

static void measure(unsigned int order, u64 first, u64 nr)
{
	int i, round;

	rng = rng_from(order);
	open_pool(first, nr);
	worst_runs();
	worst_queries();
	worst_search();
	for (round = 0; round < 4; round++) {
		open_pool(first, nr);
		for (i = 0; i < 150000; i++)
			any_operation();
	}
}

/*
 * Accesses, for H levels above the leaves. What was measured is between a half
 * and four fifths of it at H = 1, and less above. A query in the middle of a long
 * allocation goes back child by child, a search over so many runs.
 */
static u64 bound(enum kind kind, u64 h)
{
	u64 square = (h + 1) * (h + 1);

	switch (kind) {
	case ALLOC:
		return 12 * square;
	case REFUSED:
		return 0;
	case REFUSED_DOWN:
		return 16 + 4 * h;
	case ALLOC_ANY:
		return 60 * square;
	case AT:
		return 80 * square;
	case FREE:
		return 40 * square;
	case QUERY:
		return 12 * 64 * h;
	case NR_FREE:
		return 8 * (h + 1) * BUDDY_CORE_COUNT_PIECES;
	case ROW:
		return 20 * square + 4 * BUDDY_CORE_ROW_BLOCKS;
	case FREE_ROW:
		return 20 * square + 6 * BUDDY_CORE_ROW_BLOCKS;
	default:
		return 24 * BUDDY_CORE_SEARCH_RUNS * square;
	}
}

static void test_height(unsigned int h)
{
	unsigned int order = 6 * h + 6;
	u64 nr = 1ULL << order;
	unsigned int kind;

	memset(most, 0, sizeof(most));
	measure(order, 0, nr);
	measure(order, nr / 8 + 5, nr - nr / 8 - 11);
	for (kind = 0; kind < KINDS; kind++)
		tap(most[kind] <= bound(kind, h),
		    "2^%u blocks, %s: %" PRIu64 " accesses of %" PRIu64, order,
		    kind_names[kind], (uint64_t)most[kind],
		    (uint64_t)bound(kind, h));
}

/* Filling a window must not get slower, as it did in the kernel's gpu_buddy. */
static void test_window(void)
{
	struct buddy_core_request req = { .nr = 1,
					  .start = 1 << 16,
					  .end = 2 << 16 };
	u64 sum[10] = {};
	u64 tenth = (req.end - req.start) / 10;
	u64 i;

	open_pool(0, 1 << 18);
	for (i = 0; i < 10 * tenth; i++) {
		u64 index;

		nr_accesses = 0;
		if (buddy_core_alloc(&core, &req, &index))
			abort();
		sum[i / tenth] += nr_accesses;
	}
	tap(sum[9] <= 2 * sum[0],
	    "filling a window: %" PRIu64 " accesses each at first, %" PRIu64
	    " at last",
	    (uint64_t)(sum[0] / tenth), (uint64_t)(sum[9] / tenth));
}

int main(void)
{
	unsigned int h;

	tap_begin();
	for (h = 1; h <= 4; h++)
		test_height(h);
	test_window();
	return tap_end();
}

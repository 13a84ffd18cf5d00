// SPDX-License-Identifier: GPL-2.0
/*
 * Every state that a small pool can be in, and in each state every operation,
 * compared with the model.
 *
 * A pool is cut into cells: of one block each, or, for large pools, also larger
 * ones, so that cell borders lie around the places where words and nodes end. A
 * state tells which cells are free and where allocations start, in two bits for
 * each cell. From the empty pool all states are found by taking each run of
 * cells and freeing each allocation. The first way to a state that is found
 * determines the metadata that each other way must lead to as well, byte by
 * byte: it may depend on nothing but the state.
 *
 * Allocations by buddy_core_alloc() choose their own place. They are tried in
 * every state, on a copy; those that end up in a state lead on from there.
 *
 * N01 is all states of pools of up to 16 blocks, N02 that they may begin at any
 * index that a first block can have.
 */
#include <linux/errno.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "tap.h"

#define MAX_CELLS 16
#define MAX_METADATA 4096
#define TABLE_SIZE (1U << 21)

/**
 * struct space - a pool and its states
 * @first: first index of the pool
 * @nr_blocks: its length
 * @nr_cells: cells
 * @cut: where cells begin and end, in blocks from @first
 * @natural: power-of-two requests at natural alignment only
 * @windows: try every request in every window
 */
struct space {
	u64 first;
	u64 nr_blocks;
	unsigned int nr_cells;
	u64 cut[MAX_CELLS + 1];
	bool natural;
	bool windows;
};

/* Everything that the pool consists of, to be copied at once */
struct image {
	struct buddy_core core;
	u64 metadata[MAX_METADATA / 8];
};

static struct space space;
static u64 metadata_size;
static struct image pristine, state, work;
static struct model model;

/* The states seen so far, in the order in which they were, and a hash table */
static u32 state_of[TABLE_SIZE];
static u64 sum_of[TABLE_SIZE];
static u32 table[TABLE_SIZE];
static u32 nr_states;
static u32 current;

static u64 nr_operations;
static jmp_buf failed;
static char where[256];

/*
 * States: bit i is set if cell i is not free, bit i + 16 if an allocation starts
 * there.
 */

static bool cell_used(u32 key, unsigned int i)
{
	return key >> i & 1;
}

static bool cell_head(u32 key, unsigned int i)
{
	return i < space.nr_cells && key >> (i + MAX_CELLS) & 1;
}

static unsigned int cells_of_allocation(u32 key, unsigned int i)
{
	unsigned int end = i + 1;

	while (end < space.nr_cells && cell_used(key, end) &&
	       !cell_head(key, end))
		end++;
	return end - i;
}

static u32 key_of_run(unsigned int i, unsigned int nr)
{
	return ((1U << nr) - 1) << i | 1U << (i + MAX_CELLS);
}

static u64 cell_start(unsigned int i)
{
	return space.first + space.cut[i];
}

static u64 run_length(unsigned int i, unsigned int nr)
{
	return space.cut[i + nr] - space.cut[i];
}

/* The cell that starts at @index, or -1 */
static int cell_at(u64 index)
{
	unsigned int i;

	for (i = 0; i <= space.nr_cells; i++)
		if (cell_start(i) == index)
			return i;
	return -1;
}

static const char *state_text(u32 key)
{
	static char text[2 * MAX_CELLS + 1];
	unsigned int i, n = 0;

	for (i = 0; i < space.nr_cells; i++) {
		text[n++] = cell_head(key, i) ? '|' : ' ';
		text[n++] = cell_used(key, i) ? 'x' : '.';
	}
	text[n] = 0;
	return text;
}

static void __attribute__((noreturn, format(printf, 1, 2)))
fail(const char *format, ...)
{
	unsigned int i;
	va_list args;

	printf("# pool %" PRIu64 " %" PRIu64 ", cells at",
	       (uint64_t)space.first, (uint64_t)space.nr_blocks);
	for (i = 0; i < space.nr_cells; i++)
		printf(" %" PRIu64, (uint64_t)cell_start(i));
	printf("\n# state %s\n# %s: ", state_text(state_of[current]), where);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	longjmp(failed, 1);
}

static void request_text(const struct buddy_core_request *req)
{
	snprintf(where, sizeof(where),
		 "alloc %" PRIu64 " in %" PRIu64 "..%" PRIu64
		 ", align_order %u, flags %u",
		 (uint64_t)req->nr, (uint64_t)req->start, (uint64_t)req->end,
		 req->align_order, req->flags);
}

/*
 * Images
 */

static void copy_image(struct image *to, const struct image *from)
{
	memcpy(to, from, offsetof(struct image, metadata) + metadata_size);
}

/* The core holds addresses of its metadata: those of @work, in all images. */
static void begin(void)
{
	copy_image(&work, &state);
	nr_operations++;
}

static bool has_changed(void)
{
	return memcmp(&work.core, &state.core, sizeof(work.core)) ||
	       memcmp(work.metadata, state.metadata, metadata_size);
}

/* All that may depend on the state only; counters also depend on how it came about. */
static u64 sum_of_image(const struct image *image)
{
	u64 sum = image->core.avail * 31 + image->core.nr_free;
	u64 i;

	for (i = 0; i < metadata_size / 8; i++) {
		sum = (sum ^ image->metadata[i]) * 0x9e3779b97f4a7c15ULL;
		sum ^= sum >> 29;
	}
	return sum;
}

static void check_work(void)
{
	const char *why = buddy_core_check(&work.core);

	if (why)
		fail("buddy_core_check(): %s", why);
}

/* The pool that @work holds is in state @key now. */
static void reached(u32 key)
{
	u32 slot = (key * 0x9e3779b1U) >> 11;
	u64 sum = sum_of_image(&work);

	check_work();
	for (; table[slot]; slot = (slot + 1) % TABLE_SIZE) {
		u32 known = table[slot] - 1;

		if (state_of[known] != key)
			continue;
		if (sum_of[known] != sum)
			fail("same state, other metadata: %s", state_text(key));
		return;
	}
	if (nr_states >= TABLE_SIZE / 2)
		fail("too many states");
	state_of[nr_states] = key;
	sum_of[nr_states] = sum;
	table[slot] = ++nr_states;
}

/*
 * Operations, each on a copy of the state
 */

static int free_in_two_steps(u64 index, u64 *nr)
{
	int ret = buddy_core_extent(&work.core, index, nr);

	if (has_changed())
		fail("the extent changed the pool");
	if (!ret)
		buddy_core_release(&work.core, index, *nr);
	return ret;
}

static void try_free(u32 key, u64 index, bool two_steps)
{
	int want = -ERANGE, ret, cell = cell_at(index);
	u64 nr = 0;

	snprintf(where, sizeof(where), "free %" PRIu64, (uint64_t)index);
	begin();
	ret = two_steps ? free_in_two_steps(index, &nr) :
			  buddy_core_free(&work.core, index, &nr);
	if (index >= space.first && index - space.first < space.nr_blocks)
		want = model_is_free(&model, index, 1) ? -ENOENT : -EINVAL;
	if (cell >= 0 && cell_head(key, cell)) {
		unsigned int cells = cells_of_allocation(key, cell);

		if (ret || nr != run_length(cell, cells))
			fail("%d, %" PRIu64 " blocks", ret, (uint64_t)nr);
		reached(key & ~key_of_run(cell, cells));
		return;
	}
	if (ret != want)
		fail("%d instead of %d", ret, want);
	if (has_changed())
		fail("%d, but the pool changed", ret);
}

static void try_at(u32 key, unsigned int i, unsigned int nr)
{
	bool is_free = !(key & (key_of_run(i, nr) & 0xffff));
	int ret;

	snprintf(where, sizeof(where), "at %" PRIu64 ", %" PRIu64,
		 (uint64_t)cell_start(i), (uint64_t)run_length(i, nr));
	begin();
	ret = buddy_core_alloc_at(&work.core, cell_start(i), run_length(i, nr));
	if (ret != (is_free ? 0 : -ENOSPC))
		fail("%d", ret);
	if (!ret)
		reached(key | key_of_run(i, nr));
	else if (has_changed())
		fail("-ENOSPC, but the pool changed");
}

static int alloc_unchanged(const struct buddy_core_request *req, u64 *index)
{
	u64 cursor = 0;
	unsigned int calls = 0;
	int ret = buddy_core_alloc(&work.core, req, index);

	while (ret == -EAGAIN) {
		if (has_changed())
			fail("-EAGAIN, but the pool changed");
		if (++calls > 2 + space.nr_blocks / BUDDY_CORE_SEARCH_RUNS)
			fail("the search does not end");
		ret = buddy_core_search(&work.core, req, &cursor, index);
	}
	return ret;
}

/* After a run of @req has been taken at @index. It may be one of cells. */
static void reached_by_alloc(u32 key, const struct buddy_core_request *req,
			     u64 index)
{
	int cell = cell_at(index);
	int end = cell_at(index + req->nr);

	if (cell >= 0 && end >= 0)
		reached(key | key_of_run(cell, end - cell));
	else
		check_work();
	if (work.core.nr_free != state.core.nr_free - req->nr)
		fail("nr_free is %" PRIu64, (uint64_t)work.core.nr_free);
}

static void try_alloc(u32 key, const struct buddy_core_request *req)
{
	bool exists = model_has_run(&model, req);
	u64 want, index = ~0ULL;
	int ret;

	begin();
	ret = alloc_unchanged(req, &index);
	if (!ret && !exists)
		request_text(req), fail("got %" PRIu64 ", but there is no run",
					(uint64_t)index);
	if (ret != (exists ? 0 : -ENOSPC))
		request_text(req), fail("%d, but there is %s run", ret,
					exists ? "a" : "no");
	if (ret) {
		if (has_changed())
			request_text(req),
				fail("-ENOSPC, but the pool changed");
		return;
	}
	request_text(req);
	if (index < req->start || index + req->nr > req->end ||
	    index % (1ULL << req->align_order) ||
	    !model_is_free(&model, index, req->nr))
		fail("got %" PRIu64 ", which is wrong", (uint64_t)index);
	if (model_best_fit(&model, req, &want) && want != index)
		fail("got %" PRIu64 " instead of %" PRIu64, (uint64_t)index,
		     (uint64_t)want);
	reached_by_alloc(key, req, index);
}

/* Must do the same as the general function does. */
static void try_block(u32 key, const struct buddy_core_request *req)
{
	u64 want, index = ~0ULL;
	int ret;

	request_text(req);
	begin();
	ret = buddy_core_alloc_block(&work.core, req->align_order, &index);
	if (!model_best_fit(&model, req, &want)) {
		if (ret != -ENOSPC || has_changed())
			fail("alloc_block: %d", ret);
		return;
	}
	if (ret || index != want)
		fail("alloc_block: %d, %" PRIu64 " instead of %" PRIu64, ret,
		     (uint64_t)index, (uint64_t)want);
	reached_by_alloc(key, req, index);
}

/* A row must do the same as single blocks do. Given back, it leaves what was before. */
static void try_row(u32 key, const struct buddy_core_request *req, u64 count)
{
	unsigned int order = req->align_order;
	u64 want, index = ~0ULL, at, nr, i;
	u64 sum;

	request_text(req);
	begin();
	nr = buddy_core_alloc_row(&work.core, order, count, &index);
	if (nr > count || (!nr && has_changed()))
		fail("a row of %" PRIu64, (uint64_t)nr);
	if (!nr && model_best_fit(&model, req, &want))
		fail("no row, but there is a block");
	check_work();
	sum = sum_of_image(&work);
	begin();
	for (i = 0; i < nr; i++)
		if (buddy_core_alloc_block(&work.core, order, &at) || at != index + (i << order))
			fail("block %" PRIu64 " of a row at %" PRIu64, (uint64_t)i, (uint64_t)at);
	if (sum != sum_of_image(&work))
		fail("not what single blocks lead to");
	if (nr && buddy_core_release_row(&work.core, index, order ^ 1, nr))
		fail("freed what is no row");
	if (nr && !buddy_core_release_row(&work.core, index, order, nr))
		fail("a row is not freed");
	if (nr)
		reached(key);
}

/*
 * One block, or two of them if the first has to be split off, as a row of them is.
 * Not from just any order to any.
 */
static void try_pair(const struct buddy_core_request *req)
{
	unsigned int order = req->align_order;
	u64 cut = state.core.avail >> order << order;
	unsigned int most = order < 6 && (cut & -cut) < 1 << 12 ? 2 : 1;
	u64 want, index = ~0ULL, sum;
	struct buddy_core after;
	unsigned int nr;

	request_text(req);
	begin();
	nr = buddy_core_alloc_pair(&work.core, order, &index);
	if (!nr && (has_changed() || model_best_fit(&model, req, &want)))
		fail("no pair, but there is a block, or a change");
	check_work();
	after = work.core;
	sum = sum_of_image(&work);
	begin();
	if (nr != buddy_core_alloc_row(&work.core, order, most, &want))
		fail("a pair of %u", nr);
	if (nr && (index != want || sum != sum_of_image(&work) ||
		   memcmp(&after, &work.core, sizeof(after))))
		fail("not what a row leads to");
}

static void try_query(u64 index)
{
	struct buddy_core_extent is = {}, want = {};
	int want_ret = model_query(&model, index, &want);
	int ret;

	snprintf(where, sizeof(where), "query %" PRIu64, (uint64_t)index);
	begin();
	ret = buddy_core_query(&work.core, index, &is);
	if (ret != want_ret)
		fail("%d instead of %d", ret, want_ret);
	if (!ret && (is.start != want.start || is.nr != want.nr ||
		     is.kind != want.kind))
		fail("%" PRIu64 "+%" PRIu64 ", kind %d, instead of %" PRIu64
		     "+%" PRIu64 ", %d",
		     (uint64_t)is.start, (uint64_t)is.nr, is.kind,
		     (uint64_t)want.start, (uint64_t)want.nr, want.kind);
	if (has_changed())
		fail("the pool changed");
}

static void try_largest(u64 start, u64 end)
{
	u64 run = ~0ULL;
	u64 want = model_largest(&model, start, end);
	u64 nr;

	snprintf(where, sizeof(where), "largest in %" PRIu64 "..%" PRIu64,
		 (uint64_t)start, (uint64_t)end);
	begin();
	nr = buddy_core_largest(&work.core, start, end, &run);
	if (nr != want)
		fail("%" PRIu64 " instead of %" PRIu64, (uint64_t)nr,
		     (uint64_t)want);
	if (nr &&
	    (run < start || run + nr > end || !model_is_free(&model, run, nr)))
		fail("%" PRIu64 " is not its start", (uint64_t)run);
	if (buddy_core_largest(&work.core, start, end, NULL) != want)
		fail("without run, something else");
	want = model_nr_free(&model, start, end);
	nr = buddy_core_nr_free_in(&work.core, start, end, ~0ULL);
	if (nr != want)
		fail("%" PRIu64 " free instead of %" PRIu64, (uint64_t)nr,
		     (uint64_t)want);
	nr = buddy_core_nr_free_in(&work.core, start, end, 1);
	if (!nr != !want || nr > want)
		fail("%" PRIu64 " free of %" PRIu64, (uint64_t)nr,
		     (uint64_t)want);
	if (has_changed())
		fail("the pool changed");
}

static void check_stats(void)
{
	struct buddy_core_stats stats;
	u64 size[BUDDY_CORE_ORDERS] = {};
	u64 nr_free = 0;
	unsigned int i;

	strcpy(where, "stats");
	model_look(&model);
	for (i = 0; i < model.nr_blocks; i++) {
		size[model.block[i].order]++;
		nr_free += 1ULL << model.block[i].order;
	}
	if (work.core.nr_free != nr_free)
		fail("nr_free is %" PRIu64, (uint64_t)work.core.nr_free);
	buddy_core_stats(&work.core, &stats);
	for (i = 0; i < BUDDY_CORE_ORDERS; i++) {
		const struct buddy_core_order_stats *order = &stats.order[i];

		if (order->size != size[i])
			fail("%" PRIu64 " blocks of order %u",
			     (uint64_t)order->size, i);
		if (order->size !=
		    order->enqueues - order->dequeues - order->removes)
			fail("order %u does not add up", i);
	}
}

/*
 * States
 */

/* Brings @work and the model into state @key, by the shortest way */
static void build(u32 key)
{
	unsigned int i;

	strcpy(where, "build");
	copy_image(&work, &pristine);
	model_init(&model, space.first, space.nr_blocks);
	for (i = 0; i < space.nr_cells; i++) {
		unsigned int nr;

		if (!cell_head(key, i))
			continue;
		nr = cells_of_allocation(key, i);
		if (buddy_core_alloc_at(&work.core, cell_start(i),
					run_length(i, nr)))
			fail("at %u", i);
		model_take(&model, cell_start(i), run_length(i, nr));
	}
	if (sum_of_image(&work) != sum_of[current])
		fail("other metadata than the first time");
	check_stats();
	check_work();
}

static void try_natural(u32 key)
{
	struct buddy_core_request req = { .start = space.first };
	unsigned int i;

	req.end = space.first + space.nr_blocks;
	for (req.nr = 1; req.nr <= space.nr_blocks;
	     req.nr *= 2, req.align_order++) {
		for (req.flags = 0; req.flags <= BUDDY_CORE_TOP_DOWN;
		     req.flags++)
			try_alloc(key, &req);
		req.flags = 0;
		try_block(key, &req);
		try_row(key, &req, 1 + key % 5);
		try_row(key, &req, ~0U);
		try_pair(&req);
		for (i = 0; i + req.nr <= space.nr_cells; i++)
			if (cell_start(i) % req.nr == 0)
				try_at(key, i, req.nr);
	}
}

static void try_sizes(u32 key, struct buddy_core_request *req)
{
	unsigned int max_order = buddy_core_max_order(space.nr_blocks);

	for (req->align_order = 0; req->align_order <= max_order;
	     req->align_order++)
		for (req->flags = 0; req->flags <= BUDDY_CORE_TOP_DOWN;
		     req->flags++)
			try_alloc(key, req);
	if (req->end - req->start < space.nr_blocks || req->nr & (req->nr - 1))
		return;
	req->flags = 0;
	req->align_order = buddy_core_max_order(req->nr);
	try_block(key, req);
	try_row(key, req, 1 + key % 5);
	try_row(key, req, ~0U);
	try_pair(req);
}

/* Every window that begins and ends at a cut, or only the whole pool */
static void
try_windows(u32 key, void (*try_one)(u32 key, struct buddy_core_request *req))
{
	struct buddy_core_request req = {};
	unsigned int s, e;

	for (s = 0; s < space.nr_cells; s++) {
		for (e = s + 1; e <= space.nr_cells; e++) {
			if (!space.windows && (s || e < space.nr_cells))
				continue;
			req.start = cell_start(s);
			req.end = cell_start(e);
			try_one(key, &req);
			try_largest(req.start, req.end);
		}
	}
}

static void try_every_size(u32 key, struct buddy_core_request *req)
{
	for (req->nr = 1; req->nr <= req->end - req->start; req->nr++)
		try_sizes(key, req);
}

/* Sizes that just fit some cells, and those next to them */
static void try_cell_sizes(u32 key, struct buddy_core_request *req)
{
	unsigned int i;
	int more;

	for (i = 1; i <= space.nr_cells; i++) {
		for (more = -1; more <= 1; more++) {
			req->nr = space.cut[i] - space.cut[i / 2] + more;
			if (req->nr && req->nr <= req->end - req->start)
				try_sizes(key, req);
		}
	}
}

static void try_exact(u32 key)
{
	bool unit = space.nr_blocks == space.nr_cells;
	unsigned int i, nr;

	for (i = 0; i < space.nr_cells; i++)
		for (nr = 1; i + nr <= space.nr_cells; nr++)
			try_at(key, i, nr);
	try_windows(key, unit ? try_every_size : try_cell_sizes);
}

static void try_indexes(u32 key)
{
	unsigned int i;
	int more;

	for (i = 0; i <= space.nr_cells; i++) {
		for (more = -1; more <= 1; more++) {
			/* Of single blocks, each is the next one's neighbour. */
			if (more && i && i < space.nr_cells &&
			    run_length(i, 1) == 1 && run_length(i - 1, 1) == 1)
				continue;
			try_free(key, cell_start(i) + more, false);
			try_free(key, cell_start(i) + more, true);
			try_query(cell_start(i) + more);
		}
	}
}

static u64 run_space(void)
{
	memset(&pristine, 0, sizeof(pristine));
	memset(table, 0, sizeof(table));
	metadata_size = buddy_core_metadata_size(space.first, space.nr_blocks);
	nr_states = 0;
	current = 0;
	strcpy(where, "init");
	if (metadata_size > sizeof(pristine.metadata))
		fail("more metadata than expected");
	buddy_core_init(&work.core, space.first, space.nr_blocks,
			memset(work.metadata, 0, sizeof(work.metadata)));
	pristine = work;
	reached(0);
	for (current = 0; current < nr_states; current++) {
		u32 key = state_of[current];

		build(key);
		copy_image(&state, &work);
		if (space.natural)
			try_natural(key);
		else
			try_exact(key);
		try_indexes(key);
	}
	return nr_states;
}

static void unit_cells(unsigned int nr)
{
	unsigned int i;

	space.nr_blocks = nr;
	space.nr_cells = nr;
	for (i = 0; i <= nr; i++)
		space.cut[i] = i;
}

/*
 * How many states there must be: a free block of order k is free, taken as a
 * whole, or in halves.
 */
static u64 natural_states(u64 first, u64 nr)
{
	u64 all = 1;

	while (nr) {
		u64 size = 1, states = 2;

		for (; first % (2 * size) == 0 && 2 * size <= nr; size *= 2)
			states = states * states + 1;
		all *= states;
		first += size;
		nr -= size;
	}
	return all;
}

/* The first cell is free, or starts an allocation of some length. */
static u64 exact_states(unsigned int cells)
{
	u64 states[MAX_CELLS + 1] = { 1 };
	unsigned int n, nr;

	for (n = 1; n <= cells; n++) {
		states[n] = states[n - 1];
		for (nr = 1; nr <= n; nr++)
			states[n] += states[n - nr];
	}
	return states[cells];
}

static bool run_and_count(u64 want, u64 *total)
{
	if (setjmp(failed))
		return false;
	*total += run_space();
	strcpy(where, "count");
	current = 0;
	if (nr_states != want)
		fail("%u states instead of %" PRIu64, nr_states,
		     (uint64_t)want);
	return true;
}

/* Every size from @min to @max; at every first index for sizes up to @max_moved */
static void test_unit_pools(bool natural, unsigned int min, unsigned int max,
			    unsigned int max_moved)
{
	unsigned int nr;

	space.natural = natural;
	space.windows = !natural;
	for (nr = min; nr <= max; nr++) {
		u64 firsts =
			nr <= max_moved ? 1ULL << buddy_core_max_order(nr) : 1;
		u64 states = 0;
		bool ok = true;

		nr_operations = 0;
		unit_cells(nr);
		for (space.first = 0; space.first < firsts && ok; space.first++)
			ok = run_and_count(natural ? natural_states(space.first,
								    nr) :
						     exact_states(nr),
					   &states);
		tap(ok,
		    "%s, %u blocks from each of 0..%" PRIu64 ": %" PRIu64
		    " states, %" PRIu64 " operations",
		    natural ? "powers of two" :
			      "any size, window and alignment",
		    nr, (uint64_t)firsts - 1, (uint64_t)states,
		    (uint64_t)nr_operations);
	}
}

/* Large pools whose cells end near the borders of words and nodes */
struct borders {
	const char *name;
	u64 first;
	u64 cut[MAX_CELLS + 1];
};

static const struct borders borders[] = {
	{ "8 blocks across a leaf's end",
	  0,
	  { 0, 60, 61, 62, 63, 64, 65, 66, 67, 68, 75 } },
	{ "a leaf and both its neighbours",
	  0,
	  { 0, 1, 63, 64, 65, 127, 128, 129, 191, 192 } },
	{ "allocations that start inside a leaf",
	  37,
	  { 0, 26, 27, 28, 90, 91, 92, 155, 156, 219, 220 } },
	{ "leaves", 0, { 0, 64, 128, 192, 256, 320, 384, 448, 512 } },
	{ "leaves and a ragged end",
	  64,
	  { 0, 64, 128, 130, 192, 200, 256, 258, 301 } },
	{ "quarters of leaves",
	  5,
	  { 0, 11, 27, 43, 59, 75, 91, 107, 123, 125 } },
	{ "8 blocks across a node's end",
	  0,
	  { 0, 4092, 4093, 4094, 4095, 4096, 4097, 4098, 4099, 4100, 4111 } },
	{ "a node's last leaf and the next one's first",
	  0,
	  { 0, 64, 4031, 4032, 4033, 4095, 4096, 4097, 4160, 4161, 4170 } },
	{ "a pool that starts in a node's last leaf",
	  4032,
	  { 0, 1, 63, 64, 65, 128, 192, 4160, 4161, 4200 } },
};

static void test_borders(unsigned int max_cells)
{
	unsigned int i;

	for (i = 0; i < sizeof(borders) / sizeof(borders[0]); i++) {
		u64 states = 0;
		bool ok;

		space.natural = false;
		space.windows = true;
		space.first = borders[i].first;
		memcpy(space.cut, borders[i].cut, sizeof(space.cut));
		for (space.nr_cells = 1; space.cut[space.nr_cells + 1];
		     space.nr_cells++)
			;
		if (space.nr_cells > max_cells)
			space.nr_cells = max_cells;
		space.nr_blocks = space.cut[space.nr_cells];
		nr_operations = 0;
		ok = run_and_count(exact_states(space.nr_cells), &states);
		tap(ok, "%s: %" PRIu64 " states, %" PRIu64 " operations",
		    borders[i].name, (uint64_t)states, (uint64_t)nr_operations);
	}
}

static int help(void)
{
	fprintf(stderr, "usage: exhaustive natural|exact MIN MAX MAX-MOVED\n"
			"       exhaustive borders MAX-CELLS\n");
	return 2;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return help();
	tap_begin();
	if (!strcmp(argv[1], "borders"))
		test_borders(atoi(argv[2]));
	else if (argc == 5)
		test_unit_pools(!strcmp(argv[1], "natural"), atoi(argv[2]),
				atoi(argv[3]), atoi(argv[4]));
	else
		return help();
	return tap_end();
}

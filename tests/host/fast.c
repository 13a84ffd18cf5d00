// SPDX-License-Identifier: GPL-2.0
#include <linux/bitops.h>
#include <linux/errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fast.h"

/* Memory that costs nothing until it is used, and is 0 then */
static void *reserve(u64 bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return memory;
}

void fast_create(struct fast *fast)
{
	memset(fast, 0, sizeof(*fast));
	fast->node = reserve(2 * FAST_BLOCKS * sizeof(*fast->node));
	fast->length = reserve(FAST_BLOCKS * sizeof(*fast->length));
	fast->place = reserve(FAST_BLOCKS * sizeof(*fast->place));
	fast->live = reserve(FAST_BLOCKS * sizeof(*fast->live));
}

static void set_whole(struct fast_node *node, unsigned int order, bool is_free)
{
	u32 size = is_free ? 1U << order : 0;

	node->orders = size;
	node->free_before = size;
	node->free_after = size;
	node->longest = size;
	node->nr_free = size;
}

static void add_up(struct fast_node *node, const struct fast_node *child,
		   unsigned int order)
{
	u32 half = 1U << (order - 1);
	const struct fast_node *low = child, *high = child + 1;

	node->orders = low->orders | high->orders;
	if (low->orders == half && high->orders == half)
		node->orders = 2 * half;
	node->free_before = low->free_before +
			    (low->orders == half ? high->free_before : 0);
	node->free_after =
		high->free_after + (high->orders == half ? low->free_after : 0);
	node->nr_free = low->nr_free + high->nr_free;
	node->longest = low->free_after + high->free_before;
	if (node->longest < low->longest)
		node->longest = low->longest;
	if (node->longest < high->longest)
		node->longest = high->longest;
}

static bool is_whole(const struct fast_node *node, unsigned int order)
{
	return !node->orders || node->orders == 1ULL << order;
}

static void set_run(struct fast *fast, u64 n, unsigned int order, u64 base,
		    u64 start, u64 end, bool is_free)
{
	struct fast_node *node = &fast->node[n];
	u64 half = 1ULL << order >> 1;

	if (end <= base || start >= base + (1ULL << order))
		return;
	if (start <= base && end >= base + (1ULL << order)) {
		set_whole(node, order, is_free);
		return;
	}
	if (is_whole(node, order)) {
		set_whole(&fast->node[2 * n], order - 1, node->orders);
		set_whole(&fast->node[2 * n + 1], order - 1, node->orders);
	}
	set_run(fast, 2 * n, order - 1, base, start, end, is_free);
	set_run(fast, 2 * n + 1, order - 1, base + half, start, end, is_free);
	add_up(node, &fast->node[2 * n], order);
}

void fast_init(struct fast *fast, u64 first, u64 nr)
{
	while (fast->nr_live)
		fast->length[fast->live[--fast->nr_live]] = 0;
	fast->first = first;
	fast->end = first + nr;
	fast->nr_free = nr;
	for (fast->order = 0; fast->end > 1ULL << fast->order; fast->order++)
		;
	set_whole(&fast->node[1], fast->order, false);
	set_run(fast, 1, fast->order, 0, first, fast->end, true);
}

/* What a walk over the nodes from left to right has seen and looks for */
struct walk {
	const struct fast *fast;
	u64 start; /* the window */
	u64 end;
	u64 nr;
	u64 align;
	u64 run_start; /* the free run that ends where the walk is */
	u64 run_nr;
	u64 longest;
	unsigned int runs;
};

static void walk_over(struct walk *walk, u64 start, u64 nr, bool is_free)
{
	if (!is_free) {
		walk->run_nr = 0;
		return;
	}
	if (!walk->run_nr) {
		walk->run_start = start;
		walk->runs++;
	}
	walk->run_nr += nr;
	if (walk->run_nr > walk->longest)
		walk->longest = walk->run_nr;
}

static bool walk_fits(const struct walk *walk)
{
	u64 start =
		(walk->run_start + walk->align - 1) / walk->align * walk->align;

	return walk->run_nr &&
	       start + walk->nr <= walk->run_start + walk->run_nr;
}

/*
 * Returns true as soon as the run fits. Does not look into nodes that cannot
 * hold a run which is long enough: only the run that they end with matters.
 */
static bool walk_node(struct walk *walk, u64 n, unsigned int order, u64 base)
{
	const struct fast_node *node = &walk->fast->node[n];
	u64 end = base + (1ULL << order);
	u64 from, to;

	if (end <= walk->start || base >= walk->end)
		return false;
	if (is_whole(node, order)) {
		from = base > walk->start ? base : walk->start;
		to = end < walk->end ? end : walk->end;
		walk_over(walk, from, to - from, node->orders);
		return walk_fits(walk);
	}
	if (base >= walk->start && end <= walk->end &&
	    node->longest < walk->nr &&
	    walk->run_nr + node->free_before < walk->nr) {
		walk->run_nr = node->free_after;
		walk->run_start = end - node->free_after;
		return false;
	}
	return walk_node(walk, 2 * n, order - 1, base) ||
	       walk_node(walk, 2 * n + 1, order - 1,
			 base + (1ULL << order >> 1));
}

bool fast_is_free(const struct fast *fast, u64 start, u64 nr)
{
	struct walk walk = { .fast = fast,
			     .start = start,
			     .end = start + nr,
			     .nr = nr,
			     .align = 1 };

	if (start < fast->first || start >= fast->end || nr > fast->end - start)
		return false;
	return walk_node(&walk, 1, fast->order, 0);
}

bool fast_has_run(const struct fast *fast, const struct buddy_core_request *req)
{
	struct walk walk = { .fast = fast,
			     .start = req->start,
			     .end = req->end,
			     .nr = req->nr,
			     .align = 1ULL << req->align_order };

	return walk_node(&walk, 1, fast->order, 0);
}

/* No run is as long as ~0, so this one walks to the end, without short cuts. */
static void walk_runs(struct walk *walk, u64 n, unsigned int order, u64 base,
		      unsigned int limit)
{
	const struct fast_node *node = &walk->fast->node[n];

	if (walk->runs > limit)
		return;
	if (base + (1ULL << order) <= walk->start || base >= walk->end ||
	    is_whole(node, order)) {
		walk_node(walk, n, order, base);
		return;
	}
	walk_runs(walk, 2 * n, order - 1, base, limit);
	walk_runs(walk, 2 * n + 1, order - 1, base + (1ULL << order >> 1),
		  limit);
}

unsigned int fast_runs(const struct fast *fast, u64 start, u64 end,
		       unsigned int limit)
{
	struct walk walk = { .fast = fast,
			     .start = start,
			     .end = end,
			     .nr = ~0ULL >> 1,
			     .align = 1 };

	walk_runs(&walk, 1, fast->order, 0, limit);
	return walk.runs;
}

static u64 longest_in(struct walk *walk, u64 n, unsigned int order, u64 base)
{
	const struct fast_node *node = &walk->fast->node[n];
	u64 end = base + (1ULL << order);

	if (end <= walk->start || base >= walk->end)
		return walk->longest;
	if (is_whole(node, order)) {
		walk_node(walk, n, order, base);
		return walk->longest;
	}
	if (base >= walk->start && end <= walk->end) {
		if (walk->run_nr + node->free_before > walk->longest)
			walk->longest = walk->run_nr + node->free_before;
		if (node->longest > walk->longest)
			walk->longest = node->longest;
		walk->run_nr = node->free_after;
		walk->run_start = end - node->free_after;
		return walk->longest;
	}
	longest_in(walk, 2 * n, order - 1, base);
	return longest_in(walk, 2 * n + 1, order - 1,
			  base + (1ULL << order >> 1));
}

u64 fast_largest(const struct fast *fast, u64 start, u64 end)
{
	struct walk walk = { .fast = fast,
			     .start = start,
			     .end = end,
			     .nr = ~0ULL >> 1,
			     .align = 1 };

	return longest_in(&walk, 1, fast->order, 0);
}

static u64 nr_free_in(const struct fast *fast, u64 n, unsigned int order,
		      u64 base, u64 start, u64 end)
{
	const struct fast_node *node = &fast->node[n];
	u64 size = 1ULL << order;

	if (start < base)
		start = base;
	if (end > base + size)
		end = base + size;
	if (start >= end)
		return 0;
	if (end - start == size)
		return node->nr_free;
	if (is_whole(node, order))
		return node->orders ? end - start : 0;
	return nr_free_in(fast, 2 * n, order - 1, base, start, end) +
	       nr_free_in(fast, 2 * n + 1, order - 1, base + size / 2, start,
			  end);
}

u64 fast_nr_free(const struct fast *fast, u64 start, u64 end)
{
	return nr_free_in(fast, 1, fast->order, 0, start, end);
}

/* The lowest (highest) maximal free block of order @q inside the window */
static bool find_block(const struct fast *fast, u64 n, unsigned int order,
		       u64 base, const struct buddy_core_request *req,
		       unsigned int q, u64 *start)
{
	const struct fast_node *node = &fast->node[n];
	bool down = req->flags & BUDDY_CORE_TOP_DOWN;
	u64 size = 1ULL << order;
	u64 half = size / 2;

	if (!(node->orders >> q & 1) || base + size <= req->start ||
	    base >= req->end)
		return false;
	if (order == q) {
		*start = base;
		return base >= req->start && base + size <= req->end;
	}
	if (is_whole(node, order))
		return false;
	return find_block(fast, 2 * n + down, order - 1, base + half * down,
			  req, q, start) ||
	       find_block(fast, 2 * n + !down, order - 1, base + half * !down,
			  req, q, start);
}

bool fast_best_fit(const struct fast *fast,
		   const struct buddy_core_request *req, u64 *index)
{
	unsigned int need = req->nr > 1 ? fls64(req->nr - 1) : 0;
	unsigned int q;

	if (need < req->align_order)
		need = req->align_order;
	for (q = need; q <= fast->order; q++) {
		if (!find_block(fast, 1, fast->order, 0, req, q, index))
			continue;
		if (req->flags & BUDDY_CORE_TOP_DOWN)
			*index = (*index + (1ULL << q) - req->nr) >>
				 req->align_order << req->align_order;
		return true;
	}
	return false;
}

void fast_take(struct fast *fast, u64 start, u64 nr)
{
	set_run(fast, 1, fast->order, 0, start, start + nr, false);
	fast->nr_free -= nr;
	fast->length[start] = nr;
	fast->place[start] = fast->nr_live;
	fast->live[fast->nr_live++] = start;
}

int fast_free(struct fast *fast, u64 index, u64 *nr)
{
	u32 last;

	if (index < fast->first || index >= fast->end)
		return -ERANGE;
	if (!fast->length[index])
		return fast_is_free(fast, index, 1) ? -ENOENT : -EINVAL;
	*nr = fast->length[index];
	fast->length[index] = 0;
	last = fast->live[--fast->nr_live];
	fast->live[fast->place[index]] = last;
	fast->place[last] = fast->place[index];
	set_run(fast, 1, fast->order, 0, index, index + *nr, true);
	fast->nr_free += *nr;
	return 0;
}

int fast_query(const struct fast *fast, u64 index,
	       struct buddy_core_extent *extent)
{
	unsigned int order = fast->order;
	u64 n = 1;

	if (index < fast->first || index >= fast->end)
		return -ERANGE;
	while (!is_whole(&fast->node[n], order))
		n = 2 * n + (index >> --order & 1);
	if (fast->node[n].orders) {
		extent->start = index >> order << order;
		extent->nr = 1ULL << order;
		extent->kind = BUDDY_CORE_FREE;
		return 0;
	}
	extent->start = index;
	while (!fast->length[extent->start])
		extent->start--;
	extent->nr = fast->length[extent->start];
	extent->kind = extent->start == index ? BUDDY_CORE_HEAD :
						BUDDY_CORE_INTERIOR;
	return 0;
}

static unsigned int border_of(const struct fast *fast, u64 n,
			      unsigned int order, u64 base, u64 start, u64 end,
			      struct fast_block *blocks)
{
	const struct fast_node *node = &fast->node[n];
	unsigned int found;

	if (!node->orders)
		return 0;
	if (node->orders == 1ULL << order) {
		blocks->start = base;
		blocks->order = order;
		return 1;
	}
	if (end <= base || start >= base + (1ULL << order))
		return 0;
	found = border_of(fast, 2 * n, order - 1, base, start, end, blocks);
	return found + border_of(fast, 2 * n + 1, order - 1,
				 base + (1ULL << order >> 1), start, end,
				 blocks + found);
}

unsigned int fast_border(const struct fast *fast, u64 start, u64 end,
			 struct fast_block *blocks)
{
	return border_of(fast, 1, fast->order, 0, start, end, blocks);
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The buddy allocator itself: which blocks of a range are free, and which
 * block a request gets.
 *
 * It knows indexes and orders only; no address, no lock, no kernel object.
 * Its metadata lives in memory that the caller provides once, so that nothing
 * here allocates, sleeps or fails for want of memory. The same source is
 * compiled in user space, where tests/host tries every state of small pools.
 *
 * Terms, for buddy_core.[ch]:
 *
 * @index: number of a min block. Block 0 lies at an address that is aligned to
 *	every order the pool can have, so alignment of an index is alignment of
 *	the address. The managed blocks are [first, end).
 * @order: log2 of a number of blocks.
 * @block: 2^order blocks that start at a multiple of 2^order; its *buddy* is
 *	the block it shares its parent with. A free block is *maximal* if its
 *	parent is not entirely free.
 * @run: adjacent blocks of any number, at any index.
 * @nr: a number of blocks.
 */
#ifndef BUDDY_CORE_H
#define BUDDY_CORE_H

#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/types.h>

/* Six node levels above the leaves: 64^7 = 2^42 blocks. */
#define BUDDY_CORE_MAX_LEVEL	6
#define BUDDY_CORE_LEVELS	(BUDDY_CORE_MAX_LEVEL + 1)
#define BUDDY_CORE_MAX_ORDER	(6 * BUDDY_CORE_LEVELS)
#define BUDDY_CORE_ORDERS	(BUDDY_CORE_MAX_ORDER + 1)
#define BUDDY_CORE_MAX_BLOCKS	(1ULL << (BUDDY_CORE_MAX_ORDER - 2))

/* Free runs that one buddy_core_search() looks at closely before it gives up. */
#define BUDDY_CORE_SEARCH_RUNS	64

/* Pieces that one buddy_core_nr_free_in() looks at before it gives up. */
#define BUDDY_CORE_COUNT_PIECES	256

/**
 * struct buddy_core - one pool's metadata and counters; see buddy_core_stats()
 * @first: first managed index
 * @end: one past the last managed index
 * @nr_free: free blocks
 * @avail: bit q is set while a maximal free block of order q exists
 * @top: level of the root
 * @node: for each level, the address at which its node 0 would be. Only the
 *	nodes that overlap [first, end) exist, so this may lie before the
 *	metadata, and is not a pointer
 * @nr_cut: rises when what an allocation takes of one free block consists of
 *	more than one block, by their number less one; never falls
 * @nr_joined: rises likewise when a free ends as one free block; never falls
 * @taken: by order: rises when an allocation is cut from such a block
 * @returned: by order: rises when a free, merges done, ends as such a block
 * @split: blocks that were left over when a larger one was cut. To count many
 *	orders with two additions this is kept in differences: the number for
 *	order o is the sum of entries 0..o
 * @merged: blocks that vanished into a larger one, likewise
 */
struct buddy_core {
	u64 first;
	u64 end;
	u64 nr_free;
	u64 avail;
	unsigned int top;
	unsigned long node[BUDDY_CORE_LEVELS];
	u64 nr_cut;
	u64 nr_joined;
	u64 taken[BUDDY_CORE_ORDERS];
	u64 returned[BUDDY_CORE_ORDERS];
	s64 split[BUDDY_CORE_ORDERS];
	s64 merged[BUDDY_CORE_ORDERS];
};

/**
 * struct buddy_leaf - 64 blocks; see buddy_core.c
 * @used: bit set = not free, or else the length of an allocation of more than these
 * @head: bit set = an allocation starts here
 */
struct buddy_leaf {
	u64 used;
	u64 head;
};

/* Placement modifiers of a request. */
#define BUDDY_CORE_TOP_DOWN	BIT(0)	/* highest index, not lowest */

/**
 * struct buddy_core_request - what buddy_core_alloc() shall find
 * @nr: blocks wanted, 1 or more
 * @start: first index that may be used
 * @end: one past the last index that may be used
 * @align_order: the run shall start at a multiple of 2^@align_order
 * @flags: BUDDY_CORE_TOP_DOWN or 0
 */
struct buddy_core_request {
	u64 nr;
	u64 start;
	u64 end;
	unsigned int align_order;
	unsigned int flags;
};

/* What buddy_core_query() found at an index. */
enum buddy_core_kind {
	BUDDY_CORE_FREE,	/* in a maximal free block */
	BUDDY_CORE_HEAD,	/* first block of an allocation */
	BUDDY_CORE_INTERIOR,	/* any other block of an allocation */
};

/**
 * struct buddy_core_extent - a maximal free block, or an allocation
 * @start: its first index
 * @nr: its length in blocks
 * @kind: what the queried index is to it
 */
struct buddy_core_extent {
	u64 start;
	u64 nr;
	enum buddy_core_kind kind;
};

/**
 * struct buddy_core_order_stats - one order's share of &struct buddy_core_stats
 * @enqueues: maximal free blocks of this order that came to be: what the pool
 *	began with, what was left of a larger block, what frees ended in
 * @dequeues: those that an allocation was cut from
 * @removes: those that merged into a larger one
 * @size: those that exist now; enqueues - dequeues - removes
 */
struct buddy_core_order_stats {
	u64 enqueues;
	u64 dequeues;
	u64 removes;
	u64 size;
};

/**
 * struct buddy_core_stats - a consistent copy of the counters
 * @splits: halvings of a block
 * @merges: joinings of two buddies
 * @order: by order
 */
struct buddy_core_stats {
	u64 splits;
	u64 merges;
	struct buddy_core_order_stats order[BUDDY_CORE_ORDERS];
};

/**
 * buddy_core_max_order() - largest order that a pool of @nr blocks can hold
 * @nr: number of blocks, 1 or more
 *
 * Also the alignment, as an order, that index 0 must have for an alignment of
 * indexes to be one of addresses.
 *
 * Return: floor(log2(@nr)).
 */
unsigned int buddy_core_max_order(u64 nr);

/**
 * buddy_core_metadata_size() - bytes that buddy_core_init() needs
 * @first: first managed index, below 2^buddy_core_max_order(@nr)
 * @nr: number of blocks, 1 to BUDDY_CORE_MAX_BLOCKS
 *
 * Return: a multiple of 64; about 2.13 bits per block.
 */
u64 buddy_core_metadata_size(u64 first, u64 nr);

/**
 * buddy_core_init() - make all blocks free
 * @core: to be filled
 * @first: first managed index, below 2^buddy_core_max_order(@nr)
 * @nr: number of blocks, 1 to BUDDY_CORE_MAX_BLOCKS
 * @metadata: buddy_core_metadata_size() bytes of zeros, aligned to 8 or, for
 *	speed, to a cache line. The caller keeps and frees it.
 */
void buddy_core_init(struct buddy_core *core, u64 first, u64 nr, void *metadata);

/**
 * buddy_core_alloc() - take the best-fitting free run
 * @core: the pool
 * @req: valid request: window inside the pool, nr and alignment that fit it
 * @index: set to the first block on success
 *
 * Takes the run from the smallest maximal free block, of the order of the run
 * or of its alignment or more, that lies in the window; the lowest
 * (BUDDY_CORE_TOP_DOWN: highest) of several. Then from one that the window cuts, again
 * the lowest (highest).
 * Runs that cross block boundaries are left to buddy_core_search().
 *
 * Return:
 * * 0
 * * -ENOSPC: no maximal free block holds such a run; nothing was changed
 * * -EAGAIN: likewise, but some run across blocks may; buddy_core_search()
 *   knows
 */
int buddy_core_alloc(struct buddy_core *core, const struct buddy_core_request *req,
		     u64 *index);

/**
 * buddy_core_alloc_block() - take one block, at natural alignment, anywhere
 * @core: the pool
 * @order: of the block, below BUDDY_CORE_ORDERS
 * @index: set to the first block on success
 *
 * buddy_core_alloc() of the plainest request, and the quickest.
 *
 * Return:
 * * 0
 * * -ENOSPC: there is no such free block
 */
int buddy_core_alloc_block(struct buddy_core *core, unsigned int order, u64 *index);

/**
 * buddy_core_alloc_pair() - take one block, and its buddy if it has to be split off
 * @core: the pool
 * @order: of each, below BUDDY_CORE_ORDERS
 * @index: set to the first block on success
 *
 * As buddy_core_alloc_block(), called twice if the first has to split a larger block.
 * The buddy follows the first, and is an allocation of its own. Only blocks below
 * order 6 from ones below order 12 come in pairs.
 *
 * Return: how many blocks of @order, 0 to 2; nothing was changed if 0.
 */
unsigned int buddy_core_alloc_pair(struct buddy_core *core, unsigned int order, u64 *index);

/**
 * buddy_core_search() - take a run that crosses block boundaries
 * @core: the pool
 * @req: valid request, as for buddy_core_alloc()
 * @cursor: where to go on. Start with 0; kept between calls for one request
 * @index: set to the first block on success
 *
 * Looks at up to BUDDY_CORE_SEARCH_RUNS free runs a call, or at 16 leaves of 64
 * blocks instead of a run, so that a lock need not be held for long. Space freed
 * behind the cursor is not seen.
 *
 * Return:
 * * 0
 * * -ENOSPC: no run is left that fits; nothing was changed
 * * -EAGAIN: call again
 */
int buddy_core_search(struct buddy_core *core, const struct buddy_core_request *req,
		      u64 *cursor, u64 *index);

/**
 * buddy_core_alloc_at() - take exactly the given run
 * @core: the pool
 * @index: first block
 * @nr: blocks, 1 or more; the run lies inside the pool
 *
 * Return:
 * * 0
 * * -ENOSPC: not all of it is free; nothing was changed
 */
int buddy_core_alloc_at(struct buddy_core *core, u64 index, u64 nr);

/**
 * buddy_core_extent() - length of the allocation that starts at an index
 * @core: the pool
 * @index: any number
 * @nr: set to its length
 *
 * Return: as buddy_core_free().
 */
int buddy_core_extent(const struct buddy_core *core, u64 index, u64 *nr);

/* The leaf of blocks 64 * @i and on */
static inline struct buddy_leaf *buddy_core_leaf(const struct buddy_core *core, u64 i)
{
	unsigned long offset = i * sizeof(struct buddy_leaf);

	return (struct buddy_leaf *)(core->node[0] + offset);
}

/**
 * buddy_core_small_block() - order of a small block that was allocated, quickly
 * @core: the pool
 * @index: any number
 *
 * Return: order of the allocation that starts at @index, if that is one block and
 * ends before its leaf does; else -1, and buddy_core_extent() knows more.
 */
static inline int buddy_core_small_block(const struct buddy_core *core, u64 index)
{
	const struct buddy_leaf *leaf;
	unsigned int p = index & 63;
	u64 stops, nr;

	if (unlikely(index < core->first || index >= core->end))
		return -1;
	leaf = buddy_core_leaf(core, index >> 6);
	stops = (~leaf->used | leaf->head) >> p >> 1;
	if (unlikely(!((leaf->used & leaf->head) >> p & 1) || !stops))
		return -1;
	nr = __ffs64(stops) + 1;
	return likely(!((p | nr) & (nr - 1))) ? (int)__ffs64(nr) : -1;
}

/**
 * buddy_core_release_block() - give a block back, known to be an allocation
 * @core: the pool
 * @index: where it starts
 * @order: of the block
 */
void buddy_core_release_block(struct buddy_core *core, u64 index, unsigned int order);

/**
 * buddy_core_release() - give an allocation back, known to be one
 * @core: the pool
 * @index: where it starts
 * @nr: its length, from buddy_core_extent()
 */
void buddy_core_release(struct buddy_core *core, u64 index, u64 nr);

/**
 * buddy_core_free() - give an allocation back
 * @core: the pool
 * @index: any number
 * @nr: set to the length of what was freed
 *
 * Return:
 * * 0
 * * -ERANGE: outside the pool
 * * -EINVAL: inside an allocation, not at its start
 * * -ENOENT: free already
 *
 * Nothing is changed on error.
 */
int buddy_core_free(struct buddy_core *core, u64 index, u64 *nr);

/* Most blocks that one buddy_core_alloc_row() takes, so that its time is bounded */
#define BUDDY_CORE_ROW_BLOCKS 64U

/**
 * buddy_core_alloc_row() - take adjacent blocks, each an allocation of its own
 * @core: the pool
 * @order: of each block, below BUDDY_CORE_ORDERS
 * @count: how many at most, 1 or more
 * @index: set to the first of them on success
 *
 * Leaves the pool as so many calls of buddy_core_alloc_block() would, but for counters
 * of blocks that those would split off and take at once. Stops at the end of the free
 * block that the first is cut from, and at BUDDY_CORE_ROW_BLOCKS.
 *
 * Return: how many; 0 if there is no such free block, and nothing was changed.
 */
unsigned int buddy_core_alloc_row(struct buddy_core *core, unsigned int order, unsigned int count,
				  u64 *index);

/**
 * buddy_core_release_row() - give adjacent allocations back that are one block each
 * @core: the pool
 * @index: where the first starts, any number
 * @order: of each block, below BUDDY_CORE_ORDERS
 * @count: how many, 1 to BUDDY_CORE_ROW_BLOCKS
 *
 * Leaves the pool as so many calls of buddy_core_free() would, but for counters of blocks
 * that those would make and merge at once.
 *
 * Return: whether they were just that; if not, nothing was changed.
 */
bool buddy_core_release_row(struct buddy_core *core, u64 index, unsigned int order,
			    unsigned int count);

/**
 * buddy_core_query() - tell what a block belongs to
 * @core: the pool
 * @index: any number
 * @extent: filled on success
 *
 * Return:
 * * 0
 * * -ERANGE: outside the pool
 */
int buddy_core_query(const struct buddy_core *core, u64 index,
		     struct buddy_core_extent *extent);

/**
 * buddy_core_largest() - length of the longest free run found quickly
 * @core: the pool
 * @start: first index that counts
 * @end: one past the last index that counts
 * @run: set to its first block, if not NULL
 *
 * Exact as long as no more than BUDDY_CORE_SEARCH_RUNS runs are candidates;
 * otherwise the result is a run that exists, and the longest may be longer,
 * but by less than four times.
 *
 * Return: blocks; 0 if nothing in the window is free.
 */
u64 buddy_core_largest(const struct buddy_core *core, u64 start, u64 end, u64 *run);

/**
 * buddy_core_nr_free_in() - count the free blocks of a window, as far as it matters
 * @core: the pool
 * @start: first index that counts
 * @end: one past the last index that counts
 * @enough: more than so many need not be told apart
 *
 * Looks at no more than BUDDY_CORE_COUNT_PIECES pieces: free blocks of 64 or more, or
 * leaves of 64 blocks of which some are free.
 *
 * Return: blocks, exact if less than @enough; else @enough or more, also if the pieces
 * are too many to tell.
 */
u64 buddy_core_nr_free_in(const struct buddy_core *core, u64 start, u64 end, u64 enough);

/**
 * buddy_core_stats() - work out the statistics
 * @core: the pool
 * @stats: filled
 */
void buddy_core_stats(const struct buddy_core *core, struct buddy_core_stats *stats);

/**
 * buddy_core_check() - verify all metadata; takes time in proportion to it
 * @core: the pool
 *
 * Return: NULL, or the invariant that does not hold, as a sentence.
 */
const char *buddy_core_check(const struct buddy_core *core);

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * A radix-64 buddy allocator with exact summaries.
 *
 * The data structure is a tree of 64-bit words, 64 children to a word.
 *
 * leaf	(level 0)
 *	Two words for 64 blocks. used: bit set = not free. head: bit set = an
 *	allocation starts here.
 * node of level l >= 1
 *	6l + 1 words for 64 children of 2^(6l) blocks each. Word q, q < 6l:
 *	bit j set = child j holds a maximal free block of exactly order q. The
 *	last word, own: bit j set = child j is not entirely free.
 * avail
 *	Bit q set = some maximal free block of order q exists.
 *
 * Orders 6l..6l+5 live inside a single word of level l, the leaf's used or the
 * node's own word, because a block of order 6l+r is 2^r adjacent children. Such
 * a word is all that splitting and merging need to look at: the maximal free
 * block around a position is the largest aligned run of zeros around it. Take
 * used = 0b1110_0000, of which the low 8 bits are shown: 0..3 are free and so
 * is 4, whose buddy 5 is not; hence maximal blocks of order 2 at 0 and of order
 * 0 at 4. Taking blocks 0..2 leaves 0b1110_0111: order 0 at 3, order 0 at 4.
 *
 * What a block leaves over when an allocation of nr blocks is cut from its
 * start (or, keeping natural alignment, from anywhere) can be read off a
 * number: 2^q - nr, in binary, has bit o set exactly if a maximal free block of
 * order o remains. Cutting 5 of 16 leaves 11 = 0b1011: orders 0, 1 and 3, at 5,
 * 6 and 8.
 *
 * Only a change of which orders a word holds concerns its ancestors, and only
 * the first and last such block in a node goes beyond it. A search is one find
 * first set in avail for the order, and one for each level for the place.
 *
 * Metadata of a subtree that is entirely free is zero, so a pool is created by
 * zeroing and then taking away what lies outside [first, end). A subtree that
 * lies entirely in one allocation is zero as well, with one exception:
 *
 * Length of allocations
 *	An allocation that stays within a leaf, and is not all of it, ends at the
 *	next free bit, at the next head or with the leaf.
 *	One that covers its first leaf has used bit 0 clear and head bit 0 set
 *	there. That is no other state of a leaf; the rest of used keeps its
 *	length.
 *	One that starts inside a leaf, at a bit other than 0, and goes on into the
 *	next: if it covers that next leaf, used there keeps the rest of the
 *	length, with bit 0 clear; otherwise bit 0 is set, and the rest ends like
 *	an allocation within a leaf. In both cases head bit 0 is clear.
 *	Beyond the end the last leaf is used, with a head at end, so that an
 *	allocation before it ends there.
 *
 * Bounds. With H = top levels above the leaves (H is 3 for 2^24 blocks, 4 for
 * 2^30), a request without a window visits no more than 12 (H + 1)^2 words, and
 * so do a free and a fixed address, whatever the state: a change of one word
 * updates at most 6 words on each level above it, and two words are changed on
 * each level. A request that can't be met at natural alignment visits none. One
 * with a window looks for each order in turn: 40 (H + 1)^2. A call of
 * buddy_core_search() does this for BUDDY_CORE_SEARCH_RUNS runs, or looks at 16
 * leaves instead of a run. buddy_core_nr_free_in() climbs and descends the tree for each
 * of BUDDY_CORE_COUNT_PIECES pieces: 8 (H + 1) words each. A row of blocks costs what a
 * fixed address does, and a few words for each block.
 * buddy_core_check() is linear.
 *
 * Locking: none. The caller serialises everything, readers included.
 */
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "buddy_core.h"

/* Called for each node visited; tests count the calls. */
#ifndef buddy_core_visit
#define buddy_core_visit() do { } while (0)
#endif

/* log2 of a node's size in words, by level; rounded up from 6 * level + 1 */
static const u8 node_shift[BUDDY_CORE_LEVELS] = { 1, 3, 4, 5, 5, 5, 6 };

/* The first 2^r positions of a word, by r */
static const u64 first_block[7] = { 0x1, 0x3, 0xf, 0xff, 0xffff, 0xffffffff, ~0ULL };

/* A word as fields of 2^r positions: the last of each field, by r */
static const u64 last_positions[7] = {
	0xffffffffffffffffULL, 0xaaaaaaaaaaaaaaaaULL, 0x8888888888888888ULL,
	0x8080808080808080ULL, 0x8000800080008000ULL, 0x8000000080000000ULL,
	0x8000000000000000ULL,
};

/* @nr low bits, 1 <= @nr <= 64 */
static inline u64 low_bits(unsigned int nr)
{
	return ~0ULL >> (64 - nr);
}

/* The bits of orders [from, to), to <= 63 */
static inline u64 orders_between(unsigned int from, unsigned int to)
{
	return (1ULL << to) - (1ULL << from);
}

/* Order of the smallest block of at least @nr */
static inline unsigned int order_of(u64 nr)
{
	return fls64(nr - 1);
}

/* Is this a power of two of blocks, and aligned to that? */
static inline bool is_block(u64 start, u64 nr)
{
	return !((start | nr) & (nr - 1));
}

static inline u64 *node_at(const struct buddy_core *core, unsigned int level, u64 i)
{
	unsigned long offset = i << (node_shift[level] + 3);

	buddy_core_visit();
	return (u64 *)(core->node[level] + offset);
}

static inline struct buddy_leaf *leaf_at(const struct buddy_core *core, u64 i)
{
	buddy_core_visit();
	return buddy_core_leaf(core, i);
}

/* The word whose bits stand for free or not: a leaf's used, a node's own */
static inline u64 *word_at(const struct buddy_core *core, unsigned int level, u64 i)
{
	return node_at(core, level, i) + 6 * level;
}

static inline bool node_exists(const struct buddy_core *core, unsigned int level, u64 i)
{
	unsigned int shift = 6 * (level + 1);

	return i >= core->first >> shift && i <= (core->end - 1) >> shift;
}

/*
 * Words and orders inside one word
 */

/*
 * The last position of each field of 2^@r positions in which any is used. Adding
 * ones to all of a field but the last position carries into that if anything but
 * the sum is set, and never further: in a field of 4, 0b0010 + 0b0111 = 0b1001.
 */
static inline u64 used_fields(u64 word, unsigned int r)
{
	u64 others = ~last_positions[r];

	return (((word & others) + others) | word) & last_positions[r];
}

/* The starts of the blocks of order @r that are free */
static inline u64 free_blocks(u64 word, unsigned int r)
{
	return (used_fields(word, r) ^ last_positions[r]) >> ((1 << r) - 1);
}

/* The starts of the maximal free blocks of exactly order @r */
static inline u64 maximal_blocks(u64 word, unsigned int r)
{
	u64 blocks = free_blocks(word, r);
	u64 parents;

	if (r == 6)
		return blocks;
	parents = free_blocks(word, r + 1);
	return blocks & ~(parents | parents << (1 << r));
}

/*
 * The last position of each pair of fields of 2^@r positions, @r < 6, of which one
 * is free and one is not: the free one is a maximal free block. @used is of
 * used_fields().
 */
static inline u64 half_used_pairs(u64 used, unsigned int r)
{
	return (used ^ used << (1 << r)) & last_positions[r + 1];
}

/* The orders in [from, to), to <= 6, of which @word holds a maximal free block */
static inline u64 orders_among(u64 word, unsigned int from, unsigned int to)
{
	u64 orders = 0;
	unsigned int r;

	for (r = from; r < to; r++)
		if (half_used_pairs(used_fields(word, r), r))
			orders |= 1ULL << r;
	return orders;
}

/* The orders, 0..6, of which @word holds a maximal free block */
static inline u64 orders_in(u64 word)
{
	return orders_among(word, 0, 6) | (u64)!word << 6;
}

/* Order of the maximal free block around free position @p of @word */
static inline unsigned int order_around(u64 word, unsigned int p)
{
	u64 below = word & ((1ULL << p) - 1);
	u64 above = word >> p << p;
	unsigned int order = 6;

	/* The first bit in which the nearest used position differs from p */
	if (below)
		order = fls64((fls64(below) - 1) ^ p) - 1;
	if (above)
		order = min_t(unsigned int, order, fls64(__ffs64(above) ^ p) - 1);
	return order;
}

/*
 * Summaries
 */

/*
 * Word @i of @level has got its first maximal free blocks of @orders: tell those of
 * its ancestors that had none either.
 */
static noinline void gain_orders(struct buddy_core *core, unsigned int level, u64 i, u64 orders)
{
	for (; level < core->top && orders; i >>= 6) {
		u64 *node = node_at(core, ++level, i >> 6);
		u64 bit = 1ULL << (i & 63);
		u64 rest;

		for (rest = orders; rest; rest &= rest - 1) {
			unsigned int q = __ffs64(rest);

			if (node[q])
				orders &= ~(1ULL << q);
			node[q] |= bit;
		}
	}
	core->avail |= orders;
}

/* Word @i of @level has no more maximal free blocks of @orders: likewise */
static noinline void lose_orders(struct buddy_core *core, unsigned int level, u64 i, u64 orders)
{
	for (; level < core->top && orders; i >>= 6) {
		u64 *node = node_at(core, ++level, i >> 6);
		u64 bit = 1ULL << (i & 63);
		u64 rest;

		for (rest = orders; rest; rest &= rest - 1) {
			unsigned int q = __ffs64(rest);

			node[q] &= ~bit;
			if (node[q])
				orders &= ~(1ULL << q);
		}
	}
	core->avail &= ~orders;
}

/*
 * gain_orders() of order @q < 6 of leaf @i, which has got its first such block.
 * Whether that is the first of the node above too is nothing a processor can
 * foresee, so there is no branch for it; whether that of 2^18 blocks, it can.
 */
static inline void gain_in_leaf(struct buddy_core *core, u64 i, unsigned int q)
{
	u64 *word = node_at(core, 1, i >> 6) + q;
	u64 old = *word;
	bool gained = !old;

	*word = old | 1ULL << (i & 63);
	if (likely(core->top >= 2)) {
		word = node_at(core, 2, i >> 12) + q;
		old = *word;
		*word = old | (u64)gained << (i >> 6 & 63);
		gained &= !old;
	}
	if (gained)
		gain_orders(core, 2, i >> 12, 1ULL << q);
}

/* Likewise: it has no such block any more. */
static inline void lose_in_leaf(struct buddy_core *core, u64 i, unsigned int q)
{
	u64 *word = node_at(core, 1, i >> 6) + q;
	u64 rest = *word & ~(1ULL << (i & 63));
	bool lost = !rest;

	*word = rest;
	if (likely(core->top >= 2)) {
		word = node_at(core, 2, i >> 12) + q;
		rest = *word & ~((u64)lost << (i >> 6 & 63));
		*word = rest;
	}
	if (!rest)
		lose_orders(core, 2, i >> 12, 1ULL << q);
}

/*
 * Word @i of @level has got one block of each order in [@from, @to), all of which
 * nothing else in the pool has: nobody has to look at what the words above hold.
 */
static inline void add_only_blocks(struct buddy_core *core, unsigned int level, u64 i,
				   unsigned int from, unsigned int to)
{
	core->avail |= orders_between(from, to);
	for (; level < core->top; i >>= 6) {
		u64 *node = node_at(core, ++level, i >> 6);
		unsigned int q;

		for (q = from; q < to; q++)
			node[q] = 1ULL << (i & 63);
	}
}

/* gain_orders() and lose_orders() of leaf @i, whose word was @old and is @new */
static void tell_of_leaf(struct buddy_core *core, u64 i, u64 old, u64 new)
{
	u64 before = orders_among(old, 0, 6);
	u64 after = orders_among(new, 0, 6);
	u64 orders;

	for (orders = after & ~before; orders; orders &= orders - 1)
		gain_in_leaf(core, i, __ffs64(orders));
	for (orders = before & ~after; orders; orders &= orders - 1)
		lose_in_leaf(core, i, __ffs64(orders));
}

/* Likewise of a node, whose own word that was */
static void tell_of_node(struct buddy_core *core, unsigned int level, u64 i, u64 old, u64 new)
{
	u64 before = orders_in(old);
	u64 after = orders_in(new);

	/* Order 6 is a block of the parent's word, but for the root. */
	if (level < core->top) {
		before &= low_bits(6);
		after &= low_bits(6);
	}
	gain_orders(core, level, i, (after & ~before) << 6 * level);
	lose_orders(core, level, i, (before & ~after) << 6 * level);
}

/*
 * Write @new into word @i of @level and bring the summaries of what it holds up to
 * date. Returns whether it became entirely free, or ceased to be: the own word of its
 * parent, if it has one, has to be written then.
 */
static bool set_word(struct buddy_core *core, unsigned int level, u64 i, u64 new)
{
	u64 *word = word_at(core, level, i);
	u64 old = *word;

	*word = new;
	if (level)
		tell_of_node(core, level, i, old, new);
	else
		tell_of_leaf(core, i, old, new);
	return !old != !new;
}

/* Mark @nr positions from @at on, which are in one word; returns what set_word() does. */
static bool mark_bits(struct buddy_core *core, unsigned int level, u64 at, unsigned int nr,
		      bool used)
{
	u64 bits = low_bits(nr) << (at & 63);
	u64 word = *word_at(core, level, at >> 6);

	return set_word(core, level, at >> 6, used ? word | bits : word & ~bits);
}

/*
 * Mark [start, end) used or free, which all of it must not be yet. From level to
 * level, what remains of the run is a run of whole children, and of those next to it
 * that became free or ceased to be (@first, @last), whose parent has to be told: at
 * most two words of each level are written.
 */
static void mark_run(struct buddy_core *core, u64 start, u64 end, bool used)
{
	bool first = false, last = false;
	unsigned int level;
	u64 from, to;

	for (level = 0; start < end; level++, start = from, end = to) {
		from = start >> 6;
		to = (end + 63) >> 6;
		first = first || (start & 63);
		last = last || (end & 63);
		if (to == from + 1 && (first || last || level == core->top)) {
			last = mark_bits(core, level, start, end - start, used);
			first = last;
			to -= !last;
		} else {
			if (first) {
				first = mark_bits(core, level, start, 64 - (start & 63), used);
				from += !first;
			}
			if (last) {
				end -= (to - 1) << 6;
				last = mark_bits(core, level, (to - 1) << 6, end, used);
				to -= !last;
			}
		}
		if (level == core->top)
			return;
	}
}

/*
 * Looking things up
 */

/* Is any block of leaf @i free, though not all of it? */
static bool leaf_holds_free(const struct buddy_core *core, u64 i)
{
	const u64 *node = node_at(core, 1, i >> 6);

	return ((node[0] | node[1] | node[2] | node[3] | node[4] | node[5]) >> (i & 63)) & 1;
}

/* Order of the maximal free block around @index, whose start goes to @start; or -1 */
static int block_around(const struct buddy_core *core, u64 index, u64 *start)
{
	unsigned int level;

	for (level = core->top;; level--) {
		unsigned int p = (index >> 6 * level) & 63;
		u64 i = index >> 6 * level >> 6;
		u64 word = *word_at(core, level, i);

		/* A node that is zero below a used position is all taken. */
		if (!word && level < core->top)
			return -1;
		if (!(word >> p & 1)) {
			unsigned int order = 6 * level + order_around(word, p);

			*start = index >> order << order;
			return order;
		}
		if (!level || (level == 1 && !leaf_holds_free(core, index >> 6)))
			return -1;
	}
}

/* Likewise if @index is known to be free: its leaf can tell, unless all of that is */
static unsigned int free_block_around(const struct buddy_core *core, u64 index, u64 *start)
{
	u64 word = leaf_at(core, index >> 6)->used;
	unsigned int order;

	if (!word)
		return block_around(core, index, start);
	order = order_around(word, index & 63);
	*start = index >> order << order;
	return order;
}

/* extent_of() an allocation that reaches the end of its leaf: it may go on. */
static noinline u64 extent_past_leaf(const struct buddy_core *core, u64 index)
{
	unsigned int nr = 64 - (index & 63);
	u64 next = (index >> 6) + 1;
	const struct buddy_leaf *leaf;

	if (!node_exists(core, 0, next))
		return nr;
	leaf = leaf_at(core, next);
	if (leaf->head & 1)
		return nr;
	if (leaf->used & 1)
		return nr + __ffs64(~leaf->used | leaf->head);
	if (leaf->used && !leaf_holds_free(core, next))
		return nr + (leaf->used >> 1);
	return nr;
}

/*
 * Length of the allocation whose head is at @index. How it is kept is told at
 * the top of this file.
 */
static inline u64 extent_of(const struct buddy_core *core, u64 index)
{
	const struct buddy_leaf *leaf = leaf_at(core, index >> 6);
	unsigned int p = index & 63;
	u64 stops = (~leaf->used | leaf->head) >> p >> 1;

	if (unlikely(!(leaf->used >> p & 1)))
		return leaf->used >> 1;
	if (likely(stops))
		return __ffs64(stops) + 1;
	return extent_past_leaf(core, index);
}

/* The head of the allocation that @index, which is not free, belongs to */
static u64 head_of(const struct buddy_core *core, u64 index)
{
	for (;;) {
		const struct buddy_leaf *leaf = leaf_at(core, index >> 6);
		u64 heads = leaf->head & low_bits((index & 63) + 1);
		u64 i = index >> 6;
		unsigned int level = 0;

		if (heads)
			return (i << 6) + fls64(heads) - 1;
		/* Step over the largest subtree that is all inside. */
		if (!leaf->used) {
			while (level + 1 < core->top && !*word_at(core, level + 1, i >> 6)) {
				i >>= 6;
				level++;
			}
		}
		index = i << 6 * level << 6;
		if (leaf_at(core, index >> 6)->head & 1)
			return index;
		index--;
	}
}

/* The positions of node @i of @level inside which is a block of one of @orders */
static u64 inner_blocks(const struct buddy_core *core, unsigned int level, u64 i, u64 orders)
{
	const u64 *node = node_at(core, level, i);
	u64 found = 0;

	for (orders &= orders_between(0, 6 * level); orders; orders &= orders - 1)
		found |= node[__ffs64(orders)];
	return found;
}

/* The positions of word @i of @level at which a block of one of @orders starts */
static u64 starting_blocks(const struct buddy_core *core, unsigned int level, u64 i, u64 orders)
{
	unsigned int nr_orders = level < core->top ? 6 : 7;
	u64 word = *word_at(core, level, i);
	u64 found = 0;

	/* Without a free block, the word of a leaf may be a length. */
	if (!level && !leaf_holds_free(core, i))
		return 0;
	for (orders = orders >> 6 * level & low_bits(nr_orders); orders; orders &= orders - 1)
		found |= maximal_blocks(word, __ffs64(orders));
	return found;
}

/* One that the positions of node @i of @level in @found are known to hold */
static int descend(const struct buddy_core *core, unsigned int level, u64 i, u64 found,
		   u64 orders, bool down, u64 *start)
{
	for (;;) {
		unsigned int p = down ? fls64(found) - 1 : __ffs64(found);
		u64 word = *word_at(core, level, i);

		i = i << 6 | p;
		if (!(word >> p & 1)) {
			*start = i << 6 * level;
			return 6 * level + order_around(word, p);
		}
		level--;
		found = starting_blocks(core, level, i, orders);
		if (level)
			found |= inner_blocks(core, level, i, orders);
	}
}

/*
 * The nearest maximal free block of one of @orders that starts at @from or
 * above; if @down, at @from or below. Climbs from the leaf until a node has
 * one on the right side of @from, then descends to it.
 *
 * Returns its order and sets @start, or returns -1.
 */
static int find_block(const struct buddy_core *core, u64 from, u64 orders, bool down, u64 *start)
{
	unsigned int level;

	orders &= core->avail;
	for (level = 0; orders && level <= core->top; level++) {
		unsigned int p = from & 63;
		u64 i = from >> 6;
		u64 found;

		if (!node_exists(core, level, i))
			return -1;
		found = starting_blocks(core, level, i, orders);
		found &= down ? low_bits(p + 1) : ~0ULL << p;
		if (level)
			found |= inner_blocks(core, level, i, orders) &
				 (down ? (1ULL << p) - 1 : ~0ULL << p);
		if (found)
			return descend(core, level, i, found, orders, down, start);
		/* Upwards, the child around from is done with unless it starts there. */
		from = down ? i : (from + 63) >> 6;
	}
	return -1;
}

/* Widen [*start, *end), which is free, to the whole free run around it */
static void widen_run(const struct buddy_core *core, u64 *start, u64 *end)
{
	u64 block;
	int order;

	while (*start > core->first && block_around(core, *start - 1, &block) >= 0)
		*start = block;
	while (*end < core->end) {
		order = block_around(core, *end, &block);
		if (order < 0)
			break;
		*end = block + (1ULL << order);
	}
}

/*
 * Counting
 */

/* Add one to each of @orders, in the difference form of struct buddy_core */
static inline void count_orders(s64 *differences, u64 orders)
{
	u64 edges;

	for (edges = orders ^ orders << 1; edges; edges &= edges - 1) {
		unsigned int o = __ffs64(edges);

		if (orders >> o & 1)
			differences[o]++;
		else
			differences[o]--;
	}
}

/*
 * The orders of the blocks that make up [start, end), each as large as can be:
 * those that grow from @start on in one mask, those that shrink towards @end in
 * the other. A run that is one block has it in @growing.
 */
static void blocks_of_run(u64 start, u64 end, u64 *growing, u64 *shrinking)
{
	unsigned int order = fls64(start ^ (end - 1));
	u64 middle;

	*growing = end - start;
	*shrinking = 0;
	if (is_block(start, end - start))
		return;
	/* The one number in the run that is a multiple of the highest power */
	middle = (end - 1) >> (order - 1) << (order - 1);
	*growing = middle - start;
	*shrinking = end - middle;
}

static unsigned int nr_blocks_of_run(u64 start, u64 end)
{
	u64 growing, shrinking;

	blocks_of_run(start, end, &growing, &shrinking);
	return hweight64(growing) + hweight64(shrinking);
}

/*
 * Taking and giving back
 */

/* Record that an allocation of @nr blocks starts at @start */
static inline void set_extent(struct buddy_core *core, u64 start, u64 nr)
{
	struct buddy_leaf *leaf = leaf_at(core, start >> 6);
	unsigned int p = start & 63;

	leaf->head |= 1ULL << p;
	if (!p && nr >= 64)
		leaf->used = nr << 1;
	else if (p && p + nr >= 128)
		leaf_at(core, (start >> 6) + 1)->used = (nr - (64 - p)) << 1;
}

static inline void clear_extent(struct buddy_core *core, u64 start, u64 nr)
{
	struct buddy_leaf *leaf = leaf_at(core, start >> 6);
	unsigned int p = start & 63;

	leaf->head &= ~(1ULL << p);
	if (!p && nr >= 64)
		leaf->used = 0;
	else if (p && p + nr >= 128)
		leaf_at(core, (start >> 6) + 1)->used = 0;
}

/* An allocation takes @nr blocks of a maximal free block of order @q. */
static inline void count_cut(struct buddy_core *core, unsigned int q, u64 nr)
{
	core->nr_free -= nr;
	core->taken[q]++;
	count_orders(core->split, (1ULL << q) - nr);
	if (nr & (nr - 1))
		core->nr_cut += hweight64(nr) - 1;
}

/* A block of order @k that was freed has merged into one of order @merged. */
static inline void count_freed(struct buddy_core *core, unsigned int k, unsigned int merged)
{
	core->nr_free += 1ULL << k;
	core->returned[merged]++;
	count_orders(core->merged, orders_between(k, merged));
}

/*
 * Cut the first @nr blocks off the maximal free block of order @q at position
 * @p of word @i of @level. @last: the word holds no other of that order.
 */
static u64 cut_block(struct buddy_core *core, unsigned int level, u64 i, unsigned int p,
		     unsigned int q, bool last, u64 nr)
{
	u64 start = (i << 6 | p) << 6 * level;
	u64 left = (1ULL << q) - nr;
	u64 lost = (u64)last << q;
	u64 rest = nr;

	count_cut(core, q, nr);
	for (;;) {
		unsigned int shift = 6 * level;
		u64 whole = rest >> shift;

		rest -= whole << shift;
		*word_at(core, level, i) |= low_bits(whole + !!rest) << p;
		gain_orders(core, level, i, left & orders_between(shift, shift + 6));
		lose_orders(core, level, i, lost);
		if (!rest)
			break;
		/* The child at the cut was free: it is so from its position 0 on. */
		i = i << 6 | (p + whole);
		p = 0;
		lost = 0;
		level--;
	}
	set_extent(core, start, nr);
	return start;
}

/*
 * Likewise of a whole block of order @order, if there is none of the orders from
 * that to @q: each of them gets its only block.
 */
static u64 split_block(struct buddy_core *core, unsigned int level, u64 i, unsigned int p,
		       unsigned int q, bool last, unsigned int order)
{
	u64 start = (i << 6 | p) << 6 * level;
	unsigned int to = q;

	core->nr_free -= 1ULL << order;
	core->taken[q]++;
	core->split[order]++;
	core->split[q]--;
	if (last)
		lose_orders(core, level, i, 1ULL << q);
	for (;;) {
		unsigned int from = max(order, 6 * level);

		*word_at(core, level, i) |= first_block[from - 6 * level] << p;
		add_only_blocks(core, level, i, from, to);
		if (order >= 6 * level)
			break;
		/* The child was free: it is split from its position 0 on. */
		i = i << 6 | p;
		p = 0;
		to = 6 * level--;
	}
	set_extent(core, start, 1ULL << order);
	return start;
}

/* The lowest of the smallest maximal free blocks of order @order or more */
static int alloc_best_fit(struct buddy_core *core, u64 nr, unsigned int order, u64 *index)
{
	u64 orders = core->avail >> order;
	unsigned int level, q, p;
	u64 i = 0;
	u64 blocks;
	bool last;

	if (!orders)
		return -ENOSPC;
	q = order + __ffs64(orders);
	for (level = core->top; q < 6 * level; level--)
		i = i << 6 | __ffs64(node_at(core, level, i)[q]);
	blocks = maximal_blocks(*word_at(core, level, i), q - 6 * level);
	p = __ffs64(blocks);
	last = !(blocks & (blocks - 1));
	*index = nr == 1ULL << order ? split_block(core, level, i, p, q, last, order) :
				       cut_block(core, level, i, p, q, last, nr);
	return 0;
}

/* The lowest child of node @i of @level that holds a maximal free block of order @q */
static inline u64 child_with(const struct buddy_core *core, unsigned int level, u64 i,
			     unsigned int q)
{
	return i << 6 | __ffs64(node_at(core, level, i)[q]);
}

/* The lowest leaf that holds a maximal free block of order @q < 6; there is one */
static inline u64 leaf_with(const struct buddy_core *core, unsigned int q)
{
	unsigned int level;
	u64 i = 0;

	for (level = core->top; level > 3; level--)
		i = child_with(core, level, i, q);
	if (core->top >= 3)
		i = child_with(core, 3, i, q);
	if (likely(core->top >= 2))
		i = child_with(core, 2, i, q);
	return child_with(core, 1, i, q);
}

/* The heads of a block of order @order < 6 and, if @pair, of the block that follows */
static inline u64 heads_of(unsigned int order, bool pair)
{
	return 1 | (u64)pair << (1 << order);
}

/*
 * alloc_best_fit() of one block from one of order @q < 6, as nearly all are. A leaf
 * seldom has two of that order. @heads: of the allocations that it is
 */
static __always_inline u64 alloc_in_leaf(struct buddy_core *core, unsigned int order,
					 unsigned int q, u64 heads)
{
	u64 i = leaf_with(core, q);
	struct buddy_leaf *leaf = leaf_at(core, i);
	u64 used = used_fields(leaf->used, q);
	u64 pairs = half_used_pairs(used, q);
	unsigned int last = __ffs64(pairs);
	/* The free half is the first if the second, which ends here too, is used. */
	unsigned int p = last + 1 - (1 << q << (used >> last & 1));

	leaf->used |= first_block[order] << p;
	leaf->head |= heads << p;
	core->nr_free -= 1ULL << order;
	core->taken[q]++;
	if (likely(!(pairs & (pairs - 1))))
		lose_in_leaf(core, i, q);
	return i << 6 | p;
}

/*
 * Likewise of a larger one: one of each order between them is left over. With @pair,
 * the smallest of those is taken too.
 */
static noinline u64 split_in_leaf(struct buddy_core *core, unsigned int order, unsigned int q,
				  bool pair)
{
	unsigned int taken = order + pair;
	u64 index = alloc_in_leaf(core, taken, q, heads_of(order, pair));

	core->nr_cut += pair;
	core->split[taken]++;
	core->split[q]--;
	add_only_blocks(core, 0, index >> 6, taken, q);
	return index;
}

/*
 * split_block() of one below order 6 from one of order @q, 6 to 11, as nearly all are
 * that are not in a leaf yet. @pair: as above
 */
static noinline u64 split_in_node(struct buddy_core *core, unsigned int order, unsigned int q,
				  bool pair)
{
	unsigned int taken = order + pair;
	unsigned int level, last, p;
	struct buddy_leaf *leaf;
	u64 *own, used, pairs, i;
	u64 n = 0;

	for (level = core->top; level > 1; level--)
		n = child_with(core, level, n, q);
	own = word_at(core, 1, n);
	used = used_fields(*own, q - 6);
	pairs = half_used_pairs(used, q - 6);
	last = __ffs64(pairs);
	p = last + 1 - (1 << (q - 6) << (used >> last & 1));
	i = n << 6 | p;
	*own |= 1ULL << p;
	leaf = leaf_at(core, i);
	leaf->used = first_block[taken];
	leaf->head = heads_of(order, pair);
	core->nr_free -= 1ULL << taken;
	core->nr_cut += pair;
	core->taken[q]++;
	core->split[taken]++;
	core->split[q]--;
	if (!(pairs & (pairs - 1)))
		lose_orders(core, 1, n, 1ULL << q);
	add_only_blocks(core, 1, n, 6, q);
	add_only_blocks(core, 0, i, taken, 6);
	return i << 6;
}

/* Take [start, start + nr), which is free, wherever it lies in free blocks */
static void take_run(struct buddy_core *core, u64 start, u64 nr)
{
	u64 end = start + nr;
	u64 at, block, from, to;
	unsigned int order;

	for (at = start; at < end; at = to) {
		order = free_block_around(core, at, &block);
		from = at;
		to = block + (1ULL << order);
		core->taken[order]++;
		count_orders(core->split, from - block);
		if (to > end) {
			count_orders(core->split, to - end);
			core->nr_cut += nr_blocks_of_run(from, end) - 1;
		} else {
			core->nr_cut += nr_blocks_of_run(from, to) - 1;
		}
	}
	core->nr_free -= nr;
	mark_run(core, start, end, true);
	set_extent(core, start, nr);
}

/*
 * Free a whole block: 2^@r positions from @p on in word @i of @level. Merging
 * goes on upwards as long as a word becomes entirely free.
 */
static void free_block(struct buddy_core *core, unsigned int level, u64 i, unsigned int p,
		       unsigned int r)
{
	unsigned int merged, k = 6 * level + r;
	u64 *word, missing;

	for (;; level++) {
		word = word_at(core, level, i);
		*word &= ~(low_bits(1 << r) << p);
		merged = order_around(*word, p);
		if (merged < 6 || level == core->top)
			break;
		/* Before, the word held one block of each order from r on. */
		lose_orders(core, level, i, orders_between(r, 6) << 6 * level);
		p = i & 63;
		i >>= 6;
		r = 0;
	}
	missing = orders_between(r, merged) & ~orders_among(*word, r, merged);
	gain_orders(core, level, i, 1ULL << (6 * level + merged));
	lose_orders(core, level, i, missing << 6 * level);
	count_freed(core, k, 6 * level + merged);
}

/*
 * free_block() of one of order @k, with which all of leaf @i is free, but not all of
 * the node above. Before, the leaf held one block of each order from @k on.
 */
static void merge_leaf(struct buddy_core *core, u64 i, unsigned int k)
{
	u64 *node = node_at(core, 1, i >> 6);
	unsigned int q, p = i & 63;
	u64 own = node[6] & ~(1ULL << p);
	u64 lost = 0;

	leaf_at(core, i)->used = 0;
	node[6] = own;
	for (q = k; q < 6; q++) {
		node[q] &= ~(1ULL << p);
		lost |= (u64)!node[q] << q;
	}
	for (q = 0; !(own & first_block[q] << (p ^ 1 << q)); q++) {
		/* The buddy was one; is there another? */
		if (!half_used_pairs(used_fields(own, q), q))
			lost |= 1ULL << (6 + q);
		p &= ~(1 << q);
	}
	if (lost)
		lose_orders(core, 1, i >> 6, lost);
	gain_orders(core, 1, i >> 6, 1ULL << (6 + q));
	core->nr_free += 1ULL << k;
	core->merged[k]++;
	core->merged[6 + q]--;
	core->returned[6 + q]++;
}

/*
 * The block of order @k at position @p of leaf @i, which is not marked free yet, has
 * a free buddy. Merge it as far as it goes.
 */
static noinline void merge_in_leaf(struct buddy_core *core, u64 i, unsigned int p, unsigned int k)
{
	struct buddy_leaf *leaf = leaf_at(core, i);
	u64 used = leaf->used & ~(first_block[k] << p);
	unsigned int q;

	if (!used) {
		if (*word_at(core, 1, i >> 6) & ~(1ULL << (i & 63)))
			merge_leaf(core, i, k);
		else
			free_block(core, 0, i, p, k);
		return;
	}
	leaf->used = used;
	core->nr_free += 1ULL << k;
	core->merged[k]++;
	for (q = k; !(used & first_block[q] << (p ^ 1 << q)); q++) {
		/* The buddy was one; is there another? */
		if (!half_used_pairs(used_fields(used, q), q))
			lose_in_leaf(core, i, q);
		p &= ~(1 << q);
	}
	core->merged[q]--;
	core->returned[q]++;
	gain_in_leaf(core, i, q);
}

/* free_block() of order @k < 6 at position @p of leaf @i, in straight code */
static inline void free_in_leaf(struct buddy_core *core, u64 i, unsigned int p, unsigned int k)
{
	struct buddy_leaf *leaf = leaf_at(core, i);

	leaf->head &= ~(1ULL << p);
	if (!(leaf->used & first_block[k] << (p ^ 1 << k))) {
		merge_in_leaf(core, i, p, k);
		return;
	}
	leaf->used &= ~(first_block[k] << p);
	core->nr_free += 1ULL << k;
	core->returned[k]++;
	gain_in_leaf(core, i, k);
}

/* Free @nr blocks from @start on, which were allocated as @pieces blocks */
static void free_run(struct buddy_core *core, u64 start, u64 nr, unsigned int pieces)
{
	u64 end = start + nr;
	u64 at, block, to;
	unsigned int order;

	mark_run(core, start, end, false);
	core->nr_free += nr;
	core->nr_joined += pieces;
	for (at = start; at < end; at = to) {
		order = free_block_around(core, at, &block);
		to = block + (1ULL << order);
		core->nr_joined--;
		core->returned[order]++;
		count_orders(core->merged, at - block);
		if (to > end)
			count_orders(core->merged, to - end);
	}
}

static __always_inline unsigned int alloc_block(struct buddy_core *core, unsigned int order,
						bool pair, u64 *index)
{
	u64 orders = core->avail >> order;
	unsigned int q;

	if (unlikely(!orders))
		return 0;
	q = order + __ffs64(orders);
	if (unlikely(order >= 6 || q >= 12)) {
		alloc_best_fit(core, 1ULL << order, order, index);
		return 1;
	}
	if (q == order) {
		*index = alloc_in_leaf(core, q, q, 1);
		return 1;
	}
	*index = q < 6 ? split_in_leaf(core, order, q, pair) : split_in_node(core, order, q, pair);
	return 1 + pair;
}

/*
 * Give back what is beyond the first @nr blocks of an allocation of order @order < 6.
 * The leaf may have had such blocks; to tell so again does no harm.
 */
static void give_back_rest(struct buddy_core *core, u64 index, unsigned int order, u64 nr)
{
	u64 rest = (1ULL << order) - nr;
	u64 left;

	leaf_at(core, index >> 6)->used &= ~(low_bits(rest) << nr << (index & 63));
	core->nr_free += rest;
	core->nr_cut += hweight64(nr) - 1;
	count_orders(core->split, rest);
	for (left = rest; left; left &= left - 1)
		gain_in_leaf(core, index >> 6, __ffs64(left));
}

/* alloc_best_fit(), by the straight code where there is one */
static int alloc_part(struct buddy_core *core, u64 nr, unsigned int order, u64 *index)
{
	if (order >= 6)
		return alloc_best_fit(core, nr, order, index);
	if (!alloc_block(core, order, false, index))
		return -ENOSPC;
	if (nr != 1ULL << order)
		give_back_rest(core, *index, order, nr);
	return 0;
}

/*
 * Placement
 */

/*
 * Every run of @nr blocks that starts at a multiple of 2^@align_order has a
 * whole maximal free block of at least this order in it, or lies in one: three
 * aligned blocks of a quarter of its length are in any run, and the first half
 * of an aligned one is aligned.
 */
static unsigned int least_order(u64 nr, unsigned int align_order)
{
	unsigned int k = order_of(nr);
	bool pow2 = is_block(0, nr);

	if (pow2 && align_order >= k)
		return k;
	if (pow2 || align_order + 1 >= k)
		return k - 1;
	return k - 2;
}

/* Where @req fits into the free run [start, end), and the window */
static bool fit_run(const struct buddy_core_request *req, u64 start, u64 end, u64 *index)
{
	u64 mask = (1ULL << req->align_order) - 1;

	start = (max(start, req->start) + mask) & ~mask;
	end = min(end, req->end);
	if (start >= end || end - start < req->nr)
		return false;
	if (req->flags & BUDDY_CORE_TOP_DOWN)
		start = (end - req->nr) & ~mask;
	*index = start;
	return true;
}

/*
 * The best-fitting block that lies in the window; where in it is natural
 * alignment, which leaves the fewest pieces.
 */
static bool fit_inside(const struct buddy_core *core, const struct buddy_core_request *req,
		       u64 *index)
{
	unsigned int order = max(order_of(req->nr), req->align_order);
	bool down = req->flags & BUDDY_CORE_TOP_DOWN;
	u64 orders = core->avail >> order << order;

	for (; orders; orders &= orders - 1) {
		u64 size = orders & -orders;
		u64 from = down ? req->end - size : req->start;
		u64 block;

		if (size > req->end - req->start)
			return false;
		if (find_block(core, from, size, down, &block) < 0 ||
		    block < req->start || block > req->end - size)
			continue;
		*index = down ? (block + size - req->nr) >> req->align_order << req->align_order :
				block;
		return true;
	}
	return false;
}

/* Likewise in one of the two blocks, if any, that the window cuts */
static bool fit_edges(const struct buddy_core *core, const struct buddy_core_request *req,
		      u64 *index)
{
	bool down = req->flags & BUDDY_CORE_TOP_DOWN;
	u64 edge[2] = { req->start, req->end - 1 };
	unsigned int e;
	u64 block;
	int order;

	for (e = 0; e < 2; e++) {
		order = block_around(core, edge[down ? 1 - e : e], &block);
		if (order >= 0 && fit_run(req, block, block + (1ULL << order), index))
			return true;
	}
	return false;
}

unsigned int buddy_core_max_order(u64 nr)
{
	return fls64(nr) - 1;
}

int buddy_core_alloc(struct buddy_core *core, const struct buddy_core_request *req,
		     u64 *index)
{
	unsigned int order = max(order_of(req->nr), req->align_order);
	bool whole = req->start <= core->first && req->end >= core->end;

	if (whole && !(req->flags & BUDDY_CORE_TOP_DOWN)) {
		if (!alloc_part(core, req->nr, order, index))
			return 0;
	} else if (fit_inside(core, req, index) || fit_edges(core, req, index)) {
		take_run(core, *index, req->nr);
		return 0;
	}
	if (is_block(0, req->nr) && req->align_order == order_of(req->nr))
		return -ENOSPC;
	return core->avail >> least_order(req->nr, req->align_order) ? -EAGAIN : -ENOSPC;
}

int buddy_core_alloc_block(struct buddy_core *core, unsigned int order, u64 *index)
{
	return alloc_block(core, order, false, index) ? 0 : -ENOSPC;
}

unsigned int buddy_core_alloc_pair(struct buddy_core *core, unsigned int order, u64 *index)
{
	return alloc_block(core, order, true, index);
}

/* Does @word have @nr ones in a row, @nr <= 64? Each step tests twice as many. */
static inline bool has_ones(u64 word, unsigned int nr)
{
	unsigned int n;

	for (n = 1; 2 * n <= nr; n *= 2)
		word &= word >> n;
	return word & (word >> (nr - n));
}

/*
 * May a free run of @nr blocks touch leaf @i, of which some blocks are free and some
 * are not? The leaves beside it are taken to be as free as their word can mean, so
 * true may be wrong, but false is not.
 */
static bool leaf_may_fit(const struct buddy_core *core, u64 i, u64 nr)
{
	u64 used = leaf_at(core, i)->used;
	unsigned int at_start = __ffs64(used);
	unsigned int at_end = 64 - fls64(used);
	unsigned int beside;

	if (nr <= 64 && has_ones(~used, nr))
		return true;
	if (at_start && node_exists(core, 0, i - 1)) {
		beside = 64 - fls64(leaf_at(core, i - 1)->used);
		if (beside == 64 || at_start + beside >= nr)
			return true;
	}
	if (!at_end || !node_exists(core, 0, i + 1))
		return false;
	used = leaf_at(core, i + 1)->used;
	return !used || at_end + __ffs64(used) >= nr;
}

/*
 * @start is a block of one of @orders, inside a leaf. Skip the leaves from there on,
 * up to the end of their node, that leaf_may_fit() rules out.
 *
 * Returns whether nothing was skipped; sets @cursor to where to go on if it was, and
 * adds the effort to @looks: 16 leaves take about as long as one run.
 */
static bool skip_leaves(const struct buddy_core *core, u64 start, u64 orders, u64 nr, bool down,
			u64 *cursor, unsigned int *looks)
{
	u64 i = start >> 6;
	u64 free = ~*word_at(core, 1, i >> 6);
	u64 leaves = free | inner_blocks(core, 1, i >> 6, orders);
	unsigned int p = i & 63, skipped = 0;

	for (leaves &= down ? low_bits(p + 1) : ~0ULL << p; leaves; leaves &= ~(1ULL << p)) {
		p = down ? fls64(leaves) - 1 : __ffs64(leaves);
		if ((free >> p & 1) || leaf_may_fit(core, (i & ~63ULL) | p, nr))
			break;
		skipped++;
	}
	if (!skipped)
		return true;
	*looks += skipped / 16;
	i &= ~63ULL;
	if (leaves)
		*cursor = (i + p + down) << 6;
	else
		*cursor = (down ? i : i + 64) << 6;
	return false;
}

/* Is all of the window on the near side of @cursor? */
static bool search_is_over(const struct buddy_core_request *req, u64 cursor)
{
	return req->flags & BUDDY_CORE_TOP_DOWN ? cursor <= req->start : cursor >= req->end;
}

int buddy_core_search(struct buddy_core *core, const struct buddy_core_request *req,
		      u64 *cursor, u64 *index)
{
	u64 orders = ~0ULL << least_order(req->nr, req->align_order);
	bool down = req->flags & BUDDY_CORE_TOP_DOWN;
	unsigned int looks;
	u64 start, end;
	int order;

	for (looks = 0; looks < BUDDY_CORE_SEARCH_RUNS; looks++) {
		order = -1;
		/* First of all the block that the window cuts, or that grew over the cursor */
		if (!looks) {
			if (!*cursor)
				*cursor = down ? req->end : req->start;
			order = block_around(core, down ? *cursor - 1 : *cursor, &start);
		}
		if (order < 0)
			order = find_block(core, *cursor - down, orders, down, &start);
		if (order < 0)
			return -ENOSPC;
		if (order >= 6 || skip_leaves(core, start, orders, req->nr, down, cursor, &looks)) {
			end = start + (1ULL << order);
			widen_run(core, &start, &end);
			if (fit_run(req, start, end, index)) {
				take_run(core, *index, req->nr);
				return 0;
			}
			*cursor = down ? start : end;
		}
		if (search_is_over(req, *cursor))
			return -ENOSPC;
	}
	return -EAGAIN;
}

int buddy_core_alloc_at(struct buddy_core *core, u64 index, u64 nr)
{
	u64 at = index;
	u64 block;
	int order;

	while (at - index < nr) {
		order = block_around(core, at, &block);
		if (order < 0)
			return -ENOSPC;
		at = block + (1ULL << order);
	}
	take_run(core, index, nr);
	return 0;
}

/* Why @index is not the head of an allocation */
static noinline int not_a_head(const struct buddy_core *core, u64 index)
{
	u64 block;

	return block_around(core, index, &block) < 0 ? -EINVAL : -ENOENT;
}

int buddy_core_extent(const struct buddy_core *core, u64 index, u64 *nr)
{
	if (unlikely(index < core->first || index >= core->end))
		return -ERANGE;
	if (unlikely(!(leaf_at(core, index >> 6)->head >> (index & 63) & 1)))
		return not_a_head(core, index);
	*nr = extent_of(core, index);
	return 0;
}

/* buddy_core_release() of what is not one block inside a leaf */
static noinline void release_large(struct buddy_core *core, u64 index, u64 nr)
{
	unsigned int k, level;

	clear_extent(core, index, nr);
	if (!is_block(index, nr)) {
		free_run(core, index, nr, nr_blocks_of_run(index, index + nr));
		return;
	}
	k = order_of(nr);
	level = min(k / 6, core->top);
	index >>= 6 * level;
	free_block(core, level, index >> 6, index & 63, k - 6 * level);
}

void buddy_core_release(struct buddy_core *core, u64 index, u64 nr)
{
	if (is_block(index, nr) && nr < 64)
		free_in_leaf(core, index >> 6, index & 63, __ffs64(nr));
	else
		release_large(core, index, nr);
}

void buddy_core_release_block(struct buddy_core *core, u64 index, unsigned int order)
{
	if (likely(order < 6))
		free_in_leaf(core, index >> 6, index & 63, order);
	else
		release_large(core, index, 1ULL << order);
}

/*
 * Rows
 */

/*
 * The leaves of a row of @nr min blocks in blocks of order @order < 6. Those that are
 * all in it are nothing that mark_run() writes to.
 */
static void mark_leaves(struct buddy_core *core, u64 start, u64 nr, unsigned int order, bool used)
{
	u64 firsts = last_positions[order] >> ((1 << order) - 1);
	u64 end = start + nr;
	u64 at, to, bits;

	for (at = start; at < end; at = to) {
		struct buddy_leaf *leaf = leaf_at(core, at >> 6);

		to = min(end, (at | 63) + 1);
		bits = low_bits(to - at) << (at & 63);
		leaf->head &= ~bits;
		if (used)
			leaf->head |= bits & firsts;
		if (!~bits)
			leaf->used = used ? ~0ULL : 0;
	}
}

/* Likewise of a row of blocks of 64 or more: their leaves, and the words that are all in it */
static void mark_large(struct buddy_core *core, u64 start, u64 nr, unsigned int order, bool used)
{
	unsigned int level = min(order / 6, core->top);
	unsigned int shift = 6 * (level + 1);
	u64 end = start + nr;
	u64 at, i;

	for (at = start; at < end; at += 1ULL << order) {
		if (used)
			set_extent(core, at, 1ULL << order);
		else
			clear_extent(core, at, 1ULL << order);
	}
	if (level == core->top)
		return;
	for (i = (start + (1ULL << shift) - 1) >> shift; i < end >> shift; i++)
		*word_at(core, level, i) = used ? ~0ULL : 0;
}

static void mark_row(struct buddy_core *core, u64 start, u64 nr, unsigned int order, bool used)
{
	if (order < 6)
		mark_leaves(core, start, nr, order, used);
	else
		mark_large(core, start, nr, order, used);
}

unsigned int buddy_core_alloc_row(struct buddy_core *core, unsigned int order, unsigned int count,
				  u64 *index)
{
	u64 orders = core->avail >> order << order;
	u64 nr, start;
	int q;

	q = find_block(core, core->first, orders & -orders, false, &start);
	if (q < 0)
		return 0;
	count = min_t(u64, min(count, BUDDY_CORE_ROW_BLOCKS), 1ULL << (q - order));
	nr = (u64)count << order;
	core->nr_free -= nr;
	core->taken[q]++;
	core->nr_cut += count - 1;
	count_orders(core->split, (1ULL << q) - nr);
	mark_run(core, start, start + nr, true);
	mark_row(core, start, nr, order, true);
	*index = start;
	return count;
}

/* Do allocations of order @order, all of them in leaf @i, start and end at @bits? */
static bool is_row_of_leaf(const struct buddy_core *core, u64 i, unsigned int order, u64 bits)
{
	u64 firsts = last_positions[order] >> ((1 << order) - 1);
	const struct buddy_leaf *leaf = leaf_at(core, i);

	return (leaf->used & bits) == bits && (leaf->head & bits) == (bits & firsts);
}

/* Is what starts at @index so many allocations of one block of order @order each? */
static bool is_row(const struct buddy_core *core, u64 index, unsigned int order, unsigned int count)
{
	u64 size = 1ULL << order;
	u64 end = index + ((u64)count << order);
	u64 at = index, to;
	u64 nr;

	if (index & (size - 1) || index < core->first || end < index || end > core->end)
		return false;
	for (; order < 6 && end - at > size; at = to) {
		to = min(end - size, (at | 63) + 1);
		if (!is_row_of_leaf(core, at >> 6, order, low_bits(to - at) << (at & 63)))
			return false;
	}
	/* The next head, if it is one, ends each but the last. */
	for (; at < end; at += size)
		if (buddy_core_extent(core, at, &nr) || nr != size)
			return false;
	return true;
}

bool buddy_core_release_row(struct buddy_core *core, u64 index, unsigned int order,
			    unsigned int count)
{
	u64 nr = (u64)count << order;

	if (!is_row(core, index, order, count))
		return false;
	mark_row(core, index, nr, order, false);
	free_run(core, index, nr, count);
	return true;
}

int buddy_core_free(struct buddy_core *core, u64 index, u64 *nr)
{
	int err;

	err = buddy_core_extent(core, index, nr);
	if (err)
		return err;
	buddy_core_release(core, index, *nr);
	return 0;
}

int buddy_core_query(const struct buddy_core *core, u64 index,
		     struct buddy_core_extent *extent)
{
	int order;

	if (index < core->first || index >= core->end)
		return -ERANGE;
	order = block_around(core, index, &extent->start);
	if (order >= 0) {
		extent->nr = 1ULL << order;
		extent->kind = BUDDY_CORE_FREE;
		return 0;
	}
	extent->start = head_of(core, index);
	extent->nr = extent_of(core, extent->start);
	extent->kind = index == extent->start ? BUDDY_CORE_HEAD : BUDDY_CORE_INTERIOR;
	return 0;
}

/* Does the window's part of the free run around [from, to) beat @best? */
static void keep_longer(const struct buddy_core *core, u64 start, u64 end, u64 from, u64 *to,
			struct buddy_core_extent *best)
{
	widen_run(core, &from, to);
	from = max(from, start);
	if (min(*to, end) - from > best->nr) {
		best->start = from;
		best->nr = min(*to, end) - from;
	}
}

/*
 * The orders of which a block must be in the longest run: a quarter of it is
 * one. Keeps the run around the largest block of the window, so that no run that
 * is left out for want of time can be four times as long as the result.
 */
static u64 orders_of_largest(const struct buddy_core *core, u64 start, u64 end,
			     struct buddy_core_extent *best)
{
	u64 orders = core->avail;
	u64 block, to;

	while (orders) {
		unsigned int q = fls64(orders) - 1;

		if (find_block(core, start, 1ULL << q, false, &block) >= 0 &&
		    block < end && end - block >= 1ULL << q) {
			to = block + (1ULL << q);
			keep_longer(core, start, end, block, &to, best);
			return core->avail & (~0ULL << (max(q, 2U) - 2));
		}
		orders &= ~(1ULL << q);
	}
	return 0;
}

u64 buddy_core_largest(const struct buddy_core *core, u64 start, u64 end, u64 *run)
{
	struct buddy_core_extent best = { };
	u64 edge[2] = { start, end - 1 };
	u64 orders, from, to;
	int i, order;

	for (i = 0; i < 2; i++) {
		order = block_around(core, edge[i], &from);
		to = from + (1ULL << max(order, 0));
		if (order >= 0)
			keep_longer(core, start, end, from, &to, &best);
	}
	orders = orders_of_largest(core, start, end, &best);
	for (i = 0, to = start; i < BUDDY_CORE_SEARCH_RUNS; i++) {
		order = find_block(core, to, orders, false, &from);
		if (order < 0 || from >= end)
			break;
		to = from + (1ULL << order);
		keep_longer(core, start, end, from, &to, &best);
	}
	if (run)
		*run = best.start;
	return best.nr;
}

/* The free blocks of [start, end) in the leaf that @at is in; some there are free. */
static unsigned int count_in_leaf(const struct buddy_core *core, u64 at, u64 start, u64 end)
{
	u64 first = at >> 6 << 6;
	u64 free = ~leaf_at(core, at >> 6)->used;

	if (start > first)
		free &= ~0ULL << (start & 63);
	if (end < first + 64)
		free &= low_bits(end & 63);
	return hweight64(free);
}

u64 buddy_core_nr_free_in(const struct buddy_core *core, u64 start, u64 end, u64 enough)
{
	unsigned int pieces;
	u64 block, to, at = start;
	u64 nr = 0;
	int order;

	if (start <= core->first && end >= core->end)
		return core->nr_free;
	order = block_around(core, start, &block);
	for (pieces = 0; pieces < BUDDY_CORE_COUNT_PIECES && nr < enough; pieces++) {
		if (order < 0)
			order = find_block(core, at, ~0ULL, false, &block);
		if (order < 0 || block >= end)
			return nr;
		if (order < 6) {
			to = ((block >> 6) + 1) << 6;
			nr += count_in_leaf(core, block, start, end);
		} else {
			to = block + (1ULL << order);
			nr += min(to, end) - max(block, start);
		}
		at = to;
		order = -1;
	}
	return max(nr, enough);
}

/* Counters of order @o; @split and @merged carry the sums from order to order */
static void order_stats(const struct buddy_core *core, unsigned int o, u64 *split, u64 *merged,
			struct buddy_core_order_stats *order)
{
	u64 growing, shrinking;

	blocks_of_run(core->first, core->end, &growing, &shrinking);
	*split += core->split[o];
	*merged += core->merged[o];
	order->enqueues = (growing >> o & 1) + (shrinking >> o & 1) + *split + core->returned[o];
	order->dequeues = core->taken[o];
	order->removes = *merged;
	order->size = order->enqueues - order->dequeues - order->removes;
}

void buddy_core_stats(const struct buddy_core *core, struct buddy_core_stats *stats)
{
	u64 split = 0, merged = 0;
	unsigned int o;

	stats->splits = core->nr_cut;
	stats->merges = core->nr_joined;
	for (o = 0; o < BUDDY_CORE_ORDERS; o++) {
		order_stats(core, o, &split, &merged, &stats->order[o]);
		stats->splits += split;
		stats->merges += merged;
	}
}

/*
 * Creation
 */

static unsigned int top_level(u64 end)
{
	unsigned int level = 1;

	while ((end - 1) >> 6 * (level + 1))
		level++;
	return level;
}

/* Bytes that the nodes of @level take which overlap [first, end) */
static u64 level_size(u64 first, u64 end, unsigned int level)
{
	unsigned int shift = 6 * (level + 1);
	u64 nr = ((end - 1) >> shift) - (first >> shift) + 1;

	/* Whole cache lines, so that every node of 64 bytes is in one */
	return ((nr << (node_shift[level] + 3)) + 63) & ~63ULL;
}

u64 buddy_core_metadata_size(u64 first, u64 nr)
{
	unsigned int level;
	u64 size = 0;

	for (level = 0; level <= top_level(first + nr); level++)
		size += level_size(first, first + nr, level);
	return size;
}

void buddy_core_init(struct buddy_core *core, u64 first, u64 nr, void *metadata)
{
	unsigned long address = (unsigned long)metadata;
	unsigned int level;
	u64 capacity;

	memset(core, 0, sizeof(*core));
	core->first = first;
	core->end = first + nr;
	core->nr_free = nr;
	core->top = top_level(core->end);
	for (level = 0; level <= core->top; level++) {
		unsigned long before = first >> 6 * (level + 1) << (node_shift[level] + 3);

		core->node[level] = address - before;
		address += level_size(first, core->end, level);
	}
	/* Zero metadata is one free block of all the indexes that fit the tree. */
	capacity = 1ULL << (6 * core->top + 6);
	core->avail = capacity;
	mark_run(core, 0, first, true);
	mark_run(core, core->end, capacity, true);
	if (core->end & 63)
		leaf_at(core, core->end >> 6)->head = 1ULL << (core->end & 63);
}

/*
 * Verification
 */

/*
 * The orders of which node or leaf @i of @level holds a maximal free block, not
 * counting that all of it may be one.
 */
static u64 orders_below(const struct buddy_core *core, unsigned int level, u64 i)
{
	const u64 *node = node_at(core, level, i);
	u64 orders = 0;
	unsigned int q;

	if (!level && !leaf_holds_free(core, i))
		return 0;
	for (q = 0; q < 6 * level; q++)
		orders |= (u64)!!node[q] << q;
	return orders | (orders_in(*word_at(core, level, i)) & low_bits(6)) << 6 * level;
}

/* May child @child of node word bit @used have the metadata that it has? */
static bool child_is_sound(const struct buddy_core *core, unsigned int level, u64 child, bool used)
{
	const struct buddy_leaf *leaf;
	u64 block;

	if (!node_exists(core, level, child))
		return used;
	if (level)
		return used || !*word_at(core, level, child);
	leaf = leaf_at(core, child);
	if (leaf_holds_free(core, child))
		return used && leaf->used && !(leaf->head & ~leaf->used);
	/* The first whole leaf of an allocation of all of its parent has a length. */
	if (!used && (leaf->used || leaf->head))
		return leaf->head <= 1 && block_around(core, child << 6, &block) < 0;
	return !~leaf->used || !(leaf->used & 1);
}

/* Compares a node with its children */
static bool node_is_sound(const struct buddy_core *core, unsigned int level, u64 i)
{
	const u64 *node = node_at(core, level, i);
	u64 have[6 * BUDDY_CORE_MAX_LEVEL] = {};
	unsigned int j;

	for (j = 0; j < 64; j++) {
		u64 child = i << 6 | j;
		u64 orders;

		if (!child_is_sound(core, level - 1, child, node[6 * level] >> j & 1))
			return false;
		if (!node_exists(core, level - 1, child))
			continue;
		for (orders = orders_below(core, level - 1, child); orders; orders &= orders - 1)
			have[__ffs64(orders)] |= 1ULL << j;
	}
	return !memcmp(have, node, 6 * level * sizeof(*node));
}

/* Are [start, start + nr) used, and the first leaf's head the only one? */
static bool allocation_is_sound(const struct buddy_core *core, u64 start, u64 nr)
{
	u64 end = start + nr;
	u64 i, block;

	if (find_block(core, start, ~0ULL, false, &block) >= 0 && block < end)
		return false;
	for (i = start >> 6; i <= (end - 1) >> 6; i++) {
		const struct buddy_leaf *leaf = leaf_at(core, i);
		u64 from = max(start, i << 6);
		u64 to = min(end, (i + 1) << 6);
		u64 bits = low_bits(to - from) << (from & 63);
		u64 head = from == start ? 1ULL << (start & 63) : 0;
		u64 used = bits;

		/* A leaf that is all taken holds a length or nothing. */
		if (to - from == 64)
			used = from == start || from - start < 64 ? (end - from) << 1 : 0;
		if ((leaf->head & bits) != head || (leaf->used & bits) != used)
			return false;
	}
	return true;
}

/*
 * Do free blocks and allocations follow each other without a gap? @nr_blocks:
 * the blocks that allocations consist of
 */
static bool pool_is_tiled(const struct buddy_core *core, u64 *nr_blocks)
{
	u64 at, nr, block;
	int order;

	for (at = core->first; at < core->end; at += nr) {
		order = block_around(core, at, &block);
		if (order >= 0) {
			nr = 1ULL << order;
			continue;
		}
		if (!(leaf_at(core, at >> 6)->head >> (at & 63) & 1))
			return false;
		nr = extent_of(core, at);
		if (!nr || nr > core->end - at || !allocation_is_sound(core, at, nr))
			return false;
		*nr_blocks += nr_blocks_of_run(at, at + nr);
	}
	return true;
}

static bool ends_are_sound(const struct buddy_core *core)
{
	const struct buddy_leaf *first = leaf_at(core, core->first >> 6);
	const struct buddy_leaf *last = leaf_at(core, (core->end - 1) >> 6);
	u64 before = (1ULL << (core->first & 63)) - 1;
	u64 after = ~0ULL << (core->end & 63);

	if ((first->used & before) != before || first->head & before)
		return false;
	if (!(core->end & 63))
		return true;
	return (last->used & after) == after && (last->head & after) == (after & -after);
}

/* Maximal free blocks of order @o, counted one by one */
static u64 count_blocks(const struct buddy_core *core, unsigned int o)
{
	unsigned int level = min(o / 6, core->top);
	unsigned int r = o - 6 * level;
	u64 count = 0;
	u64 i;

	if (r > 6)
		return 0;
	for (i = core->first >> 6 * (level + 1); node_exists(core, level, i); i++)
		if (level || leaf_holds_free(core, i))
			count += hweight64(maximal_blocks(*word_at(core, level, i), r));
	return count;
}

static bool counters_are_sound(const struct buddy_core *core)
{
	struct buddy_core_order_stats order;
	u64 split = 0, merged = 0;
	u64 nr_free = 0;
	unsigned int o;

	for (o = 0; o < BUDDY_CORE_ORDERS; o++) {
		order_stats(core, o, &split, &merged, &order);
		if (order.size != count_blocks(core, o))
			return false;
		nr_free += order.size << o;
	}
	return nr_free == core->nr_free;
}

const char *buddy_core_check(const struct buddy_core *core)
{
	unsigned int level, o;
	u64 nr_blocks = 0;
	u64 orders, nr_cut, i;

	for (level = 1; level <= core->top; level++)
		for (i = core->first >> 6 * (level + 1); node_exists(core, level, i); i++)
			if (!node_is_sound(core, level, i))
				return "a node disagrees with its children";
	orders = orders_below(core, core->top, 0);
	orders |= orders_in(*word_at(core, core->top, 0)) >> 6 << (6 * core->top + 6);
	if (core->avail != orders)
		return "avail disagrees with the root";
	if (!ends_are_sound(core))
		return "what lies outside the pool is not marked used";
	if (!pool_is_tiled(core, &nr_blocks))
		return "heads and extents disagree with used";
	if (!counters_are_sound(core))
		return "counters disagree with the free blocks";
	nr_cut = core->nr_cut - core->nr_joined;
	for (o = 0; o < BUDDY_CORE_ORDERS; o++)
		nr_cut += core->taken[o] - core->returned[o];
	if (nr_cut != nr_blocks)
		return "counters disagree with the allocations";
	return NULL;
}

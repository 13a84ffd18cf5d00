// SPDX-License-Identifier: GPL-2.0
/*
 * Is buddy_core_check() any good? Flips each single bit of the metadata and of
 * the counters, in many states of several pools, and then some at once, and
 * expects it to say so.
 *
 * A flip may happen to turn the state into another one that is as good: a head in
 * the middle of an allocation makes it two. That cannot be noticed. So what goes
 * unnoticed must be, byte by byte, the metadata of a pool in which just the
 * allocations were made that can be seen now.
 *
 * Not flipped, as nothing can depend on them: words that pad a node to a power
 * of two and a level to a cache line. Not flipped either: first, end, top and
 * node, which say where the metadata is.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "rng.h"
#include "tap.h"

#define STATES 40

static struct rig rig;
static u64 nr_flips, nr_missed, nr_other;
/* All words of the metadata but those that pad */
static u64 *words[1 << 12];
static unsigned int nr_words;

/* Words that buddy_core.c says that nodes of a level have, and that they take */
static unsigned int words_of_node(unsigned int level)
{
	return level ? 6 * level + 1 : 2;
}

static unsigned int size_of_node(unsigned int level)
{
	unsigned int size = 2;

	while (size < words_of_node(level))
		size *= 2;
	return size;
}

static void missed(const char *what, u64 i, unsigned int bit)
{
	if (nr_missed++ < 20)
		printf("# not noticed: pool %" PRIu64 " %" PRIu64
		       ", %s %" PRIu64 ", bit %u%s%s\n",
		       (uint64_t)rig.fast.first,
		       (uint64_t)(rig.fast.end - rig.fast.first), what,
		       (uint64_t)i, bit, rig.small ? ", state " : "",
		       rig.small ? model_text(&rig.model) : "");
}

/* Makes @copy a new pool with the allocations that the corrupted one seems to have */
static bool rebuild(struct buddy_core *copy, u64 *nr_pieces)
{
	struct buddy_core_extent extent;
	u64 at;

	memset(rig.before, 0, rig.size);
	buddy_core_init(copy, rig.core.first, rig.core.end - rig.core.first,
			rig.before);
	*nr_pieces = 0;
	for (at = rig.core.first; at < rig.core.end;
	     at = extent.start + extent.nr) {
		if (buddy_core_query(&rig.core, at, &extent) ||
		    extent.start != at)
			return false;
		if (extent.kind == BUDDY_CORE_FREE)
			continue;
		if (buddy_core_alloc_at(copy, at, extent.nr))
			return false;
		*nr_pieces += blocks_of_run(at, extent.nr);
	}
	return true;
}

/* The blocks that allocations consist of, by the counters */
static u64 counted_pieces(void)
{
	u64 nr = rig.core.nr_cut - rig.core.nr_joined;
	unsigned int o;

	for (o = 0; o < BUDDY_CORE_ORDERS; o++)
		nr += rig.core.taken[o] - rig.core.returned[o];
	return nr;
}

static bool is_other_state(void)
{
	struct buddy_core copy;
	u64 nr_pieces;

	return rebuild(&copy, &nr_pieces) &&
	       !memcmp(rig.before, rig.metadata, rig.size) &&
	       copy.avail == rig.core.avail &&
	       copy.nr_free == rig.core.nr_free &&
	       nr_pieces == counted_pieces();
}

static void flip_word(u64 *word, const char *what, u64 i)
{
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		*word ^= 1ULL << bit;
		nr_flips++;
		if (buddy_core_check(&rig.core)) {
			*word ^= 1ULL << bit;
			continue;
		}
		if (is_other_state())
			nr_other++;
		else
			missed(what, i, bit);
		*word ^= 1ULL << bit;
	}
}

static void collect_level(unsigned int level)
{
	unsigned int shift = 6 * (level + 1);
	u64 i;
	unsigned int w;

	for (i = rig.core.first >> shift; i <= (rig.core.end - 1) >> shift;
	     i++) {
		u64 *node = (u64 *)(rig.core.node[level] +
				    (unsigned long)i * size_of_node(level) *
					    sizeof(u64));

		for (w = 0; w < words_of_node(level); w++)
			words[nr_words++] = &node[w];
	}
}

static void flip_words(u64 *word, unsigned int nr, const char *what)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		flip_word(&word[i], what, i);
}

static void flip_all(bool counters)
{
	unsigned int i;

	for (i = 0; i < nr_words; i++)
		flip_word(words[i], "word", words[i] - (u64 *)rig.metadata);
	flip_word(&rig.core.nr_free, "nr_free", 0);
	flip_word(&rig.core.avail, "avail", 0);
	if (!counters)
		return;
	flip_word(&rig.core.nr_cut, "nr_cut", 0);
	flip_word(&rig.core.nr_joined, "nr_joined", 0);
	flip_words(rig.core.taken, BUDDY_CORE_ORDERS, "taken");
	flip_words(rig.core.returned, BUDDY_CORE_ORDERS, "returned");
	flip_words((u64 *)rig.core.split, BUDDY_CORE_ORDERS, "split");
	flip_words((u64 *)rig.core.merged, BUDDY_CORE_ORDERS, "merged");
}

/* Some at once, near each other, may well hide each other. */
static void flip_some(struct rng *rng)
{
	static u64 saved[1 << 12];
	u64 *start = (u64 *)rig.metadata;
	unsigned int nr = 2 + rng_below(rng, 6);
	unsigned int near = rng_below(rng, nr_words);

	memcpy(saved, start, rig.size);
	nr_flips++;
	while (nr--) {
		unsigned int i = rng_below(rng, 4) ? near + rng_below(rng, 4) :
						     rng_next(rng) >> 40;
		u64 bits = 1ULL << rng_below(rng, 64);

		/* Or some adjacent ones, as operations change them */
		if (rng_below(rng, 3) == 0)
			bits = (bits - 1) & -(1ULL << rng_below(rng, 64));
		*words[i % nr_words] ^= bits;
	}
	if (!buddy_core_check(&rig.core) && memcmp(saved, start, rig.size)) {
		if (is_other_state())
			nr_other++;
		else
			missed("several near", words[near] - start, 0);
	}
	memcpy(start, saved, rig.size);
}

static struct op any_op(struct rng *rng)
{
	u64 nr_blocks = rig.fast.end - rig.fast.first;
	struct op op = { .start = rig.fast.first, .end = rig.fast.end };

	op.nr = 1 + rng_below(rng, rng_below(rng, 3) ? 9 : nr_blocks);
	op.kind = rng_below(rng, 2) ? OP_AT : OP_ALLOC;
	if (op.kind == OP_AT)
		op.start += rng_below(rng, nr_blocks);
	/* Whole leaves keep their length differently. */
	if (rng_below(rng, 8) == 0) {
		op.kind = OP_AT;
		op.start = (op.start + rng_below(rng, nr_blocks)) / 64 * 64;
		op.nr = 64 * (1 + rng_below(rng, 3));
	}
	if (rig.fast.nr_live && rng_below(rng, 3) == 0) {
		op.kind = OP_FREE;
		op.start = rig.fast.live[rng_below(rng, rig.fast.nr_live)];
	}
	return op;
}

static void test_pool(u64 first, u64 nr, unsigned int states)
{
	struct rng rng = rng_from(nr);
	const char *why = rig_open(&rig, first, nr);
	unsigned int level, i, n;

	nr_words = 0;
	for (level = 0; level <= rig.core.top; level++)
		collect_level(level);
	nr_flips = 0;
	nr_missed = 0;
	nr_other = 0;
	for (i = 0; i < states && !why; i++) {
		flip_all(i % 8 == 1);
		for (n = 0; n < 10000; n++)
			flip_some(&rng);
		why = buddy_core_check(&rig.core);
		for (n = rng_below(&rng, 9) + 1; n && !why; n--)
			why = rig_step(&rig, any_op(&rng));
	}
	if (why)
		printf("# %s\n", why);
	tap(!why && !nr_missed,
	    "pool %" PRIu64 " %" PRIu64 ": of %" PRIu64 " flips, %" PRIu64
	    " not noticed, %" PRIu64 " made another good state",
	    (uint64_t)first, (uint64_t)nr, (uint64_t)nr_flips,
	    (uint64_t)nr_missed, (uint64_t)nr_other);
}

int main(void)
{
	tap_begin();
	rig_create(&rig);
	test_pool(0, 1, 4);
	test_pool(0, 16, STATES);
	test_pool(3, 61, STATES);
	test_pool(0, 64, STATES);
	test_pool(13, 70, STATES);
	test_pool(0, 256, STATES);
	test_pool(50, 500, STATES);
	test_pool(4000, 4200, 12);
	return tap_end();
}

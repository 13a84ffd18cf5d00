/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_RNG_H
#define HOST_RNG_H

#include <linux/types.h>

/* A sequence of numbers that depends on nothing but the seed (xorshift64*) */
struct rng {
	u64 state;
};

static inline u64 rng_next(struct rng *rng)
{
	rng->state ^= rng->state >> 12;
	rng->state ^= rng->state << 25;
	rng->state ^= rng->state >> 27;
	return rng->state * 2685821657736338717ULL;
}

/* 0 .. @limit - 1 */
static inline u64 rng_below(struct rng *rng, u64 limit)
{
	return (rng_next(rng) >> 16) % limit;
}

/* Spreads seeds, so that neighbours begin unlike each other */
static inline struct rng rng_from(u64 seed)
{
	struct rng rng = { (seed + 1) * 0x9e3779b97f4a7c15ULL };

	if (!rng.state)
		rng.state = 1;
	rng_next(&rng);
	rng_next(&rng);
	return rng;
}

#endif

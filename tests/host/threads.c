// SPDX-License-Identifier: GPL-2.0
/*
 * N18: threads on one pool of several shards, compiled for the thread sanitizer with
 * buddy_shard.c, buddy_span.c and what is below them. The locks are those of shim/locks.h.
 *
 * Each block that a thread gets is entered into a table, which must not have it from
 * anybody else. What a lock is missing for, the sanitizer reports.
 */
#include <stdio.h>
#include <string.h>

#include "buddy_span.h"
#include "rng.h"
#include "tap.h"

#define SHIFT 12
#define BLOCKS 4000ULL
#define BASE (3ULL << SHIFT)
#define THREADS 4
#define MOST 64
#define OPERATIONS 100000

__thread unsigned int this_cpu;

static struct buddy_shards shards;
static u32 owner[BLOCKS];
static u32 errors, granted, spans, refused, reserved;
static pthread_barrier_t start;

struct block {
	u64 address;
	u64 size;
	bool is_reserved;
};

struct thread {
	pthread_t thread;
	u32 id;
	struct rng rng;
	struct block block[MOST];
	unsigned int nr;
};

static void count(u32 *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* Enters @to for all of the block, which must be @from's; relaxed, to order nothing */
static void mark(const struct block *block, u32 from, u32 to)
{
	u64 first = (block->address - BASE) >> SHIFT, i;

	for (i = first; i < first + (block->size >> SHIFT); i++)
		if (i >= BLOCKS || __atomic_exchange_n(&owner[i], to,
						       __ATOMIC_RELAXED) != from)
			count(&errors);
}

static void keep(struct thread *t, u64 address, u64 size, bool is_reserved)
{
	struct block *block = &t->block[t->nr++];

	*block = (struct block){ address, size, is_reserved };
	mark(block, 0, t->id);
	count(is_reserved ? &reserved : &granted);
	if (buddy_shards_of(&shards, address) !=
	    buddy_shards_of(&shards, address + size - 1))
		count(&spans);
}

static struct buddy_pool_request any_request(struct thread *t)
{
	struct buddy_pool_request request = {
		.size = 1 + (rng_below(&t->rng, 1ULL << rng_below(&t->rng, 11))
			     << SHIFT),
		.flags = rng_below(&t->rng, 2) ? BUDDY_POOL_WANT_LARGEST : 0,
	};

	switch (rng_below(&t->rng, 6)) {
	case 0:
		request.align = 1ULL << (SHIFT + rng_below(&t->rng, 3));
		request.flags |= BUDDY_POOL_MAY_SLEEP;
		break;
	case 1:
		request.start = BASE + (rng_below(&t->rng, BLOCKS) << SHIFT);
		request.flags |= rng_below(&t->rng, 2) ?
					 BUDDY_POOL_ALLOC_FIXED :
					 BUDDY_POOL_ALLOC_TOP_DOWN;
		break;
	}
	return request;
}

static void alloc(struct thread *t)
{
	struct buddy_pool_request request = any_request(t);
	struct buddy_pool_result result = {};

	if (buddy_shard_alloc_plain(buddy_shards_home(&shards), &request,
				    &result) ||
	    !buddy_span_alloc(&shards, &request, &result))
		keep(t, result.address, result.size, false);
	else
		count(&refused);
}

static void reserve(struct thread *t)
{
	u64 first = rng_below(&t->rng, BLOCKS);
	u64 nr = 1 + rng_below(&t->rng, min(BLOCKS - first, 100ULL));
	u64 address = BASE + (first << SHIFT);

	if (!buddy_span_reserve(&shards, address, nr << SHIFT))
		keep(t, address, nr << SHIFT, true);
}

static int free_one(u64 address)
{
	int err;

	err = buddy_shard_free(buddy_shards_of(&shards, address), address,
			       NULL);
	return err == -EXDEV ? buddy_span_free(&shards, address, NULL) : err;
}

static void give_back(struct thread *t, unsigned int i)
{
	struct block block = t->block[i];

	t->block[i] = t->block[--t->nr];
	mark(&block, t->id, 0);
	if (block.is_reserved ?
		    buddy_span_unreserve(&shards, block.address, block.size) :
		    free_one(block.address))
		count(&errors);
}

static void look(struct thread *t)
{
	u64 address = BASE + (rng_below(&t->rng, BLOCKS) << SHIFT);
	struct buddy_pool_usage usage;
	u64 first, size;

	if (buddy_shard_query(buddy_shards_of(&shards, address), address,
			      &first, &size) == -EXDEV)
		buddy_span_query(&shards, address, &first, &size);
	buddy_span_free_run(&shards, address);
	if (rng_below(&t->rng, 8))
		return;
	memset(&usage, 0, sizeof(usage));
	buddy_span_usage(&shards, &usage);
	if (usage.free + usage.used + usage.held + usage.reserved !=
		    usage.size ||
	    usage.peak > usage.size)
		count(&errors);
}

static void *run(void *arg)
{
	struct thread *t = arg;
	unsigned int n;

	this_cpu = t->id;
	pthread_barrier_wait(&start);
	for (n = 0; n < OPERATIONS; n++) {
		u64 choice = rng_below(&t->rng, 32);

		if (choice == 0)
			look(t);
		else if (choice == 1 && t->nr < MOST)
			reserve(t);
		else if (choice < 17 && t->nr < MOST)
			alloc(t);
		else if (t->nr)
			give_back(t, rng_below(&t->rng, t->nr));
	}
	while (t->nr)
		give_back(t, 0);
	return NULL;
}

static void open_pool(void)
{
	struct buddy_layout *layout = &shards.layout;
	unsigned int i;

	layout->shift = SHIFT;
	layout->base = BASE;
	layout->size = BLOCKS << SHIFT;
	layout->max_alloc = layout->size;
	if (buddy_span_divide(&shards, THREADS))
		abort();
	for (i = 0; i < shards.nr; i++) {
		u64 bytes = buddy_shard_place(&shards.shard[i], &shards);

		buddy_shard_init(&shards.shard[i], aligned_zeros(bytes));
	}
}

int main(int argc, char **argv)
{
	static struct thread threads[THREADS];
	u64 seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	struct buddy_pool_usage usage = {};
	unsigned int i;

	tap_begin();
	printf("# seed %llu\n", (unsigned long long)seed);
	open_pool();
	pthread_barrier_init(&start, NULL, THREADS);
	for (i = 0; i < THREADS; i++) {
		threads[i].id = i + 1;
		threads[i].rng = rng_from(seed + i);
		if (pthread_create(&threads[i].thread, NULL, run, &threads[i]))
			abort();
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i].thread, NULL);
	buddy_span_usage(&shards, &usage);
	tap(!errors, "N18 no block has two owners: %u errors", errors);
	tap(usage.free == BLOCKS << SHIFT && usage.largest == usage.free,
	    "all is free again");
	tap(granted > 1000 && spans > 100 && refused > 100 && reserved > 100,
	    "%u granted, %u of them in several shards, %u refused, %u reserved",
	    granted, spans, refused, reserved);
	return tap_end();
}

// SPDX-License-Identifier: GPL-2.0
/*
 * What is better measured in user space, on buddy_core.c itself.
 *
 * threads: B7, two threads at once on one pool, each on a CPU of its own, with
 * the lock that a pool has in the kernel, against one thread that does the same.
 * In the kernel it would be the cost of disabling interrupts on User Mode Linux
 * that is measured. Times are of all operations of both, not of one thread's.
 *
 * trace: B2's trace, for callgrind to count what replay_core() executes, and what
 * replay_empty() does.
 *
 * Results are lines as bench_main.c prints them, '-' for what is not measured.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/bits.h>

#include "bench_trace.h"
#include "buddy_park.h"

/* As it stands: not inlined, nor merged with another that does the same */
#define __noipa		__attribute__((__noipa__))

#define BLOCKS		BIT_ULL(18)
#define THREADS		2
#define CACHE_LINE	64
#define ROUNDS		9
/* Operations before those that are measured */
#define AGING		(BLOCKS / 2)
#define NO_BLOCK		(~0ULL)

/*
 * The kernel's queued spinlock as far as two CPUs ever see of it: one has it, the
 * other announces itself and is the next, even if the first soon wants it again.
 */
#define LOCKED		BIT(0)
#define PENDING		BIT(8)

struct lock {
	union {
		atomic_uint state;
		atomic_uchar locked;
	};
};

static void wait_for_lock(struct lock *l)
{
	unsigned int old;

	while ((old = atomic_fetch_or_explicit(&l->state, PENDING, memory_order_acquire)) & PENDING)
		while (atomic_load_explicit(&l->state, memory_order_relaxed) & PENDING)
			__builtin_ia32_pause();
	while (old & LOCKED) {
		__builtin_ia32_pause();
		old = atomic_load_explicit(&l->state, memory_order_acquire);
	}
	atomic_store_explicit(&l->state, LOCKED, memory_order_relaxed);
}

static void lock(struct lock *l)
{
	unsigned int free = 0;

	if (!atomic_compare_exchange_strong_explicit(&l->state, &free, LOCKED,
						     memory_order_acquire, memory_order_relaxed))
		wait_for_lock(l);
}

static void unlock(struct lock *l)
{
	atomic_store_explicit(&l->locked, 0, memory_order_release);
}

/**
 * struct shard - as struct buddy_shard
 * @lock: guards the rest
 * @park: what is free
 */
struct shard {
	alignas(CACHE_LINE) struct lock lock;
	struct buddy_park park;
};

/**
 * struct pool - as struct buddy_shards
 * @span_lock: taken before the locks of more than one shard
 * @shards: the first @nr_shards are used
 * @nr_shards: 1 to THREADS
 * @shard_blocks: blocks in each
 * @metadata: of all shards
 */
struct pool {
	alignas(CACHE_LINE) struct lock span_lock;
	struct shard shards[THREADS];
	unsigned int nr_shards;
	u64 shard_blocks;
	void *metadata;
};

/**
 * struct worker - a thread
 * @pool: shared
 * @cpu: where it runs
 * @trace: its own
 * @slots: its own: index of each allocation, or NO_BLOCK
 * @pos: next operation of the trace
 * @nr: operations to do now
 * @nr_crossing: free runs across a border that were seen, and not used
 */
struct worker {
	alignas(CACHE_LINE) struct pool *pool;
	unsigned int cpu;
	struct bench_trace trace;
	u64 *slots;
	u64 pos;
	u64 nr;
	u64 nr_crossing;
};

static void *allocate(size_t nr, size_t size)
{
	void *memory = aligned_alloc(4096, (nr * size + 4095) / 4096 * 4096);

	if (!memory) {
		fprintf(stderr, "host_bench: out of memory\n");
		exit(1);
	}
	return memset(memory, 0, nr * size);
}

static struct pool *make_pool(unsigned int nr_shards)
{
	struct pool *pool = allocate(1, sizeof(*pool));
	u64 nr = BLOCKS / nr_shards;
	u64 bytes = buddy_core_metadata_size(0, nr);
	unsigned int i;

	pool->nr_shards = nr_shards;
	pool->shard_blocks = nr;
	pool->metadata = allocate(nr_shards, bytes);
	for (i = 0; i < nr_shards; i++)
		buddy_core_init(&pool->shards[i].park.core, 0, nr,
				(char *)pool->metadata + i * bytes);
	return pool;
}

static void free_pool(struct pool *pool)
{
	unsigned int i;

	for (i = 0; i < pool->nr_shards; i++) {
		if (buddy_park_nr_free(&pool->shards[i].park) == pool->shard_blocks)
			continue;
		fprintf(stderr, "host_bench: blocks are missing at the end\n");
		exit(1);
	}
	free(pool->metadata);
	free(pool);
}

static inline u64 take_unlocked(struct shard *shard, u64 blocks, u32 nr)
{
	unsigned int order = 31 - __builtin_clz(nr);
	struct buddy_core_request request = { .nr = nr, .end = blocks, .align_order = order };
	u64 index;

	if (buddy_park_alloc_block(&shard->park, order, &index) ||
	    !buddy_park_alloc(&shard->park, &request, &index))
		return index;
	return NO_BLOCK;
}

static u64 take_from(struct worker *w, unsigned int i, u32 nr)
{
	struct shard *shard = &w->pool->shards[i];
	u64 index;

	lock(&shard->lock);
	index = take_unlocked(shard, w->pool->shard_blocks, nr);
	unlock(&shard->lock);
	return index == NO_BLOCK ? NO_BLOCK : index + i * w->pool->shard_blocks;
}

/* Are there free blocks on both sides of the border behind shard @i? */
static bool run_crosses(const struct pool *pool, unsigned int i)
{
	struct buddy_core_extent before, behind;

	buddy_core_query(&pool->shards[i].park.core, pool->shard_blocks - 1, &before);
	buddy_core_query(&pool->shards[i + 1].park.core, 0, &behind);
	return before.kind == BUDDY_CORE_FREE && behind.kind == BUDDY_CORE_FREE;
}

/*
 * What no shard had, when all are locked, as buddy_span.c does it. The blocks of
 * the traces are as aligned as they are long, so none is where a border is; but it
 * is looked at.
 */
static u64 take_from_all(struct worker *w, u32 nr)
{
	struct pool *pool = w->pool;
	u64 index = NO_BLOCK;
	unsigned int i;

	lock(&pool->span_lock);
	for (i = 0; i < pool->nr_shards; i++)
		lock(&pool->shards[i].lock);
	for (i = 0; index == NO_BLOCK && i < pool->nr_shards; i++) {
		index = take_unlocked(&pool->shards[i], pool->shard_blocks, nr);
		if (index != NO_BLOCK)
			index += i * pool->shard_blocks;
	}
	for (i = 0; index == NO_BLOCK && i + 1 < pool->nr_shards; i++)
		w->nr_crossing += run_crosses(pool, i);
	for (i = 0; i < pool->nr_shards; i++)
		unlock(&pool->shards[i].lock);
	unlock(&pool->span_lock);
	return index;
}

/* At natural alignment, as a pool does it when asked for a size alone */
static u64 take(struct worker *w, u32 nr)
{
	unsigned int home = w->cpu % w->pool->nr_shards;
	u64 index = take_from(w, home, nr);
	unsigned int i;

	for (i = 0; index == NO_BLOCK && i < w->pool->nr_shards; i++)
		if (i != home)
			index = take_from(w, i, nr);
	if (index == NO_BLOCK && w->pool->nr_shards > 1)
		index = take_from_all(w, nr);
	return index;
}

static void give_back(struct worker *w, u64 index)
{
	struct pool *pool = w->pool;
	struct shard *shard = &pool->shards[index >= pool->shard_blocks];

	lock(&shard->lock);
	buddy_park_free(&shard->park, index & (pool->shard_blocks - 1));
	unlock(&shard->lock);
}

static void replay(struct worker *w, u64 nr)
{
	u64 end = w->pos + nr;

	for (; w->pos < end; w->pos++) {
		const struct bench_op *op = &w->trace.ops[w->pos];
		u64 *slot = &w->slots[op->slot];

		if (op->nr) {
			*slot = take(w, op->nr);
		} else if (*slot != NO_BLOCK) {
			give_back(w, *slot);
			*slot = NO_BLOCK;
		}
	}
}

/* For counting instructions: one shard, no lock. Named on callgrind's command line */
__noipa static void replay_core(struct worker *w, u64 nr)
{
	struct shard *shard = w->pool->shards;
	const struct bench_op *op = &w->trace.ops[w->pos];
	const struct bench_op *end = op + nr;

	for (w->pos += nr; op < end; op++) {
		u64 *slot = &w->slots[op->slot];

		if (op->nr) {
			*slot = take_unlocked(shard, BLOCKS, op->nr);
		} else if (*slot != NO_BLOCK) {
			buddy_park_free(&shard->park, *slot);
			*slot = NO_BLOCK;
		}
	}
}

/* What of replay_core() is not the allocator */
__noipa static void replay_empty(struct worker *w, u64 nr)
{
	const struct bench_op *op = &w->trace.ops[w->pos];
	const struct bench_op *end = op + nr;

	for (w->pos += nr; op < end; op++) {
		u64 *slot = &w->slots[op->slot];

		if (op->nr)
			*slot = op->nr;
		else if (*slot != NO_BLOCK)
			*slot = NO_BLOCK;
	}
}

static void release_all(struct worker *w)
{
	u64 i;

	for (i = 0; i < w->trace.nr_slots; i++)
		if (w->slots[i] != NO_BLOCK)
			give_back(w, w->slots[i]);
}

static void make_worker(struct worker *w, const struct bench_trace_spec *spec)
{
	u32 *live = allocate(bench_trace_max_slots(spec), sizeof(*live));
	u16 *sizes = allocate(bench_trace_max_slots(spec), sizeof(*sizes));
	u64 i;

	w->trace.ops = allocate(bench_trace_max_ops(spec), sizeof(*w->trace.ops));
	bench_trace_make(&w->trace, spec, live, sizes);
	w->slots = allocate(w->trace.nr_slots, sizeof(*w->slots));
	for (i = 0; i < w->trace.nr_slots; i++)
		w->slots[i] = NO_BLOCK;
	free(live);
	free(sizes);
}

/* An allocation and its free, again and again */
static void make_pairs(struct worker *w, u64 nr)
{
	u64 i;

	w->trace.ops = allocate(nr, sizeof(*w->trace.ops));
	for (i = 0; i < nr; i++)
		w->trace.ops[i].nr = (i + 1) % 2;
	w->trace.nr_slots = 1;
	w->slots = allocate(1, sizeof(*w->slots));
	w->slots[0] = NO_BLOCK;
}

/*
 * Threads
 */

static atomic_bool ready, go;

static void move_to(unsigned int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

static void *thread(void *data)
{
	struct worker *w = data;

	move_to(w->cpu);
	atomic_store(&ready, true);
	while (!atomic_load(&go))
		__builtin_ia32_pause();
	replay(w, w->nr);
	return NULL;
}

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/*
 * This thread is the first worker, so that both have a CPU to themselves.
 *
 * Return: picoseconds for each operation of @nr workers together.
 */
static u64 race(struct worker *workers, unsigned int nr)
{
	pthread_t second;
	u64 start;

	move_to(workers[0].cpu);
	atomic_store(&ready, false);
	atomic_store(&go, false);
	if (nr > 1) {
		pthread_create(&second, NULL, thread, &workers[1]);
		while (!atomic_load(&ready))
			__builtin_ia32_pause();
	}
	start = now_ns();
	atomic_store(&go, true);
	replay(&workers[0], workers[0].nr);
	if (nr > 1)
		pthread_join(second, NULL);
	return (now_ns() - start) * 1000 / (nr * workers[0].nr);
}

static int compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/**
 * struct mix - what the threads do
 * @name: as printed
 * @percent: how full the pool is kept, or 0 for pairs of one block in an empty one
 * @nr_shards: of the pool; a shard for each CPU is what it has by default
 */
struct mix {
	const char *name;
	unsigned int percent;
	unsigned int nr_shards;
};

static const struct mix mixes[] = {
	{ "50 %", 50, THREADS }, { "50 %, shards=1", 50, 1 },
	{ "80 %", 80, THREADS }, { "80 %, shards=1", 80, 1 },
	{ "95 %", 95, THREADS }, { "95 %, shards=1", 95, 1 },
	{ "pairs", 0, THREADS }, { "pairs, shards=1", 0, 1 },
};

#define NR_MIXES	(sizeof(mixes) / sizeof(*mixes))

static void report(const struct mix *mix, const char *threads, u64 *ps, u64 ops)
{
	u64 bytes = buddy_core_metadata_size(0, BLOCKS / mix->nr_shards) + sizeof(struct shard);

	qsort(ps, ROUNDS, sizeof(*ps), compare_u64);
	printf("bench|B7|%s, %s|%llu|buddy_pool|%llu|0|-|-|-|-|%llu|%llu|0\n", mix->name, threads,
	       BLOCKS, (unsigned long long)ps[ROUNDS / 2],
	       (unsigned long long)bytes * mix->nr_shards, (unsigned long long)(ROUNDS * ops));
}

static void make_workers(struct worker *workers, struct pool *pool, const struct mix *mix, u64 ops)
{
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		struct bench_trace_spec spec = {
			.blocks = BLOCKS / THREADS,
			.percent = mix->percent,
			.churn = AGING + 2 * ROUNDS * ops,
			.seed = 11 + i,
		};

		workers[i] = (struct worker){ .pool = pool, .cpu = i, .nr = ops };
		if (mix->percent) {
			make_worker(&workers[i], &spec);
			replay(&workers[i], workers[i].trace.nr_fill + AGING);
		} else {
			make_pairs(&workers[i], 2 * ROUNDS * ops);
		}
	}
}

static void bench_threads(const struct mix *mix, u64 ops)
{
	struct worker *workers = allocate(THREADS, sizeof(*workers));
	struct pool *pool = make_pool(mix->nr_shards);
	u64 one[ROUNDS], two[ROUNDS];
	unsigned int i;

	make_workers(workers, pool, mix, ops);
	for (i = 0; i < ROUNDS; i++) {
		one[i] = race(workers, 1);
		two[i] = race(workers, 2);
	}
	report(mix, "one thread", one, ops);
	report(mix, "two threads", two, 2 * ops);
	for (i = 0; i < THREADS; i++) {
		release_all(&workers[i]);
		free(workers[i].slots);
		free(workers[i].trace.ops);
	}
	free_pool(pool);
	free(workers);
}

/*
 * Instructions
 */

static void count_instructions(unsigned int percent, u64 ops)
{
	struct bench_trace_spec spec = {
		.blocks = BLOCKS,
		.percent = percent,
		.churn = AGING + 2 * ops,
		.seed = 42 + percent,
	};
	struct worker w = { .pool = make_pool(1) };

	make_worker(&w, &spec);
	replay(&w, w.trace.nr_fill + AGING);
	replay_core(&w, ops);
	release_all(&w);
	replay_empty(&w, ops);
	free(w.slots);
	free(w.trace.ops);
	free_pool(w.pool);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "threads")) {
		u64 ops = strtoull(argv[2], NULL, 0);
		unsigned int i;

		for (i = 0; i < NR_MIXES; i++)
			bench_threads(&mixes[i], ops);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "trace")) {
		count_instructions(atoi(argv[2]), strtoull(argv[3], NULL, 0));
		return 0;
	}
	fprintf(stderr, "usage: host_bench threads OPERATIONS\n"
			"       host_bench trace PERCENT OPERATIONS\n");
	return 2;
}

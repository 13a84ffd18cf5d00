/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of buddy-bench.ko share: allocators behind one set of
 * functions, the meter, and the workloads.
 */
#ifndef BENCH_H
#define BENCH_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include "bench_trace.h"

#define BENCH_SHIFT		12
#define BENCH_BLOCK		BIT_ULL(BENCH_SHIFT)
/* Address of block 0 of every pool; gen_pool says 0 for "no space". */
#define BENCH_BASE		BIT_ULL(44)

#define BENCH_MAX_ROUNDS	15
#define BENCH_EMPTY		(~0ULL)

/**
 * struct bench_slot - an allocation
 * @handle: what the allocator needs to free it, or BENCH_EMPTY
 * @nr: its length in blocks, if the allocator needs to be told
 */
struct bench_slot {
	u64 handle;
	u64 nr;
};

/**
 * struct bench_allocator - an allocator, locked as its users lock it
 * @name: as printed
 * @create: make a pool of @nr free blocks, or return NULL
 * @destroy: the pool, all of it free again
 * @alloc: at natural alignment, if the allocator knows such a thing
 * @alloc_aligned: at a multiple of @align bytes
 * @alloc_window: below block @end
 * @alloc_refused: as @alloc, of blocks that must be adjacent and are not there
 * @alloc_run: adjacent blocks anywhere
 * @alloc_run_searching: the same, and look everywhere before giving up
 * @place: get blocks at block @index, where @alloc would find them after a long
 *	search; NULL if it does not take long
 * @free: any of these
 * @free_cleared: the same, and tell that the memory is zeroed
 * @index: first block of an allocation
 * @window_probes: how many window requests to measure at a time
 * @metadata: bytes used for the pool as it is now
 */
struct bench_allocator {
	const char *name;
	void *(*create)(u64 nr);
	void (*destroy)(void *pool);
	int (*alloc)(void *pool, u64 nr, struct bench_slot *slot);
	int (*alloc_aligned)(void *pool, u64 nr, u64 align, struct bench_slot *slot);
	int (*alloc_window)(void *pool, u64 nr, u64 end, struct bench_slot *slot);
	int (*alloc_refused)(void *pool, u64 nr, struct bench_slot *slot);
	int (*alloc_run)(void *pool, u64 nr, struct bench_slot *slot);
	int (*alloc_run_searching)(void *pool, u64 nr, struct bench_slot *slot);
	int (*place)(void *pool, u64 index, u64 nr, struct bench_slot *slot);
	void (*free)(void *pool, struct bench_slot *slot);
	void (*free_cleared)(void *pool, struct bench_slot *slot);
	u64 (*index)(void *pool, const struct bench_slot *slot);
	unsigned int window_probes;
	u64 (*metadata)(void *pool, u64 nr);
};

/* The first is the empty one, which shows what the replay itself costs. */
extern const struct bench_allocator *const bench_allocators[];
#define BENCH_NR_ALLOCATORS	4

/* What pools of @nr blocks take off the free memory; for buddy_pool */
u64 bench_footprint(const struct bench_allocator *allocator, u64 nr);
/* A pool that is nothing but that much zeroed memory */
extern const struct bench_allocator bench_vzalloc;

/*
 * Meter
 */

/* Buckets of 1/64 of their value or, below 128, of 1 cycle */
#define BENCH_BUCKETS		(64 * 36)

/**
 * struct bench_result - what one allocator did in one phase of a workload
 * @cycles: in this round
 * @ops: in this round
 * @total_ops: in all rounds
 * @round_ps: picoseconds for an operation, by round
 * @worst: cycles of the slowest operation
 * @nr_recorded: operations in @bucket
 * @bucket: how many operations took how many cycles
 */
struct bench_result {
	u64 cycles;
	u64 ops;
	u64 total_ops;
	u64 round_ps[BENCH_MAX_ROUNDS];
	u64 worst;
	u64 nr_recorded;
	u32 bucket[BENCH_BUCKETS];
};

/*
 * Own records that are used in sequence are fetched so many ahead: where they go on
 * in the next page, the processor would do so only when that is entered, and one
 * operation in 256 would take its 200 ns for ours.
 */
#define BENCH_AHEAD	512ULL

struct bench_case;

/**
 * struct bench_run - one allocator in one case
 * @allocator: which
 * @c: the case
 * @pool: if one exists now
 * @slots: allocations
 * @pos: next operation of the trace
 * @base: added to the number of the operation by some steps
 * @failed: requests that were refused
 * @each: time each operation, not all together
 * @limit: stop a phase after so many cycles
 * @metadata: most bytes used so far
 * @result: by phase
 */
struct bench_run {
	const struct bench_allocator *allocator;
	const struct bench_case *c;
	void *pool;
	struct bench_slot *slots;
	u64 pos;
	u64 base;
	u64 failed;
	bool each;
	u64 limit;
	u64 metadata;
	struct bench_result *result;
};

struct bench_phase {
	const char *workload;
	const char *what;
};

/**
 * struct bench_case - a workload with its parameters
 * @name: prefixed to the names of the phases
 * @blocks: size of the pool
 * @phases: what is measured, one after the other
 * @nr_phases: how many
 * @setup: called once for each allocator; may be NULL
 * @round: called for each round; measures each phase once
 * @teardown: called once for each allocator; may be NULL
 * @param: the workload's own
 * @trace: if the workload has one
 * @swaps: likewise, what makes a random order of all blocks
 * @rounds: how many, or 0 for the usual number
 * @with_vzalloc: bench_vzalloc takes part
 */
struct bench_case {
	const char *name;
	u64 blocks;
	const struct bench_phase *phases;
	unsigned int nr_phases;
	int (*setup)(struct bench_run *run);
	int (*round)(struct bench_run *run);
	void (*teardown)(struct bench_run *run);
	u64 param;
	const struct bench_trace *trace;
	const u32 *swaps;
	unsigned int rounds;
	bool with_vzalloc;
};

extern bool bench_quick;

#ifdef CONFIG_X86_64
/* Waits for what comes before, so that it is not counted with what follows. */
static __always_inline u64 bench_cycles(void)
{
	u32 low, high;

	asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}
#else
#include <linux/timekeeping.h>

static inline u64 bench_cycles(void)
{
	return ktime_get_ns();
}
#endif

void bench_calibrate(void);
u64 bench_ms_to_cycles(u64 ms);
u64 bench_cycles_to_ps(u64 cycles);
/* Cycles that one operation seems to take when it is nothing */
u64 bench_timer_cycles(void);

void bench_record(struct bench_result *result, unsigned long tick, u64 cycles);
void bench_end_round(struct bench_run *run, unsigned int round);
u64 bench_median_ps(const struct bench_run *run, unsigned int phase);
u64 bench_percentile_ps(const struct bench_result *result, unsigned int permille);
u64 bench_worst_ps(const struct bench_result *result);

/*
 * bench_measure() - do a step many times on the clock
 *
 * Looks at the clock rarely unless a step takes long, and stops at the run's
 * limit. Inlined with the step, so that no call stands between them.
 *
 * Return: how many.
 */
static __always_inline u64 bench_measure(struct bench_run *run, unsigned int phase, u64 nr,
					 void (*step)(struct bench_run *run, u64 i))
{
	struct bench_result *result = &run->result[phase];
	u64 start = bench_cycles();
	u64 now = start, last = start;
	u64 chunk = 8;
	u64 done = 0;

	while (done < nr && now - start <= run->limit) {
		u64 end = min(done + chunk, nr);

		if (run->each) {
			for (; done < end; done++) {
				unsigned long tick = READ_ONCE(jiffies);
				u64 before = bench_cycles();

				step(run, done);
				bench_record(result, tick, bench_cycles() - before);
			}
		} else {
			for (; done < end; done++)
				step(run, done);
		}
		now = bench_cycles();
		if (now - last < 1 << 20 && chunk < 4096)
			chunk *= 2;
		last = now;
	}
	result->cycles += now - start;
	result->ops += done;
	return done;
}

/*
 * Workloads
 */

int bench_run_case(struct bench_case *c);
/* Is the workload wanted by the user? */
bool bench_wanted(const char *workload);
/* @slots empty ones for the run; freed by the caller of the round functions */
int bench_alloc_slots(struct bench_run *run, u64 nr);
int bench_make_pool(struct bench_run *run);
void bench_destroy_pool(struct bench_run *run);
/* Allocate @nr blocks, which would be found at @index; not for measuring */
int bench_place(struct bench_run *run, u64 index, u64 nr, struct bench_slot *slot);
/* Fill the pool with single blocks, each in the slot of its index */
int bench_fill_by_index(struct bench_run *run, u64 nr);
void bench_free_slot(struct bench_run *run, u64 slot);
void bench_note_metadata(struct bench_run *run);

int bench_pair(void);
int bench_steady(void);
int bench_fill(void);
int bench_window(void);
int bench_fragmentation(void);
int bench_refused(void);
int bench_creation(void);
int bench_race(void);

#endif

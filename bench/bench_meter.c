// SPDX-License-Identifier: GPL-2.0
/*
 * The clock, and what is made of its readings. The time stamp counter is read
 * directly, because a clock source may be slower than what is measured (on User
 * Mode Linux it is a system call).
 */
#include <linux/bitops.h>
#include <linux/math64.h>
#include <linux/processor.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include "bench.h"

/* An operation that takes longer is not much disturbed by an interrupt */
#define LONG_PS		(100 * 1000 * 1000)
#define CALIBRATION_NS	(50 * 1000 * 1000)
#define CALIBRATION_OPS	100000

static u64 ps_per_1024_cycles;
static u64 timer_cycles;

u64 bench_cycles_to_ps(u64 cycles)
{
	return mul_u64_u64_div_u64(cycles, ps_per_1024_cycles, 1024);
}

u64 bench_ms_to_cycles(u64 ms)
{
	return mul_u64_u64_div_u64(ms * 1000 * 1000 * 1000, 1024, ps_per_1024_cycles);
}

u64 bench_timer_cycles(void)
{
	return timer_cycles;
}

/* The least, since whatever interrupts the loop only adds */
static u64 least_timer_cycles(void)
{
	u64 least = U64_MAX;
	unsigned int i;

	for (i = 0; i < CALIBRATION_OPS; i++) {
		u64 before = bench_cycles();

		least = min(least, bench_cycles() - before);
	}
	return least;
}

void bench_calibrate(void)
{
	u64 ns = ktime_get_ns();
	u64 cycles = bench_cycles();

	while (ktime_get_ns() - ns < CALIBRATION_NS)
		cpu_relax();
	cycles = bench_cycles() - cycles;
	ns = ktime_get_ns() - ns;
	ps_per_1024_cycles = mul_u64_u64_div_u64(ns, 1024 * 1000, cycles);
	timer_cycles = least_timer_cycles();
}

/*
 * A number below 128 is its own bucket. Of a larger one the upper 7 bits count,
 * the first of which is set: 64 buckets for each power of two. So 1,000, which
 * is 125 << 3, is in bucket 3 * 64 + 125.
 */
static unsigned int bucket_of(u64 cycles)
{
	unsigned int shift = max(fls64(cycles), 7) - 7;

	return min_t(u64, shift * 64 + (cycles >> shift), BENCH_BUCKETS - 1);
}

static u64 middle_of_bucket(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 128)
		return bucket;
	shift = bucket / 64 - 1;
	return ((u64)(bucket - shift * 64) << shift) + (1ULL << shift) / 2;
}

/*
 * An operation that the timer interrupt fell into says nothing about the
 * allocator: on User Mode Linux the interrupt takes 30 us, and when the host gives
 * the CPU to somebody else for a while, one comes first thing afterwards.
 */
void bench_record(struct bench_result *result, unsigned long tick, u64 cycles)
{
	if (tick != READ_ONCE(jiffies) && result->round_ps[0] < LONG_PS)
		return;
	cycles -= min(cycles, timer_cycles);
	result->bucket[bucket_of(cycles)]++;
	result->nr_recorded++;
	result->worst = max(result->worst, cycles);
}

u64 bench_percentile_ps(const struct bench_result *result, unsigned int permille)
{
	u64 left = div_u64(result->nr_recorded * permille, 1000);
	unsigned int i;

	for (i = 0; i < BENCH_BUCKETS - 1 && result->bucket[i] <= left; i++)
		left -= result->bucket[i];
	return bench_cycles_to_ps(min(middle_of_bucket(i), result->worst));
}

u64 bench_worst_ps(const struct bench_result *result)
{
	return bench_cycles_to_ps(result->worst);
}

void bench_end_round(struct bench_run *run, unsigned int round)
{
	unsigned int i;

	for (i = 0; i < run->c->nr_phases; i++) {
		struct bench_result *result = &run->result[i];

		if (result->ops && !run->each)
			result->round_ps[round] = div64_u64(bench_cycles_to_ps(result->cycles),
							    result->ops);
		if (!run->each)
			result->total_ops += result->ops;
		result->cycles = 0;
		result->ops = 0;
	}
}

static int compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

u64 bench_median_ps(const struct bench_run *run, unsigned int phase)
{
	u64 sorted[BENCH_MAX_ROUNDS];

	memcpy(sorted, run->result[phase].round_ps, sizeof(sorted));
	sort(sorted, run->c->rounds, sizeof(sorted[0]), compare_u64, NULL);
	return sorted[run->c->rounds / 2];
}

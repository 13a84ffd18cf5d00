// SPDX-License-Identifier: GPL-2.0
/*
 * What the calls of the node cost, and a handle in kernel memory. Runs in a guest,
 * on a pool that is not zeroed, whose node is the first argument; the second says
 * how long to measure, in milliseconds, the third what to print before each case.
 *
 * The cases take turns in rounds, so what disturbs the machine disturbs them all,
 * and the median of the rounds is printed: lines as those of bench_main.c.
 *
 * The no-op is an ioctl with a number that the node does not know. Nothing on the
 * node is cheaper: it goes the whole way through the kernel to the driver's table of
 * calls and back, and reads no argument.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/buddy_pool.h>

#define ROUNDS	9
#define BATCH	256
#define LIVE	65000	/* fewer than a file may have by default */
#define UNKNOWN	_IO(BUDDY_POOL_IOCTL_TYPE, 0xff)
#define BLOCK	4096
#define POOL	65536	/* blocks that the pool has */

static int fd;

static void check(int result, const char *what)
{
	if (result)
		err(1, "%s", what);
}

/*
 * One operation of each case
 */

static void call_nothing_twice(void)
{
	if (ioctl(fd, UNKNOWN, NULL) != -1 || ioctl(fd, UNKNOWN, NULL) != -1 || errno != ENOTTY)
		errx(1, "the node knows call %#lx", (unsigned long)UNKNOWN);
}

static void alloc_and_free(void)
{
	struct buddy_pool_alloc take = { .size = sizeof(take), .length = BLOCK };
	struct buddy_pool_free give = { .size = sizeof(give) };

	check(ioctl(fd, BUDDY_POOL_ALLOC, &take), "ALLOC");
	give.handle = take.handle;
	check(ioctl(fd, BUDDY_POOL_FREE, &give), "FREE");
}

static void take_batch(struct buddy_pool_block *blocks, unsigned int count)
{
	struct buddy_pool_alloc_batch take = {
		.size = sizeof(take), .length = BLOCK, .count = count,
		.blocks = (uintptr_t)blocks,
	};

	check(ioctl(fd, BUDDY_POOL_ALLOC_BATCH, &take), "ALLOC_BATCH");
}

static void give_batch(struct buddy_pool_block *blocks, unsigned int count)
{
	struct buddy_pool_free_batch give = {
		.size = sizeof(give), .count = count, .blocks = (uintptr_t)blocks,
	};

	check(ioctl(fd, BUDDY_POOL_FREE_BATCH, &give), "FREE_BATCH");
}

static void alloc_and_free_batch(void)
{
	static struct buddy_pool_block blocks[BATCH];

	take_batch(blocks, BATCH);
	give_batch(blocks, BATCH);
}

/*
 * Time
 */

struct test {
	const char *name;
	void (*run)(void);
	unsigned int blocks;	/* that one run takes and gives back */
	unsigned long runs;	/* in a round */
	double ns[ROUNDS];	/* for a block */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static double time_of(struct test *test)
{
	double start = now();

	for (unsigned long i = 0; i < test->runs; i++)
		test->run();
	return now() - start;
}

/* As many runs as take about that long */
static void calibrate(struct test *test, double ns)
{
	double took = 0;

	for (test->runs = 1; took < ns / 4; test->runs *= 2)
		took = time_of(test);
	test->runs = test->runs * ns / took / 2 + 1;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(struct test *tests, unsigned int n, double ns, const char *where)
{
	for (unsigned int i = 0; i < n; i++)
		calibrate(&tests[i], ns / n / ROUNDS);
	for (unsigned int r = 0; r < ROUNDS; r++)
		for (unsigned int i = 0; i < n; i++)
			tests[i].ns[r] = time_of(&tests[i]) / tests[i].runs / tests[i].blocks;
	for (unsigned int i = 0; i < n; i++) {
		qsort(tests[i].ns, ROUNDS, sizeof(double), compare);
		printf("bench|ioctl|%s: %s|%d|buddy_pool|%.0f|0|-|-|-|-|-|%lu|0\n", where,
		       tests[i].name, POOL, tests[i].ns[ROUNDS / 2] * 1000,
		       tests[i].runs * ROUNDS * tests[i].blocks);
	}
	fflush(stdout);
}

/*
 * Memory
 */

/* Of the kernel's, in bytes; what other things do meanwhile is in it, too. */
static long slab(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[256];
	long kib;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Slab: %ld", &kib) == 1) {
			fclose(f);
			return kib << 10;
		}
	}
	errx(1, "/proc/meminfo does not say");
}

static void take_one_by_one(void)
{
	struct buddy_pool_alloc take;

	for (unsigned int i = 0; i < LIVE; i++) {
		take = (struct buddy_pool_alloc){ .size = sizeof(take), .length = BLOCK };
		check(ioctl(fd, BUDDY_POOL_ALLOC, &take), "ALLOC");
	}
}

static void take_many(void)
{
	struct buddy_pool_block blocks[BUDDY_POOL_MAX_BATCH];

	for (unsigned int left = LIVE, n; left; left -= n) {
		n = left < BUDDY_POOL_MAX_BATCH ? left : BUDDY_POOL_MAX_BATCH;
		take_batch(blocks, n);
	}
}

/* Of each batch of 64 only the last is kept, which no table of handles can like. */
static void take_many_far_apart(void)
{
	struct buddy_pool_block blocks[64];

	for (unsigned int i = 0; i < LIVE; i++) {
		take_batch(blocks, 64);
		give_batch(blocks, 63);
	}
}

static void measure_memory(const char *where, const char *what, void (*take)(void))
{
	long before = slab();

	take();
	printf("bench|ioctl|%s: %s|%d|buddy_pool|-|-|-|-|-|-|%ld|%d|0\n", where, what, POOL,
	       slab() - before, LIVE);
	fflush(stdout);
}

static void reopen(const char *path)
{
	if (fd)
		close(fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
}

int main(int argc, char **argv)
{
	struct test idle[] = {
		{ .name = "two no-ops", .run = call_nothing_twice, .blocks = 1 },
		{ .name = "ALLOC and FREE", .run = alloc_and_free, .blocks = 1 },
		{ .name = "a block of a batch", .run = alloc_and_free_batch, .blocks = BATCH },
	};
	struct test busy[] = {
		{ .name = "ALLOC and FREE, 65,000 live", .run = alloc_and_free, .blocks = 1 },
		{ .name = "a block of a batch, 65,000 live", .run = alloc_and_free_batch,
		  .blocks = BATCH },
	};

	if (argc != 4)
		errx(2, "usage: ioctl_cost NODE MILLISECONDS WHERE");
	reopen(argv[1]);
	measure(idle, 3, atof(argv[2]) * 1e6, argv[3]);
	measure_memory(argv[3], "memory of 65,000 handles", take_one_by_one);
	measure(busy, 2, atof(argv[2]) * 1e6, argv[3]);
	reopen(argv[1]);
	measure_memory(argv[3], "memory of 65,000 handles in batches", take_many);
	reopen(argv[1]);
	measure_memory(argv[3], "memory of 65,000 handles far apart", take_many_far_apart);
	return 0;
}

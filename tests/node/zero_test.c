// SPDX-License-Identifier: GPL-2.0
/*
 * Zeroing that is interrupted: nothing that was not zeroed is ever seen, and what was
 * zeroed before is not zeroed again. For zero=alloc, free and never, as the module
 * was loaded; see tests/vm/policy.sh. The seed is BUDDY_POOL_SEED or a new one.
 */
#include <stdio.h>
#include <sys/resource.h>

#include "node.h"

#define TRIES	200

static unsigned int seed;

static void plant_seed(void)
{
	const char *text = getenv("BUDDY_POOL_SEED");

	seed = text ? strtoul(text, NULL, 0) : getpid() * 7919 + time(NULL);
	printf("# seed %u\n", seed);
	fflush(stdout);
}

/* Marks every page; that is enough to see whether the page was zeroed. */
static void mark_pages(char *p, __u64 length)
{
	for (__u64 at = 0; at < length; at += PAGE)
		*(volatile __u64 *)(p + at) = ~0ULL;
}

static __u64 pages_of(const char *p, __u64 length, __u64 word)
{
	__u64 n = 0;

	for (__u64 at = 0; at < length; at += PAGE)
		n += *(volatile __u64 *)(p + at) == word;
	return n;
}

static __u64 marked_pages(const char *p, __u64 length)
{
	return length / PAGE - pages_of(p, length, 0);
}

/* All of the pool in one block, mapped; NULL if that fails */
static char *take_all(int fd, __u64 length, struct buddy_pool_alloc *block)
{
	char *p;

	if (alloc_block(fd, length, block))
		return NULL;
	p = map_block(fd, block);
	return p == MAP_FAILED ? NULL : p;
}

/* Marks all of the pool, with a file that is closed then */
static void mark_all(__u64 length)
{
	struct buddy_pool_alloc block;
	int fd = open_node(O_RDWR);
	char *p = take_all(fd, length, &block);

	if (p) {
		mark_pages(p, length);
		munmap(p, length);
	}
	close(fd);
}

/* Runs @child, kills it some microseconds after it said that it is about to. */
static void kill_in(void (*child)(int fd, __u64 length, int ready), __u64 length,
		    unsigned int after)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready))
		abort();
	pid = fork();
	if (!pid) {
		child(open_node(O_RDWR), length, ready[1]);
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		abort();
	close(ready[0]);
	usleep(after);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void allocate(int fd, __u64 length, int ready)
{
	struct buddy_pool_alloc block;

	if (write(ready, "", 1) == 1)
		alloc_block(fd, length, &block);
}

static void mark_and_free(int fd, __u64 length, int ready)
{
	struct buddy_pool_alloc block;
	char *p = take_all(fd, length, &block);

	if (!p)
		return;
	mark_pages(p, length);
	munmap(p, length);
	if (write(ready, "", 1) == 1)
		free_handle(fd, block.handle);
}

/* A page in the midst of what may be left to zero is zero; it has to be zeroed again. */
static bool page_is_zero(int fd, __u64 offset)
{
	struct buddy_pool_alloc block;
	bool zero;
	char *p;

	if (alloc_at(fd, offset, PAGE, &block))
		return false;
	p = map_block(fd, &block);
	if (p == MAP_FAILED)
		return false;
	zero = !marked_pages(p, PAGE);
	munmap(p, PAGE);
	return !free_handle(fd, block.handle) && zero;
}

/*
 * Whatever a killed child was at, the next one finds zeros; and if that was zeroing,
 * the two of them zeroed each byte once. That has to be met with several times.
 */
TEST_F_TIMEOUT(node, I02_B14_a_call_that_is_killed_while_it_zeroes, 300)
{
	bool on_free = self->info.zero == BUDDY_POOL_ZERO_FREE;
	__u64 length = self->info.length, before, between, after, again;
	unsigned int met = 0, most = 100000;
	struct buddy_pool_alloc block;
	char *p;

	if (self->info.zero == BUDDY_POOL_ZERO_NEVER)
		SKIP(return, "zero=never");
	plant_seed();
	for (unsigned int i = 0; i < TRIES && met < 10; i++) {
		if (!on_free)
			mark_all(length);
		before = get_stats(self->fd).zeroed;
		kill_in(on_free ? mark_and_free : allocate, length, rand_r(&seed) % most);
		between = get_stats(self->fd).zeroed - before;
		ASSERT_EQ(0, bytes_in_use());
		again = 0;
		if (met % 2) {
			ASSERT_TRUE(page_is_zero(self->fd, length - 8 * PAGE));
			again = PAGE;
		}
		p = take_all(self->fd, length, &block);
		ASSERT_NE(NULL, p);
		ASSERT_EQ(0, marked_pages(p, length));
		after = get_stats(self->fd).zeroed - before;
		munmap(p, length);
		ASSERT_OK(free_handle(self->fd, block.handle));
		if (between && between < length) {
			met++;
			EXPECT_EQ(length + again, after);
		} else if (between) {
			/* It was through; next time, earlier. */
			most = most / 2 + 1;
		}
	}
	TH_LOG("%u times in the middle", met);
	EXPECT_LT(0, met);
}

/* How long it takes to zero all of the pool as it is given back */
static double time_to_zero(int fd, __u64 length)
{
	struct buddy_pool_alloc block;
	double start;

	if (alloc_block(fd, length, &block))
		abort();
	start = now();
	if (free_handle(fd, block.handle))
		abort();
	return now() - start;
}

/* Seconds that the module lets it zero, and a bit */
#define EXIT_TIME 1.1

#define MAX_HOGS 64

/*
 * Processes that leave to another one on this CPU about one part in @ratio of its
 * time: each step of niceness is worth a quarter more. Returns how many, when all run.
 */
static unsigned int start_hogs(pid_t hogs[MAX_HOGS], int cpu, double ratio)
{
	unsigned int n = 0, running;
	int nice, ready[2];
	double worth;
	char byte;

	if (pipe(ready))
		abort();
	while (ratio > 1 && n < MAX_HOGS) {
		for (nice = 0, worth = 1; worth < ratio && nice < 20; nice++)
			worth *= 1.25;
		ratio -= worth;
		hogs[n] = fork();
		if (!hogs[n]) {
			stay_on_cpu(cpu);
			if (setpriority(PRIO_PROCESS, 0, -nice) || write(ready[1], "", 1) != 1)
				abort();
			for (;;)
				;
		}
		n++;
	}
	for (running = 0; running < n; running++)
		if (read(ready[0], &byte, 1) != 1)
			abort();
	close(ready[0]);
	close(ready[1]);
	return n;
}

/* A child that has all of the pool, marked, in so many @files, and waits for its end */
static pid_t start_owner(int cpu, __u64 length, unsigned int files, int go)
{
	struct buddy_pool_alloc block;
	int ready[2];
	pid_t pid;
	char *p, byte;

	if (pipe(ready))
		abort();
	pid = fork();
	if (!pid) {
		for (unsigned int i = 0; i < files; i++) {
			p = take_all(open_node(O_RDWR), length / files, &block);
			if (!p)
				_exit(1);
			mark_pages(p, length / files);
			munmap(p, length / files);
		}
		stay_on_cpu(cpu);
		if (write(ready[1], "", 1) != 1 || read(go, &byte, 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		abort();
	close(ready[0]);
	return pid;
}

/*
 * Waits until nobody has a block. Returns for how long it was zeroed until then; the
 * first MiB, of which nobody sees the beginning, does not count. What was zeroed when
 * the time of a process that exits was over goes to @in_time, if it came to that.
 */
static double wait_for_zeroing(int fd, __u64 before, __u64 *in_time)
{
	struct buddy_pool_stats stats;
	double start = 0, t;

	*in_time = 0;
	do {
		usleep(10000);
		t = now();
		stats = get_stats(fd);
		if (start && !*in_time && t - start > EXIT_TIME)
			*in_time = stats.zeroed;
		if (!start && stats.zeroed > before)
			start = now();
	} while (stats.used + stats.held);
	return now() - start;
}

/*
 * Zeroing that would take @SLOW seconds does not hold up the end of a process, by
 * itself or by a signal: after a second it leaves the rest to who gets it next, and so
 * it is with several files, which are closed one after the other. The
 * rest of its end is slow, too, but not by us, and with KASAN longer than the zeroing;
 * and on a busy host it waits for the CPU for seconds. So what counts is not when it
 * ends, but that no more than the step that it was at is zeroed after that second.
 */
#define SLOW 8
/* It has the CPU for some ms at a time, so that with more it would wait for seconds. */
#define MAX_RATIO 400.0

static void end_slowly(struct __test_metadata *_metadata, int fd, __u64 length, unsigned int files,
		       bool killed)
{
	double took, alone = time_to_zero(fd, length);
	__u64 before = get_stats(fd).zeroed, between, in_time;
	struct buddy_pool_alloc block;
	pid_t hogs[MAX_HOGS], pid;
	unsigned int n;
	int go[2];
	char *p;

	ASSERT_OK(pipe(go));
	pid = start_owner(1, length, files, go[0]);
	n = start_hogs(hogs, 1, SLOW / alone < MAX_RATIO ? SLOW / alone : MAX_RATIO);
	if (killed)
		kill(pid, SIGKILL);
	else
		EXPECT_EQ(1, write(go[1], "", 1));
	took = wait_for_zeroing(fd, before, &in_time);
	while (n--) {
		kill(hogs[n], SIGKILL);
		waitpid(hogs[n], NULL, 0);
	}
	waitpid(pid, NULL, 0);
	close(go[0]);
	close(go[1]);
	between = get_stats(fd).zeroed - before;
	TH_LOG("%u files, %s: alone %.2f s; given up after %.2f s, with %llu of %llu MiB zero",
	       files, killed ? "killed" : "exits", alone, took, between / MIB, length / MIB);
	if (files == 1 && in_time)
		EXPECT_GE(MIB, before + between - in_time);
	/* Meanwhile the time for it comes again, little by little. */
	if (files > 1 && took < SLOW)
		EXPECT_GT(length / 2, between);
	EXPECT_GT(length, between);
	EXPECT_EQ(0, bytes_in_use());
	p = take_all(fd, length, &block);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(0, marked_pages(p, length));
	EXPECT_EQ(length, get_stats(fd).zeroed - before);
	munmap(p, length);
	ASSERT_OK(free_handle(fd, block.handle));
}

/* Each wants a pool of its own: after one of them there is no such second for a while. */
TEST_F_TIMEOUT(node, I02_D17_exit_is_not_held_up_by_zeroing, 120)
{
	if (self->info.zero != BUDDY_POOL_ZERO_FREE)
		SKIP(return, "only zero=free zeroes then");
	stay_on_cpu(0);
	end_slowly(_metadata, self->fd, self->info.length, 1, false);
}

TEST_F_TIMEOUT(node, I02_D17_death_is_not_held_up_by_zeroing, 120)
{
	if (self->info.zero != BUDDY_POOL_ZERO_FREE)
		SKIP(return, "only zero=free zeroes then");
	stay_on_cpu(0);
	end_slowly(_metadata, self->fd, self->info.length, 1, true);
}

TEST_F_TIMEOUT(node, I02_D17_exit_with_many_files_is_not_held_up_by_zeroing, 120)
{
	if (self->info.zero != BUDDY_POOL_ZERO_FREE)
		SKIP(return, "only zero=free zeroes then");
	stay_on_cpu(0);
	end_slowly(_metadata, self->fd, self->info.length, 8, false);
}

/* What the children have seen, together: pages of new blocks, and those not zero */
struct seen {
	__u64 pages;
	__u64 bad;
};

static void take_and_mark_for_ever(unsigned int from, struct seen *seen)
{
	int fd = open_node(O_RDWR);
	struct buddy_pool_alloc block;
	char *p;

	for (;;) {
		if (alloc_block(fd, PAGE << rand_r(&from) % 13, &block))
			continue;
		p = map_block(fd, &block);
		if (p == MAP_FAILED)
			continue;
		__atomic_fetch_add(&seen->bad, marked_pages(p, block.granted), __ATOMIC_RELAXED);
		__atomic_fetch_add(&seen->pages, block.granted / PAGE, __ATOMIC_RELAXED);
		mark_pages(p, block.granted);
		if (rand_r(&from) % 4)
			munmap(p, block.granted);
		free_handle(fd, block.handle);
	}
}

TEST_F_TIMEOUT(node, I02_D17_children_that_zero_are_killed_at_any_moment, 300)
{
	struct seen *seen =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[3] = { 0 };

	if (self->info.zero == BUDDY_POOL_ZERO_NEVER)
		SKIP(return, "zero=never");
	plant_seed();
	for (unsigned int i = 0; i < TRIES; i++) {
		pid_t *pid = &pids[i % ARRAY_SIZE(pids)];

		if (*pid) {
			kill(*pid, SIGKILL);
			waitpid(*pid, NULL, 0);
		}
		*pid = fork();
		if (!*pid)
			take_and_mark_for_ever(seed + i, seen);
		usleep(rand_r(&seed) % 20000);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(pids); i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	TH_LOG("%llu pages", (unsigned long long)seen->pages);
	EXPECT_LT(TRIES, seen->pages);
	EXPECT_EQ(0, seen->bad);
	EXPECT_EQ(0, bytes_in_use());
}

/* After buddy_writer.ko wrote to 8 MiB of the pool, and gave them back */
TEST_F(node, I01_what_a_kernel_user_wrote_is_not_shown)
{
	__u64 length = self->info.length, before = get_stats(self->fd).zeroed;
	struct buddy_pool_alloc block;
	__u64 marked;
	char *p = take_all(self->fd, length, &block);

	ASSERT_NE(NULL, p);
	marked = marked_pages(p, length);
	switch (self->info.zero) {
	case BUDDY_POOL_ZERO_NEVER:
		EXPECT_EQ(8 * MIB / PAGE, pages_of(p, length, 0x7777777777777777));
		break;
	case BUDDY_POOL_ZERO_FREE:
		/* What programs had is zero already. */
		EXPECT_EQ(8 * MIB, get_stats(self->fd).zeroed - before);
		EXPECT_EQ(0, marked);
		break;
	default:
		EXPECT_EQ(length, get_stats(self->fd).zeroed - before);
		EXPECT_EQ(0, marked);
	}
}

TEST_HARNESS_MAIN

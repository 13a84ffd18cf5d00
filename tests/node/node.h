/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of the character device. Each test gets two open files of
 * the node, and the pool must be empty again once its process has ended. Its name
 * begins with the row of the test catalogue that it covers.
 */
#ifndef TESTS_NODE_H
#define TESTS_NODE_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/buddy_pool.h>

#include "kselftest_harness.h"

/* The harness's own 30 s are few for a debug kernel on a busy machine. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif
#define PAGE		4096UL
#define MIB		(1ULL << 20)

/* The page that tests may leave reserved; none takes it otherwise. */
#define RESERVED_OFFSET	(63 * MIB + 7 * PAGE)

/* ASSERT_EQ wants both sides of one type; errors are compared as int. */
#define EXPECT_OK(call)		EXPECT_EQ(0, (int)(call))
#define ASSERT_OK(call)		ASSERT_EQ(0, (int)(call))
#define EXPECT_ERR(err, call)	EXPECT_EQ(-(err), (int)(call))
#define ASSERT_ERR(err, call)	ASSERT_EQ(-(err), (int)(call))

static inline void stay_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		abort();
}

static inline const char *node_path(void)
{
	return getenv("BUDDY_POOL_NODE") ?: "/dev/buddy_pool/pool0";
}

/* Seconds */
static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static inline int open_node(int oflags)
{
	return open(node_path(), oflags | O_CLOEXEC);
}

static inline int call(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) ? -errno : 0;
}

static inline int get_info(int fd, struct buddy_pool_info *info)
{
	*info = (struct buddy_pool_info){ .size = sizeof(*info) };
	return call(fd, BUDDY_POOL_INFO, info);
}

/* All zero if it fails, which no pool's statistics are */
static inline struct buddy_pool_stats get_stats(int fd)
{
	struct buddy_pool_stats stats = { .size = sizeof(stats) };

	if (call(fd, BUDDY_POOL_STATS, &stats))
		memset(&stats, 0, sizeof(stats));
	return stats;
}

struct orders {
	struct buddy_pool_order_stats of[BUDDY_POOL_MAX_ORDERS];
	__u32 nr;
};

/* nr is 0 if it fails, and so is no pool's */
static inline struct orders get_orders(int fd)
{
	struct orders orders = { .nr = 0 };
	struct buddy_pool_stats stats = {
		.size = sizeof(stats), .nr_orders = BUDDY_POOL_MAX_ORDERS,
		.orders = (uintptr_t)orders.of,
	};

	if (!call(fd, BUDDY_POOL_STATS, &stats))
		orders.nr = stats.nr_orders;
	return orders;
}

/* Bytes that are not free, by a file of its own */
static inline __u64 bytes_in_use(void)
{
	int fd = open_node(O_RDONLY);
	struct buddy_pool_stats stats = get_stats(fd);

	close(fd);
	return stats.length ? stats.used + stats.held : ~0ULL;
}

static inline struct buddy_pool_alloc request(__u64 length)
{
	return (struct buddy_pool_alloc){
		.size = sizeof(struct buddy_pool_alloc), .length = length,
	};
}

static inline int alloc_block(int fd, __u64 length, struct buddy_pool_alloc *block)
{
	*block = request(length);
	return call(fd, BUDDY_POOL_ALLOC, block);
}

/* Exactly at @offset */
static inline int alloc_at(int fd, __u64 offset, __u64 length, struct buddy_pool_alloc *block)
{
	*block = request(length);
	block->start = offset;
	block->flags = BUDDY_POOL_ALLOC_FIXED;
	return call(fd, BUDDY_POOL_ALLOC, block);
}

static inline int free_handle(int fd, __u32 handle)
{
	struct buddy_pool_free req = { .size = sizeof(req), .handle = handle };

	return call(fd, BUDDY_POOL_FREE, &req);
}

/* RESERVE or UNRESERVE */
static inline int range_call(int fd, unsigned long request, __u64 offset, __u64 length)
{
	struct buddy_pool_range range = {
		.size = sizeof(range), .offset = offset, .length = length,
	};

	return call(fd, request, &range);
}

static inline void *map_block(int fd, const struct buddy_pool_alloc *block)
{
	return mmap(NULL, block->granted, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    block->map_offset);
}

static inline bool all_bytes_are(const void *start, __u64 length, __u8 byte)
{
	const __u64 want = byte * 0x0101010101010101ULL;
	const __u64 *p = start;

	for (__u64 i = 0; i < length / sizeof(*p); i++) {
		if (p[i] != want)
			return false;
	}
	return true;
}

/* The signal that reading @p ends a process with, or 0 */
static inline int signal_of_reading(const char *p)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(*p);
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Not for a program that is there before the node is */
#ifndef WITHOUT_NODE
FIXTURE(node) {
	int fd;
	int other;
	struct buddy_pool_info info;
};

FIXTURE_SETUP(node)
{
	self->fd = open_node(O_RDWR);
	ASSERT_LE(0, self->fd);
	self->other = open_node(O_RDWR);
	ASSERT_LE(0, self->other);
	ASSERT_OK(get_info(self->fd, &self->info));
	ASSERT_EQ(0, bytes_in_use());
}

/*
 * In the parent: by now the test's process is gone, and all that it had open. What
 * it reserved is not, since that is the pool's.
 */
FIXTURE_TEARDOWN_PARENT(node)
{
	int fd = open_node(O_RDWR);

	range_call(fd, BUDDY_POOL_UNRESERVE, RESERVED_OFFSET, PAGE);
	EXPECT_EQ(0, get_stats(fd).reserved);
	close(fd);
	EXPECT_EQ(0, bytes_in_use());
}
#endif

#endif

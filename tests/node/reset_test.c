// SPDX-License-Identifier: GPL-2.0
/*
 * A device that is reset while its memory is being zeroed: what was zeroed before is
 * not taken for zero after it. With zero=free, on a BAR of the device whose file
 * "reset" in sysfs is named by BUDDY_POOL_RESET; see tests/vm/hotplug.sh.
 */
#include <stdio.h>

#include "node.h"

#define TRIES	5

static bool can_reset(void)
{
	return getenv("BUDDY_POOL_RESET");
}

static void reset_device(void)
{
	int fd = open(getenv("BUDDY_POOL_RESET"), O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		abort();
	close(fd);
}

/*
 * Frees the block, or gets one of all of the pool if it has none, in a child. On one CPU,
 * so that the parent has its turn while the child zeroes, however CPUs are emulated.
 */
static pid_t start_zeroing(int fd, __u64 length, const struct buddy_pool_alloc *block)
{
	struct buddy_pool_alloc all;
	pid_t pid;

	stay_on_cpu(0);
	pid = fork();
	if (!pid)
		_exit(block ? free_handle(fd, block->handle) : alloc_block(fd, length, &all));
	return pid;
}

/* As soon as zeroing has begun; by then it may have ended. Did the child succeed? */
static bool reset_in_the_middle(int fd, __u64 before, pid_t child)
{
	pid_t ended = 0;
	int status;

	while (get_stats(fd).zeroed == before && !ended)
		ended = waitpid(child, &status, WNOHANG);
	reset_device();
	if (!ended)
		ended = waitpid(child, &status, 0);
	return ended == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

TEST_F_TIMEOUT(node, J10_what_was_zeroed_before_a_reset_is_zeroed_again, 120)
{
	__u64 length = self->info.length, before;
	struct buddy_pool_alloc block;

	if (!can_reset())
		SKIP(return, "BUDDY_POOL_RESET is not set");
	for (unsigned int i = 0; i < TRIES; i++) {
		ASSERT_OK(alloc_block(self->fd, length, &block));
		before = get_stats(self->fd).zeroed;
		ASSERT_TRUE(reset_in_the_middle(self->fd, before,
						start_zeroing(self->fd, length, &block)));
		before = get_stats(self->fd).zeroed;
		ASSERT_OK(alloc_block(self->fd, length, &block));
		EXPECT_EQ(length, get_stats(self->fd).zeroed - before);
		ASSERT_OK(free_handle(self->fd, block.handle));
	}
}

/* It may be too late for a reset to matter; but not each time. */
TEST_F_TIMEOUT(node, J10_zeroing_begins_again_after_a_reset, 120)
{
	__u64 length = self->info.length, before;
	unsigned int met = 0;
	int fd;

	if (!can_reset())
		SKIP(return, "BUDDY_POOL_RESET is not set");
	for (unsigned int i = 0; i < TRIES; i++) {
		/* Makes all of it dirty */
		reset_device();
		fd = open_node(O_RDWR);
		before = get_stats(fd).zeroed;
		ASSERT_TRUE(reset_in_the_middle(fd, before, start_zeroing(fd, length, NULL)));
		met += get_stats(fd).zeroed - before > length;
		close(fd);
	}
	TH_LOG("%u times in the middle", met);
	EXPECT_LT(0, met);
}

/* While the device is reset, in a child: until when, from 0 to 1, are blocks not zeroed? */
static double not_zeroed_until(int fd)
{
	double start = now(), last = start, end;
	struct buddy_pool_alloc block;
	int status = -1;
	__u64 before;
	pid_t pid;

	pid = fork();
	if (!pid) {
		reset_device();
		_exit(0);
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		before = get_stats(fd).zeroed;
		if (alloc_block(fd, PAGE, &block))
			return 2;
		if (get_stats(fd).zeroed == before)
			last = now();
		usleep(1000);
	}
	end = now();
	printf("# not zeroed until %.0f of %.0f ms\n", 1e3 * (last - start), 1e3 * (end - start));
	return status ? 2 : (last - start) / (end - start);
}

/* It takes a while until the child is that far; but not each time. */
TEST_F_TIMEOUT(node, J10_blocks_that_are_had_during_a_reset_are_zeroed, 120)
{
	struct buddy_pool_alloc block;
	double until, least = 1;
	int fd;

	if (!can_reset())
		SKIP(return, "BUDDY_POOL_RESET is not set");
	for (unsigned int i = 0; i < TRIES; i++) {
		/* From here on all of it is zero, and need not be zeroed again. */
		ASSERT_OK(alloc_block(self->fd, self->info.length, &block));
		ASSERT_OK(free_handle(self->fd, block.handle));
		fd = open_node(O_RDWR);
		until = not_zeroed_until(fd);
		close(fd);
		if (until < least)
			least = until;
	}
	EXPECT_LT(least, 0.5);
}

TEST_HARNESS_MAIN

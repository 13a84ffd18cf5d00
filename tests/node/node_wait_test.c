// SPDX-License-Identifier: GPL-2.0
/* poll() after a refusal, and what /proc/PID/fdinfo shows. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "node.h"
#include "stall.h"

#define POOL	(64 * MIB)

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

/* @other takes the whole pool, so that @fd is refused. */
static int exhaust(int fd, int other, struct buddy_pool_alloc *all)
{
	struct buddy_pool_alloc none;

	return alloc_block(other, POOL, all) ?: alloc_block(fd, PAGE, &none) + ENOSPC;
}

TEST_F(node, F25_B60_poll_tells_when_space_was_freed)
{
	struct buddy_pool_alloc all, block;

	EXPECT_TRUE(readable(self->fd));
	ASSERT_OK(exhaust(self->fd, self->other, &all));
	EXPECT_FALSE(readable(self->fd));
	/* Who was not refused does not wait. */
	EXPECT_TRUE(readable(self->other));
	ASSERT_OK(free_handle(self->other, all.handle));
	EXPECT_TRUE(readable(self->fd));
	EXPECT_TRUE(readable(self->fd));
	EXPECT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_TRUE(readable(self->fd));
	EXPECT_ERR(ENOSPC, alloc_block(self->fd, POOL, &all));
	EXPECT_FALSE(readable(self->fd));
	EXPECT_OK(free_handle(self->fd, block.handle));
	EXPECT_TRUE(readable(self->fd));
}

/* Trying again what can never be granted is no use, so there is nothing to wait for. */
TEST_F(node, F25_only_want_of_space_makes_poll_wait)
{
	struct buddy_pool_alloc none;

	ASSERT_ERR(EINVAL, alloc_block(self->fd, POOL + 1, &none));
	EXPECT_TRUE(readable(self->fd));
	ASSERT_ERR(EINVAL, alloc_block(self->fd, 0, &none));
	EXPECT_TRUE(readable(self->fd));
	ASSERT_ERR(ENOENT, free_handle(self->fd, 77));
	EXPECT_TRUE(readable(self->fd));
}

/* A call whose answer can't be written as yet: the page it goes to is write-protected. */
struct stalled_call {
	int fd;
	int uffd;
	struct buddy_pool_alloc *block;
	pthread_t thread;
	int result;
};

static void *make_call(void *context)
{
	struct stalled_call *c = context;

	c->result = ioctl(c->fd, BUDDY_POOL_ALLOC, c->block) ? -errno : 0;
	return NULL;
}

/* ALLOC of the whole pool, as far as the answer. */
static int stall_call(struct stalled_call *c, int fd)
{
	struct uffd_msg message;

	c->fd = fd;
	c->block = new_page();
	if (c->block == MAP_FAILED)
		return -1;
	*c->block = (struct buddy_pool_alloc){ .size = sizeof(*c->block), .length = POOL };
	c->uffd = stall_on(c->block, UFFDIO_REGISTER_MODE_WP);
	if (c->uffd < 0 || pthread_create(&c->thread, NULL, make_call, c))
		return -1;
	return read(c->uffd, &message, sizeof(message)) == sizeof(message) ? 0 : -1;
}

/* It is told that there is nowhere to write to. */
static void fail_call(struct stalled_call *c)
{
	struct uffdio_range page = { .start = (uintptr_t)c->block, .len = PAGE };

	mprotect(c->block, PAGE, PROT_READ);
	ioctl(c->uffd, UFFDIO_WAKE, &page);
	pthread_join(c->thread, NULL);
	close(c->uffd);
	munmap(c->block, PAGE);
}

/* Two who share a file: what one had for a moment, the other was refused for. */
TEST_F(node, F25_what_a_failed_call_gives_back_is_space_for_others)
{
	struct buddy_pool_alloc none;
	struct stalled_call call;

	if (stall_call(&call, self->fd))
		SKIP(return, "this kernel can't write-protect a page for a test");
	EXPECT_ERR(ENOSPC, alloc_block(self->fd, PAGE, &none));
	EXPECT_FALSE(readable(self->fd));
	fail_call(&call);
	EXPECT_EQ(-EFAULT, call.result);
	EXPECT_TRUE(readable(self->fd));
}

TEST_F(node, F25_a_held_block_is_not_space)
{
	struct buddy_pool_alloc all;
	char *p;

	ASSERT_OK(exhaust(self->fd, self->other, &all));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->other, all.map_offset);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_OK(free_handle(self->other, all.handle));
	EXPECT_FALSE(readable(self->fd));
	EXPECT_EQ(0, munmap(p, PAGE));
	EXPECT_TRUE(readable(self->fd));
}

TEST_F(node, F25_unreserve_and_close_free_space_as_well)
{
	struct buddy_pool_alloc none;

	ASSERT_OK(range_call(self->other, BUDDY_POOL_RESERVE, 0, POOL));
	ASSERT_ERR(ENOSPC, alloc_block(self->fd, PAGE, &none));
	EXPECT_FALSE(readable(self->fd));
	ASSERT_OK(range_call(self->other, BUDDY_POOL_UNRESERVE, 0, POOL));
	EXPECT_TRUE(readable(self->fd));
	ASSERT_OK(exhaust(self->fd, self->other, &none));
	close(self->other);
	EXPECT_TRUE(readable(self->fd));
	self->other = open_node(O_RDWR);
}

/* A child that waits on @fd and then gets a block; its exit status is 0. */
static pid_t fork_waiter(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct buddy_pool_alloc block;
	pid_t pid = fork();

	if (pid)
		return pid;
	if (poll(&p, 1, 20000) != 1)
		_exit(1);
	_exit(alloc_block(fd, PAGE, &block) ? 2 : 0);
}

TEST_F(node, F25_those_who_wait_are_all_woken_soon)
{
	struct buddy_pool_alloc all, none;
	pid_t pids[8];
	double freed;
	int status;

	ASSERT_OK(alloc_block(self->other, POOL, &all));
	for (int i = 0; i < 8; i++) {
		int fd = i % 2 ? self->fd : open_node(O_RDWR);

		ASSERT_ERR(ENOSPC, alloc_block(fd, PAGE, &none));
		pids[i] = fork_waiter(fd);
	}
	usleep(200000);
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(0, waitpid(pids[i], &status, WNOHANG));
	freed = now();
	ASSERT_OK(free_handle(self->other, all.handle));
	for (int i = 0; i < 8; i++) {
		EXPECT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	/* Who is not woken waits for ever. */
	EXPECT_LT(now() - freed, 10.0);
}

/*
 * fdinfo
 */

static char text[200000];

/* Reads /proc/self/fdinfo/@fd into @text. */
static bool read_fdinfo(int fd)
{
	char path[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	if (!f)
		return false;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return n > 0;
}

static __u64 fdinfo_number(const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 0) : ~0ULL;
}

static unsigned int count_lines(const char *with)
{
	unsigned int n = 0;

	for (const char *at = text; (at = strstr(at, with)); at++)
		n++;
	return n;
}

TEST_F(node, D28_fdinfo_has_totals_and_labels)
{
	struct buddy_pool_alloc a = request(3 * PAGE), b, foreign;
	char line[128];

	strcpy(a.label, "100%s of %n");
	ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC, &a));
	ASSERT_OK(alloc_block(self->fd, PAGE, &b));
	ASSERT_OK(alloc_block(self->other, PAGE, &foreign));
	ASSERT_NE(MAP_FAILED, map_block(self->fd, &b));
	ASSERT_TRUE(read_fdinfo(self->fd));
	snprintf(line, sizeof(line), "\npool:\t%s\n", self->info.name);
	EXPECT_NE(NULL, strstr(text, line));
	EXPECT_EQ(2, fdinfo_number("\nblocks:\t"));
	EXPECT_EQ(4 * PAGE, fdinfo_number("\nbytes:\t"));
	EXPECT_EQ(2, count_lines("\nblock:\t"));
	snprintf(line, sizeof(line), "\nblock:\t%u at 0x%llx, %llu bytes, 0 mappings, %s\n",
		 a.handle, a.offset, a.granted, a.label);
	EXPECT_NE(NULL, strstr(text, line));
	snprintf(line, sizeof(line), "\nblock:\t%u at 0x%llx, %llu bytes, 1 mappings, %s\n",
		 b.handle, b.offset, b.granted, b.label);
	EXPECT_NE(NULL, strstr(text, line));
	/* A held block is no longer this file's to name, but it still counts. */
	ASSERT_OK(free_handle(self->fd, b.handle));
	ASSERT_TRUE(read_fdinfo(self->fd));
	EXPECT_EQ(2, fdinfo_number("\nblocks:\t"));
	EXPECT_EQ(4 * PAGE, fdinfo_number("\nbytes:\t"));
	EXPECT_EQ(1, count_lines("\nblock:\t"));
}

TEST_F(node, D28_fdinfo_with_many_blocks_ends)
{
	struct buddy_pool_alloc block;

	for (int i = 0; i < 1500; i++)
		ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	ASSERT_TRUE(read_fdinfo(self->fd));
	EXPECT_EQ(1500, fdinfo_number("\nblocks:\t"));
	EXPECT_EQ(1500 * PAGE, fdinfo_number("\nbytes:\t"));
	EXPECT_EQ(1000, count_lines("\nblock:\t"));
	EXPECT_EQ(1, count_lines("\nmore:\t"));
}

/* No number in it is in the physical range, and none can be a kernel pointer. */
TEST_F(node, I08_D28_fdinfo_tells_no_address)
{
	struct buddy_pool_phys phys = { .size = sizeof(phys) };
	struct buddy_pool_alloc block;
	unsigned long long n;
	char *end;

	ASSERT_OK(alloc_at(self->fd, 0, PAGE, &block));
	phys.handle = block.handle;
	ASSERT_OK(call(self->fd, BUDDY_POOL_GET_PHYS, &phys));
	ASSERT_OK(alloc_at(self->fd, POOL - PAGE, PAGE, &block));
	ASSERT_TRUE(read_fdinfo(self->fd));
	for (char *at = text; *at; at = end > at ? end : at + 1) {
		end = at;
		if (strchr("0123456789", *at))
			n = strtoull(at, &end, 0);
		else
			continue;
		EXPECT_FALSE(n >= phys.address && n < phys.address + POOL) {
			TH_LOG("%#llx", n);
		}
		EXPECT_GT(1ULL << 47, n);
	}
}

TEST_HARNESS_MAIN

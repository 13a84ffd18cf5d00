// SPDX-License-Identifier: GPL-2.0
/*
 * Quotas of open files and users. For a pool that was loaded with these: see
 * tests/vm/quota.sh.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

#include "node.h"

#define FILE_BYTES	MIB
#define FILE_BLOCKS	20
#define USER_BYTES	(MIB + MIB / 2)
#define USER_BLOCKS	30

static bool refused_by_quota(int fd, __u64 length, __u64 largest)
{
	struct buddy_pool_alloc req;

	return alloc_block(fd, length, &req) == -EDQUOT && req.largest == largest &&
	       req.reason == BUDDY_POOL_REASON_QUOTA && !req.handle && !req.granted;
}

/* So are @count blocks at once. */
static bool batch_refused_by_quota(int fd, __u64 length, __u32 count, __u64 largest)
{
	struct buddy_pool_block blocks[FILE_BLOCKS + 1];
	struct buddy_pool_alloc_batch req = {
		.size = sizeof(req),
		.length = length,
		.blocks = (uintptr_t)blocks,
		.count = count,
	};

	return call(fd, BUDDY_POOL_ALLOC_BATCH, &req) == -EDQUOT && req.largest == largest &&
	       req.reason == BUDDY_POOL_REASON_QUOTA && !req.granted;
}

static int alloc_batch(int fd, struct buddy_pool_block *blocks, __u32 count, __u32 *reason)
{
	struct buddy_pool_alloc_batch req = {
		.size = sizeof(req), .length = PAGE, .blocks = (uintptr_t)blocks, .count = count,
	};
	int err = call(fd, BUDDY_POOL_ALLOC_BATCH, &req);

	*reason = req.reason;
	return err;
}

TEST_F(node, H03_quotas_are_reported)
{
	EXPECT_EQ(FILE_BYTES, self->info.max_file_bytes);
	EXPECT_EQ(FILE_BLOCKS, self->info.max_file_blocks);
	EXPECT_EQ(USER_BYTES, self->info.max_user_bytes);
	EXPECT_EQ(USER_BLOCKS, self->info.max_user_blocks);
}

TEST_F(node, H03_bytes_of_a_file)
{
	struct buddy_pool_alloc most, least;

	EXPECT_TRUE(refused_by_quota(self->fd, FILE_BYTES + 1, FILE_BYTES));
	ASSERT_OK(alloc_block(self->fd, FILE_BYTES, &most));
	EXPECT_TRUE(refused_by_quota(self->fd, 1, 0));
	ASSERT_OK(free_handle(self->fd, most.handle));
	ASSERT_OK(alloc_block(self->fd, FILE_BYTES - PAGE, &most));
	EXPECT_TRUE(refused_by_quota(self->fd, PAGE + 1, PAGE));
	ASSERT_OK(alloc_block(self->fd, PAGE, &least));
	EXPECT_TRUE(refused_by_quota(self->fd, 1, 0));
	EXPECT_EQ(FILE_BYTES, bytes_in_use());
}

TEST_F(node, B16_H03_what_can_never_be_is_EINVAL_at_the_quota_too)
{
	struct buddy_pool_alloc req;

	ASSERT_OK(alloc_block(self->fd, FILE_BYTES, &req));
	EXPECT_EQ(-EINVAL, alloc_block(self->fd, 0, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_UNDERSIZE, req.reason);
	EXPECT_EQ(-EINVAL, alloc_block(self->fd, self->info.length + 1, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_OVERSIZE, req.reason);
}

TEST_F(node, H03_freed_is_free_again)
{
	struct buddy_pool_alloc block;

	for (int i = 0; i < 300; i++) {
		ASSERT_OK(alloc_block(self->fd, FILE_BYTES, &block));
		ASSERT_OK(free_handle(self->fd, block.handle));
	}
}

TEST_F(node, H03_held_blocks_count)
{
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(alloc_block(self->fd, FILE_BYTES, &block));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_OK(free_handle(self->fd, block.handle));
	EXPECT_TRUE(refused_by_quota(self->fd, 1, 0));
	EXPECT_EQ(0, munmap(p + PAGE, PAGE));
	EXPECT_TRUE(refused_by_quota(self->fd, 1, 0));
	EXPECT_EQ(0, munmap(p, FILE_BYTES));
	EXPECT_OK(alloc_block(self->fd, FILE_BYTES, &block));
}

/* What is charged is what was taken, not what was asked for. */
TEST_F(node, H03_powers_of_two_are_charged_whole)
{
	struct buddy_pool_alloc req = request(FILE_BYTES / 2 + 1);

	req.flags = BUDDY_POOL_ALLOC_POW2;
	ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(FILE_BYTES, req.granted);
	EXPECT_TRUE(refused_by_quota(self->fd, 1, 0));
	ASSERT_OK(free_handle(self->fd, req.handle));
	req = request(FILE_BYTES - PAGE);
	ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
	ASSERT_OK(free_handle(self->fd, req.handle));
	ASSERT_OK(alloc_block(self->fd, FILE_BYTES, &req));
}

TEST_F(node, H04_blocks_of_a_file)
{
	struct buddy_pool_alloc block;

	for (int i = 0; i < FILE_BLOCKS; i++)
		ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_TRUE(refused_by_quota(self->fd, 1, 0));
	ASSERT_OK(free_handle(self->fd, block.handle));
	EXPECT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_TRUE(refused_by_quota(self->fd, 1, 0));
}

TEST_F(node, H04_B43_batches_count_all_or_nothing)
{
	struct buddy_pool_block blocks[FILE_BLOCKS + 1];
	struct buddy_pool_alloc block;
	__u32 reason;

	EXPECT_ERR(EDQUOT, alloc_batch(self->fd, blocks, FILE_BLOCKS + 1, &reason));
	EXPECT_EQ(BUDDY_POOL_REASON_QUOTA, reason);
	EXPECT_EQ(0, bytes_in_use());
	EXPECT_OK(alloc_batch(self->fd, blocks, FILE_BLOCKS, &reason));
	EXPECT_TRUE(refused_by_quota(self->fd, 1, 0));
	EXPECT_ERR(EDQUOT, alloc_batch(self->fd, blocks, 1, &reason));
	ASSERT_OK(free_handle(self->fd, blocks[0].handle));
	EXPECT_OK(alloc_block(self->fd, PAGE, &block));
}

/* What is left is bytes; none, if it is the number of blocks that is too great. */
TEST_F(node, H03_H04_B43_refused_batches_tell_what_is_left)
{
	struct buddy_pool_alloc block;

	EXPECT_TRUE(batch_refused_by_quota(self->fd, PAGE, FILE_BLOCKS + 1, 0));
	EXPECT_TRUE(batch_refused_by_quota(self->fd, FILE_BYTES, 2, FILE_BYTES));
	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_TRUE(batch_refused_by_quota(self->fd, PAGE, FILE_BLOCKS, 0));
	EXPECT_TRUE(batch_refused_by_quota(self->fd, FILE_BYTES / 2, 2, FILE_BYTES - PAGE));
}

TEST_F(node, H03_H04_quota_of_a_user_over_open_files)
{
	struct buddy_pool_alloc first, second;
	struct buddy_pool_block blocks[FILE_BLOCKS];
	__u32 reason;

	ASSERT_OK(alloc_block(self->fd, FILE_BYTES, &first));
	EXPECT_TRUE(refused_by_quota(self->other, FILE_BYTES, USER_BYTES - FILE_BYTES));
	ASSERT_OK(alloc_block(self->other, USER_BYTES - FILE_BYTES, &second));
	EXPECT_TRUE(refused_by_quota(self->other, 1, 0));
	ASSERT_OK(free_handle(self->fd, first.handle));
	ASSERT_OK(free_handle(self->other, second.handle));
	ASSERT_OK(alloc_batch(self->fd, blocks, FILE_BLOCKS, &reason));
	EXPECT_ERR(EDQUOT, alloc_batch(self->other, blocks, USER_BLOCKS - FILE_BLOCKS + 1,
				       &reason));
	EXPECT_OK(alloc_batch(self->other, blocks, USER_BLOCKS - FILE_BLOCKS, &reason));
	EXPECT_TRUE(refused_by_quota(self->other, 1, 0));
	/* Closing gives it back to the user. */
	close(self->fd);
	EXPECT_OK(alloc_batch(self->other, blocks, 1, &reason));
	self->fd = open_node(O_RDWR);
}

/* The user is the one who opened the file, not the one who uses it. */
TEST_F(node, H03_D20_users_do_not_share)
{
	struct buddy_pool_alloc block;
	int status;
	pid_t pid;

	ASSERT_EQ(0, chmod(node_path(), 0666));
	ASSERT_OK(alloc_block(self->fd, FILE_BYTES, &block));
	ASSERT_OK(alloc_block(self->other, USER_BYTES - FILE_BYTES, &block));
	pid = fork();
	if (!pid) {
		int fd;

		if (setuid(65534))
			_exit(1);
		if (!refused_by_quota(self->other, 1, 0))
			_exit(2);
		fd = open_node(O_RDWR);
		_exit(alloc_block(fd, FILE_BYTES, &block) ? 3 : 0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	chmod(node_path(), 0600);
}

/* In the first process of a namespace: may two of its users have all that a file may? */
static int two_users_have_all(void)
{
	struct buddy_pool_alloc block;
	int status, fd, err;
	pid_t pid;

	fd = open_node(O_RDWR);
	if (alloc_block(fd, FILE_BYTES, &block))
		return 2;
	pid = fork();
	if (!pid) {
		if (setuid(1))
			_exit(3);
		fd = open_node(O_RDWR);
		err = alloc_block(fd, FILE_BYTES, &block);
		_exit(!err ? 1 : err == -EDQUOT ? 0 : 4);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 5;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return good;
}

/* two_users_have_all() in a namespace that @owner has made; 9 if there are none */
static int users_in_namespace_of(uid_t owner)
{
	char path[32], map[64], c = 0;
	int made[2], mapped[2], status;
	pid_t pid;

	if (pipe(made) || pipe(mapped))
		return 8;
	pid = fork();
	if (!pid) {
		if (setuid(owner) || unshare(CLONE_NEWUSER))
			_exit(9);
		_exit(write(made[1], &c, 1) != 1 || read(mapped[0], &c, 1) != 1 || c ?
			      7 :
			      two_users_have_all());
	}
	close(made[1]);
	/* As newuidmap does it, for who has ids in /etc/subuid */
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	snprintf(map, sizeof(map), "0 %u 1\n1 100000 100\n", owner);
	if (read(made[0], &c, 1) == 1)
		c = !write_file(path, map);
	if (write(mapped[1], &c, 1) != 1)
		kill(pid, SIGKILL);
	close(made[0]);
	close(mapped[0]);
	close(mapped[1]);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 8;
}

/* Who has ids of his own to give away gets no more for it; but root may give some away. */
TEST_F(node, H03_users_of_a_namespace_are_one_user)
{
	int both;

	ASSERT_EQ(0, chmod(node_path(), 0666));
	both = users_in_namespace_of(1000);
	if (both == 9)
		SKIP(return, "this kernel has no user namespaces");
	EXPECT_EQ(0, both);
	EXPECT_EQ(1, users_in_namespace_of(0));
	chmod(node_path(), 0600);
}

TEST_F(node, H03_D17_the_quota_of_the_killed_comes_back)
{
	struct buddy_pool_alloc block;
	int ready[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	for (int i = 0; i < 20; i++) {
		pid = fork();
		if (!pid) {
			int fd = open_node(O_RDWR);
			bool has_it = !alloc_block(fd, FILE_BYTES, &block) &&
				      map_block(fd, &block) != MAP_FAILED;

			_exit(write(ready[1], has_it ? "y" : "n", 1) != 1 || pause());
		}
		ASSERT_EQ(1, read(ready[0], &c, 1));
		ASSERT_EQ('y', c);
		EXPECT_TRUE(refused_by_quota(self->fd, FILE_BYTES, USER_BYTES - FILE_BYTES));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		ASSERT_OK(alloc_block(self->fd, FILE_BYTES, &block));
		ASSERT_OK(free_handle(self->fd, block.handle));
	}
}

/* Refusals of every other kind leave no charge behind. */
TEST_F(node, H03_refused_requests_are_not_charged)
{
	struct buddy_pool_block *bad = (void *)-PAGE;
	struct buddy_pool_alloc req, taken, *page;
	__u32 reason;

	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*page = request(MIB / 2);
	mprotect(page, PAGE, PROT_READ);
	ASSERT_OK(alloc_at(self->other, 0, PAGE, &taken));
	for (int i = 0; i < 100; i++) {
		ASSERT_ERR(EFAULT, call(self->fd, BUDDY_POOL_ALLOC, page));
		ASSERT_ERR(EFAULT, alloc_batch(self->fd, bad, 10, &reason));
		ASSERT_ERR(ENOSPC, alloc_at(self->fd, 0, MIB / 2, &req));
		req = request(MIB / 2);
		req.align = 3;
		ASSERT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req));
		req = request(MIB / 2);
		req.start = 1ULL << 40;
		ASSERT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req));
	}
	EXPECT_OK(alloc_block(self->fd, FILE_BYTES, &req));
}

/* Who is refused by a quota is not told to wait for space. */
TEST_F(node, H03_F25_poll_does_not_wait_for_quota)
{
	struct pollfd p = { .fd = self->fd, .events = POLLIN };

	ASSERT_TRUE(refused_by_quota(self->fd, FILE_BYTES + 1, FILE_BYTES));
	EXPECT_EQ(1, poll(&p, 1, 0));
}

static int shared_fd;

static void *take_all_there_is(void *arg)
{
	struct buddy_pool_alloc block;
	long n = 0;

	while (!alloc_block(shared_fd, PAGE, &block))
		n++;
	return (void *)n;
}

TEST_F(node, H04_F02_threads_do_not_get_past_a_quota)
{
	pthread_t threads[4];
	long total;
	void *n;

	for (int round = 0; round < 100; round++) {
		shared_fd = open_node(O_RDWR);
		for (int i = 0; i < 4; i++)
			pthread_create(&threads[i], NULL, take_all_there_is, NULL);
		total = 0;
		for (int i = 0; i < 4; i++) {
			pthread_join(threads[i], &n);
			total += (long)n;
		}
		ASSERT_EQ(FILE_BLOCKS, total);
		close(shared_fd);
	}
}

TEST_HARNESS_MAIN

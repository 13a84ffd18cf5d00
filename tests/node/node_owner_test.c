// SPDX-License-Identifier: GPL-2.0
/* Who owns a block, when it goes back, and that nobody sees what was in it. */
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "node.h"

#define POOL	(64 * MIB)

TEST_F(node, D01_close_with_many_blocks)
{
	static const int counts[] = { 0, 1, 10000 };
	struct buddy_pool_alloc block;

	for (int i = 0; i < 3; i++) {
		int fd = open_node(O_RDWR);

		for (int n = 0; n < counts[i]; n++)
			ASSERT_OK(alloc_block(fd, PAGE, &block));
		EXPECT_EQ(counts[i] * PAGE, bytes_in_use());
		close(fd);
		EXPECT_EQ(0, bytes_in_use());
	}
}

/* Ends as @how says, with blocks of its own, mapped and not. */
static void end_with_blocks(int how)
{
	int fd = open_node(O_RDWR);
	struct buddy_pool_alloc block;
	char *p = NULL;

	for (int n = 0; n < 10; n++) {
		if (alloc_block(fd, 64 << 10, &block))
			_exit(99);
		p = map_block(fd, &block);
		memset(p, 0xdd, block.granted);
	}
	free_handle(fd, block.handle);
	if (how == 0)
		exit(0);
	if (how == SIGSEGV && !munmap(p, block.granted))
		_exit(*p);
	kill(getpid(), how);
	pause();
}

TEST_F(node, D02_every_end_of_a_process_gives_blocks_back)
{
	static const int ends[] = { 0, SIGKILL, SIGSEGV, SIGABRT, SIGTERM };
	int status;
	pid_t pid;

	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++) {
		pid = fork();
		if (!pid)
			end_with_blocks(ends[i]);
		waitpid(pid, &status, 0);
		EXPECT_EQ(ends[i], WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		EXPECT_EQ(0, bytes_in_use());
	}
}

TEST_F(node, D03_blocks_live_until_the_last_duplicate_is_closed)
{
	struct buddy_pool_alloc block;
	int fds[3];

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	fds[0] = dup(self->fd);
	fds[1] = fcntl(self->fd, F_DUPFD_CLOEXEC, 100);
	fds[2] = dup3(self->fd, 200, O_CLOEXEC);
	close(self->fd);
	self->fd = open_node(O_RDWR);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(PAGE, bytes_in_use());
		EXPECT_EQ(0, close(fds[i]));
	}
	EXPECT_EQ(0, bytes_in_use());
}

/* A child that keeps what it inherits until it is killed */
static pid_t fork_holder(void)
{
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	return pid;
}

static void reap(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_F(node, D04_blocks_live_until_parent_and_child_are_gone)
{
	struct buddy_pool_alloc block;
	pid_t pid;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	pid = fork_holder();
	reap(pid);
	EXPECT_EQ(PAGE, bytes_in_use());
	pid = fork_holder();
	close(self->fd);
	EXPECT_EQ(PAGE, bytes_in_use());
	reap(pid);
	EXPECT_EQ(0, bytes_in_use());
	self->fd = open_node(O_RDWR);
}

TEST_F(node, D05_a_child_may_free_what_it_inherited)
{
	struct buddy_pool_alloc block;
	int status;
	pid_t pid;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	pid = fork();
	if (!pid)
		_exit(-free_handle(self->fd, block.handle));
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_ERR(ENOENT, free_handle(self->fd, block.handle));
	EXPECT_EQ(0, bytes_in_use());
}

/* A child that becomes a shell, which runs until its input ends */
static pid_t exec_holder(int input[2])
{
	pid_t pid = fork();

	if (!pid) {
		dup2(input[0], STDIN_FILENO);
		close(input[1]);
		execl("/bin/sh", "sh", "-c", "echo; read x", NULL);
		_exit(99);
	}
	return pid;
}

static bool becomes(__u64 bytes)
{
	for (int i = 0; i < 500 && bytes_in_use() != bytes; i++)
		usleep(10000);
	return bytes_in_use() == bytes;
}

TEST_F(node, D06_exec_keeps_the_file_unless_told_not_to)
{
	struct buddy_pool_alloc block;
	int input[2];
	pid_t pid;

	for (int keep = 0; keep < 2; keep++) {
		ASSERT_OK(alloc_block(self->fd, PAGE, &block));
		ASSERT_EQ(0, fcntl(self->fd, F_SETFD, keep ? 0 : FD_CLOEXEC));
		ASSERT_EQ(0, pipe2(input, 0));
		pid = exec_holder(input);
		close(self->fd);
		if (keep)
			usleep(300000);
		EXPECT_TRUE(becomes(keep ? PAGE : 0));
		close(input[0]);
		close(input[1]);
		waitpid(pid, NULL, 0);
		EXPECT_EQ(0, bytes_in_use());
		self->fd = open_node(O_RDWR);
	}
}

static int send_fd(int sock, int fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.room, .msg_controllen = sizeof(control.room),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int sock)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.room, .msg_controllen = sizeof(control.room),
	};
	int fd;

	if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* The sender is a child, so that it is really gone when the receiver looks. */
TEST_F(node, D07_a_file_that_was_sent_belongs_to_the_receiver)
{
	struct buddy_pool_alloc block;
	int sockets[2], fd;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		SKIP(return, "this kernel has no unix sockets");
	pid = fork();
	if (!pid) {
		fd = open_node(O_RDWR);
		_exit(alloc_block(fd, PAGE, &block) || block.handle != 1 ||
		      send_fd(sockets[0], fd));
	}
	waitpid(pid, NULL, 0);
	EXPECT_EQ(PAGE, bytes_in_use());
	fd = receive_fd(sockets[1]);
	ASSERT_LE(0, fd);
	EXPECT_EQ(PAGE, bytes_in_use());
	EXPECT_OK(free_handle(fd, 1));
	EXPECT_EQ(0, bytes_in_use());
	close(fd);
	close(sockets[0]);
	close(sockets[1]);
}

/* A file that only its own undelivered message refers to: the kernel's gc frees it. */
TEST_F(node, D09_a_cycle_of_sockets_is_collected)
{
	struct buddy_pool_alloc block;
	int sockets[2], fd = open_node(O_RDWR);

	ASSERT_OK(alloc_block(fd, PAGE, &block));
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets))
		SKIP(return, "this kernel has no unix sockets");
	ASSERT_OK(send_fd(sockets[0], fd));
	ASSERT_OK(send_fd(sockets[0], sockets[0]));
	ASSERT_OK(send_fd(sockets[0], sockets[1]));
	close(fd);
	close(sockets[0]);
	close(sockets[1]);
	/* Closing a unix socket is what starts the collection. */
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets));
	close(sockets[0]);
	close(sockets[1]);
	EXPECT_TRUE(becomes(0));
}

TEST_F(node, D13_open_files_have_handles_of_their_own)
{
	struct buddy_pool_alloc a, b;

	ASSERT_OK(alloc_block(self->fd, PAGE, &a));
	ASSERT_OK(alloc_block(self->other, PAGE, &b));
	EXPECT_EQ(a.handle, b.handle);
	EXPECT_NE(a.offset, b.offset);
	EXPECT_OK(free_handle(self->fd, a.handle));
	EXPECT_EQ(PAGE, bytes_in_use());
	EXPECT_ERR(ENOENT, free_handle(self->fd, a.handle));
	EXPECT_OK(free_handle(self->other, b.handle));
}

TEST_F(node, D17_killed_at_any_moment)
{
	struct buddy_pool_alloc block;
	unsigned int seed = getpid();
	pid_t pid;

	TH_LOG("seed %u", seed);
	for (int round = 0; round < 100; round++) {
		pid = fork();
		if (!pid) {
			int fd = open_node(O_RDWR);

			for (;;) {
				if (!alloc_block(fd, 1 << (rand_r(&seed) % 20), &block))
					*(char *)map_block(fd, &block) = 1;
				free_handle(fd, 1 + rand_r(&seed) % block.handle);
			}
		}
		usleep(rand_r(&seed) % 20000);
		reap(pid);
		ASSERT_EQ(0, bytes_in_use());
	}
}

/*
 * A node may be anywhere, also in a file system that goes away before the module
 * does; and open files work on without a name.
 */
TEST_F(node, D18_the_file_system_of_a_node_is_unmounted)
{
	struct buddy_pool_alloc block;
	struct stat st;
	int fd;

	ASSERT_EQ(0, stat(node_path(), &st));
	mkdir("/tmp/nodes", 0700);
	ASSERT_EQ(0, mount("nodes", "/tmp/nodes", "tmpfs", 0, NULL));
	ASSERT_EQ(0, mknod("/tmp/nodes/n", S_IFCHR | 0600, st.st_rdev));
	fd = open("/tmp/nodes/n", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, unlink("/tmp/nodes/n"));
	ASSERT_OK(alloc_block(fd, PAGE, &block));
	ASSERT_NE(MAP_FAILED, map_block(fd, &block));
	*(char *)map_block(fd, &block) = 1;
	ASSERT_EQ(0, munmap(map_block(fd, &block), PAGE));
	close(fd);
	/* The mappings hold the file. */
	EXPECT_EQ(-1, umount("/tmp/nodes"));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(0, umount2("/tmp/nodes", MNT_DETACH));
}

/* What another open file wrote, and left by how it ended, is gone. */
TEST_F(node, I02_a_killed_process_leaves_no_data)
{
	struct buddy_pool_alloc block;
	int ready[2];
	pid_t pid;
	char *p, c;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		close(self->fd);
		close(self->other);
		alloc_at(open_node(O_RDWR), MIB, MIB, &block);
		self->fd = open_node(O_RDWR);
		alloc_at(self->fd, 4 * MIB, MIB, &block);
		memset(map_block(self->fd, &block), 0xab, MIB);
		c = write(ready[1], "x", 1);
		pause();
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	reap(pid);
	ASSERT_OK(alloc_at(self->fd, 4 * MIB, MIB, &block));
	p = map_block(self->fd, &block);
	EXPECT_TRUE(all_bytes_are(p, MIB, 0));
}

/* Fills all of the memory, for I05 after the module has been loaded again. */
TEST_F(node, I05_fill)
{
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(alloc_block(self->fd, POOL, &block));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(all_bytes_are(p, POOL, 0));
	memset(p, 0xa5, POOL);
}

TEST_F(node, I05_what_the_memory_held_before_is_not_shown)
{
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(alloc_block(self->fd, POOL, &block));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(all_bytes_are(p, POOL, 0));
	/* For who has it next, also in another kernel: tests/vm/kexec.sh */
	memset(p, 0xa5, POOL);
}

TEST_F(node, I10_answers_tell_no_physical_address)
{
	struct buddy_pool_alloc block;
	unsigned long long start, last;
	FILE *f = fopen("/proc/iomem", "r");
	int claims = 0;
	char line[256];

	ASSERT_OK(alloc_at(self->fd, 8 * MIB, PAGE, &block));
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, ": buddy_pool") || sscanf(line, "%llx-%llx", &start, &last) != 2)
			continue;
		claims++;
		EXPECT_FALSE(block.map_offset >= start && block.map_offset <= last);
		EXPECT_FALSE(block.offset >= start && block.offset <= last);
		EXPECT_FALSE(block.handle >= start && block.handle <= last);
	}
	fclose(f);
	EXPECT_LT(0, claims);
}

TEST_HARNESS_MAIN

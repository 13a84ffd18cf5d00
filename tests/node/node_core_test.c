// SPDX-License-Identifier: GPL-2.0
/* What the kernel's other calls make of the node, its open files and its mappings. */
#include <dirent.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "node.h"

#define POOL	(64 * MIB)
#define RW	(PROT_READ | PROT_WRITE)

/* A block of four pages, mapped, and all bytes 0x41 */
static char *four_pages(int fd, struct buddy_pool_alloc *block)
{
	char *p;

	if (alloc_block(fd, 4 * PAGE, block))
		return NULL;
	p = map_block(fd, block);
	if (p == MAP_FAILED)
		return NULL;
	memset(p, 0x41, 4 * PAGE);
	return p;
}

static bool untouched(const char *p)
{
	return all_bytes_are(p, 4 * PAGE, 0x41);
}

/*
 * The node
 */

TEST_F(node, B61_open_flags)
{
	static const struct {
		int flags;
		int err;
	} opens[] = {
		{ O_RDWR | O_CREAT, 0 }, { O_RDWR | O_CREAT | O_EXCL, EEXIST },
		{ O_RDWR | O_TRUNC, 0 }, { O_RDWR | O_DIRECTORY, ENOTDIR },
		{ O_RDWR | O_NOFOLLOW, 0 }, { O_RDWR | O_TMPFILE, ENOTDIR },
		{ O_RDWR | O_NONBLOCK, 0 }, { O_RDWR | O_APPEND, 0 }, { O_RDWR | O_SYNC, 0 },
	};
	struct buddy_pool_alloc block;

	for (unsigned int i = 0; i < ARRAY_SIZE(opens); i++) {
		int fd = open(node_path(), opens[i].flags, 0600);

		EXPECT_EQ(opens[i].err, fd < 0 ? errno : 0) {
			TH_LOG("open %u", i);
		}
		if (fd < 0)
			continue;
		EXPECT_OK(alloc_block(fd, PAGE, &block));
		close(fd);
	}
	EXPECT_EQ(0, bytes_in_use());
}

TEST_F(node, B62_minors_that_are_none)
{
	struct stat st;
	int found = 0;

	ASSERT_EQ(0, stat(node_path(), &st));
	for (unsigned int minor = 300; minor < 1000 && found < 10; minor += 77) {
		ASSERT_EQ(0, mknod("/tmp/none", S_IFCHR | 0600, makedev(major(st.st_rdev), minor)));
		EXPECT_EQ(-1, open("/tmp/none", O_RDWR));
		EXPECT_TRUE(errno == ENODEV || errno == ENXIO);
		unlink("/tmp/none");
		found++;
	}
}

TEST_F(node, D19_old_files_keep_their_rights)
{
	struct buddy_pool_alloc block;
	int status;
	pid_t pid;

	ASSERT_EQ(0, chmod(node_path(), 0));
	EXPECT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_NE(MAP_FAILED, map_block(self->fd, &block));
	pid = fork();
	if (!pid)
		_exit(setuid(65534) || open_node(O_RDWR) >= 0 || errno != EACCES);
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, chmod(node_path(), 0600));
}

TEST_F(node, H06_no_more_open_files)
{
	struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };
	struct buddy_pool_alloc block;
	int fd, n = 0;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	while ((fd = open_node(O_RDWR)) >= 0) {
		ASSERT_OK(alloc_block(fd, PAGE, &block));
		ASSERT_GT(64, ++n);
	}
	EXPECT_EQ(EMFILE, errno);
	EXPECT_OK(alloc_block(self->fd, PAGE, &block));
}

TEST_F(node, I15_uevent_tells_no_address)
{
	char path[256], text[1024];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/misc/buddy_pool-%s/uevent", self->info.name);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	while (fgets(text, sizeof(text), f))
		EXPECT_TRUE(!strncmp(text, "MAJOR=", 6) || !strncmp(text, "MINOR=", 6) ||
			    !strncmp(text, "DEVNAME=buddy_pool/", 19) ||
			    !strncmp(text, "DEVMODE=", 8));
	fclose(f);
}

TEST_F(node, I14_iomem_tells_nobody_else)
{
	unsigned long long start, last;
	int status;
	pid_t pid = fork();

	if (!pid) {
		char line[256];
		FILE *f;

		if (setuid(65534))
			_exit(1);
		f = fopen("/proc/iomem", "r");
		while (f && fgets(line, sizeof(line), f))
			if (strstr(line, "buddy_pool") &&
			    sscanf(line, "%llx-%llx", &start, &last) == 2 && (start || last))
				_exit(2);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
}

/* Is there a line in the kernel log that was not read from @log before? */
static bool new_log_line(int log)
{
	char line[1024];

	return read(log, line, sizeof(line)) > 0;
}

TEST_F(node, H11_I09_no_log_line_for_what_users_do_wrong)
{
	struct buddy_pool_alloc none;
	int log = open("/dev/kmsg", O_RDWR | O_NONBLOCK);

	ASSERT_EQ(0, lseek(log, 0, SEEK_END));
	for (int i = 1; i <= 25000; i++) {
		ASSERT_ERR(EINVAL, alloc_block(self->fd, POOL + i, &none));
		ASSERT_ERR(ENOENT, free_handle(self->fd, i));
		ASSERT_ERR(EFAULT, call(self->fd, BUDDY_POOL_INFO, NULL));
		ASSERT_ERR(ENOTTY, call(self->fd, _IO(BUDDY_POOL_IOCTL_TYPE, 0xff), NULL));
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, RW, MAP_PRIVATE, self->fd, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, RW, MAP_SHARED, self->fd, 0));
	EXPECT_FALSE(new_log_line(log));
	/* One would have been seen. */
	ASSERT_EQ(5, write(log, "H11.\n", 5));
	EXPECT_TRUE(new_log_line(log));
}

TEST_F(node, I11_handles_are_small_numbers)
{
	struct buddy_pool_alloc block;

	for (__u32 i = 1; i < 100; i++) {
		ASSERT_OK(alloc_block(self->fd, PAGE, &block));
		EXPECT_EQ(i, block.handle);
	}
}

/* A checkerboard takes half of the pool, and the other half is no use for more. */
TEST_F(node, H16_fragmentation_by_one_is_bounded_by_its_share)
{
	struct buddy_pool_alloc block, req;
	__u32 n = 0;

	for (__u64 offset = 0; offset < POOL; offset += 2 * PAGE, n++)
		ASSERT_OK(alloc_at(self->other, offset, PAGE, &block));
	req = request(2 * PAGE);
	req.align = 1;
	EXPECT_ERR(ENOSPC, call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_FRAGMENTED, req.reason);
	EXPECT_EQ(PAGE, req.largest);
	for (__u32 i = 0; i < n; i++)
		ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_EQ(0, get_stats(self->fd).free);
	close(self->other);
	self->other = open_node(O_RDWR);
	close(self->fd);
	self->fd = open_node(O_RDWR);
	EXPECT_OK(alloc_block(self->fd, POOL, &block));
}

/*
 * Open files
 */

TEST_F(node, D11_in_an_epoll_set)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct buddy_pool_alloc block;
	int ep = epoll_create1(0), fd = open_node(O_RDWR);

	if (ep < 0)
		SKIP(return, "this kernel has no epoll");
	ASSERT_OK(alloc_block(fd, PAGE, &block));
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
	EXPECT_EQ(1, epoll_wait(ep, &event, 1, 0));
	close(fd);
	EXPECT_EQ(0, bytes_in_use());
	EXPECT_EQ(0, epoll_wait(ep, &event, 1, 0));
	close(ep);
}

TEST_F(node, D10_in_an_io_uring)
{
	struct io_uring_params params = { .flags = 0 };
	struct buddy_pool_alloc block;
	int ring, fd = open_node(O_RDWR);
	bool gone = false;

	ring = syscall(__NR_io_uring_setup, 4, &params);
	if (ring < 0)
		SKIP(return, "this kernel has no io_uring");
	ASSERT_OK(alloc_block(fd, PAGE, &block));
	ASSERT_EQ(0, syscall(__NR_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1));
	close(fd);
	EXPECT_EQ(PAGE, bytes_in_use());
	close(ring);
	for (int i = 0; i < 500 && !gone; i++) {
		gone = !bytes_in_use();
		usleep(10000);
	}
	EXPECT_TRUE(gone);
}

TEST_F(node, B52_a_traced_process)
{
	struct buddy_pool_alloc block;
	int status;
	pid_t pid = fork();

	if (!pid) {
		for (;;)
			if (!alloc_block(self->fd, 64 << 10, &block))
				free_handle(self->fd, block.handle);
	}
	for (int i = 0; i < 50; i++) {
		if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
			SKIP(goto out, "this kernel has no ptrace");
		ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, pid, NULL, NULL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status));
		/* It holds no lock now that we need. */
		ASSERT_OK(alloc_block(self->fd, PAGE, &block));
		ASSERT_OK(free_handle(self->fd, block.handle));
		ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
	}
out:
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/*
 * Mappings
 */

TEST_F(node, C12_offsets_at_random)
{
	struct buddy_pool_alloc block;
	unsigned int seed = getpid();
	__u64 offset;
	void *p;

	TH_LOG("seed %u", seed);
	ASSERT_OK(alloc_at(self->fd, 16 * MIB, 16 * PAGE, &block));
	for (int i = 0; i < 20000; i++) {
		offset = (__u64)rand_r(&seed) << 32 | rand_r(&seed);
		offset = offset << rand_r(&seed) % 32 >> rand_r(&seed) % 64 & -PAGE;
		p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, offset);
		ASSERT_EQ(offset >= block.offset && offset < block.offset + 16 * PAGE,
			  p != MAP_FAILED) {
			TH_LOG("offset %#llx", offset);
		}
		if (p != MAP_FAILED)
			munmap(p, PAGE);
	}
}

static int end_of_clone(void *p)
{
	return *(char *)p != 0x41;
}

/* A process that shares the memory, and ends first */
TEST_F(node, C38_processes_that_share_all_memory)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct buddy_pool_alloc block;
	char *p = four_pages(self->fd, &block);
	int status;
	pid_t pid;

	ASSERT_NE(NULL, p);
	pid = clone(end_of_clone, stack + sizeof(stack), CLONE_VM | SIGCHLD, p);
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	pid = vfork();
	if (!pid)
		_exit(*p != 0x41);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(untouched(p));
	EXPECT_OK(free_handle(self->fd, block.handle));
	EXPECT_EQ(4 * PAGE, get_stats(self->fd).held);
	EXPECT_EQ(0, munmap(p, 4 * PAGE));
	EXPECT_EQ(0, bytes_in_use());
}

/* exec() ends mappings, also those of blocks that were freed. */
TEST_F(node, C39_exec_unmaps)
{
	struct buddy_pool_alloc block;
	int ready[2], go[2], status;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	pid = fork();
	if (!pid) {
		int fd = open_node(O_RDWR);

		if (!four_pages(fd, &block) || free_handle(fd, block.handle))
			_exit(1);
		dup2(go[0], STDIN_FILENO);
		close(go[1]);
		if (write(ready[1], "x", 1) != 1 || read(STDIN_FILENO, &c, 1) != 1)
			_exit(2);
		execl("/bin/sh", "sh", "-c", "read x", NULL);
		_exit(3);
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	EXPECT_EQ(4 * PAGE, bytes_in_use());
	ASSERT_EQ(1, write(go[1], "x", 1));
	for (int i = 0; i < 500 && bytes_in_use(); i++)
		usleep(10000);
	EXPECT_EQ(0, bytes_in_use());
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

#ifndef __NR_mseal
#define __NR_mseal	462
#endif

TEST_F(node, C45_sealed_mappings)
{
	struct buddy_pool_alloc block;
	int status;
	pid_t pid = fork();

	if (!pid) {
		char *p = four_pages(open_node(O_RDWR), &block);

		if (!p)
			_exit(1);
		if (syscall(__NR_mseal, p, 4 * PAGE, 0))
			_exit(77);
		_exit(!munmap(p, 4 * PAGE) || errno != EPERM || !untouched(p));
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, bytes_in_use());
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP(return, "this kernel can't seal mappings");
	EXPECT_EQ(0, status);
}

TEST_F(node, C46_placement_calls)
{
	unsigned long mask = 1;
	struct buddy_pool_alloc block;
	char *p = four_pages(self->fd, &block);
	void *pages[1];
	int node = 0, state;

	ASSERT_NE(NULL, p);
	pages[0] = p;
	syscall(__NR_remap_file_pages, p, PAGE, 0, 1, 0);
	syscall(__NR_mbind, p, 4 * PAGE, 2, &mask, 8 * sizeof(mask), 3);
	syscall(__NR_move_pages, 0, 1, pages, &node, &state, 0);
	syscall(__NR_migrate_pages, 0, 8 * sizeof(mask), &mask, &mask);
	EXPECT_EQ(0x41, p[PAGE]);
	EXPECT_EQ(0x41, p[3 * PAGE]);
}

TEST_F(node, C47_userfaultfd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct buddy_pool_alloc block;
	char *p = four_pages(self->fd, &block);
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	ASSERT_NE(NULL, p);
	if (uffd < 0)
		SKIP(return, "this kernel has no userfaultfd");
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)p;
	reg.range.len = 4 * PAGE;
	EXPECT_EQ(-1, ioctl(uffd, UFFDIO_REGISTER, &reg));
	EXPECT_TRUE(untouched(p));
	close(uffd);
}

/* Without an access method in vm_ops nobody gets at it that way. */
TEST_F(node, C48_memory_of_another_process)
{
	struct buddy_pool_alloc block;
	char *p = four_pages(self->fd, &block), byte;
	struct iovec local = { .iov_base = &byte, .iov_len = 1 };
	struct iovec remote = { .iov_base = p, .iov_len = 1 };
	int fd = open("/proc/self/mem", O_RDWR);

	ASSERT_NE(NULL, p);
	EXPECT_EQ(-1, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(-1, pread(fd, &byte, 1, (uintptr_t)p));
	EXPECT_EQ(-1, pwrite(fd, "x", 1, (uintptr_t)p));
	EXPECT_TRUE(untouched(p));
	close(fd);
}

TEST_F(node, C49_calls_that_want_pages)
{
	struct buddy_pool_alloc block;
	char *p = four_pages(self->fd, &block);
	struct iovec iov = { .iov_base = p, .iov_len = PAGE };
	int ends[2];

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, pipe(ends));
	EXPECT_EQ(-1, vmsplice(ends[1], &iov, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	/* A futex between processes is a page, too: FUTEX_WAIT */
	EXPECT_EQ(-1, syscall(__NR_futex, p, 0, 0, NULL, NULL, 0));
	EXPECT_TRUE(errno == EFAULT || errno == EAGAIN);
	EXPECT_TRUE(untouched(p));
	close(ends[0]);
	close(ends[1]);
}

/* VmFlags in smaps: io, pf (no struct pages), dd (not dumped), de (does not grow) */
TEST_F(node, C51_I16_mappings_are_not_dumped)
{
	struct buddy_pool_alloc block;
	char *p = four_pages(self->fd, &block);
	bool here = false, seen = false;
	char line[512], start[32];
	FILE *f = fopen("/proc/self/smaps", "r");

	ASSERT_NE(NULL, p);
	if (!f)
		SKIP(return, "this kernel has no smaps");
	snprintf(start, sizeof(start), "%08lx-", (unsigned long)p);
	while (fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strstr(line, start))
			here = true;
		if (!here || strncmp(line, "VmFlags:", 8))
			continue;
		EXPECT_NE(NULL, strstr(line, " dd"));
		EXPECT_NE(NULL, strstr(line, " io"));
		EXPECT_NE(NULL, strstr(line, " pf"));
		EXPECT_NE(NULL, strstr(line, " de"));
		EXPECT_EQ(NULL, strstr(line, " me"));
		seen = true;
		break;
	}
	fclose(f);
	EXPECT_TRUE(seen);
}

/* Sets vm.max_map_count, and returns what it was, or 0. */
static unsigned int set_max_map_count(unsigned int count)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r+");
	unsigned int before = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%u", &before) != 1)
		before = 0;
	rewind(f);
	fprintf(f, "%u\n", count);
	return fclose(f) ? 0 : before;
}

/* As many as there may be; fewer than usual, since debug kernels check each. */
TEST_F(node, C54_very_many_mappings_of_one_block)
{
	struct buddy_pool_query q = { .size = sizeof(q) };
	struct buddy_pool_alloc block;
	unsigned int n = 0, before;
	char *last = NULL, *p;

	ASSERT_OK(alloc_block(self->fd, 4 * PAGE, &block));
	before = set_max_map_count(3000);
	if (!before)
		SKIP(return, "vm.max_map_count can't be set");
	/* Every other page, so that no two of them could be one */
	while ((p = mmap(NULL, PAGE, RW, MAP_SHARED, self->fd,
			 block.map_offset + n % 2 * 2 * PAGE)) != MAP_FAILED) {
		last = p;
		n++;
	}
	EXPECT_EQ(ENOMEM, errno);
	set_max_map_count(before);
	ASSERT_LT(2000, n);
	*last = 1;
	/* Not one more, and each of them counts. */
	ASSERT_EQ(0, munmap(last, PAGE));
	q.handle = block.handle;
	ASSERT_OK(call(self->fd, BUDDY_POOL_QUERY, &q));
	EXPECT_EQ(n - 1, q.mappings);
}

TEST_F(node, H10_address_space_limit)
{
	struct rlimit limit;
	struct buddy_pool_alloc block;
	void *p;

	ASSERT_OK(alloc_block(self->fd, 32 * MIB, &block));
	ASSERT_EQ(0, getrlimit(RLIMIT_AS, &limit));
	limit.rlim_cur = 16 * MIB;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	p = map_block(self->fd, &block);
	EXPECT_EQ(MAP_FAILED, p);
	EXPECT_EQ(ENOMEM, errno);
	limit.rlim_cur = limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	EXPECT_NE(MAP_FAILED, map_block(self->fd, &block));
	EXPECT_OK(free_handle(self->fd, block.handle));
}

TEST_F(node, I17_C10_a_read_only_file_sees_no_block)
{
	struct buddy_pool_alloc block;
	int fd = open_node(O_RDONLY);
	char *p = four_pages(self->fd, &block);

	ASSERT_NE(NULL, p);
	for (__u64 offset = 0; offset < 16 * PAGE; offset += PAGE) {
		EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, offset));
		EXPECT_EQ(EINVAL, errno);
	}
	close(fd);
}

/*
 * Calls at random
 */

static const __u64 values[] = {
	0, 1, 2, 4095, 4096, 4097, MIB, POOL - PAGE, POOL, POOL + 1, 0x7fffffff, 0x80000000,
	0xffffffff, 0x100000000, 1ULL << 47, 1ULL << 63, -4096ULL, ~0ULL,
};

/* Whatever happens, what is free, used, held and reserved is the whole. */
TEST_F_TIMEOUT(node, B59_calls_at_random, 600)
{
	static const unsigned short sizes[] = {
		sizeof(struct buddy_pool_info), sizeof(struct buddy_pool_alloc),
		sizeof(struct buddy_pool_free), sizeof(struct buddy_pool_stats),
		sizeof(struct buddy_pool_extents), sizeof(struct buddy_pool_query),
		sizeof(struct buddy_pool_list), sizeof(struct buddy_pool_range),
		sizeof(struct buddy_pool_range), sizeof(struct buddy_pool_phys),
		sizeof(struct buddy_pool_alloc_batch), sizeof(struct buddy_pool_free_batch),
	};
	unsigned int seed = getpid(), nr, size;
	struct buddy_pool_stats s;
	static __u64 arg[64], data[65536 * 9];

	TH_LOG("seed %u", seed);
	for (int i = 0; i < 100000; i++) {
		nr = rand_r(&seed) % ARRAY_SIZE(sizes);
		size = rand_r(&seed) % 8 ? sizes[nr] : rand_r(&seed) % 256;
		memset(arg, 0, sizeof(arg));
		for (unsigned int n = rand_r(&seed) % 4; n; n--)
			arg[rand_r(&seed) % (size / 8 + 1)] =
				values[rand_r(&seed) % ARRAY_SIZE(values)];
		/* Half of them have a chance to reach the entries. */
		if (rand_r(&seed) % 2)
			arg[nr == 4 ? 2 : nr == 10 ? 9 : 1] = (uintptr_t)data;
		memcpy(arg, &size, sizeof(size));
		/* What is reserved would stay. */
		if (nr == 7)
			continue;
		call(self->fd, _IOC(_IOC_READ | _IOC_WRITE, BUDDY_POOL_IOCTL_TYPE, nr, size), arg);
		if (i % 100 == 0) {
			s = get_stats(self->other);
			ASSERT_EQ(s.length, s.free + s.used + s.held + s.reserved);
			ASSERT_EQ(POOL, s.length);
		}
	}
}

TEST_HARNESS_MAIN

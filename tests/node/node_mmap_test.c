// SPDX-License-Identifier: GPL-2.0
/* Mappings: what may be mapped and how, and how long it stays. */
#include "node.h"

#define ANYWHERE	(16 * MIB)
#define LONG_BITS	(8 * sizeof(long))

/* A block of four pages, which the test's open file owns */
static int four_pages(int fd, struct buddy_pool_alloc *block)
{
	return alloc_at(fd, ANYWHERE, 4 * PAGE, block);
}

/* 0, or the errno of an mmap() that does not stay */
static int try_map(int fd, size_t length, int prot, int flags, __u64 offset)
{
	void *p = mmap(NULL, length, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, length);
	return 0;
}

#define RW	(PROT_READ | PROT_WRITE)

TEST_F(node, C01_C02_length_0_and_unaligned_offset_are_EINVAL)
{
	struct buddy_pool_alloc block;

	ASSERT_OK(four_pages(self->fd, &block));
	EXPECT_ERR(EINVAL, try_map(self->fd, 0, RW, MAP_SHARED, block.map_offset));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_SHARED, block.map_offset + 1));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_SHARED, block.map_offset + 2048));
}

TEST_F(node, C03_C05_C06_C07_parts_of_a_block)
{
	static const struct {
		unsigned long offset;
		unsigned long length;
		int err;
	} parts[] = {
		{ 0, 1, 0 }, { 0, PAGE - 1, 0 }, { 0, 4 * PAGE, 0 }, { 3 * PAGE, PAGE, 0 },
		{ PAGE, 3 * PAGE, 0 }, { 0, 4 * PAGE + 1, EINVAL }, { 0, 5 * PAGE, EINVAL },
		{ PAGE, 4 * PAGE, EINVAL }, { 3 * PAGE, 2 * PAGE, EINVAL },
		{ 4 * PAGE, PAGE, EINVAL }, { -PAGE, PAGE, EINVAL }, { -PAGE, 2 * PAGE, EINVAL },
	};
	struct buddy_pool_alloc block;

	ASSERT_OK(four_pages(self->fd, &block));
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		EXPECT_ERR(parts[i].err, try_map(self->fd, parts[i].length, RW, MAP_SHARED,
						 block.map_offset + parts[i].offset)) {
			TH_LOG("part %u", i);
		}
	}
}

TEST_F(node, C04_memory_holds_what_was_written)
{
	struct buddy_pool_alloc block;
	__u32 *p;

	ASSERT_OK(alloc_block(self->fd, MIB, &block));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	for (__u32 i = 0; i < MIB / 4; i++)
		p[i] = i * 2654435761U;
	ASSERT_EQ(0, munmap(p, MIB));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	for (__u32 i = 0; i < MIB / 4; i++)
		ASSERT_EQ(i * 2654435761U, p[i]);
}

/* Each page of the mapping is the right one. */
TEST_F(node, C04_a_part_shows_its_part)
{
	struct buddy_pool_alloc block;
	char *whole, *part;

	ASSERT_OK(four_pages(self->fd, &block));
	whole = map_block(self->fd, &block);
	part = mmap(NULL, PAGE, RW, MAP_SHARED, self->fd, block.map_offset + 2 * PAGE);
	ASSERT_NE(MAP_FAILED, part);
	memset(whole, 1, 4 * PAGE);
	memset(part, 2, PAGE);
	EXPECT_TRUE(all_bytes_are(whole, 2 * PAGE, 1));
	EXPECT_TRUE(all_bytes_are(whole + 2 * PAGE, PAGE, 2));
	EXPECT_TRUE(all_bytes_are(whole + 3 * PAGE, PAGE, 1));
}

TEST_F(node, C08_C09_offsets_and_lengths_that_overflow)
{
	static const __u64 offsets[] = { 1ULL << 63, -PAGE, 1ULL << 62, 1ULL << 47 };
	struct buddy_pool_alloc block;
	int err;

	ASSERT_OK(four_pages(self->fd, &block));
	for (unsigned int i = 0; i < ARRAY_SIZE(offsets); i++) {
		err = try_map(self->fd, 2 * PAGE, RW, MAP_SHARED, offsets[i]);
		EXPECT_TRUE(err == -EINVAL || err == -EOVERFLOW);
	}
	err = try_map(self->fd, 1UL << (LONG_BITS - 17), RW, MAP_SHARED, block.map_offset);
	EXPECT_TRUE(err == -ENOMEM || err == -EINVAL);
	err = try_map(self->fd, 1UL << (LONG_BITS - 1), RW, MAP_SHARED, block.map_offset);
	EXPECT_TRUE(err == -ENOMEM || err == -EINVAL || err == -EOVERFLOW);
}

TEST_F(node, C10_C13_what_is_no_block_of_this_file_is_EINVAL)
{
	struct buddy_pool_alloc own, freed, foreign;

	ASSERT_OK(alloc_at(self->fd, MIB, PAGE, &own));
	ASSERT_OK(alloc_at(self->fd, 2 * MIB, PAGE, &freed));
	ASSERT_OK(free_handle(self->fd, freed.handle));
	ASSERT_OK(alloc_at(self->other, 3 * MIB, PAGE, &foreign));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_SHARED, freed.map_offset));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_SHARED, foreign.map_offset));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, PROT_READ, MAP_SHARED, foreign.map_offset));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_SHARED, 4 * MIB));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_SHARED, 0));
	EXPECT_ERR(EINVAL, try_map(self->fd, self->info.length, RW, MAP_SHARED, 0));
	EXPECT_OK(try_map(self->fd, PAGE, RW, MAP_SHARED, own.map_offset));
}

TEST_F(node, C11_two_neighbours_are_not_one)
{
	struct buddy_pool_alloc first, second;

	ASSERT_OK(alloc_at(self->fd, MIB, PAGE, &first));
	ASSERT_OK(alloc_at(self->fd, MIB + PAGE, PAGE, &second));
	EXPECT_ERR(EINVAL, try_map(self->fd, 2 * PAGE, RW, MAP_SHARED, first.map_offset));
}

TEST_F(node, C14_C15_C16_private_mappings_are_EINVAL)
{
	struct buddy_pool_alloc block;
	int fd = open_node(O_RDONLY);

	ASSERT_OK(four_pages(self->fd, &block));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, PROT_READ, MAP_PRIVATE, block.map_offset));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_PRIVATE, block.map_offset));
	EXPECT_ERR(EINVAL, try_map(fd, PAGE, PROT_READ, MAP_PRIVATE, block.map_offset));
	close(fd);
}

TEST_F(node, C18_C19_files_that_may_not)
{
	struct buddy_pool_alloc block;
	int fd = open_node(O_RDONLY);

	EXPECT_ERR(EACCES, try_map(fd, PAGE, RW, MAP_SHARED, 0));
	EXPECT_ERR(EINVAL, try_map(fd, PAGE, PROT_READ, MAP_SHARED, 0));
	close(fd);
	fd = open_node(O_WRONLY);
	ASSERT_OK(four_pages(fd, &block));
	EXPECT_ERR(EACCES, try_map(fd, PAGE, PROT_WRITE, MAP_SHARED, block.map_offset));
	EXPECT_ERR(EACCES, try_map(fd, PAGE, PROT_NONE, MAP_SHARED, block.map_offset));
	close(fd);
}

TEST_F(node, C20_C21_no_code)
{
	struct buddy_pool_alloc block;
	void *p;

	ASSERT_OK(four_pages(self->fd, &block));
	EXPECT_ERR(EPERM, try_map(self->fd, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED,
				  block.map_offset));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(node, C23_C24_protections)
{
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(four_pages(self->fd, &block));
	p = mmap(NULL, PAGE, PROT_NONE, MAP_SHARED, self->fd, block.map_offset);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SIGSEGV, signal_of_reading(p));
	EXPECT_EQ(0, mprotect(p, PAGE, RW));
	*p = 1;
	EXPECT_EQ(1, *p);
	p = mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, self->fd, block.map_offset);
	ASSERT_NE(MAP_FAILED, p);
	*p = 2;
}

TEST_F(node, C25_C26_C27_kinds_of_mappings_that_are_refused)
{
	struct buddy_pool_alloc block;

	ASSERT_OK(four_pages(self->fd, &block));
	EXPECT_ERR(EOPNOTSUPP, try_map(self->fd, PAGE, RW, MAP_SHARED_VALIDATE | MAP_SYNC,
				       block.map_offset));
	EXPECT_OK(try_map(self->fd, PAGE, RW, MAP_SHARED_VALIDATE, block.map_offset));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_SHARED | MAP_HUGETLB,
				   block.map_offset));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_SHARED | MAP_GROWSDOWN,
				   block.map_offset));
}

TEST_F(node, C28_map_over_a_mapping)
{
	struct buddy_pool_alloc a, b;
	char *p;

	ASSERT_OK(alloc_at(self->fd, MIB, PAGE, &a));
	ASSERT_OK(alloc_at(self->fd, 2 * MIB, PAGE, &b));
	p = map_block(self->fd, &a);
	ASSERT_NE(MAP_FAILED, p);
	*p = 'a';
	EXPECT_EQ(MAP_FAILED, mmap(p, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, self->fd,
				   b.map_offset));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_OK(free_handle(self->fd, a.handle));
	EXPECT_EQ(PAGE, get_stats(self->fd).held);
	EXPECT_EQ(p, mmap(p, PAGE, RW, MAP_SHARED | MAP_FIXED, self->fd, b.map_offset));
	EXPECT_EQ(0, *p);
	EXPECT_EQ(0, get_stats(self->fd).held);
	EXPECT_EQ(PAGE, bytes_in_use());
}

TEST_F(node, C29_populate_and_lock)
{
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(four_pages(self->fd, &block));
	EXPECT_OK(try_map(self->fd, PAGE, RW, MAP_SHARED | MAP_POPULATE, block.map_offset));
	EXPECT_OK(try_map(self->fd, PAGE, RW, MAP_SHARED | MAP_LOCKED, block.map_offset));
	p = map_block(self->fd, &block);
	mlock(p, 4 * PAGE);
	munlock(p, 4 * PAGE);
	*p = 1;
	EXPECT_EQ(1, *p);
}

TEST_F(node, C31_unmap_twice)
{
	struct buddy_pool_alloc block;
	void *p;

	ASSERT_OK(four_pages(self->fd, &block));
	p = map_block(self->fd, &block);
	EXPECT_EQ(0, munmap(p, 4 * PAGE));
	EXPECT_EQ(0, munmap(p, 4 * PAGE));
	EXPECT_EQ(4 * PAGE, bytes_in_use());
}

TEST_F(node, C32_B29_a_freed_block_stays_until_it_is_unmapped)
{
	struct buddy_pool_alloc block, other;
	struct buddy_pool_stats stats;
	char *p;

	ASSERT_OK(four_pages(self->fd, &block));
	p = map_block(self->fd, &block);
	memset(p, 0x33, 4 * PAGE);
	EXPECT_OK(free_handle(self->fd, block.handle));
	EXPECT_ERR(ENOENT, free_handle(self->fd, block.handle));
	EXPECT_ERR(EINVAL, try_map(self->fd, PAGE, RW, MAP_SHARED, block.map_offset));
	stats = get_stats(self->other);
	EXPECT_EQ(0, stats.used);
	EXPECT_EQ(4 * PAGE, stats.held);
	EXPECT_ERR(ENOSPC, alloc_at(self->other, ANYWHERE, PAGE, &other));
	EXPECT_TRUE(all_bytes_are(p, 4 * PAGE, 0x33));
	EXPECT_EQ(0, munmap(p, PAGE));
	EXPECT_EQ(4 * PAGE, get_stats(self->other).held);
	EXPECT_EQ(0, munmap(p + PAGE, 3 * PAGE));
	EXPECT_EQ(0, bytes_in_use());
	EXPECT_OK(alloc_at(self->other, ANYWHERE, PAGE, &other));
}

TEST_F(node, C33_I01_the_next_owner_sees_zeros)
{
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(alloc_at(self->fd, ANYWHERE, MIB + 1, &block));
	p = map_block(self->fd, &block);
	memset(p, 0xee, block.granted);
	EXPECT_OK(free_handle(self->fd, block.handle));
	EXPECT_EQ(0, munmap(p, block.granted));
	ASSERT_OK(alloc_at(self->other, ANYWHERE, MIB + 1, &block));
	EXPECT_EQ(MIB + PAGE, block.granted);
	p = map_block(self->other, &block);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(all_bytes_are(p, block.granted, 0));
}

TEST_F(node, C34_a_mapping_outlives_its_file)
{
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(four_pages(self->fd, &block));
	p = map_block(self->fd, &block);
	close(self->fd);
	memset(p, 0x44, 4 * PAGE);
	EXPECT_TRUE(all_bytes_are(p, 4 * PAGE, 0x44));
	EXPECT_EQ(4 * PAGE, bytes_in_use());
	EXPECT_EQ(0, munmap(p, 4 * PAGE));
	EXPECT_EQ(0, bytes_in_use());
	self->fd = open_node(O_RDWR);
}

TEST_F(node, D04_a_child_inherits_mappings)
{
	struct buddy_pool_alloc block;
	int status;
	pid_t pid;
	char *p;

	ASSERT_OK(four_pages(self->fd, &block));
	p = map_block(self->fd, &block);
	pid = fork();
	if (!pid) {
		p[5] = 'c';
		_exit(0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_EQ('c', p[5]);
	EXPECT_OK(free_handle(self->fd, block.handle));
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	EXPECT_EQ(0, munmap(p, 4 * PAGE));
	EXPECT_EQ(4 * PAGE, get_stats(self->fd).held);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, bytes_in_use());
}

TEST_F(node, C36_a_mapping_that_is_not_inherited)
{
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(four_pages(self->fd, &block));
	p = map_block(self->fd, &block);
	EXPECT_EQ(0, madvise(p, 4 * PAGE, MADV_DONTFORK));
	EXPECT_EQ(SIGSEGV, signal_of_reading(p));
	*p = 1;
}

TEST_F(node, C40_move_and_shrink)
{
	struct buddy_pool_alloc block;
	char *p, *to;

	ASSERT_OK(four_pages(self->fd, &block));
	p = map_block(self->fd, &block);
	memset(p, 0x5a, 4 * PAGE);
	p = mremap(p, 4 * PAGE, 2 * PAGE, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SIGSEGV, signal_of_reading(p + 2 * PAGE));
	to = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_EQ(to, p);
	EXPECT_TRUE(all_bytes_are(p, 2 * PAGE, 0x5a));
	EXPECT_OK(free_handle(self->fd, block.handle));
	EXPECT_EQ(4 * PAGE, get_stats(self->fd).held);
	EXPECT_EQ(0, munmap(p, 2 * PAGE));
	EXPECT_EQ(0, bytes_in_use());
}

TEST_F(node, C41_C43_no_growing_and_no_copy)
{
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(four_pages(self->fd, &block));
	p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, self->fd, block.map_offset);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(MAP_FAILED, mremap(p, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(MAP_FAILED, mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
	EXPECT_EQ(EINVAL, errno);
}

/* Whatever the kernel makes of such advice, memory must not be lost. */
TEST_F(node, C44_advice)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_PAGEOUT, MADV_COLD, MADV_HUGEPAGE,
		MADV_MERGEABLE, MADV_DODUMP, MADV_DOFORK, MADV_POPULATE_READ,
		MADV_POPULATE_WRITE, MADV_WIPEONFORK, MADV_WILLNEED, MADV_SEQUENTIAL,
	};
	struct buddy_pool_alloc block;
	char *p;

	ASSERT_OK(four_pages(self->fd, &block));
	p = map_block(self->fd, &block);
	memset(p, 0x77, 4 * PAGE);
	for (unsigned int i = 0; i < ARRAY_SIZE(advice); i++) {
		madvise(p, 4 * PAGE, advice[i]);
		ASSERT_TRUE(all_bytes_are(p, 4 * PAGE, 0x77)) {
			TH_LOG("advice %d", advice[i]);
		}
	}
}

TEST_F(node, C50_files_to_and_from_a_mapping)
{
	struct buddy_pool_alloc block;
	int fd = memfd_create("file", 0);
	char *p;

	ASSERT_OK(four_pages(self->fd, &block));
	p = map_block(self->fd, &block);
	memset(p, 0x66, PAGE);
	EXPECT_EQ(PAGE, write(fd, p, PAGE));
	EXPECT_EQ(PAGE, pread(fd, p + PAGE, PAGE, 0));
	EXPECT_TRUE(all_bytes_are(p, 2 * PAGE, 0x66));
	close(fd);
}

/* An ioctl's argument in the very memory that it hands out */
TEST_F(node, B11_argument_in_a_mapping)
{
	struct buddy_pool_alloc block, *req;

	ASSERT_OK(four_pages(self->fd, &block));
	req = map_block(self->fd, &block);
	*req = request(PAGE);
	EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC, req));
	EXPECT_OK(free_handle(self->fd, req->handle));
}

/* Far above 4 GiB, if the pool is: see tests/vm/giant.sh. */
TEST_F(node, C58_the_last_page_of_the_pool)
{
	struct buddy_pool_alloc block;
	volatile __u64 *p, *again;

	ASSERT_OK(alloc_at(self->fd, self->info.length - PAGE, PAGE, &block));
	EXPECT_EQ(self->info.length - PAGE, block.offset);
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, *p);
	*p = 0x5858585858585858;
	again = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, again);
	EXPECT_EQ(0x5858585858585858, *again);
}

TEST_HARNESS_MAIN

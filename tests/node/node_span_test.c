// SPDX-License-Identifier: GPL-2.0
/*
 * What a pool of several shards does, and long blocks. In a pool of four shards of
 * 16 MiB those cross from one to the next; in a pool of one, all of this must be the
 * same. BUDDY_POOL_SHARDS tells how many there are.
 */
#include "node.h"

#define SHARD	(16 * MIB)
#define START	(SHARD - MIB)
#define LENGTH	(2 * SHARD + 3 * PAGE)
#define SIDE (16 * PAGE)

static struct buddy_pool_extent extent_at(int fd, __u64 offset)
{
	struct buddy_pool_extent extent = { .state = 0 };
	struct buddy_pool_extents extents = {
		.size = sizeof(extents), .start = offset, .count = 1, .entries = (uintptr_t)&extent,
	};

	if (call(fd, BUDDY_POOL_EXTENTS, &extents))
		extent.state = 0;
	return extent;
}

static void tell_pages(char *p)
{
	for (__u64 i = 0; i < LENGTH; i += PAGE)
		*(__u64 *)(p + i) = i;
}

/* In each page what tell_pages() wrote */
static bool pages_tell(const char *p)
{
	for (__u64 i = 0; i < LENGTH; i += PAGE)
		if (*(const __u64 *)(p + i) != i)
			return false;
	return true;
}

TEST_F(node, C04_long_block_is_one_memory)
{
	struct buddy_pool_alloc block;
	char *p, *part;

	ASSERT_OK(alloc_at(self->fd, START, LENGTH, &block));
	EXPECT_EQ(START, block.offset);
	EXPECT_EQ(LENGTH, block.granted);
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(all_bytes_are(p, LENGTH, 0));
	tell_pages(p);
	/* One page on each side of the first border */
	part = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, self->fd, block.map_offset + MIB - PAGE);
	ASSERT_NE(MAP_FAILED, part);
	EXPECT_EQ(MIB - PAGE, *(__u64 *)part);
	EXPECT_EQ(MIB, *(__u64 *)(part + PAGE));
	ASSERT_EQ(0, munmap(p, LENGTH));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(pages_tell(p));
}

TEST_F(node, B29_long_block_is_held_by_its_mapping)
{
	struct buddy_pool_alloc block, other;
	struct buddy_pool_stats stats;
	char *p;

	ASSERT_OK(alloc_at(self->fd, START, LENGTH, &block));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	/* All but its last page, which is in another shard than its first */
	ASSERT_EQ(0, munmap(p, LENGTH - PAGE));
	ASSERT_OK(free_handle(self->fd, block.handle));
	stats = get_stats(self->fd);
	EXPECT_EQ(LENGTH, stats.held);
	EXPECT_EQ(0, stats.used);
	EXPECT_EQ(1, stats.nr_blocks);
	EXPECT_EQ(stats.length, stats.free + stats.used + stats.held + stats.reserved);
	EXPECT_ERR(ENOSPC, alloc_at(self->other, START, PAGE, &other));
	EXPECT_ERR(ENOSPC, alloc_at(self->other, SHARD, PAGE, &other));
	ASSERT_EQ(0, munmap(p + LENGTH - PAGE, PAGE));
	EXPECT_EQ(0, bytes_in_use());
	/* What comes next gets zeros, in all pieces. */
	ASSERT_OK(alloc_at(self->other, START, LENGTH, &block));
	p = map_block(self->other, &block);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(all_bytes_are(p, LENGTH, 0));
}

TEST_F(node, long_block_is_one_extent)
{
	static const __u64 places[] = { START, SHARD - PAGE, SHARD, 2 * SHARD, 2 * SHARD + MIB };
	struct buddy_pool_alloc block;
	struct buddy_pool_extent e;

	ASSERT_OK(alloc_at(self->fd, START, LENGTH, &block));
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		e = extent_at(self->fd, places[i]);
		EXPECT_EQ(START, e.offset);
		EXPECT_EQ(LENGTH, e.length);
		EXPECT_EQ(BUDDY_POOL_STATE_OWN, e.state);
		EXPECT_EQ(BUDDY_POOL_STATE_USED, extent_at(self->other, places[i]).state);
	}
	EXPECT_OK(free_handle(self->fd, block.handle));
	EXPECT_ERR(ENOENT, free_handle(self->fd, block.handle));
	EXPECT_EQ(BUDDY_POOL_STATE_FREE, extent_at(self->fd, SHARD).state);
}

TEST_F(node, whole_pool_is_one_block)
{
	struct buddy_pool_alloc block, other;
	struct buddy_pool_stats stats;

	ASSERT_OK(alloc_block(self->fd, self->info.length, &block));
	EXPECT_EQ(0, block.offset);
	EXPECT_EQ(self->info.length, self->info.max_alloc);
	stats = get_stats(self->fd);
	EXPECT_EQ(self->info.length, stats.used);
	EXPECT_EQ(self->info.length, stats.peak);
	EXPECT_EQ(0, stats.free);
	EXPECT_ERR(ENOSPC, alloc_block(self->other, PAGE, &other));
	EXPECT_EQ(BUDDY_POOL_REASON_EXHAUSTED, other.reason);
	EXPECT_OK(free_handle(self->fd, block.handle));
	EXPECT_EQ(self->info.length, get_stats(self->fd).largest);
	EXPECT_EQ(0, get_stats(self->fd).fragmentation);
}

TEST_F(node, reserved_range_may_be_long)
{
	struct buddy_pool_alloc other;

	ASSERT_OK(range_call(self->fd, BUDDY_POOL_RESERVE, START, LENGTH));
	EXPECT_EQ(LENGTH, get_stats(self->fd).reserved);
	EXPECT_EQ(BUDDY_POOL_STATE_RESERVED, extent_at(self->fd, 2 * SHARD).state);
	EXPECT_EQ(START, extent_at(self->fd, 2 * SHARD).offset);
	EXPECT_ERR(ENOSPC, alloc_at(self->fd, SHARD, PAGE, &other));
	EXPECT_ERR(ENOENT, range_call(self->fd, BUDDY_POOL_UNRESERVE, SHARD, SHARD));
	EXPECT_OK(range_call(self->fd, BUDDY_POOL_UNRESERVE, START, LENGTH));
	EXPECT_EQ(0, get_stats(self->fd).reserved);
}

/* Two blocks of a batch that are one row, with a border of shards between them */
TEST_F(node, row_on_both_sides_of_a_border)
{
	const __u64 length = self->info.length, first = SHARD - SIDE;
	struct buddy_pool_block blocks[2] = {};
	struct buddy_pool_alloc_batch take = {
		.size = sizeof(take),
		.length = SIDE,
		.count = 2,
		.blocks = (uintptr_t)blocks,
	};
	struct buddy_pool_free_batch give = {
		.size = sizeof(give),
		.count = 2,
		.blocks = (uintptr_t)blocks,
	};
	struct buddy_pool_alloc whole;

	ASSERT_OK(range_call(self->fd, BUDDY_POOL_RESERVE, 0, first));
	ASSERT_OK(range_call(self->fd, BUDDY_POOL_RESERVE, SHARD + SIDE, length - SHARD - SIDE));
	stay_on_cpu(0);
	ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC_BATCH, &take));
	EXPECT_EQ(first, blocks[0].offset);
	EXPECT_EQ(SHARD, blocks[1].offset);
	EXPECT_EQ(blocks[0].handle + 1, blocks[1].handle);
	ASSERT_OK(call(self->fd, BUDDY_POOL_FREE_BATCH, &give));
	EXPECT_EQ(2 * SIDE, get_stats(self->fd).free);
	ASSERT_OK(alloc_at(self->fd, first, 2 * SIDE, &whole));
	EXPECT_OK(free_handle(self->fd, whole.handle));
	EXPECT_OK(range_call(self->fd, BUDDY_POOL_UNRESERVE, 0, first));
	EXPECT_OK(range_call(self->fd, BUDDY_POOL_UNRESERVE, SHARD + SIDE, length - SHARD - SIDE));
}

/* Blocks that this CPU gets begin where they should. */
static void check_home(struct __test_metadata *_metadata, int fd, __u64 length, int cpu)
{
	const char *text = getenv("BUDDY_POOL_SHARDS");
	unsigned int shards = text ? atoi(text) : 1;
	struct buddy_pool_alloc block;

	stay_on_cpu(cpu);
	ASSERT_OK(alloc_block(fd, PAGE, &block));
	EXPECT_EQ(cpu % shards, block.offset / (length / shards));
	/* No power of two is no plain request. */
	ASSERT_OK(alloc_block(fd, 3 * PAGE, &block));
	EXPECT_EQ(cpu % shards, block.offset / (length / shards));
	/* A window is searched from its start, whoever asks. */
	block = request(PAGE);
	block.end = length;
	ASSERT_OK(call(fd, BUDDY_POOL_ALLOC, &block));
	EXPECT_EQ(0, block.offset / (length / shards));
	EXPECT_OK(alloc_at(fd, (63 + cpu) * PAGE, PAGE, &block));
	EXPECT_EQ((63 + cpu) * PAGE, block.offset);
}

TEST_F(node, each_cpu_begins_in_its_own_shard)
{
	int cpu, cpus = sysconf(_SC_NPROCESSORS_ONLN);

	ASSERT_LT(1, cpus);
	for (cpu = 0; cpu < cpus; cpu++)
		check_home(_metadata, self->fd, self->info.length, cpu);
}

/* With an end, or a place of its own, the offset 0 is as good as any other. */
TEST_F(node, B56_windows_from_the_first_byte_on)
{
	struct buddy_pool_alloc block, other;

	ASSERT_OK(alloc_at(self->fd, 0, PAGE, &block));
	EXPECT_EQ(0, block.offset);
	EXPECT_ERR(ENOSPC, alloc_at(self->other, 0, PAGE, &other));
	EXPECT_EQ(BUDDY_POOL_REASON_IN_USE, other.reason);
	other = request(PAGE);
	other.end = 2 * PAGE;
	ASSERT_OK(call(self->other, BUDDY_POOL_ALLOC, &other));
	EXPECT_EQ(PAGE, other.offset);
	other = request(PAGE);
	other.end = 2 * PAGE;
	EXPECT_ERR(ENOSPC, call(self->other, BUDDY_POOL_ALLOC, &other));
	EXPECT_EQ(0, other.largest);
	EXPECT_OK(free_handle(self->fd, block.handle));
	other = request(PAGE);
	other.end = 2 * PAGE;
	EXPECT_OK(call(self->other, BUDDY_POOL_ALLOC, &other));
	EXPECT_EQ(0, other.offset);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * What ALLOC may be asked for, what it gives, and what it says when it refuses.
 * The pools of the tests have 64 MiB, min_block 4 KiB, and begin at a multiple of
 * their size, so that an offset is as aligned as the address.
 */
#include "node.h"

#define POOL	(64 * MIB)

static __u64 round_up(__u64 n, __u64 unit)
{
	return (n + unit - 1) / unit * unit;
}

static __u64 natural_align(__u64 length)
{
	__u64 align = PAGE;

	while (align < length)
		align <<= 1;
	return align;
}

/* A refusal leaves no output but reason and largest. */
static bool has_no_block(const struct buddy_pool_alloc *req)
{
	return !req->handle && !req->offset && !req->granted && !req->map_offset;
}

TEST_F(node, B16_length)
{
	static const __u64 lengths[] = {
		1, 4095, 4096, 4097, 8192, 17 * 1024, 3 * MIB - 1, 3 * MIB, 3 * MIB + 1,
		POOL / 2, POOL / 2 + 1, POOL - PAGE, POOL - PAGE + 1, POOL - 1, POOL,
	};
	struct buddy_pool_alloc block;

	ASSERT_EQ(POOL, self->info.length);
	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
		ASSERT_OK(alloc_block(self->fd, lengths[i], &block)) {
			TH_LOG("length %#llx", lengths[i]);
		}
		EXPECT_EQ(round_up(lengths[i], PAGE), block.granted);
		EXPECT_EQ(0, block.offset % natural_align(lengths[i]));
		EXPECT_EQ(block.granted, bytes_in_use());
		EXPECT_NE(0, block.handle);
		EXPECT_EQ(0, block.reason);
		EXPECT_EQ(0, block.largest);
		EXPECT_OK(free_handle(self->fd, block.handle));
	}
}

TEST_F(node, B16_length_that_never_fits_is_EINVAL)
{
	static const __u64 lengths[] = {
		0, POOL + 1, POOL + PAGE, 1ULL << 31, (1ULL << 32) - 1, 1ULL << 32,
		(1ULL << 32) + 1, 1ULL << 47, (1ULL << 63) - 1, 1ULL << 63, -4096ULL, -4095ULL,
		-1ULL,
	};
	struct buddy_pool_alloc req;

	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
		EXPECT_ERR(EINVAL, alloc_block(self->fd, lengths[i], &req)) {
			TH_LOG("length %#llx", lengths[i]);
		}
		EXPECT_EQ(lengths[i] ? BUDDY_POOL_REASON_OVERSIZE : BUDDY_POOL_REASON_UNDERSIZE,
			  req.reason);
		EXPECT_TRUE(has_no_block(&req));
	}
}

TEST_F(node, B17_align)
{
	static const __u64 aligns[] = { 0, 1, 2, 2048, 4096, 8192, MIB, POOL };
	struct buddy_pool_alloc req;

	for (unsigned int i = 0; i < ARRAY_SIZE(aligns); i++) {
		req = request(3 * PAGE);
		req.align = aligns[i];
		ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req)) {
			TH_LOG("align %#llx", aligns[i]);
		}
		EXPECT_EQ(3 * PAGE, req.granted);
		EXPECT_EQ(0, req.offset % (aligns[i] ?: 4 * PAGE));
		EXPECT_OK(free_handle(self->fd, req.handle));
	}
}

TEST_F(node, B17_align_that_is_none_is_EINVAL)
{
	static const __u64 aligns[] = {
		3, 4095, 4097, 12288, POOL + 1, (1ULL << 63) + 1, 1ULL << 63, 1ULL << 62, ~0ULL,
	};
	struct buddy_pool_alloc req;

	for (unsigned int i = 0; i < ARRAY_SIZE(aligns); i++) {
		req = request(PAGE);
		req.align = aligns[i];
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req)) {
			TH_LOG("align %#llx", aligns[i]);
		}
		EXPECT_EQ(BUDDY_POOL_REASON_ALIGN, req.reason);
		EXPECT_TRUE(has_no_block(&req));
	}
}

static __u64 physical_base(int fd)
{
	struct buddy_pool_phys phys = { .size = sizeof(phys) };
	struct buddy_pool_alloc block;

	if (alloc_at(fd, 0, PAGE, &block))
		return 0;
	phys.handle = block.handle;
	if (call(fd, BUDDY_POOL_GET_PHYS, &phys) || free_handle(fd, block.handle))
		return 0;
	return phys.address;
}

/*
 * The base has an alignment, be it of more than the pool is long (as the physical
 * range's), and no other address of the pool has that; none has more.
 */
TEST_F(node, B17_align_beyond_the_pool)
{
	__u64 base = physical_base(self->fd);
	struct buddy_pool_alloc block, req;

	ASSERT_NE(0, base);
	block = request(2 * PAGE);
	block.align = base & -base;
	ASSERT_LE(POOL, block.align);
	block.flags = BUDDY_POOL_ALLOC_TOP_DOWN;
	ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC, &block));
	EXPECT_EQ(0, block.offset);
	req = request(PAGE);
	req.align = block.align;
	EXPECT_ERR(ENOSPC, call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_FRAGMENTED, req.reason);
	EXPECT_EQ(POOL - 2 * PAGE, req.largest);
	req = request(PAGE);
	req.align = block.align;
	req.start = PAGE;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_ALIGN, req.reason);
	EXPECT_OK(free_handle(self->fd, block.handle));
	req = request(PAGE);
	req.align = 2 * block.align;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_ALIGN, req.reason);
	req = request(PAGE);
	req.align = block.align;
	req.flags = BUDDY_POOL_ALLOC_FIXED;
	EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
}

TEST_F(node, B18_rounding)
{
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_block(self->fd, 4097, &block));
	EXPECT_EQ(8192, block.granted);
	EXPECT_EQ(4096, self->info.min_block);
}

TEST_F(node, B19_unknown_flags_are_EINVAL)
{
	const __u32 known = BUDDY_POOL_ALLOC_TOP_DOWN | BUDDY_POOL_ALLOC_FIXED |
			    BUDDY_POOL_ALLOC_POW2;
	struct buddy_pool_alloc req;

	for (unsigned int bit = 0; bit < 32; bit++) {
		req = request(PAGE);
		req.flags = 1U << bit;
		EXPECT_ERR(known & req.flags ? 0 : EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req)) {
			TH_LOG("bit %u", bit);
		}
	}
	req = request(PAGE);
	req.flags = BUDDY_POOL_ALLOC_TOP_DOWN | BUDDY_POOL_ALLOC_FIXED;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req));
}

TEST_F(node, B20_B21_out_fields_that_are_not_zero_are_EINVAL)
{
	struct buddy_pool_alloc req;

	for (size_t byte = offsetof(typeof(req), handle); byte < sizeof(req); byte++) {
		req = request(PAGE);
		((char *)&req)[byte] = 1;
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req)) {
			TH_LOG("byte %zu", byte);
		}
	}
	EXPECT_EQ(0, bytes_in_use());
}

TEST_F(node, B22_until_full)
{
	struct buddy_pool_alloc block;
	__u64 count = 0;
	int err;

	do {
		err = alloc_block(self->fd, 1, &block);
		count += !err;
	} while (!err);
	EXPECT_ERR(ENOSPC, err);
	EXPECT_EQ(BUDDY_POOL_REASON_EXHAUSTED, block.reason);
	EXPECT_EQ(0, block.largest);
	EXPECT_TRUE(has_no_block(&block));
	EXPECT_EQ(POOL / PAGE, count);
	close(self->fd);
	self->fd = open_node(O_RDWR);
	ASSERT_OK(alloc_block(self->fd, POOL, &block));
	EXPECT_EQ(0, block.offset);
}

TEST_F(node, B23_fragmented)
{
	struct buddy_pool_alloc block, req;
	struct buddy_pool_stats before, after;
	struct orders orders_before, orders_after;

	ASSERT_OK(alloc_at(self->fd, POOL / 2, PAGE, &block));
	before = get_stats(self->fd);
	orders_before = get_orders(self->fd);
	EXPECT_ERR(ENOSPC, alloc_block(self->fd, POOL, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_EXHAUSTED, req.reason);
	EXPECT_EQ(POOL / 2, req.largest);
	req = request(POOL / 2 + PAGE);
	req.align = 1;
	EXPECT_ERR(ENOSPC, call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_FRAGMENTED, req.reason);
	EXPECT_EQ(POOL / 2, req.largest);
	EXPECT_TRUE(has_no_block(&req));
	after = get_stats(self->fd);
	EXPECT_EQ(before.free, after.free);
	EXPECT_EQ(before.largest, after.largest);
	EXPECT_EQ(before.nr_blocks, after.nr_blocks);
	EXPECT_EQ(before.out_of_space + 2, after.out_of_space);
	orders_after = get_orders(self->fd);
	ASSERT_LT(0, orders_after.nr);
	EXPECT_EQ(0, memcmp(&orders_before, &orders_after, sizeof(orders_after)));
}

/* What is free elsewhere is no use in a window. */
TEST_F(node, B23_window_without_enough)
{
	struct buddy_pool_alloc block, req;

	ASSERT_OK(alloc_at(self->fd, 5 * PAGE, 3 * PAGE, &block));
	for (__u64 nr = 0; nr < 4; nr++) {
		req = request((nr + 1) * PAGE);
		req.align = 1;
		req.start = 5 * PAGE;
		req.end = (8 + nr) * PAGE;
		EXPECT_ERR(ENOSPC, call(self->fd, BUDDY_POOL_ALLOC, &req));
		EXPECT_EQ(BUDDY_POOL_REASON_EXHAUSTED, req.reason);
		EXPECT_EQ(nr * PAGE, req.largest);
	}
	req = request(4 * PAGE);
	req.align = 1;
	req.start = 2 * PAGE;
	req.end = 9 * PAGE;
	EXPECT_ERR(ENOSPC, call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_FRAGMENTED, req.reason);
	EXPECT_EQ(3 * PAGE, req.largest);
}

/* What is called the largest that would have fitted does fit. */
TEST_F(node, B23_largest_fits)
{
	struct buddy_pool_alloc block, req;

	for (__u64 offset = 5 * PAGE; offset < POOL; offset += 7 * MIB + 3 * PAGE)
		ASSERT_OK(alloc_at(self->other, offset, 2 * PAGE, &block));
	EXPECT_ERR(ENOSPC, alloc_block(self->fd, POOL / 2, &req));
	ASSERT_LT(0, req.largest);
	block = request(req.largest);
	block.align = 1;
	EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC, &block));
	EXPECT_EQ(req.largest, block.granted);
	EXPECT_EQ(get_stats(self->fd).length, POOL);
}

/* A run that crosses buddies, which only a search by address finds. */
TEST_F(node, B23_runs_across_buddies_are_found)
{
	struct buddy_pool_alloc low, high, req;

	ASSERT_OK(alloc_at(self->fd, 0, 20 * MIB, &low));
	ASSERT_OK(alloc_at(self->fd, 60 * MIB, 4 * MIB, &high));
	req = request(40 * MIB);
	req.align = 1;
	EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(20 * MIB, req.offset);
	EXPECT_EQ(POOL, bytes_in_use());
}

TEST_F(node, B44_labels)
{
	static const struct {
		const char *label;
		int err;
	} labels[] = {
		{ "", 0 }, { "a", 0 }, { "%s%n %p", 0 }, { "/etc/../x", 0 },
		{ "0123456789012345678901234567890", 0 },
		{ "01234567890123456789012345678901", EINVAL },
		{ "a\nb", EINVAL }, { "\033[2J", EINVAL }, { "k\303\244se", EINVAL },
		{ "\177", EINVAL }, { "\t", EINVAL },
	};
	struct buddy_pool_alloc req;

	for (unsigned int i = 0; i < ARRAY_SIZE(labels); i++) {
		req = request(PAGE);
		memcpy(req.label, labels[i].label, strnlen(labels[i].label, sizeof(req.label)));
		EXPECT_ERR(labels[i].err, call(self->fd, BUDDY_POOL_ALLOC, &req)) {
			TH_LOG("label %u", i);
		}
		EXPECT_EQ(labels[i].err ? BUDDY_POOL_REASON_LABEL : 0, req.reason);
	}
	req = request(PAGE);
	req.label[20] = 'x';
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req));
}

TEST_F(node, B55_windows_that_are_none_are_EINVAL)
{
	static const struct {
		__u64 start;
		__u64 end;
	} windows[] = {
		{ PAGE, PAGE }, { 2 * PAGE, PAGE }, { POOL, 0 }, { POOL, POOL + PAGE },
		{ 0, POOL + 1 }, { 0, POOL + PAGE }, { 0, ~0ULL }, { ~0ULL, 0 }, { ~0ULL, ~0ULL },
		{ -PAGE, PAGE }, { 1ULL << 63, 0 },
	};
	struct buddy_pool_alloc req;

	for (unsigned int i = 0; i < ARRAY_SIZE(windows); i++) {
		req = request(PAGE);
		req.start = windows[i].start;
		req.end = windows[i].end;
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req)) {
			TH_LOG("window %#llx-%#llx", req.start, req.end);
		}
		EXPECT_EQ(BUDDY_POOL_REASON_WINDOW, req.reason);
	}
	EXPECT_EQ(0, bytes_in_use());
}

TEST_F(node, B56_windows)
{
	struct buddy_pool_alloc req;
	int err;

	for (int n = 0; n < 4; n++) {
		req = request(MIB);
		req.start = 16 * MIB;
		req.end = 20 * MIB;
		ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
		EXPECT_EQ(16 * MIB + n * MIB, req.offset);
	}
	req = request(PAGE);
	req.start = 16 * MIB;
	req.end = 20 * MIB;
	err = call(self->fd, BUDDY_POOL_ALLOC, &req);
	EXPECT_ERR(ENOSPC, err);
	EXPECT_EQ(0, req.largest);
}

TEST_F(node, B56_length_of_the_window_and_one_more)
{
	struct buddy_pool_alloc req = request(3 * PAGE);

	req.align = 1;
	req.start = 5 * PAGE;
	req.end = 8 * PAGE;
	EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(5 * PAGE, req.offset);
	req = request(3 * PAGE + 1);
	req.align = 1;
	req.start = 15 * PAGE;
	req.end = 18 * PAGE;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_OVERSIZE, req.reason);
}

TEST_F(node, top_down_gives_the_highest)
{
	struct buddy_pool_alloc req = request(MIB);

	req.flags = BUDDY_POOL_ALLOC_TOP_DOWN;
	EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(POOL - MIB, req.offset);
	req = request(3 * PAGE);
	req.flags = BUDDY_POOL_ALLOC_TOP_DOWN;
	req.align = 1;
	req.end = 32 * MIB;
	EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(32 * MIB - 3 * PAGE, req.offset);
}

TEST_F(node, fixed_gives_that_place_or_none)
{
	struct buddy_pool_alloc first, req;

	ASSERT_OK(alloc_at(self->fd, 7 * PAGE, 5 * PAGE, &first));
	EXPECT_EQ(7 * PAGE, first.offset);
	EXPECT_EQ(5 * PAGE, first.granted);
	for (__u64 offset = 3 * PAGE; offset < 12 * PAGE; offset += PAGE) {
		EXPECT_ERR(ENOSPC, alloc_at(self->fd, offset, 5 * PAGE, &req));
		EXPECT_EQ(BUDDY_POOL_REASON_IN_USE, req.reason);
	}
	EXPECT_OK(alloc_at(self->fd, 2 * PAGE, 5 * PAGE, &req));
	EXPECT_OK(alloc_at(self->fd, 12 * PAGE, 5 * PAGE, &req));
}

TEST_F(node, fixed_at_no_place_is_EINVAL)
{
	struct buddy_pool_alloc req;

	EXPECT_ERR(EINVAL, alloc_at(self->fd, 1, PAGE, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_MISALIGNED, req.reason);
	EXPECT_ERR(EINVAL, alloc_at(self->fd, POOL, PAGE, &req));
	EXPECT_ERR(EINVAL, alloc_at(self->fd, POOL - PAGE, 2 * PAGE, &req));
	EXPECT_ERR(EINVAL, alloc_at(self->fd, -PAGE, 2 * PAGE, &req));
}

TEST_F(node, pow2_keeps_the_tail)
{
	struct buddy_pool_alloc req = request(3 * MIB + 1);

	req.flags = BUDDY_POOL_ALLOC_POW2;
	EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
	EXPECT_EQ(4 * MIB, req.granted);
	EXPECT_EQ(4 * MIB, bytes_in_use());
}

/* Many sizes in and out by one seed: no two blocks overlap, and all comes back. */
TEST_F(node, B22_random_blocks_do_not_overlap)
{
	enum { SLOTS = 64, ROUNDS = 5000 };
	static struct buddy_pool_alloc slots[SLOTS];
	unsigned int seed = getpid();

	TH_LOG("seed %u", seed);
	for (int round = 0; round < ROUNDS; round++) {
		struct buddy_pool_alloc *slot = slots + rand_r(&seed) % SLOTS;

		if (slot->handle) {
			ASSERT_OK(free_handle(self->fd, slot->handle));
			slot->handle = 0;
			continue;
		}
		if (alloc_block(self->fd, 1 + rand_r(&seed) % (256 << 10), slot)) {
			slot->handle = 0;
			continue;
		}
		for (struct buddy_pool_alloc *s = slots; s < slots + SLOTS; s++) {
			if (s == slot || !s->handle)
				continue;
			ASSERT_TRUE(s->offset + s->granted <= slot->offset ||
				    slot->offset + slot->granted <= s->offset);
		}
	}
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* ALLOC_BATCH and FREE_BATCH: many blocks or none. */
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "node.h"

#define POOL	(64 * MIB)
#define MAX	BUDDY_POOL_MAX_BATCH

static struct buddy_pool_block blocks[MAX + 1];

static struct buddy_pool_alloc_batch batch_of(__u64 length, __u32 count)
{
	return (struct buddy_pool_alloc_batch){
		.size = sizeof(struct buddy_pool_alloc_batch), .length = length,
		.blocks = (uintptr_t)blocks, .count = count,
	};
}

static int alloc_batch(int fd, __u64 length, __u32 count)
{
	struct buddy_pool_alloc_batch req = batch_of(length, count);

	return call(fd, BUDDY_POOL_ALLOC_BATCH, &req);
}

static int free_batch(int fd, const struct buddy_pool_block *from, __u32 count, __u32 *reason)
{
	struct buddy_pool_free_batch req = {
		.size = sizeof(req), .blocks = (uintptr_t)from, .count = count,
	};
	int err = call(fd, BUDDY_POOL_FREE_BATCH, &req);

	if (reason)
		*reason = req.reason;
	return err;
}

static __u32 nr_listed(int fd)
{
	static struct buddy_pool_query entries[2048];
	struct buddy_pool_list l = {
		.size = sizeof(l), .entries = (uintptr_t)entries, .count = 2048,
	};

	return call(fd, BUDDY_POOL_LIST, &l) ? ~0 : l.count;
}

TEST_F(node, B42_batches_of_all_sizes)
{
	static const __u32 counts[] = { 1, 2, 255, 256, 1023, MAX };
	struct buddy_pool_alloc_batch req;
	struct buddy_pool_query q;
	__u32 n;

	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		n = counts[i];
		memset(blocks, 0xaa, sizeof(blocks));
		req = batch_of(PAGE + 1, n);
		strcpy(req.label, "many");
		ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
		EXPECT_EQ(2 * PAGE, req.granted);
		EXPECT_EQ(0, req.reason);
		EXPECT_EQ(0, req.largest);
		EXPECT_EQ(n * 2 * PAGE, bytes_in_use());
		EXPECT_EQ(n, nr_listed(self->fd));
		for (__u32 b = 0; b < n; b++) {
			EXPECT_EQ(0, blocks[b].__reserved);
			q = (struct buddy_pool_query){
				.size = sizeof(q), .handle = blocks[b].handle,
			};
			ASSERT_OK(call(self->fd, BUDDY_POOL_QUERY, &q));
			ASSERT_EQ(blocks[b].offset, q.offset);
			ASSERT_EQ(2 * PAGE, q.granted);
			ASSERT_EQ(0, strcmp("many", q.label));
		}
		EXPECT_TRUE(all_bytes_are(blocks + n, sizeof(*blocks), 0xaa));
		ASSERT_OK(free_batch(self->fd, blocks, n, NULL));
		EXPECT_EQ(0, bytes_in_use());
	}
}

TEST_F(node, B42_counts_that_are_none_are_EINVAL)
{
	static const __u32 counts[] = { 0, MAX + 1, 1U << 28, 1U << 31, ~0U };

	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		EXPECT_ERR(EINVAL, alloc_batch(self->fd, PAGE, counts[i]));
		EXPECT_ERR(EINVAL, free_batch(self->fd, blocks, counts[i], NULL));
	}
	EXPECT_ERR(EINVAL, free_batch(self->fd, NULL, 0, NULL));
	EXPECT_EQ(0, bytes_in_use());
}

TEST_F(node, B43_no_space_for_item_k_gives_none)
{
	struct buddy_pool_stats before = get_stats(self->fd), after;
	struct buddy_pool_alloc_batch req;

	for (__u32 room = 1; room < 40; room += 13) {
		memset(blocks, 0xaa, sizeof(blocks));
		req = batch_of(PAGE, room + 1);
		req.start = 32 * PAGE;
		req.end = req.start + room * PAGE;
		EXPECT_ERR(ENOSPC, call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
		EXPECT_NE(0, req.reason);
		EXPECT_EQ(0, req.granted);
		EXPECT_TRUE(all_bytes_are(blocks, sizeof(blocks), 0xaa));
		after = get_stats(self->fd);
		EXPECT_EQ(before.free, after.free);
		EXPECT_EQ(before.largest, after.largest);
		EXPECT_EQ(0, after.nr_blocks);
		EXPECT_EQ(0, nr_listed(self->fd));
		req = batch_of(PAGE, room);
		req.start = 32 * PAGE;
		req.end = req.start + room * PAGE;
		EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
		EXPECT_OK(free_batch(self->fd, blocks, room, NULL));
	}
}

/* Of what neither of them gets, both know that it is too little. */
TEST_F(node, B43_refused_batches_do_not_wake_each_other)
{
	struct pollfd p = { .fd = self->fd, .events = POLLIN };
	struct buddy_pool_alloc most;

	ASSERT_OK(alloc_at(self->other, 0, POOL - 5 * PAGE, &most));
	ASSERT_ERR(ENOSPC, alloc_batch(self->fd, PAGE, 10));
	ASSERT_ERR(ENOSPC, alloc_batch(self->other, PAGE, 10));
	EXPECT_EQ(0, poll(&p, 1, 0));
	p.fd = self->other;
	EXPECT_EQ(0, poll(&p, 1, 0));
	ASSERT_OK(free_handle(self->other, most.handle));
	EXPECT_EQ(1, poll(&p, 1, 0));
	p.fd = self->fd;
	EXPECT_EQ(1, poll(&p, 1, 0));
}

/* What the batch itself gave back is no news to somebody who waits for space. */
TEST_F(node, B43_a_refused_batch_does_not_wake_its_caller)
{
	struct pollfd p = { .fd = self->fd, .events = POLLIN };
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_at(self->other, 0, POOL - 4 * PAGE, &block));
	ASSERT_ERR(ENOSPC, alloc_batch(self->fd, PAGE, 5));
	EXPECT_EQ(0, poll(&p, 1, 0));
	ASSERT_OK(free_handle(self->other, block.handle));
	EXPECT_EQ(1, poll(&p, 1, 0));
}

TEST_F(node, B43_batch_of_what_is_invalid)
{
	struct buddy_pool_alloc_batch req;

	req = batch_of(0, 2);
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_UNDERSIZE, req.reason);
	req = batch_of(POOL + 1, 2);
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_OVERSIZE, req.reason);
	req = batch_of(PAGE, 2);
	req.align = 3;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_ALIGN, req.reason);
	req = batch_of(PAGE, 2);
	req.start = POOL;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_WINDOW, req.reason);
	req = batch_of(PAGE, 2);
	memset(req.label, 'x', sizeof(req.label));
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
	EXPECT_EQ(BUDDY_POOL_REASON_LABEL, req.reason);
	EXPECT_EQ(0, bytes_in_use());
}

TEST_F(node, B19_B21_batch_flags_and_out_fields)
{
	const __u32 known = BUDDY_POOL_ALLOC_TOP_DOWN | BUDDY_POOL_ALLOC_POW2;
	struct buddy_pool_alloc_batch req;
	struct buddy_pool_free_batch freeing;

	for (unsigned int bit = 0; bit < 32; bit++) {
		req = batch_of(PAGE, 2);
		req.flags = 1U << bit;
		EXPECT_ERR(known & req.flags ? 0 : EINVAL,
			   call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
		freeing = (struct buddy_pool_free_batch){
			.size = sizeof(freeing), .blocks = (uintptr_t)blocks, .count = 2,
			.flags = 1U << bit,
		};
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_FREE_BATCH, &freeing));
		freeing.flags = 0;
		freeing.reason = 1U << bit;
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_FREE_BATCH, &freeing));
	}
	EXPECT_EQ(4, nr_listed(self->fd));
	for (size_t byte = offsetof(typeof(req), reason); byte < sizeof(req); byte++) {
		req = batch_of(PAGE, 2);
		((char *)&req)[byte] = 1;
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req)) {
			TH_LOG("byte %zu", byte);
		}
	}
	EXPECT_EQ(4, nr_listed(self->fd));
}

/* All are allocated by the time that the bad pointer is found. */
TEST_F(node, B09_B43_batch_that_cannot_be_told_gives_none)
{
	struct buddy_pool_alloc_batch req;
	struct buddy_pool_block *end;
	char *p;

	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_READ));
	end = (void *)(p + PAGE);
	for (__u32 inside = 0; inside < 4; inside++) {
		req = batch_of(PAGE, 4);
		req.blocks = (uintptr_t)(end - inside);
		EXPECT_ERR(EFAULT, call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
		EXPECT_EQ(0, bytes_in_use());
		EXPECT_EQ(0, nr_listed(self->fd));
	}
	req = batch_of(PAGE, 4);
	req.blocks = (uintptr_t)(end - 4);
	EXPECT_OK(call(self->fd, BUDDY_POOL_ALLOC_BATCH, &req));
	EXPECT_ERR(EFAULT, free_batch(self->fd, (void *)-PAGE, 4, NULL));
	EXPECT_EQ(4, nr_listed(self->fd));
}

TEST_F(node, B43_one_wrong_handle_frees_none)
{
	struct buddy_pool_alloc foreign;
	struct buddy_pool_block saved;
	__u32 reason;

	for (int i = 0; i < 12; i++)
		ASSERT_OK(alloc_block(self->other, PAGE, &foreign));
	ASSERT_OK(alloc_batch(self->fd, PAGE, 10));
	const __u32 wrong[] = { 0, ~0U, foreign.handle, blocks[3].handle };

	for (unsigned int w = 0; w < ARRAY_SIZE(wrong); w++) {
		for (int at = 0; at < 10; at += at == 5 ? 4 : 5) {
			saved = blocks[at];
			blocks[at].handle = wrong[w];
			EXPECT_ERR(ENOENT, free_batch(self->fd, blocks, 10, &reason)) {
				TH_LOG("wrong %u at %d", w, at);
			}
			EXPECT_EQ(BUDDY_POOL_REASON_NO_HANDLE, reason);
			blocks[at] = saved;
			ASSERT_EQ(10, nr_listed(self->fd));
		}
	}
	EXPECT_EQ(22 * PAGE, bytes_in_use());
	EXPECT_OK(free_batch(self->fd, blocks, 10, NULL));
	EXPECT_ERR(ENOENT, free_batch(self->fd, blocks, 10, NULL));
	EXPECT_ERR(ENOENT, free_batch(self->fd, blocks, 1, NULL));
	EXPECT_EQ(12 * PAGE, bytes_in_use());
}

TEST_F(node, B25_duplicates_free_none)
{
	ASSERT_OK(alloc_batch(self->fd, PAGE, 3));
	blocks[3] = blocks[0];
	EXPECT_ERR(ENOENT, free_batch(self->fd, blocks, 4, NULL));
	blocks[3] = blocks[2];
	EXPECT_ERR(ENOENT, free_batch(self->fd, blocks, 4, NULL));
	for (int i = 0; i < MAX; i++)
		blocks[i] = blocks[i % 3];
	EXPECT_ERR(ENOENT, free_batch(self->fd, blocks, MAX, NULL));
	EXPECT_EQ(3 * PAGE, bytes_in_use());
	for (int i = 0; i < 3; i++)
		EXPECT_OK(free_handle(self->fd, blocks[i].handle));
}

TEST_F(node, B20_reserved_fields_of_entries)
{
	ASSERT_OK(alloc_batch(self->fd, PAGE, 5));
	blocks[4].__reserved = 1;
	EXPECT_ERR(EINVAL, free_batch(self->fd, blocks, 5, NULL));
	EXPECT_EQ(5, nr_listed(self->fd));
	blocks[4].__reserved = 0;
	/* Not looked at */
	blocks[0].offset = ~0ULL;
	EXPECT_OK(free_batch(self->fd, blocks, 5, NULL));
}

TEST_F(node, B29_mapped_blocks_of_a_batch_are_held)
{
	struct buddy_pool_stats s;
	char *p;

	ASSERT_OK(alloc_batch(self->fd, PAGE, 4));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, blocks[1].offset);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, *p);
	*p = 5;
	EXPECT_OK(free_batch(self->fd, blocks, 4, NULL));
	s = get_stats(self->fd);
	EXPECT_EQ(PAGE, s.held);
	EXPECT_EQ(0, s.used);
	EXPECT_EQ(5, *p);
	EXPECT_EQ(0, munmap(p, PAGE));
	EXPECT_EQ(0, bytes_in_use());
}

TEST_F(node, I01_batch_blocks_are_zero)
{
	struct buddy_pool_alloc dirty;
	char *p;

	ASSERT_OK(alloc_at(self->other, 0, MIB, &dirty));
	p = map_block(self->other, &dirty);
	memset(p, 0x99, MIB);
	ASSERT_EQ(0, munmap(p, MIB));
	ASSERT_OK(free_handle(self->other, dirty.handle));
	ASSERT_OK(alloc_batch(self->fd, PAGE, 256));
	for (int i = 0; i < 256; i++) {
		p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, blocks[i].offset);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_TRUE(all_bytes_are(p, PAGE, 0));
		ASSERT_EQ(0, munmap(p, PAGE));
	}
}

TEST_F(node, B24_B28_batches_need_write_access)
{
	int fd = open_node(O_RDONLY);

	EXPECT_ERR(EBADF, alloc_batch(fd, PAGE, 1));
	EXPECT_ERR(EBADF, free_batch(fd, blocks, 1, NULL));
	close(fd);
}

/*
 * The node keeps blocks that lie side by side together, and takes them apart when some
 * are freed, mapped, or have others between them. Whatever it does, LIST, EXTENTS and
 * mmap() must tell of each block what this list does. A free that nobody asked for, or a
 * block that is forgotten, shows in all of them.
 */

#define BLOCKS 4000

struct known {
	struct buddy_pool_block block;
	__u64 granted;
	char label;
	char *map;
};

static struct known known[BLOCKS];
static __u32 nr_known;

static __u32 below(__u32 limit)
{
	return random() % limit;
}

static bool take_some(int fd)
{
	static const __u64 lengths[] = { PAGE, PAGE, 2 * PAGE, 3 * PAGE, 16 * PAGE };
	struct buddy_pool_alloc_batch req =
		batch_of(lengths[below(5)], 1 + below(below(4) ? 8 : 200));
	int err;

	if (!below(4))
		req.flags = BUDDY_POOL_ALLOC_TOP_DOWN;
	if (!below(4))
		req.align = PAGE;
	if (!below(4))
		req.start = below(POOL / PAGE / 2) * PAGE;
	if (req.count > BLOCKS - nr_known)
		return true;
	req.label[0] = 'a' + below(26);
	err = call(fd, BUDDY_POOL_ALLOC_BATCH, &req);
	for (__u32 i = 0; !err && i < req.count; i++)
		known[nr_known++] = (struct known){
			.block = blocks[i],
			.granted = req.granted,
			.label = req.label[0],
		};
	return !err || err == -ENOSPC;
}

/* Those without a handle are freed, and held if mapped, which ends here. */
static bool forget_freed(void)
{
	__u32 n = 0;

	for (__u32 i = 0; i < nr_known; i++) {
		struct known *k = &known[i];

		if (k->block.handle)
			known[n++] = *k;
		else if (k->map && (*k->map != k->label || munmap(k->map, k->granted)))
			return false;
	}
	nr_known = n;
	return true;
}

static bool give_some(int fd)
{
	__u32 count = 1 + below(below(2) ? nr_known : 20);
	__u32 from = below(nr_known), step = below(2) ? 1 : 1 + below(5), n = 0;
	bool in_turn = below(3);
	struct known *k;
	int err;

	if (count > MAX)
		count = MAX;
	for (__u32 i = from; n < count && i < nr_known; i += step) {
		k = &known[in_turn ? i : below(nr_known)];
		if (!k->block.handle)
			continue;
		blocks[n++] = k->block;
		k->block.handle = 0;
	}
	/* One of them twice: none is freed. */
	if (!below(4) && n < MAX) {
		blocks[n] = blocks[below(n)];
		err = free_batch(fd, blocks, n + 1, NULL);
		if (err != -ENOENT)
			return false;
	}
	err = n == 1 ? free_handle(fd, blocks[0].handle) : free_batch(fd, blocks, n, NULL);
	return !err && forget_freed();
}

static bool map_one(int fd)
{
	struct known *k = &known[below(nr_known)];

	if (k->map) {
		if (*k->map != k->label || munmap(k->map, k->granted))
			return false;
		k->map = NULL;
		return true;
	}
	/* A page too many is not inside the block, whatever lies behind it. */
	if (mmap(NULL, k->granted + PAGE, PROT_READ, MAP_SHARED, fd, k->block.offset) != MAP_FAILED)
		return false;
	k->map = mmap(NULL, k->granted, PROT_READ | PROT_WRITE, MAP_SHARED, fd, k->block.offset);
	if (k->map == MAP_FAILED)
		return false;
	*k->map = k->label;
	return true;
}

static bool list_is_right(int fd)
{
	static struct buddy_pool_query entries[BLOCKS + 1];
	struct buddy_pool_list l = {
		.size = sizeof(l),
		.entries = (uintptr_t)entries,
		.count = BLOCKS + 1,
	};

	if (call(fd, BUDDY_POOL_LIST, &l) || l.count != nr_known)
		return false;
	for (__u32 i = 0; i < nr_known; i++) {
		const struct known *k = &known[i];
		const struct buddy_pool_query *q = &entries[i];

		if (q->handle != k->block.handle || q->offset != k->block.offset ||
		    q->granted != k->granted || q->label[0] != k->label ||
		    q->map_offset != q->offset || q->mappings != !!k->map)
			return false;
	}
	return true;
}

/* Each block is an extent of its own, and this file's; nothing else is. */
static bool extents_are_right(int fd)
{
	static struct buddy_pool_extent extents[2 * BLOCKS];
	struct buddy_pool_extents e = {
		.size = sizeof(e),
		.entries = (uintptr_t)extents,
		.count = 2 * BLOCKS,
	};
	__u64 nr = 0, bytes = 0, wanted = 0;

	if (call(fd, BUDDY_POOL_EXTENTS, &e) || e.next != POOL)
		return false;
	for (__u32 i = 0; i < e.count; i++) {
		if (extents[i].state != BUDDY_POOL_STATE_FREE &&
		    extents[i].state != BUDDY_POOL_STATE_OWN)
			return false;
		nr += extents[i].state == BUDDY_POOL_STATE_OWN;
		bytes += extents[i].state == BUDDY_POOL_STATE_OWN ? extents[i].length : 0;
	}
	for (__u32 i = 0; i < nr_known; i++)
		wanted += known[i].granted;
	return nr == nr_known && bytes == wanted && bytes == bytes_in_use();
}

TEST_F_TIMEOUT(node, B42_B43_B29_random_batches_match_a_list, 300)
{
	const char *given = getenv("BUDDY_POOL_SEED");
	unsigned int seed = given ? strtoul(given, NULL, 0) : (unsigned int)time(NULL);
	unsigned int step;

	TH_LOG("seed %u", seed);
	srandom(seed);
	nr_known = 0;
	for (step = 0; step < 1500; step++) {
		/* Filled for a while, then drained */
		if (!nr_known || below(8) < (step / 100 % 2 ? 1 : 3))
			ASSERT_TRUE(take_some(self->fd));
		if (nr_known && below(2))
			ASSERT_TRUE(map_one(self->fd));
		if (nr_known && !below(3))
			ASSERT_TRUE(give_some(self->fd));
		ASSERT_TRUE(list_is_right(self->fd))
		{
			TH_LOG("seed %u, step %u", seed, step);
		}
		if (step % 16 == 0)
			ASSERT_TRUE(extents_are_right(self->fd))
			{
				TH_LOG("seed %u, step %u", seed, step);
			}
	}
	for (__u32 i = 0; i < nr_known; i++)
		if (known[i].map)
			ASSERT_EQ(0, munmap(known[i].map, known[i].granted));
	close(self->fd);
	EXPECT_EQ(0, bytes_in_use());
	self->fd = open_node(O_RDWR);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * The arguments of each ioctl: numbers, sizes, pointers, flags, reserved fields.
 * One thing is wrong at a time, and a refusal leaves the pool as it was.
 */
#include <poll.h>

#include "node.h"

/*
 * @read_only: what it says on a file that is only open for reading, and has no block
 * @silent: has no answer when it succeeds
 */
static const struct {
	unsigned long number;
	size_t size;
	int read_only;
	bool silent;
} calls[] = {
	{ BUDDY_POOL_INFO, sizeof(struct buddy_pool_info), 0, false },
	{ BUDDY_POOL_ALLOC, sizeof(struct buddy_pool_alloc), EBADF, false },
	{ BUDDY_POOL_FREE, sizeof(struct buddy_pool_free), EBADF, true },
	{ BUDDY_POOL_STATS, sizeof(struct buddy_pool_stats), 0, false },
	{ BUDDY_POOL_EXTENTS, sizeof(struct buddy_pool_extents), 0, false },
	{ BUDDY_POOL_QUERY, sizeof(struct buddy_pool_query), ENOENT, false },
	{ BUDDY_POOL_LIST, sizeof(struct buddy_pool_list), 0, false },
	{ BUDDY_POOL_RESERVE, sizeof(struct buddy_pool_range), EBADF, true },
	{ BUDDY_POOL_UNRESERVE, sizeof(struct buddy_pool_range), EBADF, true },
	{ BUDDY_POOL_GET_PHYS, sizeof(struct buddy_pool_phys), ENOENT, false },
	{ BUDDY_POOL_ALLOC_BATCH, sizeof(struct buddy_pool_alloc_batch), EBADF, false },
	{ BUDDY_POOL_FREE_BATCH, sizeof(struct buddy_pool_free_batch), EBADF, true },
};

#define NR_CALLS	ARRAY_SIZE(calls)
#define LONGEST		16384

/* Where calls may write, and what FREE_BATCH reads */
static struct buddy_pool_extent extents[4];
static struct buddy_pool_query queries[4];
static struct buddy_pool_block blocks[2];

static void fill_arrays(unsigned long number, void *arg, __u32 handle)
{
	switch (number) {
	case BUDDY_POOL_EXTENTS:
		((struct buddy_pool_extents *)arg)->entries = (uintptr_t)extents;
		((struct buddy_pool_extents *)arg)->count = ARRAY_SIZE(extents);
		break;
	case BUDDY_POOL_LIST:
		((struct buddy_pool_list *)arg)->entries = (uintptr_t)queries;
		((struct buddy_pool_list *)arg)->count = ARRAY_SIZE(queries);
		break;
	case BUDDY_POOL_ALLOC_BATCH:
		((struct buddy_pool_alloc_batch *)arg)->length = PAGE;
		((struct buddy_pool_alloc_batch *)arg)->blocks = (uintptr_t)blocks;
		((struct buddy_pool_alloc_batch *)arg)->count = ARRAY_SIZE(blocks);
		break;
	case BUDDY_POOL_FREE_BATCH:
		blocks[0] = (struct buddy_pool_block){ .handle = handle };
		((struct buddy_pool_free_batch *)arg)->blocks = (uintptr_t)blocks;
		((struct buddy_pool_free_batch *)arg)->count = 1;
		break;
	}
}

/* A valid argument of call @i, for an open file whose block is @handle */
static void fill_valid(unsigned int i, void *arg, __u32 handle)
{
	memset(arg, 0, calls[i].size);
	*(__u32 *)arg = calls[i].size;
	fill_arrays(calls[i].number, arg, handle);
	switch (calls[i].number) {
	case BUDDY_POOL_ALLOC:
		((struct buddy_pool_alloc *)arg)->length = PAGE;
		break;
	case BUDDY_POOL_FREE:
		((struct buddy_pool_free *)arg)->handle = handle;
		break;
	case BUDDY_POOL_QUERY:
		((struct buddy_pool_query *)arg)->handle = handle;
		break;
	case BUDDY_POOL_RESERVE:
	case BUDDY_POOL_UNRESERVE:
		((struct buddy_pool_range *)arg)->offset = RESERVED_OFFSET;
		((struct buddy_pool_range *)arg)->length = PAGE;
		break;
	case BUDDY_POOL_GET_PHYS:
		((struct buddy_pool_phys *)arg)->handle = handle;
		break;
	}
}

/*
 * An argument with which call @i succeeds: there is a block for those that need
 * one, and the range is reserved for UNRESERVE and not for RESERVE.
 */
static void prepare(unsigned int i, void *arg, int fd)
{
	struct buddy_pool_alloc block;

	range_call(fd, BUDDY_POOL_UNRESERVE, RESERVED_OFFSET, PAGE);
	if (calls[i].number == BUDDY_POOL_UNRESERVE)
		range_call(fd, BUDDY_POOL_RESERVE, RESERVED_OFFSET, PAGE);
	alloc_block(fd, PAGE, &block);
	fill_valid(i, arg, block.handle);
}

/* Has nothing changed that anybody can use? */
static bool same_use(const struct buddy_pool_stats *a, const struct buddy_pool_stats *b)
{
	return a->free == b->free && a->used == b->used && a->held == b->held &&
	       a->reserved == b->reserved && a->nr_blocks == b->nr_blocks;
}

static bool is_known(unsigned int dir, unsigned int type, unsigned int nr)
{
	return type == BUDDY_POOL_IOCTL_TYPE && nr < NR_CALLS &&
	       dir == (_IOC_READ | _IOC_WRITE);
}

TEST_F(node, B01_unknown_numbers_are_ENOTTY)
{
	static const unsigned int types[] = { BUDDY_POOL_IOCTL_TYPE, 0xba, 0xbc, 'B' };
	int err;

	for (unsigned int t = 0; t < 4; t++) {
		for (unsigned int nr = 0; nr < 256; nr++) {
			for (unsigned int dir = 0; dir < 4; dir++) {
				if (is_known(dir, types[t], nr))
					continue;
				err = call(self->fd, _IOC(dir, types[t], nr, 0), NULL);
				ASSERT_ERR(ENOTTY, err) {
					TH_LOG("dir %u type %#x nr %u", dir, types[t], nr);
				}
			}
		}
	}
}

TEST_F(node, B02_wrong_direction_is_ENOTTY)
{
	char arg[LONGEST] __attribute__((aligned(8)));

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		for (unsigned int dir = 0; dir < 3; dir++) {
			fill_valid(i, arg, 1);
			EXPECT_ERR(ENOTTY, call(self->fd, _IOC(dir, BUDDY_POOL_IOCTL_TYPE, i,
							       calls[i].size), arg));
		}
	}
}

TEST_F(node, B03_too_short_is_EINVAL)
{
	char arg[LONGEST] __attribute__((aligned(8)));
	struct buddy_pool_stats before, after;

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		const __u32 sizes[] = { 0, 1, 4, 8, calls[i].size - 1 };

		prepare(i, arg, self->fd);
		before = get_stats(self->fd);
		for (unsigned int s = 0; s < 5; s++) {
			*(__u32 *)arg = sizes[s];
			EXPECT_ERR(EINVAL, call(self->fd, calls[i].number, arg)) {
				TH_LOG("call %u size %u", i, sizes[s]);
			}
		}
		after = get_stats(self->fd);
		EXPECT_TRUE(same_use(&before, &after));
	}
}

TEST_F(node, B04_longer_with_zero_tail)
{
	char arg[LONGEST] __attribute__((aligned(8)));

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		memset(arg, 0, sizeof(arg));
		prepare(i, arg, self->fd);
		*(__u32 *)arg = calls[i].size + 8;
		arg[calls[i].size + 8] = 0x55;
		EXPECT_OK(call(self->fd, calls[i].number, arg)) {
			TH_LOG("call %u", i);
		}
		EXPECT_EQ(calls[i].size + 8, *(__u32 *)arg);
		EXPECT_EQ(0, *(__u64 *)(arg + calls[i].size));
		EXPECT_EQ(0x55, arg[calls[i].size + 8]);
	}
}

/* _IOWR() puts the size into the number, so a longer struct has another one. */
TEST_F(node, B04_number_of_a_longer_struct)
{
	char arg[LONGEST] __attribute__((aligned(8)));

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		memset(arg, 0, sizeof(arg));
		prepare(i, arg, self->fd);
		*(__u32 *)arg = calls[i].size + 8;
		EXPECT_OK(call(self->fd, _IOC(_IOC_READ | _IOC_WRITE, BUDDY_POOL_IOCTL_TYPE, i,
					      calls[i].size + 8), arg)) {
			TH_LOG("call %u", i);
		}
	}
}

TEST_F(node, B05_longer_with_nonzero_tail_is_E2BIG)
{
	char arg[LONGEST] __attribute__((aligned(8)));
	struct buddy_pool_stats before, after;

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		memset(arg, 0, sizeof(arg));
		prepare(i, arg, self->fd);
		before = get_stats(self->fd);
		*(__u32 *)arg = calls[i].size + 8;
		for (unsigned int byte = 0; byte < 8; byte++) {
			arg[calls[i].size + byte] = 1;
			EXPECT_ERR(E2BIG, call(self->fd, calls[i].number, arg)) {
				TH_LOG("call %u byte %u", i, byte);
			}
			arg[calls[i].size + byte] = 0;
		}
		after = get_stats(self->fd);
		EXPECT_TRUE(same_use(&before, &after));
	}
}

/* The module looks at 64 KiB at most, so that nobody can make it look for long. */
TEST_F(node, B06_longest)
{
	static const struct {
		__u32 size;
		int err;
	} sizes[] = { { 16383, 0 }, { 65536, 0 }, { 65537, E2BIG }, { ~0, E2BIG } };
	static char arg[65536] __attribute__((aligned(8)));

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++) {
			memset(arg, 0, sizeof(arg));
			prepare(i, arg, self->fd);
			*(__u32 *)arg = sizes[s].size;
			EXPECT_ERR(sizes[s].err, call(self->fd, calls[i].number, arg)) {
				TH_LOG("call %u size %u", i, sizes[s].size);
			}
		}
	}
}

TEST_F(node, B07_other_kinds_of_files)
{
	struct buddy_pool_info info = { .size = sizeof(info) };
	int fd;

	fd = open_node(O_PATH);
	EXPECT_ERR(EBADF, call(fd, BUDDY_POOL_INFO, &info));
	close(fd);
	fd = open("/dev", O_RDONLY | O_DIRECTORY);
	EXPECT_ERR(ENOTTY, call(fd, BUDDY_POOL_INFO, &info));
	close(fd);
	fd = open("/dev/null", O_RDWR);
	EXPECT_ERR(ENOTTY, call(fd, BUDDY_POOL_INFO, &info));
	close(fd);
}

TEST_F(node, B08_bad_pointers_are_EFAULT)
{
	static const unsigned long pointers[] = {
		0, 1, -1UL, -4096UL,
#if __SIZEOF_POINTER__ == 8
		0xffff800000000000, 0x8000000000000000, 0x7ffffffff000, 0x800000000000,
#endif
	};

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		for (unsigned int p = 0; p < ARRAY_SIZE(pointers); p++) {
			EXPECT_ERR(EFAULT, call(self->fd, calls[i].number, (void *)pointers[p])) {
				TH_LOG("call %u pointer %#lx", i, pointers[p]);
			}
		}
	}
	EXPECT_EQ(0, bytes_in_use());
}

/* Two pages of which the second is not mapped; the start of the second. */
static char *page_end(void)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(p + PAGE, PAGE);
	return p + PAGE;
}

TEST_F(node, B09_struct_into_an_unmapped_page_is_EFAULT)
{
	char arg[LONGEST] __attribute__((aligned(8)));
	struct buddy_pool_stats before, after;
	char *end = page_end();

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		prepare(i, arg, self->fd);
		before = get_stats(self->fd);
		for (size_t inside = 1; inside < calls[i].size; inside++) {
			memcpy(end - inside, arg, inside);
			ASSERT_ERR(EFAULT, call(self->fd, calls[i].number, end - inside)) {
				TH_LOG("call %u, %zu bytes mapped", i, inside);
			}
		}
		after = get_stats(self->fd);
		EXPECT_TRUE(same_use(&before, &after));
	}
}

TEST_F(node, B09_struct_at_the_end_of_a_page)
{
	char *end = page_end();

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		prepare(i, end - calls[i].size, self->fd);
		EXPECT_OK(call(self->fd, calls[i].number, end - calls[i].size)) {
			TH_LOG("call %u", i);
		}
	}
}

/* What can't be answered must not be done. */
TEST_F(node, B09_read_only_answer_is_EFAULT_and_leaves_nothing)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct buddy_pool_stats before, after;

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		if (calls[i].silent)
			continue;
		prepare(i, page, self->fd);
		before = get_stats(self->fd);
		mprotect(page, PAGE, PROT_READ);
		for (int n = 0; n < 100; n++) {
			ASSERT_ERR(EFAULT, call(self->fd, calls[i].number, page)) {
				TH_LOG("call %u", i);
			}
		}
		mprotect(page, PAGE, PROT_READ | PROT_WRITE);
		after = get_stats(self->fd);
		EXPECT_TRUE(same_use(&before, &after)) {
			TH_LOG("call %u", i);
		}
	}
}

/* A call that has no answer does not need a place for one. */
TEST_F(node, B09_read_only_argument_of_a_silent_call)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		if (!calls[i].silent)
			continue;
		prepare(i, page, self->fd);
		mprotect(page, PAGE, PROT_READ);
		EXPECT_OK(call(self->fd, calls[i].number, page)) {
			TH_LOG("call %u", i);
		}
		mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	}
}

TEST_F(node, B09_read_only_refusal_is_EFAULT)
{
	struct buddy_pool_alloc *req;

	req = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*req = request(2 * self->info.length);
	mprotect(req, PAGE, PROT_READ);
	EXPECT_ERR(EFAULT, call(self->fd, BUDDY_POOL_ALLOC, req));
}

TEST_F(node, B11_struct_in_unreadable_memory_is_EFAULT)
{
	void *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (unsigned int i = 0; i < NR_CALLS; i++)
		EXPECT_ERR(EFAULT, call(self->fd, calls[i].number, page));
}

TEST_F(node, B11_struct_in_shared_memory)
{
	int fd = memfd_create("arguments", 0);
	void *page;

	ASSERT_EQ(0, ftruncate(fd, PAGE));
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (unsigned int i = 0; i < NR_CALLS; i++) {
		prepare(i, page, self->fd);
		EXPECT_OK(call(self->fd, calls[i].number, page));
	}
	close(fd);
}

TEST_F(node, B12_struct_at_an_odd_address)
{
	char valid[LONGEST] __attribute__((aligned(8))), odd[LONGEST];

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		prepare(i, valid, self->fd);
		memcpy(odd + 1, valid, calls[i].size);
		EXPECT_OK(call(self->fd, calls[i].number, odd + 1));
	}
}

TEST_F(node, B38_B21_info_and_stats_take_no_input)
{
	char arg[LONGEST] __attribute__((aligned(8)));
	size_t last;

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		if (calls[i].number != BUDDY_POOL_INFO && calls[i].number != BUDDY_POOL_STATS)
			continue;
		last = calls[i].number == BUDDY_POOL_STATS ?
		       offsetof(struct buddy_pool_stats, nr_orders) : calls[i].size;
		for (size_t byte = 4; byte < last; byte++) {
			fill_valid(i, arg, 0);
			arg[byte] = 1;
			EXPECT_ERR(EINVAL, call(self->fd, calls[i].number, arg)) {
				TH_LOG("call %u byte %zu", i, byte);
			}
		}
	}
}

TEST_F(node, B24_B28_B39_read_only_file)
{
	char arg[LONGEST] __attribute__((aligned(8)));
	int fd = open_node(O_RDONLY);

	for (unsigned int i = 0; i < NR_CALLS; i++) {
		fill_valid(i, arg, 1);
		EXPECT_ERR(calls[i].read_only, call(fd, calls[i].number, arg)) {
			TH_LOG("call %u", i);
		}
	}
	close(fd);
}

TEST_F(node, B24_write_only_file)
{
	struct buddy_pool_alloc block;
	int fd = open_node(O_WRONLY);

	EXPECT_OK(alloc_block(fd, PAGE, &block));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, block.map_offset));
	EXPECT_EQ(EACCES, errno);
	EXPECT_OK(free_handle(fd, block.handle));
	close(fd);
}

TEST_F(node, B25_handles_that_are_none_are_ENOENT)
{
	static const __u32 handles[] = { 0, 1, 2, 77, 0x80000000, ~0 };
	struct buddy_pool_free req;

	for (unsigned int i = 0; i < 6; i++) {
		req = (struct buddy_pool_free){ .size = sizeof(req), .handle = handles[i] };
		EXPECT_ERR(ENOENT, call(self->fd, BUDDY_POOL_FREE, &req));
		EXPECT_EQ(BUDDY_POOL_REASON_NO_HANDLE, req.reason);
	}
}

TEST_F(node, B25_double_free_is_ENOENT)
{
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_OK(free_handle(self->fd, block.handle));
	EXPECT_ERR(ENOENT, free_handle(self->fd, block.handle));
}

TEST_F(node, B25_a_freed_handle_is_not_given_out_again_soon)
{
	struct buddy_pool_alloc old, new;

	ASSERT_OK(alloc_block(self->fd, PAGE, &old));
	EXPECT_OK(free_handle(self->fd, old.handle));
	for (int i = 0; i < 1000; i++) {
		ASSERT_OK(alloc_block(self->fd, PAGE, &new));
		ASSERT_EQ(old.offset, new.offset);
		ASSERT_NE(old.handle, new.handle);
		ASSERT_ERR(ENOENT, free_handle(self->fd, old.handle));
		ASSERT_OK(free_handle(self->fd, new.handle));
	}
}

TEST_F(node, B26_D21_free_through_another_open_file_is_ENOENT)
{
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_ERR(ENOENT, free_handle(self->other, block.handle));
	EXPECT_EQ(PAGE, bytes_in_use());
	EXPECT_OK(free_handle(self->fd, block.handle));
}

TEST_F(node, B27_free_flags_and_out_fields_are_EINVAL)
{
	struct buddy_pool_free req;
	struct buddy_pool_alloc block;
	__u32 handle;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	handle = block.handle;
	for (unsigned int bit = 0; bit < 32; bit++) {
		req = (struct buddy_pool_free){ .size = sizeof(req), .handle = handle };
		req.flags = 1U << bit;
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_FREE, &req));
		req.flags = 0;
		req.reason = 1U << bit;
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_FREE, &req));
	}
	EXPECT_OK(free_handle(self->fd, handle));
}

TEST_F(node, B40_statistics_add_up_while_others_allocate)
{
	struct buddy_pool_alloc block;
	struct buddy_pool_stats s;
	pid_t pid = fork();

	if (!pid) {
		for (__u64 i = 0;; i++) {
			if (!alloc_block(self->other, PAGE << i % 5, &block))
				free_handle(self->other, block.handle);
		}
	}
	for (int i = 0; i < 3000; i++) {
		s = get_stats(self->fd);
		ASSERT_EQ(self->info.length, s.length);
		ASSERT_EQ(s.length, s.free + s.used + s.held + s.reserved);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_F(node, B41_I07_answers_have_no_stray_bytes)
{
	struct buddy_pool_order_stats orders[BUDDY_POOL_MAX_ORDERS];
	struct {
		struct buddy_pool_stats stats;
		__u64 after;
	} s = {
		.stats.size = sizeof(s.stats), .stats.nr_orders = BUDDY_POOL_MAX_ORDERS,
		.stats.orders = (uintptr_t)orders, .after = 0xaaaaaaaaaaaaaaaa,
	};

	memset(orders, 0xaa, sizeof(orders));
	ASSERT_OK(call(self->fd, BUDDY_POOL_STATS, &s.stats));
	EXPECT_EQ(0xaaaaaaaaaaaaaaaa, s.after);
	EXPECT_EQ(0, s.stats.flags);
	EXPECT_EQ((uintptr_t)orders, s.stats.orders);
	ASSERT_LT(s.stats.nr_orders, BUDDY_POOL_MAX_ORDERS);
	/* No pool of the tests has so many of anything. */
	for (unsigned int o = 0; o < s.stats.nr_orders; o++) {
		EXPECT_GT(1ULL << 40, orders[o].enqueues);
		EXPECT_EQ(orders[o].enqueues - orders[o].dequeues - orders[o].removes,
			  orders[o].count);
	}
	EXPECT_TRUE(all_bytes_are(orders + s.stats.nr_orders,
				  sizeof(orders) - s.stats.nr_orders * sizeof(*orders), 0xaa));
	for (size_t i = strlen(self->info.name); i < sizeof(self->info.name); i++)
		EXPECT_EQ(0, self->info.name[i]);
}

TEST_F(node, B41_info_makes_sense)
{
	const struct buddy_pool_info *info = &self->info;

	EXPECT_EQ(sizeof(*info), info->size);
	EXPECT_LE(info->uapi_min, BUDDY_POOL_UAPI_VERSION);
	EXPECT_GE(info->uapi_max, BUDDY_POOL_UAPI_VERSION);
	EXPECT_LE(PAGE, info->min_block);
	EXPECT_EQ(0, info->min_block & (info->min_block - 1));
	EXPECT_EQ(0, info->length % info->min_block);
	EXPECT_LE(info->min_alloc, info->max_alloc);
	EXPECT_LE(info->max_alloc, info->length);
	EXPECT_NE(0, info->backing);
	EXPECT_NE(0, info->cache);
	EXPECT_NE(NULL, strstr(node_path(), info->name));
}

/* Statistics before and after one allocation and its free */
TEST_F(node, B41_statistics_count)
{
	struct buddy_pool_stats before = get_stats(self->fd), during, after;
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_block(self->fd, 3 * PAGE + 1, &block));
	during = get_stats(self->other);
	EXPECT_OK(free_handle(self->fd, block.handle));
	after = get_stats(self->other);
	EXPECT_EQ(before.allocs + 1, during.allocs);
	EXPECT_EQ(before.requested + 3 * PAGE + 1, during.requested);
	EXPECT_EQ(before.granted + 4 * PAGE, during.granted);
	EXPECT_EQ(4 * PAGE, during.used);
	EXPECT_EQ(1, during.nr_blocks);
	EXPECT_EQ(before.free - 4 * PAGE, during.free);
	EXPECT_EQ(before.frees + 1, after.frees);
	EXPECT_EQ(before.free, after.free);
	EXPECT_EQ(before.largest, after.largest);
	EXPECT_GE(after.peak, 4 * PAGE);
	EXPECT_EQ(0, after.nr_blocks);
}

TEST_F(node, B42_bad_extents)
{
	const struct buddy_pool_extents valid = {
		.size = sizeof(valid), .entries = (uintptr_t)extents, .count = 4,
	};
	static const __u32 counts[] = { 0, 65537, 0x20000000, 0x80000000, ~0 };
	struct buddy_pool_extents req;

	for (int i = 0; i < 5; i++) {
		req = valid;
		req.count = counts[i];
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_EXTENTS, &req));
	}
	req = valid;
	req.flags = 1;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_EXTENTS, &req));
	req = valid;
	req.__reserved = 1;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_EXTENTS, &req));
	req = valid;
	req.next = 1;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_EXTENTS, &req));
	req = valid;
	req.start = self->info.length;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_EXTENTS, &req));
	req = valid;
	req.start = ~0ULL;
	EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_EXTENTS, &req));
	req = valid;
	req.entries = 0;
	EXPECT_ERR(EFAULT, call(self->fd, BUDDY_POOL_EXTENTS, &req));
	req = valid;
	req.entries = 0xffff800000000000;
	EXPECT_ERR(EFAULT, call(self->fd, BUDDY_POOL_EXTENTS, &req));
}

/* Walks the pool one extent at a time: no gap, no overlap, the right states. */
TEST_F(node, B41_B42_I07_extents_cover_the_pool)
{
	struct buddy_pool_extents req = { .next = 0 };
	struct buddy_pool_extent e;
	struct buddy_pool_alloc own, used;
	__u64 sums[4] = { 0 };

	ASSERT_OK(alloc_at(self->fd, 16 * PAGE, 3 * PAGE, &own));
	ASSERT_OK(alloc_at(self->other, 32 * PAGE, 5 * PAGE, &used));
	while (req.next < self->info.length) {
		req = (struct buddy_pool_extents){
			.size = sizeof(req), .start = req.next,
			.entries = (uintptr_t)&e, .count = 1,
		};
		ASSERT_OK(call(self->fd, BUDDY_POOL_EXTENTS, &req));
		ASSERT_EQ(1, req.count);
		ASSERT_EQ(req.start, e.offset);
		ASSERT_EQ(req.next, e.offset + e.length);
		ASSERT_TRUE(e.state >= BUDDY_POOL_STATE_FREE && e.state <= BUDDY_POOL_STATE_OWN);
		EXPECT_EQ(0, e.__reserved);
		sums[e.state] += e.length;
	}
	EXPECT_EQ(self->info.length, req.next);
	EXPECT_EQ(3 * PAGE, sums[BUDDY_POOL_STATE_OWN]);
	EXPECT_EQ(5 * PAGE, sums[BUDDY_POOL_STATE_USED]);
	EXPECT_EQ(self->info.length - 8 * PAGE, sums[BUDDY_POOL_STATE_FREE]);
}

TEST_F(node, B60_what_is_not_there)
{
	struct pollfd poll_fd = { .fd = self->fd, .events = POLLIN | POLLOUT };
	char byte = 0;

	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, lseek(self->fd, 0, SEEK_END));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, fsync(self->fd));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(1, poll(&poll_fd, 1, 0));
}

TEST_HARNESS_MAIN

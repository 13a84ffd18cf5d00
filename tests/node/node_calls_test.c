// SPDX-License-Identifier: GPL-2.0
/* QUERY, LIST, STATS by order, RESERVE, UNRESERVE, GET_PHYS; calls by other ways. */
#include <linux/io_uring.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "node.h"

#define POOL	(64 * MIB)

static int query(int fd, __u32 handle, struct buddy_pool_query *q)
{
	*q = (struct buddy_pool_query){ .size = sizeof(*q), .handle = handle };
	return call(fd, BUDDY_POOL_QUERY, q);
}

static int list(int fd, __u32 next, struct buddy_pool_query *entries, __u32 count,
		struct buddy_pool_list *l)
{
	*l = (struct buddy_pool_list){
		.size = sizeof(*l), .entries = (uintptr_t)entries, .count = count, .next = next,
	};
	return call(fd, BUDDY_POOL_LIST, l);
}

static int get_phys(int fd, __u32 handle, __u64 *address)
{
	struct buddy_pool_phys phys = { .size = sizeof(phys), .handle = handle };
	int err = call(fd, BUDDY_POOL_GET_PHYS, &phys);

	*address = phys.address;
	return err;
}

/* Runs @what in a child that has no capability, and returns its errno. */
static int as_nobody(int (*what)(int fd, const struct buddy_pool_alloc *block), int fd,
		     const struct buddy_pool_alloc *block)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setgid(65534) || setuid(65534))
			_exit(99);
		_exit(-what(fd, block));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -98;
}

/*
 * QUERY
 */

TEST_F(node, query_says_what_alloc_said)
{
	struct buddy_pool_alloc block = request(3 * PAGE);
	struct buddy_pool_query q;

	strcpy(block.label, "a label");
	ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC, &block));
	ASSERT_OK(query(self->fd, block.handle, &q));
	EXPECT_EQ(sizeof(q), q.size);
	EXPECT_EQ(0, q.flags);
	EXPECT_EQ(block.handle, q.handle);
	EXPECT_EQ(0, q.mappings);
	EXPECT_EQ(block.offset, q.offset);
	EXPECT_EQ(block.granted, q.granted);
	EXPECT_EQ(block.map_offset, q.map_offset);
	EXPECT_EQ(0, memcmp(block.label, q.label, sizeof(q.label)));
}

TEST_F(node, C40_query_counts_mappings)
{
	struct buddy_pool_alloc block;
	struct buddy_pool_query q;
	char *a, *b;

	ASSERT_OK(alloc_block(self->fd, 4 * PAGE, &block));
	a = map_block(self->fd, &block);
	b = map_block(self->fd, &block);
	ASSERT_OK(query(self->fd, block.handle, &q));
	EXPECT_EQ(2, q.mappings);
	/* A hole makes two of one. */
	EXPECT_EQ(0, munmap(a + PAGE, PAGE));
	ASSERT_OK(query(self->fd, block.handle, &q));
	EXPECT_EQ(3, q.mappings);
	EXPECT_EQ(0, munmap(a, 4 * PAGE));
	EXPECT_EQ(0, munmap(b, 4 * PAGE));
	ASSERT_OK(query(self->fd, block.handle, &q));
	EXPECT_EQ(0, q.mappings);
}

TEST_F(node, D21_B25_query_of_no_own_handle_is_ENOENT)
{
	struct buddy_pool_alloc own, freed, foreign;
	struct buddy_pool_query q;
	__u64 address;

	ASSERT_OK(alloc_block(self->fd, PAGE, &own));
	ASSERT_OK(alloc_block(self->fd, PAGE, &freed));
	ASSERT_OK(free_handle(self->fd, freed.handle));
	for (int i = 0; i < 10; i++)
		ASSERT_OK(alloc_block(self->other, PAGE, &foreign));
	const __u32 handles[] = { 0, freed.handle, foreign.handle, 1U << 31, ~0U };

	for (unsigned int i = 0; i < ARRAY_SIZE(handles); i++) {
		EXPECT_ERR(ENOENT, query(self->fd, handles[i], &q)) {
			TH_LOG("handle %u", handles[i]);
		}
		EXPECT_EQ(0, q.offset);
		EXPECT_EQ(0, q.granted);
		EXPECT_ERR(ENOENT, get_phys(self->fd, handles[i], &address));
		EXPECT_EQ(0, address);
	}
}

TEST_F(node, B20_B21_query_input_is_EINVAL)
{
	struct buddy_pool_query q;
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	for (size_t byte = 4; byte < sizeof(q); byte++) {
		if (byte >= offsetof(typeof(q), handle) && byte < offsetof(typeof(q), mappings))
			continue;
		q = (struct buddy_pool_query){ .size = sizeof(q), .handle = block.handle };
		((char *)&q)[byte] = 1;
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_QUERY, &q)) {
			TH_LOG("byte %zu", byte);
		}
	}
}

/*
 * LIST
 */

static struct buddy_pool_query entries[65536];

TEST_F(node, B42_list_in_pages)
{
	static const __u32 rooms[] = { 1, 7, 250, 999, 1000, 1001, 65536 };
	struct buddy_pool_alloc block;
	struct buddy_pool_list l;
	__u32 next, seen, last;

	for (int i = 0; i < 1000; i++)
		ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	for (unsigned int r = 0; r < ARRAY_SIZE(rooms); r++) {
		seen = 0;
		last = 0;
		next = 0;
		do {
			ASSERT_OK(list(self->fd, next, entries, rooms[r], &l));
			ASSERT_LE(l.count, rooms[r]);
			for (__u32 i = 0; i < l.count; i++) {
				ASSERT_LT(last, entries[i].handle);
				last = entries[i].handle;
			}
			seen += l.count;
			next = l.next;
		} while (next);
		EXPECT_EQ(1000, seen) {
			TH_LOG("room for %u", rooms[r]);
		}
	}
}

TEST_F(node, D13_list_has_only_what_this_file_has)
{
	struct buddy_pool_alloc a, b, c, foreign;
	struct buddy_pool_list l;

	ASSERT_OK(list(self->fd, 0, entries, 4, &l));
	EXPECT_EQ(0, l.count);
	EXPECT_EQ(0, l.next);
	ASSERT_OK(alloc_block(self->fd, PAGE, &a));
	ASSERT_OK(alloc_block(self->other, PAGE, &foreign));
	ASSERT_OK(alloc_block(self->fd, 2 * PAGE, &b));
	ASSERT_OK(alloc_block(self->fd, 3 * PAGE, &c));
	map_block(self->fd, &a);
	map_block(self->fd, &b);
	ASSERT_OK(free_handle(self->fd, b.handle));
	ASSERT_OK(list(self->fd, 0, entries, 4, &l));
	ASSERT_EQ(2, l.count);
	EXPECT_EQ(0, l.next);
	EXPECT_EQ(a.handle, entries[0].handle);
	EXPECT_EQ(1, entries[0].mappings);
	EXPECT_EQ(c.handle, entries[1].handle);
	EXPECT_EQ(3 * PAGE, entries[1].granted);
	EXPECT_EQ(c.offset, entries[1].offset);
	ASSERT_OK(list(self->fd, a.handle + 1, entries, 4, &l));
	EXPECT_EQ(1, l.count);
	ASSERT_OK(list(self->fd, ~0U, entries, 4, &l));
	EXPECT_EQ(0, l.count);
	EXPECT_EQ(0, l.next);
}

TEST_F(node, B42_list_counts_and_pointers)
{
	static const __u32 counts[] = { 0, 65537, 1U << 24, 1U << 29, 1U << 31, ~0U };
	struct buddy_pool_alloc block;
	struct buddy_pool_list l;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++)
		EXPECT_ERR(EINVAL, list(self->fd, 0, entries, counts[i], &l));
	EXPECT_ERR(EINVAL, list(self->fd, 0, NULL, 0, &l));
	EXPECT_ERR(EFAULT, list(self->fd, 0, NULL, 1, &l));
	for (unsigned int bit = 0; bit < 32; bit++) {
		l = (struct buddy_pool_list){
			.size = sizeof(l), .flags = 1U << bit, .count = 4,
			.entries = (uintptr_t)entries,
		};
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_LIST, &l));
	}
}

/* A pointer is 64 bits for everybody; a 32-bit program's upper half is not dropped. */
TEST_F(node, B49_upper_half_of_a_pointer)
{
	struct buddy_pool_alloc block;
	struct buddy_pool_list l;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	for (int bit = 47; bit < 64; bit++) {
		l = (struct buddy_pool_list){
			.size = sizeof(l), .count = 4,
			.entries = (uintptr_t)entries | 1ULL << bit,
		};
		if (l.entries == (uintptr_t)entries)
			continue;
		EXPECT_ERR(EFAULT, call(self->fd, BUDDY_POOL_LIST, &l)) {
			TH_LOG("bit %d", bit);
		}
	}
}

TEST_F(node, B41_I07_entries_have_no_stray_bytes)
{
	struct buddy_pool_query zero = { 0 };
	struct buddy_pool_alloc block;
	struct buddy_pool_list l;

	for (int i = 0; i < 3; i++)
		ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	memset(entries, 0xaa, 5 * sizeof(*entries));
	ASSERT_OK(list(self->fd, 0, entries, 5, &l));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(sizeof(*entries), entries[i].size);
		EXPECT_EQ(0, entries[i].flags);
		EXPECT_EQ(0, entries[i].mappings);
		EXPECT_EQ(0, memcmp(entries[i].label, zero.label, sizeof(zero.label)));
	}
	/* Nothing behind the last one is touched. */
	EXPECT_TRUE(all_bytes_are(entries + 3, 2 * sizeof(*entries), 0xaa));
}

TEST_F(node, B09_list_needs_room_for_what_there_is_only)
{
	struct buddy_pool_query *end;
	struct buddy_pool_alloc block;
	struct buddy_pool_list l;
	char *p;

	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, munmap(p + PAGE, PAGE));
	end = (void *)(p + PAGE);
	for (int i = 0; i < 2; i++)
		ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_OK(list(self->fd, 0, end - 2, 65536, &l));
	EXPECT_EQ(2, l.count);
	EXPECT_ERR(EFAULT, list(self->fd, 0, end - 1, 65536, &l));
}

/*
 * STATS by order
 */

static int stats_with(int fd, struct buddy_pool_order_stats *orders, __u32 nr,
		      struct buddy_pool_stats *s)
{
	*s = (struct buddy_pool_stats){
		.size = sizeof(*s), .orders = (uintptr_t)orders, .nr_orders = nr,
	};
	return call(fd, BUDDY_POOL_STATS, s);
}

TEST_F(node, B42_stats_by_order_fill_the_room_there_is)
{
	static const __u32 wrong[] = { 65, 1U << 27, 1U << 31, ~0U };
	struct buddy_pool_order_stats orders[65];
	struct buddy_pool_stats s;
	__u32 all;

	ASSERT_OK(stats_with(self->fd, NULL, 0, &s));
	all = s.nr_orders;
	ASSERT_LT(1, all);
	for (__u32 room = 1; room <= 64; room++) {
		__u32 filled = room < all ? room : all;

		memset(orders, 0xaa, sizeof(orders));
		ASSERT_OK(stats_with(self->fd, orders, room, &s));
		EXPECT_EQ(all, s.nr_orders);
		EXPECT_NE(0xaaaaaaaaaaaaaaaa, orders[filled - 1].count);
		EXPECT_TRUE(all_bytes_are(orders + filled, sizeof(*orders), 0xaa));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++)
		EXPECT_ERR(EINVAL, stats_with(self->fd, orders, wrong[i], &s));
	EXPECT_ERR(EFAULT, stats_with(self->fd, NULL, 1, &s));
	EXPECT_ERR(EFAULT, stats_with(self->fd, (void *)-PAGE, 64, &s));
}

TEST_F(node, B41_free_blocks_by_order_add_up)
{
	struct buddy_pool_alloc block;
	struct buddy_pool_stats s;
	struct orders orders;
	__u64 sum = 0;

	for (__u64 offset = 5 * PAGE; offset < POOL; offset += 3 * MIB + 3 * PAGE)
		ASSERT_OK(alloc_at(self->fd, offset, 3 * PAGE, &block));
	orders = get_orders(self->fd);
	s = get_stats(self->fd);
	for (__u32 o = 0; o < orders.nr; o++)
		sum += orders.of[o].count * (PAGE << o);
	EXPECT_EQ(s.free, sum);
	EXPECT_EQ(1000 - s.largest / PAGE * 1000 / (s.free / PAGE), s.fragmentation);
}

TEST_F(node, B41_fragmentation)
{
	struct buddy_pool_alloc block;

	EXPECT_EQ(0, get_stats(self->fd).fragmentation);
	ASSERT_OK(alloc_at(self->fd, POOL / 2 - PAGE, 2 * PAGE, &block));
	EXPECT_EQ(500, get_stats(self->fd).fragmentation);
	ASSERT_OK(free_handle(self->fd, block.handle));
	ASSERT_OK(alloc_block(self->fd, POOL, &block));
	EXPECT_EQ(0, get_stats(self->fd).fragmentation);
}

/*
 * RESERVE and UNRESERVE
 */

TEST_F(node, reserved_is_neither_free_nor_used)
{
	struct buddy_pool_stats s;
	struct buddy_pool_alloc block;
	struct buddy_pool_extent e;
	struct buddy_pool_extents extents = {
		.size = sizeof(extents), .start = RESERVED_OFFSET,
		.entries = (uintptr_t)&e, .count = 1,
	};

	ASSERT_OK(range_call(self->fd, BUDDY_POOL_RESERVE, RESERVED_OFFSET, PAGE));
	s = get_stats(self->other);
	EXPECT_EQ(PAGE, s.reserved);
	EXPECT_EQ(POOL - PAGE, s.free);
	EXPECT_EQ(0, s.used);
	ASSERT_OK(call(self->fd, BUDDY_POOL_EXTENTS, &extents));
	EXPECT_EQ(BUDDY_POOL_STATE_RESERVED, e.state);
	EXPECT_EQ(RESERVED_OFFSET, e.offset);
	EXPECT_EQ(PAGE, e.length);
	EXPECT_ERR(ENOSPC, alloc_at(self->fd, RESERVED_OFFSET, PAGE, &block));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, RESERVED_OFFSET));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_OK(range_call(self->other, BUDDY_POOL_UNRESERVE, RESERVED_OFFSET, PAGE));
	EXPECT_EQ(0, get_stats(self->fd).reserved);
	EXPECT_OK(alloc_at(self->fd, RESERVED_OFFSET, PAGE, &block));
}

TEST_F(node, reserve_what_is_in_use_is_EBUSY)
{
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_at(self->fd, 8 * PAGE, PAGE, &block));
	EXPECT_ERR(EBUSY, range_call(self->fd, BUDDY_POOL_RESERVE, 8 * PAGE, PAGE));
	EXPECT_ERR(EBUSY, range_call(self->fd, BUDDY_POOL_RESERVE, 6 * PAGE, 4 * PAGE));
	EXPECT_ERR(EBUSY, range_call(self->fd, BUDDY_POOL_RESERVE, 0, POOL));
	EXPECT_EQ(0, get_stats(self->fd).reserved);
	ASSERT_OK(range_call(self->fd, BUDDY_POOL_RESERVE, RESERVED_OFFSET, PAGE));
	EXPECT_ERR(EBUSY, range_call(self->fd, BUDDY_POOL_RESERVE, RESERVED_OFFSET, PAGE));
	EXPECT_ERR(EBUSY, range_call(self->fd, BUDDY_POOL_RESERVE, RESERVED_OFFSET - PAGE,
				     2 * PAGE));
	EXPECT_EQ(PAGE, get_stats(self->fd).reserved);
}

TEST_F(node, B55_B56_ranges_that_are_none)
{
	static const struct {
		__u64 offset;
		__u64 length;
		int err;
	} ranges[] = {
		{ 0, 0, EINVAL }, { 1, PAGE, EINVAL }, { 0, 1, EINVAL }, { PAGE, PAGE - 1, EINVAL },
		{ POOL, PAGE, ERANGE }, { POOL - PAGE, 2 * PAGE, ERANGE },
		{ 0, POOL + PAGE, ERANGE }, { -PAGE, PAGE, ERANGE },
		{ -PAGE, 2 * PAGE, ERANGE }, { PAGE, -PAGE, ERANGE },
		{ 0, -PAGE, ERANGE }, { 1ULL << 63, 1ULL << 63, ERANGE },
		{ 1ULL << 52, PAGE, ERANGE }, { 1ULL << 32, PAGE, ERANGE },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(ranges); i++) {
		EXPECT_ERR(ranges[i].err, range_call(self->fd, BUDDY_POOL_RESERVE,
						     ranges[i].offset, ranges[i].length)) {
			TH_LOG("range %u", i);
		}
		EXPECT_ERR(ENOENT, range_call(self->fd, BUDDY_POOL_UNRESERVE, ranges[i].offset,
					      ranges[i].length)) {
			TH_LOG("range %u", i);
		}
	}
	EXPECT_EQ(0, get_stats(self->fd).reserved);
	EXPECT_OK(range_call(self->fd, BUDDY_POOL_RESERVE, 0, POOL));
	EXPECT_EQ(0, get_stats(self->fd).free);
	EXPECT_OK(range_call(self->fd, BUDDY_POOL_UNRESERVE, 0, POOL));
	EXPECT_OK(range_call(self->fd, BUDDY_POOL_RESERVE, POOL - PAGE, PAGE));
	EXPECT_OK(range_call(self->fd, BUDDY_POOL_UNRESERVE, POOL - PAGE, PAGE));
}

TEST_F(node, B56_unreserve_only_as_it_was_reserved)
{
	const __u64 offset = 16 * PAGE, length = 8 * PAGE;
	struct buddy_pool_alloc block;

	ASSERT_OK(range_call(self->fd, BUDDY_POOL_RESERVE, offset, length));
	EXPECT_ERR(ENOENT, range_call(self->fd, BUDDY_POOL_UNRESERVE, offset, length - PAGE));
	EXPECT_ERR(ENOENT, range_call(self->fd, BUDDY_POOL_UNRESERVE, offset, length + PAGE));
	EXPECT_ERR(ENOENT, range_call(self->fd, BUDDY_POOL_UNRESERVE, offset + PAGE,
				      length - PAGE));
	EXPECT_ERR(ENOENT, range_call(self->fd, BUDDY_POOL_UNRESERVE, offset - PAGE, length));
	EXPECT_EQ(length, get_stats(self->fd).reserved);
	EXPECT_OK(range_call(self->fd, BUDDY_POOL_UNRESERVE, offset, length));
	EXPECT_ERR(ENOENT, range_call(self->fd, BUDDY_POOL_UNRESERVE, offset, length));
	/* A block is no reserved range. */
	ASSERT_OK(alloc_at(self->fd, offset, length, &block));
	EXPECT_ERR(ENOENT, range_call(self->fd, BUDDY_POOL_UNRESERVE, offset, length));
	EXPECT_OK(free_handle(self->fd, block.handle));
}

/* What is reserved is the pool's, not the open file's. */
TEST_F(node, D13_a_reserved_range_outlives_the_file)
{
	int fd = open_node(O_RDWR);

	ASSERT_OK(range_call(fd, BUDDY_POOL_RESERVE, RESERVED_OFFSET, PAGE));
	close(fd);
	EXPECT_EQ(PAGE, get_stats(self->fd).reserved);
}

/*
 * Capabilities
 */

static int try_reserve(int fd, const struct buddy_pool_alloc *block)
{
	return range_call(fd, BUDDY_POOL_RESERVE, RESERVED_OFFSET, PAGE);
}

static int try_unreserve(int fd, const struct buddy_pool_alloc *block)
{
	return range_call(fd, BUDDY_POOL_UNRESERVE, RESERVED_OFFSET, PAGE);
}

static int try_unreserve_nothing(int fd, const struct buddy_pool_alloc *block)
{
	return range_call(fd, BUDDY_POOL_UNRESERVE, 0, PAGE);
}

static int try_get_phys(int fd, const struct buddy_pool_alloc *block)
{
	__u64 address = 0;
	int err = get_phys(fd, block->handle, &address);

	return err && address ? -97 : err;
}

static int try_get_phys_of_nothing(int fd, const struct buddy_pool_alloc *block)
{
	__u64 address;

	return get_phys(fd, ~0, &address);
}

/* What a driver does all day */
static int try_to_work(int fd, const struct buddy_pool_alloc *inherited)
{
	struct buddy_pool_alloc block;
	int err = alloc_block(fd, PAGE, &block);
	char *p;

	if (err)
		return err;
	p = map_block(fd, &block);
	if (p == MAP_FAILED)
		return -errno;
	*p = 1;
	return free_handle(fd, block.handle) ?: free_handle(fd, inherited->handle);
}

TEST_F(node, B54_calls_that_ask_for_a_capability)
{
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_ERR(EPERM, as_nobody(try_get_phys, self->fd, &block));
	EXPECT_ERR(EPERM, as_nobody(try_get_phys_of_nothing, self->fd, &block));
	EXPECT_ERR(EPERM, as_nobody(try_reserve, self->fd, &block));
	ASSERT_OK(try_reserve(self->fd, &block));
	EXPECT_ERR(EPERM, as_nobody(try_unreserve, self->fd, &block));
	EXPECT_ERR(EPERM, as_nobody(try_unreserve_nothing, self->fd, &block));
	EXPECT_EQ(PAGE, get_stats(self->fd).reserved);
}

TEST_F(node, D20_an_open_file_works_without_credentials)
{
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_OK(as_nobody(try_to_work, self->fd, &block));
	EXPECT_EQ(0, bytes_in_use());
}

/* Root in a user namespace of its own has all capabilities there, which is nothing. */
TEST_F(node, B53_root_of_a_user_namespace_is_not_enough)
{
	struct buddy_pool_alloc block;
	int status;
	pid_t pid;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			_exit(99);
		_exit(try_reserve(self->fd, &block) != -EPERM ||
		      try_get_phys(self->fd, &block) != -EPERM);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		SKIP(return, "this kernel has no user namespaces");
	EXPECT_EQ(0, status);
}

TEST_F(node, B54_address_for_those_who_may_know)
{
	struct buddy_pool_alloc a, b;
	unsigned long long start, last;
	__u64 of_a, of_b;
	bool claimed = false;
	char line[256];
	FILE *f;

	ASSERT_OK(alloc_at(self->fd, 8 * PAGE, PAGE, &a));
	ASSERT_OK(alloc_at(self->fd, 32 * MIB, 2 * PAGE, &b));
	ASSERT_OK(get_phys(self->fd, a.handle, &of_a));
	ASSERT_OK(get_phys(self->fd, b.handle, &of_b));
	EXPECT_EQ(b.offset - a.offset, of_b - of_a);
	f = fopen("/proc/iomem", "r");
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, ": buddy_pool") && sscanf(line, "%llx-%llx", &start, &last) == 2)
			claimed |= start + a.offset == of_a && last == start + POOL - 1;
	}
	fclose(f);
	EXPECT_TRUE(claimed);
}

TEST_F(node, B20_B21_phys_and_range_input_is_EINVAL)
{
	struct buddy_pool_phys phys;
	struct buddy_pool_range range;
	struct buddy_pool_alloc block;

	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	for (size_t byte = 4; byte < sizeof(phys); byte++) {
		if (byte >= offsetof(typeof(phys), handle) &&
		    byte < offsetof(typeof(phys), __reserved))
			continue;
		phys = (struct buddy_pool_phys){ .size = sizeof(phys), .handle = block.handle };
		((char *)&phys)[byte] = 1;
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_GET_PHYS, &phys));
	}
	for (unsigned int bit = 0; bit < 32; bit++) {
		range = (struct buddy_pool_range){
			.size = sizeof(range), .flags = 1U << bit, .length = PAGE,
		};
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_RESERVE, &range));
		EXPECT_ERR(EINVAL, call(self->fd, BUDDY_POOL_UNRESERVE, &range));
	}
}

/*
 * TOP_DOWN
 */

/* The highest of the smallest free blocks that hold @length at @align, or ~0 */
static __u64 expected_top(int fd, __u64 length, __u64 align)
{
	static struct buddy_pool_extent extents[4096];
	struct buddy_pool_extents req = {
		.size = sizeof(req), .entries = (uintptr_t)extents, .count = ARRAY_SIZE(extents),
	};
	__u64 best = ~0ULL, top = ~0ULL, need = PAGE;

	if (call(fd, BUDDY_POOL_EXTENTS, &req) || req.next != POOL)
		return ~0ULL - 1;
	while (need < length || need < align)
		need <<= 1;
	for (__u32 i = 0; i < req.count; i++) {
		if (extents[i].state != BUDDY_POOL_STATE_FREE || extents[i].length < need ||
		    extents[i].length > best)
			continue;
		best = extents[i].length;
		top = (extents[i].offset + best - length) & -align;
	}
	return top;
}

TEST_F(node, top_down_takes_the_highest_place_of_the_best_fit)
{
	unsigned int seed = getpid(), placed = 0;
	struct buddy_pool_alloc block, req;
	__u64 want;

	TH_LOG("seed %u", seed);
	for (int i = 0; i < 60; i++)
		alloc_at(self->other, (__u64)(rand_r(&seed) % 16384) * PAGE,
			 (1 + rand_r(&seed) % 100) * PAGE, &block);
	for (int i = 0; i < 300; i++) {
		req = request((1 + rand_r(&seed) % 40) * PAGE);
		req.align = PAGE << rand_r(&seed) % 4;
		req.flags = BUDDY_POOL_ALLOC_TOP_DOWN;
		want = expected_top(self->fd, req.length, req.align);
		ASSERT_NE(~0ULL - 1, want);
		if (want == ~0ULL)
			break;
		ASSERT_OK(call(self->fd, BUDDY_POOL_ALLOC, &req));
		ASSERT_EQ(want, req.offset);
		ASSERT_EQ(req.length, req.granted);
		placed++;
	}
	EXPECT_LT(100, placed);
}

/*
 * Other ways into the kernel
 */

#define NO_SUCH_CALL	1

/* A command to the node by io_uring: its result, or NO_SUCH_CALL without io_uring */
static int uring_command(int fd, __u32 command)
{
	struct io_uring_params params = { };
	int ring = syscall(SYS_io_uring_setup, 1, &params);
	struct io_uring_sqe *sqe;
	unsigned int *sq;
	char *cq;

	if (ring < 0)
		return NO_SUCH_CALL;
	sq = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	cq = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	sqe = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED)
		abort();
	*sqe = (struct io_uring_sqe){ .opcode = IORING_OP_URING_CMD, .fd = fd };
	sqe->cmd_op = command;
	sq[params.sq_off.array / sizeof(*sq)] = 0;
	__atomic_store_n(&sq[params.sq_off.tail / sizeof(*sq)], 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return -errno;
	close(ring);
	return ((struct io_uring_cqe *)(cq + params.cq_off.cqes))->res;
}

TEST_F(node, B51_commands_by_io_uring_are_EOPNOTSUPP)
{
	int err = uring_command(self->fd, BUDDY_POOL_ALLOC);

	if (err == NO_SUCH_CALL)
		SKIP(return, "this kernel has no io_uring");
	EXPECT_EQ(-EOPNOTSUPP, err);
	EXPECT_EQ(0, bytes_in_use());
}

/* A set-user-ID program of root's copies its input to its output, which the node is. */
TEST_F(node, B51_a_set_user_ID_program_has_no_more_to_give)
{
	static const char copy[] = "/tmp/cat";
	struct buddy_pool_stats before, after;
	int status;
	pid_t pid;

	ASSERT_EQ(0, system("cp /bin/busybox /tmp/cat && chmod 4755 /tmp/cat"));
	before = get_stats(self->other);
	pid = fork();
	if (!pid) {
		if (setgid(65534) || setuid(65534))
			_exit(99);
		dup2(self->fd, 0);
		dup2(self->fd, 1);
		execl(copy, "cat", NULL);
		_exit(98);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	unlink(copy);
	EXPECT_EQ(1, WEXITSTATUS(status));
	after = get_stats(self->other);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
}

#ifdef __x86_64__
#define X32_BIT	0x40000000

/* As an x32 process does; no library is needed for that. */
static int x32_call(int fd, unsigned int request, void *low)
{
	return syscall(X32_BIT + 514, fd, request, low) ? -errno : 0;
}

TEST_F(node, B50_calls_from_x32)
{
	struct buddy_pool_alloc *req = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct buddy_pool_alloc block;

	if (syscall(X32_BIT + SYS_getpid) < 0)
		SKIP(return, "this kernel has no x32, or was not booted with syscall.x32=y");
	ASSERT_NE(MAP_FAILED, (void *)req);
	*req = request(3 * PAGE);
	ASSERT_OK(x32_call(self->fd, BUDDY_POOL_ALLOC, req));
	EXPECT_EQ(3 * PAGE, req->granted);
	EXPECT_ERR(ENOTTY, x32_call(self->fd, _IO(BUDDY_POOL_IOCTL_TYPE, 0xff), req));
	EXPECT_OK(free_handle(self->fd, req->handle));
	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	*(struct buddy_pool_free *)req = (struct buddy_pool_free){
		.size = sizeof(struct buddy_pool_free), .handle = block.handle,
	};
	EXPECT_OK(x32_call(self->fd, BUDDY_POOL_FREE, req));
	EXPECT_EQ(0, bytes_in_use());
}
#endif

TEST_HARNESS_MAIN

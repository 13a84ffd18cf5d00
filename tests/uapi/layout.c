// SPDX-License-Identifier: GPL-2.0
/*
 * The layout of the user API, for the compiler to compare: what stands here was
 * promised to programs. A struct may grow at its end; then its size changes
 * here, and nothing else. Compiled for 32 and 64 bits by scripts/check, which also
 * has pahole look for holes (rows O06 and O07).
 */
#include <stddef.h>

#include <linux/buddy_pool.h>

#define SIZE(name, size) \
	_Static_assert(sizeof(struct buddy_pool_##name) == (size), "size of " #name)
#define OFFSET(name, member, offset) \
	_Static_assert(offsetof(struct buddy_pool_##name, member) == (offset), \
		       #member " of " #name)
#define NUMBER(name, number) \
	_Static_assert((BUDDY_POOL_##name & 0xffff) == (0xbb00 | (number)), "number of " #name)

SIZE(info, 136);
OFFSET(info, size, 0);
OFFSET(info, flags, 4);
OFFSET(info, uapi_min, 8);
OFFSET(info, uapi_max, 12);
OFFSET(info, features, 16);
OFFSET(info, length, 24);
OFFSET(info, min_block, 32);
OFFSET(info, min_alloc, 40);
OFFSET(info, max_alloc, 48);
OFFSET(info, backing, 56);
OFFSET(info, cache, 60);
OFFSET(info, zero, 64);
OFFSET(info, driver_version, 68);
OFFSET(info, max_file_blocks, 72);
OFFSET(info, max_file_bytes, 80);
OFFSET(info, max_user_blocks, 88);
OFFSET(info, max_user_bytes, 96);
OFFSET(info, name, 104);

SIZE(alloc, 112);
OFFSET(alloc, size, 0);
OFFSET(alloc, flags, 4);
OFFSET(alloc, length, 8);
OFFSET(alloc, align, 16);
OFFSET(alloc, start, 24);
OFFSET(alloc, end, 32);
OFFSET(alloc, label, 40);
OFFSET(alloc, handle, 72);
OFFSET(alloc, reason, 76);
OFFSET(alloc, offset, 80);
OFFSET(alloc, granted, 88);
OFFSET(alloc, map_offset, 96);
OFFSET(alloc, largest, 104);

SIZE(free, 16);
OFFSET(free, size, 0);
OFFSET(free, flags, 4);
OFFSET(free, handle, 8);
OFFSET(free, reason, 12);

SIZE(order_stats, 32);
OFFSET(order_stats, enqueues, 0);
OFFSET(order_stats, dequeues, 8);
OFFSET(order_stats, removes, 16);
OFFSET(order_stats, count, 24);

SIZE(stats, 176);
OFFSET(stats, size, 0);
OFFSET(stats, flags, 4);
OFFSET(stats, length, 8);
OFFSET(stats, free, 16);
OFFSET(stats, used, 24);
OFFSET(stats, held, 32);
OFFSET(stats, reserved, 40);
OFFSET(stats, peak, 48);
OFFSET(stats, largest, 56);
OFFSET(stats, nr_blocks, 64);
OFFSET(stats, allocs, 72);
OFFSET(stats, frees, 80);
OFFSET(stats, splits, 88);
OFFSET(stats, merges, 96);
OFFSET(stats, out_of_space, 104);
OFFSET(stats, oversize, 112);
OFFSET(stats, undersize, 120);
OFFSET(stats, bad_frees, 128);
OFFSET(stats, requested, 136);
OFFSET(stats, granted, 144);
OFFSET(stats, fragmentation, 152);
OFFSET(stats, nr_orders, 156);
OFFSET(stats, orders, 160);
OFFSET(stats, zeroed, 168);

SIZE(extent, 24);
OFFSET(extent, offset, 0);
OFFSET(extent, length, 8);
OFFSET(extent, state, 16);
OFFSET(extent, __reserved, 20);

SIZE(extents, 40);
OFFSET(extents, size, 0);
OFFSET(extents, flags, 4);
OFFSET(extents, start, 8);
OFFSET(extents, entries, 16);
OFFSET(extents, count, 24);
OFFSET(extents, __reserved, 28);
OFFSET(extents, next, 32);

SIZE(query, 72);
OFFSET(query, size, 0);
OFFSET(query, flags, 4);
OFFSET(query, handle, 8);
OFFSET(query, mappings, 12);
OFFSET(query, offset, 16);
OFFSET(query, granted, 24);
OFFSET(query, map_offset, 32);
OFFSET(query, label, 40);

SIZE(list, 24);
OFFSET(list, size, 0);
OFFSET(list, flags, 4);
OFFSET(list, entries, 8);
OFFSET(list, count, 16);
OFFSET(list, next, 20);

SIZE(range, 24);
OFFSET(range, size, 0);
OFFSET(range, flags, 4);
OFFSET(range, offset, 8);
OFFSET(range, length, 16);

SIZE(phys, 24);
OFFSET(phys, size, 0);
OFFSET(phys, flags, 4);
OFFSET(phys, handle, 8);
OFFSET(phys, __reserved, 12);
OFFSET(phys, address, 16);

SIZE(block, 16);
OFFSET(block, handle, 0);
OFFSET(block, __reserved, 4);
OFFSET(block, offset, 8);

SIZE(alloc_batch, 104);
OFFSET(alloc_batch, size, 0);
OFFSET(alloc_batch, flags, 4);
OFFSET(alloc_batch, length, 8);
OFFSET(alloc_batch, align, 16);
OFFSET(alloc_batch, start, 24);
OFFSET(alloc_batch, end, 32);
OFFSET(alloc_batch, label, 40);
OFFSET(alloc_batch, blocks, 72);
OFFSET(alloc_batch, count, 80);
OFFSET(alloc_batch, reason, 84);
OFFSET(alloc_batch, granted, 88);
OFFSET(alloc_batch, largest, 96);

SIZE(free_batch, 24);
OFFSET(free_batch, size, 0);
OFFSET(free_batch, flags, 4);
OFFSET(free_batch, blocks, 8);
OFFSET(free_batch, count, 16);
OFFSET(free_batch, reason, 20);

NUMBER(INFO, 0x00);
NUMBER(ALLOC, 0x01);
NUMBER(FREE, 0x02);
NUMBER(STATS, 0x03);
NUMBER(EXTENTS, 0x04);
NUMBER(QUERY, 0x05);
NUMBER(LIST, 0x06);
NUMBER(RESERVE, 0x07);
NUMBER(UNRESERVE, 0x08);
NUMBER(GET_PHYS, 0x09);
NUMBER(ALLOC_BATCH, 0x0a);
NUMBER(FREE_BATCH, 0x0b);

/* For pahole, which looks at what is used */
struct buddy_pool_info info_layout;
struct buddy_pool_alloc alloc_layout;
struct buddy_pool_free free_layout;
struct buddy_pool_order_stats order_stats_layout;
struct buddy_pool_stats stats_layout;
struct buddy_pool_extent extent_layout;
struct buddy_pool_extents extents_layout;
struct buddy_pool_query query_layout;
struct buddy_pool_list list_layout;
struct buddy_pool_range range_layout;
struct buddy_pool_phys phys_layout;
struct buddy_pool_block block_layout;
struct buddy_pool_alloc_batch alloc_batch_layout;
struct buddy_pool_free_batch free_batch_layout;

// SPDX-License-Identifier: GPL-2.0
/*
 * The calls: one function for each ioctl, and mmap. What is said to people is in
 * explain.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbuddypool.h"

/* What one BUDDY_POOL_EXTENTS asks for: enough for most pools in one snapshot */
#define EXTENTS_PER_CALL	65536
#define BLOCKS_PER_CALL		1024

struct bp_pool {
	int fd;
	bool owned;
};

static int call(const struct bp_pool *pool, unsigned long request, void *arg)
{
	return ioctl(pool->fd, request, arg) ? -errno : 0;
}

/* A stale regular file in /dev, or some other device, must not get our ioctls. */
static int check_fd(int fd)
{
	struct buddy_pool_info info = { .size = sizeof(info) };
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENOTTY;
	return ioctl(fd, BUDDY_POOL_INFO, &info) ? -errno : 0;
}

static int wrap_fd(int fd, bool owned, struct bp_pool **pool)
{
	int err = check_fd(fd);

	if (err)
		return err;
	*pool = malloc(sizeof(**pool));
	if (!*pool)
		return -ENOMEM;
	(*pool)->fd = fd;
	(*pool)->owned = owned;
	return 0;
}

int bp_open(const char *name, int oflags, struct bp_pool **pool)
{
	char path[BUDDY_POOL_NAME_LEN + sizeof(BP_DIR "/")];
	int fd, err;

	if (!strchr(name, '/')) {
		if ((size_t)snprintf(path, sizeof(path), BP_DIR "/%s", name) >= sizeof(path))
			return -ENOENT;
		name = path;
	}
	fd = open(name, oflags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = wrap_fd(fd, true, pool);
	if (err)
		close(fd);
	return err;
}

int bp_from_fd(int fd, struct bp_pool **pool)
{
	return wrap_fd(fd, false, pool);
}

void bp_close(struct bp_pool *pool)
{
	if (!pool)
		return;
	if (pool->owned)
		close(pool->fd);
	free(pool);
}

int bp_fd(const struct bp_pool *pool)
{
	return pool->fd;
}

int bp_info(const struct bp_pool *pool, struct buddy_pool_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return call(pool, BUDDY_POOL_INFO, info);
}

int bp_alloc(const struct bp_pool *pool, struct buddy_pool_alloc *req)
{
	req->size = sizeof(*req);
	req->handle = 0;
	req->reason = 0;
	req->offset = 0;
	req->granted = 0;
	req->map_offset = 0;
	req->largest = 0;
	return call(pool, BUDDY_POOL_ALLOC, req);
}

int bp_free(const struct bp_pool *pool, __u32 handle, __u32 *reason)
{
	struct buddy_pool_free req = { .size = sizeof(req), .handle = handle };
	int err = call(pool, BUDDY_POOL_FREE, &req);

	if (reason)
		*reason = req.reason;
	return err;
}

int bp_stats(const struct bp_pool *pool, struct buddy_pool_stats *stats,
	     struct buddy_pool_order_stats orders[BUDDY_POOL_MAX_ORDERS])
{
	memset(stats, 0, sizeof(*stats));
	stats->size = sizeof(*stats);
	stats->orders = (uintptr_t)orders;
	stats->nr_orders = orders ? BUDDY_POOL_MAX_ORDERS : 0;
	return call(pool, BUDDY_POOL_STATS, stats);
}

int bp_alloc_batch(const struct bp_pool *pool, struct buddy_pool_alloc_batch *req,
		   struct buddy_pool_block *blocks)
{
	req->size = sizeof(*req);
	req->blocks = (uintptr_t)blocks;
	req->reason = 0;
	req->granted = 0;
	req->largest = 0;
	return call(pool, BUDDY_POOL_ALLOC_BATCH, req);
}

int bp_free_batch(const struct bp_pool *pool, const struct buddy_pool_block *blocks, __u32 count,
		  __u32 *reason)
{
	struct buddy_pool_free_batch req = {
		.size = sizeof(req), .blocks = (uintptr_t)blocks, .count = count,
	};
	int err = call(pool, BUDDY_POOL_FREE_BATCH, &req);

	if (reason)
		*reason = req.reason;
	return err;
}

int bp_query(const struct bp_pool *pool, __u32 handle, struct buddy_pool_query *query)
{
	memset(query, 0, sizeof(*query));
	query->size = sizeof(*query);
	query->handle = handle;
	return call(pool, BUDDY_POOL_QUERY, query);
}

int bp_get_phys(const struct bp_pool *pool, __u32 handle, __u64 *address)
{
	struct buddy_pool_phys req = { .size = sizeof(req), .handle = handle };
	int err = call(pool, BUDDY_POOL_GET_PHYS, &req);

	if (!err)
		*address = req.address;
	return err;
}

int bp_list(const struct bp_pool *pool, struct buddy_pool_query **blocks, size_t *count)
{
	struct buddy_pool_query *array = NULL, *longer;
	struct buddy_pool_list req = { .next = 0 };
	size_t n = 0;
	int err;

	do {
		longer = realloc(array, (n + BLOCKS_PER_CALL) * sizeof(*array));
		if (!longer) {
			err = -ENOMEM;
			break;
		}
		array = longer;
		req = (struct buddy_pool_list) {
			.size = sizeof(req), .next = req.next,
			.entries = (uintptr_t)(array + n), .count = BLOCKS_PER_CALL,
		};
		err = call(pool, BUDDY_POOL_LIST, &req);
		n += err ? 0 : req.count;
	} while (!err && req.next);
	if (err) {
		free(array);
		return err;
	}
	*blocks = array;
	*count = n;
	return 0;
}

static int change_range(const struct bp_pool *pool, unsigned long request, __u64 offset,
			__u64 length)
{
	struct buddy_pool_range range = {
		.size = sizeof(range), .offset = offset, .length = length,
	};

	return call(pool, request, &range);
}

int bp_reserve(const struct bp_pool *pool, __u64 offset, __u64 length)
{
	return change_range(pool, BUDDY_POOL_RESERVE, offset, length);
}

int bp_unreserve(const struct bp_pool *pool, __u64 offset, __u64 length)
{
	return change_range(pool, BUDDY_POOL_UNRESERVE, offset, length);
}

int bp_extents(const struct bp_pool *pool, struct buddy_pool_extent **extents, size_t *count)
{
	struct buddy_pool_extent *array = NULL, *longer;
	struct buddy_pool_extents req = { .next = 0 };
	struct buddy_pool_info info;
	size_t n = 0;
	int err = bp_info(pool, &info);

	while (!err && req.next < info.length) {
		longer = realloc(array, (n + EXTENTS_PER_CALL) * sizeof(*array));
		if (!longer) {
			err = -ENOMEM;
			break;
		}
		array = longer;
		req = (struct buddy_pool_extents) {
			.size = sizeof(req), .start = req.next,
			.entries = (uintptr_t)(array + n), .count = EXTENTS_PER_CALL,
		};
		err = call(pool, BUDDY_POOL_EXTENTS, &req);
		n += err ? 0 : req.count;
	}
	if (err) {
		free(array);
		return err;
	}
	*extents = array;
	*count = n;
	return 0;
}

int bp_map(const struct bp_pool *pool, const struct buddy_pool_alloc *block, int prot,
	   void **addr)
{
	void *p = mmap(NULL, block->granted, prot, MAP_SHARED, pool->fd, block->map_offset);

	if (p == MAP_FAILED)
		return -errno;
	*addr = p;
	return 0;
}

int bp_unmap(void *addr, const struct buddy_pool_alloc *block)
{
	return munmap(addr, block->granted) ? -errno : 0;
}

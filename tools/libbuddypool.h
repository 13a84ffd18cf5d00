/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libbuddypool: the ioctls of /dev/buddy_pool/<name> as functions, and sentences
 * for what can go wrong. Thin: the structs are those of the user API.
 *
 *	struct buddy_pool_alloc a = { .length = 65536 };
 *	struct bp_pool *pool;
 *	void *p;
 *
 *	err = bp_open("pool0", O_RDWR, &pool);
 *	err = bp_alloc(pool, &a);
 *	err = bp_map(pool, &a, PROT_READ | PROT_WRITE, &p);
 *
 * Functions that can fail return 0 or a negative errno. The caller sets the "in"
 * fields of a struct; size and "out" fields are set here. Blocks live until they
 * are freed, or until bp_close() and the end of every process that inherited the
 * file descriptor. A struct bp_pool has no state that changes: threads may share it.
 */
#ifndef LIBBUDDYPOOL_H
#define LIBBUDDYPOOL_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/buddy_pool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_DIR		"/dev/buddy_pool"
/* Room for the longest sentence that this library makes */
#define BP_TEXT_LEN	512
/* Room for a size made readable */
#define BP_SIZE_LEN	32

struct bp_pool;

/* @name is a pool's name or the path of its node; @oflags as for open(). */
int bp_open(const char *name, int oflags, struct bp_pool **pool);
/* A file that somebody else opened; bp_close() does not close it. */
int bp_from_fd(int fd, struct bp_pool **pool);
void bp_close(struct bp_pool *pool);
int bp_fd(const struct bp_pool *pool);

int bp_info(const struct bp_pool *pool, struct buddy_pool_info *info);
/* On refusal @req->reason and @req->largest say why and what would do. */
int bp_alloc(const struct bp_pool *pool, struct buddy_pool_alloc *req);
/* @reason may be NULL; on refusal it gets an enum buddy_pool_reason. */
int bp_free(const struct bp_pool *pool, __u32 handle, __u32 *reason);
/* @orders may be NULL; else it gets @stats->nr_orders elements. */
int bp_stats(const struct bp_pool *pool, struct buddy_pool_stats *stats,
	     struct buddy_pool_order_stats orders[BUDDY_POOL_MAX_ORDERS]);
/* Blocks are written to @blocks; as many as @req->count says, or none. */
int bp_alloc_batch(const struct bp_pool *pool, struct buddy_pool_alloc_batch *req,
		   struct buddy_pool_block *blocks);
/* Only the handles of @blocks count. @reason as for bp_free(). */
int bp_free_batch(const struct bp_pool *pool, const struct buddy_pool_block *blocks, __u32 count,
		  __u32 *reason);
int bp_query(const struct bp_pool *pool, __u32 handle, struct buddy_pool_query *query);
/* Needs CAP_SYS_RAWIO. */
int bp_get_phys(const struct bp_pool *pool, __u32 handle, __u64 *address);
/* All blocks of this open file in one array, which the caller passes to free(). */
int bp_list(const struct bp_pool *pool, struct buddy_pool_query **blocks, size_t *count);
/* Withdraws part of the pool, and gives it back as it was withdrawn. */
int bp_reserve(const struct bp_pool *pool, __u64 offset, __u64 length);
int bp_unreserve(const struct bp_pool *pool, __u64 offset, __u64 length);
/* All extents in one array, which the caller passes to free(). */
int bp_extents(const struct bp_pool *pool, struct buddy_pool_extent **extents, size_t *count);

/* The whole block @block; @prot as for mmap(). */
int bp_map(const struct bp_pool *pool, const struct buddy_pool_alloc *block, int prot,
	   void **addr);
int bp_unmap(void *addr, const struct buddy_pool_alloc *block);

/* One word for programs ("fragmented") and half a sentence for people. */
const char *bp_reason_name(__u32 reason);
const char *bp_reason_text(__u32 reason);
const char *bp_cache_name(__u32 cache);
const char *bp_backing_name(__u32 backing);
const char *bp_zero_name(__u32 zero);
const char *bp_errno_name(int err);

/*
 * Each puts into @text what went wrong and, where there is such a thing, what
 * would have worked. @err is what the function of that name returned.
 */
void bp_explain_open(char text[BP_TEXT_LEN], const char *name, int err);
void bp_explain_alloc(char text[BP_TEXT_LEN], const struct bp_pool *pool,
		      const struct buddy_pool_alloc *req, int err);
/* @what is "reserve" or "unreserve". */
void bp_explain_range(char text[BP_TEXT_LEN], const char *what, int err);
void bp_explain_free(char text[BP_TEXT_LEN], __u32 handle, __u32 reason, int err);

/* Whole numbers, decimal, 0x or 0 for octal, and at most one of K, M, G, T after. */
int bp_parse_size(const char *text, __u64 *size);
/* The largest unit that divides @size, so that bp_parse_size() gives it back. */
void bp_format_size(char text[BP_SIZE_LEN], __u64 size);

#ifdef __cplusplus
}
#endif

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks of open files: from the request to the last reference. All of it is for
 * any number of blocks at once, of which one is the most common.
 *
 *  1. buddy_blocks_alloc() charges the quota, takes memory from the pool and
 *     zeroes it. The blocks have handles that nobody can use yet.
 *  2. The user is told the handles. A bad pointer ends it here, without a trace.
 *  3. buddy_blocks_publish() makes the handles valid. Nothing can fail any more.
 *  4. buddy_blocks_remove() takes the handles away, buddy_blocks_put() their
 *     references. A block that has mappings is held until the last goes.
 */
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/overflow.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "buddy_chardev.h"
#include "buddy_compat.h"

/* That a process which exits may take for zeroing what it had in a file */
#define EXIT_TIME	HZ

static struct kmem_cache *block_cache;

/*
 * Handles
 *
 * Two trees of nodes in the blocks themselves: a handle is given and taken away
 * without memory of its own. A block whose handle is not valid yet is in the tree of
 * handles only.
 */

static int compare_handle(const void *key, const struct rb_node *link)
{
	u32 handle = rb_entry(link, struct buddy_block, handle_link)->handle;
	u32 wanted = *(const u32 *)key;

	return wanted < handle ? -1 : wanted > handle;
}

static int compare_block_handles(struct rb_node *new, const struct rb_node *link)
{
	return compare_handle(&rb_entry(new, struct buddy_block, handle_link)->handle, link);
}

static bool block_is_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct buddy_block, offset_link)->offset <
	       rb_entry(b, struct buddy_block, offset_link)->offset;
}

static int compare_offset(const void *key, const struct rb_node *link)
{
	const struct buddy_block *block = rb_entry(link, struct buddy_block, offset_link);
	u64 offset = *(const u64 *)key;

	if (offset < block->offset)
		return -1;
	return offset - block->offset >= block->length;
}

/* Has the block a handle that is valid? */
static bool is_published(const struct buddy_block *block)
{
	return !RB_EMPTY_NODE(&block->offset_link);
}

static void publish(struct buddy_file *file, struct buddy_block *block)
{
	rb_add(&block->offset_link, &file->by_offset, block_is_before);
}

static void unpublish(struct buddy_file *file, struct buddy_block *block)
{
	rb_erase(&block->offset_link, &file->by_offset);
	RB_CLEAR_NODE(&block->offset_link);
}

/**
 * buddy_file_find_handle() - the block of a file that has a handle
 * @file: the file, locked
 * @handle: any number
 *
 * Return: the block, or NULL if there is none, or not yet.
 */
struct buddy_block *buddy_file_find_handle(struct buddy_file *file, u32 handle)
{
	struct buddy_block *block;
	struct rb_node *link;

	lockdep_assert_held(&file->lock);
	link = rb_find(&handle, &file->by_handle, compare_handle);
	block = rb_entry_safe(link, struct buddy_block, handle_link);
	return block && is_published(block) ? block : NULL;
}

/**
 * buddy_file_find_next() - the block of a file with the least handle from one on
 * @file: the file, locked
 * @handle: any number
 *
 * Return: the block, or NULL if there is none.
 */
struct buddy_block *buddy_file_find_next(struct buddy_file *file, u32 handle)
{
	struct rb_node *link = file->by_handle.rb_node;
	struct buddy_block *block, *found = NULL;

	lockdep_assert_held(&file->lock);
	while (link) {
		block = rb_entry(link, struct buddy_block, handle_link);
		if (block->handle >= handle)
			found = block;
		link = block->handle_link.rb_left;
		if (block->handle < handle)
			link = block->handle_link.rb_right;
	}
	while (found && !is_published(found))
		found = rb_entry_safe(rb_next(&found->handle_link), struct buddy_block,
				      handle_link);
	return found;
}

/**
 * buddy_file_find() - the block of a file that an offset lies in
 * @file: the file, locked
 * @offset: in the range
 *
 * Return: the block, or NULL.
 */
struct buddy_block *buddy_file_find(struct buddy_file *file, u64 offset)
{
	struct rb_node *link;

	lockdep_assert_held(&file->lock);
	link = rb_find(&offset, &file->by_offset, compare_offset);
	return rb_entry_safe(link, struct buddy_block, offset_link);
}

/**
 * buddy_file_get_mapped() - the block that a mapping is to lie in
 * @file: the file
 * @offset: of the mapping's start in the range
 * @length: of the mapping in bytes
 *
 * Return: the block, with a reference for the mapping; or NULL if the mapping is
 * not all inside one block of @file.
 */
struct buddy_block *buddy_file_get_mapped(struct buddy_file *file, u64 offset, u64 length)
{
	struct buddy_block *block;

	guard(mutex)(&file->lock);
	block = buddy_file_find(file, offset);
	if (!block || length > block->length - (offset - block->offset))
		return NULL;
	refcount_inc(&block->ref);
	return block;
}

/* Handles count up, so that one which was freed is not soon another block's. */
static void reserve_handles(struct buddy_file *file, struct buddy_block **blocks, u32 count)
{
	u32 i;

	guard(mutex)(&file->lock);
	for (i = 0; i < count; i++) {
		do {
			/* 0 is none; after 2^32 there may be others in the way. */
			blocks[i]->handle = ++file->last_handle ?: ++file->last_handle;
		} while (rb_find_add(&blocks[i]->handle_link, &file->by_handle,
				     compare_block_handles));
	}
}

/**
 * buddy_blocks_publish() - make handles valid
 * @file: the file, which owns the blocks from here on
 * @blocks: the blocks
 * @count: how many
 */
void buddy_blocks_publish(struct buddy_file *file, struct buddy_block **blocks, u32 count)
{
	u32 i;

	guard(mutex)(&file->lock);
	for (i = 0; i < count; i++)
		publish(file, blocks[i]);
}

/**
 * buddy_blocks_remove() - take handles away, all or none
 * @file: the file
 * @entries: the handles, which may be any numbers
 * @blocks: set to the blocks, which the caller has to put
 * @count: how many
 *
 * Return: false, and nothing is changed, if there is no such handle, or one is
 * there twice.
 */
bool buddy_blocks_remove(struct buddy_file *file, const struct buddy_pool_block *entries,
			 struct buddy_block **blocks, u32 count)
{
	u32 i, n;

	guard(mutex)(&file->lock);
	for (n = 0; n < count; n++) {
		blocks[n] = buddy_file_find_handle(file, entries[n].handle);
		if (!blocks[n])
			break;
		/* So that a second look finds none */
		unpublish(file, blocks[n]);
	}
	for (i = 0; i < n; i++) {
		if (n < count)
			publish(file, blocks[i]);
		else
			rb_erase(&blocks[i]->handle_link, &file->by_handle);
	}
	return n == count;
}

/*
 * Memory
 */

/* Quotas are checked before, so that a refused request takes nothing. */
static u64 granted_length(const struct buddy_pool *pool, const struct buddy_pool_alloc *alloc)
{
	struct buddy_pool_limits limits;
	u64 length = alloc->length;

	buddy_pool_limits(pool, &limits);
	if (length > limits.size)
		return 0;	/* refused by the pool, which knows why */
	length = max(length + limits.min_block - 1, limits.min_block) & ~(limits.min_block - 1);
	if (alloc->flags & BUDDY_POOL_ALLOC_POW2)
		length = 1ULL << fls64(length - 1);
	return length;
}

/*
 * The window comes in offsets from the start of the range. One that begins there and
 * is not FIXED is no window to the pool, which can be quicker without.
 */
static bool to_request(const struct buddy_node *node, const struct buddy_pool_alloc *alloc,
		       struct buddy_pool_request *request)
{
	bool has_start = alloc->start || alloc->flags & BUDDY_POOL_ALLOC_FIXED;
	struct buddy_pool_limits limits;

	buddy_pool_limits(node->pool, &limits);
	if (alloc->start >= limits.size || alloc->end > limits.size)
		return false;
	*request = (struct buddy_pool_request){
		.size = alloc->length,
		.align = alloc->align,
		.start = has_start ? node->base + alloc->start : 0,
		.end = alloc->end ? node->base + alloc->end : 0,
		.flags = alloc->flags | BUDDY_POOL_MAY_SLEEP | BUDDY_POOL_WANT_LARGEST,
	};
	return true;
}

static int refuse(struct buddy_pool_alloc *alloc, int err, enum buddy_pool_reason reason,
		  u64 largest)
{
	alloc->reason = reason;
	alloc->largest = largest;
	return err;
}

/* Remembers for poll() since when there is no space. */
static int take_memory(struct buddy_file *file, const struct buddy_pool_request *request,
		       struct buddy_pool_alloc *alloc, struct buddy_block *block)
{
	struct buddy_node *node = file->node;
	struct buddy_pool_result result;
	u64 nr_freed;
	int err;

	err = buddy_pool_alloc_for_node(node->pool, request, &result, &nr_freed);
	if (err == -ENOSPC) {
		WRITE_ONCE(file->refused_at, nr_freed);
		WRITE_ONCE(file->refused, true);
		return refuse(alloc, err, result.reason, result.largest);
	}
	if (err)
		return refuse(alloc, err, result.reason, 0);
	block->offset = result.address - node->base;
	block->length = result.size;
	return 0;
}

/* The quota has no room, which does not matter to what can't be anyway. */
static int refuse_quota(struct buddy_file *file, const struct buddy_pool_request *request,
			struct buddy_pool_alloc *alloc, u64 left)
{
	enum buddy_pool_reason reason = buddy_pool_check(file->node->pool, request);

	if (reason)
		return refuse(alloc, -EINVAL, reason, 0);
	return refuse(alloc, -EDQUOT, BUDDY_POOL_REASON_QUOTA, left);
}

/* Before anybody else sees what is in the block; nothing if it is not the pool's way */
static int zero_new(const struct buddy_node *node, const struct buddy_block *block)
{
	enum buddy_pool_zero when = node->policy.zero;

	if (!buddy_pool_range(node->pool)->backing || when == BUDDY_POOL_ZERO_NEVER)
		return 0;
	return buddy_pool_zero_new(node->pool, block->offset, block->length,
				   when == BUDDY_POOL_ZERO_FREE, current);
}

/* A process that exits should be gone soon, however many blocks it had. */
static void zero_old(const struct buddy_node *node, const struct buddy_block *block)
{
	struct buddy_file *file = block->file;

	if (!buddy_pool_range(node->pool)->backing || node->policy.zero != BUDDY_POOL_ZERO_FREE)
		return;
	if (current->flags & PF_EXITING && !READ_ONCE(file->exit_until))
		WRITE_ONCE(file->exit_until, (jiffies + EXIT_TIME) | 1);
	buddy_pool_zero_old(node->pool, block->offset, block->length,
			    READ_ONCE(file->exit_until));
}

/* Memory for a block, zeroed if need be */
static int fill_block(struct buddy_file *file, const struct buddy_pool_request *request,
		      struct buddy_pool_alloc *alloc, struct buddy_block *block)
{
	struct buddy_node *node = file->node;
	int err;

	err = take_memory(file, request, alloc, block);
	if (err)
		return err;
	err = zero_new(node, block);
	if (err)
		buddy_pool_free(node->pool, node->base + block->offset, NULL);
	return err;
}

/* Blocks that nobody ever saw, of which the first @filled have memory */
static void forget_blocks(struct buddy_file *file, struct buddy_block **blocks, u32 count,
			  u32 filled, u64 charge)
{
	struct buddy_node *node = file->node;
	u32 i;

	buddy_quota_uncharge(file, count, charge);
	for (i = 0; i < filled; i++)
		buddy_pool_free(node->pool, node->base + blocks[i]->offset, NULL);
	kmem_cache_free_bulk(block_cache, count, (void **)blocks);
	/* That they came back is no reason to try again. */
	WRITE_ONCE(file->refused_at, READ_ONCE(file->refused_at) + filled);
}

static bool new_blocks(struct buddy_file *file, const char *label, struct buddy_block **blocks,
		       u32 count)
{
	u32 i;

	if (!kmem_cache_alloc_bulk(block_cache, GFP_KERNEL, count, (void **)blocks))
		return false;
	for (i = 0; i < count; i++) {
		*blocks[i] = (struct buddy_block){ .file = file };
		refcount_set(&blocks[i]->ref, 1);
		RB_CLEAR_NODE(&blocks[i]->offset_link);
		memcpy(blocks[i]->label, label, sizeof(blocks[i]->label));
	}
	return true;
}

/**
 * buddy_blocks_alloc() - blocks for a request, zeroed if need be
 * @file: whose blocks they are to be
 * @alloc: the request for each; its reason and largest are set on refusal
 * @blocks: set to the blocks, whose handles are not valid yet
 * @count: how many of them, all or none
 *
 * Return: 0 or an errno as in the user API.
 */
int buddy_blocks_alloc(struct buddy_file *file, struct buddy_pool_alloc *alloc,
		       struct buddy_block **blocks, u32 count)
{
	struct buddy_pool_request request;
	u64 charge, left;
	u32 filled;
	int err = 0;

	if (!to_request(file->node, alloc, &request))
		return refuse(alloc, -EINVAL, BUDDY_POOL_REASON_WINDOW, 0);
	if (check_mul_overflow(granted_length(file->node->pool, alloc), (u64)count, &charge))
		charge = U64_MAX;
	if (!buddy_quota_charge(file, count, charge, &left))
		return refuse_quota(file, &request, alloc, left);
	if (!new_blocks(file, alloc->label, blocks, count)) {
		buddy_quota_uncharge(file, count, charge);
		return refuse(alloc, -ENOMEM, BUDDY_POOL_REASON_MEMORY, 0);
	}
	for (filled = 0; filled < count; filled++) {
		err = fill_block(file, &request, alloc, blocks[filled]);
		if (err)
			break;
	}
	if (err)
		forget_blocks(file, blocks, count, filled, charge);
	else
		reserve_handles(file, blocks, count);
	return err;
}

/**
 * buddy_blocks_drop() - undo buddy_blocks_alloc()
 * @file: the file
 * @blocks: its blocks, whose handles were never valid
 * @count: how many
 */
void buddy_blocks_drop(struct buddy_file *file, struct buddy_block **blocks, u32 count)
{
	u32 i;

	scoped_guard(mutex, &file->lock)
		for (i = 0; i < count; i++)
			rb_erase(&blocks[i]->handle_link, &file->by_handle);
	forget_blocks(file, blocks, count, count, count * blocks[0]->length);
}

/*
 * References
 */

/* Blocks that nobody has any more. They may be in use in the statistics until now. */
static void free_blocks(struct buddy_file *file, struct buddy_block **blocks, u32 count)
{
	struct buddy_node *node = file->node;
	u64 bytes = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		zero_old(node, blocks[i]);
		bytes += blocks[i]->length;
	}
	/* First, for those who are woken when the memory is free */
	buddy_quota_uncharge(file, count, bytes);
	for (i = 0; i < count; i++)
		buddy_pool_free(node->pool, node->base + blocks[i]->offset, NULL);
	kmem_cache_free_bulk(block_cache, count, (void **)blocks);
}

/**
 * buddy_block_put_mapped() - drop a mapping's reference
 * @block: the block; if this is the last reference it was held, and is freed
 */
void buddy_block_put_mapped(struct buddy_block *block)
{
	struct buddy_node *node = block->file->node;

	if (refcount_dec_and_test(&block->ref)) {
		buddy_pool_unhold(node->pool, node->base + block->offset, block->length);
		free_blocks(block->file, &block, 1);
	}
}

/**
 * buddy_blocks_put() - drop the references of handles
 * @file: the file
 * @blocks: the blocks, whose handles are gone; no longer valid afterwards
 * @count: how many, at least one
 */
void buddy_blocks_put(struct buddy_file *file, struct buddy_block **blocks, u32 count)
{
	struct buddy_node *node = file->node;
	u32 i, last = 0;

	for (i = 0; i < count; i++) {
		struct buddy_block *block = blocks[i];

		/* Without its handle, nothing but a mapping can add a reference. */
		if (refcount_dec_if_one(&block->ref)) {
			blocks[last++] = block;
			continue;
		}
		buddy_pool_hold(node->pool, node->base + block->offset, block->length);
		buddy_block_put_mapped(block);
	}
	if (last)
		free_blocks(file, blocks, last);
}

/*
 * Where blocks come from
 */

/* Returns 0 or -ENOMEM. */
int buddy_block_init(void)
{
	/* Its place in a page is 114 bytes; 8 more point to the cgroup that pays. */
	static_assert(sizeof(struct buddy_block) <= 112);

	block_cache = bp_kmem_cache_create_unmerged("buddy_pool_block", sizeof(struct buddy_block),
						    __alignof__(struct buddy_block), SLAB_ACCOUNT);
	return block_cache ? 0 : -ENOMEM;
}

void buddy_block_exit(void)
{
	kmem_cache_destroy(block_cache);
}

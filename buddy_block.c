// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks of open files: from the request to the last reference.
 *
 *  1. buddy_block_alloc() charges the quota, takes memory from the pool and
 *     zeroes it. Nobody else knows the block.
 *  2. buddy_file_reserve() gives it a handle that nobody can use yet.
 *  3. The user is told the handle. A bad pointer ends it here, without a trace.
 *  4. buddy_file_publish() makes the handle valid. Nothing can fail any more.
 *  5. buddy_file_remove() takes the handle away, buddy_block_put_owned() its
 *     reference. If there are mappings the block is held until the last goes.
 */
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/slab.h>

#include "buddy_chardev.h"

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

/* The window comes in offsets from the start of the range. */
static bool to_request(const struct buddy_node *node, const struct buddy_pool_alloc *alloc,
		       struct buddy_pool_request *request)
{
	struct buddy_pool_limits limits;

	buddy_pool_limits(node->pool, &limits);
	if (alloc->start >= limits.size || alloc->end > limits.size)
		return false;
	*request = (struct buddy_pool_request){
		.size = alloc->length,
		.align = alloc->align,
		.start = node->base + alloc->start,
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
	u64 nr_freed = buddy_pool_nr_freed(node->pool);
	struct buddy_pool_result result;
	int err;

	err = buddy_pool_alloc_for_node(node->pool, request, &result);
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

/* The memory of a block goes back, and its charge. */
static void give_back(struct buddy_block *block)
{
	struct buddy_node *node = block->file->node;

	buddy_quota_uncharge(block->file, 1, block->length);
	buddy_pool_free(node->pool, node->base + block->offset, NULL);
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

/*
 * With BUDDY_POOL_ZERO_FREE, what only programs have had is zero. Kernel users
 * need not zero what they free, nor does who writes to a reserved range.
 */
static bool must_zero(const struct buddy_node *node)
{
	if (!buddy_pool_range(node->pool)->backing)
		return false;
	return node->policy.zero == BUDDY_POOL_ZERO_ALLOC ||
	       (node->policy.zero == BUDDY_POOL_ZERO_FREE && buddy_pool_is_shared(node->pool));
}

/**
 * buddy_block_alloc() - memory for a request, zeroed if need be
 * @file: whose block it is to be
 * @alloc: the request; its reason and largest are set on refusal
 *
 * Return: a block without a handle, or an ERR_PTR() as in the user API.
 */
struct buddy_block *buddy_block_alloc(struct buddy_file *file, struct buddy_pool_alloc *alloc)
{
	struct buddy_node *node = file->node;
	u64 length = granted_length(node->pool, alloc);
	struct buddy_pool_request request;
	struct buddy_block *block;
	u64 left;
	int err;

	if (!to_request(node, alloc, &request))
		return ERR_PTR(refuse(alloc, -EINVAL, BUDDY_POOL_REASON_WINDOW, 0));
	block = kzalloc(sizeof(*block), GFP_KERNEL_ACCOUNT);
	if (!block)
		return ERR_PTR(-ENOMEM);
	if (!buddy_quota_charge(file, 1, length, &left)) {
		kfree(block);
		return ERR_PTR(refuse_quota(file, &request, alloc, left));
	}
	refcount_set(&block->ref, 1);
	block->file = file;
	memcpy(block->label, alloc->label, sizeof(block->label));
	err = take_memory(file, &request, alloc, block);
	if (err) {
		buddy_quota_uncharge(file, 1, length);
		kfree(block);
		return ERR_PTR(err);
	}
	if (must_zero(node))
		err = buddy_pool_zero(node->pool, block->offset, block->length, true);
	if (err) {
		give_back(block);
		kfree(block);
		return ERR_PTR(err);
	}
	return block;
}

/**
 * buddy_block_free() - give back a block that nobody else has
 * @block: the block
 */
void buddy_block_free(struct buddy_block *block)
{
	struct buddy_node *node = block->file->node;
	const struct buddy_range *range = buddy_pool_range(node->pool);

	if (range->backing && node->policy.zero == BUDDY_POOL_ZERO_FREE)
		buddy_pool_zero(node->pool, block->offset, block->length, false);
	give_back(block);
	kfree(block);
}

/*
 * References
 */

/**
 * buddy_block_put_mapped() - drop a mapping's reference
 * @block: the block; if this is the last reference it was held, and is freed
 */
void buddy_block_put_mapped(struct buddy_block *block)
{
	struct buddy_node *node = block->file->node;

	if (refcount_dec_and_test(&block->ref)) {
		buddy_pool_unhold(node->pool, node->base + block->offset, block->length);
		buddy_block_free(block);
	}
}

/**
 * buddy_block_put_owned() - drop the handle's reference
 * @block: the block, whose handle is gone
 */
void buddy_block_put_owned(struct buddy_block *block)
{
	struct buddy_node *node = block->file->node;

	/* Without its handle, nothing but a mapping can add a reference. */
	if (refcount_dec_if_one(&block->ref)) {
		buddy_block_free(block);
		return;
	}
	buddy_pool_hold(node->pool, node->base + block->offset, block->length);
	buddy_block_put_mapped(block);
}

/*
 * Handles
 */

static bool block_is_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct buddy_block, link)->offset <
	       rb_entry(b, struct buddy_block, link)->offset;
}

static int compare_offset(const void *key, const struct rb_node *link)
{
	const struct buddy_block *block = rb_entry(link, struct buddy_block, link);
	u64 offset = *(const u64 *)key;

	if (offset < block->offset)
		return -1;
	return offset - block->offset >= block->length;
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
	return link ? rb_entry(link, struct buddy_block, link) : NULL;
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

/**
 * buddy_file_reserve() - give a block a handle that is not valid yet
 * @file: the file
 * @block: its block
 *
 * Return: 0 or -ENOMEM.
 */
int buddy_file_reserve(struct buddy_file *file, struct buddy_block *block)
{
	int err;

	guard(mutex)(&file->lock);
	err = xa_alloc_cyclic(&file->blocks, &block->handle, NULL, XA_LIMIT(1, U32_MAX),
			      &file->next_handle, GFP_KERNEL_ACCOUNT);
	return min(err, 0);
}

/**
 * buddy_file_unreserve() - take back what buddy_file_reserve() did
 * @file: the file
 * @block: its block
 */
void buddy_file_unreserve(struct buddy_file *file, struct buddy_block *block)
{
	xa_erase(&file->blocks, block->handle);
}

/**
 * buddy_file_publish() - make a reserved handle valid
 * @file: the file, which owns the block from here on
 * @block: its block
 */
void buddy_file_publish(struct buddy_file *file, struct buddy_block *block)
{
	guard(mutex)(&file->lock);
	/* Needs no memory, and so can't fail, since the entry is reserved */
	xa_store(&file->blocks, block->handle, block, GFP_KERNEL);
	rb_add(&block->link, &file->by_offset, block_is_before);
}

/**
 * buddy_file_remove() - take a handle away
 * @file: the file
 * @handle: any number
 *
 * Return: the block, which the caller has to put; or NULL if there is no such
 * handle.
 */
struct buddy_block *buddy_file_remove(struct buddy_file *file, u32 handle)
{
	struct buddy_block *block;

	guard(mutex)(&file->lock);
	/* NULL as well for a handle that is reserved only */
	block = xa_load(&file->blocks, handle);
	if (!block)
		return NULL;
	xa_erase(&file->blocks, handle);
	rb_erase(&block->link, &file->by_offset);
	return block;
}

/**
 * buddy_file_remove_many() - take many handles away, or none
 * @file: the file
 * @entries: the handles
 * @blocks: set to the blocks, which the caller has to put
 * @count: number of them
 *
 * Return: false, and nothing is changed, if there is no such handle, or one is
 * there twice.
 */
bool buddy_file_remove_many(struct buddy_file *file, const struct buddy_pool_block *entries,
			    struct buddy_block **blocks, u32 count)
{
	u32 i, n;

	guard(mutex)(&file->lock);
	for (n = 0; n < count; n++) {
		blocks[n] = xa_load(&file->blocks, entries[n].handle);
		if (!blocks[n])
			break;
		/* As reserved, so that a second look finds none; keeps the slot */
		xa_store(&file->blocks, entries[n].handle, XA_ZERO_ENTRY, GFP_KERNEL);
	}
	for (i = 0; i < n; i++) {
		if (n < count) {
			xa_store(&file->blocks, entries[i].handle, blocks[i], GFP_KERNEL);
			continue;
		}
		xa_erase(&file->blocks, entries[i].handle);
		rb_erase(&blocks[i]->link, &file->by_offset);
	}
	return n == count;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the device node share: nodes, open files, blocks, quotas.
 *
 * A node has a pool. An open file has blocks, each of which has a handle there.
 * A block's references are its handle and each mapping of it; with the last one
 * it returns to the pool. A mapping holds the open file, so an open file that
 * is released has no mappings left, and outlives all of its blocks. What the kernel
 * keeps of blocks is rows, which are of one or more; see buddy_block.c.
 */
#ifndef BUDDY_CHARDEV_H
#define BUDDY_CHARDEV_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>

#include "buddy_internal.h"

/**
 * struct buddy_user - what one user has of a node's pool
 * @link: in buddy_node.users
 * @uid: who it is
 * @nr_files: open files of this user; without one it goes
 * @blocks: number of blocks
 * @bytes: in them
 *
 * All under buddy_node.quota_lock.
 */
struct buddy_user {
	struct rb_node link;
	kuid_t uid;
	unsigned int nr_files;
	u64 blocks;
	u64 bytes;
};

/**
 * struct buddy_node - a pool's device node
 * @misc: its registration
 * @pool: the pool, with a reference
 * @ref: the creator and each open file
 * @limits: of the pool; constant. Offset 0 is at their base
 * @policy: rules for its files; constant
 * @files_lock: guards @files and @retired, and is held to add to @ref
 * @files: open files; those of one inode stand together
 * @retired: nobody may open it any more
 * @quota_lock: guards @users, and what files and users have
 * @users: users with open files
 * @rested: in jiffies, when blocks that go in a hurry have made up for the time that was
 *	spent on zeroing such, see zero_in_hurry()
 * @name: under /sys/class/misc
 * @path: under /dev
 */
struct buddy_node {
	struct miscdevice misc;
	struct buddy_pool *pool;
	struct kref ref;
	struct buddy_pool_limits limits;
	struct buddy_policy policy;
	struct mutex files_lock;	/* files */
	struct list_head files;
	bool retired;
	spinlock_t quota_lock;		/* what users and files have */
	struct rb_root users;
	atomic64_t rested;
	char name[sizeof("buddy_pool-") + BUDDY_POOL_NAME_LEN];
	char path[sizeof("buddy_pool/") + BUDDY_POOL_NAME_LEN];
};

/**
 * struct buddy_file - an open file
 * @node: its node, with a reference
 * @link: in buddy_node.files
 * @filp: the kernel's side of it, which has its mappings
 * @lock: guards the handles. Never held while user memory is accessed, so that
 *	an argument that faults, even for ever, holds up nobody else. mmap()
 *	takes it inside mmap_lock
 * @by_handle: its rows
 * @by_offset: those of them whose handles are valid
 * @last_handle: the handle given last
 * @spare: a row that is not used, or NULL; taken and put without @lock
 * @refused_at: buddy_pool_nr_relieved() when the last ALLOC found no space; 0 if none did
 * @user: whose file it is
 * @nr_blocks: its blocks, held ones included; buddy_node.quota_lock
 * @nr_bytes: likewise
 */
struct buddy_file {
	struct buddy_node *node;
	struct list_head link;
	struct file *filp;
	struct mutex lock;		/* the handles */
	struct rb_root by_handle;
	struct rb_root by_offset;
	u32 last_handle;
	struct buddy_row *spare;
	unsigned long refused_at;
	struct buddy_user *user;
	u64 nr_blocks;
	u64 nr_bytes;
};

/* The most blocks that a row has: the bits of buddy_row.live */
#define BUDDY_ROW_BLOCKS	64U

/**
 * struct buddy_row - blocks of one length, side by side, with handles in sequence
 * @ref: 1 for all handles, and each mapping, which only a row of one block has
 * @handle: of block 0
 * @handle_link: in buddy_file.by_handle, until the last handle goes
 * @offset_link: in buddy_file.by_offset, while the handles are valid
 * @offset: of block 0, from the start of the range
 * @length: of each block, in bytes
 * @live: bit n is set while block n has a handle. Bit 0 is, until none is
 * @label: from the user; terminated
 */
struct buddy_row {
	refcount_t ref;
	u32 handle;
	struct rb_node handle_link;
	struct rb_node offset_link;
	u64 offset;
	u64 length;
	u64 live;
	char label[BUDDY_POOL_LABEL_LEN];
};

/**
 * struct buddy_piece - blocks side by side whose handles are gone
 * @offset: of the first, from the start of the range
 * @length: of each, in bytes
 * @row: if they were the last of it, else NULL
 * @first: the first of them in the row
 * @count: how many
 */
struct buddy_piece {
	u64 offset;
	u64 length;
	struct buddy_row *row;
	u32 first;
	u32 count;
};

/* buddy_block.c; buddy_block_init() is in buddy_internal.h */
bool buddy_file_query(struct buddy_file *file, u32 handle, struct buddy_pool_query *query);
bool buddy_file_query_next(struct buddy_file *file, u32 handle, struct buddy_pool_query *query);
bool buddy_file_owns(struct buddy_file *file, u64 offset);
struct buddy_row *buddy_file_get_mapped(struct buddy_file *file, u64 offset, u64 length);
int buddy_blocks_alloc(struct buddy_file *file, struct buddy_pool_alloc *alloc,
		       struct buddy_row **rows, u32 count);
void buddy_rows_drop(struct buddy_file *file, struct buddy_row **rows, u32 nr);
void buddy_rows_publish(struct buddy_file *file, struct buddy_row **rows, u32 nr);
u32 buddy_blocks_remove(struct buddy_file *file, const struct buddy_pool_block *entries,
			struct buddy_piece *pieces, u32 count);
void buddy_pieces_put(struct buddy_file *file, struct buddy_piece *pieces, u32 nr);
void buddy_row_put_mapped(struct buddy_file *file, struct buddy_row *row);
void buddy_file_put_blocks(struct buddy_file *file);

/* buddy_quota.c */
int buddy_quota_open(struct buddy_file *file);
void buddy_quota_close(struct buddy_file *file);
bool buddy_quota_charge(struct buddy_file *file, u64 blocks, u64 bytes, u64 *left);
void buddy_quota_uncharge(struct buddy_file *file, u64 blocks, u64 bytes);

/* buddy_ioctl.c */
long buddy_file_ioctl(struct file *filp, unsigned int cmd, unsigned long argument);

#endif

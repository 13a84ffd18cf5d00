// SPDX-License-Identifier: GPL-2.0
/*
 * Quotas: how much of a pool one open file, and one user, may have at a time.
 *
 * What counts is what is taken from others: whole blocks, also those that are
 * freed but still mapped. The user is the one who opened the file, whoever uses
 * it later. Users of a namespace that somebody has made, who may make as many as he has
 * ids, are that one. (Who puts set-user-id files of those ids where they are heeded, and
 * runs them outside, is several: nothing tells whose ids they are.) All under
 * buddy_node.quota_lock, inside which nothing is taken.
 */
#include <linux/cleanup.h>
#include <linux/cred.h>
#include <linux/slab.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "buddy_chardev.h"

/* Of the namespaces around the task that are not root's own, who made the outermost one */
static kuid_t payer(void)
{
	const struct user_namespace *ns;
	kuid_t uid = current_fsuid();

	for (ns = current_user_ns(); ns->parent; ns = ns->parent)
		if (!uid_eq(ns->owner, GLOBAL_ROOT_UID))
			uid = ns->owner;
	return uid;
}

/* Root may have given out as many users as a namespace has: no list would do. */
static int compare_users(struct rb_node *a, const struct rb_node *b)
{
	kuid_t left = rb_entry(a, struct buddy_user, link)->uid;
	kuid_t right = rb_entry(b, struct buddy_user, link)->uid;

	return uid_lt(left, right) ? -1 : uid_gt(left, right);
}

/* Finds or makes the user of a new file. Returns 0 or -ENOMEM. */
int buddy_quota_open(struct buddy_file *file)
{
	struct buddy_node *node = file->node;
	struct buddy_user *spare;
	struct rb_node *found;

	spare = kzalloc(sizeof(*spare), GFP_KERNEL_ACCOUNT);
	if (!spare)
		return -ENOMEM;
	spare->uid = payer();
	scoped_guard(spinlock, &node->quota_lock) {
		found = rb_find_add(&spare->link, &node->users, compare_users);
		file->user = found ? rb_entry(found, struct buddy_user, link) : spare;
		file->user->nr_files++;
	}
	if (found)
		kfree(spare);
	return 0;
}

void buddy_quota_close(struct buddy_file *file)
{
	struct buddy_node *node = file->node;
	struct buddy_user *unused = NULL;

	scoped_guard(spinlock, &node->quota_lock) {
		if (!--file->user->nr_files) {
			unused = file->user;
			rb_erase(&unused->link, &node->users);
		}
	}
	kfree(unused);
}

/* What @used may grow by */
static u64 room(u64 used, u64 limit)
{
	return limit > used ? limit - used : 0;
}

/* fdinfo reads these without the lock. */
static void count(struct buddy_file *file, u64 blocks, u64 bytes)
{
	WRITE_ONCE(file->nr_blocks, file->nr_blocks + blocks);
	WRITE_ONCE(file->nr_bytes, file->nr_bytes + bytes);
}

/*
 * Counts @blocks more blocks with @bytes in all. Returns whether the quotas allow
 * that; if not, nothing is counted and @left is set to the bytes they do allow, or 0
 * if they don't allow so many blocks.
 */
bool buddy_quota_charge(struct buddy_file *file, u64 blocks, u64 bytes, u64 *left)
{
	const struct buddy_policy *policy = &file->node->policy;
	struct buddy_user *user = file->user;
	bool enough;

	guard(spinlock)(&file->node->quota_lock);
	enough = blocks <= room(file->nr_blocks, policy->max_file_blocks) &&
		 blocks <= room(user->blocks, policy->max_user_blocks);
	*left = min(room(file->nr_bytes, policy->max_file_bytes),
		    room(user->bytes, policy->max_user_bytes));
	if (!enough)
		*left = 0;
	if (!enough || bytes > *left)
		return false;
	count(file, blocks, bytes);
	user->blocks += blocks;
	user->bytes += bytes;
	return true;
}

void buddy_quota_uncharge(struct buddy_file *file, u64 blocks, u64 bytes)
{
	guard(spinlock)(&file->node->quota_lock);
	count(file, -blocks, -bytes);
	file->user->blocks -= blocks;
	file->user->bytes -= bytes;
}

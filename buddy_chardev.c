// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/buddy_pool/<name>: nodes, open files and mappings. The calls are in
 * buddy_ioctl.c, the blocks in buddy_block.c.
 *
 * The mmap offset of a block is its offset in the range, so that page offset
 * and page frame differ by a constant. The range of a mapping is checked
 * against the blocks of the open file when it is made, and can't grow.
 */
#define pr_fmt(fmt) "buddy_pool: " fmt

#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string_helpers.h>

#include "buddy_chardev.h"
#include "buddy_compat.h"

static void release_node(struct kref *ref)
{
	struct buddy_node *node = container_of(ref, struct buddy_node, ref);

	buddy_pool_put(node->pool);
	kfree(node);
}

/*
 * Mappings
 */

static void buddy_vma_open(struct vm_area_struct *vma)
{
	struct buddy_row *row = vma->vm_private_data;

	refcount_inc(&row->ref);
}

static void buddy_vma_close(struct vm_area_struct *vma)
{
	buddy_row_put_mapped(vma->vm_file->private_data, vma->vm_private_data);
}

static vm_fault_t buddy_vma_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct buddy_file *file = vma->vm_file->private_data;
	struct buddy_pool *pool = file->node->pool;
	unsigned long frame = buddy_pool_range(pool)->start >> PAGE_SHIFT;
	vm_fault_t result;

	/* Inside, so that no page appears after the node has zapped them all */
	switch (buddy_pool_try_enter_range(pool)) {
	case 0:
		break;
	case -EAGAIN:
		/* The access is tried again. mmap_lock is not kept for longer than a tick. */
		schedule_timeout_killable(1);
		return fatal_signal_pending(current) ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
	default:
		return VM_FAULT_SIGBUS;
	}
	result = vmf_insert_pfn(vma, vmf->address, frame + vmf->pgoff);
	buddy_pool_leave_range(pool);
	return result;
}

static const struct vm_operations_struct buddy_vma_ops = {
	.open = buddy_vma_open,
	.close = buddy_vma_close,
	.fault = buddy_vma_fault,
};

static int buddy_file_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct buddy_file *file = filp->private_data;
	const struct buddy_range *range = buddy_pool_range(file->node->pool);
	unsigned long length = vma->vm_end - vma->vm_start;
	struct buddy_row *row;

	if (!range->backing || buddy_pool_is_gone(file->node->pool))
		return -ENODEV;
	/* VM_MAYSHARE: a read-only file's shared mapping has not VM_SHARED. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if (vma->vm_pgoff > U64_MAX >> PAGE_SHIFT)
		return -EINVAL;
	row = buddy_file_get_mapped(file, (u64)vma->vm_pgoff << PAGE_SHIFT, length);
	if (IS_ERR(row))
		return PTR_ERR(row);
	bp_vm_flags_change(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP,
			   VM_MAYEXEC | (filp->f_mode & FMODE_WRITE ? 0 : VM_MAYWRITE));
	buddy_range_set_prot(range, vma);
	vma->vm_private_data = row;
	vma->vm_ops = &buddy_vma_ops;
	return 0;
}

/*
 * Files
 */

/*
 * A device may have nodes in several file systems, each with an address space of
 * its own. No inode may be kept for longer than a file is open, since its file
 * system may be unmounted then. Each address space is gone through once, however many
 * files share it: it may have very many mappings.
 */
static void zap_mappings(struct buddy_node *node)
{
	struct address_space *zapped = NULL;
	struct buddy_file *file;

	guard(mutex)(&node->files_lock);
	list_for_each_entry(file, &node->files, link) {
		if (file->filp->f_mapping == zapped)
			continue;
		zapped = file->filp->f_mapping;
		unmap_mapping_range(zapped, 0, 0, true);
	}
}

/* In front of those of the same inode, which as a rule are all there are */
static void add_file(struct buddy_node *node, struct buddy_file *file)
{
	struct buddy_file *other;

	list_for_each_entry(other, &node->files, link)
		if (other->filp->f_mapping == file->filp->f_mapping)
			break;
	/* If there is none, this is the list itself: at the end. */
	list_add_tail(&file->link, &other->link);
}

static int enter_node(struct buddy_node *node, struct buddy_file *file)
{
	guard(mutex)(&node->files_lock);
	if (node->retired)
		return -ENODEV;
	kref_get(&node->ref);
	add_file(node, file);
	return 0;
}

static int buddy_file_open(struct inode *inode, struct file *filp)
{
	struct buddy_node *node = container_of(filp->private_data, struct buddy_node, misc);
	struct buddy_file *file;
	int err;

	/* If another pool can't be made, the module goes without asking who has files. */
	if (READ_ONCE(THIS_MODULE->state) == MODULE_STATE_COMING)
		return -ENODEV;
	/* What others left behind is for those who may read all memory anyway. */
	if (node->policy.zero == BUDDY_POOL_ZERO_NEVER && !node->policy.share_dirty &&
	    !capable(CAP_SYS_RAWIO))
		return -EPERM;
	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return -ENOMEM;
	mutex_init(&file->lock);
	file->by_handle = RB_ROOT;
	file->by_offset = RB_ROOT;
	file->node = node;
	err = buddy_quota_open(file);
	if (err) {
		kfree(file);
		return err;
	}
	file->filp = filp;
	err = enter_node(node, file);
	if (err) {
		buddy_quota_close(file);
		kfree(file);
		return err;
	}
	filp->private_data = file;
	return nonseekable_open(inode, filp);
}

static int buddy_file_release(struct inode *inode, struct file *filp)
{
	struct buddy_file *file = filp->private_data;

	scoped_guard(mutex, &file->node->files_lock)
		list_del(&file->link);
	/* Nobody else has the file, so there are neither calls nor mappings. */
	buddy_file_put_blocks(file);
	buddy_quota_close(file);
	kref_put(&file->node->ref, release_node);
	kfree(file);
	return 0;
}

/* Readable as soon as space was freed since the last request that found none */
static __poll_t buddy_file_poll(struct file *filp, struct poll_table_struct *table)
{
	struct buddy_file *file = filp->private_data;
	struct buddy_pool *pool = file->node->pool;

	poll_wait(filp, buddy_pool_space_queue(pool), table);
	if (buddy_pool_is_gone(pool))
		return EPOLLERR | EPOLLHUP;
	if (buddy_pool_nr_relieved(pool) == READ_ONCE(file->refused_at))
		return 0;
	return EPOLLIN | EPOLLRDNORM;
}

#define MAX_BLOCKS_SHOWN	1000

static void buddy_file_show_fdinfo(struct seq_file *seq, struct file *filp)
{
	struct buddy_file *file = filp->private_data;
	struct buddy_pool_query block;
	unsigned int n = 0;
	u32 handle = 0;

	guard(mutex)(&file->lock);
	seq_printf(seq, "pool:\t%s\nblocks:\t%llu\nbytes:\t%llu\n",
		   buddy_pool_name(file->node->pool), READ_ONCE(file->nr_blocks),
		   READ_ONCE(file->nr_bytes));
	while (buddy_file_query_next(file, handle, &block)) {
		if (n++ == MAX_BLOCKS_SHOWN) {
			seq_puts(seq, "more:\tBUDDY_POOL_LIST has them\n");
			return;
		}
		seq_printf(seq, "block:\t%u at %#llx, %llu bytes, %u mappings, %s\n", block.handle,
			   block.offset, block.granted, block.mappings, block.label);
		handle = block.handle + 1;
		if (!handle)
			break;
	}
}

static const struct file_operations buddy_file_ops = {
	.owner = THIS_MODULE,
	.open = buddy_file_open,
	.release = buddy_file_release,
	.unlocked_ioctl = buddy_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = buddy_file_mmap,
	.poll = buddy_file_poll,
	.show_fdinfo = buddy_file_show_fdinfo,
};

static void log_pool(struct buddy_pool *pool)
{
	static const char *const caches[] = { "", "uc", "wc", "wb" };
	const struct buddy_range *range = buddy_pool_range(pool);
	struct buddy_pool_limits limits;
	char total[16], block[16], where[96];

	buddy_pool_limits(pool, &limits);
	string_get_size(limits.size, 1, STRING_UNITS_2, total, sizeof(total));
	string_get_size(limits.min_block, 1, STRING_UNITS_2, block, sizeof(block));
	pr_info("%s: %s %s, min block %s, %s\n", buddy_pool_name(pool), total,
		buddy_range_describe(range, where, sizeof(where)), block, caches[range->cache]);
}

/**
 * buddy_node_create() - give a pool a device node, and publish the pool
 * @pool: the pool, which is found by its name once it has the node, not before; the
 *	node takes a reference of its own
 * @policy: rules for its files; copied
 * @task: the process that asked for it; a fatal signal to it ends this. NULL if it is not
 *	known: then nothing is done that may take long, and blocks are zeroed when they are
 *	first had
 *
 * Return: the node or an ERR_PTR().
 */
struct buddy_node *buddy_node_create(struct buddy_pool *pool, const struct buddy_policy *policy,
				     struct task_struct *task)
{
	struct buddy_node *node;
	int err;

	/* Blocks that are zeroed when they are given back must be zero to begin with. */
	if (policy->zero == BUDDY_POOL_ZERO_FREE && task) {
		err = buddy_pool_zero_all(pool, task);
		if (err)
			return ERR_PTR(err);
	}
	node = kzalloc(sizeof(*node), GFP_KERNEL);
	if (!node)
		return ERR_PTR(-ENOMEM);
	kref_init(&node->ref);
	buddy_pool_limits(pool, &node->limits);
	node->policy = *policy;
	mutex_init(&node->files_lock);
	INIT_LIST_HEAD(&node->files);
	spin_lock_init(&node->quota_lock);
	node->users = RB_ROOT;
	scnprintf(node->name, sizeof(node->name), "buddy_pool-%s", buddy_pool_name(pool));
	scnprintf(node->path, sizeof(node->path), "buddy_pool/%s", buddy_pool_name(pool));
	node->misc = (struct miscdevice){
		.minor = MISC_DYNAMIC_MINOR,
		.name = node->name,
		.nodename = node->path,
		.fops = &buddy_file_ops,
		.mode = 0600,
	};
	buddy_pool_ref(pool);
	node->pool = pool;
	err = misc_register(&node->misc);
	if (err) {
		pr_err("%s: no device node: %d\n", buddy_pool_name(pool), err);
		kref_put(&node->ref, release_node);
		return ERR_PTR(err);
	}
	buddy_pool_publish(pool);
	log_pool(pool);
	return node;
}

/**
 * buddy_node_pause() - take all mappings away for a while
 * @node: the node. An access through a mapping waits from here on, and so does a call
 *	that would zero memory
 */
void buddy_node_pause(struct buddy_node *node)
{
	buddy_pool_pause(node->pool);
	zap_mappings(node);
}

/**
 * buddy_node_resume() - let accesses through mappings go on
 * @node: the node
 */
void buddy_node_resume(struct buddy_node *node)
{
	buddy_pool_resume(node->pool);
}

/**
 * buddy_node_retire() - let nobody in any more, if nobody is
 * @node: the node. On success buddy_node_destroy() must follow
 *
 * Return: 0; -EBUSY if the node has an open file, or its pool a kernel client.
 */
int buddy_node_retire(struct buddy_node *node)
{
	int err;

	guard(mutex)(&node->files_lock);
	if (kref_read(&node->ref) > 1)
		return -EBUSY;
	err = buddy_pool_retire(node->pool);
	if (!err)
		node->retired = true;
	return err;
}

/**
 * buddy_node_destroy() - take the device node away, and all mappings
 * @node: the node. Open files keep what they need of it, but every call and
 *	every access through a mapping fails from here on
 *
 * Does not wait for user space.
 */
void buddy_node_destroy(struct buddy_node *node)
{
	buddy_pool_mark_gone(node->pool);
	/*
	 * No more faults, so no page is missed: who has one has been in the list since
	 * before. First, since the rest takes its time.
	 */
	zap_mappings(node);
	misc_deregister(&node->misc);
	buddy_pool_free_name(node->pool);
	kref_put(&node->ref, release_node);
}

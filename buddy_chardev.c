// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/buddy_pool/<name>: blocks for user space.
 *
 * A block belongs to the open file that allocated it, by a handle that means
 * nothing in any other. Its references are its handle and each mapping; with
 * the last one it returns to the pool. A mapping holds the open file, so once
 * the file is released there are no mappings, and dropping the handles frees
 * everything.
 *
 * The mmap offset of a block is its offset in the range, so that page offset
 * and page frame differ by a constant. The range of a mapping is checked
 * against the blocks of the open file when it is made, and can't grow.
 *
 * Locking: buddy_file.lock guards the handles of one open file. It is never
 * held while user memory is accessed, so that a page fault in an argument, or
 * one that never ends, holds up nobody else. mmap() takes it inside mmap_lock.
 */
#define pr_fmt(fmt) "buddy_pool: " fmt

#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "buddy_compat.h"
#include "buddy_internal.h"

struct buddy_node {
	struct miscdevice misc;
	struct buddy_pool *pool;
	struct kref ref;		/* the creator, and each open file */
	u64 base;			/* address of offset 0 */
	enum buddy_zero zero;
	char name[sizeof("buddy_pool-") + BUDDY_POOL_NAME_LEN];
	char path[sizeof("buddy_pool/") + BUDDY_POOL_NAME_LEN];
};

struct buddy_file {
	struct buddy_node *node;
	struct mutex lock;		/* guards all below */
	struct xarray blocks;		/* by handle; allocated from 1 up */
	struct rb_root by_offset;	/* the same */
	u32 next_handle;
};

struct buddy_block {
	refcount_t ref;			/* the handle, and each mapping */
	u32 handle;
	struct buddy_node *node;
	struct rb_node link;		/* buddy_file.by_offset */
	u64 offset;
	u64 length;
	char label[BUDDY_POOL_LABEL_LEN];
};

/* All that a call may have in and out; copied once each way */
union buddy_ucmd {
	struct buddy_pool_info info;
	struct buddy_pool_alloc alloc;
	struct buddy_pool_free free;
	struct buddy_pool_stats stats;
	struct buddy_pool_extents extents;
};

/*
 * Nodes
 */

static void release_node(struct kref *ref)
{
	struct buddy_node *node = container_of(ref, struct buddy_node, ref);

	buddy_pool_put(node->pool);
	kfree(node);
}

/*
 * Blocks
 */

/* Give the memory of a block back, and the block */
static void free_block(struct buddy_block *block)
{
	struct buddy_node *node = block->node;

	buddy_pool_free(node->pool, node->base + block->offset, NULL);
	kfree(block);
}

/* Drop a mapping's reference; the last one frees a block that was held. */
static void put_mapped_block(struct buddy_block *block)
{
	if (refcount_dec_and_test(&block->ref)) {
		buddy_pool_unhold(block->node->pool, block->node->base + block->offset,
				  block->length);
		free_block(block);
	}
}

/* Drop the handle's reference. Mappings, if any, hold the block from then on. */
static void put_owned_block(struct buddy_block *block)
{
	/* Without its handle, nothing but a mapping can add a reference. */
	if (refcount_dec_if_one(&block->ref)) {
		free_block(block);
		return;
	}
	buddy_pool_hold(block->node->pool, block->node->base + block->offset, block->length);
	put_mapped_block(block);
}

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

/* The block of this file that @offset lies in, or NULL */
static struct buddy_block *find_block(struct buddy_file *file, u64 offset)
{
	struct rb_node *link;

	lockdep_assert_held(&file->lock);
	link = rb_find(&offset, &file->by_offset, compare_offset);
	return link ? rb_entry(link, struct buddy_block, link) : NULL;
}

/* Takes the handle away; the block is the caller's then, who must put it. */
static struct buddy_block *remove_handle(struct buddy_file *file, u32 handle)
{
	struct buddy_block *block;

	guard(mutex)(&file->lock);
	/* NULL as well if the handle is reserved, and not yet published */
	block = xa_load(&file->blocks, handle);
	if (!block)
		return NULL;
	xa_erase(&file->blocks, handle);
	rb_erase(&block->link, &file->by_offset);
	return block;
}

static int reserve_handle(struct buddy_file *file, u32 *handle)
{
	int err;

	guard(mutex)(&file->lock);
	err = xa_alloc_cyclic(&file->blocks, handle, NULL, XA_LIMIT(1, U32_MAX),
			      &file->next_handle, GFP_KERNEL_ACCOUNT);
	return min(err, 0);
}

/* From here on the file owns @block. Can't fail, since the entry is reserved. */
static void publish_block(struct buddy_file *file, struct buddy_block *block)
{
	guard(mutex)(&file->lock);
	xa_store(&file->blocks, block->handle, block, GFP_KERNEL);
	rb_add(&block->link, &file->by_offset, block_is_before);
}

/*
 * Calls
 */

static int respond(void __user *arg, const union buddy_ucmd *ucmd, size_t size)
{
	return copy_to_user(arg, ucmd, size) ? -EFAULT : 0;
}

static int do_info(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		   size_t size)
{
	struct buddy_pool_info *info = &ucmd->info;
	struct buddy_pool_limits limits;
	const struct buddy_range *range = buddy_pool_range(file->node->pool);

	if (memchr_inv(&info->flags, 0, sizeof(*info) - offsetof(typeof(*info), flags)))
		return -EINVAL;
	buddy_pool_limits(file->node->pool, &limits);
	info->uapi_min = 1;
	info->uapi_max = BUDDY_POOL_UAPI_VERSION;
	info->features = range->io ? BUDDY_POOL_FEATURE_MMAP : 0;
	if (range->io && file->node->zero == BUDDY_ZERO_ALLOC)
		info->features |= BUDDY_POOL_FEATURE_ZEROED;
	info->length = limits.size;
	info->min_block = limits.min_block;
	info->min_alloc = limits.min_alloc;
	info->max_alloc = limits.max_alloc;
	info->backing = range->backing;
	info->cache = range->cache;
	strscpy_pad(info->name, buddy_pool_name(file->node->pool), sizeof(info->name));
	return respond(arg, ucmd, size);
}

static bool label_is_valid(const char *label)
{
	size_t i, length = strnlen(label, BUDDY_POOL_LABEL_LEN);

	for (i = 0; i < length; i++)
		if (!isascii(label[i]) || !isprint(label[i]))
			return false;
	return length < BUDDY_POOL_LABEL_LEN &&
	       !memchr_inv(label + length, 0, BUDDY_POOL_LABEL_LEN - length);
}

/* The window comes in offsets from the start of the range */
static int to_request(const struct buddy_node *node, const struct buddy_pool_alloc *alloc,
		      struct buddy_pool_request *request)
{
	struct buddy_pool_limits limits;

	buddy_pool_limits(node->pool, &limits);
	if (alloc->start >= limits.size || alloc->end > limits.size)
		return BUDDY_POOL_REASON_WINDOW;
	*request = (struct buddy_pool_request){
		.size = alloc->length,
		.align = alloc->align,
		.start = node->base + alloc->start,
		.end = alloc->end ? node->base + alloc->end : 0,
		.flags = alloc->flags | BUDDY_POOL_MAY_SLEEP | BUDDY_POOL_WANT_LARGEST,
	};
	return 0;
}

static int check_alloc(const struct buddy_pool_alloc *alloc)
{
	if (memchr_inv(&alloc->handle, 0, sizeof(*alloc) - offsetof(typeof(*alloc), handle)))
		return -EINVAL;
	if (alloc->flags & ~(BUDDY_POOL_ALLOC_TOP_DOWN | BUDDY_POOL_ALLOC_FIXED |
			     BUDDY_POOL_ALLOC_POW2))
		return -EINVAL;
	return 0;
}

/* Memory for the request, zeroed if need be */
static struct buddy_block *alloc_block(struct buddy_node *node, struct buddy_pool_alloc *alloc)
{
	const struct buddy_range *range = buddy_pool_range(node->pool);
	struct buddy_pool_request request;
	struct buddy_pool_result result;
	struct buddy_block *block;
	int err;

	alloc->reason = to_request(node, alloc, &request);
	if (!label_is_valid(alloc->label))
		alloc->reason = BUDDY_POOL_REASON_LABEL;
	if (alloc->reason)
		return ERR_PTR(-EINVAL);
	block = kzalloc(sizeof(*block), GFP_KERNEL_ACCOUNT);
	if (!block)
		return ERR_PTR(-ENOMEM);
	err = buddy_pool_alloc(node->pool, &request, &result);
	if (err) {
		alloc->reason = result.reason;
		alloc->largest = err == -ENOSPC ? result.largest : 0;
		kfree(block);
		return ERR_PTR(err);
	}
	refcount_set(&block->ref, 1);
	block->node = node;
	block->offset = result.address - node->base;
	block->length = result.size;
	memcpy(block->label, alloc->label, sizeof(block->label));
	if (range->io && node->zero == BUDDY_ZERO_ALLOC)
		err = buddy_range_zero(range, block->offset, block->length);
	if (err) {
		free_block(block);
		return ERR_PTR(err);
	}
	return block;
}

/* Answers before it publishes, so that a bad pointer leaves nothing behind. */
static int do_alloc(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		    size_t size)
{
	struct buddy_pool_alloc *alloc = &ucmd->alloc;
	struct buddy_block *block;
	int err;

	err = check_alloc(alloc);
	if (err)
		return err;
	block = alloc_block(file->node, alloc);
	if (IS_ERR(block))
		return alloc->reason && respond(arg, ucmd, size) ? -EFAULT : PTR_ERR(block);
	err = reserve_handle(file, &block->handle);
	if (err)
		goto free;
	alloc->handle = block->handle;
	alloc->offset = block->offset;
	alloc->granted = block->length;
	alloc->map_offset = block->offset;
	err = respond(arg, ucmd, size);
	if (err)
		goto unreserve;
	publish_block(file, block);	/* which is the file's now */
	return 0;

unreserve:
	xa_erase(&file->blocks, block->handle);
free:
	free_block(block);
	return err;
}

static int do_free(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		   size_t size)
{
	struct buddy_pool_free *free = &ucmd->free;
	struct buddy_block *block;

	if (free->flags || free->reason)
		return -EINVAL;
	block = remove_handle(file, free->handle);
	if (!block) {
		free->reason = BUDDY_POOL_REASON_NO_HANDLE;
		buddy_pool_count_bad_free(file->node->pool, BUDDY_POOL_REASON_NO_HANDLE);
		return respond(arg, ucmd, size) ?: -ENOENT;
	}
	put_owned_block(block);
	return 0;
}

static void fill_stats(struct buddy_pool_stats *stats, const struct buddy_pool_usage *usage)
{
	unsigned int o;

	stats->length = usage->size;
	stats->free = usage->free;
	stats->used = usage->used;
	stats->held = usage->held;
	stats->reserved = usage->reserved;
	stats->peak = usage->peak;
	stats->largest = usage->largest;
	stats->nr_blocks = usage->nr_blocks;
	stats->allocs = usage->allocs;
	stats->frees = usage->frees;
	stats->splits = usage->splits;
	stats->merges = usage->merges;
	stats->out_of_space = usage->out_of_space;
	stats->oversize = usage->oversize;
	stats->undersize = usage->undersize;
	stats->bad_frees = usage->bad_frees;
	stats->requested = usage->requested;
	stats->granted = usage->granted;
	stats->nr_orders = usage->nr_orders;
	for (o = 0; o < usage->nr_orders; o++)
		stats->free_blocks[o] = usage->order[o].size;
}

static int do_stats(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		    size_t size)
{
	struct buddy_pool_stats *stats = &ucmd->stats;
	struct buddy_pool_usage *usage;

	if (memchr_inv(&stats->flags, 0, sizeof(*stats) - offsetof(typeof(*stats), flags)))
		return -EINVAL;
	usage = kmalloc(sizeof(*usage), GFP_KERNEL);
	if (!usage)
		return -ENOMEM;
	buddy_pool_usage(file->node->pool, usage);
	fill_stats(stats, usage);
	kfree(usage);
	return respond(arg, ucmd, size);
}

/* The extent around offset @at; a block of this very file is its own. */
static void look_at_extent(struct buddy_file *file, u64 at, struct buddy_pool_extent *extent)
{
	u64 base = file->node->base;
	u64 start;

	guard(mutex)(&file->lock);
	extent->state = buddy_pool_query(file->node->pool, base + at, &start, &extent->length);
	extent->offset = start - base;
	if (extent->state == BUDDY_POOL_STATE_USED && find_block(file, at))
		extent->state = BUDDY_POOL_STATE_OWN;
}

#define MAX_EXTENTS	65536

static int do_extents(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		      size_t size)
{
	struct buddy_pool_extents *extents = &ucmd->extents;
	void __user *entries = u64_to_user_ptr(extents->entries);
	struct buddy_pool_limits limits;
	u32 count;

	buddy_pool_limits(file->node->pool, &limits);
	if (extents->flags || extents->__reserved || extents->next || !extents->count ||
	    extents->count > MAX_EXTENTS || extents->start >= limits.size)
		return -EINVAL;
	extents->next = extents->start;
	for (count = 0; count < extents->count && extents->next < limits.size; count++) {
		struct buddy_pool_extent extent = { };

		look_at_extent(file, extents->next, &extent);
		if (copy_to_user(entries + count * sizeof(extent), &extent, sizeof(extent)))
			return -EFAULT;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		extents->next = extent.offset + extent.length;
	}
	extents->count = count;
	return respond(arg, ucmd, size);
}

/*
 * Dispatch
 */

/**
 * struct buddy_ioctl - one call
 * @cmd: its number
 * @size: of its struct
 * @min_size: of the oldest version of its struct
 * @writes: needs a file that is open for writing
 * @call: does it; @arg and @size say where the answer goes
 */
struct buddy_ioctl {
	unsigned int cmd;
	size_t size;
	size_t min_size;
	bool writes;
	int (*call)(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		    size_t size);
};

#define BUDDY_IOCTL(_name, _call, _struct, _last, _writes)				\
	[_IOC_NR(BUDDY_POOL_##_name)] = {						\
		.cmd = BUDDY_POOL_##_name,						\
		.size = sizeof(struct _struct) +					\
			BUILD_BUG_ON_ZERO(sizeof(struct _struct) > sizeof(union buddy_ucmd)), \
		.min_size = offsetofend(struct _struct, _last),				\
		.writes = (_writes),							\
		.call = (_call),							\
	}

static const struct buddy_ioctl ioctls[] = {
	BUDDY_IOCTL(INFO, do_info, buddy_pool_info, name, false),
	BUDDY_IOCTL(ALLOC, do_alloc, buddy_pool_alloc, largest, true),
	BUDDY_IOCTL(FREE, do_free, buddy_pool_free, reason, true),
	BUDDY_IOCTL(STATS, do_stats, buddy_pool_stats, free_blocks, false),
	BUDDY_IOCTL(EXTENTS, do_extents, buddy_pool_extents, next, false),
};

/* Of all versions to come; bounds the check for zeros behind what we know. */
#define MAX_STRUCT_SIZE	SZ_64K

static long buddy_file_ioctl(struct file *filp, unsigned int cmd, unsigned long argument)
{
	struct buddy_file *file = filp->private_data;
	void __user *arg = (void __user *)argument;
	unsigned int nr = _IOC_NR(cmd);
	const struct buddy_ioctl *ioctl;
	union buddy_ucmd ucmd;
	u32 size;
	int err;

	/* Programs built with a longer or shorter struct have another size in cmd. */
	if (nr >= ARRAY_SIZE(ioctls) || (ioctls[nr].cmd ^ cmd) & ~IOCSIZE_MASK)
		return -ENOTTY;
	ioctl = &ioctls[nr];
	if (ioctl->writes && !(filp->f_mode & FMODE_WRITE))
		return -EBADF;
	if (get_user(size, (u32 __user *)arg))
		return -EFAULT;
	if (size < ioctl->min_size)
		return -EINVAL;
	if (size > MAX_STRUCT_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&ucmd, ioctl->size, arg, size);
	if (err)
		return err;
	/* A second thread may have changed it since it was read above. */
	if (*(u32 *)&ucmd != size)
		return -EINVAL;
	return ioctl->call(file, &ucmd, arg, min_t(size_t, size, ioctl->size));
}

/*
 * Mappings
 */

static void buddy_vma_open(struct vm_area_struct *vma)
{
	struct buddy_block *block = vma->vm_private_data;

	refcount_inc(&block->ref);
}

static void buddy_vma_close(struct vm_area_struct *vma)
{
	put_mapped_block(vma->vm_private_data);
}

static vm_fault_t buddy_vma_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct buddy_block *block = vma->vm_private_data;
	const struct buddy_range *range = buddy_pool_range(block->node->pool);

	return vmf_insert_pfn(vma, vmf->address, (range->start >> PAGE_SHIFT) + vmf->pgoff);
}

static const struct vm_operations_struct buddy_vma_ops = {
	.open = buddy_vma_open,
	.close = buddy_vma_close,
	.fault = buddy_vma_fault,
};

/* The block that the mapping lies in, with a reference, or NULL */
static struct buddy_block *get_mapped_block(struct buddy_file *file, u64 offset, u64 length)
{
	struct buddy_block *block;

	guard(mutex)(&file->lock);
	block = find_block(file, offset);
	if (!block || length > block->length - (offset - block->offset))
		return NULL;
	refcount_inc(&block->ref);
	return block;
}

static int buddy_file_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct buddy_file *file = filp->private_data;
	const struct buddy_range *range = buddy_pool_range(file->node->pool);
	unsigned long length = vma->vm_end - vma->vm_start;
	struct buddy_block *block;

	if (!range->io)
		return -ENODEV;
	/* VM_MAYSHARE: a read-only file's shared mapping has not VM_SHARED. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if (vma->vm_pgoff > U64_MAX >> PAGE_SHIFT)
		return -EINVAL;
	block = get_mapped_block(file, (u64)vma->vm_pgoff << PAGE_SHIFT, length);
	if (!block)
		return -EINVAL;
	bp_vm_flags_change(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP,
			   VM_MAYEXEC | (filp->f_mode & FMODE_WRITE ? 0 : VM_MAYWRITE));
	buddy_range_set_prot(range, vma);
	vma->vm_private_data = block;
	vma->vm_ops = &buddy_vma_ops;
	return 0;
}

/*
 * Files
 */

static int buddy_file_open(struct inode *inode, struct file *filp)
{
	struct buddy_node *node = container_of(filp->private_data, struct buddy_node, misc);
	struct buddy_file *file;

	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return -ENOMEM;
	mutex_init(&file->lock);
	xa_init_flags(&file->blocks, XA_FLAGS_ALLOC1);
	file->by_offset = RB_ROOT;
	file->node = node;
	kref_get(&node->ref);
	filp->private_data = file;
	return nonseekable_open(inode, filp);
}

static int buddy_file_release(struct inode *inode, struct file *filp)
{
	struct buddy_file *file = filp->private_data;
	struct buddy_block *block;
	unsigned long handle;

	xa_for_each(&file->blocks, handle, block) {
		put_owned_block(block);
		cond_resched();
	}
	xa_destroy(&file->blocks);
	kref_put(&file->node->ref, release_node);
	kfree(file);
	return 0;
}

static const struct file_operations buddy_file_ops = {
	.owner = THIS_MODULE,
	.open = buddy_file_open,
	.release = buddy_file_release,
	.unlocked_ioctl = buddy_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = buddy_file_mmap,
};

/**
 * buddy_node_create() - give a pool a device node
 * @pool: the pool; the node takes a reference of its own
 * @zero: whether blocks are zeroed before user space gets them
 *
 * Return: the node or an ERR_PTR().
 */
struct buddy_node *buddy_node_create(struct buddy_pool *pool, enum buddy_zero zero)
{
	struct buddy_pool_limits limits;
	struct buddy_node *node;
	int err;

	node = kzalloc(sizeof(*node), GFP_KERNEL);
	if (!node)
		return ERR_PTR(-ENOMEM);
	kref_init(&node->ref);
	buddy_pool_limits(pool, &limits);
	node->base = limits.base;
	node->zero = zero;
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
	return node;
}

/**
 * buddy_node_destroy() - take the device node away
 * @node: the node; open files keep what they need of it
 */
void buddy_node_destroy(struct buddy_node *node)
{
	misc_deregister(&node->misc);
	kref_put(&node->ref, release_node);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of an open file. Each has a struct that is copied in once, in full,
 * and answered once; all that is checked and used is the copy.
 */
#include <linux/capability.h>
#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "buddy_chardev.h"
#include "buddy_compat.h"

/* All that a call may have in and out */
union buddy_ucmd {
	struct buddy_pool_info info;
	struct buddy_pool_alloc alloc;
	struct buddy_pool_free free;
	struct buddy_pool_stats stats;
	struct buddy_pool_extents extents;
	struct buddy_pool_query query;
	struct buddy_pool_list list;
	struct buddy_pool_range range;
	struct buddy_pool_phys phys;
	struct buddy_pool_alloc_batch alloc_batch;
	struct buddy_pool_free_batch free_batch;
};

/* Is all zero from @from on to @end, one past the end? */
static bool zero_until(const void *from, const void *end)
{
	return !memchr_inv(from, 0, end - from);
}

static int respond(void __user *arg, const union buddy_ucmd *ucmd, size_t size)
{
	return copy_to_user(arg, ucmd, size) ? -EFAULT : 0;
}

/* What stands before @from is as the user gave it. */
static int respond_from(void __user *arg, const union buddy_ucmd *ucmd, size_t size, size_t from)
{
	return copy_to_user(arg + from, (const void *)ucmd + from, size - from) ? -EFAULT : 0;
}

/*
 * The pool
 */

static int do_info(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		   size_t size)
{
	const struct buddy_range *range = buddy_pool_range(file->node->pool);
	const struct buddy_policy *policy = &file->node->policy;
	const struct buddy_pool_limits *limits = &file->node->limits;
	struct buddy_pool_info *info = &ucmd->info;

	if (!zero_until(&info->flags, info + 1))
		return -EINVAL;
	info->uapi_min = 1;
	info->uapi_max = BUDDY_POOL_UAPI_VERSION;
	info->features = range->backing ? BUDDY_POOL_FEATURE_MMAP : 0;
	if (range->backing && policy->zero != BUDDY_POOL_ZERO_NEVER)
		info->features |= BUDDY_POOL_FEATURE_ZEROED;
	info->length = limits->size;
	info->min_block = limits->min_block;
	info->min_alloc = limits->min_alloc;
	info->max_alloc = limits->max_alloc;
	info->backing = range->backing;
	info->cache = range->cache;
	info->zero = policy->zero;
	info->driver_version = BUDDY_POOL_DRIVER_VERSION;
	info->max_file_blocks = policy->max_file_blocks;
	info->max_file_bytes = policy->max_file_bytes;
	info->max_user_blocks = policy->max_user_blocks;
	info->max_user_bytes = policy->max_user_bytes;
	strscpy_pad(info->name, buddy_pool_name(file->node->pool), sizeof(info->name));
	return respond(arg, ucmd, size);
}

static void fill_stats(struct buddy_pool_stats *stats, const struct buddy_pool_usage *usage)
{
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
	if (usage->free)
		stats->fragmentation = 1000 - div64_u64((usage->largest >> PAGE_SHIFT) * 1000,
							usage->free >> PAGE_SHIFT);
}

static int copy_orders(const struct buddy_pool_usage *usage, u64 orders, unsigned int room)
{
	void __user *to = u64_to_user_ptr(orders);
	unsigned int o;

	for (o = 0; o < min(room, usage->nr_orders); o++) {
		struct buddy_pool_order_stats order = {
			.enqueues = usage->order[o].enqueues,
			.dequeues = usage->order[o].dequeues,
			.removes = usage->order[o].removes,
			.count = usage->order[o].size,
		};

		if (copy_to_user(to + o * sizeof(order), &order, sizeof(order)))
			return -EFAULT;
	}
	return 0;
}

static int do_stats(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		    size_t size)
{
	struct buddy_pool_stats *stats = &ucmd->stats;
	struct buddy_pool_usage *usage;
	int err;

	if (stats->flags || stats->nr_orders > BUDDY_POOL_MAX_ORDERS ||
	    !zero_until(&stats->length, &stats->nr_orders) || stats->zeroed)
		return -EINVAL;
	usage = kmalloc(sizeof(*usage), GFP_KERNEL);
	if (!usage)
		return -ENOMEM;
	buddy_pool_usage(file->node->pool, usage);
	fill_stats(stats, usage);
	err = copy_orders(usage, stats->orders, stats->nr_orders);
	stats->nr_orders = usage->nr_orders;
	stats->zeroed = buddy_pool_nr_zeroed(file->node->pool);
	kfree(usage);
	return err ?: respond(arg, ucmd, size);
}

#define MAX_ENTRIES	65536

/* The extent around offset @at; a block of this very file is its own. */
static void look_at_extent(struct buddy_file *file, u64 at, struct buddy_pool_extent *extent)
{
	u64 base = file->node->limits.base;
	u64 start;

	guard(mutex)(&file->lock);
	extent->state = buddy_pool_query(file->node->pool, base + at, &start, &extent->length);
	extent->offset = start - base;
	if (extent->state == BUDDY_POOL_STATE_USED && buddy_file_owns(file, at))
		extent->state = BUDDY_POOL_STATE_OWN;
}

static int do_extents(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		      size_t size)
{
	struct buddy_pool_extents *extents = &ucmd->extents;
	void __user *entries = u64_to_user_ptr(extents->entries);
	u64 length = file->node->limits.size;
	u32 count;

	if (extents->flags || extents->__reserved || extents->next || !extents->count ||
	    extents->count > MAX_ENTRIES || extents->start >= length)
		return -EINVAL;
	extents->next = extents->start;
	for (count = 0; count < extents->count && extents->next < length; count++) {
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

static int do_reserve(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		      size_t size)
{
	struct buddy_node *node = file->node;
	struct buddy_pool_range *range = &ucmd->range;
	u64 end;

	if (range->flags)
		return -EINVAL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (check_add_overflow(range->offset, range->length, &end))
		return -ERANGE;
	return buddy_pool_reserve(node->pool, node->limits.base + range->offset, range->length);
}

static int do_unreserve(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
			size_t size)
{
	struct buddy_node *node = file->node;
	struct buddy_pool_range *range = &ucmd->range;
	u64 length = node->limits.size;

	if (range->flags)
		return -EINVAL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (range->offset >= length || range->length > length - range->offset)
		return -ENOENT;
	return buddy_pool_unreserve(node->pool, node->limits.base + range->offset, range->length);
}

/*
 * Blocks
 */

#define ALLOC_FLAGS (BUDDY_POOL_ALLOC_TOP_DOWN | BUDDY_POOL_ALLOC_FIXED | BUDDY_POOL_ALLOC_POW2)

static bool label_is_valid(const char *label)
{
	size_t i, length = strnlen(label, BUDDY_POOL_LABEL_LEN);

	for (i = 0; i < length; i++)
		if (!isascii(label[i]) || !isprint(label[i]))
			return false;
	return length < BUDDY_POOL_LABEL_LEN &&
	       !memchr_inv(label + length, 0, BUDDY_POOL_LABEL_LEN - length);
}

/* Rows with handles that are not valid yet; see buddy_blocks_alloc() */
static int prepare_blocks(struct buddy_file *file, struct buddy_pool_alloc *alloc,
			  struct buddy_row **rows, u32 count)
{
	if (!label_is_valid(alloc->label)) {
		alloc->reason = BUDDY_POOL_REASON_LABEL;
		return -EINVAL;
	}
	return buddy_blocks_alloc(file, alloc, rows, count);
}

static int do_alloc(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		    size_t size)
{
	struct buddy_pool_alloc *alloc = &ucmd->alloc;
	struct buddy_row *row;
	int nr;

	if (alloc->flags & ~ALLOC_FLAGS || !zero_until(&alloc->handle, alloc + 1))
		return -EINVAL;
	nr = prepare_blocks(file, alloc, &row, 1);
	if (nr < 0)
		return alloc->reason && respond(arg, ucmd, size) ? -EFAULT : nr;
	alloc->handle = row->handle;
	alloc->offset = row->offset;
	alloc->granted = row->length;
	alloc->map_offset = row->offset;
	/* Answer before the handle is valid: a bad pointer leaves nothing behind. */
	if (respond_from(arg, ucmd, size, offsetof(struct buddy_pool_alloc, handle))) {
		buddy_rows_drop(file, &row, nr);
		return -EFAULT;
	}
	buddy_rows_publish(file, &row, nr);
	return 0;
}

static int do_free(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		   size_t size)
{
	struct buddy_pool_free *free = &ucmd->free;
	struct buddy_pool_block entry = { .handle = free->handle };
	struct buddy_piece piece;

	if (free->flags || free->reason)
		return -EINVAL;
	if (!buddy_blocks_remove(file, &entry, &piece, 1)) {
		free->reason = BUDDY_POOL_REASON_NO_HANDLE;
		buddy_pool_count_bad_free(file->node->pool, BUDDY_POOL_REASON_NO_HANDLE);
		return respond(arg, ucmd, size) ?: -ENOENT;
	}
	buddy_pieces_put(file, &piece, 1);
	return 0;
}

static int do_query(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		    size_t size)
{
	struct buddy_pool_query *query = &ucmd->query;
	bool found;

	if (query->flags || !zero_until(&query->mappings, query + 1))
		return -EINVAL;
	scoped_guard(mutex, &file->lock)
		found = buddy_file_query(file, query->handle, query);
	if (!found)
		return -ENOENT;
	return respond(arg, ucmd, size);
}

/* The first block from @handle on; false if there is none */
static bool next_block(struct buddy_file *file, u64 handle, struct buddy_pool_query *entry)
{
	guard(mutex)(&file->lock);
	return handle <= U32_MAX && buddy_file_query_next(file, handle, entry);
}

static int do_list(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		   size_t size)
{
	struct buddy_pool_list *list = &ucmd->list;
	void __user *entries = u64_to_user_ptr(list->entries);
	u64 handle = list->next;
	struct buddy_pool_query entry = { .size = sizeof(entry) };
	u32 count = 0;

	if (list->flags || !list->count || list->count > MAX_ENTRIES)
		return -EINVAL;
	while (next_block(file, handle, &entry)) {
		handle = entry.handle;
		if (count == list->count)
			break;
		if (copy_to_user(entries + count * sizeof(entry), &entry, sizeof(entry)))
			return -EFAULT;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		count++;
		handle++;
	}
	/* The entry that there was no room for is where the next call begins. */
	list->next = count == list->count && entry.handle == handle ? handle : 0;
	list->count = count;
	return respond(arg, ucmd, size);
}

static int do_get_phys(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		       size_t size)
{
	struct buddy_pool_phys *phys = &ucmd->phys;
	struct buddy_pool_query block;
	bool found;

	if (phys->flags || !zero_until(&phys->__reserved, phys + 1))
		return -EINVAL;
	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	scoped_guard(mutex, &file->lock)
		found = buddy_file_query(file, phys->handle, &block);
	if (!found)
		return -ENOENT;
	phys->address = file->node->limits.base + block.offset;
	return respond(arg, ucmd, size);
}

/*
 * Batches
 */

struct buddy_batch {
	struct buddy_pool_block *entries;
	union {
		struct buddy_row **rows; /* of ALLOC_BATCH */
		struct buddy_piece *pieces; /* of FREE_BATCH */
		void *work;
	};
	u32 nr;
};

static void free_batch(struct buddy_batch *batch)
{
	kvfree(batch->work);
	kvfree(batch->entries);
}

static int new_batch(struct buddy_batch *batch, u32 count, size_t work_size)
{
	*batch = (struct buddy_batch){ .nr = count };
	if (!count || count > BUDDY_POOL_MAX_BATCH)
		return -EINVAL;
	batch->work = kvmalloc_array(count, work_size, GFP_KERNEL_ACCOUNT);
	batch->entries = kvmalloc_array(count, sizeof(*batch->entries), GFP_KERNEL_ACCOUNT);
	if (batch->work && batch->entries)
		return 0;
	free_batch(batch);
	return -ENOMEM;
}

static size_t entries_size(const struct buddy_batch *batch)
{
	return array_size(batch->nr, sizeof(*batch->entries));
}

static struct buddy_pool_block *fill_entries(struct buddy_pool_block *entry,
					     const struct buddy_row *row)
{
	unsigned int n, nr = hweight64(row->live);

	for (n = 0; n < nr; n++)
		*entry++ = (struct buddy_pool_block){
			.handle = row->handle + n,
			.offset = row->offset + n * row->length,
		};
	return entry;
}

/* Tells the user what he gets. */
static int respond_with_blocks(const struct buddy_batch *batch, u32 nr_rows, union buddy_ucmd *ucmd,
			       void __user *arg, size_t size)
{
	struct buddy_pool_alloc_batch *request = &ucmd->alloc_batch;
	struct buddy_pool_block *entry = batch->entries;
	u32 i;

	for (i = 0; i < nr_rows; i++)
		entry = fill_entries(entry, batch->rows[i]);
	request->granted = batch->rows[0]->length;
	if (copy_to_user(u64_to_user_ptr(request->blocks), batch->entries, entries_size(batch)))
		return -EFAULT;
	return respond(arg, ucmd, size);
}

/* The batch, to those who can be told of it */
static int give_blocks(struct buddy_file *file, const struct buddy_batch *batch, u32 nr_rows,
		       union buddy_ucmd *ucmd, void __user *arg, size_t size)
{
	int err = respond_with_blocks(batch, nr_rows, ucmd, arg, size);

	if (err)
		buddy_rows_drop(file, batch->rows, nr_rows);
	else
		buddy_rows_publish(file, batch->rows, nr_rows);
	return err;
}

static int do_alloc_batch(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
			  size_t size)
{
	struct buddy_pool_alloc_batch *request = &ucmd->alloc_batch;
	struct buddy_pool_alloc alloc = {
		.flags = request->flags,
		.length = request->length,
		.align = request->align,
		.start = request->start,
		.end = request->end,
	};
	struct buddy_batch batch;
	int nr;

	if (request->flags & ~(ALLOC_FLAGS & ~BUDDY_POOL_ALLOC_FIXED) ||
	    !zero_until(&request->reason, request + 1))
		return -EINVAL;
	nr = new_batch(&batch, request->count, sizeof(*batch.rows));
	if (nr)
		return nr;
	memcpy(alloc.label, request->label, sizeof(alloc.label));
	nr = prepare_blocks(file, &alloc, batch.rows, batch.nr);
	if (nr < 0) {
		request->reason = alloc.reason;
		request->largest = alloc.largest;
		if (request->reason && respond(arg, ucmd, size))
			nr = -EFAULT;
	} else {
		nr = give_blocks(file, &batch, nr, ucmd, arg, size);
	}
	free_batch(&batch);
	return nr;
}

static int copy_entries(const struct buddy_batch *batch, u64 blocks)
{
	u32 i;

	if (copy_from_user(batch->entries, u64_to_user_ptr(blocks), entries_size(batch)))
		return -EFAULT;
	for (i = 0; i < batch->nr; i++)
		if (batch->entries[i].__reserved)
			return -EINVAL;
	return 0;
}

static int do_free_batch(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
			 size_t size)
{
	struct buddy_pool_free_batch *request = &ucmd->free_batch;
	struct buddy_batch batch;
	u32 nr;
	int err;

	if (request->flags || request->reason)
		return -EINVAL;
	err = new_batch(&batch, request->count, sizeof(*batch.pieces));
	if (err)
		return err;
	err = copy_entries(&batch, request->blocks);
	if (!err) {
		nr = buddy_blocks_remove(file, batch.entries, batch.pieces, batch.nr);
		if (nr) {
			buddy_pieces_put(file, batch.pieces, nr);
		} else {
			request->reason = BUDDY_POOL_REASON_NO_HANDLE;
			buddy_pool_count_bad_free(file->node->pool, BUDDY_POOL_REASON_NO_HANDLE);
			err = respond(arg, ucmd, size) ?: -ENOENT;
		}
	}
	free_batch(&batch);
	return err;
}

/*
 * Dispatch
 */

/**
 * struct buddy_ioctl - one call
 * @cmd: its number, which has the size of its struct in it
 * @min_size: size of the oldest version of its struct
 * @writes: whether it needs a file that is open for writing
 * @call: does it; @arg and @size say where the answer goes
 */
struct buddy_ioctl {
	unsigned int cmd;
	size_t min_size;
	bool writes;
	int (*call)(struct buddy_file *file, union buddy_ucmd *ucmd, void __user *arg,
		    size_t size);
};

#define FIRST_SIZE(name, last)	offsetofend(struct buddy_pool_##name, last)

/* In the order of their numbers */
static const struct buddy_ioctl ioctls[] = {
	{ BUDDY_POOL_INFO, FIRST_SIZE(info, name), false, do_info },
	{ BUDDY_POOL_ALLOC, FIRST_SIZE(alloc, largest), true, do_alloc },
	{ BUDDY_POOL_FREE, FIRST_SIZE(free, reason), true, do_free },
	{ BUDDY_POOL_STATS, FIRST_SIZE(stats, zeroed), false, do_stats },
	{ BUDDY_POOL_EXTENTS, FIRST_SIZE(extents, next), false, do_extents },
	{ BUDDY_POOL_QUERY, FIRST_SIZE(query, label), false, do_query },
	{ BUDDY_POOL_LIST, FIRST_SIZE(list, next), false, do_list },
	{ BUDDY_POOL_RESERVE, FIRST_SIZE(range, length), true, do_reserve },
	{ BUDDY_POOL_UNRESERVE, FIRST_SIZE(range, length), true, do_unreserve },
	{ BUDDY_POOL_GET_PHYS, FIRST_SIZE(phys, address), false, do_get_phys },
	{ BUDDY_POOL_ALLOC_BATCH, FIRST_SIZE(alloc_batch, largest), true, do_alloc_batch },
	{ BUDDY_POOL_FREE_BATCH, FIRST_SIZE(free_batch, reason), true, do_free_batch },
};

/* Of all versions to come; bounds the check for zeros behind what we know. */
#define MAX_STRUCT_SIZE	SZ_64K

long buddy_file_ioctl(struct file *filp, unsigned int cmd, unsigned long argument)
{
	struct buddy_file *file = filp->private_data;
	void __user *arg = (void __user *)argument;
	unsigned int nr = _IOC_NR(cmd);
	const struct buddy_ioctl *ioctl;
	union buddy_ucmd ucmd __uninitialized;
	u32 size, known;
	int err;

	if (nr >= ARRAY_SIZE(ioctls))
		return -ENOTTY;
	ioctl = &ioctls[array_index_nospec(nr, ARRAY_SIZE(ioctls))];
	/* Programs built with a longer or shorter struct have another size in cmd. */
	if ((ioctl->cmd ^ cmd) & ~IOCSIZE_MASK)
		return -ENOTTY;
	if (buddy_pool_is_gone(file->node->pool))
		return -ENODEV;
	if (ioctl->writes && !(filp->f_mode & FMODE_WRITE))
		return -EBADF;
	if (get_user(size, (u32 __user *)arg))
		return -EFAULT;
	if (size < ioctl->min_size)
		return -EINVAL;
	if (size > MAX_STRUCT_SIZE)
		return -E2BIG;
	known = _IOC_SIZE(ioctl->cmd);
	err = copy_struct_from_user(&ucmd, known, arg, size);
	if (err)
		return err;
	/* A second thread may have changed it since it was read above. */
	if (*(u32 *)&ucmd != size)
		return -EINVAL;
	return ioctl->call(file, &ucmd, arg, min(size, known));
}

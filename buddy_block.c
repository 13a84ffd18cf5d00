// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks of open files: from the request to the last reference. All of it is for
 * any number of blocks at once, of which one is the most common.
 *
 *  1. buddy_blocks_alloc() charges the quota, takes memory from the pool and
 *     zeroes it. The blocks have handles that nobody can use yet.
 *  2. The user is told the handles. A bad pointer ends it here, without a trace.
 *  3. buddy_rows_publish() makes the handles valid. Nothing can fail any more.
 *  4. buddy_blocks_remove() takes the handles away, buddy_pieces_put() their
 *     references. A block that has mappings is held until the last goes.
 *
 * Blocks that were got together, lie side by side and have handles in sequence are
 * kept as one, a row: what is to be done for a block of it is to set or clear a bit.
 * A row of which some blocks were freed has holes. In a hole, memory may be another
 * block's; the row is split then, for the rows of a file never to overlap. A block
 * that is mapped has a row of its own.
 */
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/overflow.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "buddy_chardev.h"
#include "buddy_compat.h"

/* That zeroing may take of what goes in a hurry */
#define ZERO_TIME	HZ
/* And how many times as long it takes to come again */
#define ZERO_REST 8U

static struct kmem_cache *row_cache;

/*
 * Rows
 */

/* What a file keeps of freed rows is one, for programs that take and give in turn. */
static struct buddy_row *new_row(struct buddy_file *file)
{
	struct buddy_row *row = NULL;

	if (READ_ONCE(file->spare))
		row = xchg(&file->spare, NULL);
	if (!row)
		row = kmem_cache_alloc(row_cache, GFP_KERNEL);
	if (!row)
		return NULL;
	refcount_set(&row->ref, 1);
	RB_CLEAR_NODE(&row->offset_link);
	return row;
}

static void free_row(struct buddy_file *file, struct buddy_row *row)
{
	/* With KASAN it goes at once, to be seen if it is still used. */
	if (!IS_ENABLED(CONFIG_KASAN) && !READ_ONCE(file->spare) &&
	    !cmpxchg(&file->spare, NULL, row))
		return;
	kmem_cache_free(row_cache, row);
}

/* Blocks up to the last that has a handle */
static unsigned int row_length(const struct buddy_row *row)
{
	return fls64(row->live);
}

static u64 row_end(const struct buddy_row *row)
{
	return row->offset + row_length(row) * row->length;
}

/* Has the row handles that are valid? */
static bool is_published(const struct buddy_row *row)
{
	return !RB_EMPTY_NODE(&row->offset_link);
}

/*
 * Handles
 *
 * Two trees of nodes in the rows themselves: a handle is given and taken away
 * without memory of its own. A row whose handles are not valid yet is in the tree of
 * handles only.
 */

static u32 last_handle(const struct rb_node *link)
{
	const struct buddy_row *row = rb_entry(link, struct buddy_row, handle_link);

	return row->handle + row_length(row) - 1;
}

static int compare_handle(const void *key, const struct rb_node *link)
{
	const struct buddy_row *row = rb_entry(link, struct buddy_row, handle_link);
	u32 handle = *(const u32 *)key;

	if (handle < row->handle)
		return -1;
	return handle - row->handle >= row_length(row);
}

/* Rows that have a handle in common are the same. */
static int compare_handles(struct rb_node *new, const struct rb_node *link)
{
	const struct buddy_row *row = rb_entry(new, struct buddy_row, handle_link);
	u32 last = last_handle(new);

	return compare_handle(&last, link) < 0 ? -1 : compare_handle(&row->handle, link) > 0;
}

static int compare_offset(const void *key, const struct rb_node *link)
{
	const struct buddy_row *row = rb_entry(link, struct buddy_row, offset_link);
	u64 offset = *(const u64 *)key;

	if (offset < row->offset)
		return -1;
	return offset - row->offset >= row_length(row) * row->length;
}

static bool row_is_before(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct buddy_row, offset_link)->offset <
	       rb_entry(b, struct buddy_row, offset_link)->offset;
}

static void publish(struct buddy_file *file, struct buddy_row *row)
{
	rb_add(&row->offset_link, &file->by_offset, row_is_before);
}

/* The row that a handle is in, which is the @n th there; NULL if there is none, or not yet */
static struct buddy_row *find_handle(struct buddy_file *file, u32 handle, unsigned int *n)
{
	struct buddy_row *row;
	struct rb_node *link;

	lockdep_assert_held(&file->lock);
	link = rb_find(&handle, &file->by_handle, compare_handle);
	row = rb_entry_safe(link, struct buddy_row, handle_link);
	if (!row || !is_published(row))
		return NULL;
	*n = handle - row->handle;
	return row->live >> *n & 1 ? row : NULL;
}

/* Likewise, of the least handle from @handle on */
static struct buddy_row *find_next(struct buddy_file *file, u32 handle, unsigned int *n)
{
	struct rb_node *link = file->by_handle.rb_node;
	struct buddy_row *row, *found = NULL;

	lockdep_assert_held(&file->lock);
	while (link) {
		row = rb_entry(link, struct buddy_row, handle_link);
		if (compare_handle(&handle, link) <= 0) {
			found = row;
			link = link->rb_left;
		} else {
			link = link->rb_right;
		}
	}
	while (found && !is_published(found))
		found = rb_entry_safe(rb_next(&found->handle_link), struct buddy_row, handle_link);
	if (!found)
		return NULL;
	*n = handle > found->handle ? handle - found->handle : 0;
	*n += __ffs64(found->live >> *n);
	return found;
}

/* The row with the block that an offset lies in, which is the @n th there; or NULL */
static struct buddy_row *find_offset(struct buddy_file *file, u64 offset, unsigned int *n)
{
	struct buddy_row *row;
	struct rb_node *link;

	lockdep_assert_held(&file->lock);
	link = rb_find(&offset, &file->by_offset, compare_offset);
	row = rb_entry_safe(link, struct buddy_row, offset_link);
	if (!row)
		return NULL;
	*n = div64_u64(offset - row->offset, row->length);
	return row->live >> *n & 1 ? row : NULL;
}

static void describe(const struct buddy_row *row, unsigned int n, struct buddy_pool_query *query)
{
	query->handle = row->handle + n;
	query->mappings = refcount_read(&row->ref) - 1;
	query->offset = row->offset + n * row->length;
	query->granted = row->length;
	query->map_offset = query->offset;
	memcpy(query->label, row->label, sizeof(query->label));
}

/**
 * buddy_file_query() - tell about a block of a file
 * @file: the file, locked
 * @handle: any number
 * @query: what it is, if there is one
 *
 * Return: whether there is a block with that handle.
 */
bool buddy_file_query(struct buddy_file *file, u32 handle, struct buddy_pool_query *query)
{
	unsigned int n;
	struct buddy_row *row = find_handle(file, handle, &n);

	if (row)
		describe(row, n, query);
	return row;
}

/**
 * buddy_file_query_next() - tell about the block with the least handle from one on
 * @file: the file, locked
 * @handle: any number
 * @query: what it is, if there is one
 *
 * Return: whether there is such a block.
 */
bool buddy_file_query_next(struct buddy_file *file, u32 handle, struct buddy_pool_query *query)
{
	unsigned int n;
	struct buddy_row *row = find_next(file, handle, &n);

	if (row)
		describe(row, n, query);
	return row;
}

/**
 * buddy_file_owns() - is an offset in a block of a file?
 * @file: the file, locked
 * @offset: in the range
 *
 * Return: whether it is.
 */
bool buddy_file_owns(struct buddy_file *file, u64 offset)
{
	unsigned int n;

	return find_offset(file, offset, &n);
}

/*
 * Splitting rows
 */

/* The first block that has a handle is the first of the row. */
static void trim(struct buddy_row *row)
{
	unsigned int n = __ffs64(row->live);

	row->handle += n;
	row->offset += n * row->length;
	row->live >>= n;
}

/*
 * Make what there is of a published row from its @n th block on a row of its own, which
 * is returned: @rest, of which only the memory is used. Both have blocks then.
 */
static struct buddy_row *split(struct buddy_file *file, struct buddy_row *row, unsigned int n,
			       struct buddy_row *rest)
{
	lockdep_assert_held(&file->lock);
	memcpy(rest->label, row->label, sizeof(rest->label));
	rest->handle = row->handle + n;
	rest->offset = row->offset + n * row->length;
	rest->length = row->length;
	rest->live = row->live >> n;
	trim(rest);
	row->live &= GENMASK_ULL(n - 1, 0);
	rb_find_add(&rest->handle_link, &file->by_handle, compare_handles);
	publish(file, rest);
	return rest;
}

/*
 * Rows to split others with. Nobody waits for memory with a file locked: it may take long,
 * and who waits for the lock can't be killed.
 */
struct spares {
	struct buddy_row *row[2];
};

static struct buddy_row *take_spare(struct spares *spares)
{
	unsigned int i = !spares->row[0];

	return xchg(&spares->row[i], NULL);
}

/* Returns 0 or -ENOMEM. */
static int get_spares(struct buddy_file *file, struct spares *spares, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!spares->row[i])
			spares->row[i] = new_row(file);
		if (!spares->row[i])
			return -ENOMEM;
	}
	return 0;
}

static void put_spares(struct buddy_file *file, struct spares *spares)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(spares->row); i++)
		if (spares->row[i])
			free_row(file, spares->row[i]);
}

/* A row of its own for the @n th block; takes up to two spares */
static struct buddy_row *isolate(struct buddy_file *file, struct buddy_row *row, unsigned int n,
				 struct spares *spares)
{
	if (n + 1 < row_length(row))
		split(file, row, n + 1, take_spare(spares));
	return n ? split(file, row, n, take_spare(spares)) : row;
}

/* As buddy_file_get_mapped(); -EAGAIN asks for two spares */
static struct buddy_row *try_get_mapped(struct buddy_file *file, u64 offset, u64 length,
					struct spares *spares)
{
	struct buddy_row *row;
	unsigned int n;

	guard(mutex)(&file->lock);
	row = find_offset(file, offset, &n);
	if (!row || length > row->length - (offset - row->offset - n * row->length))
		return ERR_PTR(-EINVAL);
	if (row_length(row) > 1 && !spares->row[1])
		return ERR_PTR(-EAGAIN);
	row = isolate(file, row, n, spares);
	refcount_inc(&row->ref);
	return row;
}

/**
 * buddy_file_get_mapped() - the block that a mapping is to lie in
 * @file: the file
 * @offset: of the mapping's start in the range
 * @length: of the mapping in bytes
 *
 * Return: the row of that block alone, with a reference for the mapping; or an ERR_PTR():
 * -EINVAL if the mapping is not all inside one block of @file, or -ENOMEM.
 */
struct buddy_row *buddy_file_get_mapped(struct buddy_file *file, u64 offset, u64 length)
{
	struct spares spares = {};
	struct buddy_row *row;

	row = try_get_mapped(file, offset, length, &spares);
	if (row == ERR_PTR(-EAGAIN)) {
		if (get_spares(file, &spares, 2))
			row = ERR_PTR(-ENOMEM);
		else
			row = try_get_mapped(file, offset, length, &spares);
		put_spares(file, &spares);
	}
	return row;
}

/*
 * If the memory of a new row is in a hole of another, split that. There is no more than
 * one such: where a row begins and ends it has blocks, and none is in the new one's
 * memory. From here on no other can come to be, because that memory is taken. Returns
 * false if that takes a spare, and there is none.
 */
static bool split_around(struct buddy_file *file, const struct buddy_row *new,
			 struct spares *spares)
{
	struct rb_node *link = rb_find(&new->offset, &file->by_offset, compare_offset);
	struct buddy_row *row = rb_entry_safe(link, struct buddy_row, offset_link);
	unsigned int n;

	if (!row)
		return true;
	if (!spares->row[0])
		return false;
	n = div64_u64(new->offset - row->offset, row->length) + 1;
	split(file, row, n, take_spare(spares));
	return true;
}

/*
 * Handles count up, so that one which was freed is not soon another block's. Those of a
 * row are in sequence, without 0, which is none. Returns false if so many in sequence are
 * not to be had: what a row has lost counts too, so that may be with 2^26 rows.
 */
static bool reserve_row(struct buddy_file *file, struct buddy_row *row)
{
	unsigned int nr = row_length(row);
	bool began_again = false;
	struct rb_node *other;

	do {
		row->handle = file->last_handle + 1;
		if (!row->handle || row->handle + nr - 1 < row->handle) {
			if (began_again)
				return false;
			began_again = true;
			row->handle = 1;
		}
		file->last_handle = row->handle + nr - 1;
		/* After 2^32 there may be others in the way. */
		other = rb_find_add(&row->handle_link, &file->by_handle, compare_handles);
		if (other) {
			file->last_handle = last_handle(other);
			cond_resched();
		}
	} while (other);
	return true;
}

/* Takes handles away that were never valid. */
static void drop_handles(struct buddy_file *file, struct buddy_row **rows, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		rb_erase(&rows[i]->handle_link, &file->by_handle);
}

/* As reserve_handles(), of rows that the first @clear have been split around; or -EAGAIN */
static int try_reserve_handles(struct buddy_file *file, struct buddy_row **rows, u32 nr,
			       u32 *clear, struct spares *spares)
{
	u32 i;

	guard(mutex)(&file->lock);
	for (; *clear < nr; (*clear)++)
		if (!split_around(file, rows[*clear], spares))
			return -EAGAIN;
	for (i = 0; i < nr; i++) {
		if (!reserve_row(file, rows[i])) {
			drop_handles(file, rows, i);
			return -ENOMEM;
		}
	}
	return 0;
}

/* Returns 0 or -ENOMEM. */
static int reserve_handles(struct buddy_file *file, struct buddy_row **rows, u32 nr)
{
	struct spares spares = {};
	u32 clear = 0;
	int err;

	do {
		err = try_reserve_handles(file, rows, nr, &clear, &spares);
	} while (err == -EAGAIN && !get_spares(file, &spares, 1));
	put_spares(file, &spares);
	return err ? -ENOMEM : 0;
}

/**
 * buddy_rows_publish() - make handles valid
 * @file: the file, which owns the rows from here on
 * @rows: the rows
 * @nr: how many
 */
void buddy_rows_publish(struct buddy_file *file, struct buddy_row **rows, u32 nr)
{
	u32 i;

	guard(mutex)(&file->lock);
	for (i = 0; i < nr; i++)
		publish(file, rows[i]);
}

/*
 * Taking handles away
 */

/* The row of @handle, looked for first where the piece before is from */
static struct buddy_row *find_handle_near(struct buddy_file *file, u32 handle,
					  struct buddy_row *row, unsigned int *n)
{
	if (row) {
		*n = handle - row->handle;
		if (*n < BUDDY_ROW_BLOCKS && row->live >> *n & 1)
			return row;
	}
	return find_handle(file, handle, n);
}

/* The blocks of a piece in buddy_row.live, as the row was when they were taken from it */
static u64 piece_bits(const struct buddy_piece *piece)
{
	return GENMASK_ULL(piece->first + piece->count - 1, piece->first);
}

/* The row lost the blocks of this piece, and maybe those of others. */
static void settle(struct buddy_file *file, struct buddy_piece *piece)
{
	struct buddy_row *row = piece->row;

	if (row->live) {
		trim(row);
		piece->row = NULL;
	} else if (is_published(row)) {
		rb_erase(&row->handle_link, &file->by_handle);
		rb_erase(&row->offset_link, &file->by_offset);
		RB_CLEAR_NODE(&row->offset_link);
	} else {
		/* Another piece has it. */
		piece->row = NULL;
	}
}

/**
 * buddy_blocks_remove() - take handles away, all or none
 * @file: the file
 * @entries: the handles, which may be any numbers
 * @pieces: room for @count; set to what the blocks are, which the caller has to put
 * @count: how many, at least one
 *
 * Return: how many pieces they are; 0, and nothing is changed, if there is no such
 * handle, or one is there twice.
 */
u32 buddy_blocks_remove(struct buddy_file *file, const struct buddy_pool_block *entries,
			struct buddy_piece *pieces, u32 count)
{
	struct buddy_piece *piece = NULL;
	struct buddy_row *row = NULL;
	u32 i, p, nr = 0;
	unsigned int n;

	guard(mutex)(&file->lock);
	for (i = 0; i < count; i++) {
		row = find_handle_near(file, entries[i].handle, row, &n);
		if (!row)
			break;
		/* So that a second look finds none */
		row->live &= ~BIT_ULL(n);
		if (!piece || piece->row != row || n != piece->first + piece->count) {
			piece = &pieces[nr++];
			*piece = (struct buddy_piece){
				.offset = row->offset + n * row->length,
				.length = row->length,
				.row = row,
				.first = n,
			};
		}
		piece->count++;
	}
	for (p = 0; p < nr; p++) {
		if (i == count)
			settle(file, &pieces[p]);
		else
			pieces[p].row->live |= piece_bits(&pieces[p]);
	}
	return i == count ? nr : 0;
}

/*
 * Memory
 */

/* Quotas are checked before, so that a refused request takes nothing. */
static u64 granted_length(const struct buddy_pool_limits *limits,
			  const struct buddy_pool_alloc *alloc)
{
	u64 length = alloc->length;

	if (length > limits->size)
		return 0;	/* refused by the pool, which knows why */
	length = max(length + limits->min_block - 1, limits->min_block) & ~(limits->min_block - 1);
	if (alloc->flags & BUDDY_POOL_ALLOC_POW2)
		length = 1ULL << fls64(length - 1);
	return length;
}

/*
 * The window comes in offsets from the start of the range. One that begins there and
 * is not FIXED is no window to the pool, which can be quicker without.
 */
static bool to_request(const struct buddy_pool_limits *limits, const struct buddy_pool_alloc *alloc,
		       struct buddy_pool_request *request)
{
	bool has_start = alloc->start || alloc->flags & BUDDY_POOL_ALLOC_FIXED;

	if (alloc->start >= limits->size || alloc->end > limits->size)
		return false;
	*request = (struct buddy_pool_request){
		.size = alloc->length,
		.align = alloc->align,
		.start = has_start ? limits->base + alloc->start : 0,
		.end = alloc->end ? limits->base + alloc->end : 0,
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

/* Memory for a row of up to @count blocks */
static int take_memory(struct buddy_file *file, const struct buddy_pool_request *request,
		       struct buddy_pool_alloc *alloc, struct buddy_row *row, u32 count)
{
	struct buddy_node *node = file->node;
	struct buddy_pool_result result;
	unsigned long nr_relieved;
	int err;

	err = buddy_pool_alloc_row(node->pool, request, min(count, BUDDY_ROW_BLOCKS), &result,
				   &nr_relieved);
	if (err == -ENOSPC) {
		/* For poll(), which waits until space has come back since */
		WRITE_ONCE(file->refused_at, nr_relieved);
		return refuse(alloc, err, result.reason, result.largest);
	}
	if (err < 0)
		return refuse(alloc, err, result.reason, 0);
	row->offset = result.address - node->limits.base;
	row->length = result.size;
	row->live = GENMASK_ULL(err - 1, 0);
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

/* Before anybody else sees what is in there; nothing if it is not the pool's way */
static int zero_new(const struct buddy_node *node, u64 offset, u64 length)
{
	enum buddy_pool_zero when = node->policy.zero;

	if (!buddy_pool_range(node->pool)->backing || when == BUDDY_POOL_ZERO_NEVER)
		return 0;
	return buddy_pool_zero_new(node->pool, offset, length, when == BUDDY_POOL_ZERO_FREE,
				   current);
}

/*
 * Of blocks that go in a hurry, as much as there is time for: a process that exits should
 * be gone soon, however many files and blocks it had, and while a mapping goes, all of a
 * process's are locked. All that goes at a time has one second together, which takes eight
 * to come again.
 */
static void zero_in_hurry(struct buddy_node *node, u64 offset, u64 length)
{
	u64 now = get_jiffies_64(), start = now;
	u64 rested = max_t(u64, now, atomic64_read(&node->rested));
	/* In the past if there is no time left: 0 would be as long as it takes. */
	u64 until = now + ZERO_TIME - min_t(u64, (rested - now) / ZERO_REST, ZERO_TIME + 1);

	buddy_pool_zero_old(node->pool, offset, length, until);
	now = get_jiffies_64();
	if (now != start)
		atomic64_set(&node->rested, max(rested, now) + ZERO_REST * (now - start));
}

/* @unmapped: it was mapped until now */
static void zero_old(struct buddy_file *file, const struct buddy_piece *piece, bool unmapped)
{
	struct buddy_node *node = file->node;
	u64 length = piece->count * piece->length;

	if (!buddy_pool_range(node->pool)->backing || node->policy.zero != BUDDY_POOL_ZERO_FREE)
		return;
	if (unmapped || current->flags & (PF_EXITING | PF_KTHREAD))
		zero_in_hurry(node, piece->offset, length);
	else
		buddy_pool_zero_old(node->pool, piece->offset, length, 0);
}

/* Makes two rows one, if they lie side by side; neither has handles yet. */
static bool join(struct buddy_file *file, struct buddy_row *row, struct buddy_row *next)
{
	unsigned int nr = row_length(row);

	if (next->offset != row_end(row) || nr + row_length(next) > BUDDY_ROW_BLOCKS)
		return false;
	row->live |= next->live << nr;
	free_row(file, next);
	return true;
}

/* Rows of @count blocks in all. On error, too, @nr says how many rows there are. */
static int take_rows(struct buddy_file *file, const struct buddy_pool_request *request,
		     struct buddy_pool_alloc *alloc, struct buddy_row **rows, u32 *nr, u32 count)
{
	struct buddy_row *row;
	unsigned int blocks;
	u32 taken;
	int err;

	for (taken = 0; taken < count; taken += blocks) {
		row = new_row(file);
		if (!row)
			return refuse(alloc, -ENOMEM, BUDDY_POOL_REASON_MEMORY, 0);
		memcpy(row->label, alloc->label, sizeof(row->label));
		err = take_memory(file, request, alloc, row, count - taken);
		if (err) {
			free_row(file, row);
			return err;
		}
		blocks = row_length(row);
		if (!*nr || !join(file, rows[*nr - 1], row))
			rows[(*nr)++] = row;
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

/* Once there is all that was asked for, or it would be for nothing */
static int zero_rows(const struct buddy_node *node, struct buddy_row **rows, u32 nr)
{
	int err = 0;
	u32 i;

	for (i = 0; !err && i < nr; i++)
		err = zero_new(node, rows[i]->offset, row_length(rows[i]) * rows[i]->length);
	return err;
}

/*
 * Rows that nobody ever saw, of blocks that @count and @charge were charged for. Wakes
 * nobody.
 */
static void forget_rows(struct buddy_file *file, struct buddy_row **rows, u32 nr, u32 count,
			u64 charge)
{
	struct buddy_node *node = file->node;
	u64 base = node->limits.base;
	u32 i;

	buddy_quota_uncharge(file, count, charge);
	for (i = 0; i < nr; i++) {
		buddy_pool_free_row(node->pool, base + rows[i]->offset, rows[i]->length,
				    row_length(rows[i]));
		free_row(file, rows[i]);
	}
}

/**
 * buddy_blocks_alloc() - blocks for a request, zeroed if need be
 * @file: whose blocks they are to be
 * @alloc: the request for each; its reason and largest are set on refusal
 * @rows: room for @count; set to rows of blocks, whose handles are not valid yet
 * @count: how many blocks, all or none
 *
 * Return: how many rows, or an errno as in the user API.
 */
int buddy_blocks_alloc(struct buddy_file *file, struct buddy_pool_alloc *alloc,
		       struct buddy_row **rows, u32 count)
{
	const struct buddy_pool_limits *limits = &file->node->limits;
	struct buddy_pool *pool = file->node->pool;
	unsigned int nr_answered = buddy_pool_nr_answered(pool);
	struct buddy_pool_request request;
	u64 charge, left;
	u32 nr = 0;
	int err;

	if (!to_request(limits, alloc, &request))
		return refuse(alloc, -EINVAL, BUDDY_POOL_REASON_WINDOW, 0);
	if (check_mul_overflow(granted_length(limits, alloc), (u64)count, &charge))
		charge = U64_MAX;
	if (!buddy_quota_charge(file, count, charge, &left))
		return refuse_quota(file, &request, alloc, left);
	err = take_rows(file, &request, alloc, rows, &nr, count);
	if (!err)
		err = zero_rows(file->node, rows, nr);
	if (!err && reserve_handles(file, rows, nr))
		err = refuse(alloc, -ENOMEM, BUDDY_POOL_REASON_MEMORY, 0);
	if (!err)
		return nr;
	forget_rows(file, rows, nr, count, charge);
	/* To those who knew before that there is too little, this is nothing new. */
	if (nr && buddy_pool_nr_starved(pool) - nr_answered > (err == -ENOSPC))
		buddy_pool_wake_waiters(pool);
	return err;
}

/**
 * buddy_rows_drop() - undo buddy_blocks_alloc()
 * @file: the file
 * @rows: its rows, whose handles were never valid
 * @nr: how many
 */
void buddy_rows_drop(struct buddy_file *file, struct buddy_row **rows, u32 nr)
{
	u32 i, count = 0;

	for (i = 0; i < nr; i++)
		count += row_length(rows[i]);
	scoped_guard(mutex, &file->lock)
		drop_handles(file, rows, nr);
	forget_rows(file, rows, nr, count, count * rows[0]->length);
	buddy_pool_wake_waiters(file->node->pool);
}

/*
 * References
 */

/* Blocks that nobody has any more. They may be in use in the statistics until now. */
static void free_pieces(struct buddy_file *file, struct buddy_piece *pieces, u32 nr, bool unmapped)
{
	struct buddy_node *node = file->node;
	u64 base = node->limits.base;
	u64 blocks = 0, bytes = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		zero_old(file, &pieces[i], unmapped);
		blocks += pieces[i].count;
		bytes += pieces[i].count * pieces[i].length;
	}
	/* First, for those who are woken when the memory is free */
	buddy_quota_uncharge(file, blocks, bytes);
	for (i = 0; i < nr; i++) {
		buddy_pool_free_row(node->pool, base + pieces[i].offset, pieces[i].length,
				    pieces[i].count);
		if (pieces[i].row)
			free_row(file, pieces[i].row);
	}
	buddy_pool_wake_waiters(node->pool);
}

/**
 * buddy_row_put_mapped() - drop a mapping's reference
 * @file: the file
 * @row: the row of the block; if this is the last reference it was held, and is freed
 */
void buddy_row_put_mapped(struct buddy_file *file, struct buddy_row *row)
{
	struct buddy_piece piece = {
		.offset = row->offset,
		.length = row->length,
		.row = row,
		.count = 1,
	};
	struct buddy_node *node = file->node;

	if (refcount_dec_and_test(&row->ref)) {
		buddy_pool_unhold(node->pool, node->limits.base + piece.offset, piece.length);
		free_pieces(file, &piece, 1, true);
	}
}

/**
 * buddy_pieces_put() - drop the references of handles
 * @file: the file
 * @pieces: the blocks, whose handles are gone
 * @nr: how many pieces
 */
void buddy_pieces_put(struct buddy_file *file, struct buddy_piece *pieces, u32 nr)
{
	struct buddy_node *node = file->node;
	u32 i, last = 0;

	for (i = 0; i < nr; i++) {
		struct buddy_piece *piece = &pieces[i];

		/* Without its handle, nothing but a mapping can add a reference. */
		if (!piece->row || refcount_dec_if_one(&piece->row->ref)) {
			pieces[last++] = *piece;
			continue;
		}
		buddy_pool_hold(node->pool, node->limits.base + piece->offset, piece->length);
		buddy_row_put_mapped(file, piece->row);
	}
	if (last)
		free_pieces(file, pieces, last, false);
}

/* The first blocks of a row that go together; none of them is in it any more. */
static struct buddy_piece take_piece(struct buddy_row *row)
{
	unsigned int first = __ffs64(row->live);
	u64 others = ~(row->live >> first);
	struct buddy_piece piece = {
		.offset = row->offset + first * row->length,
		.length = row->length,
		.first = first,
		.count = others ? __ffs64(others) : BUDDY_ROW_BLOCKS,
	};

	row->live &= ~piece_bits(&piece);
	if (!row->live)
		piece.row = row;
	return piece;
}

/**
 * buddy_file_put_blocks() - drop all that a file has
 * @file: the file, which has no mappings, and nobody else has it
 */
void buddy_file_put_blocks(struct buddy_file *file)
{
	struct buddy_row *row, *next;
	struct buddy_piece pieces[16];
	u32 nr = 0;
	bool last;

	rbtree_postorder_for_each_entry_safe(row, next, &file->by_handle, handle_link) {
		do {
			pieces[nr] = take_piece(row);
			/* With its last piece the row goes. */
			last = pieces[nr++].row;
			if (nr == ARRAY_SIZE(pieces)) {
				buddy_pieces_put(file, pieces, nr);
				nr = 0;
				cond_resched();
			}
		} while (!last);
	}
	buddy_pieces_put(file, pieces, nr);
	if (file->spare)
		kmem_cache_free(row_cache, file->spare);
}

/*
 * Where rows come from
 */

/* Returns 0 or -ENOMEM. */
int buddy_block_init(void)
{
	/* Its place in a page is 114 bytes; 8 more point to the cgroup that pays. */
	static_assert(sizeof(struct buddy_row) <= 112);

	row_cache = bp_kmem_cache_create_unmerged("buddy_pool_block", sizeof(struct buddy_row),
						  __alignof__(struct buddy_row), SLAB_ACCOUNT);
	return row_cache ? 0 : -ENOMEM;
}

void buddy_block_exit(void)
{
	kmem_cache_destroy(row_cache);
}

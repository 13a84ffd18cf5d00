// SPDX-License-Identifier: GPL-2.0
/*
 * Pools: what other modules see. The life cycle, the registry by name, and the
 * way from a pool to the shard that does the work.
 *
 * A pool that is small, or on a machine with one CPU, is one shard. Otherwise it
 * has several, so that CPUs that allocate at the same time mostly take different
 * locks; see buddy_span.h.
 *
 * Locking: pool_list_lock guards the registry, which has every pool until its
 * last reference is dropped. A pool that is on its way out is still there, so
 * that a second destroy, or a put too many, is known for what it is. All else is
 * constant, or in the shards.
 *
 * The life of a pool, by enum stage: it has its name before anything else is made of
 * that name, and until all of it is gone, but others find it only in between. Its end:
 * nobody finds it first, then it is gone, so that nobody new gets in; then the
 * notifiers are called, with no lock of ours held but that of their list; then its
 * name is free, and the range goes.
 */
#define pr_fmt(fmt) "buddy_pool: " fmt

#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/hardirq.h>
#include <linux/jiffies.h>
#include <linux/irq_work.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/overflow.h>
#include <linux/pci.h>
#include <linux/preempt.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "buddy_dirty.h"
#include "buddy_internal.h"
#include "buddy_shard.h"
#include "buddy_span.h"

/* In this order. What is PUBLIC is found by its name. */
enum stage {
	NEW,
	PUBLIC,
	ENDING,
	NAMELESS, /* the name is anybody's */
};

struct buddy_pool {
	struct buddy_shards shards;
	atomic_t starving; /* a request of the node found no space since the last free */
	atomic_t nr_starved; /* so did so many, ever, */
	atomic_t nr_answered; /* and so many of them were told, or found some after all */
	atomic_long_t nr_relieved; /* rises when space comes back after one did */
	wait_queue_head_t space; /* those who wait for that */
	struct work_struct waking; /* wakes them */
	struct irq_work wake; /* has them woken, where that can't be asked for */
	struct kref ref;
	struct list_head link;		/* pool_list_lock */
	enum stage stage;		/* likewise */
	void *metadata;
	struct rw_semaphore range_lock;	/* guards gone, and range going away */
	bool gone;			/* the device is; set once */
	bool paused;			/* likewise: it is being reset */
	raw_spinlock_t dirty_lock;	/* dirty, and writes to these two */
	bool all_dirty;			/* nothing of the range is known to be zero */
	unsigned int nr_lost;		/* rises when it may hold anything */
	struct buddy_dirty dirty;	/* what is not known to be zero, used or free */
	atomic64_t zeroed;		/* bytes, so far */
	struct buddy_range range;
	struct device *dev;		/* without which it is gone, or NULL */
	struct blocking_notifier_head notifiers;
	struct task_struct *notifying;	/* the task that calls them */
	char name[BUDDY_POOL_NAME_LEN];
};

/* For the log */
static const char *pool_name(const struct buddy_pool *pool)
{
	return pool->name[0] ? pool->name : "(unnamed)";
}

static LIST_HEAD(pool_list);
static DEFINE_MUTEX(pool_list_lock);

/* Mistakes of the calling module, which are refused */
enum mistake {
	CALLED_IN_NMI,
	NO_POOL,
	NO_CONFIG,
	DESTROYED_TWICE,
	PUT_TOO_OFTEN,
};

/* Tells of each kind once: a line in the log, in debug kernels with the way there */
static void report(enum mistake mistake, const char *function)
{
	static const char *const texts[] = {
		[CALLED_IN_NMI] = "is called in NMI",
		[NO_POOL] = "is given no pool",
		[NO_CONFIG] = "is given no configuration",
		[DESTROYED_TWICE] = "is given a pool that was destroyed",
		[PUT_TOO_OFTEN] = "is given a pool that is no more",
	};
	static unsigned long told;

	if (test_and_set_bit(mistake, &told))
		return;
	if (IS_ENABLED(CONFIG_DEBUG_VM))
		WARN(1, "buddy_pool: misuse: %s() %s\n", function, texts[mistake]);
	else
		pr_err("misuse: %s() %s\n", function, texts[mistake]);
}

/* Is this a pool, and may its locks be taken here? */
static __always_inline bool may_call(const struct buddy_pool *pool, const char *function)
{
	if (!IS_ERR_OR_NULL(pool) && likely(!in_nmi()))
		return true;
	report(in_nmi() ? CALLED_IN_NMI : NO_POOL, function);
	return false;
}

/*
 * What of the range is not known to be zero. Who says so of a part of it has that part
 * for himself, but for lose_contents().
 */

/* The machine sleeps or is about to, after which the memory may hold anything. */
static bool asleep;

static void look_if_all_dirty(struct buddy_pool *pool)
{
	const struct buddy_dirty *dirty = &pool->dirty;
	u64 size = pool->shards.layout.size;

	lockdep_assert_held(&pool->dirty_lock);
	WRITE_ONCE(pool->all_dirty,
		   dirty->nr && !dirty->part[0].start && dirty->part[0].end == size);
}

/*
 * If part of it was known to be zero, then before the caller got it, and all_dirty was
 * false, too; so the shard's lock makes that visible here.
 */
static void set_dirty(struct buddy_pool *pool, u64 start, u64 end)
{
	if (likely(READ_ONCE(pool->all_dirty)))
		return;
	guard(raw_spinlock_irqsave)(&pool->dirty_lock);
	buddy_dirty_add(&pool->dirty, start, end);
	look_if_all_dirty(pool);
}

/* @nr_lost: as it was before the zeroing, which was for nothing if it rose since */
static void set_clean(struct buddy_pool *pool, u64 start, u64 end, unsigned int nr_lost)
{
	guard(raw_spinlock_irqsave)(&pool->dirty_lock);
	if (pool->nr_lost != nr_lost || READ_ONCE(asleep))
		return;
	buddy_dirty_remove(&pool->dirty, start, end);
	look_if_all_dirty(pool);
}

/* The range may hold anything now. */
static void lose_contents(struct buddy_pool *pool)
{
	guard(raw_spinlock_irqsave)(&pool->dirty_lock);
	WRITE_ONCE(pool->nr_lost, pool->nr_lost + 1);
	buddy_dirty_add(&pool->dirty, 0, pool->shards.layout.size);
	WRITE_ONCE(pool->all_dirty, true);
}

static bool next_dirty(struct buddy_pool *pool, u64 *start, u64 *end)
{
	if (likely(READ_ONCE(pool->all_dirty)))
		return *start < *end;
	guard(raw_spinlock_irqsave)(&pool->dirty_lock);
	return buddy_dirty_next(&pool->dirty, start, end);
}

/* Whoever is not the node writes to what he got, and need not zero it afterwards. */
static void expect_writes(struct buddy_pool *pool, u64 address, u64 size)
{
	u64 offset = address - pool->shards.layout.base;

	set_dirty(pool, offset, offset + size);
}

/*
 * Blocks
 */

static bool in_pool(const struct buddy_pool *pool, u64 address)
{
	return buddy_layout_contains(&pool->shards.layout, address);
}

/* What nearly all requests are for, from where this CPU begins, if that is quickly done */
static __always_inline bool alloc_plain(struct buddy_pool *pool,
					const struct buddy_pool_request *request,
					struct buddy_pool_result *result)
{
	return likely(!READ_ONCE(pool->gone)) &&
	       likely(buddy_shard_alloc_plain(buddy_shards_home(&pool->shards), request, result));
}

static int try_alloc(struct buddy_pool *pool, const struct buddy_pool_request *request,
		     struct buddy_pool_result *result)
{
	if (likely(pool->shards.nr == 1))
		return buddy_shard_alloc(pool->shards.shard, request, result);
	return buddy_span_alloc(&pool->shards, request, result);
}

/*
 * For a request that found no space and is about to try once more. What is freed from here
 * on makes a difference, and only that: who frees has had a lock before that was taken here,
 * and the second try sees it, or takes it later, and then sees that somebody starves.
 */
static unsigned long starve(struct buddy_pool *pool)
{
	unsigned long nr_relieved = buddy_pool_nr_relieved(pool);
	unsigned int i;

	atomic_inc(&pool->nr_starved);
	atomic_set_release(&pool->starving, 1);
	for (i = 0; i < pool->shards.nr; i++)
		buddy_shard_sync(&pool->shards.shard[i]);
	return nr_relieved;
}

/* What alloc_plain() did not grant */
static noinline int alloc_other(struct buddy_pool *pool, const struct buddy_pool_request *request,
				struct buddy_pool_result *result, unsigned long *nr_relieved)
{
	int err;

	if (unlikely(READ_ONCE(pool->gone))) {
		result->reason = BUDDY_POOL_REASON_GONE;
		return -ENODEV;
	}
	err = try_alloc(pool, request, result);
	if (unlikely(err == -ENOSPC && nr_relieved)) {
		*nr_relieved = starve(pool);
		err = try_alloc(pool, request, result);
		/* With buddy_pool_nr_answered(): whoever sees it counted takes nothing from it. */
		smp_mb__before_atomic();
		atomic_inc(&pool->nr_answered);
	}
	if (unlikely(err))
		buddy_shard_count_refused(pool->shards.shard, err, result->reason);
	return err;
}

/* If there is no space, sets @nr_relieved, which may be NULL; see buddy_internal.h */
int buddy_pool_alloc_for_node(struct buddy_pool *pool, const struct buddy_pool_request *request,
			      struct buddy_pool_result *result, unsigned long *nr_relieved)
{
	if (alloc_plain(pool, request, result))
		return 0;
	return alloc_other(pool, request, result, nr_relieved);
}

/*
 * Up to @count blocks side by side, of which @result is the first. Returns how many, or
 * what buddy_pool_alloc_for_node() does of one.
 */
int buddy_pool_alloc_row(struct buddy_pool *pool, const struct buddy_pool_request *request,
			 unsigned int count, struct buddy_pool_result *result,
			 unsigned long *nr_relieved)
{
	unsigned int nr = 0;

	if (count > 1 && !READ_ONCE(pool->gone))
		nr = buddy_span_alloc_row(&pool->shards, request, count, result);
	return nr ?: buddy_pool_alloc_for_node(pool, request, result, nr_relieved) ?: 1;
}

int buddy_pool_alloc(struct buddy_pool *pool, const struct buddy_pool_request *request,
		     struct buddy_pool_result *result)
{
	int err = 0;

	if (unlikely(!may_call(pool, __func__))) {
		result->reason = BUDDY_POOL_REASON_GONE;
		return -EINVAL;
	}
	might_sleep_if(request->flags & BUDDY_POOL_MAY_SLEEP);
	if (unlikely(!alloc_plain(pool, request, result)))
		err = alloc_other(pool, request, result, NULL);
	if (likely(!err))
		expect_writes(pool, result->address, result->size);
	return err;
}
EXPORT_SYMBOL_GPL(buddy_pool_alloc);

static void wake_all(struct work_struct *work)
{
	wake_up_all(&container_of(work, struct buddy_pool, waking)->space);
}

static void wake_later(struct irq_work *work)
{
	schedule_work(&container_of(work, struct buddy_pool, wake)->waking);
}

/* Somebody starves no more, perhaps. */
static noinline void relieve(struct buddy_pool *pool)
{
	if (!atomic_xchg(&pool->starving, 0))
		return;
	atomic_long_inc(&pool->nr_relieved);
	/*
	 * There may be as many who wait as users like: they are woken at a kworker's expense.
	 * The caller may hold a raw spinlock, inside which that may not be asked for.
	 */
	if (preemptible())
		schedule_work(&pool->waking);
	else
		irq_work_queue(&pool->wake);
}

/**
 * buddy_pool_wake_waiters() - space came back
 * @pool: the pool
 *
 * Does nothing unless a node's request has found none since this did something.
 */
void buddy_pool_wake_waiters(struct buddy_pool *pool)
{
	if (unlikely(atomic_read(&pool->starving)))
		relieve(pool);
}

static __always_inline int free_block(struct buddy_pool *pool, u64 address,
				      enum buddy_pool_reason *reason)
{
	int err;

	if (unlikely(!in_pool(pool, address))) {
		buddy_shard_count_bad_free(pool->shards.shard, BUDDY_POOL_REASON_OUT_OF_RANGE);
		if (reason)
			*reason = BUDDY_POOL_REASON_OUT_OF_RANGE;
		return -ERANGE;
	}
	err = buddy_shard_free(buddy_shards_of(&pool->shards, address), address, reason);
	if (unlikely(err == -EXDEV))
		err = buddy_span_free(&pool->shards, address, reason);
	return err;
}

int buddy_pool_free(struct buddy_pool *pool, u64 address, enum buddy_pool_reason *reason)
{
	int err;

	if (unlikely(!may_call(pool, __func__))) {
		if (reason)
			*reason = BUDDY_POOL_REASON_GONE;
		return -EINVAL;
	}
	err = free_block(pool, address, reason);
	if (!err)
		buddy_pool_wake_waiters(pool);
	return err;
}
EXPORT_SYMBOL_GPL(buddy_pool_free);

/*
 * Those of the blocks that shard @shard has all of are freed at once, if they can be.
 * Returns how many.
 */
static unsigned int free_some(struct buddy_pool *pool, u64 address, u64 size, unsigned int count)
{
	struct buddy_shard *shard = buddy_shards_of(&pool->shards, address);
	u64 room = shard->base + shard->size - address;

	if (count * size > room)
		count = div64_u64(room, size);
	count = min(count, BUDDY_CORE_ROW_BLOCKS);
	return count > 1 && buddy_shard_free_row(shard, address, size, count) ? count : 0;
}

/* Frees @count blocks side by side, of @size bytes each, that the caller has; wakes nobody */
void buddy_pool_free_row(struct buddy_pool *pool, u64 address, u64 size, unsigned int count)
{
	unsigned int nr;

	for (; count; count -= nr, address += nr * size) {
		nr = count > 1 ? free_some(pool, address, size, count) : 0;
		if (!nr) {
			free_block(pool, address, NULL);
			nr = 1;
		}
	}
}

/**
 * buddy_pool_check() - can a request ever be met?
 * @pool: the pool
 * @request: the request
 *
 * Return: BUDDY_POOL_REASON_NONE, or why not.
 */
enum buddy_pool_reason buddy_pool_check(struct buddy_pool *pool,
					const struct buddy_pool_request *request)
{
	struct buddy_core_request core;

	return buddy_layout_translate(&pool->shards.layout, request, &core);
}

int buddy_pool_query(struct buddy_pool *pool, u64 address, u64 *start, u64 *size)
{
	int state;

	if (unlikely(!may_call(pool, __func__)))
		return -EINVAL;
	if (!in_pool(pool, address))
		return -ERANGE;
	state = buddy_shard_query(buddy_shards_of(&pool->shards, address), address, start, size);
	if (state == -EXDEV)
		state = buddy_span_query(&pool->shards, address, start, size);
	return state;
}
EXPORT_SYMBOL_GPL(buddy_pool_query);

bool buddy_pool_next(struct buddy_pool *pool, struct buddy_pool_walk *walk)
{
	u64 next = walk->start + walk->size;
	u64 start, size;
	int state;

	/* The last piece may have ended at 2^64. */
	if (unlikely(!may_call(pool, __func__)) || (walk->size && !next))
		return false;
	next = max(next, pool->shards.layout.base);
	while (in_pool(pool, next)) {
		state = buddy_pool_query(pool, next, &start, &size);
		if (state == BUDDY_POOL_STATE_FREE) {
			start = next;
			size = buddy_span_free_run(&pool->shards, next);
		}
		if (size && start >= next) {
			*walk = (struct buddy_pool_walk){ start, size, state };
			return true;
		}
		/* Things changed meanwhile: the run has an owner, or a block covers @next. */
		if (size)
			next = start + size;
	}
	return false;
}
EXPORT_SYMBOL_GPL(buddy_pool_next);

int buddy_pool_unreserve(struct buddy_pool *pool, u64 address, u64 size)
{
	int err;

	if (unlikely(!may_call(pool, __func__)))
		return -EINVAL;
	err = buddy_span_unreserve(&pool->shards, address, size);
	if (!err)
		buddy_pool_wake_waiters(pool);
	return err;
}
EXPORT_SYMBOL_GPL(buddy_pool_unreserve);

int buddy_pool_reserve(struct buddy_pool *pool, u64 address, u64 size)
{
	int err;

	if (unlikely(!may_call(pool, __func__)))
		return -EINVAL;
	might_sleep();
	err = buddy_span_reserve(&pool->shards, address, size);
	if (!err)
		expect_writes(pool, address, size);
	return err;
}
EXPORT_SYMBOL_GPL(buddy_pool_reserve);

void buddy_pool_usage(struct buddy_pool *pool, struct buddy_pool_usage *usage)
{
	memset(usage, 0, sizeof(*usage));
	if (likely(may_call(pool, __func__)))
		buddy_span_usage(&pool->shards, usage);
}
EXPORT_SYMBOL_GPL(buddy_pool_usage);

u64 buddy_pool_block_size(u64 size, u64 min_block, u64 max_block)
{
	if (!buddy_is_power_of_2(min_block) || !buddy_is_power_of_2(max_block) ||
	    min_block > max_block || size > max_block)
		return 0;
	return size <= min_block ? min_block : 1ULL << fls64(size - 1);
}
EXPORT_SYMBOL_GPL(buddy_pool_block_size);

/*
 * For the node
 */

void buddy_pool_limits(const struct buddy_pool *pool, struct buddy_pool_limits *limits)
{
	const struct buddy_layout *layout = &pool->shards.layout;

	limits->base = layout->base;
	limits->size = layout->size;
	limits->min_block = 1ULL << layout->shift;
	limits->min_alloc = layout->min_alloc;
	limits->max_alloc = layout->max_alloc;
}

const char *buddy_pool_name(const struct buddy_pool *pool)
{
	return pool->name;
}

const struct buddy_range *buddy_pool_range(const struct buddy_pool *pool)
{
	return &pool->range;
}

/* Where to wait until buddy_pool_nr_relieved() changes */
wait_queue_head_t *buddy_pool_space_queue(struct buddy_pool *pool)
{
	return &pool->space;
}

/* Never 0 */
unsigned long buddy_pool_nr_relieved(struct buddy_pool *pool)
{
	return atomic_long_read(&pool->nr_relieved);
}

/*
 * How many requests of nodes found no space and tried again; and of how many that is over. If
 * the first is now what the second was, nobody has missed what was held for a moment between.
 */
unsigned int buddy_pool_nr_starved(struct buddy_pool *pool)
{
	return atomic_read(&pool->nr_starved);
}

unsigned int buddy_pool_nr_answered(struct buddy_pool *pool)
{
	return atomic_read_acquire(&pool->nr_answered);
}

/* A free that did not get as far as an address */
void buddy_pool_count_bad_free(struct buddy_pool *pool, enum buddy_pool_reason reason)
{
	buddy_shard_count_bad_free(pool->shards.shard, reason);
}

/* The block at @address lost its owner, and is kept by mappings. */
void buddy_pool_hold(struct buddy_pool *pool, u64 address, u64 size)
{
	buddy_shard_hold(buddy_shards_of(&pool->shards, address), size);
}

/* A block that was held is about to be freed. */
void buddy_pool_unhold(struct buddy_pool *pool, u64 address, u64 size)
{
	buddy_shard_unhold(buddy_shards_of(&pool->shards, address), size);
}

/*
 * The range, and its end
 */

/**
 * buddy_pool_try_enter_range() - keep the range from going away, without waiting
 * @pool: the pool
 *
 * Return: 0, after which buddy_pool_leave_range() must follow; -ENODEV if the range
 * is gone; -EAGAIN if it can't be used just now.
 */
int buddy_pool_try_enter_range(struct buddy_pool *pool)
{
	int err = 0;

	down_read(&pool->range_lock);
	if (pool->gone)
		err = -ENODEV;
	else if (pool->paused)
		err = -EAGAIN;
	if (err)
		up_read(&pool->range_lock);
	return err;
}

void buddy_pool_leave_range(struct buddy_pool *pool)
{
	up_read(&pool->range_lock);
}

/*
 * Zeroing. What a caller zeroes is his own, so that nobody else looks at it; what
 * is known of it is good for whoever gets it next.
 */

/* Bytes for which the range is kept from going away */
#define ZERO_STEP	SZ_1M

/*
 * Some of [offset, end), which is not empty. Returns how much, which is nothing while
 * the range can't be used; or -ENODEV.
 */
static s64 zero_some(struct buddy_pool *pool, u64 offset, u64 end)
{
	u64 step = min_t(u64, end - offset, ZERO_STEP);
	int err;

	err = buddy_pool_try_enter_range(pool);
	if (err == -EAGAIN) {
		schedule_timeout_uninterruptible(1);
		return 0;
	}
	if (err)
		return err;
	/* Whoever pulled the device may wait for this before anybody is told. */
	if (pool->range.pdev && pci_channel_offline(pool->range.pdev))
		err = -ENODEV;
	else
		buddy_range_zero(&pool->range, offset, step);
	buddy_pool_leave_range(pool);
	if (err)
		return err;
	atomic64_add(step, &pool->zeroed);
	cond_resched();
	return step;
}

/**
 * buddy_pool_zero_new() - make a block zero that is to be handed out
 * @pool: the pool
 * @offset: of the block, from the start of the range
 * @length: of the block in bytes
 * @stays_clean: whoever gets it zeroes it again before it is free
 * @task: the process that asked for it
 *
 * Skips what is known to be zero. If a fatal signal comes to @task, or the device goes
 * away, what was done until then is remembered, so that the next one who gets
 * that memory goes on from there. After a reset it begins again.
 *
 * Return: 0, -EINTR or -ENODEV.
 */
int buddy_pool_zero_new(struct buddy_pool *pool, u64 offset, u64 length, bool stays_clean,
			struct task_struct *task)
{
	unsigned int nr_lost = READ_ONCE(pool->nr_lost);
	u64 end = offset + length;
	u64 at = offset, stop = end;
	s64 step = 0;

	while (step >= 0 && next_dirty(pool, &at, &stop)) {
		step = fatal_signal_pending(task) ? -EINTR : zero_some(pool, at, stop);
		at += max_t(s64, step, 0);
		stop = end;
		if (READ_ONCE(pool->nr_lost) != nr_lost) {
			nr_lost = READ_ONCE(pool->nr_lost);
			at = offset;
		}
	}
	if (step < 0)
		set_clean(pool, offset, at, nr_lost);
	else if (!stays_clean)
		set_dirty(pool, offset, end);
	return min_t(s64, step, 0);
}

/* Is the process to go, or has this had its time, if there is a limit? */
static bool is_impatient(u64 until)
{
	return fatal_signal_pending(current) || (until && time_after64(get_jiffies_64(), until));
}

/**
 * buddy_pool_zero_old() - make a block zero that is to be free
 * @pool: the pool
 * @offset: of the block, from the start of the range
 * @length: of the block in bytes
 * @until: in jiffies, until when this may go on; 0 for as long as it takes
 *
 * What is not done, because a process has to die or time is up, is left to the next
 * one who gets that memory, and so is all of it after a reset. If the device goes
 * away, there will be none.
 */
void buddy_pool_zero_old(struct buddy_pool *pool, u64 offset, u64 length, u64 until)
{
	unsigned int nr_lost = READ_ONCE(pool->nr_lost);
	u64 end = offset + length;
	u64 at = offset;
	s64 step = 0;

	while (at < end && step >= 0 && !is_impatient(until)) {
		step = zero_some(pool, at, end);
		at += max_t(s64, step, 0);
	}
	set_clean(pool, offset, at, nr_lost);
	if (at < end)
		set_dirty(pool, at, end);
}

/**
 * buddy_pool_zero_all() - make all of a new pool zero
 * @pool: the pool
 * @task: the process that asked for the pool, which is not published yet
 *
 * Return: 0, -EINTR or -ENODEV.
 */
int buddy_pool_zero_all(struct buddy_pool *pool, struct task_struct *task)
{
	unsigned int nr_lost = READ_ONCE(pool->nr_lost);
	u64 size = pool->shards.layout.size;
	int err;

	err = buddy_pool_zero_new(pool, 0, size, true, task);
	if (!err)
		set_clean(pool, 0, size, nr_lost);
	return err;
}

u64 buddy_pool_nr_zeroed(const struct buddy_pool *pool)
{
	return atomic64_read(&pool->zeroed);
}

/* The device without which the pool is gone, or NULL; it stays with the pool. */
struct device *buddy_pool_device(const struct buddy_pool *pool)
{
	return pool->dev;
}

bool buddy_pool_is_gone(const struct buddy_pool *pool)
{
	return READ_ONCE(pool->gone);
}

/* Does nothing and returns false if the pool is as far, or is no pool. */
static bool advance(struct buddy_pool *pool, enum stage stage)
{
	struct buddy_pool *other;

	guard(mutex)(&pool_list_lock);
	list_for_each_entry(other, &pool_list, link) {
		if (other == pool && pool->stage < stage) {
			pool->stage = stage;
			return true;
		}
	}
	return false;
}

/**
 * buddy_pool_publish() - let buddy_pool_get() find the pool
 * @pool: the pool, from buddy_pool_create_for()
 */
void buddy_pool_publish(struct buddy_pool *pool)
{
	advance(pool, PUBLIC);
}

/**
 * buddy_pool_free_name() - let others have the name of the pool
 * @pool: the pool, which is marked as gone, and of which nothing has that name
 */
void buddy_pool_free_name(struct buddy_pool *pool)
{
	advance(pool, NAMELESS);
}

/**
 * buddy_pool_mark_gone() - let no more requests in, and tell who asked to be told
 * @pool: the pool; it can no longer be looked up
 *
 * When this returns, nobody is inside the range, nobody gets in, and clients
 * have let go as far as they do.
 *
 * Context: Process context. Calls the notifiers.
 */
void buddy_pool_mark_gone(struct buddy_pool *pool)
{
	advance(pool, ENDING);
	scoped_guard(rwsem_write, &pool->range_lock)
		WRITE_ONCE(pool->gone, true);
	wake_up_all(&pool->space);
	/* Nobody is added any more: see buddy_pool_register_notifier(). */
	WRITE_ONCE(pool->notifying, current);
	blocking_notifier_call_chain(&pool->notifiers, BUDDY_POOL_GOING, pool);
	WRITE_ONCE(pool->notifying, NULL);
}

int buddy_pool_register_notifier(struct buddy_pool *pool, struct notifier_block *notifier)
{
	if (!may_call(pool, __func__))
		return -EINVAL;
	if (READ_ONCE(pool->notifying) == current)
		return -EDEADLK;
	/* Gone is set with this held, before those who are registered are called. */
	guard(rwsem_read)(&pool->range_lock);
	if (pool->gone)
		return -ENODEV;
	return blocking_notifier_chain_register(&pool->notifiers, notifier);
}
EXPORT_SYMBOL_GPL(buddy_pool_register_notifier);

int buddy_pool_unregister_notifier(struct buddy_pool *pool, struct notifier_block *notifier)
{
	if (!may_call(pool, __func__))
		return -EINVAL;
	if (READ_ONCE(pool->notifying) == current)
		return -EDEADLK;
	return blocking_notifier_chain_unregister(&pool->notifiers, notifier);
}
EXPORT_SYMBOL_GPL(buddy_pool_unregister_notifier);

/**
 * buddy_pool_pause() - let nobody into the range for a while
 * @pool: the pool
 *
 * When this returns, nobody is inside the range, and nobody gets in before
 * buddy_pool_resume(). Nothing of it counts as zero: who gets a block that has to be
 * zero waits.
 */
void buddy_pool_pause(struct buddy_pool *pool)
{
	scoped_guard(rwsem_write, &pool->range_lock)
		pool->paused = true;
	lose_contents(pool);
}

/**
 * buddy_pool_resume() - let them in again
 * @pool: the pool, whose memory may hold anything by now
 */
void buddy_pool_resume(struct buddy_pool *pool)
{
	lose_contents(pool);
	scoped_guard(rwsem_write, &pool->range_lock)
		pool->paused = false;
}

/**
 * buddy_pool_set_asleep() - take it that the memory of all pools is lost
 * @sleeps: the machine is about to sleep, or is awake again
 *
 * To be called before programs are frozen, and after they run again: what is zeroed
 * between these is not taken for zero later on.
 *
 * Context: Process context. Takes a mutex.
 */
void buddy_pool_set_asleep(bool sleeps)
{
	struct buddy_pool *pool;

	guard(mutex)(&pool_list_lock);
	/* Whoever takes a pool's dirty_lock after us sees it. */
	WRITE_ONCE(asleep, sleeps);
	list_for_each_entry(pool, &pool_list, link)
		lose_contents(pool);
}

/**
 * buddy_pool_retire() - let nobody find the pool any more, if nobody has it
 * @pool: the pool; its creator and its node may have a reference each
 *
 * Return: 0; -EBUSY if there are more references.
 */
int buddy_pool_retire(struct buddy_pool *pool)
{
	guard(mutex)(&pool_list_lock);
	if (kref_read(&pool->ref) > 2)
		return -EBUSY;
	pool->stage = ENDING;
	return 0;
}

/**
 * buddy_pool_release_range() - give the range back before the pool goes
 * @pool: the pool, which is marked as gone, and has no mappings
 */
void buddy_pool_release_range(struct buddy_pool *pool)
{
	buddy_range_release(&pool->range);
}

/*
 * Life cycle
 */

static bool name_is_valid(const char *name)
{
	size_t i, length = strnlen(name, BUDDY_POOL_NAME_LEN);

	if (!length || length == BUDDY_POOL_NAME_LEN || name[0] == '.')
		return false;
	for (i = 0; i < length; i++)
		if (!isascii(name[i]) || (!isalnum(name[i]) && !strchr("._-", name[i])))
			return false;
	return true;
}

/**
 * buddy_pool_check_name() - may a pool be called so?
 * @name: the name
 *
 * Context: Any context but NMI.
 * Return: 0, or -EINVAL and a line in the log.
 */
int buddy_pool_check_name(const char *name)
{
	if (name_is_valid(name))
		return 0;
	pr_err("a name is 1 to %d letters, digits, '.', '_' or '-', not first '.'\n",
	       BUDDY_POOL_NAME_LEN - 1);
	return -EINVAL;
}
EXPORT_SYMBOL_GPL(buddy_pool_check_name);

/* The power of two that is @size or more, as far as there is one */
static u64 roundup_size(u64 size)
{
	return size > 1ULL << 63 ? U64_MAX : 1ULL << fls64(size - 1);
}

/* Tells in the log what is wrong with the limits, by the rules of buddy_pool.h */
static int set_limits(struct buddy_pool *pool, const struct buddy_pool_config *config)
{
	struct buddy_layout *layout = &pool->shards.layout;
	u64 min_block = config->min_block ?: PAGE_SIZE;

	layout->shift = ilog2(min_block);
	layout->base = pool->range.start;
	layout->size = pool->range.size >> layout->shift << layout->shift;
	layout->min_alloc = config->min_alloc;
	layout->max_alloc = config->max_alloc ?: layout->size;
	if (!layout->size) {
		pr_err("%s: size %llu is less than min_block %llu\n", pool_name(pool),
		       pool->range.size, min_block);
		return -EINVAL;
	}
	if (layout->max_alloc > layout->size || layout->min_alloc > layout->max_alloc) {
		pr_err("%s: limits must be min_alloc %llu <= max_alloc %llu <= size %llu\n",
		       pool_name(pool), layout->min_alloc, layout->max_alloc, layout->size);
		return -EINVAL;
	}
	if (config->max_alloc && 1ULL << layout->shift > roundup_size(config->max_alloc)) {
		pr_err("%s: min_block %llu is more than max_alloc %llu\n", pool_name(pool),
		       min_block, config->max_alloc);
		return -EINVAL;
	}
	return 0;
}

static int divide(struct buddy_pool *pool, const struct buddy_pool_config *config)
{
	u64 nr = pool->shards.layout.size >> pool->shards.layout.shift;
	unsigned int wanted = config->shards ?: buddy_span_default(nr);

	if (wanted > BUDDY_MAX_SHARDS || wanted > nr) {
		pr_err("%s: %u shards: at most %d, and a min block for each\n", pool_name(pool),
		       wanted, BUDDY_MAX_SHARDS);
		return -EINVAL;
	}
	return buddy_span_divide(&pool->shards, wanted);
}

/* The least min_block with which the metadata of the pool may be had */
static u64 affordable_block(const struct buddy_pool *pool, u64 bytes, u64 limit)
{
	u64 min_block = 1ULL << pool->shards.layout.shift;

	for (; bytes > limit; bytes /= 2)
		min_block *= 2;
	return min_block;
}

static int init_shards(struct buddy_pool *pool)
{
	/* No more than vmalloc() hands out at once, or half of what there is */
	u64 limit = min_t(u64, INT_MAX, ((u64)totalram_pages() << PAGE_SHIFT) / 2);
	/* Two bits a block are the greater part, and enough to refuse a huge pool. */
	u64 bytes = pool->shards.layout.size >> pool->shards.layout.shift >> 2;
	struct buddy_shards *shards = &pool->shards;
	unsigned int i;

	if (bytes <= limit)
		for (i = 0, bytes = 0; i < shards->nr; i++)
			bytes += buddy_shard_place(&shards->shard[i], shards);
	if (bytes > limit) {
		pr_err("%s: %llu bytes of metadata are too many; min_block=%llu would do\n",
		       pool_name(pool), bytes, affordable_block(pool, bytes, limit));
		return -ENOMEM;
	}
	pool->metadata = __vmalloc(bytes, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
	if (!pool->metadata) {
		pr_err("%s: no memory for %llu bytes of metadata\n", pool_name(pool), bytes);
		return -ENOMEM;
	}
	bytes = 0;
	for (i = 0; i < shards->nr; i++) {
		buddy_shard_init(&shards->shard[i], pool->metadata + bytes);
		bytes += buddy_shard_place(&shards->shard[i], shards);
	}
	return 0;
}

static int register_pool(struct buddy_pool *pool)
{
	struct buddy_pool *other;

	guard(mutex)(&pool_list_lock);
	list_for_each_entry(other, &pool_list, link) {
		if (pool->name[0] && other->stage < NAMELESS && !strcmp(other->name, pool->name)) {
			pr_err("%s: there is a pool of that name\n", pool_name(pool));
			return -EEXIST;
		}
	}
	list_add_tail(&pool->link, &pool_list);
	return 0;
}

static int claim_range(struct buddy_pool *pool, const struct buddy_pool_config *config)
{
	u64 last;

	if (config->claim || config->pdev)
		return buddy_range_claim(&pool->range, config);
	if (!config->size || check_add_overflow(config->base, config->size - 1, &last)) {
		pr_err("%s: size %llu from %#llx is empty or goes beyond 2^64\n", pool_name(pool),
		       config->size, config->base);
		return -EINVAL;
	}
	pool->range.start = config->base;
	pool->range.size = config->size;
	return 0;
}

/**
 * buddy_pool_create_for() - buddy_pool_create() for a device, for ourselves as yet
 * @dev: the device without which the pool is gone, or NULL
 * @config: what over
 *
 * Nobody finds the pool before buddy_pool_publish().
 *
 * Context: Process context. May sleep.
 * Return: as buddy_pool_create().
 */
struct buddy_pool *buddy_pool_create_for(struct device *dev, const struct buddy_pool_config *config)
{
	struct buddy_pool *pool;
	int err;

	if (config->name && buddy_pool_check_name(config->name))
		return ERR_PTR(-EINVAL);
	pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	if (!pool)
		return ERR_PTR(-ENOMEM);
	kref_init(&pool->ref);
	init_waitqueue_head(&pool->space);
	atomic_long_set(&pool->nr_relieved, 1);
	INIT_WORK(&pool->waking, wake_all);
	init_irq_work(&pool->wake, wake_later);
	init_rwsem(&pool->range_lock);
	BLOCKING_INIT_NOTIFIER_HEAD(&pool->notifiers);
	raw_spin_lock_init(&pool->dirty_lock);
	strscpy(pool->name, config->name ?: "", sizeof(pool->name));
	pool->dev = get_device(dev);

	err = claim_range(pool, config);
	if (err)
		goto free_pool;
	err = set_limits(pool, config);
	if (err)
		goto release_range;
	err = divide(pool, config);
	if (err)
		goto release_range;
	err = init_shards(pool);
	if (err)
		goto free_shards;
	lose_contents(pool);
	err = register_pool(pool);
	if (err)
		goto free_metadata;
	return pool;

free_metadata:
	vfree(pool->metadata);
free_shards:
	kvfree(pool->shards.shard);
release_range:
	buddy_range_release(&pool->range);
free_pool:
	put_device(pool->dev);
	kfree(pool);
	return ERR_PTR(err);
}

struct buddy_pool *buddy_pool_create(const struct buddy_pool_config *config)
{
	struct buddy_pool *pool;

	if (!config) {
		report(NO_CONFIG, __func__);
		return ERR_PTR(-EINVAL);
	}
	pool = buddy_pool_create_for(config->pdev ? &config->pdev->dev : NULL, config);
	if (!IS_ERR(pool))
		buddy_pool_publish(pool);
	return pool;
}
EXPORT_SYMBOL_GPL(buddy_pool_create);

static u64 nr_blocks(struct buddy_pool *pool)
{
	u64 nr = 0;
	unsigned int i;

	for (i = 0; i < pool->shards.nr; i++) {
		const struct buddy_shard *shard = &pool->shards.shard[i];

		nr += shard->allocs - shard->out_of_space - shard->frees;
	}
	return nr;
}

/* The last reference was dropped. */
static void unlist(struct kref *ref)
{
	lockdep_assert_held(&pool_list_lock);
	list_del(&container_of(ref, struct buddy_pool, ref)->link);
}

/* Nobody else has the pool any more. */
static void free_pool(struct buddy_pool *pool)
{
	u64 nr = nr_blocks(pool);
	unsigned int i;

	if (nr)
		pr_warn("%s: destroyed with %llu blocks still allocated\n", pool_name(pool), nr);
	irq_work_sync(&pool->wake);
	cancel_work_sync(&pool->waking);
	buddy_range_release(&pool->range);
	for (i = 0; i < pool->shards.nr; i++)
		buddy_shard_destroy(&pool->shards.shard[i]);
	kvfree(pool->shards.shard);
	vfree(pool->metadata);
	put_device(pool->dev);
	/* KASAN keeps what is freed for a while: whoever uses the pool now gets -ENODEV. */
	pool->gone = true;
	kfree(pool);
}

void buddy_pool_ref(struct buddy_pool *pool)
{
	kref_get(&pool->ref);
}

struct buddy_pool *buddy_pool_get(const char *name)
{
	struct buddy_pool *pool;

	if (!name || !name[0])
		return NULL;
	guard(mutex)(&pool_list_lock);
	list_for_each_entry(pool, &pool_list, link) {
		if (pool->stage == PUBLIC && !strcmp(pool->name, name)) {
			kref_get(&pool->ref);
			return pool;
		}
	}
	return NULL;
}
EXPORT_SYMBOL_GPL(buddy_pool_get);

/* Drops a reference if @pool is a pool. Returns 1 if that was the last one. */
static int drop(struct buddy_pool *pool)
{
	struct buddy_pool *other;

	guard(mutex)(&pool_list_lock);
	list_for_each_entry(other, &pool_list, link)
		if (other == pool)
			return kref_put(&pool->ref, unlist);
	report(PUT_TOO_OFTEN, "buddy_pool_put");
	return 0;
}

void buddy_pool_put(struct buddy_pool *pool)
{
	if (!IS_ERR_OR_NULL(pool) && drop(pool))
		free_pool(pool);
}
EXPORT_SYMBOL_GPL(buddy_pool_put);

void buddy_pool_destroy(struct buddy_pool *pool)
{
	if (IS_ERR_OR_NULL(pool))
		return;
	if (!advance(pool, ENDING)) {
		report(DESTROYED_TWICE, __func__);
		return;
	}
	buddy_pool_mark_gone(pool);
	buddy_pool_free_name(pool);
	/* A BAR goes with its device. Anything else stays claimed for who has blocks. */
	if (pool->range.pdev)
		buddy_pool_release_range(pool);
	buddy_pool_put(pool);
}
EXPORT_SYMBOL_GPL(buddy_pool_destroy);

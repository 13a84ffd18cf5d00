/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What buddy_shard.c and buddy_span.c want of the kernel, for threads.c: their locks
 * are mutexes of pthreads, so that the thread sanitizer knows them, and lockdep's
 * assertions are asked of the owner. Included before everything else; the headers that
 * the kernel has it in are empty.
 */
#ifndef HOST_LOCKS_H
#define HOST_LOCKS_H

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/types.h>

#define U64_MAX (~0ULL)
#define ____cacheline_aligned_in_smp __attribute__((__aligned__(64)))
#define __user
#define __iomem
#define IS_ENABLED(option) 0
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(p, type, member) \
	((type *)((char *)(p)-offsetof(type, member)))
#define clamp_t(type, x, low, high) min_t(type, max_t(type, x, low), high)
#define round_down(x, y) ((x) & ~((__typeof__(x))(y)-1))
#define is_power_of_2(n) ((n) && !((n) & ((n)-1)))
#define ilog2(n) (fls64(n) - 1)
#define roundup_pow_of_two(n) (1ULL << fls64((n)-1))
#define div_u64(a, b) ((u64)(a) / (b))
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)

/*
 * Memory, and where a thread runs
 */

#define GFP_KERNEL 0
#define kmalloc(size, flags) malloc(size)
#define kvcalloc(n, size, flags) aligned_zeros((n) * (size))
#define kfree(p) free(p)

static inline void *aligned_zeros(size_t size)
{
	char *memory = aligned_alloc(64, (size + 63) & ~63UL);
	size_t i;

	for (i = 0; memory && i < size; i++)
		memory[i] = 0;
	return memory;
}

extern __thread unsigned int this_cpu;
#define num_online_cpus() 4
#define raw_smp_processor_id() this_cpu
#define cond_resched() do { } while (0)

/*
 * Locks
 */

typedef struct {
	pthread_mutex_t mutex;
	pthread_t owner; /* written and read by it; by others it is only compared */
	bool held;
} raw_spinlock_t;

#define raw_spin_lock_init(lock) pthread_mutex_init(&(lock)->mutex, NULL)
#define raw_spin_lock_nest_lock(lock, outer) raw_spin_lock(lock)
#define lockdep_assert_held(lock) assert(is_held(lock))

static inline bool is_held(const raw_spinlock_t *lock)
{
	return lock->held && pthread_equal(lock->owner, pthread_self());
}

static inline raw_spinlock_t *raw_spin_lock(raw_spinlock_t *lock)
{
	pthread_mutex_lock(&lock->mutex);
	lock->owner = pthread_self();
	lock->held = true;
	return lock;
}

static inline void raw_spin_unlock(raw_spinlock_t *lock)
{
	assert(is_held(lock));
	lock->held = false;
	pthread_mutex_unlock(&lock->mutex);
}

static inline void leave_guard(raw_spinlock_t **lock)
{
	if (*lock)
		raw_spin_unlock(*lock);
}

static inline void end_scope(raw_spinlock_t **lock)
{
	leave_guard(lock);
	*lock = NULL;
}

#define GUARD_NAME_(n) guard_##n
#define GUARD_NAME(n) GUARD_NAME_(n)
#define guard(kind)                                                        \
	raw_spinlock_t *GUARD_NAME(__COUNTER__)                            \
		__attribute__((__cleanup__(leave_guard), __unused__)) = \
			raw_spin_lock
#define scoped_guard(kind, lock)                                       \
	for (raw_spinlock_t *scope __attribute__((                     \
		     __cleanup__(leave_guard))) = raw_spin_lock(lock); \
	     scope; end_scope(&scope))

typedef struct {
	unsigned int sequence;
	raw_spinlock_t *lock;
} seqcount_raw_spinlock_t;

static inline void seqcount_raw_spinlock_init(seqcount_raw_spinlock_t *s, raw_spinlock_t *lock)
{
	s->sequence = 0;
	s->lock = lock;
}

/* Something that all CPUs change, as the thread sanitizer knows no barrier by itself */
static int shared_by_all;

static inline void smp_mb(void)
{
	__atomic_fetch_add(&shared_by_all, 1, __ATOMIC_SEQ_CST);
}

/* Full barriers, where the kernel has those that are just enough */
static inline void smp_rmb(void)
{
	smp_mb();
}

static inline void write_seqcount_begin(seqcount_raw_spinlock_t *s)
{
	lockdep_assert_held(s->lock);
	assert(s->sequence % 2 == 0);
	__atomic_fetch_add(&s->sequence, 1, __ATOMIC_SEQ_CST);
}

static inline void write_seqcount_end(seqcount_raw_spinlock_t *s)
{
	__atomic_fetch_add(&s->sequence, 1, __ATOMIC_SEQ_CST);
	assert(s->sequence % 2 == 0);
}

static inline unsigned int read_seqcount_begin(const seqcount_raw_spinlock_t *s)
{
	unsigned int sequence;

	while ((sequence = __atomic_load_n(&s->sequence, __ATOMIC_SEQ_CST)) % 2)
		;
	return sequence;
}

static inline bool read_seqcount_retry(const seqcount_raw_spinlock_t *s, unsigned int sequence)
{
	return __atomic_load_n(&s->sequence, __ATOMIC_SEQ_CST) != sequence;
}

/* The kernel's own mark of a race that is meant */
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#define data_race(expr) ({                              \
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);   \
	__typeof__(expr) raced = (expr);                \
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);     \
	raced; })

typedef struct {
	s64 counter;
} atomic64_t;

#define atomic64_read(v) __atomic_load_n(&(v)->counter, __ATOMIC_RELAXED)
#define atomic64_try_cmpxchg(v, old, new)                            \
	__atomic_compare_exchange_n(&(v)->counter, old, (s64)(new), \
				    false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/*
 * Red-black trees, as a list: there are few reservations.
 */

struct rb_node {
	struct rb_node *next;
};

struct rb_root {
	struct rb_node *first;
};

#define RB_ROOT ((struct rb_root){ NULL })
#define rb_entry(node, type, member) container_of(node, type, member)

static inline void rb_add(struct rb_node *node, struct rb_root *tree,
			  bool (*less)(struct rb_node *a,
				       const struct rb_node *b))
{
	struct rb_node **at = &tree->first;

	while (*at && less(*at, node))
		at = &(*at)->next;
	node->next = *at;
	*at = node;
}

static inline void rb_erase(struct rb_node *node, struct rb_root *tree)
{
	struct rb_node **at = &tree->first;

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
}

static inline struct rb_node *rb_find(const void *key,
				      const struct rb_root *tree,
				      int (*cmp)(const void *key,
						 const struct rb_node *node))
{
	struct rb_node *node = tree->first;

	while (node && cmp(key, node))
		node = node->next;
	return node;
}

#define rbtree_postorder_for_each_entry_safe(pos, n, tree, member)          \
	for (struct rb_node *rb_at = (tree)->first,                         \
			    *rb_next = rb_at ? rb_at->next : NULL;          \
	     rb_at && (n = container_of(rb_at, __typeof__(*pos), member),   \
		      pos = n, true);                                      \
	     rb_at = rb_next, rb_next = rb_at ? rb_at->next : NULL)

/* Of buddy_internal.h, which nothing here calls */
typedef struct { int unused; } wait_queue_head_t;

#endif

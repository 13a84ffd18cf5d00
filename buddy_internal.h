/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the .c files of buddy_pool share with each other and with nobody else.
 *
 * Lifetimes. A pool is referenced by whoever created it, by its node, by open
 * files through the node, and by kernel clients. The range is claimed before
 * the pool exists, and released with it, or before if the device goes away.
 *
 * Lock order: pool_item.lock of configfs, then request.lock of buddy_pci.c, then a
 * device's own lock, then buddy_pool.range_lock while a notifier is registered, then the
 * rwsem of buddy_pool.notifiers, which is read-held while a client is called, then
 * pool_list_lock. In a page fault, mmap_lock, then buddy_pool.range_lock; in mmap(),
 * mmap_lock, then buddy_file.lock. Inside all of these, buddy_shards.span_lock, then
 * buddy_shard.lock of as many shards as need be; or, by itself, buddy_pool.dirty_lock:
 * raw spinlocks taken with interrupts disabled. While buddy_node.files_lock is held
 * mappings are zapped, or pool_list_lock is taken; it is taken in no other locks but a
 * device's and those before that, and the misc devices' in open. Inside
 * buddy_node.quota_lock, a spinlock, nothing is taken. tests/spin/locks.pml tries it all.
 */
#ifndef BUDDY_INTERNAL_H
#define BUDDY_INTERNAL_H

#include <linux/kconfig.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "buddy_pool.h"

struct device;
struct resource;
struct task_struct;
struct vm_area_struct;

/**
 * struct buddy_range - what a pool's addresses stand for
 * @backing: enum buddy_pool_backing, or 0 for bare numbers
 * @cache: enum buddy_pool_cache of all mappings
 * @start: first physical address
 * @size: bytes
 * @label: of the claim, in /proc/iomem
 * @resource: the claim on a physical range
 * @pdev: the device, with a reference, enabled for us
 * @bar: the claimed BAR of @pdev
 * @io: all of it, mapped in @cache mode. Keeps the cache mode of user mappings
 *	known to the architecture, and serves to zero blocks
 */
struct buddy_range {
	unsigned int backing;
	unsigned int cache;
	u64 start;
	u64 size;
	char label[sizeof("buddy_pool ") + BUDDY_POOL_NAME_LEN];
	struct resource *resource;
	struct pci_dev *pdev;
	int bar;
	void __iomem *io;
};

#if IS_ENABLED(CONFIG_HAS_IOMEM)
int buddy_range_claim(struct buddy_range *range, const struct buddy_pool_config *config);
void buddy_range_release(struct buddy_range *range);
void buddy_range_zero(const struct buddy_range *range, u64 offset, u64 length);
void buddy_range_set_prot(const struct buddy_range *range, struct vm_area_struct *vma);
const char *buddy_range_describe(const struct buddy_range *range, char *text, size_t size);
#else
static inline int buddy_range_claim(struct buddy_range *range,
				    const struct buddy_pool_config *config)
{
	return -EOPNOTSUPP;
}

static inline void buddy_range_release(struct buddy_range *range)
{
}

static inline void buddy_range_zero(const struct buddy_range *range, u64 offset, u64 length)
{
}

static inline void buddy_range_set_prot(const struct buddy_range *range,
					struct vm_area_struct *vma)
{
}

static inline const char *buddy_range_describe(const struct buddy_range *range, char *text,
					       size_t size)
{
	return "";
}
#endif

#define BUDDY_IOMEM_NAME_LEN 48

/**
 * struct buddy_iomem - what the kernel has at some addresses
 * @owner: name of the first resource that a claim on them conflicts with, or ""
 * @start: its first address
 * @last: its last address
 * @busy: whether it is somebody's claim. If not, it has only part of the addresses
 * @parent: name of the innermost resource with room for the claim, or ""
 * @around: the same, to be compared and not looked into, since it may be gone
 */
struct buddy_iomem {
	char owner[BUDDY_IOMEM_NAME_LEN];
	u64 start;
	u64 last;
	bool busy;
	char parent[BUDDY_IOMEM_NAME_LEN];
	const void *around;
};

void buddy_iomem_look(struct buddy_iomem *found, u64 start, u64 last, const struct resource *own);

/* Constants of a pool, for the node */
struct buddy_pool_limits {
	u64 base;
	u64 size;
	u64 min_block;
	u64 min_alloc;
	u64 max_alloc;
};

void buddy_pool_limits(const struct buddy_pool *pool, struct buddy_pool_limits *limits);
int buddy_pool_check_name(const char *name);
const char *buddy_pool_name(const struct buddy_pool *pool);
const struct buddy_range *buddy_pool_range(const struct buddy_pool *pool);
struct buddy_pool *buddy_pool_create_for(struct device *dev,
					 const struct buddy_pool_config *config);
struct device *buddy_pool_device(const struct buddy_pool *pool);
void buddy_pool_publish(struct buddy_pool *pool);
void buddy_pool_free_name(struct buddy_pool *pool);
void buddy_pool_ref(struct buddy_pool *pool);
void buddy_pool_mark_gone(struct buddy_pool *pool);
void buddy_pool_pause(struct buddy_pool *pool);
void buddy_pool_resume(struct buddy_pool *pool);
void buddy_pool_set_asleep(bool sleeps);
void buddy_pool_release_range(struct buddy_pool *pool);
int buddy_pool_retire(struct buddy_pool *pool);
bool buddy_pool_is_gone(const struct buddy_pool *pool);
int buddy_pool_try_enter_range(struct buddy_pool *pool);
void buddy_pool_leave_range(struct buddy_pool *pool);
int buddy_pool_zero_new(struct buddy_pool *pool, u64 offset, u64 length, bool stays_clean,
			struct task_struct *task);
void buddy_pool_zero_old(struct buddy_pool *pool, u64 offset, u64 length, u64 until);
int buddy_pool_zero_all(struct buddy_pool *pool, struct task_struct *task);
u64 buddy_pool_nr_zeroed(const struct buddy_pool *pool);
void buddy_pool_count_bad_free(struct buddy_pool *pool, enum buddy_pool_reason reason);
void buddy_pool_hold(struct buddy_pool *pool, u64 address, u64 size);
void buddy_pool_unhold(struct buddy_pool *pool, u64 address, u64 size);

/*
 * buddy_pool_alloc() for the node, which sees to it that blocks are zero if they must
 * be. If it returns -ENOSPC, buddy_pool_nr_relieved() stays at @nr_relieved as long as no
 * space comes back.
 */
int buddy_pool_alloc_for_node(struct buddy_pool *pool, const struct buddy_pool_request *request,
			      struct buddy_pool_result *result, unsigned long *nr_relieved);

/* Many of one kind; see there */
int buddy_pool_alloc_row(struct buddy_pool *pool, const struct buddy_pool_request *request,
			 unsigned int count, struct buddy_pool_result *result,
			 unsigned long *nr_relieved);
void buddy_pool_free_row(struct buddy_pool *pool, u64 address, u64 size, unsigned int count);

enum buddy_pool_reason buddy_pool_check(struct buddy_pool *pool,
					const struct buddy_pool_request *request);
wait_queue_head_t *buddy_pool_space_queue(struct buddy_pool *pool);
unsigned long buddy_pool_nr_relieved(struct buddy_pool *pool);
unsigned int buddy_pool_nr_starved(struct buddy_pool *pool);
unsigned int buddy_pool_nr_answered(struct buddy_pool *pool);
void buddy_pool_wake_waiters(struct buddy_pool *pool);

#define BUDDY_POOL_DRIVER_VERSION	(0 << 16 | 1 << 8 | 0)

/**
 * struct buddy_policy - rules for the open files of a node
 * @zero: when blocks are zeroed
 * @share_dirty: with BUDDY_POOL_ZERO_NEVER, let anybody open it who may
 * @max_file_blocks: most blocks for an open file
 * @max_file_bytes: most bytes for an open file
 * @max_user_blocks: most blocks for a user
 * @max_user_bytes: most bytes for a user
 */
struct buddy_policy {
	enum buddy_pool_zero zero;
	bool share_dirty;
	u64 max_file_blocks;
	u64 max_file_bytes;
	u64 max_user_blocks;
	u64 max_user_bytes;
};

struct buddy_node;

struct buddy_node *buddy_node_create(struct buddy_pool *pool, const struct buddy_policy *policy,
				     struct task_struct *task);
void buddy_node_pause(struct buddy_node *node);
void buddy_node_resume(struct buddy_node *node);
int buddy_node_retire(struct buddy_node *node);
void buddy_node_destroy(struct buddy_node *node);

/* Before the first node, and after the last */
int buddy_block_init(void);
void buddy_block_exit(void);

#if IS_ENABLED(CONFIG_PCI)
int buddy_pci_register(const struct buddy_pool_config *config, const struct buddy_policy *rules);
void buddy_pci_unregister(void);
int buddy_pci_attach(const struct buddy_pool_config *config, const struct buddy_policy *rules,
		     u64 *id);
int buddy_pci_detach(struct pci_dev *pdev, u64 id);
int buddy_pci_has(struct pci_dev *pdev, u64 id);
#else
static inline int buddy_pci_register(const struct buddy_pool_config *config,
				     const struct buddy_policy *rules)
{
	return 0;
}

static inline void buddy_pci_unregister(void)
{
}

static inline int buddy_pci_attach(const struct buddy_pool_config *config,
				   const struct buddy_policy *rules, u64 *id)
{
	return -ENODEV;
}

static inline int buddy_pci_detach(struct pci_dev *pdev, u64 id)
{
	return 0;
}

static inline int buddy_pci_has(struct pci_dev *pdev, u64 id)
{
	return false;
}
#endif

/**
 * struct buddy_settings - what a pool is asked for with, as text
 *
 * Named and written as the module parameters. What is NULL has its default.
 */
struct buddy_settings {
	/* private: see the table of parameters in README.md */
	const char *name;
	const char *base;
	const char *size;
	const char *pci;
	const char *bar;
	const char *min_block;
	const char *min_alloc;
	const char *max_alloc;
	const char *shards;
	const char *cache;
	const char *zero;
	const char *share_dirty;
	const char *max_file_bytes;
	const char *max_file_blocks;
	const char *max_user_bytes;
	const char *max_user_blocks;
};

struct buddy_admin_pool;

int buddy_settings_parse(const struct buddy_settings *settings, struct buddy_pool_config *config,
			 struct buddy_policy *policy);
struct buddy_admin_pool *buddy_admin_create(const struct buddy_settings *settings);
void buddy_admin_destroy(struct buddy_admin_pool *made);
int buddy_admin_retire(struct buddy_admin_pool *made);
int buddy_admin_is_gone(const struct buddy_admin_pool *made);

#endif

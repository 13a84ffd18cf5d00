/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the .c files of buddy_pool share with each other and with nobody else.
 *
 * Lifetimes. A pool is referenced by whoever created it, by its node, by open
 * files through the node, and by kernel clients. The range is claimed before
 * the pool exists and released with it.
 *
 * Lock order: buddy_file.lock, then pool_list_lock, then buddy_shard.lock (a
 * spinlock, taken with interrupts disabled).
 */
#ifndef BUDDY_INTERNAL_H
#define BUDDY_INTERNAL_H

#include <linux/kconfig.h>
#include <linux/types.h>

#include "buddy_pool.h"

struct resource;
struct vm_area_struct;

/**
 * struct buddy_range - what a pool's addresses stand for
 * @backing: enum buddy_pool_backing, or 0 for bare numbers
 * @cache: enum buddy_pool_cache of all mappings
 * @start: first physical address
 * @size: bytes
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
	struct resource *resource;
	struct pci_dev *pdev;
	int bar;
	void __iomem *io;
};

#if IS_ENABLED(CONFIG_HAS_IOMEM)
int buddy_range_claim(struct buddy_range *range, const struct buddy_pool_config *config);
void buddy_range_release(struct buddy_range *range);
int buddy_range_zero(const struct buddy_range *range, u64 offset, u64 length);
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

static inline int buddy_range_zero(const struct buddy_range *range, u64 offset, u64 length)
{
	return 0;
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

/* Constants of a pool, for the node */
struct buddy_pool_limits {
	u64 base;
	u64 size;
	u64 min_block;
	u64 min_alloc;
	u64 max_alloc;
};

void buddy_pool_limits(const struct buddy_pool *pool, struct buddy_pool_limits *limits);
const char *buddy_pool_name(const struct buddy_pool *pool);
const struct buddy_range *buddy_pool_range(const struct buddy_pool *pool);
void buddy_pool_ref(struct buddy_pool *pool);
void buddy_pool_count_bad_free(struct buddy_pool *pool, enum buddy_pool_reason reason);
void buddy_pool_hold(struct buddy_pool *pool, u64 address, u64 size);
void buddy_pool_unhold(struct buddy_pool *pool, u64 address, u64 size);

struct buddy_node;

/* Is a block zeroed before user space gets it? */
enum buddy_zero {
	BUDDY_ZERO_ALLOC,
	BUDDY_ZERO_NEVER,
};

struct buddy_node *buddy_node_create(struct buddy_pool *pool, enum buddy_zero zero);
void buddy_node_destroy(struct buddy_node *node);

#endif

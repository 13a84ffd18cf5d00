/* SPDX-License-Identifier: GPL-2.0 */
/*
 * buddy_pool: hand out pieces of a range of device memory to other modules.
 *
 *	struct buddy_pool *pool = buddy_pool_get("pool0");
 *	struct buddy_pool_request request = { .size = SZ_64K };
 *	struct buddy_pool_result block;
 *
 *	err = buddy_pool_alloc(pool, &request, &block);
 *	... the device uses block.address ...
 *	buddy_pool_free(pool, block.address, NULL);
 *	buddy_pool_put(pool);
 *
 * The memory itself is never read or written; it may be unreadable, or a mere
 * range of numbers. Addresses are whatever the pool was created over: physical
 * addresses for a claimed range, numbers otherwise.
 *
 * Errors, with one meaning for all functions:
 *
 * -EINVAL	a value that can never be right
 * -ENOSPC	nothing free satisfies the request now
 * -ENOMEM	out of kernel memory
 * -ENOENT	no such pool, or no live block at that address
 * -ERANGE	address outside the pool
 * -EEXIST	the name is taken
 * -EBUSY	the range is in use
 * -ENXIO	the PCI BAR is unset, I/O, or too small
 * -ENODEV	the device behind the pool went away
 */
#ifndef BUDDY_POOL_H
#define BUDDY_POOL_H

#include <linux/bits.h>
#include <linux/types.h>

#include <uapi/linux/buddy_pool.h>

struct buddy_pool;
struct pci_dev;

/**
 * struct buddy_pool_config - what to create a pool over
 * @name: unique, 1 to 31 letters, digits, '.', '_' or '-', not starting with
 *	'.'; or NULL for a pool that cannot be looked up
 * @base: first address; any alignment. Not used with @pdev
 * @size: bytes; what is left over behind the last whole min block is not used.
 *	With @pdev, 0 for all of the BAR
 * @min_block: granularity in bytes, rounded down to a power of two; 0 for
 *	PAGE_SIZE
 * @min_alloc: least size of a request in bytes; 0 allows requests of no bytes,
 *	which get a min block
 * @max_alloc: greatest size of a request in bytes; 0 for the size of the pool
 * @claim: reserve [base, base + size) as a physical range, so that nobody else
 *	uses it, and refuse it if somebody does
 * @pdev: claim a memory BAR of this device instead
 * @bar: which one, 0 to 5
 * @shards: split the pool in about so many parts with a lock each, for many CPUs
 *	that allocate at once; no block is larger than a part. 0 for one
 * @cache: enum buddy_pool_cache for mappings, or 0 for a choice by the backing
 */
struct buddy_pool_config {
	const char *name;
	u64 base;
	u64 size;
	u64 min_block;
	u64 min_alloc;
	u64 max_alloc;
	bool claim;
	struct pci_dev *pdev;
	int bar;
	unsigned int shards;
	unsigned int cache;
};

/* Flags of a request beyond BUDDY_POOL_ALLOC_*, for kernel users only */
#define BUDDY_POOL_MAY_SLEEP	BIT(31)	/* search to the end */
#define BUDDY_POOL_WANT_LARGEST	BIT(30)	/* on -ENOSPC, set largest in the result */

/**
 * struct buddy_pool_request - what buddy_pool_alloc() shall find
 * @size: bytes; rounded up to a multiple of the min block
 * @align: the address shall be a multiple of this power of two; 0 for the size
 *	rounded up to a power of two, as far as the pool has such blocks
 * @start: first address that may be used, or 0; with BUDDY_POOL_ALLOC_FIXED,
 *	the address wanted
 * @end: one past the last address that may be used, or 0
 * @flags: BUDDY_POOL_ALLOC_*, BUDDY_POOL_MAY_SLEEP, BUDDY_POOL_WANT_LARGEST
 */
struct buddy_pool_request {
	u64 size;
	u64 align;
	u64 start;
	u64 end;
	u32 flags;
};

/**
 * struct buddy_pool_result - what buddy_pool_alloc() found
 * @address: of the block; valid on success
 * @size: of the block in bytes; valid on success
 * @largest: on -ENOSPC and with BUDDY_POOL_WANT_LARGEST, the longest free run in
 *	the window, in bytes; see buddy_core_largest() for when it may be an
 *	underestimate
 * @reason: on failure, why
 */
struct buddy_pool_result {
	u64 address;
	u64 size;
	u64 largest;
	enum buddy_pool_reason reason;
};

/**
 * struct buddy_pool_usage - consistent statistics, sizes in bytes
 * @size: managed; always @free + @used + @held + @reserved
 * @free: free
 * @used: allocated, and neither held nor reserved
 * @held: freed by the owner, and still mapped
 * @reserved: withdrawn
 * @peak: greatest @used + @held so far; with several shards, the sum of theirs
 * @largest: longest free run, as in &struct buddy_pool_result
 * @requested: sum of the sizes asked for by all requests granted so far
 * @granted: sum of the sizes given to them
 * @nr_blocks: allocations that exist, reserved ranges not counted
 * @allocs: requests within the size limits, granted or not
 * @frees: blocks given back
 * @out_of_space: requests refused with -ENOSPC
 * @oversize: requests refused as larger than max_alloc
 * @undersize: requests refused as smaller than min_alloc
 * @bad_frees: frees refused
 * @bad_free: frees refused, by enum buddy_pool_reason
 * @splits: halvings of a free block
 * @merges: joinings of two free blocks
 * @nr_orders: entries of @order that can be other than zero
 * @order: by order: maximal free blocks that came to be, that allocations were
 *	cut from, that merged into larger ones, and that exist now
 */
struct buddy_pool_usage {
	u64 size;
	u64 free;
	u64 used;
	u64 held;
	u64 reserved;
	u64 peak;
	u64 largest;
	u64 requested;
	u64 granted;
	u64 nr_blocks;
	u64 allocs;
	u64 frees;
	u64 out_of_space;
	u64 oversize;
	u64 undersize;
	u64 bad_frees;
	u64 bad_free[BUDDY_POOL_REASON_RESERVED + 1];
	u64 splits;
	u64 merges;
	unsigned int nr_orders;
	struct {
		u64 enqueues;
		u64 dequeues;
		u64 removes;
		u64 size;
	} order[BUDDY_POOL_MAX_ORDERS];
};

/**
 * buddy_pool_create() - create a pool
 * @config: what over; copied
 *
 * The pool lives until the last buddy_pool_put().
 *
 * Context: Process context. May sleep.
 * Return: the pool with one reference, or an ERR_PTR():
 * * -EINVAL: bad name, limits or range; a line in the kernel log tells
 * * -EBUSY: @config->claim, and the range is System RAM or somebody else's
 * * -ENXIO: @config->pdev, and the BAR is unset, I/O, or too small
 * * -EEXIST: the name is taken
 * * -ENOMEM: no memory for the metadata; 2.2 bits for each min block
 */
struct buddy_pool *buddy_pool_create(const struct buddy_pool_config *config);

/**
 * buddy_pool_get() - look a pool up
 * @name: as at creation
 *
 * The pool, and the module, stay for as long as the reference is held.
 *
 * Context: Process context. Takes a mutex.
 * Return: the pool with a reference of its own, or NULL.
 */
struct buddy_pool *buddy_pool_get(const char *name);

/**
 * buddy_pool_put() - drop a reference
 * @pool: the pool, or NULL
 *
 * With the last one the range is released. Blocks that are still allocated
 * then are reported in the kernel log and gone.
 *
 * Context: Process context. May sleep.
 */
void buddy_pool_put(struct buddy_pool *pool);

/**
 * buddy_pool_alloc() - get a block
 * @pool: the pool
 * @request: what is wanted
 * @result: filled
 *
 * Never allocates memory. Without BUDDY_POOL_MAY_SLEEP the search for a run
 * that crosses block boundaries looks at BUDDY_CORE_SEARCH_RUNS free runs, with
 * it at all of them; requests of a power of two at natural alignment do not
 * need that search.
 *
 * Context: Any context but NMI; with BUDDY_POOL_MAY_SLEEP, process context.
 *	Takes and releases a spinlock with interrupts disabled.
 * Return:
 * * 0
 * * -EINVAL: a value in @request that can never be right; see @result->reason
 * * -ENOSPC: nothing free satisfies it now
 * * -ENODEV: the device behind the pool went away
 */
int buddy_pool_alloc(struct buddy_pool *pool, const struct buddy_pool_request *request,
		     struct buddy_pool_result *result);

/**
 * buddy_pool_free() - give a block back
 * @pool: the pool it came from
 * @address: its address
 * @reason: if not NULL, set to why it was refused
 *
 * Context: Any context but NMI. Takes and releases a spinlock with interrupts
 *	disabled.
 * Return:
 * * 0
 * * -ERANGE: outside the pool
 * * -EINVAL: inside a block, not at its start
 * * -ENOENT: no live block there: freed already, or a reserved range
 */
int buddy_pool_free(struct buddy_pool *pool, u64 address, enum buddy_pool_reason *reason);

/**
 * buddy_pool_usage() - take a snapshot of the statistics
 * @pool: the pool
 * @usage: filled
 *
 * Context: Any context but NMI. Takes and releases a spinlock with interrupts
 *	disabled.
 */
void buddy_pool_usage(struct buddy_pool *pool, struct buddy_pool_usage *usage);

/**
 * buddy_pool_query() - find the block, free block or reserved range at an address
 * @pool: the pool
 * @address: any address, also inside a block
 * @start: set to where it starts
 * @size: set to its size in bytes
 *
 * Context: Any context but NMI. Takes and releases a spinlock with interrupts
 *	disabled.
 * Return:
 * * BUDDY_POOL_STATE_FREE: in a maximal free block
 * * BUDDY_POOL_STATE_USED: in an allocated block
 * * BUDDY_POOL_STATE_RESERVED: in a reserved range
 * * -ERANGE: outside the pool
 */
int buddy_pool_query(struct buddy_pool *pool, u64 address, u64 *start, u64 *size);

/**
 * buddy_pool_reserve() - withdraw a range, so that it is never handed out
 * @pool: the pool
 * @address: first address, a whole number of min blocks from the pool's base
 * @size: bytes, a multiple of the min block
 *
 * For bad memory, or what firmware keeps for itself. All of it must be free.
 *
 * Context: Process context. May sleep.
 * Return:
 * * 0
 * * -EINVAL: @address or @size is misaligned, or @size is 0
 * * -ERANGE: not all of it is in the pool
 * * -EBUSY: not all of it is free
 * * -ENOMEM: out of kernel memory
 */
int buddy_pool_reserve(struct buddy_pool *pool, u64 address, u64 size);

/**
 * buddy_pool_unreserve() - give a reserved range back to the pool
 * @pool: the pool
 * @address: as it was reserved
 * @size: as it was reserved
 *
 * Context: Process context.
 * Return:
 * * 0
 * * -ENOENT: no range was reserved with just these values
 */
int buddy_pool_unreserve(struct buddy_pool *pool, u64 address, u64 size);

/**
 * buddy_pool_block_size() - size of the power-of-two block that holds a request
 * @size: of the request in bytes
 * @min_block: smallest block, a power of two
 * @max_block: largest block, a power of two
 *
 * Context: Any context.
 * Return: a power of two from @min_block to @max_block, or 0 if @size is larger
 *	than @max_block, or a limit no power of two, or @min_block larger than
 *	@max_block.
 */
u64 buddy_pool_block_size(u64 size, u64 min_block, u64 max_block);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * buddy_pool: hand out pieces of a range of device memory to other modules.
 *
 * A driver takes its buffer from a named pool, and need not give it back:
 *
 *	MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);
 *
 *	struct buddy_pool *pool = devm_buddy_pool_get(dev, "pool0");
 *	struct buddy_pool_request request = { .size = SZ_64K };
 *	struct buddy_pool_result block;
 *
 *	if (IS_ERR(pool))
 *		return PTR_ERR(pool);
 *	err = devm_buddy_pool_alloc(dev, pool, &request, &block);
 *	... the device uses block.address ...
 *
 * Without a device, or for blocks that come and go, there are the same functions
 * without devm_. examples/client is a driver to copy from.
 *
 * The memory itself is never read or written; it may be unreadable, or a mere
 * range of numbers. Addresses are whatever the pool was created over: physical
 * addresses for a claimed range, numbers otherwise.
 *
 * Where a block is placed. It begins at the lowest address of the free block that
 * fits best, in that it is the smallest power of two that will do; with
 * BUDDY_POOL_ALLOC_TOP_DOWN, as high as there can be. If no such block is free, nor
 * enough of one that the window cuts, at the lowest (highest) address where a free run is
 * long enough.
 *
 * A pool of several shards does so in one shard after the other: first in that of
 * the CPU, then in the others; with a window or TOP_DOWN, in the order of their
 * addresses, or its reverse. Last it takes the shortest free run that crosses from
 * one shard to the next. Only that choice differs from a pool of one shard: windows,
 * alignments and fixed addresses are met just the same, and nothing is refused that
 * fits, unless others take and give back meanwhile. An extent of free memory that
 * buddy_pool_query() reports ends with a shard.
 *
 * Contexts. Functions that work on blocks, buddy_pool_alloc(), _free(), _query(),
 * _next() and _usage(), work in process, softirq and hard interrupt context,
 * with spinlocks of any kind held, with interrupts, preemption or bottom halves
 * disabled, and within RCU read sides. They never sleep and never allocate memory. All
 * others need process context and may sleep. NMI is no place for any of them.
 *
 * The end of a pool. A pool over a BAR goes when its device does, whoever uses
 * it. When that is removed, or its driver unbound, a client of
 * devm_buddy_pool_get() is unbound from its own device before that, by the driver
 * core. Others ask to be told, with buddy_pool_register_notifier(). So should who
 * must not go on after a fatal error on the bus, which ends the pools of
 * buddy_pool's own PCI driver but unbinds nobody. After that, the references and
 * blocks they have are still theirs to give back, but every request gets -ENODEV.
 *
 * Mistakes. A pool that is NULL, an ERR_PTR(), or destroyed before, and a call in
 * NMI, is refused with -EINVAL (or does nothing, in functions that return none),
 * and is logged once, with CONFIG_DEBUG_VM as a warning. Bad frees are refused
 * and counted. A pool that is used after the last reference was dropped can't be
 * told from one in use, other than by KASAN.
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
 * -EPROBE_DEFER	from devm_buddy_pool_get(): no such pool yet
 * -EDEADLK	a notifier tried to wait for itself
 */
#ifndef BUDDY_POOL_H
#define BUDDY_POOL_H

#include <linux/bits.h>
#include <linux/types.h>

#include <uapi/linux/buddy_pool.h>

struct buddy_pool;
struct device;
struct notifier_block;
struct pci_dev;

/*
 * What the functions are exported in. MODULE_INFO() rather than
 * MODULE_IMPORT_NS(), which took a bare token before Linux 6.13 and takes a string
 * since; this is what either makes of it.
 */
#define BUDDY_POOL_NAMESPACE	"BUDDY_POOL"

/**
 * struct buddy_pool_config - what to create a pool over
 * @name: unique, 1 to 31 letters, digits, '.', '_' or '-', not starting with
 *	'.'; or NULL for a pool that cannot be looked up
 * @base: first address; any alignment, but whole pages with @claim. Not used with
 *	@pdev
 * @size: bytes; what is left over behind the last whole min block is not used.
 *	With @pdev, 0 for all of the BAR
 * @min_block: granularity in bytes, rounded down to a power of two; 0 for
 *	PAGE_SIZE
 * @min_alloc: least size of a request in bytes; 0 allows requests of no bytes,
 *	which get a min block
 * @max_alloc: greatest size of a request in bytes; 0 for the size of the pool
 * @claim: reserve [base, base + size) as a physical range, so that nobody else
 *	uses it, and refuse it if somebody does
 * @pdev: claim a memory BAR of this device instead. Linux 6.1 leaves a device enabled
 *	when its driver, which used pcim_enable_device() as well, is unbound
 * @bar: which one, 0 to 5
 * @shards: split the pool in about so many parts with a lock each, for many CPUs
 *	that allocate at once; 1 to 64, see below. 0 for about as many as there are
 *	CPUs online, and one for 65536 min blocks at most. They are cut at multiples of
 *	a power of two, so the first and the last may be short
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
 * @align: the address shall be a multiple of this power of two, which may be more
 *	than the pool is long; 0 for the size rounded up to a power of two, as far
 *	as the pool has such blocks
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
 * @peak: greatest @used + @held so far. With several shards, the greatest that was
 *	noticed: it may be less by up to a 32nd of @size, and more by what one CPU freed
 *	while another one allocated; but no more than @size
 * @largest: longest free run, as in &struct buddy_pool_result
 * @requested: sum of the sizes asked for by all requests granted so far
 * @granted: sum of the sizes given to them
 * @nr_blocks: allocations that exist, reserved ranges not counted
 * @allocs: requests for which space was looked for, granted or not
 * @frees: blocks given back
 * @out_of_space: requests refused with -ENOSPC
 * @oversize: requests refused as larger than max_alloc, or than where they may be
 * @undersize: requests refused as smaller than min_alloc
 * @bad_frees: frees refused
 * @bad_free: frees refused, by enum buddy_pool_reason
 * @splits: halvings of a free block
 * @merges: joinings of two free blocks
 * @nr_orders: entries of @order that can be other than zero
 * @order: by order: maximal free blocks that came to be, that allocations were
 *	cut from, that merged into larger ones, and that exist now. None of them
 *	is larger than a shard, while @largest is not bound by that
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
 * struct buddy_pool_walk - a piece of a pool, for buddy_pool_next()
 * @start: address where it starts
 * @size: its size in bytes
 * @state: BUDDY_POOL_STATE_FREE, _USED or _RESERVED
 */
struct buddy_pool_walk {
	u64 start;
	u64 size;
	enum buddy_pool_state state;
};

/* What a notifier is called for: the pool, its data, is going. */
#define BUDDY_POOL_GOING	1UL

/**
 * buddy_pool_create() - create a pool
 * @config: what over; copied
 *
 * Over bare numbers; over a physical range, with @config->claim; or over a BAR
 * of a device, with @config->pdev, which the driver that is bound to that device
 * does, or somebody who keeps it bound.
 *
 * The pool has one reference, which goes with buddy_pool_destroy(), or with
 * buddy_pool_put() if nobody needs to be told. Over a BAR, it must be
 * buddy_pool_destroy(), no later than the driver's remove().
 *
 * Context: Process context. May sleep.
 * Return: the pool with one reference, or an ERR_PTR():
 * * -EINVAL: @config is NULL, or bad name, limits or range; a line in the kernel
 *   log tells
 * * -EBUSY: @config->claim, and the range is System RAM or somebody else's; or
 *   the BAR is
 * * -ENXIO: @config->pdev, and the BAR is unset, I/O, or too small
 * * -EEXIST: the name is taken
 * * -ENOMEM: no memory for the metadata; 2.2 bits for each min block
 * * another one, if @config->pdev can't be enabled
 */
struct buddy_pool *buddy_pool_create(const struct buddy_pool_config *config);

/**
 * devm_buddy_pool_create() - create a pool that goes with a driver's binding
 * @dev: the device that the calling driver is bound to. Needed by the pool:
 *	clients of devm_buddy_pool_get() are unbound before it is
 * @config: as for buddy_pool_create()
 *
 * buddy_pool_destroy() is called when @dev is unbound, after its driver's
 * remove().
 *
 * Context: Process context. May sleep.
 * Return: as buddy_pool_create(); the reference is @dev's.
 */
struct buddy_pool *devm_buddy_pool_create(struct device *dev,
					  const struct buddy_pool_config *config);

/**
 * buddy_pool_destroy() - take a pool away, as its creator
 * @pool: the pool, which the caller has created; NULL and ERR_PTR() do nothing
 *
 * Nobody finds it any more, requests get -ENODEV, notifiers are called, and its name
 * is free, in this order. Then a BAR is given back; any other range stays claimed until
 * the last reference is dropped, so that nobody else gets what clients still use. Drops
 * the creator's reference. A pool that is no more, or is going already, is
 * refused.
 *
 * Context: Process context. May sleep. Not in a notifier.
 */
void buddy_pool_destroy(struct buddy_pool *pool);

/**
 * buddy_pool_get() - look a pool up
 * @name: as at creation
 *
 * The pool, and the module, stay for as long as the reference is held. The
 * range behind it may still go: see buddy_pool_register_notifier().
 *
 * Context: Process context. Takes a mutex.
 * Return: the pool with a reference of its own, or NULL.
 */
struct buddy_pool *buddy_pool_get(const char *name);

/**
 * devm_buddy_pool_get() - look a pool up, until a driver is unbound
 * @dev: the device that the calling driver is being bound to
 * @name: as at creation
 *
 * If the pool needs a device, that device becomes a supplier of @dev: it is not
 * suspended before @dev, and when it goes, the driver core unbinds @dev first.
 *
 * Context: Process context, in the probe() of the driver. May sleep.
 * Return: the pool, or an ERR_PTR():
 * * -EPROBE_DEFER: there is no such pool, or it is going. The driver core tries
 *   again whenever a device is bound, as the one of the pool may be
 * * -EINVAL: @name is NULL or empty; or the pool's device is below @dev, so
 *   that it can't be a supplier: use buddy_pool_get() and a notifier; or the driver
 *   core had no memory for the link
 * * -ENOMEM: out of kernel memory
 */
struct buddy_pool *devm_buddy_pool_get(struct device *dev, const char *name);

/**
 * buddy_pool_put() - drop a reference
 * @pool: the pool; NULL and ERR_PTR() do nothing
 *
 * With the last one the range is released. Blocks that are still allocated
 * then are reported in the kernel log and gone. A pool that is no more is
 * refused.
 *
 * Context: Process context. May sleep.
 */
void buddy_pool_put(struct buddy_pool *pool);

/**
 * buddy_pool_register_notifier() - be told before a pool goes away
 * @pool: the pool, with a reference of the caller's that outlives the notifier
 * @notifier: called once, with BUDDY_POOL_GOING and the pool
 *
 * When it is called, every request that is made from then on is refused, though one
 * that another CPU is in the midst of may still be granted; and the range is still
 * there. When it returns, the range may not be. So it makes sure that
 * nothing uses its blocks any more. It may free them, and call all functions
 * but register, unregister and destroy; it should leave the reference to where
 * it unregisters.
 *
 * It is called in process context, with the lock of the pool's device held if
 * that is what goes, and may sleep. It must not wait for anything that waits for
 * buddy_pool_unregister_notifier(), and thus not unbind a driver that calls that.
 *
 * Context: Process context. May sleep.
 * Return:
 * * 0
 * * -ENODEV: the pool is going or gone; the notifier is not called
 * * -EEXIST: it is registered already
 * * -EINVAL: @pool is none
 * * -EDEADLK: called by a notifier of the pool
 */
int buddy_pool_register_notifier(struct buddy_pool *pool, struct notifier_block *notifier);

/**
 * buddy_pool_unregister_notifier() - need not be told any more
 * @pool: the pool
 * @notifier: as it was registered
 *
 * Waits for a call of a notifier that is under way; when this returns, @notifier
 * is not running, and will not be. Needed after it was called, too.
 *
 * Context: Process context. May sleep.
 * Return:
 * * 0
 * * -ENOENT: it is not registered
 * * -EINVAL: @pool is none
 * * -EDEADLK: called by a notifier of the pool
 */
int buddy_pool_unregister_notifier(struct buddy_pool *pool, struct notifier_block *notifier);

/**
 * buddy_pool_alloc() - get a block
 * @pool: the pool
 * @request: what is wanted
 * @result: filled
 *
 * Never allocates memory. Without BUDDY_POOL_MAY_SLEEP the search for a run
 * that crosses block boundaries looks at BUDDY_CORE_SEARCH_RUNS free runs of each
 * shard, with it at all of them; requests of a power of two at natural alignment do not
 * need that search. What no shard grants by itself is looked for in all of those in the
 * window, locked at once: with many shards that takes its time.
 *
 * Context: Any context but NMI; with BUDDY_POOL_MAY_SLEEP, process context.
 *	Takes and releases spinlocks with interrupts disabled.
 * Return:
 * * 0
 * * -EINVAL: a value in @request that can never be right; see @result->reason.
 *   Or @pool is none; the reason is BUDDY_POOL_REASON_GONE then
 * * -ENOSPC: nothing free satisfies it now
 * * -ENODEV: the device behind the pool went away
 */
int buddy_pool_alloc(struct buddy_pool *pool, const struct buddy_pool_request *request,
		     struct buddy_pool_result *result);

/**
 * devm_buddy_pool_alloc() - get a block that goes with a driver's binding
 * @dev: the device that the calling driver is bound to
 * @pool: the pool; it stays for as long as the block does
 * @request: as for buddy_pool_alloc()
 * @result: likewise
 *
 * The block is freed when @dev is unbound, after its driver's remove(); by then
 * the device must not use it any more. To free it earlier takes
 * devm_buddy_pool_free().
 *
 * Context: Process context. May sleep.
 * Return: as buddy_pool_alloc(), or
 * * -ENOMEM: out of kernel memory
 */
int devm_buddy_pool_alloc(struct device *dev, struct buddy_pool *pool,
			  const struct buddy_pool_request *request,
			  struct buddy_pool_result *result);

/**
 * buddy_pool_free() - give a block back
 * @pool: the pool it came from
 * @address: its address
 * @reason: if not NULL, set to why it was refused
 *
 * Cannot fail for a block that is the caller's, also after the device behind the
 * pool went away. It knows nothing of mappings that the caller has made of the
 * block: they stay usable, and show what the next owner writes, so unmap first.
 *
 * Context: Any context but NMI. Takes and releases a spinlock with interrupts
 *	disabled.
 * Return:
 * * 0
 * * -ERANGE: outside the pool
 * * -EINVAL: inside a block, not at its start; or @pool is none
 * * -ENOENT: no live block there: freed already, or a reserved range
 */
int buddy_pool_free(struct buddy_pool *pool, u64 address, enum buddy_pool_reason *reason);

/**
 * devm_buddy_pool_free() - free a block of devm_buddy_pool_alloc() early
 * @dev: as it was allocated for
 * @pool: the pool it came from
 * @address: its address
 *
 * Context: Process context. May sleep.
 * Return:
 * * 0
 * * -ENOENT: @dev has no such block
 */
int devm_buddy_pool_free(struct device *dev, struct buddy_pool *pool, u64 address);

/**
 * buddy_pool_usage() - take a snapshot of the statistics
 * @pool: the pool
 * @usage: filled; all 0 if @pool is none
 *
 * Context: Any context but NMI. Takes and releases the spinlocks of all shards at
 *	once, with interrupts disabled, while it adds up their counters.
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
 * * -EINVAL: @pool is none
 */
int buddy_pool_query(struct buddy_pool *pool, u64 address, u64 *start, u64 *size);

/**
 * buddy_pool_next() - go on to the next piece of a pool
 * @pool: the pool
 * @walk: the piece before, and set to the next. All 0 for the first one; or
 *	@walk->start an address and @walk->size 0 for the first one that starts
 *	there or behind, or the rest of the free run there
 *
 *	struct buddy_pool_walk walk = { };
 *
 *	while (buddy_pool_next(pool, &walk))
 *		...
 *
 * Pieces are allocated blocks, reserved ranges, and free runs: what is free
 * between two of the others, however many blocks and shards that is.
 *
 * No lock is held between two calls, so the caller may sleep, free the piece, or
 * keep @walk for as long as it likes. Pieces come in order and never overlap.
 * A block that is there all the while is met exactly once; one that comes or
 * goes meanwhile may be missed.
 *
 * Context: Any context but NMI. Takes and releases spinlocks with interrupts
 *	disabled, as many as the piece lies in shards, and for no longer than
 *	buddy_pool_query() for each order of each.
 * Return: whether there is one; if not, @walk is as it was.
 */
bool buddy_pool_next(struct buddy_pool *pool, struct buddy_pool_walk *walk);

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
 * * -EINVAL: @address or @size is misaligned, or @size is 0; or @pool is none
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
 * * -EINVAL: @pool is none
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

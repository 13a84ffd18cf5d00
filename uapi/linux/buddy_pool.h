/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * User API of buddy_pool: /dev/buddy_pool/<name> hands out blocks of a range of
 * device memory. A block belongs to the open file that allocated it, and goes
 * back to the pool when that file is closed, however that comes about.
 *
 *	int fd = open("/dev/buddy_pool/pool0", O_RDWR | O_CLOEXEC);
 *	struct buddy_pool_alloc a = { .size = sizeof(a), .length = 65536 };
 *
 *	ioctl(fd, BUDDY_POOL_ALLOC, &a);
 *	p = mmap(NULL, a.granted, PROT_READ | PROT_WRITE, MAP_SHARED, fd, a.map_offset);
 *
 * Every struct starts with its size, which the caller sets to sizeof; a kernel
 * that knows a longer or a shorter one agrees as long as what it does not know
 * is zero. Unknown flags and reserved fields that are not zero are refused, and
 * so are fields marked "out" that are not zero before the call. Output is
 * written on success and, where a struct has a @reason, on refusal as well.
 *
 * poll() says POLLIN unless nothing was freed since a request of this open file last
 * found no space: who got ENOSPC waits for it and tries again. Threads that wait for
 * different requests need an open file each. It says POLLERR and POLLHUP once the
 * device went away. /proc/PID/fdinfo/FD tells administrators the pool, how much the
 * open file has, and its first blocks with their labels.
 *
 * One meaning for each errno, for all calls:
 *
 * EINVAL	A value that can never be right: zero or never-fitting length, bad
 *		alignment or window, unknown flag, non-zero reserved or output
 *		field, struct size too small; mmap of what is not one own block
 * ENOSPC	Nothing free satisfies the request now
 * ENOMEM	Out of kernel memory
 * ENOENT	No such handle in this open file; UNRESERVE: no range was reserved just so
 * EDQUOT	The quota of this open file or of this user is reached
 * EBUSY	RESERVE: not all of the range is free
 * ERANGE	RESERVE: not all of the range is in the pool
 * EPERM	The caller lacks the capability that the call asks for, or that open()
 *		asks for if blocks are not zeroed; or mmap() was to allow execution
 * EBADF	The file is not open for writing
 * ENODEV	The device behind the pool went away; open(): or the module is still
 *		being loaded
 * ENOTTY	No such ioctl
 * E2BIG	The struct is longer than known, and the rest is not zero
 * EFAULT	Bad pointer; nothing was changed, but counters of STATS may have risen
 * EINTR	A fatal signal arrived; nothing was changed
 */
#ifndef _UAPI_LINUX_BUDDY_POOL_H
#define _UAPI_LINUX_BUDDY_POOL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define BUDDY_POOL_IOCTL_TYPE	0xBB

/* The user API that this header describes; see struct buddy_pool_info */
#define BUDDY_POOL_UAPI_VERSION	1

#define BUDDY_POOL_NAME_LEN	32
#define BUDDY_POOL_LABEL_LEN	32

/*
 * Why a request was refused. Finer than errno: a tool can make a sentence of
 * it. New ones may be added.
 */
enum buddy_pool_reason {
	BUDDY_POOL_REASON_NONE = 0,
	BUDDY_POOL_REASON_UNDERSIZE = 1,	/* below min_alloc, or zero */
	BUDDY_POOL_REASON_OVERSIZE = 2,		/* above max_alloc or the window */
	BUDDY_POOL_REASON_ALIGN = 3,		/* no power of two, or can't be met */
	BUDDY_POOL_REASON_WINDOW = 4,		/* empty, or not inside the pool */
	BUDDY_POOL_REASON_FLAGS = 5,		/* unknown or contradicting flags */
	BUDDY_POOL_REASON_EXHAUSTED = 6,	/* less free, in the window, than asked for */
	BUDDY_POOL_REASON_FRAGMENTED = 7,	/* enough, or too many pieces to count */
	BUDDY_POOL_REASON_IN_USE = 8,		/* FIXED, and not all of it free */
	BUDDY_POOL_REASON_NOT_ALLOCATED = 9,	/* free already: double free */
	BUDDY_POOL_REASON_INTERIOR = 10,	/* inside a block, not its start */
	BUDDY_POOL_REASON_MISALIGNED = 11,	/* no multiple of min_block */
	BUDDY_POOL_REASON_OUT_OF_RANGE = 12,	/* outside the pool */
	BUDDY_POOL_REASON_NO_HANDLE = 13,	/* not of this open file, or freed */
	BUDDY_POOL_REASON_RESERVED = 14,	/* a reserved range */
	BUDDY_POOL_REASON_MEMORY = 15,		/* out of kernel memory */
	BUDDY_POOL_REASON_LABEL = 16,		/* not terminated, or control characters */
	BUDDY_POOL_REASON_QUOTA = 17,		/* of this open file, or of this user */
	BUDDY_POOL_REASON_GONE = 18		/* the device went away */
};

/* Features, in struct buddy_pool_info */
#define BUDDY_POOL_FEATURE_MMAP		(1ULL << 0)	/* blocks can be mapped */
#define BUDDY_POOL_FEATURE_ZEROED	(1ULL << 1)	/* blocks are zero when new */

/* Cache modes of mappings */
enum buddy_pool_cache {
	BUDDY_POOL_CACHE_UC = 1,	/* uncached */
	BUDDY_POOL_CACHE_WC = 2,	/* write-combining */
	BUDDY_POOL_CACHE_WB = 3	/* cached */
};

/* What is behind a pool */
enum buddy_pool_backing {
	BUDDY_POOL_BACKING_PHYS = 1,	/* a physical range */
	BUDDY_POOL_BACKING_PCI = 2	/* a PCI BAR */
};

/*
 * When blocks are zeroed. Unless it is never, what others left in a block is never
 * seen, whatever becomes of a call: zeroing a huge block takes its time, and a
 * fatal signal ends it. What it got done is remembered, as far as there is room for it,
 * so that the next ALLOC of that memory goes on from there. Other signals neither
 * interrupt nor prolong it.
 *
 * With BUDDY_POOL_ZERO_FREE it is ALLOC that zeroes what kernel users had, or what
 * was reserved, and what a process left that had to die: a call that is killed stops
 * zeroing at once, a process that exits, killed or not, after a second at most. So does
 * munmap() of blocks that were freed before, since the process's other mappings wait
 * meanwhile. That second is for all of them together, and takes eight to come again.
 */
enum buddy_pool_zero {
	BUDDY_POOL_ZERO_NEVER = 1,	/* they hold what others left there */
	BUDDY_POOL_ZERO_ALLOC = 2,	/* before they are handed out */
	BUDDY_POOL_ZERO_FREE = 3	/* when they are given back */
};

/**
 * struct buddy_pool_info - BUDDY_POOL_INFO: what this pool is
 * @size: sizeof(struct buddy_pool_info)
 * @flags: must be 0
 * @uapi_min: out: oldest user API version that still works
 * @uapi_max: out: newest
 * @features: out: BUDDY_POOL_FEATURE_*
 * @length: out: bytes managed
 * @min_block: out: granularity of blocks in bytes, a power of two
 * @min_alloc: out: least length of a request in bytes
 * @max_alloc: out: greatest length of a request in bytes
 * @backing: out: enum buddy_pool_backing
 * @cache: out: enum buddy_pool_cache
 * @zero: out: enum buddy_pool_zero
 * @driver_version: out: major << 16 | minor << 8 | patch
 * @max_file_blocks: out: most blocks for an open file, held ones included
 * @max_file_bytes: out: most bytes for an open file
 * @max_user_blocks: out: most blocks for a user
 * @max_user_bytes: out: most bytes for a user
 * @name: out: the pool's name, terminated
 */
struct buddy_pool_info {
	__u32 size;
	__u32 flags;
	__u32 uapi_min;
	__u32 uapi_max;
	__aligned_u64 features;
	__aligned_u64 length;
	__aligned_u64 min_block;
	__aligned_u64 min_alloc;
	__aligned_u64 max_alloc;
	__u32 backing;
	__u32 cache;
	__u32 zero;
	__u32 driver_version;
	__aligned_u64 max_file_blocks;
	__aligned_u64 max_file_bytes;
	__aligned_u64 max_user_blocks;
	__aligned_u64 max_user_bytes;
	char name[BUDDY_POOL_NAME_LEN];
};

/*
 * Placement; none: the lowest address of the best-fitting free block. A large pool
 * may be divided in shards, which are searched one after the other, the CPU's own
 * first, or with a window or TOP_DOWN in the order of addresses
 */
#define BUDDY_POOL_ALLOC_TOP_DOWN	(1U << 0)	/* the highest instead */
#define BUDDY_POOL_ALLOC_FIXED		(1U << 1)	/* exactly at start */
#define BUDDY_POOL_ALLOC_POW2		(1U << 2)	/* keep a whole power of two */

/**
 * struct buddy_pool_alloc - BUDDY_POOL_ALLOC: get a block
 * @size: sizeof(struct buddy_pool_alloc)
 * @flags: BUDDY_POOL_ALLOC_*
 * @length: bytes wanted; rounded up to a multiple of min_block
 * @align: power of two of which the address the device sees is a multiple; 0
 *	for the length rounded up to a power of two
 * @start: first offset in the range that may be used
 * @end: one past the last offset that may be used; 0 for the end of the range
 * @label: shown to administrators; terminated, printable
 * @handle: out: names the block in this open file; never 0
 * @reason: out: on refusal, enum buddy_pool_reason
 * @offset: out: where the block starts, in bytes from the start of the range;
 *	this is what the device needs
 * @granted: out: its length in bytes
 * @map_offset: out: offset to give to mmap()
 * @largest: out: on refusal for want of space, a length in bytes that would
 *	have fitted the window, if aligned to no more than min_block. With EDQUOT,
 *	the bytes that the quotas still allow; 0 if it is the number of blocks that
 *	they do not
 *
 * A block costs no more than 128 bytes of kernel memory, which are charged to the
 * caller's memory cgroup until it is given back. An open file may keep those of one
 * block for its next. Blocks of a batch share what they cost, as far as they lie side
 * by side: it is given back with the last of them.
 */
struct buddy_pool_alloc {
	__u32 size;
	__u32 flags;
	__aligned_u64 length;
	__aligned_u64 align;
	__aligned_u64 start;
	__aligned_u64 end;
	char label[BUDDY_POOL_LABEL_LEN];
	__u32 handle;
	__u32 reason;
	__aligned_u64 offset;
	__aligned_u64 granted;
	__aligned_u64 map_offset;
	__aligned_u64 largest;
};

/**
 * struct buddy_pool_free - BUDDY_POOL_FREE: give a block back
 * @size: sizeof(struct buddy_pool_free)
 * @flags: must be 0
 * @handle: the block. The handle is gone at once, the block returns to the pool
 *	when its last mapping is gone, too
 * @reason: out: on refusal, enum buddy_pool_reason
 */
struct buddy_pool_free {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 reason;
};

#define BUDDY_POOL_MAX_ORDERS	64

/**
 * struct buddy_pool_order_stats - free blocks of min_block << order bytes
 * @enqueues: those that came to be
 * @dequeues: those that an allocation was cut from
 * @removes: those that merged into a larger one
 * @count: those that exist; enqueues - dequeues - removes
 */
struct buddy_pool_order_stats {
	__aligned_u64 enqueues;
	__aligned_u64 dequeues;
	__aligned_u64 removes;
	__aligned_u64 count;
};

/**
 * struct buddy_pool_stats - BUDDY_POOL_STATS: a consistent snapshot
 * @size: sizeof(struct buddy_pool_stats)
 * @flags: must be 0
 * @length: out: bytes managed; free + used + held + reserved
 * @free: out: bytes that are free
 * @used: out: bytes in blocks that have a handle or a kernel user
 * @held: out: bytes in blocks that were freed but are still mapped
 * @reserved: out: bytes withdrawn
 * @peak: out: greatest used + held so far; in a pool of several shards, the
 *	greatest that was noticed, which may be less by up to a 32nd of length
 * @largest: out: bytes in the longest free run. If there are very many pieces not
 *	all are looked at; then it is a run that exists, and the longest is less
 *	than four times as long
 * @nr_blocks: out: blocks that are used or held
 * @allocs: out: requests for which space was looked for, granted or not
 * @frees: out: blocks given back
 * @splits: out: halvings of a free block
 * @merges: out: joinings of two free blocks
 * @out_of_space: out: requests refused because nothing free satisfied them
 * @oversize: out: requests refused as too long for the pool or their window; not those
 *	that the quota would have refused as well
 * @undersize: out: requests refused as too short; likewise
 * @bad_frees: out: frees refused, of any kind
 * @requested: out: bytes asked for by the requests granted so far
 * @granted: out: bytes given to them
 * @fragmentation: out: how much of what is free lies outside the longest free
 *	run, in 1/1000
 * @nr_orders: in: room behind @orders, 0 to BUDDY_POOL_MAX_ORDERS; out: orders
 *	that this pool can have, of which no more than there was room for are
 *	written
 * @orders: pointer to that many struct buddy_pool_order_stats
 * @zeroed: out: bytes that were zeroed so far
 */
struct buddy_pool_stats {
	__u32 size;
	__u32 flags;
	__aligned_u64 length;
	__aligned_u64 free;
	__aligned_u64 used;
	__aligned_u64 held;
	__aligned_u64 reserved;
	__aligned_u64 peak;
	__aligned_u64 largest;
	__aligned_u64 nr_blocks;
	__aligned_u64 allocs;
	__aligned_u64 frees;
	__aligned_u64 splits;
	__aligned_u64 merges;
	__aligned_u64 out_of_space;
	__aligned_u64 oversize;
	__aligned_u64 undersize;
	__aligned_u64 bad_frees;
	__aligned_u64 requested;
	__aligned_u64 granted;
	__u32 fragmentation;
	__u32 nr_orders;
	__aligned_u64 orders;
	__aligned_u64 zeroed;
};

/* States of an extent */
enum buddy_pool_state {
	BUDDY_POOL_STATE_FREE = 1,	/* a maximal free block, in its shard */
	BUDDY_POOL_STATE_USED = 2,	/* a block that somebody has */
	BUDDY_POOL_STATE_OWN = 3,	/* a block of this open file */
	BUDDY_POOL_STATE_RESERVED = 4	/* a range that is withdrawn */
};

/**
 * struct buddy_pool_extent - one entry of BUDDY_POOL_EXTENTS
 * @offset: first byte, from the start of the range
 * @length: bytes
 * @state: enum buddy_pool_state
 * @__reserved: 0
 */
struct buddy_pool_extent {
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 state;
	__u32 __reserved;
};

/**
 * struct buddy_pool_extents - BUDDY_POOL_EXTENTS: how the range is divided
 * @size: sizeof(struct buddy_pool_extents)
 * @flags: must be 0
 * @start: offset to begin at; the extent around it is the first
 * @entries: pointer to @count times struct buddy_pool_extent
 * @count: in: room, 1 to 65536; out: entries filled
 * @__reserved: must be 0
 * @next: out: @start of the next call; equal to the length of the range at the
 *	end. Each entry is true of the moment it was looked at, so a free one may reach
 *	back over those before it, with which it has merged since
 */
struct buddy_pool_extents {
	__u32 size;
	__u32 flags;
	__aligned_u64 start;
	__aligned_u64 entries;
	__u32 count;
	__u32 __reserved;
	__aligned_u64 next;
};

/**
 * struct buddy_pool_query - BUDDY_POOL_QUERY: one block of this open file
 * @size: sizeof(struct buddy_pool_query)
 * @flags: must be 0
 * @handle: in BUDDY_POOL_QUERY, the block; in BUDDY_POOL_LIST, out
 * @mappings: out: number of mappings of it
 * @offset: out: as from BUDDY_POOL_ALLOC
 * @granted: out: likewise
 * @map_offset: out: likewise
 * @label: out: likewise
 */
struct buddy_pool_query {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 mappings;
	__aligned_u64 offset;
	__aligned_u64 granted;
	__aligned_u64 map_offset;
	char label[BUDDY_POOL_LABEL_LEN];
};

/**
 * struct buddy_pool_list - BUDDY_POOL_LIST: all blocks of this open file
 * @size: sizeof(struct buddy_pool_list)
 * @flags: must be 0
 * @entries: pointer to @count times struct buddy_pool_query
 * @count: in: room, 1 to 65536; out: entries filled
 * @next: in: least handle to list, 0 at first; out: for the next call, 0 at the
 *	end
 */
struct buddy_pool_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 entries;
	__u32 count;
	__u32 next;
};

/**
 * struct buddy_pool_range - BUDDY_POOL_RESERVE, _UNRESERVE: withdraw a range
 * @size: sizeof(struct buddy_pool_range)
 * @flags: must be 0
 * @offset: from the start of the range, a multiple of min_block
 * @length: likewise
 *
 * Needs CAP_SYS_ADMIN. All of it must be free; it is given back as it was
 * withdrawn, or with the pool.
 */
struct buddy_pool_range {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__aligned_u64 length;
};

/**
 * struct buddy_pool_phys - BUDDY_POOL_GET_PHYS: where a block lies
 * @size: sizeof(struct buddy_pool_phys)
 * @flags: must be 0
 * @handle: the block
 * @__reserved: must be 0
 * @address: out: physical address. Behind an IOMMU a device needs another
 *
 * Needs CAP_SYS_RAWIO.
 */
struct buddy_pool_phys {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 __reserved;
	__aligned_u64 address;
};

#define BUDDY_POOL_MAX_BATCH	1024

/**
 * struct buddy_pool_block - one entry of a batch
 * @handle: names the block
 * @__reserved: must be 0
 * @offset: where the block starts, and what to give to mmap(); not looked at by
 *	BUDDY_POOL_FREE_BATCH
 */
struct buddy_pool_block {
	__u32 handle;
	__u32 __reserved;
	__aligned_u64 offset;
};

/**
 * struct buddy_pool_alloc_batch - BUDDY_POOL_ALLOC_BATCH: many blocks, or none
 * @size: sizeof(struct buddy_pool_alloc_batch)
 * @flags: BUDDY_POOL_ALLOC_*, but not FIXED
 * @length: of each, as in &struct buddy_pool_alloc, and so for all that follow
 * @align: as there
 * @start: as there
 * @end: as there
 * @label: as there
 * @blocks: pointer to @count times struct buddy_pool_block, to be written
 * @count: 1 to BUDDY_POOL_MAX_BATCH
 * @reason: out: as there
 * @granted: out: length of each
 * @largest: out: as there; with EDQUOT, for all of them together
 */
struct buddy_pool_alloc_batch {
	__u32 size;
	__u32 flags;
	__aligned_u64 length;
	__aligned_u64 align;
	__aligned_u64 start;
	__aligned_u64 end;
	char label[BUDDY_POOL_LABEL_LEN];
	__aligned_u64 blocks;
	__u32 count;
	__u32 reason;
	__aligned_u64 granted;
	__aligned_u64 largest;
};

/**
 * struct buddy_pool_free_batch - BUDDY_POOL_FREE_BATCH: many blocks, or none
 * @size: sizeof(struct buddy_pool_free_batch)
 * @flags: must be 0
 * @blocks: pointer to @count times struct buddy_pool_block
 * @count: 1 to BUDDY_POOL_MAX_BATCH
 * @reason: out: on refusal, enum buddy_pool_reason
 */
struct buddy_pool_free_batch {
	__u32 size;
	__u32 flags;
	__aligned_u64 blocks;
	__u32 count;
	__u32 reason;
};

#define BUDDY_POOL_INFO		_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x00, struct buddy_pool_info)
#define BUDDY_POOL_ALLOC	_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x01, struct buddy_pool_alloc)
#define BUDDY_POOL_FREE		_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x02, struct buddy_pool_free)
#define BUDDY_POOL_STATS	_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x03, struct buddy_pool_stats)
#define BUDDY_POOL_EXTENTS	_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x04, struct buddy_pool_extents)
#define BUDDY_POOL_QUERY	_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x05, struct buddy_pool_query)
#define BUDDY_POOL_LIST		_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x06, struct buddy_pool_list)
#define BUDDY_POOL_RESERVE	_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x07, struct buddy_pool_range)
#define BUDDY_POOL_UNRESERVE	_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x08, struct buddy_pool_range)
#define BUDDY_POOL_GET_PHYS	_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x09, struct buddy_pool_phys)
#define BUDDY_POOL_ALLOC_BATCH	_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x0a, struct buddy_pool_alloc_batch)
#define BUDDY_POOL_FREE_BATCH	_IOWR(BUDDY_POOL_IOCTL_TYPE, 0x0b, struct buddy_pool_free_batch)

#endif

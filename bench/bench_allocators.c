// SPDX-License-Identifier: GPL-2.0
/*
 * The allocators under test.
 *
 * gpu_buddy is called under a mutex, as xe and amdgpu do; a spinlock is not
 * possible, since it allocates its blocks with GFP_KERNEL. gen_pool and
 * buddy_pool lock by themselves.
 *
 * gen_pool's default, first fit, has no alignment and no windows: alignment is
 * added by the algorithm it has for that, a window by one of ours.
 */
#include <linux/bitmap.h>
#include <linux/genalloc.h>
#include <linux/gpu_buddy.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "bench.h"
#include "buddy_pool.h"

/*
 * The empty allocator
 */

/* Its functions read and write what any allocator's would. */
struct none {
	u64 next;
	u64 sum;
};

static void *none_create(u64 nr)
{
	return kzalloc(sizeof(struct none), GFP_KERNEL);
}

static void none_destroy(void *pool)
{
	kfree(pool);
}

static int none_alloc(void *pool, u64 nr, struct bench_slot *slot)
{
	struct none *none = pool;

	slot->handle = none->next++;
	return 0;
}

static int none_alloc_with(void *pool, u64 nr, u64 more, struct bench_slot *slot)
{
	return none_alloc(pool, nr, slot);
}

static int none_refuse(void *pool, u64 nr, struct bench_slot *slot)
{
	return -ENOSPC;
}

static void none_free(void *pool, struct bench_slot *slot)
{
	struct none *none = pool;

	none->sum ^= slot->handle;
}

static u64 none_index(void *pool, const struct bench_slot *slot)
{
	return slot->handle;
}

static u64 none_metadata(void *pool, u64 nr)
{
	return 0;
}

static const struct bench_allocator none = {
	.name = "none",
	.create = none_create,
	.destroy = none_destroy,
	.alloc = none_alloc,
	.alloc_aligned = none_alloc_with,
	.alloc_window = none_alloc_with,
	.alloc_refused = none_refuse,
	.alloc_run = none_refuse,
	.alloc_run_searching = none_refuse,
	.free = none_free,
	.free_cleared = none_free,
	.index = none_index,
	.window_probes = 2048,
	.metadata = none_metadata,
};

/*
 * buddy_pool
 */

static void *ours_create(u64 nr)
{
	struct buddy_pool_config config = {
		.base = BENCH_BASE,
		.size = nr << BENCH_SHIFT,
		.min_block = BENCH_BLOCK,
	};
	struct buddy_pool *pool = buddy_pool_create(&config);

	return IS_ERR(pool) ? NULL : pool;
}

static void ours_destroy(void *pool)
{
	buddy_pool_put(pool);
}

static __always_inline int ours_request(void *pool, const struct buddy_pool_request *request,
					struct bench_slot *slot)
{
	struct buddy_pool_result result;
	int err = buddy_pool_alloc(pool, request, &result);

	if (!err)
		slot->handle = result.address;
	return err;
}

static int ours_alloc(void *pool, u64 nr, struct bench_slot *slot)
{
	struct buddy_pool_request request = { .size = nr << BENCH_SHIFT };

	return ours_request(pool, &request, slot);
}

static int ours_alloc_aligned(void *pool, u64 nr, u64 align, struct bench_slot *slot)
{
	struct buddy_pool_request request = { .size = nr << BENCH_SHIFT, .align = align };

	return ours_request(pool, &request, slot);
}

static int ours_alloc_window(void *pool, u64 nr, u64 end, struct bench_slot *slot)
{
	struct buddy_pool_request request = {
		.size = nr << BENCH_SHIFT,
		.start = BENCH_BASE,
		.end = BENCH_BASE + (end << BENCH_SHIFT),
	};

	return ours_request(pool, &request, slot);
}

static int ours_alloc_run(void *pool, u64 nr, struct bench_slot *slot)
{
	return ours_alloc_aligned(pool, nr, BENCH_BLOCK, slot);
}

static int ours_alloc_run_searching(void *pool, u64 nr, struct bench_slot *slot)
{
	struct buddy_pool_request request = {
		.size = nr << BENCH_SHIFT,
		.align = BENCH_BLOCK,
		.flags = BUDDY_POOL_MAY_SLEEP,
	};

	return ours_request(pool, &request, slot);
}

static void ours_free(void *pool, struct bench_slot *slot)
{
	buddy_pool_free(pool, slot->handle, NULL);
}

static u64 ours_index(void *pool, const struct bench_slot *slot)
{
	return (slot->handle - BENCH_BASE) >> BENCH_SHIFT;
}

static const struct bench_allocator ours;

static u64 ours_metadata(void *pool, u64 nr)
{
	return bench_footprint(&ours, nr);
}

static const struct bench_allocator ours = {
	.name = "buddy_pool",
	.create = ours_create,
	.destroy = ours_destroy,
	.alloc = ours_alloc,
	.alloc_aligned = ours_alloc_aligned,
	.alloc_window = ours_alloc_window,
	.alloc_refused = ours_alloc,
	.alloc_run = ours_alloc_run,
	.alloc_run_searching = ours_alloc_run_searching,
	.free = ours_free,
	.free_cleared = ours_free,
	.index = ours_index,
	.window_probes = 2048,
	.metadata = ours_metadata,
};

/*
 * gpu_buddy
 */

struct gpu {
	struct mutex lock;	/* as xe_ttm_vram_mgr.lock */
	struct gpu_buddy mm;
};

static void *gpu_create(u64 nr)
{
	struct gpu *gpu = kzalloc(sizeof(*gpu), GFP_KERNEL);

	if (!gpu)
		return NULL;
	mutex_init(&gpu->lock);
	if (gpu_buddy_init(&gpu->mm, nr << BENCH_SHIFT, BENCH_BLOCK)) {
		kfree(gpu);
		return NULL;
	}
	gpu_buddy_driver_set_lock(&gpu->mm, &gpu->lock);
	return gpu;
}

static void gpu_destroy(void *pool)
{
	struct gpu *gpu = pool;

	mutex_lock(&gpu->lock);
	gpu_buddy_fini(&gpu->mm);
	mutex_unlock(&gpu->lock);
	kfree(gpu);
}

/*
 * The blocks of an allocation are a list. Its head is on the stack, and is
 * taken out again, so that a slot need only hold the first block.
 */
static __always_inline int gpu_request(struct gpu *gpu, u64 end, u64 nr, u64 align,
				       unsigned long flags, struct bench_slot *slot)
{
	LIST_HEAD(blocks);
	int err;

	mutex_lock(&gpu->lock);
	err = gpu_buddy_alloc_blocks(&gpu->mm, 0, end, nr << BENCH_SHIFT, align, &blocks, flags);
	mutex_unlock(&gpu->lock);
	if (err)
		return err;
	slot->handle = (unsigned long)list_first_entry(&blocks, struct gpu_buddy_block, link);
	__list_del_entry(&blocks);
	return 0;
}

/*
 * One block, unless the size is no power of two. Then GPU_BUDDY_CONTIGUOUS keeps
 * its pieces together; otherwise it would only make failures slower.
 */
static int gpu_alloc(void *pool, u64 nr, struct bench_slot *slot)
{
	struct gpu *gpu = pool;

	if (is_power_of_2(nr))
		return gpu_request(gpu, gpu->mm.size, nr, nr << BENCH_SHIFT, 0, slot);
	return gpu_request(gpu, gpu->mm.size, nr, BENCH_BLOCK, GPU_BUDDY_CONTIGUOUS_ALLOCATION,
			   slot);
}

static int gpu_alloc_aligned(void *pool, u64 nr, u64 align, struct bench_slot *slot)
{
	struct gpu *gpu = pool;

	return gpu_request(gpu, gpu->mm.size, nr, align, 0, slot);
}

static int gpu_alloc_window(void *pool, u64 nr, u64 end, struct bench_slot *slot)
{
	struct gpu *gpu = pool;

	return gpu_request(gpu, end << BENCH_SHIFT, nr, nr << BENCH_SHIFT,
			   GPU_BUDDY_RANGE_ALLOCATION, slot);
}

static int gpu_alloc_run(void *pool, u64 nr, struct bench_slot *slot)
{
	struct gpu *gpu = pool;

	return gpu_request(gpu, gpu->mm.size, nr, BENCH_BLOCK, GPU_BUDDY_CONTIGUOUS_ALLOCATION,
			   slot);
}

static __always_inline void gpu_give_back(struct gpu *gpu, struct bench_slot *slot,
					  unsigned int flags)
{
	struct gpu_buddy_block *block = (void *)(unsigned long)slot->handle;
	LIST_HEAD(blocks);

	list_add_tail(&blocks, &block->link);
	mutex_lock(&gpu->lock);
	gpu_buddy_free_list(&gpu->mm, &blocks, flags);
	mutex_unlock(&gpu->lock);
}

static void gpu_free(void *pool, struct bench_slot *slot)
{
	gpu_give_back(pool, slot, 0);
}

static void gpu_free_cleared(void *pool, struct bench_slot *slot)
{
	gpu_give_back(pool, slot, GPU_BUDDY_CLEARED);
}

static u64 gpu_index(void *pool, const struct bench_slot *slot)
{
	struct gpu_buddy_block *block = (void *)(unsigned long)slot->handle;

	return gpu_buddy_block_offset(block) >> BENCH_SHIFT;
}

/* Every block that was split has two halves, so of n leaves n - 1 are joined. */
static u64 gpu_metadata(void *pool, u64 nr)
{
	struct gpu_buddy *mm = &((struct gpu *)pool)->mm;
	u64 bytes = sizeof(struct gpu);
	u64 leaves = 0;
	unsigned int order;

	for (order = 0; order <= mm->max_order; order++) {
		leaves += mm->free_scoreboard[order] + mm->used_scoreboard[order];
		bytes += 2 * sizeof(u64) + GPU_BUDDY_MAX_FREE_TREES * sizeof(struct rb_root);
	}
	return bytes + (2 * leaves - mm->n_roots) * sizeof(struct gpu_buddy_block);
}

static const struct bench_allocator gpu_buddy = {
	.name = "gpu_buddy",
	.create = gpu_create,
	.destroy = gpu_destroy,
	.alloc = gpu_alloc,
	.alloc_aligned = gpu_alloc_aligned,
	.alloc_window = gpu_alloc_window,
	.alloc_refused = gpu_alloc_run,
	.alloc_run = gpu_alloc_run,
	.alloc_run_searching = gpu_alloc_run,
	.free = gpu_free,
	.free_cleared = gpu_free_cleared,
	.index = gpu_index,
	.window_probes = 16,
	.metadata = gpu_metadata,
};

/*
 * gen_pool
 */

static void *gen_create(u64 nr)
{
	struct gen_pool *gen = gen_pool_create(BENCH_SHIFT, NUMA_NO_NODE);

	if (!gen)
		return NULL;
	if (gen_pool_add(gen, BENCH_BASE, nr << BENCH_SHIFT, NUMA_NO_NODE)) {
		gen_pool_destroy(gen);
		return NULL;
	}
	return gen;
}

static void gen_destroy(void *pool)
{
	gen_pool_destroy(pool);
}

static __always_inline int gen_request(struct gen_pool *gen, u64 nr, genpool_algo_t algo,
				       void *data, struct bench_slot *slot)
{
	unsigned long address = gen_pool_alloc_algo(gen, nr << BENCH_SHIFT, algo, data);

	if (!address)
		return -ENOSPC;
	slot->handle = address;
	slot->nr = nr;
	return 0;
}

static int gen_alloc(void *pool, u64 nr, struct bench_slot *slot)
{
	return gen_request(pool, nr, gen_pool_first_fit, NULL, slot);
}

static int gen_alloc_aligned(void *pool, u64 nr, u64 align, struct bench_slot *slot)
{
	struct genpool_data_align data = { .align = align };

	return gen_request(pool, nr, gen_pool_first_fit_align, &data, slot);
}

static unsigned long fit_in_window(unsigned long *map, unsigned long size, unsigned long start,
				   unsigned int nr, void *data, struct gen_pool *pool,
				   unsigned long start_addr)
{
	unsigned long end = *(u64 *)data;
	unsigned long bit = bitmap_find_next_zero_area(map, end, start, nr, 0);

	return bit < end ? bit : size;
}

static int gen_alloc_window(void *pool, u64 nr, u64 end, struct bench_slot *slot)
{
	return gen_request(pool, nr, fit_in_window, &end, slot);
}

/* A search from the start takes minutes for a large pool; say where it ends. */
static int gen_place(void *pool, u64 index, u64 nr, struct bench_slot *slot)
{
	struct genpool_data_fixed data = { .offset = index << BENCH_SHIFT };

	return gen_request(pool, nr, gen_pool_fixed_alloc, &data, slot);
}

static void gen_free(void *pool, struct bench_slot *slot)
{
	gen_pool_free(pool, slot->handle, slot->nr << BENCH_SHIFT);
}

static u64 gen_metadata(void *pool, u64 nr)
{
	return sizeof(struct gen_pool) + sizeof(struct gen_pool_chunk) +
	       BITS_TO_LONGS(nr) * sizeof(long);
}

static const struct bench_allocator gen_pool = {
	.name = "gen_pool",
	.create = gen_create,
	.destroy = gen_destroy,
	.alloc = gen_alloc,
	.alloc_aligned = gen_alloc_aligned,
	.alloc_window = gen_alloc_window,
	.alloc_refused = gen_alloc,
	.alloc_run = gen_alloc,
	.alloc_run_searching = gen_alloc,
	.place = gen_place,
	.free = gen_free,
	.free_cleared = gen_free,
	.index = ours_index,
	.window_probes = 2048,
	.metadata = gen_metadata,
};

const struct bench_allocator *const bench_allocators[BENCH_NR_ALLOCATORS] = {
	&none, &ours, &gpu_buddy, &gen_pool,
};

/*
 * What a pool takes
 */

static u64 free_bytes(void)
{
	struct sysinfo info;

	si_meminfo(&info);
	return (u64)info.freeram * info.mem_unit;
}

/*
 * As many pools at once as make the pages that the kernel keeps for later, which
 * come and go, a small part of the result. That was measured for @nr before is
 * remembered.
 */
u64 bench_footprint(const struct bench_allocator *allocator, u64 nr)
{
	static u64 known_nr[8], known_bytes[8];
	u64 nr_pools = clamp(1ULL << 27 >> ilog2(nr), 1ULL, 4096ULL);
	u64 before, i, made;
	unsigned int k;
	void **pools;

	for (k = 0; k < ARRAY_SIZE(known_nr) && known_nr[k]; k++)
		if (known_nr[k] == nr)
			return known_bytes[k];
	pools = vzalloc(array_size(nr_pools, sizeof(*pools)));
	if (!pools || k == ARRAY_SIZE(known_nr))
		return 0;
	before = free_bytes();
	for (made = 0; made < nr_pools; made++) {
		pools[made] = allocator->create(nr);
		if (!pools[made])
			break;
	}
	known_nr[k] = nr;
	known_bytes[k] = made ? div64_u64(before - free_bytes(), made) : 0;
	for (i = 0; i < made; i++)
		allocator->destroy(pools[i]);
	vfree(pools);
	return known_bytes[k];
}

static void *vzalloc_create(u64 nr)
{
	return vzalloc(bench_footprint(&ours, nr));
}

static void vzalloc_destroy(void *pool)
{
	vfree(pool);
}

static u64 vzalloc_metadata(void *pool, u64 nr)
{
	return bench_footprint(&ours, nr);
}

const struct bench_allocator bench_vzalloc = {
	.name = "vzalloc",
	.create = vzalloc_create,
	.destroy = vzalloc_destroy,
	.metadata = vzalloc_metadata,
};

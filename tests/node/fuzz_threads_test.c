// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzzer with four threads (row B59). They share open files and handles, so that
 * nobody can say what a call must answer; but it may only answer some things, all that
 * a thread has in a file of its own must stay as it left it, and all must come back.
 */
#include <pthread.h>

#include "fuzz.h"

#define NR_THREADS	4
#define NR_SHARED	4
#define NR_RECENT	64
#define NR_OWN		8
#define MY_PAGES	(ARENA_PAGES / NR_THREADS)

static int shared[NR_SHARED];
static atomic_uint recent[NR_RECENT];	/* handles of the shared files */
static atomic_ullong nr_calls;
static atomic_uint nr_own;			/* blocks that were given back whole */
static const char *_Atomic broken;

/* A block in a thread's own file, mapped, with @tag in its first word */
struct own {
	struct buddy_pool_alloc block;
	volatile __u64 *map;
	__u64 tag;
};

struct fuzzer {
	pthread_t thread;
	__u64 rng;
	char *arena;
	int fd;
	struct own own[NR_OWN];
	__u64 pool_length;
};

static void expect(bool ok, const char *what)
{
	if (!ok)
		atomic_store(&broken, what);
}

/* Does the answer lie among these? */
static void may_be(int got, const char *what, const int *allowed)
{
	count_answer(what, got);
	while (*allowed && *allowed != -got)
		allowed++;
	if (got && !*allowed) {
		printf("# %s: %s\n", what, strerror(-got));
		atomic_store(&broken, what);
	}
}

#define MAY_BE(got, what, ...)	may_be(got, what, (const int[]){ __VA_ARGS__, 0 })

static int any_shared(struct fuzzer *f)
{
	return shared[below(&f->rng, NR_SHARED)];
}

static __u32 any_handle(struct fuzzer *f)
{
	return one_in(&f->rng, 16) ? odd_number(&f->rng) :
	       atomic_load(&recent[below(&f->rng, NR_RECENT)]);
}

static void remember(struct fuzzer *f, __u32 handle)
{
	atomic_store(&recent[below(&f->rng, NR_RECENT)], handle);
}

/*
 * Calls on shared files
 */

static void do_alloc(struct fuzzer *f)
{
	struct buddy_pool_alloc a = request(1 + below(&f->rng, 16 * PAGE));
	int err;

	a.flags = one_in(&f->rng, 4) ? below(&f->rng, 8) : 0;
	if (a.flags & BUDDY_POOL_ALLOC_FIXED || one_in(&f->rng, 4))
		a.start = below(&f->rng, f->pool_length / PAGE) * PAGE;
	err = call(any_shared(f), BUDDY_POOL_ALLOC, &a);
	MAY_BE(err, "ALLOC", ENOSPC, EDQUOT, EINVAL);
	if (!err)
		remember(f, a.handle);
}

static void do_alloc_batch(struct fuzzer *f)
{
	struct buddy_pool_block blocks[16];
	struct buddy_pool_alloc_batch batch = {
		.size = sizeof(batch), .length = 1 + below(&f->rng, 4 * PAGE),
		.blocks = (uintptr_t)blocks, .count = 1 + below(&f->rng, 16),
	};
	int err = call(any_shared(f), BUDDY_POOL_ALLOC_BATCH, &batch);

	MAY_BE(err, "ALLOC_BATCH", ENOSPC, EDQUOT);
	for (unsigned int i = 0; !err && i < batch.count; i++)
		remember(f, blocks[i].handle);
}

static void do_free(struct fuzzer *f)
{
	MAY_BE(free_handle(any_shared(f), any_handle(f)), "FREE", ENOENT);
}

static void do_free_batch(struct fuzzer *f)
{
	struct buddy_pool_block blocks[4] = { };
	struct buddy_pool_free_batch batch = {
		.size = sizeof(batch), .blocks = (uintptr_t)blocks,
		.count = 1 + below(&f->rng, 4),
	};

	for (unsigned int i = 0; i < batch.count; i++)
		blocks[i].handle = any_handle(f);
	MAY_BE(call(any_shared(f), BUDDY_POOL_FREE_BATCH, &batch), "FREE_BATCH", ENOENT);
}

static void do_look(struct fuzzer *f)
{
	struct buddy_pool_query q = { .size = sizeof(q), .handle = any_handle(f) };
	struct buddy_pool_phys p = { .size = sizeof(p), .handle = any_handle(f) };
	struct buddy_pool_query queries[8];
	struct buddy_pool_list list = {
		.size = sizeof(list), .entries = (uintptr_t)queries, .count = 8,
		.next = below(&f->rng, 1000),
	};
	struct buddy_pool_extent e[8];
	struct buddy_pool_extents extents = {
		.size = sizeof(extents), .entries = (uintptr_t)e, .count = 8,
		.start = below(&f->rng, f->pool_length),
	};

	MAY_BE(call(any_shared(f), BUDDY_POOL_QUERY, &q), "QUERY", ENOENT);
	MAY_BE(call(any_shared(f), BUDDY_POOL_GET_PHYS, &p), "GET_PHYS", ENOENT);
	expect(!call(any_shared(f), BUDDY_POOL_LIST, &list), "LIST");
	expect(!call(any_shared(f), BUDDY_POOL_EXTENTS, &extents) && extents.count, "EXTENTS");
}

static void do_stats(struct fuzzer *f)
{
	struct buddy_pool_stats s = get_stats(any_shared(f));

	expect(s.length == f->pool_length && s.length == s.free + s.used + s.held + s.reserved &&
	       s.largest <= s.free && s.allocs - s.out_of_space - s.frees == s.nr_blocks,
	       "STATS do not add up");
}

static void do_reserve(struct fuzzer *f)
{
	__u64 offset = below(&f->rng, f->pool_length / PAGE) * PAGE;
	int err = range_call(any_shared(f), BUDDY_POOL_RESERVE, offset, PAGE);

	MAY_BE(err, "RESERVE", EBUSY);
	if (!err)
		expect(!range_call(any_shared(f), BUDDY_POOL_UNRESERVE, offset, PAGE), "UNRESERVE");
}

/* The number stays in use, so that the other threads never have another file's. */
static void do_reopen(struct fuzzer *f)
{
	int fd = open_node(O_RDWR);

	expect(fd >= 0 && dup3(fd, any_shared(f), O_CLOEXEC) >= 0, "reopen");
	close(fd);
}

static void do_send(struct fuzzer *f)
{
	int fd = send_to_oneself(fcntl(any_shared(f), F_DUPFD_CLOEXEC, 0));

	expect(fd >= 0, "send");
	close(fd);
}

static void do_mmap(struct fuzzer *f)
{
	struct buddy_pool_query q = { .size = sizeof(q), .handle = any_handle(f) };
	unsigned int nr = 1 + below(&f->rng, 8);
	char *at = f->arena + below(&f->rng, MY_PAGES - nr) * PAGE;
	int fd = any_shared(f);
	void *p;

	if (call(fd, BUDDY_POOL_QUERY, &q))
		return;
	p = mmap(at, nr * PAGE, below(&f->rng, 4), MAP_SHARED | MAP_FIXED, fd, q.map_offset);
	MAY_BE(p == MAP_FAILED ? -errno : 0, "mmap", EINVAL);
	if (p != MAP_FAILED && one_in(&f->rng, 2) && !mprotect(p, PAGE, RW))
		++*(volatile __u32 *)p;
}

static void do_change_mappings(struct fuzzer *f)
{
	unsigned int nr = 1 + below(&f->rng, 8);
	char *at = f->arena + below(&f->rng, MY_PAGES - nr) * PAGE;
	char *to = f->arena + below(&f->rng, MY_PAGES - nr) * PAGE;

	switch (below(&f->rng, 3)) {
	case 0:
		munmap(at, nr * PAGE);
		break;
	case 1:
		mprotect(at, nr * PAGE, below(&f->rng, 4));
		break;
	case 2:
		mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		break;
	}
}

/* Another process has all of it for a moment. */
static void do_fork(struct fuzzer *f)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	expect(pid > 0 && waitpid(pid, &status, 0) == pid && !status, "fork");
}

/*
 * Calls on a thread's own file
 */

static void take(struct fuzzer *f, struct own *o)
{
	if (alloc_block(f->fd, PAGE * (1 + below(&f->rng, 4)), &o->block))
		return;
	o->map = map_block(f->fd, &o->block);
	if (o->map == MAP_FAILED)
		return expect(false, "a block of one's own can't be mapped");
	expect(all_bytes_are((void *)o->map, o->block.granted, 0), "a new block is not zero");
	o->tag = next_random(&f->rng);
	*o->map = o->tag;
	o->map[o->block.granted / 8 - 1] = o->tag;
}

static void give_back(struct fuzzer *f, struct own *o)
{
	bool first = one_in(&f->rng, 2);

	expect(*o->map == o->tag && o->map[o->block.granted / 8 - 1] == o->tag,
	       "somebody wrote to another's block");
	if (first)
		expect(!free_handle(f->fd, o->block.handle), "FREE of one's own");
	expect(!munmap((void *)o->map, o->block.granted), "munmap of one's own");
	if (!first)
		expect(!free_handle(f->fd, o->block.handle), "FREE of one's own");
	o->map = NULL;
	atomic_fetch_add(&nr_own, 1);
}

static void do_own(struct fuzzer *f)
{
	struct own *o = &f->own[below(&f->rng, NR_OWN)];

	if (o->map)
		give_back(f, o);
	else
		take(f, o);
}

/*
 * Running
 */

static const struct {
	void (*run)(struct fuzzer *f);
	unsigned int weight;
} actions[] = {
	{ do_alloc, 200 }, { do_free, 150 }, { do_alloc_batch, 20 }, { do_free_batch, 30 },
	{ do_look, 30 }, { do_stats, 20 }, { do_reserve, 20 }, { do_reopen, 10 }, { do_send, 10 },
	{ do_mmap, 100 }, { do_change_mappings, 80 }, { do_own, 100 }, { do_fork, 1 },
};

static void one_call(struct fuzzer *f)
{
	unsigned int sum = 0, pick, i;

	for (i = 0; i < ARRAY_SIZE(actions); i++)
		sum += actions[i].weight;
	pick = below(&f->rng, sum);
	for (i = 0; pick >= actions[i].weight; i++)
		pick -= actions[i].weight;
	actions[i].run(f);
}

static void *run(void *arg)
{
	struct fuzzer *f = arg;
	__u64 total = number_from_env("BUDDY_POOL_CALLS", 100000);

	while (!atomic_load(&broken) && atomic_fetch_add(&nr_calls, 1) < total)
		one_call(f);
	for (unsigned int i = 0; i < NR_OWN; i++)
		if (f->own[i].map && !atomic_load(&broken))
			give_back(f, &f->own[i]);
	return NULL;
}

TEST_F_TIMEOUT(node, B59_four_threads, 3600)
{
	static struct fuzzer fuzzers[NR_THREADS];
	__u64 seed = choose_seed();

	for (unsigned int i = 0; i < NR_SHARED; i++) {
		shared[i] = open_node(O_RDWR);
		ASSERT_LE(0, shared[i]);
	}
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		struct fuzzer *f = &fuzzers[i];

		f->rng = seed + i;
		f->arena = ARENA + i * MY_PAGES * PAGE;
		f->pool_length = self->info.length;
		f->fd = open_node(O_RDWR);
		ASSERT_EQ(0, pthread_create(&f->thread, NULL, run, f));
	}
	for (unsigned int i = 0; i < NR_THREADS; i++)
		pthread_join(fuzzers[i].thread, NULL);
	EXPECT_EQ(NULL, broken) {
		TH_LOG("after %llu calls: %s", (unsigned long long)nr_calls, broken);
	}
	EXPECT_EQ(NULL, missing_answer()) {
		TH_LOG("%s was not both granted and refused", missing_answer());
	}
	EXPECT_LT(0, nr_own);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * Who pays for handles: the memory cgroup of whoever asked for them. Needs cgroup 2,
 * with a memory controller; /run/memcg is the mount. See tests/vm/memcg.sh.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "node.h"

#define ROOT	"/run/memcg"
#define HANDLES	10000U

/* Least and most that a handle costs, page tables of the cgroup and the like aside */
#define LEAST	112
#define MOST	128
#define SLACK	(192UL << 10)

static void write_to(const char *group, const char *file, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), ROOT "/%s/%s", group, file);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0) {
		perror(path);
		abort();
	}
	close(fd);
}

static void join(const char *group)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", getpid());
	write_to(group, "cgroup.procs", text);
}

/* A line of memory.stat, in bytes: what was added up last. */
static long stat_of(const char *group, const char *name)
{
	char path[128], line[128];
	long value = -1;
	size_t length = strlen(name);
	FILE *f;

	snprintf(path, sizeof(path), ROOT "/%s/memory.stat", group);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, length) && line[length] == ' ')
			value = atol(line + length);
	if (f)
		fclose(f);
	return value;
}

/*
 * What each CPU has counted is added up every two seconds, or when it is much, which
 * some pages of slabs are not: but faults are counted as well. For the group that this
 * process is in.
 */
static long slab_of(const char *group)
{
	enum { LENGTH = 8 << 20 };
	char *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	/* One fault for each page, instead of one for all */
	madvise(p, LENGTH, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < LENGTH; at += PAGE)
		p[at] = 1;
	munmap(p, LENGTH);
	return stat_of(group, "slab");
}

/* An idle CPU adds up when it has something else to do. Returns the last that it saw. */
static long wait_until_below(const char *group, long bytes)
{
	long value = 0;

	for (unsigned int i = 0; i < 60; i++) {
		value = stat_of(group, "slab");
		if (value < bytes)
			break;
		usleep(200000);
	}
	return value;
}

/* Bytes of a block's place in a slab beyond those of the block: red zones of KASAN */
static long debug_bytes(void)
{
	long object = 0, place = 0;
	FILE *f = fopen("/sys/kernel/slab/buddy_pool_block/object_size", "r");

	if (!f || fscanf(f, "%ld", &object) != 1)
		return 0;
	fclose(f);
	f = fopen("/sys/kernel/slab/buddy_pool_block/slab_size", "r");
	if (!f || fscanf(f, "%ld", &place) != 1)
		return 0;
	fclose(f);
	return place - object;
}

static int take_batch(int fd, unsigned int count)
{
	static struct buddy_pool_block blocks[BUDDY_POOL_MAX_BATCH];
	struct buddy_pool_alloc_batch take = {
		.size = sizeof(take), .length = PAGE, .count = count, .blocks = (uintptr_t)blocks,
	};

	return call(fd, BUDDY_POOL_ALLOC_BATCH, &take);
}

/* One at a time, since those of a batch share what they cost */
static int take_handles(int fd)
{
	struct buddy_pool_alloc block;
	int err = 0;

	for (unsigned int i = 0; !err && i < HANDLES; i++)
		err = alloc_block(fd, PAGE, &block);
	return err;
}

/* In batches of 64, of which all are given back but those with a bit set in @kept */
static int take_handles_of_batches(int fd, unsigned int handles, __u64 kept)
{
	struct buddy_pool_block blocks[64], unwanted[64];
	struct buddy_pool_alloc_batch take;
	struct buddy_pool_free_batch give;
	int err = 0;

	for (unsigned int i = 0; !err && i < handles; i += __builtin_popcountll(kept)) {
		take = (struct buddy_pool_alloc_batch){
			.size = sizeof(take), .length = PAGE, .count = 64,
			.blocks = (uintptr_t)blocks,
		};
		give = (struct buddy_pool_free_batch){
			.size = sizeof(give), .blocks = (uintptr_t)unwanted,
		};
		err = call(fd, BUDDY_POOL_ALLOC_BATCH, &take);
		for (unsigned int b = 0; b < 64; b++)
			if (!(kept >> b & 1))
				unwanted[give.count++] = blocks[b];
		if (!err && give.count)
			err = call(fd, BUDDY_POOL_FREE_BATCH, &give);
	}
	return err;
}

static bool make_groups(void)
{
	return !mkdir(ROOT "/a", 0755) && !mkdir(ROOT "/b", 0755);
}

/* By then nobody may be in them. */
static bool remove_groups(void)
{
	rmdir(ROOT "/a");
	return !rmdir(ROOT "/b");
}

TEST_F(node, H07_handles_are_charged_and_small)
{
	long before, taken, left;
	bool in_bounds;

	ASSERT_TRUE(make_groups());
	join("a");
	ASSERT_OK(take_batch(self->fd, 1));
	before = slab_of("a");
	ASSERT_LE(0, before);
	ASSERT_OK(take_handles(self->fd));
	taken = slab_of("a") - before;
	TH_LOG("%ld bytes for each of %u handles, and %ld of debugging",
	       taken / HANDLES - debug_bytes(), HANDLES, debug_bytes());
	/* What does not fit into a page is no more than a tenth. */
	taken -= debug_bytes() * HANDLES * 11 / 10;
	in_bounds = taken >= LEAST * HANDLES - SLACK && taken <= MOST * HANDLES + SLACK;
	EXPECT_TRUE(in_bounds);
	/* And given back, whoever does it. */
	join("b");
	close(self->fd);
	left = wait_until_below("a", before + taken / 4) - before;
	EXPECT_GT(taken / 4, left) {
		TH_LOG("%ld of %ld bytes are left", left, taken);
	}
	join(".");
	EXPECT_TRUE(remove_groups());
}

/* No worse, whichever of a batch are left: one in 64, every other, or all. */
TEST_F_TIMEOUT(node, H07_handles_of_batches_are_small, 400)
{
	static const __u64 kept[] = { 1ULL << 63, 0x5555555555555555, ~0ULL };
	/* With KASAN each of the many objects that come and go takes its time. */
	const long handles = debug_bytes() ? HANDLES / 10 : HANDLES;
	long before, taken;

	ASSERT_TRUE(make_groups());
	join("a");
	for (unsigned int i = 0; i < ARRAY_SIZE(kept); i++) {
		before = slab_of("a");
		ASSERT_OK(take_handles_of_batches(self->fd, handles, kept[i]));
		taken = slab_of("a") - before;
		TH_LOG("%ld bytes for each of %ld handles, %#llx of 64 kept", taken / handles,
		       handles, kept[i]);
		taken -= debug_bytes() * handles * 11 / 10;
		EXPECT_GE((long)(MOST * handles + SLACK), taken);
		close(self->fd);
		self->fd = open_node(O_RDWR);
		EXPECT_EQ(0, bytes_in_use());
	}
	join(".");
	close(self->fd);
	self->fd = open_node(O_RDWR);
	EXPECT_TRUE(remove_groups());
}

/* The group goes while its handles live; they are its parent's then, and free. */
TEST_F(node, D27_the_group_of_handles_goes_before_them)
{
	long before, in_a, in_b;

	ASSERT_TRUE(make_groups());
	join("a");
	ASSERT_OK(take_handles(self->fd));
	in_a = slab_of("a");
	join("b");
	in_b = slab_of("b");
	EXPECT_LT((long)(LEAST * HANDLES - SLACK), in_a);
	/* What was charged before does not move with the process. */
	EXPECT_GT((long)(LEAST * HANDLES / 2), in_b);
	ASSERT_EQ(0, rmdir(ROOT "/a"));
	ASSERT_OK(take_handles(self->fd));
	before = slab_of("b");
	EXPECT_LT((long)(LEAST * HANDLES - SLACK), before);
	close(self->fd);
	before -= LEAST * HANDLES / 2;
	EXPECT_GT(before, wait_until_below("b", before));
	EXPECT_EQ(0, bytes_in_use());
	join(".");
	EXPECT_TRUE(remove_groups());
}

/* Who takes too many is refused or killed; others don't notice. */
TEST_F(node, G10_a_group_with_little_memory)
{
	struct buddy_pool_alloc block;
	int status;
	pid_t pid;

	ASSERT_TRUE(make_groups());
	write_to("a", "memory.max", "3M");
	write_to("a", "memory.swap.max", "0");
	pid = fork();
	if (!pid) {
		int fds[64];

		join("a");
		for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++) {
			fds[i] = open_node(O_RDWR);
			if (fds[i] < 0)
				_exit(errno);
			while (!(status = alloc_block(fds[i], PAGE, &block)))
				;
			if (status != -EDQUOT)
				_exit(-status);
		}
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
		    (WIFEXITED(status) && WEXITSTATUS(status) == ENOMEM)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_OK(alloc_block(self->fd, PAGE, &block));
	EXPECT_EQ(block.granted, bytes_in_use());
	EXPECT_OK(free_handle(self->fd, block.handle));
	EXPECT_TRUE(remove_groups());
}

TEST_HARNESS_MAIN

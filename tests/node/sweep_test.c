// SPDX-License-Identifier: GPL-2.0
/*
 * The fault sweep of the node: each ioctl, open, close, mmap, fault and what makes
 * mappings change. After each failure the pool and the file are as before. For a
 * kernel with fault injection, see tests/vm/sweep.sh.
 */
#include "sweep.h"

/* Far from all else, so that a mapping needs page tables of its own */
#define FAR		((char *)(sizeof(long) == 8 ? 0x100000000000 : 0x50000000))
#define BLOCK		(16 * PAGE)
#define NR_EXTENTS	64
/* Seconds; a debug kernel in an emulator on a busy machine takes its time. */
#define LONG		600

/*
 * @fd: the file that calls are made on, or -1
 * @watcher: another one
 * @block: one that @fd has
 * @map: a mapping of it, or MAP_FAILED
 * @divides: the call may divide the mapping and fail then
 * @request: an ioctl
 * @filled: its argument, but for what is only known when it is made: @arg
 */
struct job {
	int fd;
	int watcher;
	struct buddy_pool_alloc block;
	char *map;
	bool divides;
	unsigned long request;
	union {
		struct buddy_pool_info info;
		struct buddy_pool_alloc alloc;
		struct buddy_pool_free free;
		struct buddy_pool_stats stats;
		struct buddy_pool_extents extents;
		struct buddy_pool_query query;
		struct buddy_pool_list list;
		struct buddy_pool_range range;
		struct buddy_pool_phys phys;
		struct buddy_pool_alloc_batch alloc_batch;
		struct buddy_pool_free_batch free_batch;
	} arg, filled;
	struct buddy_pool_order_stats orders[BUDDY_POOL_MAX_ORDERS];
	struct buddy_pool_extent extents[4];
	struct buddy_pool_query queries[4];
	struct buddy_pool_block blocks[3];
};

/*
 * What may not change. Events are counted in any case, so those counters are not
 * looked at.
 */

static void show_pool(int fd, FILE *out)
{
	struct buddy_pool_stats s = get_stats(fd);
	struct orders orders = get_orders(fd);

	fprintf(out, "length %llu free %llu used %llu held %llu reserved %llu largest %llu\n"
		"blocks %llu fragmentation %u sum %d\n", s.length, s.free, s.used, s.held,
		s.reserved, s.largest, s.nr_blocks, s.fragmentation,
		s.length == s.free + s.used + s.held + s.reserved);
	for (unsigned int o = 0; o < orders.nr; o++)
		fprintf(out, "order %u %llu\n", o, orders.of[o].count);
}

static void show_map(int fd, FILE *out)
{
	struct buddy_pool_extent extents[NR_EXTENTS];
	struct buddy_pool_extents req = {
		.size = sizeof(req), .entries = (uintptr_t)extents, .count = NR_EXTENTS,
	};

	fprintf(out, "map %d\n", call(fd, BUDDY_POOL_EXTENTS, &req));
	for (unsigned int i = 0; i < req.count; i++)
		fprintf(out, "extent %llu %llu %u\n", extents[i].offset, extents[i].length,
			extents[i].state);
}

/*
 * With the number of mappings of each block, and what the quota counts. A mapping may
 * be divided when munmap() of its middle fails, and still be there in full.
 */
static void show_file(const struct job *job, FILE *out)
{
	char path[64], line[256];
	FILE *info;

	if (job->fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", job->fd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info)) {
		if (job->divides && strstr(line, " bytes, "))
			strcpy(strstr(line, " bytes, "), "\n");
		if (!strncmp(line, "block", 5) || !strncmp(line, "bytes", 5))
			fputs(line, out);
	}
	if (info)
		fclose(info);
}

static unsigned int nr_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void show_job(void *arg, FILE *out)
{
	struct job *job = arg;

	show_pool(job->watcher, out);
	show_map(job->watcher, out);
	show_file(job, out);
	fprintf(out, "open files %u\n", nr_fds());
}

/*
 * Calls
 */

static void prepare_file(void *arg)
{
	struct job *job = arg;

	job->fd = open_node(O_RDWR);
}

static void prepare_block(void *arg)
{
	struct job *job = arg;

	prepare_file(job);
	if (alloc_block(job->fd, BLOCK, &job->block))
		abort();
}

static void prepare_mapping(void *arg)
{
	struct job *job = arg;

	prepare_block(job);
	job->map = mmap(FAR, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
			job->fd, job->block.map_offset);
	if (job->map != FAR)
		abort();
}

static void undo(void *arg)
{
	struct job *job = arg;

	munmap(FAR, 2 * BLOCK);
	if (job->fd >= 0)
		close(job->fd);
	job->fd = -1;
}

static int run_open(void *arg)
{
	struct job *job = arg;

	job->fd = open_node(O_RDWR);
	return job->fd < 0 ? -errno : 0;
}

static int run_close(void *arg)
{
	struct job *job = arg;
	int fd = job->fd;

	job->fd = -1;
	return close(fd) ? -errno : 0;
}

static int run_mmap(void *arg)
{
	struct job *job = arg;
	void *p = mmap(FAR, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
		       job->fd, job->block.map_offset);

	return p == MAP_FAILED ? -errno : 0;
}

/* If there is no memory for page tables, the kernel tries again and again. */
static int run_fault(void *arg)
{
	return *(volatile char *)FAR;
}

/* Divides a mapping */
static int run_split(void *arg)
{
	return munmap(FAR + PAGE, PAGE) ? -errno : 0;
}

static int run_move(void *arg)
{
	return mremap(FAR, BLOCK, BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED, FAR + BLOCK) ==
	       MAP_FAILED ? -errno : 0;
}

static int run_fork(void *arg)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pid < 0)
		return -errno;
	return waitpid(pid, NULL, 0) == pid ? 0 : -ECHILD;
}

static void prepare_ioctl(void *arg)
{
	struct job *job = arg;

	prepare_block(job);
	job->arg = job->filled;
	switch (job->request) {
	case BUDDY_POOL_FREE:
		job->arg.free.handle = job->arg.free.handle ?: job->block.handle;
		break;
	case BUDDY_POOL_QUERY:
		job->arg.query.handle = job->block.handle;
		break;
	case BUDDY_POOL_GET_PHYS:
		job->arg.phys.handle = job->block.handle;
		break;
	case BUDDY_POOL_UNRESERVE:
		if (range_call(job->fd, BUDDY_POOL_RESERVE, RESERVED_OFFSET, PAGE))
			abort();
		break;
	case BUDDY_POOL_FREE_BATCH:
		job->blocks[0] = (struct buddy_pool_block){ .handle = job->block.handle };
		break;
	}
}

static int run_ioctl(void *arg)
{
	struct job *job = arg;

	return call(job->fd, job->request, &job->arg);
}

static void undo_ioctl(void *arg)
{
	struct job *job = arg;

	if (job->request == BUDDY_POOL_RESERVE || job->request == BUDDY_POOL_UNRESERVE)
		range_call(job->fd, BUDDY_POOL_UNRESERVE, RESERVED_OFFSET, PAGE);
	undo(job);
}

/*
 * Tests
 */

static bool sweep_job(struct sweep *sweep, struct job *job)
{
	bool ok;

	job->fd = -1;
	job->watcher = open_node(O_RDWR);
	sweep->arg = job;
	sweep->state = show_job;
	ok = sweep_call(sweep);
	close(job->watcher);
	return ok;
}

/* A call that is no ioctl */
static bool sweep_other(const char *name, void (*prepare)(void *arg), int (*run)(void *arg))
{
	static struct job job;
	struct sweep sweep = {
		.name = name, .prepare = prepare, .run = run, .undo = undo,
		.errors = { ENOMEM, EFAULT }, .only_once = run == run_fork,
		.uncounted = run == run_fork, .retries = run == run_fault,
	};

	job.divides = run == run_split;

	return sweep_job(&sweep, &job);
}

/* The argument is in @job->filled; EFAULT is always possible, ENOMEM if @allocates. */
static bool sweep_ioctl(const char *name, unsigned long request, struct job *job, int expected,
			bool allocates)
{
	struct sweep sweep = {
		.name = name, .prepare = prepare_ioctl, .run = run_ioctl, .undo = undo_ioctl,
		.errors = { EFAULT, allocates ? ENOMEM : 0 }, .expected = -expected,
	};

	job->request = request;
	job->filled.info.size = _IOC_SIZE(request);
	return sweep_job(&sweep, job);
}

TEST_F_TIMEOUT(node, G01_G02_open, LONG)
{
	EXPECT_TRUE(sweep_other("open", NULL, run_open));
}

TEST_F_TIMEOUT(node, G01_G02_close, LONG)
{
	EXPECT_TRUE(sweep_other("close", prepare_block, run_close));
}

TEST_F_TIMEOUT(node, G01_G02_C60_mmap, LONG)
{
	EXPECT_TRUE(sweep_other("mmap", prepare_block, run_mmap));
}

TEST_F_TIMEOUT(node, G01_G02_G06_first_fault, LONG)
{
	EXPECT_TRUE(sweep_other("fault", prepare_mapping, run_fault));
}

TEST_F_TIMEOUT(node, G01_G02_mapping_divided_moved_inherited, LONG)
{
	EXPECT_TRUE(sweep_other("split", prepare_mapping, run_split));
	EXPECT_TRUE(sweep_other("mremap", prepare_mapping, run_move));
	EXPECT_TRUE(sweep_other("fork", prepare_mapping, run_fork));
}

TEST_F_TIMEOUT(node, G01_G02_G04_info, LONG)
{
	static struct job job;

	EXPECT_TRUE(sweep_ioctl("INFO", BUDDY_POOL_INFO, &job, 0, false));
}

TEST_F_TIMEOUT(node, G01_G02_G04_G14_alloc, LONG)
{
	static struct job job = { .filled.alloc.length = 3 * PAGE };

	EXPECT_TRUE(sweep_ioctl("ALLOC", BUDDY_POOL_ALLOC, &job, 0, true));
	/* Refused, after it has taken kernel memory */
	job.filled.alloc.length = self->info.length;
	EXPECT_TRUE(sweep_ioctl("ALLOC_refused", BUDDY_POOL_ALLOC, &job, ENOSPC, true));
}

TEST_F_TIMEOUT(node, G01_G02_G04_free, LONG)
{
	static struct job job;

	EXPECT_TRUE(sweep_ioctl("FREE", BUDDY_POOL_FREE, &job, 0, false));
	job.filled.free.handle = 12345;
	EXPECT_TRUE(sweep_ioctl("FREE_refused", BUDDY_POOL_FREE, &job, ENOENT, false));
}

TEST_F_TIMEOUT(node, G01_G02_G04_stats, LONG)
{
	static struct job job = { .filled.stats.nr_orders = BUDDY_POOL_MAX_ORDERS };

	job.filled.stats.orders = (uintptr_t)job.orders;
	EXPECT_TRUE(sweep_ioctl("STATS", BUDDY_POOL_STATS, &job, 0, true));
}

TEST_F_TIMEOUT(node, G01_G02_G04_extents_query_list_phys, LONG)
{
	static struct job extents = { .filled.extents.count = ARRAY_SIZE(extents.extents) };
	static struct job list = { .filled.list.count = ARRAY_SIZE(list.queries) };
	static struct job query, phys;

	extents.filled.extents.entries = (uintptr_t)extents.extents;
	list.filled.list.entries = (uintptr_t)list.queries;
	EXPECT_TRUE(sweep_ioctl("EXTENTS", BUDDY_POOL_EXTENTS, &extents, 0, false));
	EXPECT_TRUE(sweep_ioctl("QUERY", BUDDY_POOL_QUERY, &query, 0, false));
	EXPECT_TRUE(sweep_ioctl("LIST", BUDDY_POOL_LIST, &list, 0, false));
	EXPECT_TRUE(sweep_ioctl("GET_PHYS", BUDDY_POOL_GET_PHYS, &phys, 0, false));
}

TEST_F_TIMEOUT(node, G01_G02_G04_reserve, LONG)
{
	static struct job reserve = {
		.filled.range = { .offset = RESERVED_OFFSET, .length = PAGE },
	};
	static struct job unreserve = {
		.filled.range = { .offset = RESERVED_OFFSET, .length = PAGE },
	};

	EXPECT_TRUE(sweep_ioctl("RESERVE", BUDDY_POOL_RESERVE, &reserve, 0, true));
	EXPECT_TRUE(sweep_ioctl("UNRESERVE", BUDDY_POOL_UNRESERVE, &unreserve, 0, false));
}

TEST_F_TIMEOUT(node, G01_G02_G04_G09_batches, LONG)
{
	static struct job alloc = { .filled.alloc_batch = { .length = PAGE, .count = 3 } };
	static struct job free = { .filled.free_batch = { .count = 1 } };

	alloc.filled.alloc_batch.blocks = (uintptr_t)alloc.blocks;
	free.filled.free_batch.blocks = (uintptr_t)free.blocks;
	EXPECT_TRUE(sweep_ioctl("ALLOC_BATCH", BUDDY_POOL_ALLOC_BATCH, &alloc, 0, true));
	EXPECT_TRUE(sweep_ioctl("FREE_BATCH", BUDDY_POOL_FREE_BATCH, &free, 0, true));
	/* More than there is, so that what was taken goes back */
	alloc.filled.alloc_batch.length = self->info.length / 2;
	EXPECT_TRUE(sweep_ioctl("ALLOC_BATCH_refused", BUDDY_POOL_ALLOC_BATCH, &alloc, ENOSPC,
				true));
}

/* Whoever asks, all the time */
TEST_F(node, G05_memory_fails_for_us_only)
{
	struct buddy_pool_alloc block;
	int fd, pipes[2];

	if (!knows_callers())
		SKIP(return, "the kernel can't tell who asks");
	ASSERT_TRUE(set_up_faults(true));
	ASSERT_TRUE(choose_kind(OBJECTS));
	EXPECT_TRUE(set_fault("N", FAULTS "failslab/task-filter"));
	EXPECT_EQ(-ENOMEM, alloc_block(self->fd, BLOCK, &block));
	EXPECT_EQ(-1, open_node(O_RDWR));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(0, run_fork(NULL));
	EXPECT_EQ(0, pipe(pipes));
	EXPECT_TRUE(set_fault("Y", FAULTS "failslab/task-filter"));
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(0, alloc_block(self->fd, BLOCK, &block));
	fd = open_node(O_RDWR);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * Everything against everything else on the node, each pair for some seconds.
 *
 *	BUDDY_POOL_RACE_SECONDS	how long (30)
 *	BUDDY_POOL_SEED		the seed that a run before printed
 *	BUDDY_POOL_KILLS	processes to kill (1000)
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "node.h"
#include "stall.h"

/* More than any of them is asked to run */
#define FOREVER	100000
#define MAX_THREADS	8

static unsigned int from_env(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

/* The same whenever a process asks */
static unsigned int the_seed(void)
{
	static unsigned int seed;

	if (!seed)
		seed = from_env("BUDDY_POOL_SEED", getpid() * 7919 + time(NULL));
	return seed;
}

/* What a race must meet with: both outcomes, where it has two */
enum met {
	FREED,
	FREED_BY_OTHER,
	MAPPED,
	NOT_MAPPED,
	TAKEN,
	REFUSED,
	LISTED,
	TOUCHED,
	FAULTED,
	FORKED,
	SIGNALLED,
	NR_MET
};

/* One race: what its threads share */
static struct race {
	int fd;
	int other;
	double end;
	double last;
	unsigned int seed;
	atomic_uint rounds;
	bool wanted[NR_MET];
	atomic_uint met[NR_MET];
	atomic_uint failures;
	atomic_uint arrived;
	const char *what;
	struct buddy_pool_alloc block;
	char *volatile p;
	int uffd;
} race;

/* What is wanted and was not met with yet, or NR_MET */
static unsigned int missing(void)
{
	unsigned int i = 0;

	while (i < NR_MET && (!race.wanted[i] || atomic_load(&race.met[i])))
		i++;
	return i;
}

/* For its time, and if that was too short for all that can happen, up to ten times that */
static bool going_on(void)
{
	double t = now();

	if (atomic_load(&race.failures))
		return false;
	return t < race.end || (t < race.last && missing() < NR_MET);
}

/* Remembers the first thing that went wrong. */
static void failed(const char *what)
{
	if (!atomic_fetch_add(&race.failures, 1))
		race.what = what;
}

static void expect(bool ok, const char *what)
{
	if (!ok)
		failed(what);
}

/* It has to happen at least once. */
static void want(enum met what)
{
	race.wanted[what] = true;
}

static void met(enum met what)
{
	atomic_fetch_add(&race.met[what], 1);
}

/* All of @n threads meet. */
static void meet(unsigned int n)
{
	unsigned int target = (atomic_fetch_add(&race.arrived, 1) / n + 1) * n;

	for (unsigned int i = 0; atomic_load(&race.arrived) < target; i++)
		if (i > 100)
			sched_yield();
}

struct runner {
	pthread_t thread;
	unsigned int number;
	unsigned int seed;
	void (*run)(struct runner *self);
};

static void *start(void *arg)
{
	struct runner *r = arg;

	r->run(r);
	return NULL;
}

static void prepare_race(int fd, int other)
{
	memset(&race, 0, sizeof(race));
	race.fd = fd;
	race.other = other;
	race.seed = the_seed();
	race.end = now() + from_env("BUDDY_POOL_RACE_SECONDS", 30);
	race.last = now() + 10 * from_env("BUDDY_POOL_RACE_SECONDS", 30);
	/* Before it begins, in case that it does not end */
	printf("# seed %u\n", race.seed);
	fflush(stdout);
}

/* Runs @n threads, thread i with @run[i % @kinds], to their end. */
static void run_threads(unsigned int n, void (*const run[])(struct runner *), unsigned int kinds)
{
	struct runner runners[MAX_THREADS];

	for (unsigned int i = 0; i < n; i++) {
		runners[i].number = i;
		runners[i].seed = race.seed + i;
		runners[i].run = run[i % kinds];
		if (pthread_create(&runners[i].thread, NULL, start, &runners[i]))
			abort();
	}
	for (unsigned int i = 0; i < n; i++)
		pthread_join(runners[i].thread, NULL);
}

#define EXPECT_RACE_WON() do { \
	EXPECT_EQ(0, race.failures) { TH_LOG("%s", race.what); } \
	EXPECT_LT(0, race.rounds); \
	EXPECT_EQ(NR_MET, missing()); \
	TH_LOG("%u rounds", race.rounds); \
} while (0)

/*
 * One handle, freed by two
 */

static void free_same(struct runner *self)
{
	static atomic_int successes;
	int err;

	for (;;) {
		if (!self->number) {
			if (!going_on())
				race.block.handle = 0;
			else
				expect(!alloc_block(race.fd, PAGE, &race.block), "no block");
			atomic_store(&successes, 0);
		}
		meet(2);
		if (!race.block.handle)
			return;
		err = free_handle(race.fd, race.block.handle);
		expect(!err || err == -ENOENT, "free: neither done nor ENOENT");
		atomic_fetch_add(&successes, !err);
		if (!err)
			met(self->number ? FREED_BY_OTHER : FREED);
		meet(2);
		expect(atomic_load(&successes) == 1, "freed twice, or not at all");
		atomic_fetch_add(&race.rounds, 1);
		meet(2);
	}
}

TEST_F_TIMEOUT(node, B25_F02_two_threads_free_one_handle, FOREVER)
{
	static void (*const runs[])(struct runner *) = { free_same };

	prepare_race(self->fd, self->other);
	want(FREED);
	want(FREED_BY_OTHER);
	run_threads(2, runs, 1);
	EXPECT_RACE_WON();
	EXPECT_EQ(0, bytes_in_use());
}

/*
 * FREE against mmap, while a third takes the place as soon as it is free. A mapping
 * that was made shows the owner's mark until the end.
 */

#define PLACE	(40 * MIB)

static void owner_frees(struct runner *self)
{
	struct buddy_pool_alloc block;

	while (going_on()) {
		if (alloc_at(race.fd, PLACE, PAGE, &block))
			continue;
		for (int i = rand_r(&self->seed) % 64; i; i--)
			sched_yield();
		expect(!free_handle(race.fd, block.handle), "own block not freed");
		atomic_fetch_add(&race.rounds, 1);
	}
}

static void owner_maps(struct runner *self)
{
	volatile __u32 *p;

	while (going_on()) {
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, race.fd, PLACE);
		if (p == MAP_FAILED) {
			expect(errno == EINVAL, "mmap: neither done nor EINVAL");
			met(NOT_MAPPED);
			continue;
		}
		met(MAPPED);
		expect(!*p || *p == 1, "another's data, or no zeros");
		*p = 1;
		for (int i = rand_r(&self->seed) % 64; i; i--)
			sched_yield();
		expect(*p == 1, "another wrote into a mapped block");
		munmap((void *)p, PAGE);
	}
}

static void other_takes(struct runner *self)
{
	struct buddy_pool_alloc block;
	volatile __u32 *p;

	while (going_on()) {
		if (alloc_at(race.other, PLACE, PAGE, &block))
			continue;
		p = map_block(race.other, &block);
		expect(p != MAP_FAILED, "own block not mapped");
		if (p == MAP_FAILED)
			return;
		met(TAKEN);
		expect(!*p, "the next owner sees data");
		*p = 2;
		expect(!free_handle(race.other, block.handle), "own block not freed");
		expect(*p == 2, "another wrote into a held block");
		munmap((void *)p, PAGE);
	}
}

TEST_F_TIMEOUT(node, B58_F29_free_against_mmap_against_the_next_owner, FOREVER)
{
	static void (*const runs[])(struct runner *) = { owner_frees, owner_maps, other_takes };

	prepare_race(self->fd, self->other);
	want(MAPPED);
	want(NOT_MAPPED);
	want(TAKEN);
	run_threads(3, runs, 3);
	EXPECT_RACE_WON();
	EXPECT_EQ(0, bytes_in_use());
}

/*
 * All calls against close and fdinfo
 */

static void close_and_open(struct runner *self)
{
	int fd;

	while (going_on()) {
		fd = open_node(O_RDWR);
		/* Also closes what was there, in one step */
		dup3(fd, race.fd, O_CLOEXEC);
		close(fd);
		for (int i = rand_r(&self->seed) % 256; i; i--)
			sched_yield();
		atomic_fetch_add(&race.rounds, 1);
	}
}

static void use_while_closed(struct runner *self)
{
	struct buddy_pool_alloc block;
	void *p;
	int err;

	while (going_on()) {
		err = alloc_block(race.fd, PAGE << rand_r(&self->seed) % 6, &block);
		expect(!err, "no block");
		/* By now it may be a younger open file's. */
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, race.fd,
			 block.map_offset);
		expect(p != MAP_FAILED || errno == EINVAL, "mmap: neither done nor EINVAL");
		met(p == MAP_FAILED ? NOT_MAPPED : MAPPED);
		if (p != MAP_FAILED) {
			*(char *)p = 1;
			munmap(p, PAGE);
		}
		err = free_handle(race.fd, block.handle);
		expect(!err || err == -ENOENT, "free: neither done nor ENOENT");
		met(err ? REFUSED : FREED);
	}
}

static void look_while_closed(struct runner *self)
{
	static struct buddy_pool_query entries[64];
	struct buddy_pool_list l;
	struct buddy_pool_stats s;
	char path[64], text[4096];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", race.fd);
	while (going_on()) {
		fd = open(path, O_RDONLY);
		expect(fd >= 0, "no fdinfo");
		while (read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
		l = (struct buddy_pool_list){
			.size = sizeof(l), .entries = (uintptr_t)entries, .count = 64,
		};
		expect(!call(race.fd, BUDDY_POOL_LIST, &l), "LIST failed");
		if (l.count)
			met(LISTED);
		s = get_stats(race.fd);
		expect(s.length == s.free + s.used + s.held + s.reserved, "STATS do not add up");
	}
}

TEST_F_TIMEOUT(node, D15_D23_F05_F17_everything_against_close, FOREVER)
{
	static void (*const runs[])(struct runner *) = {
		close_and_open, use_while_closed, look_while_closed, use_while_closed,
	};

	prepare_race(self->fd, self->other);
	want(MAPPED);
	want(NOT_MAPPED);
	want(FREED);
	want(REFUSED);
	want(LISTED);
	run_threads(4, runs, 4);
	EXPECT_RACE_WON();
	close(self->fd);
	EXPECT_EQ(0, bytes_in_use());
	self->fd = open_node(O_RDWR);
}

/*
 * Blocks of several threads, each marked with its owner's number
 */

#define OWNED	16

struct owned {
	struct buddy_pool_alloc block;
	__u64 *p;
};

static void mark(struct owned *o, __u64 with)
{
	o->p[0] = with;
	o->p[o->block.granted / 8 - 1] = with;
}

static void take_one(struct runner *self, struct owned *o, int fd)
{
	if (alloc_block(fd, 1 + rand_r(&self->seed) % (32 << 10), &o->block))
		return;
	expect(o->block.handle, "success without a block");
	o->p = map_block(fd, &o->block);
	if (o->p == MAP_FAILED) {
		failed("own block not mapped");
		return;
	}
	expect(!o->p[0] && !o->p[o->block.granted / 8 - 1], "a new block is not zero");
	mark(o, self->number + 1);
	met(TAKEN);
}

static void return_one(struct runner *self, struct owned *o, int fd)
{
	__u64 mine = self->number + 1;

	expect(o->p[0] == mine && o->p[o->block.granted / 8 - 1] == mine, "two own one block");
	if (rand_r(&self->seed) % 2) {
		munmap(o->p, o->block.granted);
		expect(!free_handle(fd, o->block.handle), "own block not freed");
	} else {
		expect(!free_handle(fd, o->block.handle), "own block not freed");
		munmap(o->p, o->block.granted);
	}
	o->p = NULL;
}

static void use_blocks(struct runner *self, int fd)
{
	struct owned owned[OWNED] = { 0 };
	struct owned *o;

	while (going_on()) {
		o = &owned[rand_r(&self->seed) % OWNED];
		if (o->p)
			return_one(self, o, fd);
		else
			take_one(self, o, fd);
		atomic_fetch_add(&race.rounds, 1);
	}
	for (o = owned; o < owned + OWNED && !atomic_load(&race.failures); o++)
		if (o->p)
			return_one(self, o, fd);
}

static void use_private_file(struct runner *self)
{
	int fd = open_node(O_RDWR);

	use_blocks(self, fd);
	close(fd);
}

static void use_shared_file(struct runner *self)
{
	use_blocks(self, race.fd);
}

/* Batches on the shared file, each block of which must be its own: freed just once */
static void use_batches(struct runner *self)
{
	struct buddy_pool_block blocks[32];
	struct buddy_pool_alloc_batch take;
	struct buddy_pool_free_batch give;

	while (going_on()) {
		take = (struct buddy_pool_alloc_batch){
			.size = sizeof(take), .blocks = (uintptr_t)blocks, .length = PAGE,
			.count = 1 + rand_r(&self->seed) % 32,
		};
		if (call(race.fd, BUDDY_POOL_ALLOC_BATCH, &take))
			continue;
		give = (struct buddy_pool_free_batch){
			.size = sizeof(give), .blocks = (uintptr_t)blocks, .count = take.count,
		};
		expect(!call(race.fd, BUDDY_POOL_FREE_BATCH, &give), "own blocks not freed");
		expect(call(race.fd, BUDDY_POOL_FREE_BATCH, &give) == -ENOENT, "freed again");
		met(FREED);
		atomic_fetch_add(&race.rounds, 1);
	}
}

static void watch(struct runner *self)
{
	struct buddy_pool_stats s;

	while (going_on()) {
		s = get_stats(race.other);
		expect(s.length && s.length == s.free + s.used + s.held + s.reserved,
		       "STATS do not add up");
		expect(s.largest <= s.free && s.peak <= s.length, "STATS make no sense");
		met(LISTED);
		sched_yield();
	}
}

TEST_F_TIMEOUT(node, F01_F04_F17_threads_with_files_of_their_own, FOREVER)
{
	static void (*const runs[])(struct runner *) = {
		use_private_file, use_private_file, use_private_file, watch,
	};

	prepare_race(self->fd, self->other);
	want(TAKEN);
	want(LISTED);
	run_threads(8, runs, 4);
	EXPECT_RACE_WON();
	EXPECT_EQ(0, bytes_in_use());
}

TEST_F_TIMEOUT(node, F02_F04_F17_threads_that_share_a_file, FOREVER)
{
	static void (*const runs[])(struct runner *) = {
		use_shared_file, use_batches, use_shared_file, watch,
	};

	prepare_race(self->fd, self->other);
	want(TAKEN);
	want(FREED);
	want(LISTED);
	run_threads(8, runs, 4);
	EXPECT_RACE_WON();
	EXPECT_EQ(0, bytes_in_use());
}

/*
 * Faults against all that changes a mapping
 */

static __thread sigjmp_buf on_fault;

static void fault_handler(int signal)
{
	siglongjmp(on_fault, signal);
}

static void catch_faults(void)
{
	struct sigaction action = { .sa_handler = fault_handler, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

#define AREA	(16 * PAGE)

/* Pages that are there hold a zero or their mark. */
static void touch(struct runner *self)
{
	volatile int signal;
	char *p;

	while (going_on()) {
		signal = sigsetjmp(on_fault, 1);
		expect(signal != SIGBUS, "SIGBUS without a reason");
		if (signal) {
			met(FAULTED);
			continue;
		}
		p = race.p + rand_r(&self->seed) % 16 * PAGE;
		if (rand_r(&self->seed) % 2)
			*p = 7;
		else
			expect(!*p || *p == 7, "a fault brought another page");
		met(TOUCHED);
		atomic_fetch_add(&race.rounds, 1);
	}
}

static void remap(struct runner *self)
{
	while (going_on()) {
		char *part = race.p + rand_r(&self->seed) % 16 * PAGE;

		switch (rand_r(&self->seed) % 5) {
		case 0:
			munmap(race.p, AREA);
			break;
		case 1:
			munmap(part, PAGE);
			break;
		case 2:
			mprotect(part, PAGE, PROT_READ);
			break;
		case 3:
			madvise(part, PAGE, MADV_DONTNEED);
			break;
		}
		mmap(race.p, AREA, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, race.fd, PLACE);
	}
}

/* The block gets another handle again and again; the mapping holds the old ones. */
static void free_mapped(struct runner *self)
{
	struct buddy_pool_alloc block;

	while (going_on()) {
		if (!alloc_at(race.fd, PLACE, AREA, &block)) {
			usleep(rand_r(&self->seed) % 200);
			expect(!free_handle(race.fd, block.handle), "own block not freed");
			met(FREED);
		}
		sched_yield();
	}
}

static void fork_and_read_maps(struct runner *self)
{
	static const char *const files[] = { "/proc/self/smaps", "/proc/self/maps" };
	char text[4096];
	int fd;

	while (going_on()) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (waitpid(pid, NULL, 0) == pid)
			met(FORKED);
		fd = open(files[rand_r(&self->seed) % 2], O_RDONLY);
		while (read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
	}
}

TEST_F_TIMEOUT(node, C52_C56_faults_against_munmap_free_and_fork, FOREVER)
{
	static void (*const runs[])(struct runner *) = {
		touch, remap, free_mapped, fork_and_read_maps, touch,
	};

	prepare_race(self->fd, self->other);
	want(TOUCHED);
	want(FAULTED);
	want(FREED);
	want(FORKED);
	race.p = mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	catch_faults();
	run_threads(5, runs, 5);
	EXPECT_RACE_WON();
	munmap(race.p, AREA);
	EXPECT_EQ(0, bytes_in_use());
}

static void fault_together(struct runner *self)
{
	for (;;) {
		if (!self->number)
			race.p = going_on() ? map_block(race.fd, &race.block) : NULL;
		meet(4);
		if (!race.p)
			return;
		expect(race.p[PAGE] == 9, "a fault brought another page");
		meet(4);
		if (!self->number)
			munmap(race.p, race.block.granted);
		atomic_fetch_add(&race.rounds, 1);
		meet(4);
	}
}

TEST_F_TIMEOUT(node, C55_one_page_for_four_threads_at_once, FOREVER)
{
	static void (*const runs[])(struct runner *) = { fault_together };
	char *p;

	prepare_race(self->fd, self->other);
	ASSERT_OK(alloc_block(self->fd, 4 * PAGE, &race.block));
	p = map_block(self->fd, &race.block);
	memset(p, 9, 4 * PAGE);
	run_threads(4, runs, 1);
	EXPECT_RACE_WON();
}

/*
 * A full pool, and those who wait for space
 */

static void take_wait_give(struct runner *self)
{
	struct pollfd p = { .fd = open_node(O_RDWR), .events = POLLIN };
	struct buddy_pool_alloc block;

	while (going_on()) {
		/* More than half: one at a time */
		if (alloc_block(p.fd, 40 * MIB, &block)) {
			expect(poll(&p, 1, 10000) == 1, "not woken");
			met(REFUSED);
			continue;
		}
		if (rand_r(&self->seed) % 2)
			sched_yield();
		expect(!free_handle(p.fd, block.handle), "own block not freed");
		atomic_fetch_add(&race.rounds, 1);
	}
	close(p.fd);
}

TEST_F_TIMEOUT(node, F25_nobody_waits_for_ever, FOREVER)
{
	static void (*const runs[])(struct runner *) = { take_wait_give };

	prepare_race(self->fd, self->other);
	want(REFUSED);
	run_threads(4, runs, 1);
	EXPECT_RACE_WON();
}

/*
 * Arguments that are not there: the kernel waits in the middle of a call.
 */

#define NO_USERFAULTFD	77

static void stall_reading(int fd, __u32 handle)
{
	void *page = new_page();

	if (stall_on(page, UFFDIO_REGISTER_MODE_MISSING) < 0)
		_exit(NO_USERFAULTFD);
	call(fd, handle ? BUDDY_POOL_FREE : BUDDY_POOL_ALLOC, page);
}

/* By the time of the answer there is a block. */
static void stall_answering(int fd, __u32 handle)
{
	struct buddy_pool_alloc *req = new_page();

	*req = request(PAGE);
	if (stall_on(req, UFFDIO_REGISTER_MODE_WP) < 0)
		_exit(NO_USERFAULTFD);
	call(fd, BUDDY_POOL_ALLOC, req);
}

static void stall_batch(int fd, __u32 handle)
{
	struct buddy_pool_block *blocks = new_page();
	struct buddy_pool_alloc_batch take = {
		.size = sizeof(take), .length = PAGE, .blocks = (uintptr_t)blocks, .count = 100,
	};
	struct buddy_pool_free_batch give = {
		.size = sizeof(give), .blocks = (uintptr_t)blocks, .count = 100,
	};

	if (stall_on(blocks, UFFDIO_REGISTER_MODE_MISSING) < 0)
		_exit(NO_USERFAULTFD);
	if (handle)
		call(fd, BUDDY_POOL_FREE_BATCH, &give);
	else
		call(fd, BUDDY_POOL_ALLOC_BATCH, &take);
}

static void stall_list(int fd, __u32 handle)
{
	struct buddy_pool_query *entries = new_page();
	struct buddy_pool_list l = {
		.size = sizeof(l), .entries = (uintptr_t)entries, .count = 10,
	};

	if (stall_on(entries, UFFDIO_REGISTER_MODE_MISSING) < 0)
		_exit(NO_USERFAULTFD);
	call(fd, BUDDY_POOL_LIST, &l);
}

static const struct {
	void (*call)(int fd, __u32 handle);
	bool with_handle;
	__u64 pages;		/* that it has while it waits */
} stalls[] = {
	{ stall_reading, false, 0 }, { stall_reading, true, 0 }, { stall_answering, false, 1 },
	{ stall_batch, false, 100 }, { stall_batch, true, 0 }, { stall_list, true, 0 },
};

static bool uses(int fd, __u64 bytes)
{
	for (int i = 0; i < 500; i++) {
		if (get_stats(fd).used == bytes)
			return true;
		usleep(10000);
	}
	return false;
}

/* A child waits in the middle of call @i; false if this kernel can't make it. */
static bool start_stalled(unsigned int i, int fd, __u32 handle, pid_t *pid)
{
	*pid = fork();
	if (!*pid) {
		stalls[i].call(fd, stalls[i].with_handle ? handle : 0);
		_exit(1);
	}
	usleep(200000);
	if (waitpid(*pid, NULL, WNOHANG) != *pid)
		return true;
	*pid = 0;
	return false;
}

/* The others go on with the same open file, and don't see its blocks. */
static void use_beside(int fd, __u32 handle)
{
	struct buddy_pool_query entries[2];
	struct buddy_pool_list l = {
		.size = sizeof(l), .entries = (uintptr_t)entries, .count = 2,
	};
	struct buddy_pool_alloc more;

	expect(!alloc_block(fd, PAGE, &more), "no block");
	expect(!free_handle(fd, more.handle), "own block not freed");
	for (__u32 other = handle + 1; other < more.handle + 200; other++)
		expect(free_handle(fd, other) == -ENOENT, "a handle that is not valid yet");
	expect(!call(fd, BUDDY_POOL_LIST, &l) && l.count == 1, "LIST has what is not there yet");
}

TEST_F_TIMEOUT(node, B14_a_call_that_waits_for_ever_and_is_killed, FOREVER)
{
	struct buddy_pool_alloc block;
	unsigned int i;
	int status;
	pid_t pid;

	prepare_race(self->fd, self->other);
	ASSERT_OK(alloc_block(self->fd, PAGE, &block));
	for (i = 0; i < ARRAY_SIZE(stalls) || going_on(); i++) {
		if (!start_stalled(i % ARRAY_SIZE(stalls), self->fd, block.handle, &pid)) {
			ASSERT_EQ(0, i);
			SKIP(return, "this kernel has no userfaultfd");
		}
		EXPECT_TRUE(uses(self->other, (1 + stalls[i % ARRAY_SIZE(stalls)].pages) * PAGE)) {
			TH_LOG("call %u", i);
		}
		use_beside(self->fd, block.handle);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_TRUE(uses(self->other, PAGE));
		race.rounds++;
	}
	EXPECT_RACE_WON();
	EXPECT_OK(free_handle(self->fd, block.handle));
}

/* Resolves the first fault on race.p with a valid request, but frees blocks before. */
static void answer_late(struct runner *self)
{
	struct buddy_pool_alloc *valid = new_page();
	struct uffd_msg msg;
	struct uffdio_copy copy = {
		.dst = (uintptr_t)race.p, .src = (uintptr_t)valid, .len = PAGE,
	};

	*valid = request(PAGE);
	expect(read(race.uffd, &msg, sizeof(msg)) == sizeof(msg), "no fault came");
	expect(!free_handle(race.fd, race.block.handle), "own block not freed");
	expect(!ioctl(race.uffd, UFFDIO_COPY, &copy), "fault not resolved");
}

static void call_early(struct runner *self)
{
	expect(!call(race.fd, BUDDY_POOL_ALLOC, race.p), "ALLOC failed");
	expect(!free_handle(race.fd, ((struct buddy_pool_alloc *)race.p)->handle), "no handle");
	atomic_fetch_add(&race.rounds, 1);
}

TEST_F_TIMEOUT(node, B14_a_late_argument_is_as_good_as_any, FOREVER)
{
	static void (*const runs[])(struct runner *) = { answer_late, call_early };

	prepare_race(self->fd, self->other);
	do {
		race.p = new_page();
		race.uffd = stall_on(race.p, UFFDIO_REGISTER_MODE_MISSING);
		if (race.uffd < 0)
			SKIP(return, "this kernel has no userfaultfd");
		ASSERT_OK(alloc_block(self->fd, PAGE, &race.block));
		run_threads(2, runs, 2);
		close(race.uffd);
		munmap(race.p, PAGE);
	} while (going_on());
	EXPECT_RACE_WON();
	EXPECT_EQ(0, bytes_in_use());
}

/* An argument that another thread changes all the time */
static struct buddy_pool_alloc shared_request;

static void change(struct runner *self)
{
	static const __u32 sizes[] = { sizeof(shared_request), 0, 8192, ~0U, 4 };

	while (going_on()) {
		*(volatile __u32 *)&shared_request.size = sizes[rand_r(&self->seed) % 5];
		*(volatile __u32 *)&shared_request.flags = rand_r(&self->seed) % 8;
		*(volatile __u64 *)&shared_request.length = 1ULL << rand_r(&self->seed) % 40;
		*(volatile __u32 *)&shared_request.handle = rand_r(&self->seed) % 2;
	}
}

static void call_with_changes(struct runner *self)
{
	int err;

	while (going_on()) {
		err = call(race.fd, BUDDY_POOL_ALLOC, &shared_request);
		expect(!err || err == -EINVAL || err == -E2BIG || err == -ENOSPC ||
		       err == -EDQUOT, "an errno that is not in the contract");
		memset(&shared_request, 0, sizeof(shared_request));
		met(err ? REFUSED : TAKEN);
		atomic_fetch_add(&race.rounds, 1);
		if (!err && rand_r(&self->seed) % 8 == 0)
			dup3(race.other, race.fd, O_CLOEXEC);
	}
}

TEST_F_TIMEOUT(node, B05_F02_an_argument_that_changes_meanwhile, FOREVER)
{
	static void (*const runs[])(struct runner *) = { change, call_with_changes };

	prepare_race(open_node(O_RDWR), self->other);
	want(TAKEN);
	want(REFUSED);
	run_threads(2, runs, 2);
	EXPECT_RACE_WON();
	close(race.fd);
}

/*
 * Signals
 */

static void count_signal(int signal)
{
	met(SIGNALLED);
}

static bool done_or_interrupted(int err)
{
	return !err || err == -EINTR;
}

/* One of each, in a row; all that was got is given back. */
static void one_of_each(int fd)
{
	struct buddy_pool_block blocks[8];
	struct buddy_pool_alloc_batch take = {
		.size = sizeof(take), .blocks = (uintptr_t)blocks, .length = 4 * PAGE, .count = 8,
	};
	struct buddy_pool_free_batch give = {
		.size = sizeof(give), .blocks = (uintptr_t)blocks, .count = 8,
	};
	struct buddy_pool_alloc block;
	struct buddy_pool_info info;
	int err;

	expect(done_or_interrupted(get_info(fd, &info)), "INFO");
	expect(get_stats(fd).length, "STATS");
	err = alloc_block(fd, 64 << 10, &block);
	expect(done_or_interrupted(err), "ALLOC");
	if (!err) {
		expect(!free_handle(fd, block.handle), "FREE");
		met(TAKEN);
	}
	err = call(fd, BUDDY_POOL_ALLOC_BATCH, &take);
	expect(done_or_interrupted(err), "ALLOC_BATCH");
	if (!err)
		expect(!call(fd, BUDDY_POOL_FREE_BATCH, &give), "FREE_BATCH");
}

TEST_F_TIMEOUT(node, B46_a_storm_of_signals, FOREVER)
{
	struct sigaction action = { .sa_handler = count_signal };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };

	prepare_race(self->fd, self->other);
	want(SIGNALLED);
	want(TAKEN);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (going_on()) {
		one_of_each(self->fd);
		race.rounds++;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	EXPECT_RACE_WON();
	EXPECT_EQ(0, bytes_in_use());
}

/*
 * Processes that are killed
 */

/* Shared by all of them: those that had a block mapped before they were killed */
static atomic_uint *nr_alive;

static void *live_for_ever(void *arg)
{
	unsigned int seed = *(unsigned int *)arg;
	struct buddy_pool_alloc block;
	int fd = open_node(O_RDWR);
	char *p;

	for (;;) {
		if (alloc_block(fd, 1 << rand_r(&seed) % 19, &block))
			continue;
		p = map_block(fd, &block);
		if (p != MAP_FAILED) {
			*p = 1;
			atomic_fetch_add(nr_alive, 1);
		}
		if (rand_r(&seed) % 4)
			free_handle(fd, block.handle);
		if (rand_r(&seed) % 2)
			munmap(p, block.granted);
		if (rand_r(&seed) % 64 == 0) {
			close(fd);
			fd = open_node(O_RDWR);
		}
	}
	return NULL;
}

/* Every fourth has threads, of which the first ends before the others. */
static void child(unsigned int seed)
{
	pthread_t thread;

	if (seed % 4 == 0) {
		pthread_create(&thread, NULL, live_for_ever, &seed);
		pthread_create(&thread, NULL, live_for_ever, &seed);
		if (seed % 8)
			syscall(SYS_exit, 0);
	}
	live_for_ever(&seed);
}

/*
 * So many microseconds that half of those who are killed within them should have had a
 * block. With all checks on it takes far longer until a process runs than what it does then.
 */
static unsigned int time_to_live(unsigned int seed)
{
	double began = now(), took;
	pid_t pid = fork();

	if (!pid)
		child(seed);
	while (!atomic_load(nr_alive) && now() < began + 0.05)
		usleep(100);
	took = now() - began;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	atomic_store(nr_alive, 0);
	return 5000 + 2 * 1000000 * took;
}

TEST_F_TIMEOUT(node, D16_D17_processes_killed_at_any_moment, FOREVER)
{
	unsigned int seed = the_seed(), kills = from_env("BUDDY_POOL_KILLS", 1000), had = 0, most;
	struct buddy_pool_stats s;
	pid_t pid;

	prepare_race(self->fd, self->other);
	nr_alive = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	most = time_to_live(seed);
	for (unsigned int i = 0; i < kills; i++) {
		pid = fork();
		if (!pid)
			child(seed + i);
		usleep(rand_r(&seed) % most);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		had += !!atomic_exchange(nr_alive, 0);
		s = get_stats(self->fd);
		ASSERT_EQ(0, s.used) {
			TH_LOG("kill %u", i);
		}
		ASSERT_EQ(0, s.held);
		ASSERT_EQ(0, s.nr_blocks);
	}
	EXPECT_LT(kills / 100, had) {
		TH_LOG("only %u of %u had blocks in %u us", had, kills, most);
	}
}

TEST_HARNESS_MAIN

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault sweep: the N-th allocation or user copy of a call fails, N = 1, 2, ... until
 * the call gets through without. For the kernel's fault injection, see
 * Documentation/fault-injection/ there.
 *
 * A thread of its own, the victim, makes the call; only there things fail. The main
 * thread arms it, and looks at the outcome. Two ways to fail: only the N-th, or all
 * from the N-th on. Three kinds of what fails: objects and user copies, pages and user
 * copies, and user copies alone, for which the call must say EFAULT; nor may it say
 * EFAULT more often when allocations fail, too.
 *
 * What the kernel keeps a reserve of is left out, since when it refills that depends on
 * what was before: pages for slabs, nodes for the numbers of sysfs files, and the
 * objects of some caches. Nor can a call fail by them, but for vmap_area: without it a
 * mapping fails as it does without its vm_struct, which is not left out. The rest is
 * the same each time, but for calls that say so, and no N stands for another allocation
 * than it did the time before. (Linux 6.1 can't look at who asks, on x86-64; there the
 * number of pages is chance, and is not printed.)
 *
 * A point is an N at which the call failed. That the kernel lives without some of
 * its own allocations is no point, and changes with what it checks.
 */
#ifndef TESTS_NODE_SWEEP_H
#define TESTS_NODE_SWEEP_H

#include <dirent.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "node.h"

#define FAULTS		"/sys/kernel/debug/"
#define MAX_POINTS	20000
/* After that long, memory is there again for who tries for ever. */
#define PATIENCE_MS	300

struct victim {
	pthread_t thread;
	pid_t tid;
	int (*run)(void *arg);
	void *arg;
	int result;
	atomic_int turn; /* 0: the main thread's, 1: the victim's, 2: it ends; a futex */
};

enum kind { COPIES, OBJECTS, PAGES, NR_KINDS };
static const char *const kind_names[] = { "copies", "objects", "pages" };

enum mode { ONCE, FOR_EVER, NR_MODES };
static const char *const mode_names[] = { "once", "for_ever" };

/*
 * @name: of the call, in the list of points
 * @prepare: brings about what the call needs; NULL if that is nothing
 * @run: the call, in the victim; 0 or -errno
 * @undo: takes back what @prepare did, and the call if it was done
 * @state: text that a failed call must not change
 * @slow_state: more of it, which takes long, and so is compared after all points; or NULL
 * @errors: what it may say, ended by 0; if only user copies fail: EFAULT, if it is one
 * @expected: what it says when nothing fails
 * @can_t_fail: whatever fails inside; then each N is a point
 * @retries: does not fail, but tries until there is memory; so is it then
 * @only_once: not all may fail from some point on
 * @uncounted: mostly the kernel's own affair, in which what it takes is chance
 * @ours: only what a function of a module asks for, itself or through others, fails, and
 *	no user copies alone; pages are then those of page tables, which the kernel keeps,
 *	and not counted
 */
struct sweep {
	const char *name;
	void (*prepare)(void *arg);
	int (*run)(void *arg);
	void (*undo)(void *arg);
	void (*state)(void *arg, FILE *out);
	void (*slow_state)(void *arg, FILE *out);
	void *arg;
	int errors[4];
	int expected;
	bool can_t_fail;
	bool retries;
	bool only_once;
	bool uncounted;
	bool ours;
};

static inline bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == strlen(text);

	close(fd);
	return ok;
}

__attribute__((format(printf, 2, 3)))
static inline bool set_fault(const char *value, const char *format, ...)
{
	char path[128];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	return write_text(path, value);
}

/* Where a function of the kernel begins and ends; they are listed in that order. */
static inline bool find_function(const char *name, unsigned long long *start,
				 unsigned long long *end)
{
	FILE *symbols = fopen("/proc/kallsyms", "re");
	unsigned long long address;
	char line[512], symbol[256];

	*start = 0;
	*end = 0;
	while (symbols && *end <= *start && fgets(line, sizeof(line), symbols)) {
		if (sscanf(line, "%llx %*c %255s", &address, symbol) != 2)
			continue;
		if (!strcmp(symbol, name))
			*start = address;
		if (*start)
			*end = address;
	}
	if (symbols)
		fclose(symbols);
	return *end > *start;
}

static const char *const fault_names[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

/* The kernel can tell who asks. */
static inline bool knows_callers(void)
{
	return !access(FAULTS "failslab/reject-start", W_OK);
}

static inline bool set_address(unsigned long long value, const char *fault, const char *file)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", value);
	return set_fault(text, FAULTS "%s/%s", fault, file);
}

static inline bool is_set_at(const char *path)
{
	long long value = 0;
	FILE *in = fopen(path, "re");

	if (!in)
		return false;
	if (fscanf(in, "%lli", &value) != 1)
		value = 0;
	fclose(in);
	return value;
}

static inline bool is_set(const char *fault, const char *file)
{
	char path[128];

	snprintf(path, sizeof(path), FAULTS "%s/%s", fault, file);
	return is_set_at(path);
}

/* The functions from @first to @last do not fail. Finding them takes long; what was set stays. */
static inline bool leave_out(const char *fault, const char *first, const char *last)
{
	unsigned long long start, end, unused;

	if (!knows_callers() || is_set(fault, "reject-start"))
		return true;
	if (!find_function(first, &start, &unused) || !find_function(last, &unused, &end) ||
	    start >= end) {
		printf("# the kernel has no functions %s() to %s()\n", first, last);
		return false;
	}
	return set_address(start, fault, "reject-start") && set_address(end, fault, "reject-end");
}

static inline bool leave_out_reserves(void)
{
	return leave_out("fail_page_alloc", "allocate_slab", "allocate_slab") &&
	       leave_out("failslab", "radix_tree_node_rcu_free", "__radix_tree_preload");
}

/* Those of slub_debug= in scripts/vm, for Linux 6.1, are the same. */
static inline bool has_reserve(const char *cache)
{
	static const char *const caches[] = {
		"debug_objects_cache",
		"kmemleak_object",
		"kmemleak_scan_area",
		"vmap_area",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(caches); i++)
		if (!strcmp(cache, caches[i]))
			return true;
	return false;
}

/* Which caches of the slab allocator can fail: all that have no reserve, or none. */
static inline bool choose_caches(bool all)
{
	DIR *dir = opendir("/sys/kernel/slab");
	unsigned int chosen = 0;
	struct dirent *entry;
	char path[512];

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/failslab", entry->d_name);
		if (entry->d_name[0] != '.')
			chosen += write_text(path, all && !has_reserve(entry->d_name) ? "1" : "0");
	}
	if (dir)
		closedir(dir);
	return chosen;
}

/* Modules lie behind all functions of the kernel itself. */
static inline bool choose_callers(bool ours)
{
	unsigned long long start = 0, end;
	bool ok = true;

	if (!knows_callers())
		return !ours;
	if (ours && !find_function("_etext", &start, &end)) {
		printf("# the kernel has no symbol _etext, behind which modules are\n");
		return false;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(fault_names); i++)
		ok &= set_address(start, fault_names[i], "require-start");
	return ok;
}

/* Everything fails, but only in a task that says so, and without a word */
static inline bool set_up_faults(bool ours)
{
	bool ok = leave_out_reserves() && choose_callers(ours);

	for (unsigned int i = 0; i < ARRAY_SIZE(fault_names); i++) {
		ok &= set_fault("Y", FAULTS "%s/task-filter", fault_names[i]);
		ok &= set_fault("0", FAULTS "%s/verbose", fault_names[i]);
		ok &= set_fault("1", FAULTS "%s/interval", fault_names[i]);
		ok &= set_fault("0", FAULTS "%s/space", fault_names[i]);
		ok &= set_fault("-1", FAULTS "%s/times", fault_names[i]);
		ok &= set_fault("100", FAULTS "%s/probability", fault_names[i]);
	}
	ok &= set_fault("N", FAULTS "failslab/ignore-gfp-wait");
	ok &= set_fault("N", FAULTS "fail_page_alloc/ignore-gfp-wait");
	ok &= set_fault("N", FAULTS "fail_page_alloc/ignore-gfp-highmem");
	return ok;
}

/*
 * Which caches can fail is said at boot on Linux 6.1 (scripts/vm does); there none does for
 * who may sleep, as our calls may, unless @all.
 */
static inline bool choose_objects(bool all)
{
	if (choose_caches(all))
		return true;
	return is_set_at("/sys/kernel/slab/kmalloc-64/failslab") &&
	       set_fault(all ? "N" : "Y", FAULTS "failslab/ignore-gfp-wait");
}

/* No page is as large as that. */
static inline bool choose_kind(enum kind kind)
{
	return choose_objects(kind == OBJECTS) && set_fault("Y", FAULTS "failslab/cache-filter") &&
	       set_fault(kind == PAGES ? "0" : "20", FAULTS "fail_page_alloc/min-order");
}

/*
 * The victim
 */

/* Sleeps while it is that one's turn, or a while; nobody takes a CPU that another needs. */
static inline void wait_turn(struct victim *victim, int turn, const struct timespec *time)
{
	syscall(SYS_futex, &victim->turn, FUTEX_WAIT_PRIVATE, turn, time, NULL, 0);
}

static inline void give_turn(struct victim *victim, int turn)
{
	atomic_store(&victim->turn, turn);
	syscall(SYS_futex, &victim->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static inline void *run_victim(void *arg)
{
	struct victim *victim = arg;
	int turn;

	victim->tid = syscall(SYS_gettid);
	give_turn(victim, 0);
	for (;;) {
		while (!(turn = atomic_load(&victim->turn)))
			wait_turn(victim, 0, NULL);
		if (turn == 2)
			return NULL;
		victim->result = victim->run(victim->arg);
		give_turn(victim, 0);
	}
}

static inline bool start_victim(struct victim *victim)
{
	atomic_store(&victim->turn, 1);
	if (pthread_create(&victim->thread, NULL, run_victim, victim))
		return false;
	while (atomic_load(&victim->turn))
		wait_turn(victim, 1, NULL);
	/* Nothing may be missing that it would need memory for. */
	return !mlockall(MCL_CURRENT);
}

static inline void end_victim(struct victim *victim)
{
	give_turn(victim, 2);
	pthread_join(victim->thread, NULL);
}

static inline bool arm(const struct victim *victim, unsigned int nth, enum mode mode)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nth);
	return set_fault(text, "/proc/self/task/%d/fail-nth", victim->tid) &&
	       set_fault(mode == FOR_EVER ? "1" : "0", "/proc/self/task/%d/make-it-fail",
			 victim->tid);
}

/* Returns what is left of N, and makes it 0 if asked to. */
static inline unsigned int left_of_n(const struct victim *victim, bool clear)
{
	char path[64], text[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", victim->tid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (read(fd, text, sizeof(text) - 1) <= 0 || (clear && write(fd, "0", 1) != 1))
		abort();
	close(fd);
	return strtoul(text, NULL, 10);
}

static inline unsigned int disarm(const struct victim *victim)
{
	set_fault("0", "/proc/self/task/%d/make-it-fail", victim->tid);
	return left_of_n(victim, true);
}

/* Returns whether the N-th was reached. */
static inline bool run_armed(struct victim *victim, const struct sweep *sweep, unsigned int nth,
			     enum mode mode)
{
	const struct timespec patience = { .tv_nsec = PATIENCE_MS * 1000000L };
	bool for_ever = sweep->retries && mode == FOR_EVER;
	bool reached = false;

	victim->run = sweep->run;
	victim->arg = sweep->arg;
	if (!arm(victim, nth, mode))
		abort();
	give_turn(victim, 1);
	while (atomic_load(&victim->turn)) {
		wait_turn(victim, 1, for_ever && !reached ? &patience : NULL);
		if (for_ever && !reached && atomic_load(&victim->turn) &&
		    !left_of_n(victim, false)) {
			reached = true;
			disarm(victim);
		}
	}
	return !disarm(victim) || reached;
}

/*
 * The sweep
 */

static inline char *take_state(const struct sweep *sweep, void (*state)(void *arg, FILE *out))
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (state)
		state(sweep->arg, out);
	fclose(out);
	return text;
}

/* Says which line is different. */
static inline bool same_state(const char *before, char *after)
{
	const char *b = before;
	char *a = after;

	if (!strcmp(before, after))
		return true;
	while (*a && strcspn(a, "\n") == strcspn(b, "\n") && !strncmp(a, b, strcspn(a, "\n"))) {
		a += strcspn(a, "\n") + !!a[strcspn(a, "\n")];
		b += strcspn(b, "\n") + !!b[strcspn(b, "\n")];
	}
	printf("# before: %.*s\n# after:  %.*s\n", (int)strcspn(b, "\n"), b,
	       (int)strcspn(a, "\n"), a);
	return false;
}

static inline bool is_allowed(const struct sweep *sweep, enum kind kind, int err)
{
	if (kind == COPIES && err != -EFAULT)
		return false;
	for (unsigned int i = 0; i < ARRAY_SIZE(sweep->errors) && sweep->errors[i]; i++)
		if (sweep->errors[i] == -err)
			return true;
	return false;
}

/* What was wrong with the outcome, or NULL */
static inline const char *judge(const struct sweep *sweep, enum kind kind, int result, bool reached,
				const char *before)
{
	const char *fault = NULL;
	char *after;

	if (!reached && result != sweep->expected)
		return "failed though nothing was made to fail";
	if (result == sweep->expected && !result)
		return NULL;
	if (result != sweep->expected && !is_allowed(sweep, kind, result))
		return "the wrong error";
	after = take_state(sweep, sweep->state);
	if (!same_state(before, after))
		fault = "it changed something";
	free(after);
	return fault;
}

/* As it is when nobody does anything */
struct rest {
	char *state;
	char *slow_state;
};

/*
 * The N-th fails; what was wrong, or NULL. If there is nothing to prepare, then a call
 * that failed has left the state of @rest.
 */
static inline const char *try_point(struct victim *victim, const struct sweep *sweep,
				    enum kind kind, unsigned int n, enum mode mode,
				    const struct rest *rest, bool *reached)
{
	const char *fault;
	char *before = NULL, *after;

	if (sweep->prepare) {
		sweep->prepare(sweep->arg);
		before = take_state(sweep, sweep->state);
	}
	*reached = run_armed(victim, sweep, n, mode);
	fault = judge(sweep, kind, victim->result, *reached, before ?: rest->state);
	free(before);
	if (!fault && !sweep->prepare && victim->result)
		return NULL;
	sweep->undo(sweep->arg);
	after = take_state(sweep, sweep->state);
	if (!fault && !same_state(rest->state, after))
		fault = "something is left behind";
	free(after);
	return fault;
}

/* How often a call failed, and how often of these with EFAULT */
struct points {
	int all;
	int copies;
};

static inline bool sweep_one_way(struct victim *victim, const struct sweep *sweep, enum kind kind,
				 enum mode mode, const struct rest *rest, struct points *points)
{
	const char *fault = NULL;
	unsigned int n = 0;
	bool reached = true;
	char *after;

	while (reached && !fault && ++n < MAX_POINTS) {
		fault = try_point(victim, sweep, kind, n, mode, rest, &reached);
		points->all += reached && (sweep->can_t_fail || sweep->retries ||
					   victim->result != sweep->expected);
		points->copies += reached && victim->result == -EFAULT;
	}
	after = take_state(sweep, sweep->slow_state);
	if (!fault && !same_state(rest->slow_state, after))
		fault = "something is left behind since 1";
	free(after);
	if (fault)
		printf("# %s, %s %s: %s at %u: %s\n", sweep->name, kind_names[kind],
		       mode_names[mode], fault, n, strerror(-victim->result));
	return !fault && !reached;
}

/*
 * No call says EFAULT for want of memory: it does so as often as user copies alone fail.
 * But if all fails from then on, so does the copy of the answer that says why; and where
 * pages are chance, the same copy can be the N-th more than once.
 */
static inline bool same_copies(const struct sweep *sweep, enum kind kind, enum mode mode,
			       int copies, int expected)
{
	if (copies == expected || mode == FOR_EVER || (kind == PAGES && !knows_callers()))
		return true;
	printf("# %s, %s: EFAULT %d times, for %d user copies\n", sweep->name, kind_names[kind],
	       copies, expected);
	return false;
}

/*
 * Both ways of one kind; prints the numbers. @copies: how many user copies failed when
 * nothing else did, which that kind sets.
 */
static inline bool sweep_kind(struct victim *victim, const struct sweep *sweep, enum kind kind,
			      int *copies)
{
	struct rest rest = {
		.state = take_state(sweep, sweep->state),
		.slow_state = take_state(sweep, sweep->slow_state),
	};
	bool ok = choose_kind(kind);

	for (enum mode mode = 0; ok && mode < NR_MODES - sweep->only_once; mode++) {
		struct points points = {};

		ok = sweep_one_way(victim, sweep, kind, mode, &rest, &points);
		if (kind == COPIES)
			*copies = points.copies;
		ok = ok && same_copies(sweep, kind, mode, points.copies, *copies);
		if (ok && !sweep->uncounted && (kind != PAGES || (knows_callers() && !sweep->ours)))
			printf("# points: %s %s %s %d\n", sweep->name, kind_names[kind],
			       mode_names[mode], points.all);
	}
	free(rest.state);
	free(rest.slow_state);
	return ok;
}

/* All kinds */
static inline bool sweep_call(const struct sweep *sweep)
{
	int copies = 0;
	struct victim victim = { };
	bool ok;

	if (!set_up_faults(sweep->ours) || !start_victim(&victim))
		return false;
	/* Once without, so that what the kernel keeps from a first time is there */
	if (sweep->prepare)
		sweep->prepare(sweep->arg);
	ok = sweep->run(sweep->arg) == sweep->expected;
	sweep->undo(sweep->arg);
	/* Nothing is copied from a user by what only we ask for. */
	for (enum kind kind = sweep->ours ? OBJECTS : COPIES; ok && kind < NR_KINDS; kind++)
		ok = sweep_kind(&victim, sweep, kind, &copies);
	end_victim(&victim);
	return ok;
}

#endif

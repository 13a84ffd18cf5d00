/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault sweep: the N-th allocation or user copy of a call fails, N = 1, 2, ... until
 * the call gets through without. For the kernel's fault injection, see
 * Documentation/fault-injection/ there.
 *
 * A thread of its own, the victim, makes the call; only there things fail. The main
 * thread arms it, and looks at the outcome. Two ways to fail: only the N-th, or all
 * from the N-th on. Two kinds of what fails: objects and user copies, and pages and
 * user copies. Where the slab allocator takes a new page for its objects depends on
 * what was allocated before, so those pages are left out: the kernel does so by looking
 * at who calls the page allocator. What is left is the same each time, but for calls
 * that say so. (Linux 6.1 can't look on x86-64; there the number of pages is chance, and
 * is not printed.)
 *
 * A point is an N at which the call failed. That the kernel lives without some of
 * its own allocations is no point, and changes with what it checks.
 */
#ifndef TESTS_NODE_SWEEP_H
#define TESTS_NODE_SWEEP_H

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "node.h"

#define FAULTS		"/sys/kernel/debug/"
#define MAX_POINTS	20000
/* After that long, memory is there again: a page fault tries for ever. */
#define PATIENCE_MS	300

struct victim {
	pthread_t thread;
	pid_t tid;
	int (*run)(void *arg);
	void *arg;
	int result;
	atomic_int turn;	/* 0: the main thread's, 1: the victim's, 2: it ends */
};

enum kind { OBJECTS, PAGES, NR_KINDS };
static const char *const kind_names[] = { "objects", "pages" };

enum mode { ONCE, FOR_EVER, NR_MODES };
static const char *const mode_names[] = { "once", "for_ever" };

/*
 * @name: of the call, in the list of points
 * @prepare: brings about what the call needs
 * @run: the call, in the victim; 0 or -errno
 * @early: the same as far as it is the kernel's own affair, which is left out; or NULL
 * @undo: takes back what @prepare did, and the call if it was done
 * @state: text that a failed call must not change
 * @errors: what it may say, ended by 0
 * @expected: what it says when nothing fails
 * @retries: does not fail, but tries until there is memory; then each N is a point
 * @only_once: not all may fail from some point on
 * @uncounted: mostly the kernel's own affair, in which what it takes is chance
 */
struct sweep {
	const char *name;
	void (*prepare)(void *arg);
	int (*run)(void *arg);
	int (*early)(void *arg);
	void (*undo)(void *arg);
	void (*state)(void *arg, FILE *out);
	void *arg;
	int errors[4];
	int expected;
	bool retries;
	bool only_once;
	bool uncounted;
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

#define PAGE_FILTER	FAULTS "fail_page_alloc/reject-start"

/* The number of pages is no chance: the kernel can leave out those of slabs. */
static inline bool counts_pages(void)
{
	return !access(PAGE_FILTER, W_OK);
}

static inline bool leave_out_slabs(void)
{
	unsigned long long start, end;
	char from[32], to[32];

	if (!counts_pages())
		return true;
	if (!find_function("allocate_slab", &start, &end)) {
		printf("# the kernel has no function allocate_slab(), whose pages to leave out\n");
		return false;
	}
	snprintf(from, sizeof(from), "%llu", start);
	snprintf(to, sizeof(to), "%llu", end);
	return set_fault(from, PAGE_FILTER) &&
	       set_fault(to, FAULTS "fail_page_alloc/reject-end");
}

/* Everything fails, but only in a task that says so, and without a word */
static inline bool set_up_faults(void)
{
	static const char *const what[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	bool ok = leave_out_slabs();

	for (unsigned int i = 0; i < ARRAY_SIZE(what); i++) {
		ok &= set_fault("Y", FAULTS "%s/task-filter", what[i]);
		ok &= set_fault("0", FAULTS "%s/verbose", what[i]);
		ok &= set_fault("1", FAULTS "%s/interval", what[i]);
		ok &= set_fault("0", FAULTS "%s/space", what[i]);
		ok &= set_fault("-1", FAULTS "%s/times", what[i]);
		ok &= set_fault("100", FAULTS "%s/probability", what[i]);
	}
	ok &= set_fault("N", FAULTS "failslab/ignore-gfp-wait");
	ok &= set_fault("N", FAULTS "fail_page_alloc/ignore-gfp-wait");
	ok &= set_fault("N", FAULTS "fail_page_alloc/ignore-gfp-highmem");
	return ok;
}

/* No cache of the slab allocator is marked for its filter, and no page is as large. */
static inline bool choose_kind(enum kind kind)
{
	return set_fault(kind == OBJECTS ? "N" : "Y", FAULTS "failslab/cache-filter") &&
	       set_fault(kind == PAGES ? "0" : "20", FAULTS "fail_page_alloc/min-order");
}

/*
 * The victim
 */

static inline void *run_victim(void *arg)
{
	struct victim *victim = arg;
	int turn;

	victim->tid = syscall(SYS_gettid);
	atomic_store(&victim->turn, 0);
	for (;;) {
		while (!(turn = atomic_load(&victim->turn)))
			sched_yield();
		if (turn == 2)
			return NULL;
		victim->result = victim->run(victim->arg);
		atomic_store(&victim->turn, 0);
	}
}

static inline bool start_victim(struct victim *victim)
{
	atomic_store(&victim->turn, 1);
	if (pthread_create(&victim->thread, NULL, run_victim, victim))
		return false;
	while (atomic_load(&victim->turn))
		sched_yield();
	/* Nothing may be missing that it would need memory for. */
	return !mlockall(MCL_CURRENT);
}

static inline void end_victim(struct victim *victim)
{
	atomic_store(&victim->turn, 2);
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

/* Returns what is left of N. */
static inline unsigned int disarm(const struct victim *victim)
{
	char path[64], text[16] = "";
	int fd;

	set_fault("0", "/proc/self/task/%d/make-it-fail", victim->tid);
	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", victim->tid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (read(fd, text, sizeof(text) - 1) <= 0 || write(fd, "0", 1) != 1)
		abort();
	close(fd);
	return strtoul(text, NULL, 10);
}

/* Returns what is left of N, so 0 if it was reached. */
static inline unsigned int run_armed(struct victim *victim, int (*run)(void *arg), void *arg,
				     unsigned int nth, enum mode mode)
{
	bool reached = false;
	unsigned int left;

	victim->run = run;
	victim->arg = arg;
	if (!arm(victim, nth, mode))
		abort();
	atomic_store(&victim->turn, 1);
	for (unsigned int ms = 0; atomic_load(&victim->turn); ms++) {
		if (ms == PATIENCE_MS && mode == FOR_EVER)
			reached = !disarm(victim);
		usleep(1000);
	}
	left = disarm(victim);
	return reached ? 0 : left;
}

/*
 * The sweep
 */

static inline char *take_state(const struct sweep *sweep)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	sweep->state(sweep->arg, out);
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

static inline bool is_allowed(const struct sweep *sweep, int err)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(sweep->errors) && sweep->errors[i]; i++)
		if (sweep->errors[i] == -err)
			return true;
	return false;
}

/* What was wrong with the outcome, or NULL */
static inline const char *judge(const struct sweep *sweep, int result, const char *before)
{
	const char *fault = NULL;
	char *after;

	if (result == sweep->expected && !result)
		return NULL;
	if (result != sweep->expected && !is_allowed(sweep, result))
		return "the wrong error";
	after = take_state(sweep);
	if (!same_state(before, after))
		fault = "it changed something";
	free(after);
	return fault;
}

/* Where to begin; a little before, since some of what is left out is not always there */
static inline unsigned int first_point(struct victim *victim, const struct sweep *sweep)
{
	unsigned int n = 0;

	if (sweep->early)
		n = MAX_POINTS - run_armed(victim, sweep->early, sweep->arg, MAX_POINTS, ONCE);
	return n > 10 ? n - 10 : 1;
}

/* Returns the number of points, or -1. */
static inline int sweep_one_way(struct victim *victim, const struct sweep *sweep, enum mode mode)
{
	char *rest = take_state(sweep), *before, *after;
	const char *fault = NULL;
	int points = 0;
	unsigned int n = first_point(victim, sweep);
	bool reached = true;

	for (; reached && !fault && n < MAX_POINTS; n++) {
		sweep->prepare(sweep->arg);
		before = take_state(sweep);
		reached = !run_armed(victim, sweep->run, sweep->arg, n, mode);
		points += reached && (sweep->retries || victim->result != sweep->expected);
		fault = judge(sweep, victim->result, before);
		if (!reached && victim->result != sweep->expected)
			fault = "failed though nothing was made to fail";
		sweep->undo(sweep->arg);
		after = take_state(sweep);
		if (!fault && !same_state(rest, after))
			fault = "something is left behind";
		free(before);
		free(after);
	}
	free(rest);
	if (fault)
		printf("# %s, %s: %s at %u: %s\n", sweep->name, mode_names[mode], fault, n - 1,
		       strerror(-victim->result));
	return fault || n == MAX_POINTS ? -1 : points;
}

/* Both ways, and both kinds; prints the numbers. */
static inline bool sweep_call(const struct sweep *sweep)
{
	struct victim victim = { };
	bool ok = set_up_faults() && start_victim(&victim);

	/* Once without, so that what the kernel keeps from a first time is there */
	if (ok) {
		sweep->prepare(sweep->arg);
		ok = sweep->run(sweep->arg) == sweep->expected;
		sweep->undo(sweep->arg);
	}
	for (enum kind kind = 0; ok && kind < NR_KINDS; kind++) {
		ok = choose_kind(kind);
		for (enum mode mode = 0; ok && mode < NR_MODES - sweep->only_once; mode++) {
			int points = sweep_one_way(&victim, sweep, mode);

			ok = points >= 0;
			if (ok && !sweep->uncounted && (kind == OBJECTS || counts_pages()))
				printf("# points: %s %s %s %d\n", sweep->name, kind_names[kind],
				       mode_names[mode], points);
		}
	}
	end_victim(&victim);
	return ok;
}

#endif

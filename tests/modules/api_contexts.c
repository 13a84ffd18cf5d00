// SPDX-License-Identifier: GPL-2.0
/*
 * Contexts: the functions that work on blocks, in each context that they promise
 * to work in; how long they hold interrupts off; and all contexts at once.
 */
#include <linux/bottom_half.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "api_test.h"

enum where { IN_TASK, IN_SOFTIRQ, IN_HARDIRQ };

static enum where where(void)
{
	if (in_hardirq())
		return IN_HARDIRQ;
	return in_serving_softirq() ? IN_SOFTIRQ : IN_TASK;
}

static struct buddy_pool *pool;

static struct {
	struct completion done;
	enum where where;
	bool irqs_disabled;
	int line;
} job;

/* Not a result, since those are for process context: the line of the first fault */
static void require_at(bool condition, int line)
{
	if (!condition && !job.line)
		job.line = line;
}

#define require(condition) require_at(condition, __LINE__)

/* What is done everywhere. Whatever the context before allocated is freed in this one. */
static u64 left_over = U64_MAX;

static void exercise(void)
{
	struct buddy_pool_request request = { .size = SZ_8K };
	/* Too large for the stack; only one context exercises at a time. */
	static struct buddy_pool_usage usage;
	struct buddy_pool_walk walk = { };
	struct buddy_pool_result block = { }, odd = { }, none;
	enum buddy_pool_reason reason;
	u64 start, size;

	require(!buddy_pool_alloc(pool, &request, &block));
	request.size = 5 * SZ_4K;
	request.align = SZ_4K;
	request.flags = BUDDY_POOL_WANT_LARGEST | BUDDY_POOL_ALLOC_TOP_DOWN;
	require(!buddy_pool_alloc(pool, &request, &odd));
	request.size = SZ_1M;
	require(buddy_pool_alloc(pool, &request, &none) == -ENOSPC);
	require(none.largest);
	require(buddy_pool_query(pool, block.address + 1, &start, &size) ==
		BUDDY_POOL_STATE_USED);
	require(start == block.address && size == SZ_8K);
	buddy_pool_usage(pool, &usage);
	require(usage.used >= SZ_8K + 5 * SZ_4K && usage.free + usage.used == usage.size);
	size = 0;
	while (buddy_pool_next(pool, &walk))
		size += walk.size;
	require(size == SZ_1M);
	require(!buddy_pool_free(pool, block.address, NULL));
	require(buddy_pool_free(pool, block.address, &reason) == -ENOENT);
	require(reason == BUDDY_POOL_REASON_NOT_ALLOCATED);
	if (left_over != U64_MAX)
		require(!buddy_pool_free(pool, left_over, NULL));
	left_over = odd.address;
}

/*
 * How to get there
 */

static void do_job(void)
{
	job.where = where();
	job.irqs_disabled = irqs_disabled();
	job.line = 0;
	exercise();
	/* No function lets interrupts in that were off. */
	require(job.irqs_disabled == irqs_disabled());
	complete(&job.done);
}

static void in_process(void)
{
	do_job();
}

static void in_spinlock(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	do_job();
	spin_unlock(&lock);
}

static void with_irqs_off(void)
{
	unsigned long flags;

	local_irq_save(flags);
	do_job();
	local_irq_restore(flags);
}

static void with_bh_off(void)
{
	local_bh_disable();
	do_job();
	local_bh_enable();
}

static void with_preemption_off(void)
{
	preempt_disable();
	do_job();
	preempt_enable();
}

static void in_rcu_reader(void)
{
	rcu_read_lock();
	do_job();
	rcu_read_unlock();
}

static void do_work(struct work_struct *unused)
{
	do_job();
}

static void in_worker(void)
{
	static DECLARE_WORK(work, do_work);

	schedule_work(&work);
	wait_for_completion(&job.done);
	flush_work(&work);
}

static void on_timer(struct timer_list *unused)
{
	do_job();
}

static void in_timer(void)
{
	static DEFINE_TIMER(timer, on_timer);

	mod_timer(&timer, jiffies + 1);
	wait_for_completion(&job.done);
	timer_delete_sync(&timer);
}

static void on_tasklet(struct tasklet_struct *unused)
{
	do_job();
}

static void in_tasklet(void)
{
	static DECLARE_TASKLET(tasklet, on_tasklet);

	tasklet_schedule(&tasklet);
	wait_for_completion(&job.done);
	tasklet_kill(&tasklet);
}

static void on_irq_work(struct irq_work *unused)
{
	do_job();
}

static void in_irq_work(void)
{
	static struct irq_work work = IRQ_WORK_INIT_HARD(on_irq_work);

	irq_work_queue(&work);
	wait_for_completion(&job.done);
	irq_work_sync(&work);
}

/* A CPU that is about to be idle is not interrupted: it calls this by itself. */
static void on_ipi(void *arg)
{
	bool *interrupted = arg;

	*interrupted = in_hardirq();
	if (*interrupted)
		do_job();
}

static void in_ipi(void)
{
	bool interrupted = false;
	int tries;

	job.where = IN_TASK;
	for (tries = 0; tries < 1000 && !interrupted; tries++) {
		int cpu = get_cpu();

		smp_call_function_single(cpumask_any_but(cpu_online_mask, cpu), on_ipi,
					 &interrupted, true);
		put_cpu();
		if (!interrupted)
			usleep_range(100, 1000);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
	enum where where;
} contexts[] = {
	{ "in process context", in_process, IN_TASK },
	{ "with a spinlock held", in_spinlock, IN_TASK },
	{ "with interrupts off", with_irqs_off, IN_TASK },
	{ "with bottom halves off", with_bh_off, IN_TASK },
	{ "with preemption off", with_preemption_off, IN_TASK },
	{ "in an RCU reader", in_rcu_reader, IN_TASK },
	{ "in a worker", in_worker, IN_TASK },
	{ "in a timer", in_timer, IN_SOFTIRQ },
	{ "in a tasklet", in_tasklet, IN_SOFTIRQ },
	{ "in irq_work", in_irq_work, IN_HARDIRQ },
	{ "in an interrupt from another CPU", in_ipi, IN_HARDIRQ },
};

/*
 * Twice each, so that each frees what each other kind has allocated before. No memory is
 * asked of the kernel in a way that may sleep: DEBUG_ATOMIC_SLEEP would say so (row G12).
 */
void api_contexts(void)
{
	struct buddy_pool_usage *usage;
	unsigned int i, nr = 0;

	pool = api_create("api", SZ_1M);
	usage = kzalloc(sizeof(*usage), GFP_KERNEL);
	if (!pool || !usage)
		goto out;
	for (i = 0; i < 2 * ARRAY_SIZE(contexts); i++) {
		const char *name = contexts[i % ARRAY_SIZE(contexts)].name;

		if (contexts[i % ARRAY_SIZE(contexts)].run == in_ipi && num_online_cpus() == 1)
			continue;
		nr++;
		init_completion(&job.done);
		contexts[i % ARRAY_SIZE(contexts)].run();
		check(!job.line, "M11 all calls work %s (M12) (line %d)", name, job.line);
		check(job.where == contexts[i % ARRAY_SIZE(contexts)].where,
		      "and that was %s", name);
	}
	check(!buddy_pool_free(pool, left_over, NULL), "the last block can be freed");
	buddy_pool_usage(pool, usage);
	check(usage->free == SZ_1M && !usage->nr_blocks, "nothing is left");
	check(usage->bad_frees == nr, "each double free was counted");
out:
	kfree(usage);
	buddy_pool_put(pool);
}

/*
 * How long
 */

#define HOLD_SIZE	((u64)SZ_64K * SZ_1M)	/* 2^24 blocks */
#define HOLD_RUNS	200
#define HOLD_LIMIT_NS	200000		/* of an emulated CPU; a real one takes 100 */

/* The shortest of many times, since the host may stop a guest at any point */
static u64 measure_pair(const struct buddy_pool_request *request, u64 *alloc_ns, u64 *free_ns)
{
	struct buddy_pool_result block;
	unsigned long flags;
	u64 begin, middle, end;
	unsigned int i;

	*alloc_ns = *free_ns = U64_MAX;
	for (i = 0; i < HOLD_RUNS; i++) {
		local_irq_save(flags);
		begin = ktime_get_ns();
		if (buddy_pool_alloc(pool, request, &block)) {
			local_irq_restore(flags);
			return U64_MAX;
		}
		middle = ktime_get_ns();
		buddy_pool_free(pool, block.address, NULL);
		end = ktime_get_ns();
		local_irq_restore(flags);
		*alloc_ns = min(*alloc_ns, middle - begin);
		*free_ns = min(*free_ns, end - middle);
	}
	return max(*alloc_ns, *free_ns);
}

/*
 * The longest split there is, from the whole pool to one block, and the longest
 * merge. A request by address is never parked, so that nothing shortens them.
 */
void api_hold(void)
{
	struct buddy_pool_request request = { .size = 1, .start = SZ_4K,
					      .flags = BUDDY_POOL_ALLOC_FIXED };
	u64 alloc_ns, free_ns, worst;

	pool = api_create("api", HOLD_SIZE);
	if (!pool)
		return;
	worst = measure_pair(&request, &alloc_ns, &free_ns);
	check(worst < HOLD_LIMIT_NS, "M28 all splits in %llu ns, all merges in %llu ns",
	      alloc_ns, free_ns);
	request = (struct buddy_pool_request){ .size = 3 * SZ_4K, .align = SZ_4K,
					       .start = 7 * SZ_4K };
	worst = measure_pair(&request, &alloc_ns, &free_ns);
	check(worst < HOLD_LIMIT_NS, "M28 the same through a window: %llu ns, %llu ns",
	      alloc_ns, free_ns);
	buddy_pool_put(pool);
}

/*
 * All at once: on one CPU a task, timers, and interrupts from the other CPU
 * allocate and free. If any took a lock that another could be interrupted in,
 * this would stop here (row F20).
 */

static bool storming;
static atomic_t nr_rounds[IN_HARDIRQ + 1];
static atomic_t nr_faults;

/* One block that is surely nobody else's, whoever is interrupted by whom */
static void storm_once(void)
{
	struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result block;
	u64 start, size;

	if (buddy_pool_alloc(pool, &request, &block)) {
		atomic_inc(&nr_faults);
		return;
	}
	if (buddy_pool_query(pool, block.address, &start, &size) != BUDDY_POOL_STATE_USED ||
	    start != block.address || size != SZ_4K)
		atomic_inc(&nr_faults);
	if (buddy_pool_free(pool, block.address, NULL))
		atomic_inc(&nr_faults);
	atomic_inc(&nr_rounds[where()]);
}

static void storm_timer(struct timer_list *timer)
{
	int i;

	for (i = 0; i < 20; i++)
		storm_once();
	if (READ_ONCE(storming))
		mod_timer(timer, jiffies + 1);
}

static void storm_ipi(void *unused)
{
	storm_once();
}

static int storm_interrupter(void *unused)
{
	while (!kthread_should_stop()) {
		smp_call_function_single(0, storm_ipi, NULL, true);
		cond_resched();
	}
	return 0;
}

static int storm_task(void *unused)
{
	while (!kthread_should_stop()) {
		storm_once();
		cond_resched();
	}
	return 0;
}

static bool all_levels_met(void)
{
	int i;

	for (i = IN_TASK; i <= IN_HARDIRQ; i++)
		if (atomic_read(&nr_rounds[i]) <= 10)
			return false;
	return true;
}

static void storm(struct task_struct *task, struct task_struct *interrupter)
{
	static DEFINE_TIMER(timer, storm_timer);

	WRITE_ONCE(storming, true);
	kthread_bind(task, 0);
	kthread_bind(interrupter, 1);
	wake_up_process(task);
	wake_up_process(interrupter);
	timer.expires = jiffies + 1;
	add_timer_on(&timer, 0);
	api_race(all_levels_met);
	WRITE_ONCE(storming, false);
	timer_delete_sync(&timer);
}

void api_storm(void)
{
	struct task_struct *task, *interrupter;
	struct buddy_pool_usage *usage;
	int i;

	if (num_online_cpus() == 1) {
		check(true, "# SKIP it takes two CPUs");
		return;
	}
	pool = api_create("api", SZ_1M);
	usage = kzalloc(sizeof(*usage), GFP_KERNEL);
	task = kthread_create(storm_task, NULL, "storm_task");
	interrupter = kthread_create(storm_interrupter, NULL, "storm_ipi");
	if (!check(pool && usage && !IS_ERR(task) && !IS_ERR(interrupter), "all is ready"))
		return;
	storm(task, interrupter);
	kthread_stop(interrupter);
	kthread_stop(task);
	for (i = IN_TASK; i <= IN_HARDIRQ; i++)
		check(atomic_read(&nr_rounds[i]) > 10, "M12 %d rounds at level %d (M11)",
		      atomic_read(&nr_rounds[i]), i);
	check(!atomic_read(&nr_faults), "no request failed, and no block was another's");
	buddy_pool_usage(pool, usage);
	check(usage->free == SZ_1M && !usage->nr_blocks && !usage->bad_frees,
	      "nothing is left");
	kfree(usage);
	buddy_pool_put(pool);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * One pool, used from two threads at once, from timers, from hard interrupts and
 * with interrupts off. With one CPU they only take turns; two CPUs and lockdep
 * are needed to get all there is from these tests.
 *
 * Each worker notes the pages that it has in a shared map. A page with two owners
 * is found there, whoever got it first.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/timer.h>

#include "buddy_kunit.h"

static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "Seed of the random tests, as they print it; 0 for a new one");

#define NR_PAGES	1024
#define NR_SLOTS	48
#define PAGES(n)	((u64)(n) * SZ_4K)

/**
 * struct shared - what the workers of a pool have in common
 * @pool: the pool
 * @owner: for each page, the id of the worker that has it, or 0
 * @errors: rises with each thing that must not happen
 * @go: the threads may begin
 */
struct shared {
	struct buddy_pool *pool;
	atomic_t owner[NR_PAGES];
	atomic_t errors;
	struct completion go;
};

struct slot {
	u64 address;
	u64 nr;		/* pages; 0 if the slot is empty */
	bool reserved;
};

/**
 * struct worker - one of several workers of a pool
 * @shared: what it shares with the others
 * @id: from 1
 * @may_sleep: runs in process context only
 * @rnd: its own random numbers
 * @slots: the blocks that it has
 * @granted: rises with each request that was granted
 * @run: what its thread does
 * @ready: its thread waits for shared.go
 * @task: its thread
 */
struct worker {
	struct shared *shared;
	int id;
	bool may_sleep;
	struct rnd_state rnd;
	struct slot slots[NR_SLOTS];
	u64 granted;
	void (*run)(struct worker *worker);
	struct completion ready;
	struct task_struct *task;
};

static void expect(struct worker *worker, bool right)
{
	if (!right)
		atomic_inc(&worker->shared->errors);
}

static void change_owner(struct worker *worker, u64 address, u64 nr, int from, int to)
{
	u64 i;

	for (i = address / SZ_4K; i < address / SZ_4K + nr; i++)
		expect(worker, i < NR_PAGES &&
		       atomic_cmpxchg(&worker->shared->owner[i], from, to) == from);
}

static void keep(struct worker *worker, struct slot *slot, u64 address, u64 nr, bool reserved)
{
	slot->address = address;
	slot->nr = nr;
	slot->reserved = reserved;
	worker->granted++;
	change_owner(worker, address, nr, 0, worker->id);
}

static void drop(struct worker *worker, struct slot *slot)
{
	struct buddy_pool *pool = worker->shared->pool;

	change_owner(worker, slot->address, slot->nr, worker->id, 0);
	if (slot->reserved)
		expect(worker, !buddy_pool_unreserve(pool, slot->address, PAGES(slot->nr)));
	else
		expect(worker, !buddy_pool_free(pool, slot->address, NULL));
	slot->nr = 0;
}

static void reserve_some(struct worker *worker, struct slot *slot)
{
	u64 nr = 1 + below(&worker->rnd, 4);
	u64 address = PAGES(below(&worker->rnd, NR_PAGES - nr));
	int err = buddy_pool_reserve(worker->shared->pool, address, PAGES(nr));

	expect(worker, !err || err == -EBUSY);
	if (!err)
		keep(worker, slot, address, nr, true);
}

static struct buddy_pool_request some_request(struct worker *worker)
{
	struct buddy_pool_request request = { .size = PAGES(1 + below(&worker->rnd, 16)) };

	switch (below(&worker->rnd, 8)) {
	case 0:
		request.flags = BUDDY_POOL_ALLOC_TOP_DOWN;
		break;
	case 1:
		request.start = PAGES(below(&worker->rnd, NR_PAGES - 64));
		request.end = request.start + PAGES(64);
		break;
	case 2:
		request.align = SZ_4K;
		request.flags = worker->may_sleep ? BUDDY_POOL_MAY_SLEEP : 0;
		break;
	case 3:
		/* The size that is parked, and so takes other paths */
		request.size = PAGES(1);
		break;
	}
	return request;
}

static void alloc_some(struct worker *worker, struct slot *slot)
{
	struct buddy_pool_request request = some_request(worker);
	struct buddy_pool_result result;
	int err = buddy_pool_alloc(worker->shared->pool, &request, &result);

	expect(worker, !err || err == -ENOSPC);
	if (err)
		return;
	expect(worker, result.size == request.size);
	keep(worker, slot, result.address, result.size / SZ_4K, false);
}

static void churn(struct worker *worker, unsigned int nr)
{
	while (nr--) {
		struct slot *slot = &worker->slots[below(&worker->rnd, NR_SLOTS)];

		if (slot->nr)
			drop(worker, slot);
		else if (worker->may_sleep && below(&worker->rnd, 16) == 0)
			reserve_some(worker, slot);
		else
			alloc_some(worker, slot);
		if (worker->may_sleep && nr % 16 == 0)
			schedule();
	}
}

static void drop_all(struct worker *worker)
{
	unsigned int i;

	for (i = 0; i < NR_SLOTS; i++)
		if (worker->slots[i].nr)
			drop(worker, &worker->slots[i]);
}

/*
 * Set-up
 */

static struct shared *new_shared(struct kunit *test, unsigned int shards)
{
	struct shared *shared = kunit_kzalloc(test, sizeof(*shared), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, shared);
	init_completion(&shared->go);
	shared->pool = create(test, .size = PAGES(NR_PAGES), .min_block = SZ_4K,
			      .shards = shards);
	return shared;
}

static struct worker *new_worker(struct kunit *test, struct shared *shared, int id)
{
	struct worker *worker = kunit_kzalloc(test, sizeof(*worker), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, worker);
	worker->shared = shared;
	worker->id = id;
	worker->rnd = random_from(test, seed ? seed + id : 0);
	init_completion(&worker->ready);
	return worker;
}

static void expect_no_errors(struct kunit *test, const struct shared *shared)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&shared->errors), 0);
	KUNIT_EXPECT_EQ(test, look(test)->reserved, 0);
	KUNIT_EXPECT_EQ(test, look(test)->bad_frees, 0);
	expect_whole(test);
}

/* kthread_stop() needs the thread to live until then. */
static int thread_main(void *data)
{
	struct worker *worker = data;

	complete(&worker->ready);
	wait_for_completion(&worker->shared->go);
	worker->run(worker);
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

/* Runs @run for both workers at once, on a CPU each if there are two. */
static void run_both(struct kunit *test, struct worker *workers[2],
		     void (*run)(struct worker *worker))
{
	const unsigned int cpus[2] = {
		cpumask_first(cpu_online_mask), cpumask_last(cpu_online_mask),
	};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		workers[i]->may_sleep = true;
		workers[i]->run = run;
		workers[i]->task = kthread_create(thread_main, workers[i], "buddy_kunit/%u", i);
		if (IS_ERR(workers[i]->task))
			break;
		kthread_bind(workers[i]->task, cpus[i]);
		wake_up_process(workers[i]->task);
		wait_for_completion(&workers[i]->ready);
	}
	KUNIT_EXPECT_EQ(test, i, 2);
	complete_all(&workers[0]->shared->go);
	while (i--)
		kthread_stop(workers[i]->task);
}

/*
 * Threads
 */

static void churn_for_long(struct worker *worker)
{
	churn(worker, 20000);
}

static void share_pool(struct kunit *test, unsigned int shards)
{
	struct shared *shared = new_shared(test, shards);
	struct worker *workers[2] = { new_worker(test, shared, 1), new_worker(test, shared, 2) };

	run_both(test, workers, churn_for_long);
	KUNIT_EXPECT_GT(test, workers[0]->granted, 1000);
	KUNIT_EXPECT_GT(test, workers[1]->granted, 1000);
	drop_all(workers[0]);
	drop_all(workers[1]);
	expect_no_errors(test, shared);
}

static void alloc_from_two_threads(struct kunit *test)
{
	share_pool(test, 0);
}

static void alloc_from_two_threads_and_four_shards(struct kunit *test)
{
	share_pool(test, 4);
}

/* Blocks at the borders of four shards: up to one, from one on, across one, across all */
static struct buddy_pool_request at_border(struct worker *worker)
{
	u64 border = PAGES(NR_PAGES / 4 * (1 + below(&worker->rnd, 3)));
	u64 before = PAGES(below(&worker->rnd, 4));
	u64 behind = PAGES(below(&worker->rnd, 4) + !before);

	if (below(&worker->rnd, 16) == 0) {
		before = border - PAGES(NR_PAGES / 4 - 2);
		behind = PAGES(3 * NR_PAGES / 4 + 2) - border;
	}
	return (struct buddy_pool_request) {
		.start = border - before,
		.size = before + behind,
		.flags = BUDDY_POOL_ALLOC_FIXED,
	};
}

static void fight_over_borders(struct worker *worker)
{
	struct buddy_pool *pool = worker->shared->pool;
	struct buddy_pool_request request;
	struct buddy_pool_result result;
	u64 start, size;
	unsigned int n;
	int state;

	for (n = 0; n < 20000; n++) {
		struct slot *slot = &worker->slots[below(&worker->rnd, 6)];

		request = at_border(worker);
		if (slot->nr)
			drop(worker, slot);
		else if (!buddy_pool_alloc(pool, &request, &result))
			keep(worker, slot, result.address, result.size / SZ_4K, false);
		state = buddy_pool_query(pool, request.start, &start, &size);
		expect(worker, state == BUDDY_POOL_STATE_USED || state == BUDDY_POOL_STATE_FREE);
		expect(worker, start <= request.start && start + size > request.start);
		if (slot->nr && state == BUDDY_POOL_STATE_USED && start == slot->address)
			expect(worker, size == PAGES(slot->nr));
		if (n % 16 == 0)
			schedule();
	}
	drop_all(worker);
}

static void spans_come_and_go_at_borders(struct kunit *test)
{
	struct shared *shared = new_shared(test, 4);
	struct worker *workers[2] = { new_worker(test, shared, 1), new_worker(test, shared, 2) };

	run_both(test, workers, fight_over_borders);
	/* One may have slept on what the other wanted. */
	KUNIT_EXPECT_GT(test, workers[0]->granted + workers[1]->granted, 1000);
	KUNIT_EXPECT_EQ(test, look(test)->used, 0);
	expect_no_errors(test, shared);
}

/* More than half of the pool: no two can have that at once. */
static void take_more_than_half(struct worker *worker)
{
	struct buddy_pool_request request = { .size = PAGES(NR_PAGES / 2 + 1), .align = SZ_4K };
	struct buddy_pool_result result;
	unsigned int n;
	int err;

	for (n = 0; n < 5000; n++) {
		err = buddy_pool_alloc(worker->shared->pool, &request, &result);
		expect(worker, !err || err == -ENOSPC);
		if (n % 8 == 0)
			schedule();
		if (err)
			continue;
		worker->granted++;
		change_owner(worker, result.address, NR_PAGES / 2 + 1, 0, worker->id);
		change_owner(worker, result.address, NR_PAGES / 2 + 1, worker->id, 0);
		expect(worker, !buddy_pool_free(worker->shared->pool, result.address, NULL));
	}
}

static void half_and_more_goes_to_one_of_two(struct kunit *test)
{
	struct shared *shared = new_shared(test, 4);
	struct worker *workers[2] = { new_worker(test, shared, 1), new_worker(test, shared, 2) };

	run_both(test, workers, take_more_than_half);
	KUNIT_EXPECT_GT(test, workers[0]->granted + workers[1]->granted, 1000);
	expect_no_errors(test, shared);
}

/*
 * One page is free at any time, in one shard or another: each of two frees one, then
 * takes one, and must get it.
 */
static void free_one_take_one(struct worker *worker)
{
	struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result result;
	u64 page = PAGES(worker->id * (NR_PAGES / 2) - 1);
	unsigned int n;

	for (n = 0; n < 20000; n++) {
		expect(worker, !buddy_pool_free(worker->shared->pool, page, NULL));
		if (n % 16 == 0)
			schedule();
		expect(worker, !buddy_pool_alloc(worker->shared->pool, &request, &result));
		page = result.address;
	}
}

static void page_that_moves_is_found(struct kunit *test)
{
	struct shared *shared = new_shared(test, 4);
	struct worker *workers[2] = { new_worker(test, shared, 1), new_worker(test, shared, 2) };

	while (!alloc(test, .size = SZ_4K))
		;
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
	KUNIT_EXPECT_EQ(test, look(test)->out_of_space, 1);
	run_both(test, workers, free_one_take_one);
	KUNIT_EXPECT_EQ(test, look(test)->out_of_space, 1);
	KUNIT_EXPECT_EQ(test, free_everything(test), NR_PAGES);
	expect_no_errors(test, shared);
}

static void take_every_page(struct worker *worker)
{
	struct buddy_pool_request request = { .size = SZ_4K, .flags = BUDDY_POOL_ALLOC_FIXED };
	struct buddy_pool_result result;
	int err;

	for (request.start = 0; request.start < PAGES(NR_PAGES); request.start += SZ_4K) {
		err = buddy_pool_alloc(worker->shared->pool, &request, &result);
		expect(worker, !err || (err == -ENOSPC &&
					result.reason == BUDDY_POOL_REASON_IN_USE));
		worker->granted += !err;
		if (request.start % SZ_64K == 0)
			schedule();
	}
}

static void fixed_page_goes_to_one_of_two(struct kunit *test)
{
	struct shared *shared = new_shared(test, 0);
	struct worker *workers[2] = { new_worker(test, shared, 1), new_worker(test, shared, 2) };

	run_both(test, workers, take_every_page);
	KUNIT_EXPECT_EQ(test, workers[0]->granted + workers[1]->granted, NR_PAGES);
	KUNIT_EXPECT_EQ(test, look(test)->free, 0);
	KUNIT_EXPECT_EQ(test, look(test)->out_of_space, NR_PAGES);
	free_everything(test);
	expect_no_errors(test, shared);
}

static void free_every_page(struct worker *worker)
{
	enum buddy_pool_reason why;
	u64 address;
	int err;

	for (address = 0; address < PAGES(NR_PAGES); address += SZ_4K) {
		err = buddy_pool_free(worker->shared->pool, address, &why);
		expect(worker, !err || (err == -ENOENT && why == BUDDY_POOL_REASON_NOT_ALLOCATED));
		worker->granted += !err;
		if (address % SZ_64K == 0)
			schedule();
	}
}

static void free_succeeds_for_one_of_two(struct kunit *test)
{
	struct shared *shared = new_shared(test, 0);
	struct worker *workers[2] = { new_worker(test, shared, 1), new_worker(test, shared, 2) };

	while (!alloc(test, .size = SZ_4K))
		;
	run_both(test, workers, free_every_page);
	KUNIT_EXPECT_EQ(test, workers[0]->granted + workers[1]->granted, NR_PAGES);
	KUNIT_EXPECT_EQ(test, look(test)->frees, NR_PAGES);
	KUNIT_EXPECT_EQ(test, look(test)->bad_frees, NR_PAGES);
	KUNIT_EXPECT_EQ(test, atomic_read(&shared->errors), 0);
	expect_whole(test);
}

static bool snapshot_is_consistent(const struct buddy_pool_usage *usage)
{
	u64 free = 0;
	unsigned int o;

	for (o = 0; o < usage->nr_orders; o++)
		free += usage->order[o].size << o;
	return free * SZ_4K == usage->free && usage->largest <= usage->free &&
	       usage->free + usage->used + usage->reserved == usage->size &&
	       usage->peak >= usage->used && !usage->bad_frees;
}

/* The first worker works, the second looks on. */
static void work_or_look(struct worker *worker)
{
	struct buddy_pool_usage *usage;
	unsigned int i;

	if (worker->id == 1) {
		churn(worker, 10000);
		return;
	}
	usage = kmalloc(sizeof(*usage), GFP_KERNEL);
	expect(worker, usage);
	for (i = 0; usage && i < 500; i++) {
		buddy_pool_usage(worker->shared->pool, usage);
		expect(worker, snapshot_is_consistent(usage));
		schedule();
	}
	kfree(usage);
}

static void look_on(struct kunit *test, unsigned int shards)
{
	struct shared *shared = new_shared(test, shards);
	struct worker *workers[2] = { new_worker(test, shared, 1), new_worker(test, shared, 2) };

	run_both(test, workers, work_or_look);
	drop_all(workers[0]);
	expect_no_errors(test, shared);
}

static void usage_is_consistent_under_load(struct kunit *test)
{
	look_on(test, 1);
}

static void usage_of_four_shards_is_consistent_under_load(struct kunit *test)
{
	look_on(test, 4);
}

/* The first worker has a page now and then, the second reserves a whole shard. */
static void take_page_or_reserve(struct worker *worker)
{
	struct buddy_pool *pool = worker->shared->pool;
	struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result result;
	unsigned int n;

	for (n = 0; n < 100000; n++) {
		if (worker->id == 1) {
			expect(worker, !buddy_pool_alloc(pool, &request, &result));
			expect(worker, !buddy_pool_free(pool, result.address, NULL));
		} else if (!buddy_pool_reserve(pool, PAGES(NR_PAGES / 4), PAGES(NR_PAGES / 4))) {
			expect(worker, !buddy_pool_unreserve(pool, PAGES(NR_PAGES / 4),
							     PAGES(NR_PAGES / 4)));
			worker->granted++;
		}
		if (n % 16 == 0)
			schedule();
	}
}

/* Shards so short that each request adds up all of them */
static void peak_does_not_count_what_is_being_reserved(struct kunit *test)
{
	struct shared *shared = new_shared(test, 4);
	struct worker *workers[2] = { new_worker(test, shared, 1), new_worker(test, shared, 2) };

	run_both(test, workers, take_page_or_reserve);
	KUNIT_EXPECT_GT(test, workers[1]->granted, 1000);
	/* A page that is no longer parked, but not yet free, may count in each shard. */
	KUNIT_EXPECT_LE(test, look(test)->peak, PAGES(4));
	expect_no_errors(test, shared);
}

/* Either of them creates the pool, or finds that of the other. */
static void create_or_get(struct worker *worker)
{
	const struct buddy_pool_config config = {
		.name = "kunit-race", .size = SZ_64K, .min_block = SZ_4K,
	};
	struct buddy_pool *pool;
	unsigned int i;

	for (i = 0; i < 100; i++) {
		pool = buddy_pool_create(&config);
		if (IS_ERR(pool)) {
			expect(worker, PTR_ERR(pool) == -EEXIST);
			pool = buddy_pool_get("kunit-race");
		} else {
			worker->granted++;
		}
		schedule();
		buddy_pool_put(pool);
	}
}

static void pool_of_one_name_from_two_threads(struct kunit *test)
{
	struct shared *shared = new_shared(test, 0);
	struct worker *workers[2] = { new_worker(test, shared, 1), new_worker(test, shared, 2) };

	run_both(test, workers, create_or_get);
	KUNIT_EXPECT_GT(test, workers[0]->granted + workers[1]->granted, 0);
	KUNIT_EXPECT_NULL(test, buddy_pool_get("kunit-race"));
	expect_no_errors(test, shared);
}

/*
 * Interrupts
 */

#define NR_INTERRUPTS	8

struct interrupt {
	struct worker *worker;
	struct timer_list timer;
	struct irq_work irq_work;
	atomic_t nr;
};

static void on_timer(struct timer_list *timer)
{
	struct interrupt *interrupt = container_of(timer, struct interrupt, timer);

	expect(interrupt->worker, in_serving_softirq());
	churn(interrupt->worker, 100);
	if (atomic_inc_return(&interrupt->nr) < NR_INTERRUPTS)
		mod_timer(timer, jiffies + 1);
}

static void alloc_from_timer_and_thread(struct kunit *test)
{
	struct shared *shared = new_shared(test, 0);
	struct worker *worker = new_worker(test, shared, 1);
	struct interrupt *interrupt = kunit_kzalloc(test, sizeof(*interrupt), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, interrupt);
	interrupt->worker = new_worker(test, shared, 2);
	timer_setup(&interrupt->timer, on_timer, 0);
	worker->may_sleep = true;
	mod_timer(&interrupt->timer, jiffies + 1);
	while (atomic_read(&interrupt->nr) < NR_INTERRUPTS)
		churn(worker, 100);
	timer_delete_sync(&interrupt->timer);
	KUNIT_EXPECT_GT(test, interrupt->worker->granted, 100);
	drop_all(worker);
	drop_all(interrupt->worker);
	expect_no_errors(test, shared);
}

static void on_irq_work(struct irq_work *irq_work)
{
	struct interrupt *interrupt = container_of(irq_work, struct interrupt, irq_work);

	expect(interrupt->worker, in_hardirq());
	churn(interrupt->worker, 100);
	atomic_inc(&interrupt->nr);
}

static void alloc_from_hard_interrupt_and_thread(struct kunit *test)
{
	struct shared *shared = new_shared(test, 0);
	struct worker *worker = new_worker(test, shared, 1);
	struct interrupt *interrupt = kunit_kzalloc(test, sizeof(*interrupt), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, interrupt);
	interrupt->worker = new_worker(test, shared, 2);
	init_irq_work(&interrupt->irq_work, on_irq_work);
	worker->may_sleep = true;
	while (atomic_read(&interrupt->nr) < NR_INTERRUPTS) {
		irq_work_queue(&interrupt->irq_work);
		churn(worker, 100);
	}
	irq_work_sync(&interrupt->irq_work);
	KUNIT_EXPECT_GT(test, interrupt->worker->granted, 100);
	drop_all(worker);
	drop_all(interrupt->worker);
	expect_no_errors(test, shared);
}

/* Interrupts are as they were after each call, whichever way. */
static void alloc_with_interrupts_off(struct kunit *test)
{
	struct shared *shared = new_shared(test, 0);
	struct worker *worker = new_worker(test, shared, 1);
	unsigned int nr_on = 0;
	unsigned long flags;
	unsigned int i;

	local_irq_save(flags);
	for (i = 0; i < 5000; i++) {
		churn(worker, 1);
		nr_on += !irqs_disabled();
	}
	drop_all(worker);
	nr_on += !irqs_disabled();
	local_irq_restore(flags);
	KUNIT_EXPECT_EQ(test, nr_on, 0);

	churn(worker, 100);
	KUNIT_EXPECT_FALSE(test, irqs_disabled());
	KUNIT_EXPECT_GT(test, worker->granted, 1000);
	drop_all(worker);
	expect_no_errors(test, shared);
}

static struct kunit_case thread_cases[] = {
	KUNIT_CASE(alloc_from_two_threads),
	KUNIT_CASE(alloc_from_two_threads_and_four_shards),
	KUNIT_CASE(spans_come_and_go_at_borders),
	KUNIT_CASE(half_and_more_goes_to_one_of_two),
	KUNIT_CASE(page_that_moves_is_found),
	KUNIT_CASE(fixed_page_goes_to_one_of_two),
	KUNIT_CASE(free_succeeds_for_one_of_two),
	KUNIT_CASE(usage_is_consistent_under_load),
	KUNIT_CASE(usage_of_four_shards_is_consistent_under_load),
	KUNIT_CASE(peak_does_not_count_what_is_being_reserved),
	KUNIT_CASE(pool_of_one_name_from_two_threads),
	KUNIT_CASE(alloc_from_timer_and_thread),
	KUNIT_CASE(alloc_from_hard_interrupt_and_thread),
	KUNIT_CASE(alloc_with_interrupts_off),
	{ }
};

static struct kunit_suite thread_suite = {
	.name = "buddy_pool_threads",
	.init = fixture_init,
	.exit = fixture_exit,
	.test_cases = thread_cases,
};

kunit_test_suite(thread_suite);

MODULE_DESCRIPTION("KUnit tests of concurrent use of a buddy_pool");
MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);

// SPDX-License-Identifier: GPL-2.0
/* Names: two who create a pool of one name, and one who looks it up meanwhile. */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "api_test.h"

static atomic_t nr_alive, nr_created, nr_taken, nr_found, nr_gone, nr_faults;

static void fault_unless(bool condition)
{
	if (!condition)
		atomic_inc(&nr_faults);
}

/*
 * How long a pool is there: time for the others, also on one CPU; and now and then until
 * another was refused, since all of them may wait for RCU just then, again and again.
 */
static void let_live(unsigned int n)
{
	int i, taken = atomic_read(&nr_taken);

	usleep_range(50, 100);
	if (n % 8)
		return;
	for (i = 0; i < 100 && atomic_read(&nr_taken) == taken && !kthread_should_stop(); i++)
		msleep(20);
}

static int creator(void *unused)
{
	const struct buddy_pool_config config = { .name = "race", .size = SZ_64K,
						  .min_block = SZ_4K };
	struct buddy_pool *pool;

	while (!kthread_should_stop()) {
		pool = buddy_pool_create(&config);
		if (IS_ERR(pool)) {
			fault_unless(PTR_ERR(pool) == -EEXIST);
			atomic_inc(&nr_taken);
			usleep_range(20, 70);
		} else {
			fault_unless(atomic_inc_return(&nr_alive) == 1);
			let_live(atomic_inc_return(&nr_created));
			atomic_dec(&nr_alive);
			buddy_pool_destroy(pool);
		}
		cond_resched();
	}
	return 0;
}

/* What is found works, or is gone, and can be put; it never goes while it is used. */
static int finder(void *unused)
{
	const struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result block;
	struct buddy_pool *pool;
	int err;

	while (!kthread_should_stop()) {
		pool = buddy_pool_get("race");
		if (pool) {
			err = buddy_pool_alloc(pool, &request, &block);
			fault_unless(!err || err == -ENODEV);
			atomic_inc(err ? &nr_gone : &nr_found);
			if (!err)
				fault_unless(!buddy_pool_free(pool, block.address, NULL));
			buddy_pool_put(pool);
		}
		cond_resched();
	}
	return 0;
}

static bool all_met(void)
{
	return atomic_read(&nr_created) > 10 && atomic_read(&nr_taken) && atomic_read(&nr_found);
}

void api_names(void)
{
	int (*const functions[])(void *) = { creator, creator, finder };
	struct task_struct *tasks[ARRAY_SIZE(functions)];
	unsigned int i, n;

	for (n = 0; n < ARRAY_SIZE(tasks); n++) {
		tasks[n] = kthread_run(functions[n], NULL, "api_names");
		if (!check(!IS_ERR(tasks[n]), "thread %u", n))
			break;
	}
	api_race(all_met);
	for (i = 0; i < n; i++)
		kthread_stop(tasks[i]);
	check(atomic_read(&nr_created) > 10, "M20 created %d times", atomic_read(&nr_created));
	check(atomic_read(&nr_taken), "M20 refused %d times, as the name is taken",
	      atomic_read(&nr_taken));
	check(atomic_read(&nr_found), "M21 found %d times, %d times as it went",
	      atomic_read(&nr_found), atomic_read(&nr_gone));
	check(!atomic_read(&nr_faults), "M20 never two at once, and no other error");
	check(!buddy_pool_get("race"), "M21 in the end there is none");
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Who waits for space in poll(), as a request of his found none, is woken by a free in any
 * context, but not inside the locks of the caller. Needs a pool with a node, pool=.
 */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "api_test.h"

static struct waiter {
	poll_table table;
	wait_queue_head_t *queue;
	wait_queue_entry_t entry;
	struct completion woken;
	const struct task_struct *holder; /* who may not call it, being in a lock */
	bool called_inside;
} waiter;

static int on_wake(wait_queue_entry_t *entry, unsigned int mode, int flags, void *key)
{
	if (in_task() && READ_ONCE(waiter.holder) == current)
		waiter.called_inside = true;
	complete(&waiter.woken);
	return 0;
}

static void on_poll(struct file *file, wait_queue_head_t *queue, poll_table *table)
{
	waiter.queue = queue;
	init_waitqueue_func_entry(&waiter.entry, on_wake);
	add_wait_queue(queue, &waiter.entry);
}

/* Asks for all of the pool, of which somebody has a block, as a program does. */
static long be_refused(struct file *file, struct buddy_pool *pool)
{
	struct buddy_pool_alloc alloc = { .size = sizeof(alloc) };
	static struct buddy_pool_usage usage;
	long err = -EFAULT;
	unsigned long arg;

	arg = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(arg))
		return arg;
	buddy_pool_usage(pool, &usage);
	alloc.length = usage.size;
	if (!copy_to_user((void __user *)arg, &alloc, sizeof(alloc)))
		err = file->f_op->unlocked_ioctl(file, BUDDY_POOL_ALLOC, arg);
	vm_munmap(arg, PAGE_SIZE);
	return err;
}

/* Frees a block as one that @enter and @leave surround. */
static void check_wake(struct file *file, struct buddy_pool *pool, const char *where,
		       void (*enter)(void), void (*leave)(void))
{
	const struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result block;

	if (!check(!buddy_pool_alloc(pool, &request, &block), "a block") ||
	    !check(be_refused(file, pool) == -ENOSPC, "a program that wants all of it"))
		return;
	reinit_completion(&waiter.woken);
	waiter.called_inside = false;
	enter();
	WRITE_ONCE(waiter.holder, current);
	buddy_pool_free(pool, block.address, NULL);
	WRITE_ONCE(waiter.holder, NULL);
	leave();
	check(wait_for_completion_timeout(&waiter.woken, 5 * HZ), "M12 a free %s wakes who waits",
	      where);
	check(!waiter.called_inside, "M12 and calls nobody while it is %s", where);
}

static DEFINE_RAW_SPINLOCK(raw_lock);

static void lock_raw(void)
{
	raw_spin_lock(&raw_lock);
}

static void unlock_raw(void)
{
	raw_spin_unlock(&raw_lock);
}

static void irqs_off(void)
{
	local_irq_disable();
}

static void irqs_on(void)
{
	local_irq_enable();
}

void api_wakes(void)
{
	struct buddy_pool *pool = buddy_pool_get(api_pool);
	struct file *file;
	char path[64];

	scnprintf(path, sizeof(path), "/dev/buddy_pool/%s", api_pool);
	file = filp_open(path, O_RDWR, 0);
	if (!check(pool && !IS_ERR(file), "there is a pool with a node"))
		return;
	init_completion(&waiter.woken);
	init_poll_funcptr(&waiter.table, on_poll);
	vfs_poll(file, &waiter.table);
	if (check(waiter.queue, "poll() has a queue")) {
		check_wake(file, pool, "in a raw spinlock", lock_raw, unlock_raw);
		check_wake(file, pool, "with interrupts off", irqs_off, irqs_on);
		remove_wait_queue(waiter.queue, &waiter.entry);
	}
	filp_close(file, NULL);
	buddy_pool_put(pool);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Does one thing that no module may do, so that scripts/gate sees the alarm: each
 * detector that the tests rely on must go off. Not part of buddy_pool, which has
 * seeded bugs of its own. Loads and unloads; what it breaks stays broken.
 */
#include <linux/fs.h>
#include <linux/ioport.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>

static char *plant = "";
module_param(plant, charp, 0);
MODULE_PARM_DESC(plant, "what to do wrong");

/* So that the compiler does not know what we are up to. */
static noinline void *opaque(void *pointer)
{
	OPTIMIZER_HIDE_VAR(pointer);
	return pointer;
}

static void plant_nothing(void)
{
}

static void plant_warn(void)
{
	WARN(1, "planted");
}

static void plant_taint(void)
{
	add_taint(TAINT_CRAP, LOCKDEP_STILL_OK);
}

/* More than one, as a stray copy of a pointer may hide a single one. */
static void plant_kmalloc(void)
{
	int i;

	for (i = 0; i < 32; i++)
		opaque(kmalloc(512, GFP_KERNEL));
}

static void plant_vmalloc(void)
{
	opaque(vmalloc(PAGE_SIZE));
}

static void plant_slab(void)
{
	opaque(kmem_cache_create("buddy_gate", 192, 0, SLAB_HWCACHE_ALIGN, NULL));
}

static void plant_iomem(void)
{
	/* Who reads /proc/iomem needs the name when the module is gone. */
	opaque(request_mem_region(0x33000000, PAGE_SIZE, kstrdup("buddy_gate", GFP_KERNEL)));
}

static void plant_double_release(void)
{
	if (request_mem_region(0x33000000, PAGE_SIZE, "buddy_gate")) {
		release_mem_region(0x33000000, PAGE_SIZE);
		release_mem_region(0x33000000, PAGE_SIZE);
	}
}

static void plant_chrdev(void)
{
	static dev_t number;

	alloc_chrdev_region(&number, 0, 1, "buddy_gate");
}

static void plant_out_of_bounds(void)
{
	char *object = opaque(kmalloc(64, GFP_KERNEL));

	if (object)
		object[64] = 1;
	kfree(object);
}

static void plant_use_after_free(void)
{
	char *object = opaque(kmalloc(64, GFP_KERNEL));

	kfree(object);
	WRITE_ONCE(*(char *)opaque(object), 1);
}

static void plant_shift(void)
{
	int by = 40;

	OPTIMIZER_HIDE_VAR(by);
	opaque((void *)(long)(1 << by));
}

static void plant_sleep(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	might_sleep();
	spin_unlock(&lock);
}

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);

static void plant_lock_order(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static void plant_list(void)
{
	struct list_head head, *entry = opaque(kmalloc(sizeof(*entry), GFP_KERNEL));

	INIT_LIST_HEAD(&head);
	if (!entry)
		return;
	list_add(entry, &head);
	list_add(entry, &head);
	kfree(entry);
}

static void never(struct timer_list *timer)
{
}

static void plant_timer(void)
{
	struct timer_list *timer = opaque(kmalloc(sizeof(*timer), GFP_KERNEL));

	if (!timer)
		return;
	timer_setup(timer, never, 0);
	mod_timer(timer, jiffies + 1000 * HZ);
	kfree(timer);
}

static long shared;

static int racer(void *unused)
{
	while (!kthread_should_stop()) {
		shared++;
		barrier();
		cond_resched();
	}
	return 0;
}

static void plant_race(void)
{
	struct task_struct *one = kthread_run(racer, NULL, "buddy_gate/1");
	struct task_struct *two = kthread_run(racer, NULL, "buddy_gate/2");

	schedule_timeout_uninterruptible(5 * HZ);
	if (!IS_ERR(one))
		kthread_stop(one);
	if (!IS_ERR(two))
		kthread_stop(two);
}

static const struct {
	const char *name;
	void (*function)(void);
} plants[] = {
	{ "nothing", plant_nothing },
	{ "warn", plant_warn },
	{ "taint", plant_taint },
	{ "kmalloc", plant_kmalloc },
	{ "vmalloc", plant_vmalloc },
	{ "slab", plant_slab },
	{ "iomem", plant_iomem },
	{ "double_release", plant_double_release },
	{ "chrdev", plant_chrdev },
	{ "out_of_bounds", plant_out_of_bounds },
	{ "use_after_free", plant_use_after_free },
	{ "shift", plant_shift },
	{ "sleep", plant_sleep },
	{ "lock_order", plant_lock_order },
	{ "list", plant_list },
	{ "timer", plant_timer },
	{ "race", plant_race },
};

static int __init gate_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(plants); i++) {
		if (!strcmp(plant, plants[i].name)) {
			plants[i].function();
			return 0;
		}
	}
	return -EINVAL;
}
module_init(gate_init);

static void __exit gate_exit(void)
{
}
module_exit(gate_exit);

MODULE_DESCRIPTION("Plants one fault, to see the alarm");
MODULE_LICENSE("GPL");

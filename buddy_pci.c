// SPDX-License-Identifier: GPL-2.0
/*
 * The PCI driver: a bound device has a pool over one of its memory BARs.
 *
 * It matches no device by itself. A device is bound by the parameters pci= and
 * bar=, or by the administrator, who names buddy_pool in driver_override, as
 * for vfio-pci. Being bound is what makes the device's removal, hot or not,
 * arrive here: then mappings are revoked and the BAR is given back at once,
 * whatever user space still holds.
 *
 * While a device is reset on request, accesses through mappings wait, and then go
 * on; what the memory holds after that is the device's affair. A fatal error on the
 * bus ends the pools as removal does, so that no program goes on with memory that
 * it has not written. The driver stays bound then, since it is needed to recover, and
 * so do kernel clients: they are told by the pool's notifier.
 */
#define pr_fmt(fmt) "buddy_pool: " fmt

#include <linux/cleanup.h>
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "buddy_compat.h"
#include "buddy_internal.h"

/* The pool over a BAR of a bound device; the device's drvdata is the first one */
struct buddy_bar {
	struct buddy_bar *next;
	struct buddy_pool *pool;
	struct buddy_node *node;
	u64 id; /* never used again, unlike an address */
};

/* An err of the request, as long as nobody took it */
#define NOT_PROBED	1

/* What buddy_pci_attach() asks the probe of one device to do */
static struct {
	struct mutex lock;		/* one device at a time */
	struct pci_dev *pdev;
	const struct buddy_pool_config *config;
	const struct buddy_policy *policy;
	struct task_struct *task; /* a kworker may do it for that one */
	u64 id;
	int err;
} request = { .lock = __MUTEX_INITIALIZER(request.lock) };

/* Devices bound on request, with a reference; their driver_override is ours. */
struct attached {
	struct list_head link;
	struct pci_dev *pdev;
	bool overridden; /* for us, by the administrator */
};

static LIST_HEAD(attached_list); /* request.lock */

/* For devices that the administrator binds */
static struct buddy_pool_config default_config;
static struct buddy_policy default_policy;

/* The largest memory BAR, prefetchable ones first; or the number of them, if none */
static int choose_bar(struct pci_dev *pdev)
{
	int bar, best = PCI_STD_NUM_BARS;
	u64 rank, best_rank = 0;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		if (!(pci_resource_flags(pdev, bar) & IORESOURCE_MEM))
			continue;
		rank = pci_resource_len(pdev, bar) >> 1;
		if (pci_resource_flags(pdev, bar) & IORESOURCE_PREFETCH)
			rank |= 1ULL << 63;
		if (rank > best_rank) {
			best = bar;
			best_rank = rank;
		}
	}
	return best;
}

/* The device is locked, as in probe. */
static int add_bar(struct pci_dev *pdev, const struct buddy_pool_config *config,
		   const struct buddy_policy *policy, struct task_struct *task, u64 *id)
{
	static atomic64_t last_id;
	struct buddy_bar *bar;
	int err;

	if (pdev->error_state == pci_channel_io_perm_failure) {
		pr_err("%s: %s did not recover from an error: remove it and rescan the bus\n",
		       config->name, pci_name(pdev));
		return -ENODEV;
	}
	/* The kernel does not tell a recovery that failed from one that goes on. */
	if (pci_channel_offline(pdev)) {
		pr_err("%s: %s has not recovered from an error: try again later, or if the log says that it can't, remove it and rescan the bus\n",
		       config->name, pci_name(pdev));
		return -EAGAIN;
	}
	bar = kzalloc(sizeof(*bar), GFP_KERNEL);
	if (!bar)
		return -ENOMEM;
	bar->pool = buddy_pool_create_for(&pdev->dev, config);
	if (IS_ERR(bar->pool)) {
		err = PTR_ERR(bar->pool);
		goto free_bar;
	}
	bar->node = buddy_node_create(bar->pool, policy, task);
	if (IS_ERR(bar->node)) {
		err = PTR_ERR(bar->node);
		goto destroy_pool;
	}
	bar->id = atomic64_inc_return(&last_id);
	*id = bar->id;
	bar->next = pci_get_drvdata(pdev);
	pci_set_drvdata(pdev, bar);
	return 0;

destroy_pool:
	buddy_pool_destroy(bar->pool);
free_bar:
	kfree(bar);
	return err;
}

/* The first pool over the device */
static int probe(struct pci_dev *pdev)
{
	struct buddy_pool_config config = default_config;
	char name[BUDDY_POOL_NAME_LEN];
	u64 unused;

	/* Asked for by buddy_pci_attach(), which reports; -ENODEV logs nothing. */
	if (READ_ONCE(request.pdev) == pdev) {
		request.err =
			add_bar(pdev, request.config, request.policy, request.task, &request.id);
		return request.err ? -ENODEV : 0;
	}
	strscpy(name, pci_name(pdev), sizeof(name));
	strreplace(name, ':', '-');
	config.name = name;
	config.pdev = pdev;
	config.bar = choose_bar(pdev);
	if (config.bar == PCI_STD_NUM_BARS) {
		pr_err("%s: %s has no memory BAR\n", name, pci_name(pdev));
		return -ENXIO;
	}
	/* For a device that is near to other CPUs this is a kworker, which nobody can kill. */
	return add_bar(pdev, &config, &default_policy,
		       current->flags & PF_KTHREAD ? NULL : current, &unused);
}

static int buddy_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int err = probe(pdev);

	/*
	 * For slot_reset(). Not with later pools: the device may just have been reset, after
	 * an error of another one that was not fatal, and have forgotten its BARs.
	 */
	if (!err)
		pci_save_state(pdev);
	return err;
}

/* Nothing here waits for user space: open files keep what they need of the node. */
static void destroy_bar(struct buddy_bar *bar)
{
	buddy_node_destroy(bar->node);
	buddy_pool_release_range(bar->pool);
	buddy_pool_put(bar->pool);
	kfree(bar);
}

static void buddy_pci_remove(struct pci_dev *pdev)
{
	struct buddy_bar *bar, *next;

	for (bar = pci_get_drvdata(pdev); bar; bar = next) {
		next = bar->next;
		destroy_bar(bar);
	}
	pci_set_drvdata(pdev, NULL);
}

/*
 * Resets and errors. The device is locked, and bound.
 */

static void buddy_pci_reset_prepare(struct pci_dev *pdev)
{
	struct buddy_bar *bar;

	for (bar = pci_get_drvdata(pdev); bar; bar = bar->next)
		buddy_node_pause(bar->node);
}

static void buddy_pci_reset_done(struct pci_dev *pdev)
{
	struct buddy_bar *bar;

	for (bar = pci_get_drvdata(pdev); bar; bar = bar->next) {
		buddy_node_resume(bar->node);
		pr_info("%s: %s was reset; the memory may hold anything now\n",
			buddy_pool_name(bar->pool), pci_name(pdev));
	}
}

/* As removal does, but that no client is unbound: the driver stays, to recover. */
static void end_pools(struct pci_dev *pdev, const char *why)
{
	if (!pci_get_drvdata(pdev))
		return;
	pr_err("%s: %s: its pools are gone; unbind and bind it for a new one\n", pci_name(pdev),
	       why);
	buddy_pci_remove(pdev);
}

static pci_ers_result_t buddy_pci_error_detected(struct pci_dev *pdev, pci_channel_state_t state)
{
	if (state == pci_channel_io_normal)
		return PCI_ERS_RESULT_CAN_RECOVER;
	end_pools(pdev, state == pci_channel_io_frozen ? "fatal error on the bus" :
							 "no recovery from an error on the bus");
	return state == pci_channel_io_frozen ? PCI_ERS_RESULT_NEED_RESET :
						PCI_ERS_RESULT_DISCONNECT;
}

/*
 * The slot was reset, and the device has forgotten its BARs. There may be pools yet:
 * if the error was not fatal, another device there may have asked for a reset. Up to
 * 6.1 a state that was restored once, as after each reset, does not count as saved.
 */
static pci_ers_result_t buddy_pci_slot_reset(struct pci_dev *pdev)
{
	end_pools(pdev, "reset after an error on the bus");
	pdev->state_saved = true;
	pci_restore_state(pdev);
	return PCI_ERS_RESULT_RECOVERED;
}

static const struct pci_error_handlers buddy_pci_error_handlers = {
	.error_detected = buddy_pci_error_detected,
	.slot_reset = buddy_pci_slot_reset,
	.reset_prepare = buddy_pci_reset_prepare,
	.reset_done = buddy_pci_reset_done,
};

static const struct pci_device_id buddy_pci_ids[] = {
	{ PCI_DEVICE_DRIVER_OVERRIDE(PCI_ANY_ID, PCI_ANY_ID, true) },
	{ }
};

static struct pci_driver buddy_pci_driver = {
	.name = KBUILD_MODNAME,
	.id_table = buddy_pci_ids,
	.probe = buddy_pci_probe,
	.remove = buddy_pci_remove,
	.err_handler = &buddy_pci_error_handlers,
};

/*
 * On request
 */

static bool is_ours(const struct pci_dev *pdev)
{
	return pdev->dev.driver == &buddy_pci_driver.driver;
}

static struct attached *find_attached(const struct pci_dev *pdev)
{
	struct attached *attached;

	lockdep_assert_held(&request.lock);
	list_for_each_entry(attached, &attached_list, link)
		if (attached->pdev == pdev)
			return attached;
	return NULL;
}

/* From here on its driver is anybody's business, or has been since it was overridden. */
static void forget(struct attached *attached)
{
	if (!attached->overridden &&
	    bp_pci_match_driver_override(attached->pdev, &buddy_pci_driver.driver) > 0)
		bp_pci_set_driver_override(attached->pdev, "");
	pci_dev_put(attached->pdev);
	list_del(&attached->link);
	kfree(attached);
}

/* The driver core did not ask our probe(). Says so; @err is its own, or 0 or 1. */
static int report_unbound(struct pci_dev *pdev, int err)
{
	const struct device_driver *driver;

	device_lock(&pdev->dev);
	driver = pdev->dev.driver;
	if (driver)
		pr_err("%s: %s was bound to the driver %s just now\n", request.config->name,
		       pci_name(pdev), driver->name);
	else
		pr_err("%s: %s can't be bound to a driver: %d\n", request.config->name,
		       pci_name(pdev), err);
	device_unlock(&pdev->dev);
	/* The core's own way to say "later", which user space has no name for */
	if (err == -EPROBE_DEFER)
		return -EAGAIN;
	return err < 0 ? err : -EBUSY;
}

/* A device without a driver */
static int bind(struct pci_dev *pdev)
{
	struct attached *attached = find_attached(pdev);
	int match, err;

	/* It is there if somebody has unbound the device since. */
	if (!attached) {
		match = bp_pci_match_driver_override(pdev, &buddy_pci_driver.driver);
		if (!match) {
			pr_err("%s: %s is for another driver, as its driver_override says: write %s or nothing to that first\n",
			       request.config->name, pci_name(pdev), KBUILD_MODNAME);
			return -EBUSY;
		}
		attached = kzalloc(sizeof(*attached), GFP_KERNEL);
		if (!attached)
			return -ENOMEM;
		attached->overridden = match > 0;
		attached->pdev = pci_dev_get(pdev);
		list_add(&attached->link, &attached_list);
	}
	err = bp_pci_set_driver_override(pdev, KBUILD_MODNAME);
	if (!err) {
		request.err = NOT_PROBED;
		WRITE_ONCE(request.pdev, pdev);
		err = device_attach(&pdev->dev);
		/* Locked, as no probe() of somebody else may be at work for the request now. */
		device_lock(&pdev->dev);
		WRITE_ONCE(request.pdev, NULL);
		device_unlock(&pdev->dev);
		err = request.err == NOT_PROBED ? report_unbound(pdev, err) : request.err;
	}
	if (err)
		forget(attached);
	return err;
}

/**
 * buddy_pci_attach() - bind a device and make a pool over a BAR
 * @config: the pool to make; pdev is the device, which may be bound already for
 *	another of its BARs
 * @rules: for its files
 * @id: what the pool is known by to buddy_pci_detach()
 *
 * Return: 0; -EBUSY if the device has another driver; -EAGAIN if it can't have one
 * yet; -EINTR after a fatal signal; or as buddy_pool_create().
 */
int buddy_pci_attach(const struct buddy_pool_config *config, const struct buddy_policy *rules,
		     u64 *id)
{
	struct pci_dev *pdev = config->pdev;
	const struct device_driver *driver;
	int err = -EBUSY;

	/* Another one may be zeroing a large BAR. */
	if (mutex_lock_killable(&request.lock))
		return -EINTR;
	request.config = config;
	request.policy = rules;
	request.task = current;
	device_lock(&pdev->dev);
	driver = pdev->dev.driver;
	if (is_ours(pdev))
		err = add_bar(pdev, config, rules, current, &request.id);
	else if (driver)
		pr_err("%s: %s is in use by the driver %s\n", config->name, pci_name(pdev),
		       driver->name);
	device_unlock(&pdev->dev);
	if (!driver)
		err = bind(pdev);
	*id = request.id;
	mutex_unlock(&request.lock);
	return err;
}

/* Where the pointer to the pool @id is, or the NULL at the end. The device is locked. */
static struct buddy_bar **find_bar(struct buddy_bar **link, u64 id)
{
	while (*link && (*link)->id != id)
		link = &(*link)->next;
	return link;
}

static int remove_bar(struct pci_dev *pdev, u64 id)
{
	struct buddy_bar *first = pci_get_drvdata(pdev);
	struct buddy_bar **link = find_bar(&first, id);
	struct buddy_bar *bar = *link;
	int err;

	if (!bar)
		return 0;
	err = buddy_node_retire(bar->node);
	if (err)
		return err;
	*link = bar->next;
	pci_set_drvdata(pdev, first);
	destroy_bar(bar);
	return 0;
}

/**
 * buddy_pci_detach() - take a pool over a BAR away, if nobody uses it
 * @pdev: the device, which may have gone, and the pool with it
 * @id: from buddy_pci_attach()
 *
 * With its last pool, a device that was bound on request is bound no more.
 *
 * Return: 0; -EBUSY if there is an open file, a mapping or a kernel client; -EINTR after a
 * fatal signal.
 */
int buddy_pci_detach(struct pci_dev *pdev, u64 id)
{
	struct attached *attached;
	bool unbind = false;
	int err = 0;

	if (mutex_lock_killable(&request.lock))
		return -EINTR;
	attached = find_attached(pdev);
	device_lock(&pdev->dev);
	if (is_ours(pdev)) {
		err = remove_bar(pdev, id);
		unbind = attached && !pci_get_drvdata(pdev);
	}
	device_unlock(&pdev->dev);
	/* Meanwhile driver_override, which is ours, keeps other drivers out. */
	if (unbind)
		device_release_driver(&pdev->dev);
	if (attached && !err && (unbind || !is_ours(pdev)))
		forget(attached);
	mutex_unlock(&request.lock);
	return err;
}

/**
 * buddy_pci_has() - is a pool over a BAR still there?
 * @pdev: the device
 * @id: from buddy_pci_attach()
 *
 * Return: 1; 0 if the device was removed or unbound since; -EINTR after a signal, as
 * somebody may be zeroing another BAR of the device.
 */
int buddy_pci_has(struct pci_dev *pdev, u64 id)
{
	struct buddy_bar *first;
	int has = 0;

	if (device_lock_interruptible(&pdev->dev))
		return -EINTR;
	if (is_ours(pdev)) {
		first = pci_get_drvdata(pdev);
		has = !!*find_bar(&first, id);
	}
	device_unlock(&pdev->dev);
	return has;
}

/* @config, @rules: for devices that the administrator binds */
int buddy_pci_register(const struct buddy_pool_config *config, const struct buddy_policy *rules)
{
	default_config = *config;
	default_policy = *rules;
	return pci_register_driver(&buddy_pci_driver);
}

void buddy_pci_unregister(void)
{
	struct attached *attached, *next;

	pci_unregister_driver(&buddy_pci_driver);
	list_for_each_entry_safe(attached, next, &attached_list, link)
		forget(attached);
}

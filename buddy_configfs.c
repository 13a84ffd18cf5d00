// SPDX-License-Identifier: GPL-2.0
/*
 * Pools that come and go while the module stays, through configfs:
 *
 *	mkdir /sys/kernel/config/buddy_pool/ddr
 *	cd /sys/kernel/config/buddy_pool/ddr
 *	echo 0x30000000 >base; echo 64M >size
 *	echo 1 >live		# the pool ddr is there
 *	echo 0 >live		# and gone, unless somebody uses it: EBUSY
 *	rmdir ../ddr
 *
 * The files are named and written as the module parameters; an empty line sets the
 * default again. Each is checked when it is written, and what they mean together
 * when the pool is made, by the same code as at load: see buddy_admin.c. While the
 * pool is live its settings can't be written, and the directory can't be removed.
 *
 * A module of its own, so that the other can be loaded where configfs is not. It
 * stays as long as there is a directory.
 *
 * Files are for root. Beyond that, to make or remove a pool needs CAP_SYS_RAWIO, as
 * it is about raw memory, and a range is refused where lockdown refuses base= at load.
 *
 * Locking: pool_item.lock guards an item, and is taken before all other locks of ours. It
 * may be held for as long as a large range takes to be zeroed.
 */
#define pr_fmt(fmt) "buddy_pool: " fmt

#include <linux/capability.h>
#include <linux/configfs.h>
#include <linux/err.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "buddy_internal.h"

/* A directory. Its settings are strings of its own. */
struct pool_item {
	struct config_item item;
	struct mutex lock; /* settings, pool */
	struct buddy_settings settings;
	struct buddy_admin_pool *pool;
};

static struct pool_item *to_pool_item(struct config_item *item)
{
	return container_of(item, struct pool_item, item);
}

/*
 * Settings. @offset is where one is in struct buddy_settings.
 */

static const char **setting_at(struct buddy_settings *settings, size_t offset)
{
	return (void *)settings + offset;
}

static ssize_t show_setting(struct config_item *item, size_t offset, char *page)
{
	struct pool_item *pool = to_pool_item(item);
	ssize_t length;

	if (mutex_lock_interruptible(&pool->lock))
		return -ERESTARTSYS;
	length = sysfs_emit(page, "%s\n", *setting_at(&pool->settings, offset) ?: "");
	mutex_unlock(&pool->lock);
	return length;
}

/* The line without its end, or NULL if it is empty, or an ERR_PTR() */
static const char *get_line(const char *page, size_t count)
{
	if (count && page[count - 1] == '\n')
		count--;
	if (!count)
		return NULL;
	if (memchr(page, '\0', count))
		return ERR_PTR(-EINVAL);
	return kmemdup_nul(page, count, GFP_KERNEL) ?: ERR_PTR(-ENOMEM);
}

static int check_setting(size_t offset, const char *text)
{
	struct buddy_settings alone = {};
	struct buddy_pool_config config;
	struct buddy_policy policy;

	*setting_at(&alone, offset) = text;
	return buddy_settings_parse(&alone, &config, &policy);
}

static int refuse_live(struct pool_item *pool)
{
	pr_err("%s: the pool is live: write 0 to live first\n", config_item_name(&pool->item));
	return -EBUSY;
}

/* On success @text is what was there before. */
static int set_setting(struct pool_item *pool, size_t offset, const char **text)
{
	int err = 0;

	if (mutex_lock_interruptible(&pool->lock))
		return -ERESTARTSYS;
	if (pool->pool)
		err = refuse_live(pool);
	else
		swap(*text, *setting_at(&pool->settings, offset));
	mutex_unlock(&pool->lock);
	return err;
}

static ssize_t store_setting(struct config_item *item, size_t offset, const char *page,
			     size_t count)
{
	const char *text = get_line(page, count);
	int err;

	if (IS_ERR(text))
		return PTR_ERR(text);
	err = check_setting(offset, text) ?: set_setting(to_pool_item(item), offset, &text);
	kfree(text);
	return err ?: count;
}

/* Not CONFIGFS_ATTR(), which everybody may read: addresses are for root. */
#define POOL_ATTR(_name)                                  \
	static struct configfs_attribute attr_##_name = { \
		.ca_name = #_name,                        \
		.ca_mode = 0600,                          \
		.ca_owner = THIS_MODULE,                  \
		.show = _name##_show,                     \
		.store = _name##_store,                   \
	}

#define SETTING(_name)                                                                         \
	enum { _name##_offset = offsetof(struct buddy_settings, _name) };                      \
	static ssize_t _name##_show(struct config_item *item, char *page)                      \
	{                                                                                      \
		return show_setting(item, _name##_offset, page);                               \
	}                                                                                      \
	static ssize_t _name##_store(struct config_item *item, const char *page, size_t count) \
	{                                                                                      \
		return store_setting(item, _name##_offset, page, count);                       \
	}

SETTING(base)
POOL_ATTR(base);
SETTING(size)
POOL_ATTR(size);
SETTING(pci)
POOL_ATTR(pci);
SETTING(bar)
POOL_ATTR(bar);
SETTING(min_block)
POOL_ATTR(min_block);
SETTING(min_alloc)
POOL_ATTR(min_alloc);
SETTING(max_alloc)
POOL_ATTR(max_alloc);
SETTING(shards)
POOL_ATTR(shards);
SETTING(cache)
POOL_ATTR(cache);
SETTING(zero)
POOL_ATTR(zero);
SETTING(share_dirty)
POOL_ATTR(share_dirty);
SETTING(max_file_bytes)
POOL_ATTR(max_file_bytes);
SETTING(max_file_blocks)
POOL_ATTR(max_file_blocks);
SETTING(max_user_bytes)
POOL_ATTR(max_user_bytes);
SETTING(max_user_blocks)
POOL_ATTR(max_user_blocks);

/*
 * Live or not
 */

static struct configfs_subsystem buddy_subsystem;

static ssize_t live_show(struct config_item *item, char *page)
{
	struct pool_item *pool = to_pool_item(item);
	ssize_t length;
	int gone;

	if (mutex_lock_interruptible(&pool->lock))
		return -ERESTARTSYS;
	gone = pool->pool ? buddy_admin_is_gone(pool->pool) : 0;
	if (gone < 0)
		length = -ERESTARTSYS;
	else if (gone)
		length = sysfs_emit(page, "gone\n");
	else
		length = sysfs_emit(page, "%d\n", !!pool->pool);
	mutex_unlock(&pool->lock);
	return length;
}

static int make_live(struct pool_item *pool)
{
	struct buddy_admin_pool *made;
	int err;

	if (pool->pool)
		return refuse_live(pool);
	if (pool->settings.base) {
		err = security_locked_down(LOCKDOWN_MODULE_PARAMETERS);
		if (err)
			return err;
	}
	/* Keeps the directory; fails if it is being removed just now. */
	err = configfs_depend_item_unlocked(&buddy_subsystem, &pool->item);
	if (err)
		return err;
	pool->settings.name = config_item_name(&pool->item);
	made = buddy_admin_create(&pool->settings);
	if (IS_ERR(made)) {
		configfs_undepend_item(&pool->item);
		return PTR_ERR(made);
	}
	pool->pool = made;
	return 0;
}

static int end_live(struct pool_item *pool)
{
	int err;

	if (!pool->pool)
		return 0;
	err = buddy_admin_retire(pool->pool);
	if (err == -EBUSY)
		pr_err("%s: in use by an open file, a mapping or another module\n",
		       config_item_name(&pool->item));
	if (err)
		return err;
	pool->pool = NULL;
	configfs_undepend_item(&pool->item);
	return 0;
}

static ssize_t live_store(struct config_item *item, const char *page, size_t count)
{
	struct pool_item *pool = to_pool_item(item);
	unsigned int live;
	int err;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	err = kstrtouint(page, 0, &live);
	if (err || live > 1)
		return err ?: -EINVAL;
	if (mutex_lock_interruptible(&pool->lock))
		return -ERESTARTSYS;
	err = live ? make_live(pool) : end_live(pool);
	mutex_unlock(&pool->lock);
	return err ?: count;
}

POOL_ATTR(live);

/*
 * Directories
 */

static struct configfs_attribute *pool_attrs[] = {
	&attr_base,
	&attr_size,
	&attr_pci,
	&attr_bar,
	&attr_min_block,
	&attr_min_alloc,
	&attr_max_alloc,
	&attr_shards,
	&attr_cache,
	&attr_zero,
	&attr_share_dirty,
	&attr_max_file_bytes,
	&attr_max_file_blocks,
	&attr_max_user_bytes,
	&attr_max_user_blocks,
	&attr_live,
	NULL,
};

/* The last reference is gone, so the pool is not live. */
static void pool_release(struct config_item *item)
{
	struct pool_item *pool = to_pool_item(item);
	size_t offset;

	pool->settings.name = NULL;
	for (offset = 0; offset < sizeof(pool->settings); offset += sizeof(char *))
		kfree(*setting_at(&pool->settings, offset));
	kfree(pool);
}

static struct configfs_item_operations pool_ops = {
	.release = pool_release,
};

static const struct config_item_type pool_type = {
	.ct_owner = THIS_MODULE,
	.ct_item_ops = &pool_ops,
	.ct_attrs = pool_attrs,
};

static struct config_item *make_item(struct config_group *group, const char *name)
{
	struct pool_item *pool;
	int err = buddy_pool_check_name(name);

	if (err)
		return ERR_PTR(err);
	pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	if (!pool)
		return ERR_PTR(-ENOMEM);
	mutex_init(&pool->lock);
	config_item_init_type_name(&pool->item, name, &pool_type);
	/* A long name takes memory, and there is no other sign that there was none. */
	if (!config_item_name(&pool->item)) {
		config_item_put(&pool->item);
		return ERR_PTR(-ENOMEM);
	}
	return &pool->item;
}

static struct configfs_group_operations group_ops = {
	.make_item = make_item,
};

static const struct config_item_type group_type = {
	.ct_owner = THIS_MODULE,
	.ct_group_ops = &group_ops,
};

static struct configfs_subsystem buddy_subsystem = {
	.su_group.cg_item = {
		.ci_namebuf = "buddy_pool",
		.ci_type = &group_type,
	},
	.su_mutex = __MUTEX_INITIALIZER(buddy_subsystem.su_mutex),
};

static int __init buddy_configfs_init(void)
{
	config_group_init(&buddy_subsystem.su_group);
	return configfs_register_subsystem(&buddy_subsystem);
}

static void __exit buddy_configfs_exit(void)
{
	configfs_unregister_subsystem(&buddy_subsystem);
}

module_init(buddy_configfs_init);
module_exit(buddy_configfs_exit);

MODULE_LICENSE("GPL");
MODULE_INFO(import_ns, BUDDY_POOL_NAMESPACE);
MODULE_DESCRIPTION("Pools of buddy_pool that come and go at run time, through configfs");

// SPDX-License-Identifier: GPL-2.0
/*
 * Pools and blocks that a driver need not give back: the devm_ functions.
 *
 * A driver's resources go in reverse order when its device is unbound, so that
 * blocks go before the reference to their pool. What is left to us is that the
 * device of the pool may go first. The driver core knows how to deal with that:
 * a device link makes the pool's device a supplier of the client's, and a
 * supplier's consumers are unbound before it.
 */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/export.h>

#include "buddy_internal.h"

static void destroy_pool(void *pool)
{
	buddy_pool_destroy(pool);
}

struct buddy_pool *devm_buddy_pool_create(struct device *dev,
					  const struct buddy_pool_config *config)
{
	struct buddy_pool *pool;
	int err;

	pool = config ? buddy_pool_create_for(dev, config) : buddy_pool_create(NULL);
	if (IS_ERR(pool))
		return pool;
	err = devm_add_action_or_reset(dev, destroy_pool, pool);
	if (err)
		return ERR_PTR(err);
	buddy_pool_publish(pool);
	return pool;
}
EXPORT_SYMBOL_GPL(devm_buddy_pool_create);

/* Have @dev unbound before the device of @pool is */
static int link_to_device(struct device *dev, struct buddy_pool *pool)
{
	struct device *supplier = buddy_pool_device(pool);
	struct device_link *link;

	/* Without a driver nothing unbinds it, and the driver core allows no link. */
	if (!supplier || supplier == dev || !READ_ONCE(supplier->driver))
		return 0;
	/*
	 * If its probe() fails yet, nobody unbinds @dev; once it is bound, @dev is tried again.
	 * While it is being unbound, the driver core takes a new link for a mistake.
	 */
	switch (READ_ONCE(supplier->links.status)) {
	case DL_DEV_PROBING:
	case DL_DEV_UNBINDING:
		return -EPROBE_DEFER;
	default:
		break;
	}
	link = device_link_add(dev, supplier, DL_FLAG_AUTOREMOVE_CONSUMER);
	if (!link)
		return -EINVAL;
	/* Its consumers have been unbound already, or it has: @dev comes too late. */
	switch (READ_ONCE(link->status)) {
	case DL_STATE_SUPPLIER_UNBIND:
	case DL_STATE_DORMANT:
		return -EPROBE_DEFER;
	default:
		return 0;
	}
}

static void put_pool(void *pool)
{
	buddy_pool_put(pool);
}

struct buddy_pool *devm_buddy_pool_get(struct device *dev, const char *name)
{
	struct buddy_pool *pool;
	int err;

	if (!name || !name[0])
		return ERR_PTR(-EINVAL);
	pool = buddy_pool_get(name);
	if (!pool)
		return ERR_PTR(-EPROBE_DEFER);
	err = link_to_device(dev, pool);
	/* It went before there was a link. */
	if (!err && buddy_pool_is_gone(pool))
		err = -EPROBE_DEFER;
	if (err) {
		buddy_pool_put(pool);
		return ERR_PTR(err);
	}
	err = devm_add_action_or_reset(dev, put_pool, pool);
	return err ? ERR_PTR(err) : pool;
}
EXPORT_SYMBOL_GPL(devm_buddy_pool_get);

/* A block, with a reference to its pool */
struct buddy_devres {
	struct buddy_pool *pool;
	u64 address;
};

static void release_block(struct device *dev, void *data)
{
	struct buddy_devres *res = data;

	buddy_pool_free(res->pool, res->address, NULL);
	buddy_pool_put(res->pool);
}

static int is_block(struct device *dev, void *data, void *wanted)
{
	const struct buddy_devres *res = data, *other = wanted;

	return res->pool == other->pool && res->address == other->address;
}

int devm_buddy_pool_alloc(struct device *dev, struct buddy_pool *pool,
			  const struct buddy_pool_request *request,
			  struct buddy_pool_result *result)
{
	struct buddy_devres *res;
	int err;

	res = devres_alloc(release_block, sizeof(*res), GFP_KERNEL);
	if (!res) {
		result->reason = BUDDY_POOL_REASON_MEMORY;
		return -ENOMEM;
	}
	err = buddy_pool_alloc(pool, request, result);
	if (err) {
		devres_free(res);
		return err;
	}
	buddy_pool_ref(pool);
	res->pool = pool;
	res->address = result->address;
	devres_add(dev, res);
	return 0;
}
EXPORT_SYMBOL_GPL(devm_buddy_pool_alloc);

int devm_buddy_pool_free(struct device *dev, struct buddy_pool *pool, u64 address)
{
	struct buddy_devres wanted = { .pool = pool, .address = address };

	return devres_release(dev, release_block, is_block, &wanted);
}
EXPORT_SYMBOL_GPL(devm_buddy_pool_free);

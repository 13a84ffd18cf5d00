// SPDX-License-Identifier: GPL-2.0
/*
 * Who has an address: names out of the kernel's tree of memory resources, which
 * /proc/iomem shows, for messages.
 *
 * A resource may be freed, name and all, as soon as the lock of the tree is let
 * go, and modules can't take that lock. They can have it taken, though:
 * allocate_resource() holds it while it asks its caller's function about each gap
 * between resources. Ours looks around, copies what it finds, and declines.
 * Should a kernel ever ask without the lock held, this would need another way.
 */
#include <linux/ioport.h>
#include <linux/string.h>

#include "buddy_compat.h"
#include "buddy_internal.h"

struct search {
	struct buddy_iomem *found;
	u64 start;
	u64 last;
	const struct resource *own;
	bool done;
};

/* The first child of @parent that has an address in [start, last], or NULL */
static const struct resource *first_in(const struct resource *parent, u64 start, u64 last)
{
	const struct resource *child = parent->child;

	while (child && child->end < start)
		child = child->sibling;
	return child && child->start <= last ? child : NULL;
}

/* Goes down the same way as the kernel does with a new claim, up to what refuses it */
static void look(struct search *search)
{
	const struct resource *parent = &iomem_resource, *child;
	struct buddy_iomem *found = search->found;

	for (;;) {
		child = first_in(parent, search->start, search->last);
		if (!child || child == search->own)
			break;
		if (child->flags & IORESOURCE_BUSY || child->start > search->start ||
		    child->end < search->last) {
			found->busy = child->flags & IORESOURCE_BUSY;
			found->start = child->start;
			found->last = child->end;
			strscpy(found->owner, child->name ?: "?", sizeof(found->owner));
			break;
		}
		parent = child;
	}
	if (parent != &iomem_resource) {
		found->around = parent;
		strscpy(found->parent, parent->name ?: "?", sizeof(found->parent));
	}
}

static resource_size_t look_once(void *data, BP_ALIGNF_GAPS, resource_size_t size,
				 resource_size_t align)
{
	struct search *search = data;

	if (!search->done)
		look(search);
	search->done = true;
	/* Two bytes from the last address on: fits nowhere. */
	return (resource_size_t)-1;
}

/**
 * buddy_iomem_look() - see what is at some addresses
 * @found: the answer
 * @start: first address
 * @last: last address
 * @own: a claim of our own on just these addresses, to look no further than; or NULL
 */
void buddy_iomem_look(struct buddy_iomem *found, u64 start, u64 last, const struct resource *own)
{
	struct search search = { .found = found, .start = start, .last = last, .own = own };
	struct resource none = {};

	*found = (struct buddy_iomem){};
	if (WARN_ON_ONCE(!allocate_resource(&iomem_resource, &none, 2, 0, (resource_size_t)-1, 1,
					    look_once, &search)))
		release_resource(&none);
}

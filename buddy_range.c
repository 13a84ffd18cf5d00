// SPDX-License-Identifier: GPL-2.0
/*
 * What is behind a pool: a physical range or a PCI memory BAR, claimed so that
 * nobody else uses it, and given back.
 *
 * Nothing is mapped or enabled before all checks have passed. A refusal says in
 * one log line what is wrong, and who owns what is in the way.
 *
 * The whole range is mapped once in its cache mode. The mapping is of huge
 * pages where the architecture can, so that it costs next to nothing, and it
 * keeps the architecture's record of cache modes (x86 PAT) right for as long as
 * user space may have mappings. The kernel writes zeros to it and reads nothing.
 */
#define pr_fmt(fmt) "buddy_pool: " fmt

#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include "buddy_internal.h"

#define LOWEST_ADDRESS	SZ_1M	/* legacy devices and firmware below */

static const char *range_name(const struct buddy_pool_config *config)
{
	return config->name ?: "(unnamed)";
}

/*
 * Physical ranges
 */

static int check_numbers(const struct buddy_pool_config *config, u64 *last)
{
	const char *name = range_name(config);

	if (!config->size) {
		pr_err("%s: size is 0\n", name);
		return -EINVAL;
	}
	if (!PAGE_ALIGNED(config->base)) {
		pr_err("%s: base %#llx is no multiple of the page size, %lu\n", name,
		       config->base, PAGE_SIZE);
		return -EINVAL;
	}
	if (check_add_overflow(config->base, config->size - 1, last) ||
	    *last > iomem_resource.end) {
		pr_err("%s: base %#llx + size %#llx goes beyond the last physical address, %pa\n",
		       name, config->base, config->size, &iomem_resource.end);
		return -EINVAL;
	}
	if (config->base < LOWEST_ADDRESS) {
		pr_err("%s: base %#llx is in the first MiB, which firmware and legacy devices use\n",
		       name, config->base);
		return -EINVAL;
	}
	return 0;
}

/* The device that @resource is a BAR or ROM of, with a reference, or NULL */
static struct pci_dev *device_of(const struct resource *resource, int *bar)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		for (*bar = 0; *bar < PCI_BRIDGE_RESOURCES; ++*bar)
			if (&pdev->resource[*bar] == resource)
				return pdev;
	}
	return NULL;
}

static int note_part(struct resource *part, void *arg)
{
	struct resource *found = arg;

	found->start = part->start;
	found->end = part->end;
	return 1;
}

static int check_ram(const struct buddy_pool_config *config, u64 last)
{
	struct resource part = { .start = config->base, .end = last };

	if (region_intersects(config->base, config->size, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) ==
	    REGION_DISJOINT)
		return 0;
	walk_iomem_res_desc(IORES_DESC_NONE, IORESOURCE_SYSTEM_RAM, config->base, last, &part,
			    note_part);
	pr_err("%s: [mem %#llx-%#llx] is in use: %#llx-%#llx is System RAM: reserve it first (memmap=, or no-map in the device tree)\n",
	       range_name(config), config->base, last, (u64)part.start, (u64)part.end);
	return -EBUSY;
}

/*
 * Why a claim failed, which its caller only says is so. @what is claimed: "[mem
 * 0x...]" or "BAR ...". With nobody in the way, it takes memory that fails.
 */
static int report_conflict(const struct buddy_pool_config *config, const char *what, u64 start,
			   u64 last)
{
	struct buddy_iomem found;

	buddy_iomem_look(&found, start, last, NULL);
	if (!found.owner[0]) {
		pr_err("%s: %s can't be claimed: no kernel memory, or in use until just now\n",
		       range_name(config), what);
		return -ENOMEM;
	}
	if (!found.busy)
		pr_err("%s: %s is partly inside and partly outside of %#llx-%#llx, %s\n",
		       range_name(config), what, found.start, found.last, found.owner);
	else
		pr_err("%s: %s is in use: %#llx-%#llx belongs to %s%s%s\n", range_name(config),
		       what, found.start, found.last, found.owner, found.parent[0] ? " in " : "",
		       found.parent);
	return -EBUSY;
}

/* A BAR can be claimed by address, too, as long as no driver has; refuse that. */
static int check_parent(const struct buddy_pool_config *config, u64 last,
			const struct resource *own)
{
	struct buddy_iomem found;
	struct pci_dev *pdev;
	int bar;

	buddy_iomem_look(&found, config->base, last, own);
	pdev = found.around ? device_of(found.around, &bar) : NULL;
	if (!pdev)
		return 0;
	if (bar < PCI_STD_NUM_BARS)
		pr_err("%s: base %#llx is in BAR %d of %s: use pci=%s bar=%d\n", range_name(config),
		       config->base, bar, pci_name(pdev), pci_name(pdev), bar);
	else
		pr_err("%s: base %#llx is in the ROM or a virtual function's BAR of %s\n",
		       range_name(config), config->base, pci_name(pdev));
	pci_dev_put(pdev);
	return -EBUSY;
}

static void set_label(struct buddy_range *range, const struct buddy_pool_config *config)
{
	scnprintf(range->label, sizeof(range->label), "buddy_pool%s%s", config->name ? " " : "",
		  config->name ?: "");
}

/* Exclusive: closed to /dev/mem even if the kernel's configuration is less strict */
static int claim_phys(struct buddy_range *range, const struct buddy_pool_config *config)
{
	char what[64];
	u64 last;
	int err;

	err = check_numbers(config, &last) ?: check_ram(config, last);
	if (err)
		return err;
	set_label(range, config);
	range->resource = request_mem_region_exclusive(config->base, config->size, range->label);
	if (!range->resource) {
		scnprintf(what, sizeof(what), "[mem %#llx-%#llx]", config->base, last);
		return report_conflict(config, what, config->base, last);
	}
	err = check_parent(config, last, range->resource);
	if (err) {
		release_mem_region(config->base, config->size);
		range->resource = NULL;
		return err;
	}
	range->backing = BUDDY_POOL_BACKING_PHYS;
	range->cache = config->cache ?: BUDDY_POOL_CACHE_WC;
	range->start = config->base;
	range->size = config->size;
	return 0;
}

/*
 * PCI BARs
 */

static int check_bar(const struct buddy_pool_config *config)
{
	struct pci_dev *pdev = config->pdev;
	const char *fault = NULL;
	unsigned long flags;
	u64 length;

	if (config->bar < 0 || config->bar >= PCI_STD_NUM_BARS) {
		pr_err("%s: bar %d of %s must be 0 to %d\n", range_name(config), config->bar,
		       pci_name(pdev), PCI_STD_NUM_BARS - 1);
		return -EINVAL;
	}
	flags = pci_resource_flags(pdev, config->bar);
	length = pci_resource_len(pdev, config->bar);
	if (!length)
		fault = "does not exist";
	else if (!(flags & IORESOURCE_MEM))
		fault = "is not memory but I/O ports";
	else if (flags & IORESOURCE_UNSET)
		fault = "has no address";
	else if (length < PAGE_SIZE)
		fault = "is smaller than a page";
	else if (config->size > length)
		fault = "is smaller than size=";
	if (!fault)
		return 0;
	pr_err("%s: BAR %d of %s %s\n", range_name(config), config->bar, pci_name(pdev), fault);
	return -ENXIO;
}

static int claim_bar(struct buddy_range *range, const struct buddy_pool_config *config)
{
	struct pci_dev *pdev = config->pdev;
	char what[64];
	int err;

	err = check_bar(config);
	if (err)
		return err;
	err = pci_enable_device_mem(pdev);
	if (err) {
		pr_err("%s: %s can't be enabled: %d\n", range_name(config), pci_name(pdev), err);
		return err;
	}
	set_label(range, config);
	if (pci_request_selected_regions_exclusive(pdev, 1 << config->bar, range->label)) {
		scnprintf(what, sizeof(what), "BAR %d of %s", config->bar, pci_name(pdev));
		err = report_conflict(config, what, pci_resource_start(pdev, config->bar),
				      pci_resource_end(pdev, config->bar));
		pci_disable_device(pdev);
		return err;
	}
	range->backing = BUDDY_POOL_BACKING_PCI;
	range->cache = config->cache;
	if (!range->cache)
		range->cache = pci_resource_flags(pdev, config->bar) & IORESOURCE_PREFETCH ?
				       BUDDY_POOL_CACHE_WC : BUDDY_POOL_CACHE_UC;
	range->pdev = pci_dev_get(pdev);
	range->bar = config->bar;
	range->start = pci_resource_start(pdev, config->bar);
	range->size = config->size ?: pci_resource_len(pdev, config->bar);
	return 0;
}

/*
 * Both
 */

static void __iomem *map_range(const struct buddy_range *range)
{
	/* Where addresses are longer than pointers */
	if (range->size != (size_t)range->size)
		return NULL;
	switch (range->cache) {
	case BUDDY_POOL_CACHE_WB:
		return (void __force __iomem *)memremap(range->start, range->size,
							MEMREMAP_WB);
	case BUDDY_POOL_CACHE_WC:
		return ioremap_wc(range->start, range->size);
	default:
		return ioremap(range->start, range->size);
	}
}

int buddy_range_claim(struct buddy_range *range, const struct buddy_pool_config *config)
{
	int err;

	err = config->pdev ? claim_bar(range, config) : claim_phys(range, config);
	if (err)
		return err;
	range->io = map_range(range);
	if (!range->io) {
		pr_err("%s: %llu bytes can't be mapped: no address space is left, or somebody maps them in another cache mode\n",
		       range_name(config), range->size);
		buddy_range_release(range);
		return -ENOMEM;
	}
	return 0;
}

/* What the range was can still be told afterwards. */
void buddy_range_release(struct buddy_range *range)
{
	/* Undoes ioremap() as well */
	if (range->io)
		memunmap((void __force *)range->io);
	if (range->resource)
		release_mem_region(range->start, resource_size(range->resource));
	if (range->pdev) {
		pci_release_region(range->pdev, range->bar);
		pci_disable_device(range->pdev);
		pci_dev_put(range->pdev);
	}
	range->io = NULL;
	range->resource = NULL;
	range->pdev = NULL;
}

/* Zero [offset, offset + length), which lies in the range, as user space will see it */
void buddy_range_zero(const struct buddy_range *range, u64 offset, u64 length)
{
	memset_io(range->io + offset, 0, length);
	/* Out of the write-combining buffers before anybody else looks */
	wmb();
}

void buddy_range_set_prot(const struct buddy_range *range, struct vm_area_struct *vma)
{
	switch (range->cache) {
	case BUDDY_POOL_CACHE_WB:
		break;
	case BUDDY_POOL_CACHE_WC:
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
		break;
	default:
		vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	}
}

/* For the log: where the range is, and what it is part of */
const char *buddy_range_describe(const struct buddy_range *range, char *text, size_t size)
{
	u64 last = range->start + range->size - 1;
	struct buddy_iomem found;

	if (range->pdev) {
		scnprintf(text, size, "of %s BAR %d", pci_name(range->pdev), range->bar);
		return text;
	}
	buddy_iomem_look(&found, range->start, last, range->resource);
	scnprintf(text, size, "at [mem %#llx-%#llx] (%s)", range->start, last,
		  found.parent[0] ? found.parent : "unclaimed");
	return text;
}

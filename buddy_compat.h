/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels we build for, and nothing else. Each wrapper
 * has a name of our own and says what it stands for. The BP_HAVE_ macros come
 * from the probes in Kbuild.
 */
#ifndef BUDDY_COMPAT_H
#define BUDDY_COMPAT_H

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

/* In newer kernels: of a variable that is written before it is read, so need not be zeroed */
#ifndef __uninitialized
#if __has_attribute(__uninitialized__)
#define __uninitialized __attribute__((__uninitialized__))
#else
#define __uninitialized
#endif
#endif

/* vm_flags_mod(): since 6.3; the member was plain before. */
static inline void bp_vm_flags_change(struct vm_area_struct *vma, unsigned long set,
				      unsigned long clear)
{
#ifdef BP_HAVE_VM_FLAGS_MOD
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/*
 * driver_override, the only driver that may bind to a device. It moved from each bus's
 * device to struct device between 6.12 and 7.3. Some kernels in between have both, of
 * which the bus's own counts.
 */

/* @driver: "" for any */
static inline int bp_pci_set_driver_override(struct pci_dev *pdev, const char *driver)
{
#ifndef CONFIG_PCI
	return -ENODEV;
#elif defined(BP_HAVE_PCI_DRIVER_OVERRIDE)
	return driver_set_override(&pdev->dev, &pdev->driver_override, driver, strlen(driver));
#else
	return device_set_driver_override(&pdev->dev, driver);
#endif
}

/* Returns 1 if it is the name of @driver, 0 if it is another one, or less if there is none. */
static inline int bp_pci_match_driver_override(struct pci_dev *pdev,
					       const struct device_driver *driver)
{
#ifndef CONFIG_PCI
	return -ENODEV;
#elif defined(BP_HAVE_PCI_DRIVER_OVERRIDE)
	int match = -1;

	device_lock(&pdev->dev);
	if (pdev->driver_override)
		match = !strcmp(pdev->driver_override, driver->name);
	device_unlock(&pdev->dev);
	return match;
#else
	return device_match_driver_override(&pdev->dev, driver);
#endif
}

/* Has anybody a reference to this module, which is being loaded? Not all kernels count. */
static inline bool bp_module_is_used(void)
{
#ifdef CONFIG_MODULE_UNLOAD
	return module_refcount(THIS_MODULE) > 1;
#else
	return false;
#endif
}

/*
 * A cache that shares its slabs with no other: when a shared one is destroyed, its
 * name stays in sysfs. SLAB_NO_MERGE: since 6.5; before, a cache is not merged if
 * user copies may touch part of it, here the last byte.
 */
static inline struct kmem_cache *bp_kmem_cache_create_unmerged(const char *name, unsigned int size,
							       unsigned int align,
							       slab_flags_t flags)
{
#ifdef SLAB_NO_MERGE
	return kmem_cache_create(name, size, align, flags | SLAB_NO_MERGE, NULL);
#else
	return kmem_cache_create_usercopy(name, size, align, flags, size - 1, 1, NULL);
#endif
}

/*
 * The gaps that allocate_resource() asks its caller's function about: the aligned
 * one, and between 6.12 and 7.3 the whole one came, too.
 */
#ifdef BP_HAVE_ALIGNF_EMPTY
#define BP_ALIGNF_GAPS const struct resource *gap, const struct resource *whole_gap
#else
#define BP_ALIGNF_GAPS const struct resource *gap
#endif

#endif

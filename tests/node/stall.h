/* SPDX-License-Identifier: GPL-2.0 */
/* Pages that stop a call in its middle, by userfaultfd. */
#ifndef STALL_H
#define STALL_H

#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#include "node.h"

/* Makes whoever reads @page wait (@mode MISSING), or whoever writes it (WP) */
static inline int stall_on(void *page, __u64 mode)
{
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)page, .len = PAGE }, .mode = mode,
	};
	struct uffdio_writeprotect wp = {
		.range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (mode == UFFDIO_REGISTER_MODE_WP)
		api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP;
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		return -1;
	if (mode == UFFDIO_REGISTER_MODE_WP && ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
		return -1;
	return uffd;
}

static inline void *new_page(void)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

#endif

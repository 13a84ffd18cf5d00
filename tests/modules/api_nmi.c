// SPDX-License-Identifier: GPL-2.0
/* Mistakes that take a guest: calls in NMI. */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/sizes.h>

#include "api_test.h"

#ifdef CONFIG_X86
#include <asm/nmi.h>
#endif

#ifdef CONFIG_X86

static struct buddy_pool *nmi_pool;
static u64 nmi_block;
static atomic_t nr_nmis, nr_refused;

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	const struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result result;

	if (buddy_pool_alloc(nmi_pool, &request, &result) == -EINVAL &&
	    buddy_pool_free(nmi_pool, nmi_block, NULL) == -EINVAL)
		atomic_inc(&nr_refused);
	atomic_inc(&nr_nmis);
	/* It is somebody else's NMI. */
	return NMI_DONE;
}

/* The test script causes NMIs meanwhile, by the magic SysRq key 'l'. */
void api_nmi(void)
{
	const struct buddy_pool_request request = { .size = SZ_4K };
	struct buddy_pool_result block;
	int i;

	nmi_pool = api_create("nmi", SZ_64K);
	if (!nmi_pool)
		return;
	check(!buddy_pool_alloc(nmi_pool, &request, &block), "a block");
	nmi_block = block.address;
	if (check(!register_nmi_handler(NMI_LOCAL, on_nmi, 0, "buddy_api_test"), "a handler")) {
		for (i = 0; i < 500 && !atomic_read(&nr_nmis); i++)
			msleep(20);
		unregister_nmi_handler(NMI_LOCAL, "buddy_api_test");
	}
	check(atomic_read(&nr_nmis), "there was an NMI");
	check(atomic_read(&nr_nmis) == atomic_read(&nr_refused), "M12 all calls in NMI refused");
	check(!buddy_pool_free(nmi_pool, block.address, NULL), "M12 and the block is untouched");
	buddy_pool_put(nmi_pool);
}

#else

void api_nmi(void)
{
	check(true, "# SKIP no NMI that a module could handle");
}

#endif

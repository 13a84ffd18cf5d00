// SPDX-License-Identifier: GPL-2.0
/*
 * What libbuddypool says to people: names, sizes, and a sentence for each refusal
 * that says what would have worked.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libbuddypool.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define __printf(a, b)	__attribute__((format(printf, a, b)))

static const struct {
	const char *name;
	const char *text;
} reasons[] = {
	[BUDDY_POOL_REASON_NONE] = { "none", "no reason given" },
	[BUDDY_POOL_REASON_UNDERSIZE] = { "undersize", "the length is below the least one" },
	[BUDDY_POOL_REASON_OVERSIZE] = { "oversize", "the length can never fit" },
	[BUDDY_POOL_REASON_ALIGN] = {
		"align", "the alignment is no power of two, or can't be met in this pool" },
	[BUDDY_POOL_REASON_WINDOW] = {
		"window", "the window from start to end is empty or not inside the pool" },
	[BUDDY_POOL_REASON_FLAGS] = { "flags", "unknown or contradicting flags" },
	[BUDDY_POOL_REASON_EXHAUSTED] = { "exhausted", "less is free than was asked for" },
	[BUDDY_POOL_REASON_FRAGMENTED] = {
		"fragmented", "enough is free, but in pieces that are too small" },
	[BUDDY_POOL_REASON_IN_USE] = { "in-use", "part of the fixed place is in use" },
	[BUDDY_POOL_REASON_NOT_ALLOCATED] = {
		"not-allocated", "it is free already (double free)" },
	[BUDDY_POOL_REASON_INTERIOR] = { "interior", "it is inside a block, not its start" },
	[BUDDY_POOL_REASON_MISALIGNED] = {
		"misaligned", "it is no multiple of the pool's smallest block" },
	[BUDDY_POOL_REASON_OUT_OF_RANGE] = { "out-of-range", "it is outside the pool" },
	[BUDDY_POOL_REASON_NO_HANDLE] = {
		"no-handle", "this open file has no such block: never had it, or freed it before" },
	[BUDDY_POOL_REASON_RESERVED] = { "reserved", "it is in a reserved range" },
	[BUDDY_POOL_REASON_MEMORY] = { "memory", "the kernel is out of memory" },
	[BUDDY_POOL_REASON_LABEL] = {
		"label", "the label is too long or has characters that can't be printed" },
	[BUDDY_POOL_REASON_QUOTA] = {
		"quota", "the quota of this open file or of this user is reached" },
	[BUDDY_POOL_REASON_GONE] = { "gone", "the device behind the pool went away" },
};

static const struct {
	int value;
	const char *name;
} errnos[] = {
	{ EPERM, "EPERM" }, { ENOENT, "ENOENT" }, { EINTR, "EINTR" }, { EBADF, "EBADF" },
	{ ENOMEM, "ENOMEM" }, { EACCES, "EACCES" }, { EFAULT, "EFAULT" }, { EBUSY, "EBUSY" },
	{ ENODEV, "ENODEV" }, { EINVAL, "EINVAL" }, { EMFILE, "EMFILE" }, { ENOTTY, "ENOTTY" },
	{ ENOSPC, "ENOSPC" }, { ENXIO, "ENXIO" }, { E2BIG, "E2BIG" }, { EDQUOT, "EDQUOT" },
	{ ERANGE, "ERANGE" },
};

const char *bp_reason_name(__u32 reason)
{
	if (reason < ARRAY_SIZE(reasons) && reasons[reason].name)
		return reasons[reason].name;
	return "unknown";
}

const char *bp_reason_text(__u32 reason)
{
	if (reason < ARRAY_SIZE(reasons) && reasons[reason].text)
		return reasons[reason].text;
	return "for a reason that this program is too old to know";
}

const char *bp_errno_name(int err)
{
	for (size_t i = 0; i < ARRAY_SIZE(errnos); i++) {
		if (errnos[i].value == -err)
			return errnos[i].name;
	}
	return "unknown";
}

const char *bp_cache_name(__u32 cache)
{
	switch (cache) {
	case BUDDY_POOL_CACHE_UC:
		return "uc";
	case BUDDY_POOL_CACHE_WC:
		return "wc";
	case BUDDY_POOL_CACHE_WB:
		return "wb";
	}
	return "unknown";
}

const char *bp_zero_name(__u32 zero)
{
	switch (zero) {
	case BUDDY_POOL_ZERO_NEVER:
		return "never";
	case BUDDY_POOL_ZERO_ALLOC:
		return "alloc";
	case BUDDY_POOL_ZERO_FREE:
		return "free";
	}
	return "unknown";
}

const char *bp_backing_name(__u32 backing)
{
	switch (backing) {
	case BUDDY_POOL_BACKING_PHYS:
		return "physical";
	case BUDDY_POOL_BACKING_PCI:
		return "pci";
	}
	return "unknown";
}

int bp_parse_size(const char *text, __u64 *size)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned long long n;
	char *end;
	int shift = 0;

	/* strtoull() would take "-1" and leading blanks. */
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno)
		return -ERANGE;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * (unit - units + 1);
	}
	if (n > (~0ULL >> shift))
		return -ERANGE;
	*size = n << shift;
	return 0;
}

void bp_format_size(char text[BP_SIZE_LEN], __u64 size)
{
	static const char units[] = " KMGT";
	int unit = 0;

	while (size && !(size & 1023) && units[unit + 1]) {
		size >>= 10;
		unit++;
	}
	if (unit)
		snprintf(text, BP_SIZE_LEN, "%llu%c", size, units[unit]);
	else
		snprintf(text, BP_SIZE_LEN, "%llu", size);
}

/* Adds to what @text has; cuts what does not fit. */
static __printf(2, 3) void say(char text[BP_TEXT_LEN], const char *format, ...)
{
	size_t have = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + have, BP_TEXT_LEN - have, format, args);
	va_end(args);
}

static bool module_is_loaded(void)
{
	struct stat st;

	return !stat("/sys/module/buddy_pool", &st);
}

void bp_explain_open(char text[BP_TEXT_LEN], const char *name, int err)
{
	text[0] = '\0';
	say(text, "can't open pool '%s': ", name);
	switch (err) {
	case -ENOENT:
		if (module_is_loaded())
			say(text, "there is no such pool; 'buddyctl list' shows those there are");
		else
			say(text, "the module buddy_pool is not loaded; see buddyctl(1)");
		break;
	case -EACCES:
		say(text, "%s; the node belongs to root unless a udev rule gives it to a group",
		    strerror(-err));
		break;
	case -EPERM:
		say(text, "%s; with zero=never it takes CAP_SYS_RAWIO, or share_dirty=1",
		    strerror(-err));
		break;
	case -ENOTTY:
		say(text, "this is no pool; if it is a regular file in " BP_DIR
		    ", remove it and load the module again");
		break;
	case -ENODEV:
	case -ENXIO:
		say(text, "the device behind it went away, or is just coming: then try again");
		break;
	default:
		say(text, "%s", strerror(-err));
	}
}

/* Is there a run for @req, but none that a whole power of two would fit? */
static bool is_pow2_too_long(const struct buddy_pool_alloc *req)
{
	__u64 whole = 1;

	if (!(req->flags & BUDDY_POOL_ALLOC_POW2))
		return false;
	/* It becomes 0 where no power of two is long enough. */
	while (whole && whole < req->length)
		whole *= 2;
	return !whole || req->largest < whole;
}

/* For want of space: what is there, and what to type instead. */
static void say_largest(char text[BP_TEXT_LEN], const struct buddy_pool_alloc *req)
{
	char size[BP_SIZE_LEN];

	if (req->flags & BUDDY_POOL_ALLOC_FIXED) {
		say(text, "; 'buddyctl map' shows what is free");
		return;
	}
	if (!req->largest) {
		say(text, "; nothing at all is free%s",
		    req->start || req->end ? " between start and end" : "");
		return;
	}
	bp_format_size(size, req->largest);
	if (req->largest < req->length)
		say(text, "; the longest free run is %s: try 'alloc %s --align 1'", size, size);
	else if (is_pow2_too_long(req))
		say(text, "; a run of %s is free: try --align 1 instead of --pow2", size);
	else
		say(text, "; a run of %s is free, but not so aligned: try a smaller --align", size);
}

static void say_quota(char text[BP_TEXT_LEN], const struct buddy_pool_alloc *req)
{
	char size[BP_SIZE_LEN];

	if (!req->largest) {
		say(text, "; free blocks, or ask for more of max_file_* or max_user_*");
		return;
	}
	bp_format_size(size, req->largest);
	say(text, "; it leaves %s", size);
}

static void say_limits(char text[BP_TEXT_LEN], const struct bp_pool *pool)
{
	char least[BP_SIZE_LEN], most[BP_SIZE_LEN];
	struct buddy_pool_info info;

	if (bp_info(pool, &info))
		return;
	bp_format_size(least, info.min_alloc);
	bp_format_size(most, info.max_alloc);
	say(text, "; this pool takes %s to %s", least, most);
}

void bp_explain_alloc(char text[BP_TEXT_LEN], const struct bp_pool *pool,
		      const struct buddy_pool_alloc *req, int err)
{
	char size[BP_SIZE_LEN];

	text[0] = '\0';
	bp_format_size(size, req->length);
	say(text, "no block of %s: ", size);
	if (req->reason == BUDDY_POOL_REASON_NONE) {
		say(text, "%s", err == -EBADF ? "the pool is not open for writing" :
		    strerror(-err));
		return;
	}
	say(text, "%s", bp_reason_text(req->reason));
	if (err == -ENOSPC)
		say_largest(text, req);
	else if (err == -EDQUOT)
		say_quota(text, req);
	else if (req->reason == BUDDY_POOL_REASON_OVERSIZE ||
		 req->reason == BUDDY_POOL_REASON_UNDERSIZE)
		say_limits(text, pool);
}

void bp_explain_free(char text[BP_TEXT_LEN], __u32 handle, __u32 reason, int err)
{
	text[0] = '\0';
	say(text, "can't free handle %u: ", handle);
	if (err == -EBADF)
		say(text, "the pool is not open for writing");
	else if (reason == BUDDY_POOL_REASON_NONE)
		say(text, "%s", strerror(-err));
	else
		say(text, "%s", bp_reason_text(reason));
}

void bp_explain_range(char text[BP_TEXT_LEN], const char *what, int err)
{
	text[0] = '\0';
	say(text, "%s: ", what);
	switch (err) {
	case -EPERM:
		say(text, "that needs CAP_SYS_ADMIN");
		break;
	case -EBUSY:
		say(text, "not all of it is free; 'buddyctl map' shows what is");
		break;
	case -ERANGE:
		say(text, "not all of it is in the pool");
		break;
	case -EINVAL:
		say(text, "offset and length must be multiples of min_block, length not 0");
		break;
	case -ENOENT:
		say(text, "no such range is reserved; give offset and length as for reserve");
		break;
	default:
		say(text, "%s", strerror(-err));
	}
}

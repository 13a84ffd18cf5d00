// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzzer with a model (row B59). The model is a table of pages, of blocks, of open
 * files and of mappings, with no idea of how an allocator works: it says what a call
 * may answer by looking at every page.
 *
 * For a small pool, see tests/vm/fuzz.sh.
 */
#include <stdarg.h>

#include "fuzz.h"

#define MAX_PAGES	2048
#define MAX_BLOCKS	512
#define MAX_FILES	6
#define MAX_FDS		12
#define MAX_VMAS	128
#define MAX_BATCH	8
#define NR_FREE		0
#define RESERVED	-1

struct model_file {
	unsigned int nr_fds;
	unsigned int nr_vmas;
	int oflags;
	__u64 blocks;
	__u64 bytes;
};

struct model_block {
	struct model_file *file;	/* NULL: there is none */
	__u32 handle;			/* 0: freed, and held by mappings */
	__u64 offset;
	__u64 length;
	unsigned int nr_vmas;
	char label[BUDDY_POOL_LABEL_LEN];
};

struct model_vma {
	unsigned int start;		/* pages of the arena */
	unsigned int end;
	struct model_block *block;
	__u64 offset;			/* in the pool */
	int prot;
};

/* What is so, if all is well */
static struct {
	struct buddy_pool_info info;
	__u64 base;			/* physical */
	unsigned int nr_pages;
	unsigned int largest_order;	/* in pages, of an empty pool */
	int owner[MAX_PAGES];		/* number of a block + 1, NR_FREE or RESERVED */
	__u32 content[MAX_PAGES];
	__u64 bad_frees;
	__u64 user_blocks;
	__u64 user_bytes;
	struct model_file files[MAX_FILES];
	struct model_block blocks[MAX_BLOCKS];
	struct model_vma vmas[MAX_VMAS];
	unsigned int nr_vmas;
	struct { int fd; struct model_file *file; } fds[MAX_FDS];
	unsigned int nr_fds;
	int watcher;
} m;

static __u64 rng;
static __u64 nr_calls;
static bool broken;
static const char *what;		/* the call that is being made */

__attribute__((format(printf, 2, 3)))
static bool expect(bool ok, const char *format, ...)
{
	va_list args;

	if (ok || broken)
		return ok;
	broken = true;
	printf("# call %llu, %s: ", (unsigned long long)nr_calls, what);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	return false;
}

static bool expect_result(int want, int got)
{
	count_answer(what, got);
	return expect(want == got, "%s, should be %s", got ? strerror(-got) : "success",
		      want ? strerror(-want) : "success");
}

/*
 * The model: life cycle
 */

static void drop_block(struct model_block *b)
{
	for (__u64 p = b->offset / PAGE; p < (b->offset + b->length) / PAGE; p++)
		m.owner[p] = NR_FREE;
	b->file->blocks--;
	b->file->bytes -= b->length;
	m.user_blocks--;
	m.user_bytes -= b->length;
	b->file = NULL;
}

/* Without its handle */
static void disown(struct model_block *b)
{
	b->handle = 0;
	if (!b->nr_vmas)
		drop_block(b);
}

static void maybe_release(struct model_file *f)
{
	if (f->nr_fds || f->nr_vmas)
		return;
	for (unsigned int i = 0; i < MAX_BLOCKS; i++)
		if (m.blocks[i].file == f)
			disown(&m.blocks[i]);
}

static void add_vma(unsigned int start, unsigned int end, struct model_block *b, __u64 offset,
		    int prot)
{
	m.vmas[m.nr_vmas++] = (struct model_vma){ start, end, b, offset, prot };
	b->nr_vmas++;
	b->file->nr_vmas++;
}

static void remove_vma(unsigned int i)
{
	struct model_block *b = m.vmas[i].block;
	struct model_file *f = b->file;

	m.vmas[i] = m.vmas[--m.nr_vmas];
	f->nr_vmas--;
	if (!--b->nr_vmas && !b->handle)
		drop_block(b);
	maybe_release(f);
}

/* Cuts [start, end) out of all mappings; what is left over becomes mappings first. */
static void unmap_model(unsigned int start, unsigned int end)
{
	for (unsigned int i = m.nr_vmas; i-- > 0;) {
		struct model_vma v = m.vmas[i];

		if (v.end <= start || v.start >= end)
			continue;
		if (v.start < start)
			add_vma(v.start, start, v.block, v.offset, v.prot);
		if (v.end > end)
			add_vma(end, v.end, v.block, v.offset + (end - v.start) * PAGE, v.prot);
		remove_vma(i);
	}
}

static struct model_block *block_of_handle(const struct model_file *f, __u32 handle)
{
	for (unsigned int i = 0; handle && i < MAX_BLOCKS; i++)
		if (m.blocks[i].file == f && m.blocks[i].handle == handle)
			return &m.blocks[i];
	return NULL;
}

/*
 * The model: allocation
 */

static __u64 round_up_pow2(__u64 n)
{
	__u64 p = 1;

	while (p < n)
		p *= 2;
	return p;
}

/* A request in pages, as the pool has it */
struct wish {
	unsigned int nr;
	__u64 align;		/* bytes */
	unsigned int start;
	unsigned int end;
};

/* False if the request can never be met */
static bool understand(const struct buddy_pool_alloc *a, struct wish *w)
{
	__u64 length = (__u64)m.nr_pages * PAGE;
	__u64 end = a->end ?: length;
	__u64 nr;

	if (a->length < m.info.min_alloc || a->length > m.info.max_alloc || a->length > length ||
	    a->start >= length || a->end > length)
		return false;
	nr = (a->length + PAGE - 1) / PAGE;
	if (a->flags & BUDDY_POOL_ALLOC_POW2)
		nr = round_up_pow2(nr);
	if (a->align & (a->align - 1) || nr > m.nr_pages)
		return false;
	w->nr = nr;
	w->align = a->align ?: round_up_pow2(nr) * PAGE;
	if (!a->align && w->align > PAGE << m.largest_order)
		w->align = PAGE << m.largest_order;
	if (w->align < PAGE)
		w->align = PAGE;
	if (a->flags & BUDDY_POOL_ALLOC_FIXED) {
		if (a->end || a->flags & BUDDY_POOL_ALLOC_TOP_DOWN || a->start % PAGE)
			return false;
		if (!a->align)
			w->align = PAGE;
		w->start = a->start / PAGE;
		w->end = w->start + nr;
	} else {
		if (a->start >= end)
			return false;
		w->start = (a->start + PAGE - 1) / PAGE;
		w->end = end / PAGE;
	}
	return w->end <= m.nr_pages;
}

/* How many disjoint places there are for a wish, empty pool or not; stops at @enough */
static unsigned int nr_places(const struct wish *w, bool empty, unsigned int enough)
{
	unsigned int found = 0, p, q;

	for (p = w->start; p + w->nr <= w->end && found < enough; p++) {
		if ((m.base + p * PAGE) & (w->align - 1))
			continue;
		for (q = p; q < p + w->nr && (empty || m.owner[q] == NR_FREE); q++)
			;
		if (q == p + w->nr) {
			found++;
			p = q - 1;
		}
	}
	return found;
}

static bool quota_allows(const struct model_file *f, __u64 blocks, __u64 bytes)
{
	return f->blocks + blocks <= m.info.max_file_blocks &&
	       f->bytes + bytes <= m.info.max_file_bytes &&
	       m.user_blocks + blocks <= m.info.max_user_blocks &&
	       m.user_bytes + bytes <= m.info.max_user_bytes;
}

static int answer_of_alloc(const struct model_file *f, const struct buddy_pool_alloc *a)
{
	struct wish w;

	if (!understand(a, &w) || !nr_places(&w, true, 1))
		return -EINVAL;
	if (!quota_allows(f, 1, w.nr * PAGE))
		return -EDQUOT;
	return nr_places(&w, false, 1) ? 0 : -ENOSPC;
}

/* The kernel's choice must be a place that was free, and as was asked for. */
static void add_block(struct model_file *f, const struct buddy_pool_alloc *a, __u32 handle,
		      __u64 offset, __u64 granted)
{
	struct model_block *b = m.blocks;
	struct wish w = { };

	while (b->file)
		b++;
	understand(a, &w);
	expect(handle && !block_of_handle(f, handle), "handle %u is in use", handle);
	if (!expect(granted == w.nr * PAGE, "granted %llu, not %lu", granted, w.nr * PAGE) ||
	    !expect(!((m.base + offset) & (w.align - 1)) && offset / PAGE >= w.start &&
		    offset / PAGE + w.nr <= w.end, "offset %#llx was not asked for", offset))
		return;
	*b = (struct model_block){
		.file = f, .handle = handle, .offset = offset, .length = granted,
	};
	memcpy(b->label, a->label, sizeof(b->label));
	for (__u64 p = offset / PAGE; p < offset / PAGE + w.nr; p++) {
		expect(m.owner[p] == NR_FREE, "page %llu is somebody's", p);
		m.owner[p] = b - m.blocks + 1;
		m.content[p] = 0;
	}
	f->blocks++;
	f->bytes += granted;
	m.user_blocks++;
	m.user_bytes += granted;
}

static unsigned int nr_live_blocks(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < MAX_BLOCKS; i++)
		n += !!m.blocks[i].file;
	return n;
}

/*
 * Choosing
 */

static unsigned int any_fd(void)
{
	return below(&rng, m.nr_fds);
}

static struct model_block *any_block(void)
{
	unsigned int from = below(&rng, MAX_BLOCKS);

	for (unsigned int i = 0; i < MAX_BLOCKS; i++)
		if (m.blocks[(from + i) % MAX_BLOCKS].file)
			return &m.blocks[(from + i) % MAX_BLOCKS];
	return NULL;
}

/* Mostly one of this file */
static __u32 any_handle(const struct model_file *f)
{
	struct model_block *b = any_block();

	for (unsigned int i = 0; b && b->file != f && i < 8; i++)
		b = any_block();
	if (!b || one_in(&rng, 16))
		return odd_number(&rng);
	return b->handle;
}

static __u64 any_length(void)
{
	switch (below(&rng, 8)) {
	case 0:
		return below(&rng, m.info.length + 1);
	case 1:
		return PAGE << below(&rng, 10);
	default:
		return 1 + below(&rng, 8 * PAGE);
	}
}

static struct buddy_pool_alloc any_request(void)
{
	struct buddy_pool_alloc a = request(any_length());

	if (one_in(&rng, 4))
		a.align = 1ULL << below(&rng, 24);
	if (one_in(&rng, 4))
		a.start = below(&rng, m.nr_pages) * PAGE;
	if (one_in(&rng, 8))
		a.end = below(&rng, m.nr_pages + 1) * PAGE;
	if (one_in(&rng, 3))
		a.flags = below(&rng, 8);
	if (a.flags & BUDDY_POOL_ALLOC_FIXED && !one_in(&rng, 8)) {
		a.end = 0;
		a.flags &= ~BUDDY_POOL_ALLOC_TOP_DOWN;
	}
	if (one_in(&rng, 2))
		snprintf(a.label, sizeof(a.label), "label %u", (unsigned int)below(&rng, 1000));
	switch (below(&rng, 64)) {
	case 0:
		a.length = odd_number(&rng);
		break;
	case 1:
		a.align = odd_number(&rng);
		break;
	case 2:
		a.start = odd_number(&rng);
		break;
	case 3:
		a.end = odd_number(&rng);
		break;
	}
	return a;
}

/*
 * Ioctls on blocks
 */

static int write_refused(const struct model_file *f)
{
	return (f->oflags & O_ACCMODE) == O_RDONLY ? -EBADF : 0;
}

static void do_alloc(void)
{
	unsigned int n = any_fd();
	struct model_file *f = m.fds[n].file;
	struct buddy_pool_alloc a = any_request(), in = a;
	int want = write_refused(f) ?: answer_of_alloc(f, &a);
	int got;

	if (nr_live_blocks() == MAX_BLOCKS)
		return;
	what = "ALLOC";
	got = call(m.fds[n].fd, BUDDY_POOL_ALLOC, &a);
	if (!expect_result(want, got)) {
		printf("# length %#llx align %#llx window [%#llx, %#llx) flags %#x\n", in.length,
		       in.align, in.start, in.end, in.flags);
		return;
	}
	if (!got)
		add_block(f, &in, a.handle, a.offset, a.granted);
	else if (got != -EBADF)
		expect(a.reason && !a.handle && !a.granted, "refused, with half an answer");
}

/*
 * Which of its own places a batch takes decides what is left, unless all places are
 * the same.
 */
static bool may_answer_batch(const struct model_file *f, const struct buddy_pool_alloc *a,
			     unsigned int count, int got)
{
	struct wish w;
	unsigned int places;

	if (write_refused(f) || !understand(a, &w) || !nr_places(&w, true, 1))
		return got == (write_refused(f) ?: -EINVAL);
	places = nr_places(&w, false, count);
	if (!quota_allows(f, count, count * w.nr * PAGE))
		return got == -EDQUOT || (got == -ENOSPC && places < count);
	if (places < count)
		return got == -ENOSPC;
	return !got || (got == -ENOSPC && count > 1 && w.align != w.nr * PAGE);
}

static void do_alloc_batch(void)
{
	unsigned int n = any_fd();
	struct model_file *f = m.fds[n].file;
	struct buddy_pool_alloc a = any_request();
	struct buddy_pool_block blocks[MAX_BATCH];
	struct buddy_pool_alloc_batch batch = {
		.size = sizeof(batch), .flags = a.flags & ~BUDDY_POOL_ALLOC_FIXED,
		.length = a.length, .align = a.align, .start = a.start, .end = a.end,
		.blocks = (uintptr_t)blocks, .count = 1 + below(&rng, MAX_BATCH),
	};
	int got;

	if (nr_live_blocks() + MAX_BATCH > MAX_BLOCKS)
		return;
	a.flags = batch.flags;
	memcpy(batch.label, a.label, sizeof(a.label));
	what = "ALLOC_BATCH";
	got = call(m.fds[n].fd, BUDDY_POOL_ALLOC_BATCH, &batch);
	count_answer(what, got);
	if (!expect(may_answer_batch(f, &a, batch.count, got), "%s is no answer",
		    got ? strerror(-got) : "success")) {
		printf("# %u of length %#llx align %#llx window [%#llx, %#llx) flags %#x\n",
		       batch.count, a.length, a.align, a.start, a.end, a.flags);
		return;
	}
	for (unsigned int i = 0; !got && i < batch.count; i++)
		add_block(f, &a, blocks[i].handle, blocks[i].offset, batch.granted);
}

static void do_free(void)
{
	unsigned int n = any_fd();
	struct model_file *f = m.fds[n].file;
	__u32 handle = any_handle(f);
	struct model_block *b = block_of_handle(f, handle);
	int want = write_refused(f) ?: b ? 0 : -ENOENT;

	what = "FREE";
	if (!expect_result(want, free_handle(m.fds[n].fd, handle)))
		return;
	m.bad_frees += want == -ENOENT;
	if (!want)
		disown(b);
}

static void do_free_batch(void)
{
	unsigned int n = any_fd();
	struct model_file *f = m.fds[n].file;
	struct model_block *found[MAX_BATCH];
	struct buddy_pool_block blocks[MAX_BATCH] = { };
	struct buddy_pool_free_batch batch = {
		.size = sizeof(batch), .blocks = (uintptr_t)blocks,
		.count = 1 + below(&rng, MAX_BATCH),
	};
	int want = write_refused(f);

	for (unsigned int i = 0; i < batch.count; i++) {
		blocks[i].handle = any_handle(f);
		found[i] = block_of_handle(f, blocks[i].handle);
		for (unsigned int j = 0; j < i; j++)
			if (found[j] == found[i])
				found[i] = NULL;
		if (!found[i] && !want)
			want = -ENOENT;
	}
	what = "FREE_BATCH";
	if (!expect_result(want, call(m.fds[n].fd, BUDDY_POOL_FREE_BATCH, &batch)))
		return;
	m.bad_frees += want == -ENOENT;
	for (unsigned int i = 0; !want && i < batch.count; i++)
		disown(found[i]);
}

static void check_block(const struct model_block *b, const struct buddy_pool_query *q)
{
	expect(q->handle == b->handle && q->offset == b->offset && q->granted == b->length &&
	       q->map_offset == b->offset && q->mappings == b->nr_vmas &&
	       !memcmp(q->label, b->label, sizeof(q->label)),
	       "handle %u at %#llx, %llu bytes, %u mappings, '%.32s'; should be at %#llx, %llu bytes, %u mappings, '%.32s'",
	       q->handle, q->offset, q->granted, q->mappings, q->label, b->offset, b->length,
	       b->nr_vmas, b->label);
}

static void do_query(void)
{
	unsigned int n = any_fd();
	struct buddy_pool_query q = {
		.size = sizeof(q), .handle = any_handle(m.fds[n].file),
	};
	struct model_block *b = block_of_handle(m.fds[n].file, q.handle);

	what = "QUERY";
	if (expect_result(b ? 0 : -ENOENT, call(m.fds[n].fd, BUDDY_POOL_QUERY, &q)) && b)
		check_block(b, &q);
}

static void do_get_phys(void)
{
	unsigned int n = any_fd();
	struct buddy_pool_phys p = {
		.size = sizeof(p), .handle = any_handle(m.fds[n].file),
	};
	struct model_block *b = block_of_handle(m.fds[n].file, p.handle);

	what = "GET_PHYS";
	if (expect_result(b ? 0 : -ENOENT, call(m.fds[n].fd, BUDDY_POOL_GET_PHYS, &p)) && b)
		expect(p.address == m.base + b->offset, "address %#llx", p.address);
}

/* All of them, some at a time */
static void do_list(void)
{
	unsigned int n = any_fd(), seen = 0, all = 0;
	struct buddy_pool_query q[16];
	struct buddy_pool_list list = { .size = sizeof(list), .entries = (uintptr_t)q };
	__u32 last = 0;

	what = "LIST";
	for (unsigned int i = 0; i < MAX_BLOCKS; i++)
		all += m.blocks[i].file == m.fds[n].file && m.blocks[i].handle;
	do {
		list.count = 1 + below(&rng, ARRAY_SIZE(q));
		if (!expect_result(0, call(m.fds[n].fd, BUDDY_POOL_LIST, &list)))
			return;
		for (unsigned int i = 0; i < list.count; i++, seen++) {
			struct model_block *b = block_of_handle(m.fds[n].file, q[i].handle);

			if (!expect(b && q[i].handle > last, "handle %u", q[i].handle))
				return;
			check_block(b, &q[i]);
			last = q[i].handle;
		}
	} while (list.next);
	expect(seen == all, "%u blocks, not %u", seen, all);
}

/*
 * Ioctls on the pool
 */

static void do_stats(void)
{
	__u64 used = 0, held = 0, reserved = 0, free = 0, run = 0, largest = 0;
	struct buddy_pool_stats s;
	unsigned int blocks = nr_live_blocks();

	what = "STATS";
	for (unsigned int p = 0; p < m.nr_pages; p++) {
		struct model_block *b = m.owner[p] > 0 ? &m.blocks[m.owner[p] - 1] : NULL;

		used += b && b->handle ? PAGE : 0;
		held += b && !b->handle ? PAGE : 0;
		reserved += m.owner[p] == RESERVED ? PAGE : 0;
		free += m.owner[p] == NR_FREE ? PAGE : 0;
		run = m.owner[p] == NR_FREE ? run + PAGE : 0;
		largest = run > largest ? run : largest;
	}
	s = get_stats(m.fds[any_fd()].fd);
	expect(s.length == m.nr_pages * PAGE && s.free == free && s.used == used &&
	       s.held == held && s.reserved == reserved && s.nr_blocks == blocks &&
	       s.largest <= largest && (!largest || s.largest * 4 > largest) &&
	       s.bad_frees == m.bad_frees && s.peak >= used + held &&
	       s.allocs - s.out_of_space - s.frees == blocks,
	       "free %llu used %llu held %llu reserved %llu blocks %llu largest %llu bad %llu; should be %llu %llu %llu %llu %u %llu %llu",
	       s.free, s.used, s.held, s.reserved, s.nr_blocks, s.largest, s.bad_frees, free, used,
	       held, reserved, blocks, largest, m.bad_frees);
}

static __u32 state_of_page(unsigned int page, const struct model_file *f)
{
	const struct model_block *b;

	if (m.owner[page] == NR_FREE)
		return BUDDY_POOL_STATE_FREE;
	if (m.owner[page] == RESERVED)
		return BUDDY_POOL_STATE_RESERVED;
	b = &m.blocks[m.owner[page] - 1];
	return b->file == f && b->handle ? BUDDY_POOL_STATE_OWN : BUDDY_POOL_STATE_USED;
}

static void do_extents(void)
{
	unsigned int n = any_fd(), page = 0;
	struct buddy_pool_extent e[32];
	struct buddy_pool_extents req = { .size = sizeof(req), .entries = (uintptr_t)e };

	what = "EXTENTS";
	while (page < m.nr_pages) {
		req.start = page * PAGE;
		req.next = 0;
		req.count = ARRAY_SIZE(e);
		if (!expect_result(0, call(m.fds[n].fd, BUDDY_POOL_EXTENTS, &req)))
			return;
		for (unsigned int i = 0; i < req.count; i++) {
			if (!expect(e[i].offset == page * PAGE && e[i].length, "a gap at page %u",
				    page))
				return;
			for (; page < (e[i].offset + e[i].length) / PAGE; page++)
				if (!expect(e[i].state == state_of_page(page, m.fds[n].file),
					    "page %u is %u", page, e[i].state))
					return;
		}
		if (!expect(req.next == page * PAGE, "next is %#llx", req.next))
			return;
	}
}

/* Reserved ranges; each is a list of one, since they are given back as they were taken. */
static __u64 reserved_offset, reserved_length;

static void do_reserve(void)
{
	unsigned int n = any_fd();
	__u64 offset = below(&rng, m.nr_pages) * PAGE, length = (1 + below(&rng, 8)) * PAGE;
	int want = 0;

	if (reserved_length)
		return;
	if (one_in(&rng, 8))
		length = odd_number(&rng);
	what = "RESERVE";
	if (write_refused(m.fds[n].file))
		want = -EBADF;
	else if (offset + length < offset)
		want = -ERANGE;
	else if (!length)
		want = -EINVAL;
	else if (offset + length > m.nr_pages * PAGE)
		want = -ERANGE;
	else if (length % PAGE)
		want = -EINVAL;
	for (__u64 p = offset / PAGE; !want && p < (offset + length) / PAGE; p++)
		want = m.owner[p] == NR_FREE ? 0 : -EBUSY;
	if (!expect_result(want, range_call(m.fds[n].fd, BUDDY_POOL_RESERVE, offset, length)) ||
	    want)
		return;
	for (__u64 p = offset / PAGE; p < (offset + length) / PAGE; p++)
		m.owner[p] = RESERVED;
	reserved_offset = offset;
	reserved_length = length;
}

static void do_unreserve(void)
{
	unsigned int n = any_fd();
	__u64 offset = reserved_offset, length = reserved_length;
	int want = 0;

	if (!length || one_in(&rng, 4))
		offset = odd_number(&rng);
	if (one_in(&rng, 4))
		length += PAGE;
	what = "UNRESERVE";
	if (write_refused(m.fds[n].file))
		want = -EBADF;
	else if (!reserved_length || offset != reserved_offset || length != reserved_length)
		want = -ENOENT;
	if (!expect_result(want, range_call(m.fds[n].fd, BUDDY_POOL_UNRESERVE, offset, length)) ||
	    want)
		return;
	for (__u64 p = offset / PAGE; p < (offset + length) / PAGE; p++)
		m.owner[p] = NR_FREE;
	reserved_length = 0;
}

static void do_info(void)
{
	struct buddy_pool_info info;

	what = "INFO";
	expect_result(0, get_info(m.fds[any_fd()].fd, &info));
	expect(!memcmp(&info, &m.info, sizeof(info)), "another answer");
}

/* One thing wrong: the number, the size, the tail, a flag, the pointer */
static void do_wrong(void)
{
	static const unsigned long numbers[] = {
		BUDDY_POOL_INFO, BUDDY_POOL_ALLOC, BUDDY_POOL_FREE, BUDDY_POOL_STATS,
		BUDDY_POOL_EXTENTS, BUDDY_POOL_QUERY, BUDDY_POOL_LIST, BUDDY_POOL_RESERVE,
		BUDDY_POOL_UNRESERVE, BUDDY_POOL_GET_PHYS, BUDDY_POOL_ALLOC_BATCH,
		BUDDY_POOL_FREE_BATCH,
	};
	unsigned long number = numbers[below(&rng, ARRAY_SIZE(numbers))];
	bool writes = _IOC_NR(number) != 0 && (_IOC_NR(number) < 3 || _IOC_NR(number) == 7 ||
					      _IOC_NR(number) == 8 || _IOC_NR(number) > 9);
	unsigned int n = any_fd();
	struct {
		__u32 size;
		__u32 flags;
		__u64 rest[64];
	} arg = { .size = _IOC_SIZE(number) };
	void *pointer = &arg;
	int want = -EINVAL;

	switch (below(&rng, 6)) {
	case 0:
		number ^= 1 << (below(&rng, 2) ? 30 : 8 + below(&rng, 8));
		what = "wrong number";
		writes = false;
		want = -ENOTTY;
		break;
	case 1:
		arg.size = below(&rng, arg.size);
		what = "short struct";
		break;
	case 2:
		arg.rest[arg.size / 8 - 1] = 1 + below(&rng, 1000);
		arg.size += 8;
		what = "long struct";
		want = -E2BIG;
		break;
	case 3:
		arg.flags = 1U << (3 + below(&rng, 29));
		what = "unknown flag";
		break;
	case 4:
		pointer = one_in(&rng, 2) ? NULL : (void *)(uintptr_t)-PAGE;
		what = "bad pointer";
		want = -EFAULT;
		break;
	case 5:
		arg.size = 65537 + below(&rng, 1U << 31);
		what = "very long struct";
		want = -E2BIG;
		break;
	}
	if (writes && write_refused(m.fds[n].file))
		want = -EBADF;
	expect_result(want, call(m.fds[n].fd, number, pointer));
}

/*
 * Files
 */

static void do_open(void)
{
	static const int modes[] = { O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY };
	struct model_file *f = m.files;

	while (f < m.files + MAX_FILES && (f->nr_fds || f->nr_vmas))
		f++;
	if (m.nr_fds == MAX_FDS || f == m.files + MAX_FILES)
		return;
	what = "open";
	f->oflags = modes[below(&rng, ARRAY_SIZE(modes))];
	m.fds[m.nr_fds].file = f;
	m.fds[m.nr_fds].fd = open_node(f->oflags);
	expect(m.fds[m.nr_fds].fd >= 0, "%s", strerror(errno));
	f->nr_fds++;
	m.nr_fds++;
}

static void do_dup(void)
{
	unsigned int n = any_fd();

	if (m.nr_fds == MAX_FDS)
		return;
	what = "dup";
	m.fds[m.nr_fds].file = m.fds[n].file;
	m.fds[m.nr_fds].fd = fcntl(m.fds[n].fd, F_DUPFD_CLOEXEC, 0);
	expect(m.fds[m.nr_fds].fd >= 0, "%s", strerror(errno));
	m.fds[n].file->nr_fds++;
	m.nr_fds++;
}

static void do_send(void)
{
	unsigned int n = any_fd();

	what = "send";
	m.fds[n].fd = send_to_oneself(m.fds[n].fd);
	expect(m.fds[n].fd >= 0, "%s", strerror(errno));
}

static void close_fd(unsigned int n)
{
	struct model_file *f = m.fds[n].file;

	what = "close";
	expect(!close(m.fds[n].fd), "%s", strerror(errno));
	m.fds[n] = m.fds[--m.nr_fds];
	f->nr_fds--;
	maybe_release(f);
}

static void do_close(void)
{
	if (m.nr_fds > 1)
		close_fd(any_fd());
}

/*
 * Mappings
 */

static char *address(unsigned int page)
{
	return ARENA + page * PAGE;
}

static void do_mmap(void)
{
	struct model_block *b = any_block();
	unsigned int n = 0, nr, at, page;
	int prot = below(&rng, 4);		/* none, read, write, both */
	void *p;

	while (b && n < m.nr_fds && m.fds[n].file != b->file)
		n++;
	if (!b || !b->handle || n == m.nr_fds || m.nr_vmas > MAX_VMAS - 8 ||
	    (b->file->oflags & O_ACCMODE) != O_RDWR)
		return;
	page = below(&rng, b->length / PAGE);
	nr = 1 + below(&rng, b->length / PAGE - page);
	nr = nr > ARENA_PAGES ? ARENA_PAGES : nr;
	at = below(&rng, ARENA_PAGES - nr + 1);
	what = "mmap";
	p = mmap(address(at), nr * PAGE, prot, MAP_SHARED | MAP_FIXED, m.fds[n].fd,
		 b->offset + page * PAGE);
	if (!expect(p == address(at), "%s", strerror(errno)))
		return;
	count_answer(what, 0);
	/* First, so that a block that is mapped again is not given back between */
	add_vma(ARENA_PAGES, ARENA_PAGES, b, 0, 0);
	unmap_model(at, at + nr);
	add_vma(at, at + nr, b, b->offset + page * PAGE, prot);
	for (unsigned int i = 0; i < m.nr_vmas; i++)
		if (m.vmas[i].start == ARENA_PAGES)
			return remove_vma(i);
}

/* A mapping that may not be, at a place where nothing is lost */
static void do_wrong_mmap(void)
{
	struct model_block *b = any_block();
	unsigned int n = any_fd();
	struct model_file *f = m.fds[n].file;
	int prot = PROT_READ, flags = MAP_SHARED, want = -EINVAL;
	__u64 offset, length;
	void *p;

	if (!b)
		return;
	offset = b->offset;
	length = b->length;
	switch (below(&rng, 7)) {
	case 0:
		flags = MAP_PRIVATE;
		break;
	case 1:
		length += PAGE;
		break;
	case 2:
		offset += b->length;
		length = offset < m.nr_pages * PAGE && state_of_page(offset / PAGE, f) ==
			 BUDDY_POOL_STATE_OWN ? 0 : PAGE;
		break;
	case 3:
		if (b->file == f && b->handle)
			return;
		break;
	case 4:
		prot |= PROT_EXEC;
		want = -EPERM;
		break;
	case 5:
		prot |= PROT_WRITE;
		if ((f->oflags & O_ACCMODE) != O_RDONLY)
			return;
		want = -EACCES;
		break;
	case 6:
		offset = odd_number(&rng) & ~(PAGE - 1);
		if (offset < m.nr_pages * PAGE || offset > 1ULL << 60)
			return;
		break;
	}
	if (!length)
		return;
	if ((f->oflags & O_ACCMODE) == O_WRONLY)
		want = -EACCES;
	what = "wrong mmap";
	p = mmap(NULL, length, prot, flags, m.fds[n].fd, offset);
	count_answer("mmap", p == MAP_FAILED);
	expect(p == MAP_FAILED && errno == -want, "%s, should be %s",
	       p == MAP_FAILED ? strerror(errno) : "success", strerror(-want));
}

static void do_munmap(void)
{
	unsigned int start = below(&rng, ARENA_PAGES), nr = 1 + below(&rng, 16);

	if (start + nr > ARENA_PAGES || m.nr_vmas > MAX_VMAS - 8)
		return;
	what = "munmap";
	expect(!munmap(address(start), nr * PAGE), "%s", strerror(errno));
	unmap_model(start, start + nr);
}

/* A part of a mapping; false if there is none */
static bool any_part(unsigned int *start, unsigned int *end, unsigned int *of)
{
	if (!m.nr_vmas || m.nr_vmas > MAX_VMAS - 8)
		return false;
	*of = below(&rng, m.nr_vmas);
	*start = m.vmas[*of].start + below(&rng, m.vmas[*of].end - m.vmas[*of].start);
	*end = *start + 1 + below(&rng, m.vmas[*of].end - *start);
	return true;
}

static void do_mprotect(void)
{
	unsigned int start, end, i;
	struct model_vma v;
	int prot = below(&rng, 4);
	bool exec = one_in(&rng, 8);

	if (!any_part(&start, &end, &i))
		return;
	v = m.vmas[i];
	what = "mprotect";
	if (exec) {
		expect(mprotect(address(start), (end - start) * PAGE, prot | PROT_EXEC) &&
		       errno == EACCES, "made executable");
		return;
	}
	expect(!mprotect(address(start), (end - start) * PAGE, prot), "%s", strerror(errno));
	if (prot == v.prot)
		return;
	if (v.start < start)
		add_vma(v.start, start, v.block, v.offset, v.prot);
	if (v.end > end)
		add_vma(end, v.end, v.block, v.offset + (end - v.start) * PAGE, v.prot);
	m.vmas[i] = (struct model_vma){
		start, end, v.block, v.offset + (start - v.start) * PAGE, prot
	};
}

/* Moves a part to elsewhere, shrinks it on the way, or tries to grow it */
static void do_mremap(void)
{
	unsigned int start, end, i, nr, at;
	struct model_vma v;
	void *p;

	if (!any_part(&start, &end, &i))
		return;
	v = m.vmas[i];
	nr = end - start;
	at = below(&rng, ARENA_PAGES - nr + 1);
	what = "mremap";
	if (one_in(&rng, 4)) {
		p = mremap(address(start), nr * PAGE, (nr + 1) * PAGE, MREMAP_MAYMOVE);
		expect(p == MAP_FAILED && errno == EFAULT, "a mapping grew");
		return;
	}
	if (at < end && at + nr > start)
		return;
	p = mremap(address(start), nr * PAGE, nr * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   address(at));
	if (!expect(p == address(at), "%s", strerror(errno)))
		return;
	unmap_model(at, at + nr);
	add_vma(at, at + nr, v.block, v.offset + (start - v.start) * PAGE, v.prot);
	unmap_model(start, end);
}

static __u64 pool_page(const struct model_vma *v, unsigned int page)
{
	return v->offset / PAGE + page - v->start;
}

/* Through one mapping; others of the same block, and later owners, must agree. */
static void do_touch(void)
{
	unsigned int start, end, i;
	volatile __u32 *p;
	__u64 page;

	if (!any_part(&start, &end, &i) || !(m.vmas[i].prot & PROT_READ))
		return;
	page = pool_page(&m.vmas[i], start);
	p = (volatile __u32 *)address(start);
	what = "memory";
	if (!expect(*p == m.content[page], "page %llu is %#x, should be %#x", page, *p,
		    m.content[page]))
		return;
	if (m.vmas[i].prot & PROT_WRITE)
		*p = m.content[page] = next_random(&rng);
}

/* In a child, each mapping is there twice, and shows the same memory. */
static void look_at_vma(const struct model_vma *v)
{
	struct buddy_pool_query q = { .size = sizeof(q), .handle = v->block->handle };
	__u32 content = m.content[pool_page(v, v->start)];
	int err;

	if (v->prot & PROT_READ)
		expect(*(volatile __u32 *)address(v->start) == content, "a page is not %#x",
		       content);
	for (unsigned int n = 0; q.handle && n < m.nr_fds; n++) {
		if (m.fds[n].file != v->block->file)
			continue;
		err = call(m.fds[n].fd, BUDDY_POOL_QUERY, &q);
		expect(!err && q.mappings == 2 * v->block->nr_vmas, "%d: %u mappings, not %u", err,
		       q.mappings, 2 * v->block->nr_vmas);
		return;
	}
}

static void do_fork(void)
{
	int status = -1;
	pid_t pid;

	what = "fork";
	pid = fork();
	if (!pid) {
		for (unsigned int i = 0; i < m.nr_vmas; i++)
			look_at_vma(&m.vmas[i]);
		fflush(stdout);
		_exit(broken);
	}
	if (!expect(pid > 0 && waitpid(pid, &status, 0) == pid, "%s", strerror(errno)))
		return;
	expect(!status, "the child does not agree");
}

/*
 * Running
 */

static const struct {
	void (*run)(void);
	unsigned int weight;
} actions[] = {
	{ do_alloc, 200 }, { do_free, 140 }, { do_alloc_batch, 20 }, { do_free_batch, 20 },
	{ do_query, 40 }, { do_list, 10 }, { do_stats, 60 }, { do_extents, 10 },
	{ do_reserve, 10 }, { do_unreserve, 15 }, { do_get_phys, 10 }, { do_info, 5 },
	{ do_wrong, 60 }, { do_open, 10 }, { do_dup, 10 }, { do_send, 5 }, { do_close, 18 },
	{ do_mmap, 150 }, { do_wrong_mmap, 30 }, { do_munmap, 50 }, { do_mprotect, 30 },
	{ do_mremap, 30 }, { do_touch, 100 }, { do_fork, 1 },
};

static void one_call(void)
{
	unsigned int sum = 0, pick;

	for (unsigned int i = 0; i < ARRAY_SIZE(actions); i++)
		sum += actions[i].weight;
	pick = below(&rng, sum);
	for (unsigned int i = 0; i < ARRAY_SIZE(actions); i++) {
		if (pick < actions[i].weight) {
			actions[i].run();
			break;
		}
		pick -= actions[i].weight;
	}
}

/* The largest aligned block inside the pool, in pages */
static unsigned int largest_order(void)
{
	unsigned int order = 0;

	for (unsigned int o = 0; 1U << o <= m.nr_pages; o++) {
		struct wish w = { .nr = 1U << o, .align = PAGE << o, .end = m.nr_pages };

		if (nr_places(&w, true, 1))
			order = o;
	}
	return order;
}

static bool begin(const struct buddy_pool_info *info)
{
	m.info = *info;
	m.nr_pages = info->length / PAGE;
	m.base = number_from_env("BUDDY_POOL_BASE", 0x30000000);
	if (info->length > MAX_PAGES * PAGE || info->min_block != PAGE)
		return false;
	m.largest_order = largest_order();
	if (close(socket(AF_UNIX, SOCK_DGRAM, 0)))
		printf("# this kernel has no sockets: no open file is sent\n");
	m.watcher = open_node(O_RDWR);
	m.bad_frees = get_stats(m.watcher).bad_frees;
	m.fds[0].fd = open_node(O_RDWR);
	m.fds[0].file = m.files;
	m.files[0].oflags = O_RDWR;
	m.files[0].nr_fds = 1;
	m.nr_fds = 1;
	return m.fds[0].fd >= 0;
}

TEST_F_TIMEOUT(node, B59_C12_calls_at_random_against_a_model, 3600)
{
	__u64 total = number_from_env("BUDDY_POOL_CALLS", 100000);

	rng = choose_seed();
	ASSERT_TRUE(begin(&self->info)) {
		TH_LOG("this is for a pool of at most %lu bytes in pages", MAX_PAGES * PAGE);
	}
	for (nr_calls = 0; nr_calls < total && !broken; nr_calls++)
		one_call();
	if (!broken)
		range_call(m.watcher, BUDDY_POOL_UNRESERVE, reserved_offset, reserved_length);
	ASSERT_FALSE(broken);
	munmap(ARENA, ARENA_PAGES * PAGE);
	unmap_model(0, ARENA_PAGES);
	while (m.nr_fds)
		close_fd(0);
	EXPECT_EQ(0, nr_live_blocks());
	EXPECT_EQ(m.info.length, get_stats(m.watcher).free);
	EXPECT_EQ(total, nr_calls);
	EXPECT_EQ(NULL, missing_answer()) {
		TH_LOG("%s was not both granted and refused", missing_answer());
	}
	close(m.watcher);
}

TEST_HARNESS_MAIN

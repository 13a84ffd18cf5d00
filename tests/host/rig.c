// SPDX-License-Identifier: GPL-2.0
#include <linux/bitops.h>
#include <linux/errno.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

static const char *const op_names[OP_KINDS] = { "alloc",   "at",  "free",    "query",
						"largest", "row", "free-row" };

static const char *fault(struct rig *rig, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static const char *fault(struct rig *rig, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(rig->fault, sizeof(rig->fault), format, args);
	va_end(args);
	return rig->fault;
}

void op_print(FILE *file, const struct op *op)
{
	fprintf(file, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %u\n",
		op_names[op->kind], (uint64_t)op->start, (uint64_t)op->end,
		(uint64_t)op->nr, op->align_order, op->flags);
}

bool op_parse(const char *line, struct op *op)
{
	char name[16];
	uint64_t start, end, nr;
	unsigned int kind;

	if (sscanf(line, "%15s %" SCNu64 " %" SCNu64 " %" SCNu64 " %hhu %hhu",
		   name, &start, &end, &nr, &op->align_order, &op->flags) != 6)
		return false;
	op->start = start;
	op->end = end;
	op->nr = nr;
	for (kind = 0; kind < OP_KINDS; kind++) {
		op->kind = kind;
		if (!strcmp(name, op_names[kind]))
			return true;
	}
	return false;
}

unsigned int blocks_of_run(u64 start, u64 nr)
{
	unsigned int blocks = 0;

	while (nr) {
		u64 size = 1;

		while (start % (2 * size) == 0 && 2 * size <= nr)
			size *= 2;
		start += size;
		nr -= size;
		blocks++;
	}
	return blocks;
}

static bool has_block(const struct fast_block *blocks, unsigned int nr,
		      struct fast_block block)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (blocks[i].start == block.start &&
		    blocks[i].order == block.order)
			return true;
	return false;
}

static void sort_out_initial(struct rig *rig)
{
	struct fast_block blocks[FAST_BORDER];
	unsigned int i, n;

	memset(&rig->want, 0, sizeof(rig->want));
	n = fast_border(&rig->fast, rig->fast.first, rig->fast.end, blocks);
	for (i = 0; i < n; i++) {
		rig->want.order[blocks[i].order].enqueues++;
		rig->want.order[blocks[i].order].size++;
	}
}

/*
 * The statistics after a run of so many pieces was taken or freed follow from which
 * maximal free blocks there were before and are after.
 */
static void sort_out_change(struct rig *rig, u64 start, u64 nr, bool taken, unsigned int pieces,
			    const struct fast_block *before, unsigned int nr_before)
{
	struct fast_block after[FAST_BORDER];
	unsigned int nr_after = fast_border(&rig->fast, start, start + nr, after);
	struct buddy_core_order_stats *order;
	unsigned int gone = 0, created = 0, i;

	for (i = 0; i < nr_before; i++) {
		order = &rig->want.order[before[i].order];
		if (has_block(after, nr_after, before[i]))
			continue;
		order->size--;
		order->dequeues += taken;
		order->removes += !taken;
		gone++;
	}
	for (i = 0; i < nr_after; i++) {
		order = &rig->want.order[after[i].order];
		if (has_block(before, nr_before, after[i]))
			continue;
		order->size++;
		order->enqueues++;
		created++;
	}
	if (taken)
		rig->want.splits += pieces + created - gone;
	else
		rig->want.merges += pieces + gone - created;
}

/* As @count allocations of the same length; 1 of any length */
static void take_row(struct rig *rig, u64 start, u64 nr, unsigned int count)
{
	struct fast_block before[FAST_BORDER];
	unsigned int nr_before = fast_border(&rig->fast, start, start + nr * count, before);
	unsigned int i;

	for (i = 0; i < count; i++) {
		fast_take(&rig->fast, start + i * nr, nr);
		if (rig->small)
			model_take(&rig->model, start + i * nr, nr);
	}
	sort_out_change(rig, start, nr * count, true, count * blocks_of_run(start, nr), before,
			nr_before);
}

static void take(struct rig *rig, u64 start, u64 nr)
{
	take_row(rig, start, nr, 1);
}

static const char *order_fault(struct rig *rig, unsigned int o,
			       const struct buddy_core_order_stats *is,
			       const struct buddy_core_order_stats *want)
{
	return fault(rig,
		     "order %u: %" PRId64 " - %" PRId64 " - %" PRId64
		     " = %" PRId64 " instead of %" PRId64 " - %" PRId64
		     " - %" PRId64 " = %" PRId64,
		     o, (int64_t)is->enqueues, (int64_t)is->dequeues,
		     (int64_t)is->removes, (int64_t)is->size,
		     (int64_t)want->enqueues, (int64_t)want->dequeues,
		     (int64_t)want->removes, (int64_t)want->size);
}

/* N07: no block is lost, in total or of any order. */
static const char *compare_stats(struct rig *rig)
{
	struct buddy_core_stats stats;
	const struct buddy_core_order_stats *is, *want;
	unsigned int o;

	if (rig->core.nr_free != rig->fast.nr_free)
		return fault(rig, "%" PRIu64 " blocks free instead of %" PRIu64,
			     (uint64_t)rig->core.nr_free,
			     (uint64_t)rig->fast.nr_free);
	buddy_core_stats(&rig->core, &stats);
	if (stats.splits != rig->want.splits ||
	    stats.merges != rig->want.merges)
		return fault(rig,
			     "%" PRIu64 " splits, %" PRIu64
			     " merges instead of %" PRIu64 ", %" PRIu64,
			     (uint64_t)stats.splits, (uint64_t)stats.merges,
			     (uint64_t)rig->want.splits,
			     (uint64_t)rig->want.merges);
	for (o = 0; o < BUDDY_CORE_ORDERS; o++) {
		is = &stats.order[o];
		want = &rig->want.order[o];
		if (memcmp(is, want, sizeof(*is)))
			return order_fault(rig, o, is, want);
	}
	return NULL;
}

/* The two models must not disagree, or one of them is wrong. */
static const char *compare_models(struct rig *rig)
{
	u64 size[FAST_ORDERS] = {};
	unsigned int i;

	model_look(&rig->model);
	for (i = 0; i < rig->model.nr_blocks; i++)
		size[rig->model.block[i].order]++;
	for (i = 0; i < FAST_ORDERS; i++)
		if (size[i] != rig->want.order[i].size)
			return fault(rig, "models disagree about order %u", i);
	return NULL;
}

static const char *verify(struct rig *rig)
{
	const char *why = compare_stats(rig);

	if (why)
		return why;
	if (rig->small && rig->steps % 8 == 0) {
		why = compare_models(rig);
		if (why)
			return why;
	}
	if (rig->steps % rig->check_every)
		return NULL;
	why = buddy_core_check(&rig->core);
	return why ? fault(rig, "buddy_core_check(): %s", why) : NULL;
}

/* Copying a large pool's metadata takes longer than all else; do it now and then. */
static void remember(struct rig *rig)
{
	rig->compare = rig->steps % (1 + rig->size / 2048) == 0;
	rig->core_before = rig->core;
	if (rig->compare)
		memcpy(rig->before, rig->metadata, rig->size);
}

/* N10: what is refused must not have changed a byte. */
static bool has_changed(const struct rig *rig)
{
	if (memcmp(&rig->core_before, &rig->core, sizeof(rig->core)))
		return true;
	return rig->compare && memcmp(rig->before, rig->metadata, rig->size);
}

void rig_create(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	fast_create(&rig->fast);
}

static u64 clamp(u64 value, u64 low, u64 high)
{
	return value < low ? low : value > high ? high : value;
}

const char *rig_open(struct rig *rig, u64 first, u64 nr)
{
	nr = clamp(nr, 1, FAST_BLOCKS / 2);
	first %= 1ULL << buddy_core_max_order(nr);
	rig->size = buddy_core_metadata_size(first, nr);
	free(rig->metadata);
	free(rig->before);
	rig->metadata = aligned_alloc(64, rig->size);
	rig->before = aligned_alloc(64, rig->size);
	if (!rig->metadata || !rig->before)
		abort();
	memset(rig->metadata, 0, rig->size);
	fast_init(&rig->fast, first, nr);
	rig->small = nr <= SMALL_BLOCKS;
	if (rig->small)
		model_init(&rig->model, first, nr);
	rig->steps = 0;
	rig->check_every = 1 + rig->size / 512 * (rig->size / 512);
	sort_out_initial(rig);
	buddy_core_init(&rig->core, first, nr, rig->metadata);
	return verify(rig);
}

static void make_valid(const struct rig *rig, struct op *op)
{
	unsigned int max_order =
		buddy_core_max_order(rig->fast.end - rig->fast.first);

	if (op->kind == OP_ROW || op->kind == OP_FREE_ROW) {
		op->align_order = clamp(op->align_order, 0, max_order);
		op->nr = clamp(op->nr, 1, op->kind == OP_ROW ? ~0U : BUDDY_CORE_ROW_BLOCKS);
	}
	if (op->kind != OP_ALLOC && op->kind != OP_AT && op->kind != OP_LARGEST)
		return;
	op->start = clamp(op->start, rig->fast.first, rig->fast.end - 1);
	op->end = clamp(op->end, op->start + 1, rig->fast.end);
	op->nr = clamp(op->nr, 1,
		       (op->kind == OP_AT ? rig->fast.end : op->end) -
			       op->start);
	op->align_order = clamp(op->align_order, 0, max_order);
	op->flags &= BUDDY_CORE_TOP_DOWN;
}

/*
 * Each call but the last looks at so many runs, and at no run twice, so there is
 * an end to it.
 */
static const char *search(struct rig *rig, const struct buddy_core_request *req,
			  int *ret, u64 *index)
{
	u64 cursor = 0;
	u64 calls = 0, most = 0;

	do {
		if (has_changed(rig))
			return fault(rig, "-EAGAIN, but the pool changed");
		if (++calls == 3)
			most = 2 + fast_runs(&rig->fast, req->start, req->end,
					     ~0U) /
					   BUDDY_CORE_SEARCH_RUNS;
		if (most && calls > most)
			return fault(rig, "buddy_core_search() does not end");
		*ret = buddy_core_search(&rig->core, req, &cursor, index);
	} while (*ret == -EAGAIN);
	return NULL;
}

/* N08: where nothing else is, inside the window, and aligned */
static const char *check_placed(struct rig *rig,
				const struct buddy_core_request *req, u64 index)
{
	if (index < req->start || index >= req->end ||
	    req->nr > req->end - index)
		return fault(rig, "got %" PRIu64 ", outside the window",
			     (uint64_t)index);
	if (index & ((1ULL << req->align_order) - 1))
		return fault(rig, "got %" PRIu64 ", misaligned",
			     (uint64_t)index);
	if (!fast_is_free(&rig->fast, index, req->nr))
		return fault(rig, "got %" PRIu64 ", not free", (uint64_t)index);
	return NULL;
}

static const char *compare_alloc_models(struct rig *rig,
					const struct buddy_core_request *req,
					bool fits, u64 where, bool exists)
{
	u64 index;

	if (!rig->small)
		return NULL;
	if (model_has_run(&rig->model, req) != exists)
		return fault(rig, "models disagree whether there is a run");
	if (model_best_fit(&rig->model, req, &index) != fits ||
	    (fits && index != where))
		return fault(rig, "models disagree about the best fit");
	return NULL;
}

/* Of a pair, the second goes back at once: all is as if it had not been taken. */
static int alloc_first_of_pair(struct buddy_core *core, unsigned int order, u64 *index)
{
	unsigned int pair = buddy_core_alloc_pair(core, order, index);
	u64 nr;

	if (pair < 2)
		return pair ? 0 : -ENOSPC;
	if (buddy_core_free(core, *index + (1ULL << order), &nr) || nr != 1ULL << order)
		return -EILSEQ;
	return 0;
}

/* The plainest requests have functions of their own. Take turns. */
static int alloc_either_way(struct rig *rig,
			    const struct buddy_core_request *req, u64 *index)
{
	unsigned int turn = rig->steps % 3;

	if (!turn || req->flags || req->nr != 1ULL << req->align_order ||
	    req->start != rig->fast.first || req->end != rig->fast.end)
		return buddy_core_alloc(&rig->core, req, index);
	if (turn == 1)
		return alloc_first_of_pair(&rig->core, req->align_order, index);
	return buddy_core_alloc_block(&rig->core, req->align_order, index);
}

/* The quick look must agree with the one that knows all. */
static bool small_block_is_right(int order, u64 index, u64 nr)
{
	bool is_block = nr && !((index | nr) & (nr - 1));

	if (!is_block || nr >= 64 || (index + nr) % 64 == 0)
		return order == -1;
	return order == fls64(nr - 1);
}

/* Two steps do what one does, and blocks have a function of their own. */
static int free_either_way(struct rig *rig, u64 index, u64 *nr)
{
	int order = buddy_core_small_block(&rig->core, index);
	int ret;

	if (rig->steps % 3 == 0)
		return buddy_core_free(&rig->core, index, nr);
	*nr = 0;
	ret = buddy_core_extent(&rig->core, index, nr);
	if (!small_block_is_right(order, index, ret ? 0 : *nr))
		return -EFAULT; /* as nothing else is, so the model objects */
	if (ret || has_changed(rig))
		return ret;
	if (rig->steps % 3 == 1 && !((index | *nr) & (*nr - 1)))
		buddy_core_release_block(&rig->core, index, fls64(*nr - 1));
	else
		buddy_core_release(&rig->core, index, *nr);
	return 0;
}

static const char *step_alloc(struct rig *rig, const struct op *op)
{
	struct buddy_core_request req = {
		.nr = op->nr,
		.start = op->start,
		.end = op->end,
		.align_order = op->align_order,
		.flags = op->flags,
	};
	u64 where = 0, index = ~0ULL;
	bool fits = fast_best_fit(&rig->fast, &req, &where);
	bool exists = fits || fast_has_run(&rig->fast, &req);
	const char *why = compare_alloc_models(rig, &req, fits, where, exists);
	int ret;

	if (why)
		return why;
	ret = alloc_either_way(rig, &req, &index);
	if (fits && (ret || index != where))
		return fault(rig,
			     "%d, %" PRIu64
			     " instead of the best fit, %" PRIu64,
			     ret, (uint64_t)index, (uint64_t)where);
	if (ret == -EAGAIN)
		why = search(rig, &req, &ret, &index);
	if (why)
		return why;
	if (ret != (exists ? 0 : -ENOSPC))
		return fault(rig, "%d, although there is %s run", ret,
			     exists ? "a" : "no");
	if (ret)
		return has_changed(rig) ?
			       fault(rig, "-ENOSPC, but the pool changed") :
			       NULL;
	why = check_placed(rig, &req, index);
	if (!why)
		take(rig, index, req.nr);
	return why;
}

static const char *step_at(struct rig *rig, const struct op *op)
{
	bool is_free = fast_is_free(&rig->fast, op->start, op->nr);
	int ret = buddy_core_alloc_at(&rig->core, op->start, op->nr);

	if (ret != (is_free ? 0 : -ENOSPC))
		return fault(rig, "%d, although the run is %s", ret,
			     is_free ? "free" : "not free");
	if (ret)
		return has_changed(rig) ?
			       fault(rig, "-ENOSPC, but the pool changed") :
			       NULL;
	take(rig, op->start, op->nr);
	return NULL;
}

static const char *step_free(struct rig *rig, u64 index)
{
	struct fast_block before[FAST_BORDER];
	unsigned int nr_before = 0;
	u64 nr = 0, want_nr = 0, model_nr = 0;
	int ret, want, model;

	if (index >= rig->fast.first && index < rig->fast.end &&
	    rig->fast.length[index])
		nr_before = fast_border(&rig->fast, index,
					index + rig->fast.length[index],
					before);
	want = fast_free(&rig->fast, index, &want_nr);
	if (rig->small) {
		model = model_free(&rig->model, index, &model_nr);
		if (model != want || model_nr != want_nr)
			return fault(rig, "models disagree");
	}
	ret = free_either_way(rig, index, &nr);
	if (ret != want || (!ret && nr != want_nr))
		return fault(rig,
			     "%d, %" PRIu64 " blocks instead of %d, %" PRIu64,
			     ret, (uint64_t)nr, want, (uint64_t)want_nr);
	if (ret)
		return has_changed(rig) ?
			       fault(rig, "%d, but the pool changed", ret) :
			       NULL;
	sort_out_change(rig, index, nr, false, blocks_of_run(index, nr), before, nr_before);
	return NULL;
}

/*
 * A row is what as many single blocks would be, as far as they are cut from one
 * maximal free block: the one that best fit finds for the first.
 */
static const char *step_row(struct rig *rig, const struct op *op)
{
	struct buddy_core_request req = {
		.nr = 1ULL << op->align_order,
		.start = rig->fast.first,
		.end = rig->fast.end,
		.align_order = op->align_order,
	};
	struct buddy_core_extent extent = {};
	u64 where = 0, index = ~0ULL, want = 0;
	unsigned int count;

	if (fast_best_fit(&rig->fast, &req, &where)) {
		fast_query(&rig->fast, where, &extent);
		want = extent.nr >> op->align_order;
		want = clamp(op->nr, 0, clamp(want, 0, BUDDY_CORE_ROW_BLOCKS));
	}
	count = buddy_core_alloc_row(&rig->core, op->align_order, op->nr, &index);
	if (count != want || (count && index != where))
		return fault(rig, "a row of %u at %" PRIu64 " instead of %" PRIu64 " at %" PRIu64,
			     count, (uint64_t)index, (uint64_t)want, (uint64_t)where);
	if (count)
		take_row(rig, where, req.nr, count);
	else if (has_changed(rig))
		return fault(rig, "no row, but the pool changed");
	return NULL;
}

/* Are these what a row consists of? */
static bool is_row(const struct rig *rig, const struct op *op)
{
	u64 size = 1ULL << op->align_order;
	u64 at = op->start, i;

	if (at & (size - 1))
		return false;
	for (i = 0; i < op->nr; i++, at += size)
		if (at < rig->fast.first || at >= rig->fast.end || rig->fast.length[at] != size)
			return false;
	return true;
}

static const char *step_free_row(struct rig *rig, const struct op *op)
{
	struct fast_block before[FAST_BORDER];
	u64 nr = op->nr << op->align_order;
	bool want = is_row(rig, op);
	unsigned int nr_before = 0;
	u64 at, length;

	if (want)
		nr_before = fast_border(&rig->fast, op->start, op->start + nr, before);
	if (buddy_core_release_row(&rig->core, op->start, op->align_order, op->nr) != want)
		return fault(rig, "this is %s row", want ? "a" : "no");
	if (!want)
		return has_changed(rig) ? fault(rig, "no row, but a change") : NULL;
	for (at = op->start; at < op->start + nr; at += length) {
		fast_free(&rig->fast, at, &length);
		if (rig->small)
			model_free(&rig->model, at, &length);
	}
	sort_out_change(rig, op->start, nr, false, op->nr, before, nr_before);
	return NULL;
}

static bool same_extent(const struct buddy_core_extent *a,
			const struct buddy_core_extent *b)
{
	return a->start == b->start && a->nr == b->nr && a->kind == b->kind;
}

static const char *step_query(struct rig *rig, u64 index)
{
	struct buddy_core_extent is = {}, want = {}, model = {};
	int ret = buddy_core_query(&rig->core, index, &is);
	int want_ret = fast_query(&rig->fast, index, &want);

	if (rig->small &&
	    (model_query(&rig->model, index, &model) != want_ret ||
	     (!want_ret && !same_extent(&model, &want))))
		return fault(rig, "models disagree");
	if (ret != want_ret || (!ret && !same_extent(&is, &want)))
		return fault(rig,
			     "%d, kind %d, %" PRIu64 "+%" PRIu64
			     " instead of %d, %d, %" PRIu64 "+%" PRIu64,
			     ret, is.kind, (uint64_t)is.start, (uint64_t)is.nr,
			     want_ret, want.kind, (uint64_t)want.start,
			     (uint64_t)want.nr);
	return has_changed(rig) ? fault(rig, "the pool changed") : NULL;
}

static const char *step_largest(struct rig *rig, const struct op *op)
{
	u64 run = ~0ULL;
	u64 nr = buddy_core_largest(&rig->core, op->start, op->end, &run);
	u64 longest = fast_largest(&rig->fast, op->start, op->end);
	unsigned int limit = BUDDY_CORE_SEARCH_RUNS;

	if (rig->small &&
	    model_largest(&rig->model, op->start, op->end) != longest)
		return fault(rig, "models disagree");
	if (nr > longest || (longest && nr * 4 <= longest))
		return fault(rig, "%" PRIu64 " blocks instead of %" PRIu64,
			     (uint64_t)nr, (uint64_t)longest);
	if (nr != longest &&
	    fast_runs(&rig->fast, op->start, op->end, limit) <= limit)
		return fault(rig,
			     "%" PRIu64 " blocks instead of %" PRIu64
			     ", with few runs",
			     (uint64_t)nr, (uint64_t)longest);
	if (nr && (run < op->start || run >= op->end || nr > op->end - run ||
		   !fast_is_free(&rig->fast, run, nr)))
		return fault(rig,
			     "%" PRIu64 " blocks at %" PRIu64 " are not free",
			     (uint64_t)nr, (uint64_t)run);
	return has_changed(rig) ? fault(rig, "the pool changed") : NULL;
}

/* How many blocks are free, which is asked where the longest run is */
static const char *step_nr_free(struct rig *rig, const struct op *op)
{
	u64 nr = buddy_core_nr_free_in(&rig->core, op->start, op->end, op->nr);
	u64 want = fast_nr_free(&rig->fast, op->start, op->end);
	/* A run has two blocks of each order at most, and two leaves at its ends. */
	unsigned int limit = BUDDY_CORE_COUNT_PIECES / (2 * FAST_ORDERS);
	bool is_told = op->end - op->start <= 63 * BUDDY_CORE_COUNT_PIECES ||
		       fast_runs(&rig->fast, op->start, op->end, limit) < limit;

	if (rig->small &&
	    model_nr_free(&rig->model, op->start, op->end) != want)
		return fault(rig, "models disagree on what is free");
	if (want < op->nr ? nr != want && (is_told || nr != op->nr) :
			    nr < op->nr || nr > want)
		return fault(rig,
			     "%" PRIu64 " blocks free instead of %" PRIu64
			     ", up to %" PRIu64,
			     (uint64_t)nr, (uint64_t)want, (uint64_t)op->nr);
	return has_changed(rig) ? fault(rig, "the pool changed") : NULL;
}

const char *rig_step(struct rig *rig, struct op op)
{
	const char *why = NULL;

	make_valid(rig, &op);
	rig->steps++;
	remember(rig);
	switch (op.kind) {
	case OP_ALLOC:
		why = step_alloc(rig, &op);
		break;
	case OP_AT:
		why = step_at(rig, &op);
		break;
	case OP_FREE:
		why = step_free(rig, op.start);
		break;
	case OP_QUERY:
		why = step_query(rig, op.start);
		break;
	case OP_LARGEST:
		why = step_largest(rig, &op);
		if (!why)
			why = step_nr_free(rig, &op);
		break;
	case OP_ROW:
		why = step_row(rig, &op);
		break;
	case OP_FREE_ROW:
		why = step_free_row(rig, &op);
		break;
	}
	return why ? why : verify(rig);
}

const char *rig_close(struct rig *rig)
{
	struct op op = { .kind = OP_FREE };
	struct buddy_core fresh;
	const char *why;

	while (rig->fast.nr_live) {
		op.start = rig->fast.live[rig->fast.nr_live / 2];
		why = rig_step(rig, op);
		if (why)
			return why;
	}
	memset(rig->before, 0, rig->size);
	buddy_core_init(&fresh, rig->fast.first,
			rig->fast.end - rig->fast.first, rig->before);
	if (memcmp(rig->before, rig->metadata, rig->size) ||
	    fresh.avail != rig->core.avail)
		return fault(rig, "all is free, but not as in a new pool");
	why = buddy_core_check(&rig->core);
	return why ? fault(rig, "buddy_core_check(): %s", why) : NULL;
}

int alloc_to_the_end(struct buddy_core *core,
		     const struct buddy_core_request *req, u64 *index)
{
	u64 cursor = 0;
	u64 calls = 0;
	int ret = buddy_core_alloc(core, req, index);

	while (ret == -EAGAIN && calls++ < core->end)
		ret = buddy_core_search(core, req, &cursor, index);
	return ret;
}

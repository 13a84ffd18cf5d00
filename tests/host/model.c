// SPDX-License-Identifier: GPL-2.0
#include <linux/errno.h>

#include <string.h>

#include "model.h"

void model_init(struct model *model, u64 first, unsigned int nr)
{
	model->first = first;
	model->nr = nr;
	model->last_owner = 0;
	model->stale = true;
	memset(model->owner, 0, nr * sizeof(u32));
}

static bool inside(const struct model *model, u64 index)
{
	return index >= model->first && index - model->first < model->nr;
}

/* Is all of [start, start + nr) inside the pool and free, going by run? */
static bool run_is_free(const struct model *model, u64 start, u64 nr)
{
	return inside(model, start) && model->run[start - model->first] >= nr;
}

/* Order of the maximal free block that starts at @start, or -1 */
static int maximal_at(const struct model *model, u64 start)
{
	unsigned int order;

	for (order = 0; order < MODEL_ORDERS; order++) {
		u64 size = 1ULL << order;

		if (start % size || !run_is_free(model, start, size))
			return -1;
		if (!run_is_free(model, start / (2 * size) * (2 * size),
				 2 * size))
			return order;
	}
	return -1;
}

void model_look(struct model *model)
{
	unsigned int i;

	if (!model->stale)
		return;
	model->stale = false;
	model->run[model->nr] = 0;
	for (i = model->nr; i--;)
		model->run[i] = model->owner[i] ? 0 : model->run[i + 1] + 1;
	model->nr_blocks = 0;
	for (i = 0; i < model->nr; i++) {
		int order = maximal_at(model, model->first + i);

		if (order < 0)
			continue;
		model->block[model->nr_blocks].start = model->first + i;
		model->block[model->nr_blocks++].order = order;
	}
}

bool model_is_free(struct model *model, u64 start, u64 nr)
{
	model_look(model);
	return run_is_free(model, start, nr);
}

bool model_has_run(struct model *model, const struct buddy_core_request *req)
{
	u64 start;

	model_look(model);
	for (start = req->start; start + req->nr <= req->end; start++)
		if (start % (1ULL << req->align_order) == 0 &&
		    run_is_free(model, start, req->nr))
			return true;
	return false;
}

bool model_best_fit(struct model *model, const struct buddy_core_request *req,
		    u64 *index)
{
	bool down = req->flags & BUDDY_CORE_TOP_DOWN;
	struct model_block *best = NULL;
	unsigned int i, need = 0;

	model_look(model);
	while (1ULL << need < req->nr || need < req->align_order)
		need++;
	for (i = 0; i < model->nr_blocks; i++) {
		struct model_block *block = &model->block[i];

		if (block->order < need || block->start < req->start ||
		    block->start + (1ULL << block->order) > req->end)
			continue;
		if (!best || block->order < best->order ||
		    (down && block->order == best->order))
			best = block;
	}
	if (!best)
		return false;
	*index = best->start;
	if (down) {
		*index += (1ULL << best->order) - req->nr;
		*index -= *index % (1ULL << req->align_order);
	}
	return true;
}

static u32 *owner_of(struct model *model, u64 index)
{
	return &model->owner[index - model->first];
}

void model_take(struct model *model, u64 start, u64 nr)
{
	u64 i;

	model->last_owner++;
	model->stale = true;
	for (i = start; i < start + nr; i++)
		*owner_of(model, i) = model->last_owner;
}

static u64 start_of(struct model *model, u64 index)
{
	while (inside(model, index - 1) &&
	       *owner_of(model, index - 1) == *owner_of(model, index))
		index--;
	return index;
}

static u64 length_of(struct model *model, u64 start)
{
	u64 end = start;

	while (inside(model, end) &&
	       *owner_of(model, end) == *owner_of(model, start))
		end++;
	return end - start;
}

int model_free(struct model *model, u64 index, u64 *nr)
{
	if (!inside(model, index))
		return -ERANGE;
	if (!*owner_of(model, index))
		return -ENOENT;
	if (start_of(model, index) != index)
		return -EINVAL;
	*nr = length_of(model, index);
	memset(owner_of(model, index), 0, *nr * sizeof(u32));
	model->stale = true;
	return 0;
}

int model_query(struct model *model, u64 index,
		struct buddy_core_extent *extent)
{
	u64 start = index;

	if (!inside(model, index))
		return -ERANGE;
	if (*owner_of(model, index)) {
		extent->start = start_of(model, index);
		extent->nr = length_of(model, extent->start);
		extent->kind = extent->start == index ? BUDDY_CORE_HEAD :
							BUDDY_CORE_INTERIOR;
		return 0;
	}
	model_look(model);
	while (maximal_at(model, start) < 0)
		start--;
	extent->start = start;
	extent->nr = 1ULL << maximal_at(model, start);
	extent->kind = BUDDY_CORE_FREE;
	return 0;
}

u64 model_largest(struct model *model, u64 start, u64 end)
{
	u64 best = 0, run = 0;

	for (; start < end; start++) {
		run = *owner_of(model, start) ? 0 : run + 1;
		if (run > best)
			best = run;
	}
	return best;
}

u64 model_nr_free(struct model *model, u64 start, u64 end)
{
	u64 nr = 0;

	for (; start < end; start++)
		nr += !*owner_of(model, start);
	return nr;
}

const char *model_text(struct model *model)
{
	static char text[MODEL_BLOCKS + 1];
	unsigned int i, n = 0;

	for (i = 0; i < model->nr; i++) {
		if (i && model->owner[i] != model->owner[i - 1])
			n++;
		text[i] = model->owner[i] ?
				  "abcdefghijklmnopqrstuvwxyz"[n % 26] :
				  '.';
	}
	text[i] = 0;
	return text;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Draws a pool: each cell stands for a power of two of bytes, so that every line
 * starts at a round offset. A cell shows the most telling thing in it: a block of
 * one's own, then something used, then the longest free run, then free space.
 */
#include <errno.h>
#include <stdlib.h>

#include "libbuddypool.h"
#include "map.h"

/* What a cell holds, in bytes */
struct cell {
	__u64 used;
	__u64 own;
	__u64 free;
	__u64 longest;	/* the part of free that is in the longest free run */
};

struct run {
	__u64 start;
	__u64 end;
};

struct totals {
	__u64 used;
	__u64 own;
	__u64 free;
	struct run longest;
};

enum look { USED, PARTLY, OWN, FREE, LONGEST };

static const struct {
	char symbol;
	const char *colour;
	const char *meaning;
} looks[] = {
	[USED] = { '#', "\033[31m", "used" },
	[PARTLY] = { '+', "\033[33m", "partly used" },
	[OWN] = { '@', "\033[36m", "own" },
	[FREE] = { '.', "\033[32m", "free" },
	[LONGEST] = { '=', "\033[1;32m", "longest free run" },
};

static const char no_colour[] = "\033[0m";

static __u64 min(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

static __u64 max(__u64 a, __u64 b)
{
	return a > b ? a : b;
}

static __u64 overlap(__u64 start, __u64 end, const struct run *run)
{
	__u64 first = max(start, run->start), last = min(end, run->end);

	return first < last ? last - first : 0;
}

/*
 * Free extents are blocks; neighbours together are a run. Of one that was found after
 * what it has merged with, only what is new counts, here and below.
 */
static struct totals add_up(const struct buddy_pool_extent *extents, size_t count)
{
	struct totals sum = { .free = 0 };
	struct run run = { .end = 0 };
	__u64 start, end = 0;

	for (const struct buddy_pool_extent *e = extents; e < extents + count; e++) {
		start = max(end, e->offset);
		end = e->offset + e->length;
		if (e->state != BUDDY_POOL_STATE_FREE) {
			sum.used += end - start;
			sum.own += e->state == BUDDY_POOL_STATE_OWN ? end - start : 0;
			continue;
		}
		sum.free += end - start;
		if (run.end != start || run.end == run.start)
			run.start = start;
		run.end = end;
		if (run.end - run.start > sum.longest.end - sum.longest.start)
			sum.longest = run;
	}
	return sum;
}

static void fill_cells(struct cell *cells, __u64 cell_size,
		       const struct buddy_pool_extent *extents, size_t count,
		       const struct run *longest)
{
	__u64 pos = 0, part, end;

	for (const struct buddy_pool_extent *e = extents; e < extents + count; e++) {
		end = e->offset + e->length;
		for (pos = max(pos, e->offset); pos < end; pos += part) {
			struct cell *cell = cells + pos / cell_size;

			part = min(end, (pos / cell_size + 1) * cell_size) - pos;
			if (e->state == BUDDY_POOL_STATE_FREE) {
				cell->free += part;
				cell->longest += overlap(pos, pos + part, longest);
			} else {
				cell->used += part;
				cell->own += e->state == BUDDY_POOL_STATE_OWN ? part : 0;
			}
		}
	}
}

static enum look look_of(const struct cell *cell)
{
	if (cell->own)
		return OWN;
	if (cell->used)
		return cell->free ? PARTLY : USED;
	return cell->longest ? LONGEST : FREE;
}

static void put_look(FILE *out, enum look look, bool colour)
{
	if (colour)
		fprintf(out, "%s%c%s", looks[look].colour, looks[look].symbol, no_colour);
	else
		fputc(looks[look].symbol, out);
}

static void draw_legend(FILE *out, __u64 cell_size, bool colour)
{
	char size[BP_SIZE_LEN];

	bp_format_size(size, cell_size);
	fprintf(out, "each character is %s:", size);
	for (enum look look = USED; look <= LONGEST; look++) {
		fputs("  ", out);
		put_look(out, look, colour);
		fprintf(out, " %s", looks[look].meaning);
	}
	fputc('\n', out);
}

static void draw_totals(FILE *out, const struct totals *sum)
{
	char used[BP_SIZE_LEN], own[BP_SIZE_LEN], space[BP_SIZE_LEN];
	char longest[BP_SIZE_LEN], total[BP_SIZE_LEN];

	bp_format_size(total, sum->used + sum->free);
	bp_format_size(used, sum->used);
	bp_format_size(own, sum->own);
	bp_format_size(space, sum->free);
	bp_format_size(longest, sum->longest.end - sum->longest.start);
	fprintf(out, "%s: %s used (%s own), %s free, longest free run %s\n",
		total, used, own, space, longest);
}

/* The smallest power of two of min_block that makes the pool fit the grid */
static __u64 size_cells(__u64 length, __u64 min_block, __u64 max_cells)
{
	__u64 size = min_block;

	while ((length - 1) / size >= max_cells)
		size <<= 1;
	return size;
}

/* A power of two, so that lines start at round offsets */
static unsigned int round_columns(unsigned int columns)
{
	unsigned int n = 8;

	while (n * 2 <= columns)
		n *= 2;
	return n;
}

int map_draw(FILE *out, const struct buddy_pool_extent *extents, size_t count,
	     __u64 min_block, const struct map_style *style)
{
	struct totals sum = add_up(extents, count);
	unsigned int columns = round_columns(style->columns);
	__u64 length = sum.used + sum.free, cell_size;
	struct cell *cells;
	size_t nr_cells;

	if (!length)
		return 0;
	cell_size = size_cells(length, min_block, (__u64)columns * max(style->rows, 1));
	nr_cells = (length - 1) / cell_size + 1;
	cells = calloc(nr_cells, sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	fill_cells(cells, cell_size, extents, count, &sum.longest);
	for (size_t i = 0; i < nr_cells; i++) {
		if (i % columns == 0)
			fprintf(out, "%s%#12llx  ", i ? "\n" : "", i * cell_size);
		put_look(out, look_of(cells + i), style->colour);
	}
	fputc('\n', out);
	draw_legend(out, cell_size, style->colour);
	draw_totals(out, &sum);
	free(cells);
	return 0;
}

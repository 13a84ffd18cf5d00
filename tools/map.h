/* SPDX-License-Identifier: GPL-2.0 */
/* A pool drawn as a grid of characters. Knows nothing of files and ioctls. */
#ifndef BUDDYCTL_MAP_H
#define BUDDYCTL_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <linux/buddy_pool.h>

/* How to draw; the grid has at most @columns times @rows cells. */
struct map_style {
	unsigned int columns;
	unsigned int rows;
	bool colour;
};

/**
 * map_draw() - draw a pool with legend and totals
 * @out: where to
 * @extents: all extents, in order
 * @count: their number
 * @min_block: the pool's granularity; no cell is smaller
 * @style: how
 *
 * Return: 0 or -ENOMEM.
 */
int map_draw(FILE *out, const struct buddy_pool_extent *extents, size_t count,
	     __u64 min_block, const struct map_style *style);

#endif

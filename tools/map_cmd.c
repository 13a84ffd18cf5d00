// SPDX-License-Identifier: GPL-2.0
/* buddyctl map: asks for the extents and lets map.c draw them. */
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "buddyctl.h"
#include "map.h"

/* Left of each line stands its offset. */
#define OFFSET_COLUMNS	14
#define DEFAULT_COLUMNS	64
#define DEFAULT_ROWS	16
#define MAX_SIDE	1024

static unsigned int terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col <= OFFSET_COLUMNS)
		return DEFAULT_COLUMNS;
	return size.ws_col - OFFSET_COLUMNS;
}

/* See no-color.org: set and not empty means no. */
static bool wants_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && *no);
}

static int parse_side(const char *text, unsigned int *side)
{
	__u64 n;

	if (bp_parse_size(text, &n) || n < 1 || n > MAX_SIDE)
		return complain("map: '%s' is no number from 1 to %d", text, MAX_SIDE);
	*side = n;
	return DONE;
}

static int parse_map(struct map_style *style, int argc, char **argv)
{
	static const struct option options[] = {
		{ "width", required_argument, NULL, 'w' },
		{ "rows", required_argument, NULL, 'r' },
		{}
	};
	int c, err;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'w' && c != 'r')
			return USAGE;
		err = parse_side(optarg, c == 'w' ? &style->columns : &style->rows);
		if (err)
			return err;
	}
	if (optind < argc)
		return complain("map takes no argument '%s'", argv[optind]);
	return DONE;
}

static int draw(const struct bp_pool *pool, const struct map_style *style)
{
	struct buddy_pool_extent *extents;
	struct buddy_pool_info info;
	size_t count;
	int err = bp_info(pool, &info);

	if (err)
		return err;
	err = bp_extents(pool, &extents, &count);
	if (err)
		return err;
	printf("pool %s\n", info.name);
	err = map_draw(stdout, extents, count, info.min_block, style);
	free(extents);
	return err;
}

int cmd_map(const struct options *opt, int argc, char **argv)
{
	struct map_style style = {
		.columns = terminal_columns(), .rows = DEFAULT_ROWS, .colour = wants_colour(),
	};
	struct bp_pool *pool;
	int err = parse_map(&style, argc, argv);

	if (err)
		return err;
	if (opt->json)
		return complain("map has no --json");
	err = open_or_inherit(opt, O_RDONLY, &pool);
	if (err)
		return err;
	err = draw(pool, &style);
	bp_close(pool);
	return err ? refuse(strerror(-err)) : DONE;
}

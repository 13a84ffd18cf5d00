// SPDX-License-Identifier: GPL-2.0
/*
 * buddyctl query and list-blocks, about blocks of an inherited open file, and
 * reserve and unreserve, which are for administrators.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buddyctl.h"

/* --- Blocks of one's own ----------------------------------------------- */

/* The physical address of a block, for those who may not know it, or did not ask */
#define UNKNOWN	(~0ULL)

static void print_block(const struct buddy_pool_query *block, __u64 physical)
{
	char size[BP_SIZE_LEN];

	bp_format_size(size, block->granted);
	printf("handle %u: %s at offset %#llx", block->handle, size, block->offset);
	if (physical != UNKNOWN)
		printf(" (physical %#llx)", physical);
	printf(", %u mappings%s%s\n", block->mappings, *block->label ? ", " : "", block->label);
}

static struct json_object *block_to_json(const struct buddy_pool_query *block, __u64 physical)
{
	const struct field fields[] = {
		{ "handle", NUMBER, block->handle },
		{ "offset", SIZE, block->offset },
		{ "length", SIZE, block->granted },
		{ "map_offset", NUMBER, block->map_offset },
		{ "mappings", NUMBER, block->mappings },
		{ "label", TEXT, .text = block->label },
		/* UNKNOWN is null in JSON. */
		{ "physical", NUMBER_LIMIT, physical },
	};
	struct json_object *object = json_object_new_object();

	json_add_fields(object, fields, ARRAY_SIZE(fields));
	return object;
}

/* @physical may be NULL. */
static void print_blocks(const struct options *opt, const struct buddy_pool_query *blocks,
			 const __u64 *physical, size_t count)
{
	struct json_object *object, *list, *block;

	if (!opt->json) {
		for (size_t i = 0; i < count; i++)
			print_block(blocks + i, physical ? physical[i] : UNKNOWN);
		return;
	}
	object = json_new();
	list = json_object_new_array();
	json_object_object_add(object, "blocks", list);
	for (size_t i = 0; i < count; i++) {
		block = block_to_json(blocks + i, physical ? physical[i] : UNKNOWN);
		json_object_array_add(list, block);
	}
	json_print(object);
}

/* One block of this open file */
static int query(const struct bp_pool *pool, __u32 handle, struct buddy_pool_query *block,
		 __u64 *physical)
{
	int err = bp_query(pool, handle, block);

	if (err || bp_get_phys(pool, handle, physical))
		*physical = UNKNOWN;
	return err == -ENOENT ? refuse("this open file has no such block") : report(err, "query");
}

int cmd_query(const struct options *opt, int argc, char **argv)
{
	struct buddy_pool_query *blocks;
	__u64 handle, *physical;
	struct bp_pool *pool;
	int err, n = argc - 1;

	if (!n)
		return complain("query: which handles?");
	err = open_inherited(opt, "query", O_RDONLY, &pool);
	if (err)
		return err;
	blocks = calloc(n, sizeof(*blocks));
	physical = calloc(n, sizeof(*physical));
	if (!blocks || !physical)
		err = refuse("out of memory");
	for (int i = 0; !err && i < n; i++) {
		if (bp_parse_size(argv[i + 1], &handle) || handle > (__u32)~0)
			err = complain("query: '%s' is no handle", argv[i + 1]);
		else
			err = query(pool, handle, blocks + i, physical + i);
	}
	bp_close(pool);
	if (!err)
		print_blocks(opt, blocks, physical, n);
	free(physical);
	free(blocks);
	return err;
}

int cmd_list_blocks(const struct options *opt, int argc, char **argv)
{
	struct buddy_pool_query *blocks;
	struct bp_pool *pool;
	size_t count;
	int err;

	if (has_arguments(argc, argv))
		return USAGE;
	err = open_inherited(opt, "list-blocks", O_RDONLY, &pool);
	if (err)
		return err;
	err = bp_list(pool, &blocks, &count);
	bp_close(pool);
	if (err)
		return report(err, "list-blocks");
	print_blocks(opt, blocks, NULL, count);
	free(blocks);
	return DONE;
}

/* --- Ranges that are withdrawn ----------------------------------------- */

static int change_range(const struct options *opt, int argc, char **argv,
			int (*change)(const struct bp_pool *pool, __u64 offset, __u64 length))
{
	char text[BP_TEXT_LEN];
	__u64 offset, length;
	struct bp_pool *pool;
	int err;

	if (argc != 3)
		return complain("%s: OFFSET and LENGTH", argv[0]);
	if (bp_parse_size(argv[1], &offset) || bp_parse_size(argv[2], &length))
		return complain("%s: '%s %s' are no numbers", argv[0], argv[1], argv[2]);
	err = open_or_inherit(opt, O_RDWR, &pool);
	if (err)
		return err;
	err = change(pool, offset, length);
	bp_close(pool);
	if (!err)
		return DONE;
	bp_explain_range(text, argv[0], err);
	return refuse(text);
}

int cmd_reserve(const struct options *opt, int argc, char **argv)
{
	return change_range(opt, argc, argv, bp_reserve);
}

int cmd_unreserve(const struct options *opt, int argc, char **argv)
{
	return change_range(opt, argc, argv, bp_unreserve);
}

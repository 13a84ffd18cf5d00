// SPDX-License-Identifier: GPL-2.0
/*
 * buddyctl alloc and free. A block belongs to an open file, so 'alloc' keeps the
 * file open: until its input ends, for some seconds, or as a file that a command
 * inherits. The environment tells the command, and 'free' in it, which.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buddyctl.h"

#define MAX_COUNT	65536
/* Longest string of an environment that Linux hands on: 32 pages */
#define MAX_VARIABLE	131072

/* What env(1) and shells exit with when there is no such command, or it can't be run */
#define NOT_FOUND	127
#define CAN_T_RUN	126

/* What is wanted, and what was got */
struct request {
	struct buddy_pool_alloc want;
	struct buddy_pool_alloc *got;
	__u64 count;
	__u64 hold;
	bool has_hold;
	bool has_window;
	bool help;
	const char *size;
	char **command;
};

/* --- The command line -------------------------------------------------- */

static int parse_number(const char *what, const char *text, __u64 *value)
{
	if (!bp_parse_size(text, value))
		return DONE;
	return complain("%s: '%s' is no number; write for example 64K or 0x10000", what, text);
}

static int set_label(struct request *r, const char *text)
{
	if (strlen(text) >= sizeof(r->want.label))
		return complain("--label: at most %zu characters", sizeof(r->want.label) - 1);
	strcpy(r->want.label, text);
	return DONE;
}

static int parse_option(struct request *r, int c)
{
	switch (c) {
	case 'a':
		return parse_number("--align", optarg, &r->want.align);
	case 's':
		r->has_window = true;
		return parse_number("--start", optarg, &r->want.start);
	case 'e':
		r->has_window = true;
		return parse_number("--end", optarg, &r->want.end);
	case 'f':
		r->want.flags |= BUDDY_POOL_ALLOC_FIXED;
		return parse_number("--fixed", optarg, &r->want.start);
	case 't':
		r->want.flags |= BUDDY_POOL_ALLOC_TOP_DOWN;
		return DONE;
	case '2':
		r->want.flags |= BUDDY_POOL_ALLOC_POW2;
		return DONE;
	case 'l':
		return set_label(r, optarg);
	case 'c':
		return parse_number("--count", optarg, &r->count);
	case 'H':
		r->has_hold = true;
		return parse_number("--hold", optarg, &r->hold);
	case 'h':
		r->help = true;
		return DONE;
	}
	return USAGE;
}

static int set_size(struct request *r, const char *text)
{
	if (r->size)
		return complain("alloc: one size only, not '%s'; a command goes after --", text);
	r->size = text;
	return parse_number("alloc", text, &r->want.length);
}

static int check_request(const struct request *r)
{
	if (!r->size)
		return complain("alloc: what size?");
	if (r->command && r->has_hold)
		return complain("alloc: either --hold or a command");
	if (r->count < 1 || r->count > MAX_COUNT)
		return complain("--count: from 1 to %d", MAX_COUNT);
	if (r->want.flags & BUDDY_POOL_ALLOC_FIXED && (r->has_window || r->count > 1))
		return complain("alloc: --fixed is one place: no --start, --end or --count");
	return DONE;
}

static int parse_alloc(struct request *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "align", required_argument, NULL, 'a' },
		{ "start", required_argument, NULL, 's' },
		{ "end", required_argument, NULL, 'e' },
		{ "fixed", required_argument, NULL, 'f' },
		{ "top-down", no_argument, NULL, 't' },
		{ "pow2", no_argument, NULL, '2' },
		{ "label", required_argument, NULL, 'l' },
		{ "count", required_argument, NULL, 'c' },
		{ "hold", required_argument, NULL, 'H' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	int c, err;

	/* With '-', what is no option comes as one numbered 1, until there is a '--'. */
	while ((c = getopt_long(argc, argv, "-h", options, NULL)) != -1) {
		err = c == 1 ? set_size(r, optarg) : parse_option(r, c);
		if (err || r->help)
			return err;
	}
	if (optind < argc)
		r->command = argv + optind;
	return check_request(r);
}

/* --- Output ------------------------------------------------------------ */

static void print_blocks(const struct request *r)
{
	char size[BP_SIZE_LEN];

	for (__u64 i = 0; i < r->count; i++) {
		bp_format_size(size, r->got[i].granted);
		printf("handle %u: %s at offset %#llx\n", r->got[i].handle, size,
		       r->got[i].offset);
	}
}

static void print_blocks_json(const struct request *r, const char *pool)
{
	struct json_object *object = json_new(), *list = json_object_new_array();

	json_object_object_add(object, "pool", json_object_new_string(pool));
	json_object_object_add(object, "blocks", list);
	for (__u64 i = 0; i < r->count; i++) {
		const struct field fields[] = {
			{ "handle", NUMBER, r->got[i].handle },
			{ "offset", SIZE, r->got[i].offset },
			{ "length", SIZE, r->got[i].granted },
			{ "map_offset", NUMBER, r->got[i].map_offset },
		};
		struct json_object *block = json_object_new_object();

		json_add_fields(block, fields, ARRAY_SIZE(fields));
		json_object_array_add(list, block);
	}
	json_print(object);
}

static void print_refusal_json(const struct buddy_pool_alloc *req, int err, const char *text)
{
	const struct field fields[] = {
		{ "error", TEXT, .text = bp_errno_name(err) },
		{ "reason", TEXT, .text = bp_reason_name(req->reason) },
		{ "largest", SIZE, req->largest },
		{ "message", TEXT, .text = text },
	};
	struct json_object *object = json_new();

	json_add_fields(object, fields, ARRAY_SIZE(fields));
	json_print(object);
}

/* --- Keeping the blocks ------------------------------------------------ */

/* Sets NAME to the values of all blocks, in decimal, with blanks between, if they fit. */
static int export_values(const struct request *r, const char *name,
			 __u64 (*value)(const struct buddy_pool_alloc *block))
{
	size_t room = r->count * 21 + 1, used = 0;
	char *text = malloc(room);
	int err;

	if (!text)
		return -ENOMEM;
	for (__u64 i = 0; i < r->count; i++)
		used += snprintf(text + used, room - used, "%s%llu", i ? " " : "",
				 value(r->got + i));
	if (strlen(name) + 1 + used < MAX_VARIABLE) {
		err = setenv(name, text, 1) ? -errno : 0;
	} else {
		err = unsetenv(name) ? -errno : 0;
		fprintf(stderr, "buddyctl: $%s would be too long: see 'buddyctl list-blocks'\n",
			name);
	}
	free(text);
	return err;
}

static __u64 handle_of(const struct buddy_pool_alloc *block)
{
	return block->handle;
}

static __u64 offset_of(const struct buddy_pool_alloc *block)
{
	return block->offset;
}

static __u64 map_offset_of(const struct buddy_pool_alloc *block)
{
	return block->map_offset;
}

static __u64 length_of(const struct buddy_pool_alloc *block)
{
	return block->granted;
}

/* The block lives as long as the command and its children keep the file open. */
static int become_command(const struct request *r, const struct bp_pool *pool,
			  const char *name)
{
	char fd[16];
	int err;

	snprintf(fd, sizeof(fd), "%d", bp_fd(pool));
	if (fcntl(bp_fd(pool), F_SETFD, 0) || setenv("BUDDY_POOL_FD", fd, 1) ||
	    setenv("BUDDY_POOL", name, 1) ||
	    export_values(r, "BUDDY_POOL_HANDLE", handle_of) ||
	    export_values(r, "BUDDY_POOL_OFFSET", offset_of) ||
	    export_values(r, "BUDDY_POOL_LENGTH", length_of) ||
	    export_values(r, "BUDDY_POOL_MAP_OFFSET", map_offset_of))
		return refuse("out of memory");
	execvp(r->command[0], r->command);
	err = errno;
	fprintf(stderr, "buddyctl: can't run %s: %s\n", r->command[0], strerror(err));
	return err == ENOENT ? NOT_FOUND : CAN_T_RUN;
}

static int hold(const struct request *r, const struct bp_pool *pool, const char *name)
{
	char ignored[256];
	ssize_t n;
	int err = flush_output();

	if (err)
		return err;
	if (r->command)
		return become_command(r, pool, name);
	if (r->has_hold) {
		for (__u64 left = r->hold; left; )
			left = sleep(left > 3600 ? 3600 : left) + (left > 3600 ? left - 3600 : 0);
		return DONE;
	}
	if (isatty(STDIN_FILENO))
		fputs("held until the end of input (Ctrl-D)\n", stderr);
	do {
		n = read(STDIN_FILENO, ignored, sizeof(ignored));
	} while (n > 0 || (n < 0 && errno == EINTR));
	return DONE;
}

/* --- The commands ------------------------------------------------------ */

/* @count blocks from @got on, in one call; what a refusal says is in the first. */
static int allocate_batch(const struct request *r, const struct bp_pool *pool,
			  struct buddy_pool_alloc *got, __u32 count)
{
	struct buddy_pool_block blocks[BUDDY_POOL_MAX_BATCH];
	struct buddy_pool_alloc_batch req = {
		.flags = r->want.flags, .length = r->want.length, .align = r->want.align,
		.start = r->want.start, .end = r->want.end, .count = count,
	};
	int err;

	memcpy(req.label, r->want.label, sizeof(req.label));
	err = bp_alloc_batch(pool, &req, blocks);
	got[0] = r->want;
	got[0].reason = req.reason;
	got[0].largest = req.largest;
	for (__u32 i = 0; !err && i < count; i++) {
		got[i] = r->want;
		got[i].handle = blocks[i].handle;
		got[i].offset = blocks[i].offset;
		got[i].map_offset = blocks[i].offset;
		got[i].granted = req.granted;
	}
	return err;
}

/* Of many blocks, what the kernel says of space is about what those that fit leave. */
static void explain(char text[BP_TEXT_LEN], const struct request *r, const struct bp_pool *pool,
		    const struct buddy_pool_alloc *got, int err)
{
	char size[BP_SIZE_LEN], largest[BP_SIZE_LEN];
	int n;

	if (r->count == 1 || err != -ENOSPC) {
		bp_explain_alloc(text, pool, got, err);
		return;
	}
	bp_format_size(size, got->length);
	bp_format_size(largest, got->largest);
	n = snprintf(text, BP_TEXT_LEN, "no %llu blocks of %s: %s; beside those that fit, ",
		     r->count, size, bp_reason_text(got->reason));
	if (got->largest)
		snprintf(text + n, BP_TEXT_LEN - n,
			 "the longest free run is %s: try fewer, or 'alloc %s --align 1' for the rest",
			 largest, largest);
	else
		snprintf(text + n, BP_TEXT_LEN - n, "nothing is free: try fewer");
}

/* If one is refused, those before it go when the pool is closed. */
static int allocate(const struct options *opt, struct request *r, const struct bp_pool *pool)
{
	char text[BP_TEXT_LEN];
	__u64 n;
	int err;

	for (__u64 i = 0; i < r->count; i += n) {
		n = r->count - i < BUDDY_POOL_MAX_BATCH ? r->count - i : BUDDY_POOL_MAX_BATCH;
		if (r->count == 1) {
			r->got[i] = r->want;
			err = bp_alloc(pool, r->got + i);
		} else {
			err = allocate_batch(r, pool, r->got + i, n);
		}
		if (!err)
			continue;
		explain(text, r, pool, r->got + i, err);
		if (opt->json)
			print_refusal_json(r->got + i, err, text);
		return refuse(text);
	}
	return DONE;
}

static int allocate_and_hold(const struct options *opt, struct request *r,
			     const struct bp_pool *pool)
{
	struct buddy_pool_info info;
	int status = bp_info(pool, &info);

	if (status)
		return refuse(strerror(-status));
	status = allocate(opt, r, pool);
	if (status)
		return status;
	if (opt->json)
		print_blocks_json(r, info.name);
	else
		print_blocks(r);
	return hold(r, pool, info.name);
}

int cmd_alloc(const struct options *opt, int argc, char **argv)
{
	struct request r = { .count = 1 };
	struct bp_pool *pool;
	int status = parse_alloc(&r, argc, argv);

	if (r.help)
		return print_help();
	if (status)
		return status;
	r.got = calloc(r.count, sizeof(*r.got));
	if (!r.got)
		return refuse("out of memory");
	status = open_pool(opt, O_RDWR, &pool);
	if (!status) {
		status = allocate_and_hold(opt, &r, pool);
		bp_close(pool);
	}
	free(r.got);
	return status;
}

/* Never opens a pool: a new open file has no blocks that could be freed. */
int cmd_free(const struct options *opt, int argc, char **argv)
{
	char text[BP_TEXT_LEN];
	struct bp_pool *pool;
	__u32 reason;
	__u64 handle;
	int err, status = DONE;

	if (argc < 2)
		return complain("free: which handles?");
	for (int i = 1; i < argc; i++) {
		if (parse_number("free", argv[i], &handle))
			return USAGE;
		if (handle > (__u32)~0)
			return complain("free: '%s' is too large for a handle", argv[i]);
	}
	status = open_inherited(opt, "free", O_RDWR, &pool);
	if (status)
		return status;
	for (int i = 1; i < argc; i++) {
		bp_parse_size(argv[i], &handle);
		err = bp_free(pool, handle, &reason);
		if (!err)
			continue;
		bp_explain_free(text, handle, reason, err);
		status = refuse(text);
	}
	bp_close(pool);
	return status;
}

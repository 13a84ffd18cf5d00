/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the commands of buddyctl. */
#ifndef BUDDYCTL_H
#define BUDDYCTL_H

#include <stdbool.h>
#include <stddef.h>

#include "libbuddypool.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Version of what --json prints; raised when a field changes or goes */
#define JSON_SCHEMA	1

/* Exit statuses */
enum {
	DONE = 0,
	REFUSED = 1,
	USAGE = 2,
};

/* What stands before the command */
struct options {
	const char *pool;
	bool json;
};

/* One fact, printed the same way by all commands */
struct field {
	const char *name;
	/* A LIMIT is one of these that may be absent, which ~0 stands for. */
	enum { SIZE, NUMBER, SIZE_LIMIT, NUMBER_LIMIT, TEXT, YES_NO } kind;
	__u64 value;
	const char *text;
};

int cmd_list(const struct options *opt, int argc, char **argv);
int cmd_info(const struct options *opt, int argc, char **argv);
int cmd_stats(const struct options *opt, int argc, char **argv);
int cmd_map(const struct options *opt, int argc, char **argv);
int cmd_alloc(const struct options *opt, int argc, char **argv);
int cmd_free(const struct options *opt, int argc, char **argv);
int cmd_query(const struct options *opt, int argc, char **argv);
int cmd_list_blocks(const struct options *opt, int argc, char **argv);
int cmd_reserve(const struct options *opt, int argc, char **argv);
int cmd_unreserve(const struct options *opt, int argc, char **argv);
int cmd_create(const struct options *opt, int argc, char **argv);
int cmd_delete(const struct options *opt, int argc, char **argv);

/* Messages on stderr; complain() returns USAGE. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
int refuse(const char *text);
/* On stdout */
int print_help(void);
/* DONE if @err, a -errno, is 0; else says that @what failed, and why */
int report(int err, const char *what);

/* True, and a complaint, if there are arguments where none belong. */
bool has_arguments(int argc, char **argv);

/* The pool that the options mean, or an exit status */
int open_pool(const struct options *opt, int oflags, struct bp_pool **pool);
/* The same, but a file inherited from 'buddyctl alloc' goes first */
int open_or_inherit(const struct options *opt, int oflags, struct bp_pool **pool);
/* The same, for a command about blocks, of which a new open file has none */
int open_inherited(const struct options *opt, const char *command, int oflags,
		   struct bp_pool **pool);
/* Names of all pools, sorted. The caller calls free() on each and on the array. */
int pool_names(char ***names);

struct json_object;
void print_fields(const struct field *fields, size_t count);
void json_add_fields(struct json_object *object, const struct field *fields, size_t count);
/* A new object with the schema in it; printing it frees it. */
struct json_object *json_new(void);
void json_print(struct json_object *object);

/* Returns DONE if all that was printed could be written, or says that it could not. */
int flush_output(void);

#endif

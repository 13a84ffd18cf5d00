// SPDX-License-Identifier: GPL-2.0
/*
 * buddyctl: looks at pools and allocates from them. This file has the command
 * line, what the commands share, and the commands that only look at numbers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buddyctl.h"

static const char usage[] =
"usage: buddyctl [-p POOL] [--json] COMMAND\n"
"\n"
"  list                   the pools there are\n"
"  info                   what a pool is\n"
"  stats                  how much is used, and counters\n"
"  map                    a drawing of what is used and free\n"
"      --width N --rows N     of the drawing\n"
"  alloc SIZE [OPTION...] [-- COMMAND...]\n"
"                         gets a block and keeps it until the end of input, or\n"
"                         while COMMAND runs\n"
"      --align N              power of two; default: the size rounded up to one\n"
"      --start N --end N      only between these offsets\n"
"      --fixed OFFSET         exactly there\n"
"      --top-down             the highest place instead of the lowest\n"
"      --pow2                 keep a whole power of two\n"
"      --label TEXT           shown to administrators\n"
"      --count N              so many blocks\n"
"      --hold SECONDS         keep them so long\n"
"  free HANDLE...         gives blocks back; only inside 'alloc ... -- COMMAND'\n"
"  query HANDLE...        what a block is; likewise\n"
"  list-blocks            all blocks of the open file; likewise\n"
"  reserve OFFSET LENGTH  withdraws part of the pool from use; for root\n"
"  unreserve OFFSET LENGTH\n"
"                         gives it back\n"
"  create NAME SETTING=VALUE...\n"
"                         makes a pool; the settings are the parameters of the\n"
"                         module: base=0x30000000 size=64M; for root\n"
"  delete NAME            takes it away, unless somebody uses it; for root\n"
"\n"
"POOL is a name or the path of a node; without it, $BUDDY_POOL, or the only pool.\n"
"Sizes and offsets may be hexadecimal and end in K, M, G or T.\n"
"Exit status: 0 done, 1 refused, 2 wrong usage; see buddyctl(1).\n";

/* --- Messages ---------------------------------------------------------- */

int complain(const char *format, ...)
{
	va_list args;

	fputs("buddyctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; see buddyctl --help\n", stderr);
	return USAGE;
}

int refuse(const char *text)
{
	fprintf(stderr, "buddyctl: %s\n", text);
	return REFUSED;
}

int report(int err, const char *what)
{
	if (!err)
		return DONE;
	fprintf(stderr, "buddyctl: %s: %s\n", what, strerror(-err));
	return REFUSED;
}

bool has_arguments(int argc, char **argv)
{
	if (argc > 1)
		complain("%s takes no argument '%s'", argv[0], argv[1]);
	return argc > 1;
}

/* --- Which pool -------------------------------------------------------- */

static int is_pool(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int pool_names(char ***names)
{
	struct dirent **entries;
	int n = scandir(BP_DIR, &entries, is_pool, versionsort);

	*names = NULL;
	if (n <= 0)
		return 0;
	*names = calloc(n, sizeof(**names));
	for (int i = 0; i < n; i++) {
		if (*names)
			(*names)[i] = strdup(entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return *names ? n : 0;
}

/* Puts the name of the only pool into @name. */
static int only_pool(char *name, size_t size)
{
	char **names;
	int n = pool_names(&names);

	if (n == 1)
		snprintf(name, size, "%s", names[0]);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	if (n == 1)
		return DONE;
	if (n > 1)
		return complain("there are %d pools: choose one with -p", n);
	return refuse("there are no pools; load the module buddy_pool with a range or a BAR");
}

int open_pool(const struct options *opt, int oflags, struct bp_pool **pool)
{
	const char *name = opt->pool ? opt->pool : getenv("BUDDY_POOL");
	char only[256], text[BP_TEXT_LEN];
	int err;

	if (!name) {
		err = only_pool(only, sizeof(only));
		if (err)
			return err;
		name = only;
	}
	err = bp_open(name, oflags, pool);
	if (!err)
		return DONE;
	bp_explain_open(text, name, err);
	return refuse(text);
}

int open_or_inherit(const struct options *opt, int oflags, struct bp_pool **pool)
{
	const char *inherited = getenv("BUDDY_POOL_FD");
	char text[BP_TEXT_LEN], *end;
	long fd;
	int err;

	if (opt->pool || !inherited)
		return open_pool(opt, oflags, pool);
	fd = strtol(inherited, &end, 10);
	if (end == inherited || *end || fd < 0 || fd > INT_MAX)
		return refuse("$BUDDY_POOL_FD is no file descriptor");
	err = bp_from_fd(fd, pool);
	if (!err)
		return DONE;
	bp_explain_open(text, "$BUDDY_POOL_FD", err);
	return refuse(text);
}

int open_inherited(const struct options *opt, const char *command, int oflags,
		   struct bp_pool **pool)
{
	if (opt->pool || !getenv("BUDDY_POOL_FD"))
		return complain("%s: works only inside 'alloc ... -- COMMAND'", command);
	return open_or_inherit(opt, oflags, pool);
}

/* --- Output ------------------------------------------------------------ */

static bool is_unlimited(const struct field *f)
{
	return (f->kind == SIZE_LIMIT || f->kind == NUMBER_LIMIT) && f->value == ~0ULL;
}

void print_fields(const struct field *fields, size_t count)
{
	char size[BP_SIZE_LEN];

	for (const struct field *f = fields; f < fields + count; f++) {
		printf("%-15s ", f->name);
		if (is_unlimited(f)) {
			puts("unlimited");
			continue;
		}
		switch (f->kind) {
		case SIZE:
		case SIZE_LIMIT:
			bp_format_size(size, f->value);
			puts(size);
			break;
		case NUMBER:
		case NUMBER_LIMIT:
			printf("%llu\n", f->value);
			break;
		case TEXT:
			puts(f->text);
			break;
		case YES_NO:
			puts(f->value ? "yes" : "no");
			break;
		}
	}
}

void json_add_fields(struct json_object *object, const struct field *fields, size_t count)
{
	struct json_object *value = NULL;

	for (const struct field *f = fields; f < fields + count; f++) {
		switch (f->kind) {
		case SIZE:
		case NUMBER:
		case SIZE_LIMIT:
		case NUMBER_LIMIT:
			/* NULL is the null of JSON. */
			value = is_unlimited(f) ? NULL : json_object_new_uint64(f->value);
			break;
		case TEXT:
			value = json_object_new_string(f->text);
			break;
		case YES_NO:
			value = json_object_new_boolean(f->value);
			break;
		}
		json_object_object_add(object, f->name, value);
	}
}

struct json_object *json_new(void)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "schema", json_object_new_int(JSON_SCHEMA));
	return object;
}

void json_print(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

/*
 * A full disk must not look like success. What is longer than the buffer has failed before
 * now, and left nothing in it.
 */
int flush_output(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return DONE;
	return refuse("can't write to standard output");
}

/* --- info and stats ---------------------------------------------------- */

#define NR_INFO_FIELDS	16

/* The text of one field is in a buffer that the next call overwrites. */
static void info_fields(const struct buddy_pool_info *i, struct field fields[NR_INFO_FIELDS])
{
	static char version[32];
	const struct field list[NR_INFO_FIELDS] = {
		{ "name", TEXT, .text = i->name },
		{ "length", SIZE, i->length },
		{ "min_block", SIZE, i->min_block },
		{ "min_alloc", SIZE, i->min_alloc },
		{ "max_alloc", SIZE, i->max_alloc },
		{ "backing", TEXT, .text = bp_backing_name(i->backing) },
		{ "cache", TEXT, .text = bp_cache_name(i->cache) },
		{ "mmap", YES_NO, !!(i->features & BUDDY_POOL_FEATURE_MMAP) },
		{ "zeroed", YES_NO, !!(i->features & BUDDY_POOL_FEATURE_ZEROED) },
		{ "zero", TEXT, .text = bp_zero_name(i->zero) },
		{ "max_file_blocks", NUMBER_LIMIT, i->max_file_blocks },
		{ "max_file_bytes", SIZE_LIMIT, i->max_file_bytes },
		{ "max_user_blocks", NUMBER_LIMIT, i->max_user_blocks },
		{ "max_user_bytes", SIZE_LIMIT, i->max_user_bytes },
		{ "uapi_version", NUMBER, i->uapi_max },
		{ "driver_version", TEXT, .text = version },
	};

	snprintf(version, sizeof(version), "%u.%u.%u", i->driver_version >> 16,
		 i->driver_version >> 8 & 0xff, i->driver_version & 0xff);
	memcpy(fields, list, sizeof(list));
}

int cmd_info(const struct options *opt, int argc, char **argv)
{
	struct field fields[NR_INFO_FIELDS];
	struct buddy_pool_info info;
	struct json_object *object;
	struct bp_pool *pool;
	int err;

	if (has_arguments(argc, argv))
		return USAGE;
	err = open_or_inherit(opt, O_RDONLY, &pool);
	if (err)
		return err;
	err = bp_info(pool, &info);
	bp_close(pool);
	if (err)
		return report(err, "info");
	info_fields(&info, fields);
	if (opt->json) {
		object = json_new();
		json_add_fields(object, fields, NR_INFO_FIELDS);
		json_print(object);
	} else {
		print_fields(fields, NR_INFO_FIELDS);
	}
	return DONE;
}

/* What STATS says */
struct usage {
	struct buddy_pool_stats stats;
	struct buddy_pool_order_stats orders[BUDDY_POOL_MAX_ORDERS];
};

static struct json_object *order_to_json(const struct buddy_pool_order_stats *order, __u64 size)
{
	const struct field fields[] = {
		{ "size", SIZE, size },
		{ "count", NUMBER, order->count },
		{ "enqueues", NUMBER, order->enqueues },
		{ "dequeues", NUMBER, order->dequeues },
		{ "removes", NUMBER, order->removes },
	};
	struct json_object *object = json_object_new_object();

	json_add_fields(object, fields, ARRAY_SIZE(fields));
	return object;
}

static void json_add_orders(struct json_object *object, const struct usage *usage,
			    __u64 min_block)
{
	struct json_object *list = json_object_new_array();

	for (__u32 o = 0; o < usage->stats.nr_orders; o++)
		json_object_array_add(list, json_object_new_uint64(usage->orders[o].count));
	json_object_object_add(object, "free_blocks", list);
	list = json_object_new_array();
	for (__u32 o = 0; o < usage->stats.nr_orders; o++)
		json_object_array_add(list, order_to_json(&usage->orders[o], min_block << o));
	json_object_object_add(object, "orders", list);
}

static void print_orders(const struct usage *usage, __u64 min_block)
{
	const struct buddy_pool_order_stats *order;
	char size[BP_SIZE_LEN];

	printf("\n%8s %10s %12s %12s %12s\n", "SIZE", "FREE", "ENQUEUES", "DEQUEUES", "REMOVES");
	for (__u32 o = 0; o < usage->stats.nr_orders; o++) {
		order = &usage->orders[o];
		bp_format_size(size, min_block << o);
		printf("%8s %10llu %12llu %12llu %12llu\n", size, order->count, order->enqueues,
		       order->dequeues, order->removes);
	}
}

static void print_stats(const struct options *opt, const struct buddy_pool_info *info,
			const struct usage *usage)
{
	const struct buddy_pool_stats *s = &usage->stats;
	const struct field fields[] = {
		{ "name", TEXT, .text = info->name },
		{ "length", SIZE, s->length },
		{ "free", SIZE, s->free },
		{ "used", SIZE, s->used },
		{ "held", SIZE, s->held },
		{ "reserved", SIZE, s->reserved },
		{ "peak", SIZE, s->peak },
		{ "largest", SIZE, s->largest },
		{ "requested", SIZE, s->requested },
		{ "granted", SIZE, s->granted },
		{ "nr_blocks", NUMBER, s->nr_blocks },
		{ "allocs", NUMBER, s->allocs },
		{ "frees", NUMBER, s->frees },
		{ "splits", NUMBER, s->splits },
		{ "merges", NUMBER, s->merges },
		{ "out_of_space", NUMBER, s->out_of_space },
		{ "oversize", NUMBER, s->oversize },
		{ "undersize", NUMBER, s->undersize },
		{ "bad_frees", NUMBER, s->bad_frees },
		{ "fragmentation", NUMBER, s->fragmentation },
		{ "zeroed", SIZE, s->zeroed },
	};
	struct json_object *object;

	if (!opt->json) {
		print_fields(fields, ARRAY_SIZE(fields));
		print_orders(usage, info->min_block);
		return;
	}
	object = json_new();
	json_add_fields(object, fields, ARRAY_SIZE(fields));
	json_add_orders(object, usage, info->min_block);
	json_print(object);
}

int cmd_stats(const struct options *opt, int argc, char **argv)
{
	struct buddy_pool_info info;
	struct bp_pool *pool;
	struct usage usage;
	int err;

	if (has_arguments(argc, argv))
		return USAGE;
	err = open_or_inherit(opt, O_RDONLY, &pool);
	if (err)
		return err;
	err = bp_info(pool, &info);
	if (!err)
		err = bp_stats(pool, &usage.stats, usage.orders);
	bp_close(pool);
	if (!err)
		print_stats(opt, &info, &usage);
	return report(err, "stats");
}

/* --- list -------------------------------------------------------------- */

/* One line or, if @list, one array element; a pool that can't be read is told why. */
static int list_pool(const char *name, struct json_object *list)
{
	char length[BP_SIZE_LEN], space[BP_SIZE_LEN], largest[BP_SIZE_LEN], text[BP_TEXT_LEN];
	struct buddy_pool_stats stats;
	struct field fields[NR_INFO_FIELDS + 2];
	struct buddy_pool_info info;
	struct json_object *object;
	struct bp_pool *pool;
	int err = bp_open(name, O_RDONLY, &pool);

	if (err) {
		bp_explain_open(text, name, err);
		return refuse(text);
	}
	err = bp_info(pool, &info);
	if (!err)
		err = bp_stats(pool, &stats, NULL);
	bp_close(pool);
	if (err)
		return report(err, name);
	if (list) {
		info_fields(&info, fields);
		fields[NR_INFO_FIELDS] = (struct field){ "free", SIZE, stats.free };
		fields[NR_INFO_FIELDS + 1] = (struct field){ "largest", SIZE, stats.largest };
		object = json_object_new_object();
		json_add_fields(object, fields, ARRAY_SIZE(fields));
		json_object_array_add(list, object);
		return DONE;
	}
	bp_format_size(length, info.length);
	bp_format_size(space, stats.free);
	bp_format_size(largest, stats.largest);
	printf("%-16s %8s %8s %8s %6s %s\n", info.name, length, space, largest,
	       bp_cache_name(info.cache), bp_backing_name(info.backing));
	return DONE;
}

int cmd_list(const struct options *opt, int argc, char **argv)
{
	struct json_object *object = NULL, *list = NULL;
	char **names;
	int n, status = DONE;

	if (has_arguments(argc, argv))
		return USAGE;
	n = pool_names(&names);
	if (opt->json) {
		object = json_new();
		list = json_object_new_array();
		json_object_object_add(object, "pools", list);
	} else if (n) {
		printf("%-16s %8s %8s %8s %6s %s\n", "NAME", "LENGTH", "FREE", "LARGEST",
		       "CACHE", "BACKING");
	} else {
		fputs("buddyctl: there are no pools\n", stderr);
	}
	for (int i = 0; i < n; i++) {
		status |= list_pool(names[i], list);
		free(names[i]);
	}
	free(names);
	if (object)
		json_print(object);
	return status;
}

/* --- Command line ------------------------------------------------------ */

static const struct {
	const char *name;
	int (*run)(const struct options *opt, int argc, char **argv);
} commands[] = {
	{ "list", cmd_list },
	{ "info", cmd_info },
	{ "stats", cmd_stats },
	{ "map", cmd_map },
	{ "alloc", cmd_alloc },
	{ "free", cmd_free },
	{ "query", cmd_query },
	{ "list-blocks", cmd_list_blocks },
	{ "reserve", cmd_reserve },
	{ "unreserve", cmd_unreserve },
	{ "create", cmd_create },
	{ "delete", cmd_delete },
};

static int flush(int status)
{
	return flush_output() ?: status;
}

int print_help(void)
{
	fputs(usage, stdout);
	return flush(DONE);
}

static int run_command(const struct options *opt, int argc, char **argv)
{
	int (*run)(const struct options *opt, int argc, char **argv) = NULL;

	if (!argc)
		return complain("name a command");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(argv[0], commands[i].name))
			run = commands[i].run;
	}
	if (!run)
		return complain("there is no command '%s'", argv[0]);
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return print_help();
	/* getopt_long() in a command starts anew. */
	optind = 0;
	return flush(run(opt, argc, argv));
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pool", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	struct options opt = { .pool = NULL };
	int c;

	/* The plus sign: options after the command are the command's. */
	while ((c = getopt_long(argc, argv, "+p:h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			opt.pool = optarg;
			break;
		case 'j':
			opt.json = true;
			break;
		case 'h':
			return print_help();
		default:
			return USAGE;
		}
	}
	return run_command(&opt, argc - optind, argv + optind);
}

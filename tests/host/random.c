// SPDX-License-Identifier: GPL-2.0
/*
 * Random operations on pools of random sizes, compared with the models.
 *
 * A round is a new pool and some thousand operations; all that happens in it
 * follows from its seed. Rounds run in a child process. When one fails, or dies,
 * it is repeated to record its operations, of which as many are dropped as can
 * be while it still fails. What remains is printed and can be replayed. (N03)
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"
#include "rng.h"
#include "tap.h"

#define MAX_SCRIPT (1U << 20)
/* Seconds that one attempt at a shorter script, and all of them, may take */
#define TRY_SECONDS 20
#define SHRINK_SECONDS 120

struct script {
	u64 first;
	u64 nr_blocks;
	u32 nr_ops;
	struct op ops[MAX_SCRIPT];
};

/* What the child processes leave behind for their parent */
struct shared {
	u64 round;
	u64 ops;
	u64 rounds;
	struct script script;
	char why[512];
};

static struct shared *shared;
static struct rig rig;
static u64 fixed_blocks;

static void *share(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

/*
 * Making up operations
 */

/* The habits of a round */
struct style {
	struct rng rng;
	unsigned int sizes;
	unsigned int windows; /* percent of requests with one */
	unsigned int rows; /* of so many operations, one is with a row */
	unsigned int free; /* percent of operations, changes */
};

static u64 any_size(struct style *style, u64 nr_blocks)
{
	struct rng *rng = &style->rng;
	u64 size = 1;

	switch (rng_below(rng, 16) ? style->sizes : rng_below(rng, 5)) {
	case 0:
		return 1;
	case 1:
		while (size < nr_blocks && rng_below(rng, 2))
			size *= 2;
		return size;
	case 2:
		while (size < 512 && rng_below(rng, 3))
			size = size * 2 - rng_below(rng, 2);
		return size;
	case 3:
		return 1 + rng_below(rng, rng_below(rng, 64) ? 100 : nr_blocks);
	default:
		return 1 +
		       rng_below(rng, 1 + nr_blocks / (1 + rng_below(rng, 32)));
	}
}

static unsigned int any_alignment(struct rng *rng, u64 nr)
{
	unsigned int natural = nr > 1 ? buddy_core_max_order(nr - 1) + 1 : 0;

	switch (rng_below(rng, 8)) {
	case 0:
	case 1:
		return 0;
	case 2:
		return rng_below(rng, natural + 1);
	case 3:
		return rng_below(rng, natural + 4);
	default:
		return natural;
	}
}

static struct op any_alloc(struct style *style)
{
	struct rng *rng = &style->rng;
	u64 nr_blocks = rig.fast.end - rig.fast.first;
	struct op op = { .kind = OP_ALLOC, .start = 0, .end = ~0ULL };

	op.flags = rng_below(rng, 3) ? 0 : BUDDY_CORE_TOP_DOWN;
	op.nr = any_size(style, nr_blocks);
	op.align_order = any_alignment(rng, op.nr);
	if (rng_below(rng, 100) < style->windows) {
		op.start = rig.fast.first + rng_below(rng, nr_blocks);
		op.end = op.start + 1 +
			 rng_below(rng,
				   rng_below(rng, 2) ? 4 * op.nr : nr_blocks);
	}
	return op;
}

static u64 any_index(struct rng *rng)
{
	u64 nr_blocks = rig.fast.end - rig.fast.first;

	switch (rng_below(rng, 8)) {
	case 0:
		return rng_next(rng);
	case 1:
		return rig.fast.end + rng_below(rng, 3);
	case 2:
		return rig.fast.first - rng_below(rng, 3);
	default:
		return rig.fast.first + rng_below(rng, nr_blocks);
	}
}

static struct op any_free(struct style *style)
{
	struct rng *rng = &style->rng;
	struct op op = { .kind = OP_FREE };

	if (rig.fast.nr_live && rng_below(rng, 16))
		op.start = rig.fast.live[rng_below(rng, rig.fast.nr_live)];
	else
		op.start = any_index(rng);
	return op;
}

/* To be taken, or from an allocation on that there is, as long as its like go on */
static struct op any_row(struct style *style)
{
	struct rng *rng = &style->rng;
	u64 nr = any_size(style, rig.fast.end - rig.fast.first);
	struct op op = { .kind = OP_ROW };
	u64 length, at;

	op.align_order = buddy_core_max_order(nr);
	op.nr = 1 + rng_below(rng, rng_below(rng, 8) ? 80 : 5000);
	if (!rig.fast.nr_live || rng_below(rng, 2))
		return op;
	op.kind = OP_FREE_ROW;
	op.start = any_free(style).start;
	if (op.start < rig.fast.first || op.start >= rig.fast.end)
		return op;
	length = rig.fast.length[op.start];
	at = op.start;
	if (!length || length & (length - 1))
		return op;
	op.align_order = buddy_core_max_order(length);
	op.nr = 0;
	while (at < rig.fast.end && rig.fast.length[at] == length) {
		op.nr++;
		at += length;
	}
	/* Now and then another than there is */
	if (!rng_below(rng, 8))
		op.nr++;
	if (!rng_below(rng, 8))
		op.align_order ^= 1;
	return op;
}

static struct op any_op(struct style *style)
{
	struct rng *rng = &style->rng;
	unsigned int choice = rng_below(rng, 100);
	struct op op = {};

	if (choice < style->free)
		return any_free(style);
	if (!rng_below(rng, style->rows))
		return any_row(style);
	choice = rng_below(rng, 100);
	if (choice < 88)
		return any_alloc(style);
	op.kind = choice < 95 ? OP_AT : choice < 99 ? OP_QUERY : OP_LARGEST;
	op.start = any_index(rng);
	op.end = any_index(rng);
	op.nr = any_size(style, rig.fast.end - rig.fast.first);
	return op;
}

/*
 * Rounds
 */

static u64 any_pool_size(struct rng *rng)
{
	unsigned int order = rng_below(rng, 20);

	if (fixed_blocks)
		return fixed_blocks;
	/* Of the large ones, few are enough. */
	if (order > 12)
		order = rng_below(rng, 21);
	switch (rng_below(rng, 4)) {
	case 0:
		return 1ULL << order;
	case 1:
		return (1ULL << order) + rng_below(rng, 5) - 2;
	default:
		return (1ULL << order) + rng_below(rng, 1ULL << order);
	}
}

static const char *run_round(u64 seed, u64 limit, bool record)
{
	struct style style = { .rng = rng_from(seed) };
	u64 nr_blocks = any_pool_size(&style.rng);
	u64 nr_ops, n;
	const char *why;

	why = rig_open(&rig,
		       rng_below(&style.rng, 4) ? rng_next(&style.rng) : 0,
		       nr_blocks);
	shared->script.first = rig.fast.first;
	shared->script.nr_blocks = rig.fast.end - rig.fast.first;
	shared->script.nr_ops = 0;
	style.sizes = rng_below(&style.rng, 5);
	style.windows = rng_below(&style.rng, 3) * 20;
	style.rows = 2 + rng_below(&style.rng, 30);
	nr_ops =
		200 + rng_below(&style.rng, rig.fast.end < 4096 ? 6000 : 60000);
	if (nr_ops > limit)
		nr_ops = limit;
	for (n = 0; n < nr_ops && !why; n++) {
		struct op op;

		/* Fill, rest and drain, each for a while */
		if (n % 512 == 0)
			style.free = 20 + 15 * rng_below(&style.rng, 5);
		op = any_op(&style);
		if (record)
			shared->script.ops[shared->script.nr_ops++] = op;
		why = rig_step(&rig, op);
	}
	shared->ops += n;
	shared->rounds++;
	return why ? why : rig_close(&rig);
}

static const char *run_script(const struct script *script, bool print)
{
	const char *why = rig_open(&rig, script->first, script->nr_blocks);
	u32 i;

	for (i = 0; i < script->nr_ops && !why; i++) {
		why = rig_step(&rig, script->ops[i]);
		if (print) {
			op_print(stdout, &script->ops[i]);
			if (rig.small)
				printf("# %s\n", model_text(&rig.model));
		}
	}
	return why ? why : rig_close(&rig);
}

/* Did the child that does this fail? It runs @script, or a round if NULL. */
static bool fails(const struct script *script, u64 seed)
{
	int status;
	pid_t pid;

	fflush(stdout);
	strcpy(shared->why, "crash or endless loop");
	pid = fork();
	if (!pid) {
		const char *why;

		alarm(TRY_SECONDS * 3);
		why = script ? run_script(script, false) :
			       run_round(seed, ~0ULL, true);
		if (why)
			strcpy(shared->why, why);
		_exit(!!why);
	}
	waitpid(pid, &status, 0);
	return status != 0;
}

/* Drops [from, from + nr) of the operations if the rest still fails */
static bool shorten(struct script *script, struct script *attempt, u32 from,
		    u32 nr)
{
	attempt->nr_ops = script->nr_ops - nr;
	memcpy(attempt->ops, script->ops, from * sizeof(struct op));
	memcpy(attempt->ops + from, script->ops + from + nr,
	       (attempt->nr_ops - from) * sizeof(struct op));
	if (!fails(attempt, 0))
		return false;
	script->nr_ops = attempt->nr_ops;
	memcpy(script->ops, attempt->ops, script->nr_ops * sizeof(struct op));
	return true;
}

static void shrink(struct script *script)
{
	struct script *attempt = share(sizeof(*attempt));
	time_t end = time(NULL) + SHRINK_SECONDS;
	u32 nr = script->nr_ops;
	bool shorter;

	attempt->first = script->first;
	attempt->nr_blocks = script->nr_blocks;
	for (nr = (nr + 1) / 2; nr; nr = shorter && nr == 1 ? 1 : nr / 2) {
		u32 from = 0;

		shorter = false;
		while (from < script->nr_ops && time(NULL) < end) {
			u32 part = nr < script->nr_ops - from ?
					   nr :
					   script->nr_ops - from;

			if (shorten(script, attempt, from, part))
				shorter = true;
			else
				from += part;
		}
	}
}

static void report(u64 seed)
{
	struct script *script = share(sizeof(*script));
	u32 i;

	printf("# round %" PRIu64 ": %s\n", (uint64_t)seed, shared->why);
	if (!fails(NULL, seed)) {
		printf("# it does not happen again\n");
		return;
	}
	memcpy(script, &shared->script, sizeof(*script));
	shrink(script);
	fails(script, 0);
	printf("# %s\n", shared->why);
	printf("# save what follows and replay it with --replay FILE\n");
	printf("pool %" PRIu64 " %" PRIu64 "\n", (uint64_t)script->first,
	       (uint64_t)script->nr_blocks);
	for (i = 0; i < script->nr_ops; i++)
		op_print(stdout, &script->ops[i]);
}

static int worker(u64 seed, u64 ops)
{
	const char *why;

	while (shared->ops < ops) {
		shared->round = seed++;
		/* No round takes that long, even of a large pool under a sanitizer. */
		alarm(300);
		why = run_round(shared->round, ops - shared->ops, false);
		if (why) {
			strcpy(shared->why, why);
			return 1;
		}
	}
	return 0;
}

static int run(u64 seed, u64 ops)
{
	int status;
	pid_t pid;

	tap_begin();
	printf("# seed %" PRIu64 "\n", (uint64_t)seed);
	strcpy(shared->why, "crash or endless loop");
	fflush(stdout);
	pid = fork();
	if (!pid)
		exit(worker(seed, ops));
	waitpid(pid, &status, 0);
	if (status)
		report(shared->round);
	tap(!status,
	    "%" PRIu64 " random operations, %" PRIu64 " pools, seed %" PRIu64,
	    (uint64_t)shared->ops, (uint64_t)shared->rounds, (uint64_t)seed);
	return tap_end();
}

static int replay(const char *path)
{
	struct script *script = &shared->script;
	FILE *file = fopen(path, "r");
	char line[128];
	const char *why;
	uint64_t first, nr;

	if (!file) {
		perror(path);
		return 2;
	}
	script->nr_ops = 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "pool %" SCNu64 " %" SCNu64, &first, &nr) ==
		    2) {
			script->first = first;
			script->nr_blocks = nr;
		} else if (op_parse(line, &script->ops[script->nr_ops])) {
			script->nr_ops++;
		}
	}
	fclose(file);
	why = run_script(script, true);
	printf("%s\n", why ? why : "no failure");
	return !!why;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "ops", required_argument, NULL, 'o' },
		{ "blocks", required_argument, NULL, 'b' },
		{ "replay", required_argument, NULL, 'r' },
		{}
	};
	u64 seed = (u64)time(NULL) * 1000000;
	u64 ops = 1000000;
	int option;

	shared = share(sizeof(*shared));
	rig_create(&rig);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			ops = strtoull(optarg, NULL, 0);
			break;
		case 'b':
			fixed_blocks = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			return replay(optarg);
		default:
			fprintf(stderr,
				"usage: random [--seed N] [--ops N] [--blocks N]\n"
				"       random --replay FILE\n");
			return 2;
		}
	}
	return run(seed, ops);
}

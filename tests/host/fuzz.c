// SPDX-License-Identifier: GPL-2.0
/*
 * N04, a libFuzzer target: bytes are a pool and operations on it, compared with the
 * models. What it finds is printed as a script for random --replay.
 *
 * The pool: one byte for the kind of size, two for the size, one for first. Then
 * operations, a byte for what and one or two for each of their numbers.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "rig.h"

struct input {
	const u8 *data;
	size_t size;
};

static struct rig rig;
static struct op script[4096];

static unsigned int byte(struct input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->data++;
}

/* Up to 127 in one byte, up to 32767 in two */
static unsigned int number(struct input *input)
{
	unsigned int low = byte(input);

	return low < 128 ? low : (low - 128) << 8 | byte(input);
}

static const char *open_pool(struct input *input)
{
	unsigned int kind = byte(input) % 4;
	unsigned int nr = number(input);
	unsigned int first = byte(input);

	switch (kind) {
	case 0:
		return rig_open(&rig, first, nr % 32 + 1);
	case 1:
		return rig_open(&rig, first, nr % 512 + 1);
	case 2:
		/* Around the end of a node */
		return rig_open(&rig, first, nr % 512 + 3900);
	default:
		return rig_open(&rig, first * 64, nr * 8);
	}
}

/* Take a row, or free one from something on that can be freed. */
static struct op next_row(struct input *input, unsigned int what)
{
	struct op op = { .kind = what & 8 ? OP_FREE_ROW : OP_ROW };

	op.align_order = what >> 4;
	if (op.kind == OP_FREE_ROW && rig.fast.nr_live) {
		op.start = rig.fast.live[number(input) % rig.fast.nr_live];
		op.align_order = buddy_core_max_order(rig.fast.length[op.start]);
	}
	op.nr = number(input) + 1;
	return op;
}

static struct op next_op(struct input *input)
{
	unsigned int what = byte(input);
	struct op op = { .start = 0, .end = ~0ULL };

	op.kind = what % 8;
	op.flags = what >> 3 & 1;
	switch (op.kind) {
	case 5:
		/* Free something that can be freed. */
		op.kind = OP_FREE;
		op.start = number(input);
		if (rig.fast.nr_live)
			op.start = rig.fast.live[op.start % rig.fast.nr_live];
		return op;
	case 6:
		op.kind = OP_ALLOC;
		break;
	case 7:
		return next_row(input, what);
	}
	if (op.kind != OP_ALLOC || what & 16)
		op.start = rig.fast.first + number(input) - 1;
	if (op.kind == OP_LARGEST || (op.kind == OP_ALLOC && what & 16))
		op.end = op.start + 2 + number(input);
	op.nr = number(input) + 1;
	if (op.kind == OP_ALLOC)
		op.align_order = what >> 5 ? what >> 5 :
					     buddy_core_max_order(op.nr);
	return op;
}

static void report(const char *why, unsigned int nr)
{
	unsigned int i;

	fprintf(stderr, "%s\npool %" PRIu64 " %" PRIu64 "\n", why,
		(uint64_t)rig.fast.first,
		(uint64_t)(rig.fast.end - rig.fast.first));
	for (i = 0; i < nr; i++)
		op_print(stderr, &script[i]);
	abort();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input input = { data, size };
	unsigned int nr = 0;
	const char *why;

	if (!rig.fast.node)
		rig_create(&rig);
	why = open_pool(&input);
	while (!why && input.size && nr < sizeof(script) / sizeof(script[0])) {
		script[nr] = next_op(&input);
		why = rig_step(&rig, script[nr++]);
	}
	if (!why)
		why = rig_close(&rig);
	if (why)
		report(why, nr);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0 */
/* Results in the format that scripts/ktap reads */
#ifndef HOST_TAP_H
#define HOST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_nr, tap_failed;

static inline void tap_begin(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n");
}

static inline bool __attribute__((format(printf, 2, 3)))
tap(bool ok, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%s %d ", ok ? "ok" : "not ok", ++tap_nr);
	vprintf(format, args);
	printf("\n");
	va_end(args);
	tap_failed += !ok;
	return ok;
}

/* The plan comes last. Returns the exit status. */
static inline int tap_end(void)
{
	printf("1..%d\n", tap_nr);
	return tap_failed != 0;
}

#endif

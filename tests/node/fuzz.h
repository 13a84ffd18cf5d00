/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the two fuzzers of the node: one has a model that says what each call
 * must answer, and so a single thread; the other has several threads and no model.
 *
 *	BUDDY_POOL_CALLS	how many (100000)
 *	BUDDY_POOL_SEED		the seed that a run before printed
 *
 * The calls are typed: most are right, or wrong in one way. They are not guided by
 * coverage: with twelve calls of a few fields, whose limits are known, the generator
 * gets everywhere by itself.
 */
#ifndef TESTS_NODE_FUZZ_H
#define TESTS_NODE_FUZZ_H

#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "node.h"

/* Mappings go here, where nothing else is. */
#define ARENA		((char *)(sizeof(long) == 8 ? 0x100000000000 : 0x50000000))
#define ARENA_PAGES	256U
#define RW		(PROT_READ | PROT_WRITE)

static inline __u64 number_from_env(const char *name, __u64 otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* Said in any case, before it begins. */
static inline __u64 choose_seed(void)
{
	__u64 seed = number_from_env("BUDDY_POOL_SEED", time(NULL) * 7919 + getpid());

	printf("# BUDDY_POOL_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

/* splitmix64, so that any seed will do */
static inline __u64 next_random(__u64 *state)
{
	__u64 z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* 0 to @n - 1 */
static inline __u64 below(__u64 *state, __u64 n)
{
	return next_random(state) % n;
}

static inline bool one_in(__u64 *state, unsigned int n)
{
	return !below(state, n);
}

/* Numbers at which programs go wrong */
static inline __u64 odd_number(__u64 *state)
{
	static const __u64 numbers[] = {
		0, 1, 4095, 4096, 4097, 1ULL << 31, (1ULL << 31) - 1, 1ULL << 32, (1ULL << 32) - 1,
		1ULL << 47, 1ULL << 63, (1ULL << 63) - 1, -4096ULL, -1ULL,
	};

	return one_in(state, 4) ? next_random(state) : numbers[below(state, ARRAY_SIZE(numbers))];
}

/* How often each call was granted and refused; the end is no success without both. */
static struct {
	const char *call;
	atomic_uint done;
	atomic_uint refused;
} answers[] = {
	{ "ALLOC" }, { "ALLOC_BATCH" }, { "FREE" }, { "FREE_BATCH" }, { "QUERY" }, { "GET_PHYS" },
	{ "RESERVE" }, { "mmap" },
};

static inline void count_answer(const char *call, int got)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(answers); i++)
		if (!strcmp(answers[i].call, call))
			atomic_fetch_add(got ? &answers[i].refused : &answers[i].done, 1);
}

/* The call that had not both answers, or NULL */
static inline const char *missing_answer(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(answers); i++)
		if (!answers[i].done || !answers[i].refused)
			return answers[i].call;
	return NULL;
}

/*
 * To oneself and back: the open file has another number then. Returns it, or -1. A
 * kernel without sockets leaves it as it is.
 */
static inline int send_to_oneself(int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int ends[2], received = -1;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends))
		return fd;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	/* While it is on the way it has no number. */
	if (sendmsg(ends[0], &message, 0) == 1) {
		close(fd);
		memset(&control, 0, sizeof(control));
		message.msg_controllen = sizeof(control);
		if (recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC) == 1)
			memcpy(&received, CMSG_DATA(&control.header), sizeof(received));
	}
	close(ends[0]);
	close(ends[1]);
	return received;
}

#endif

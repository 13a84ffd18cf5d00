// SPDX-License-Identifier: GPL-2.0
/*
 * Users at work while something happens to the device. Several processes allocate,
 * map, write, fork and free.
 *
 * usage: load_test NODE		until the device goes away; then every call
 *					must be ENODEV, every access SIGBUS
 *	  load_test NODE FILE		until FILE is there; all must work until then,
 *					and what was written must stay
 *
 * Writes /run/load.ready when every process has been once around.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/buddy_pool.h>

#define NR_USERS	4
#define PAGE		4096

struct user {
	const char *node;
	int fd;
	struct buddy_pool_alloc kept;
	volatile unsigned int *words;	/* of the kept block */
	unsigned int pattern;
	const char *until;
};

static sigjmp_buf on_bus_error;

static void bus_error(int signal)
{
	siglongjmp(on_bus_error, signal);
}

/* A user of @fd has an error that it should not; says which. */
static int fail(const char *what)
{
	printf("# %d: %s: %s\n", getpid(), what, strerror(errno));
	fflush(stdout);
	return 1;
}

static int allocate(int fd, __u64 length, struct buddy_pool_alloc *alloc)
{
	*alloc = (struct buddy_pool_alloc){ .size = sizeof(*alloc), .length = length };
	return ioctl(fd, BUDDY_POOL_ALLOC, alloc);
}

static void *map(int fd, const struct buddy_pool_alloc *alloc)
{
	return mmap(NULL, alloc->granted, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    alloc->map_offset);
}

/* A block's life, with a child that writes to it, too */
static const char *go_round(struct user *user, unsigned int n)
{
	struct buddy_pool_alloc alloc;
	struct buddy_pool_free free = { .size = sizeof(free) };
	char *volatile p;

	if (allocate(user->fd, PAGE << n % 6, &alloc))
		return errno == ENOSPC ? NULL : "ALLOC";
	p = map(user->fd, &alloc);
	if (p == MAP_FAILED)
		return "mmap";
	if (n % 16 == 0) {
		pid_t child = fork();

		if (!child) {
			signal(SIGBUS, SIG_DFL);
			memset(p, 3, alloc.granted);
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	memset(p, n, alloc.granted);
	munmap(p, alloc.granted);
	free.handle = alloc.handle;
	return ioctl(user->fd, BUDDY_POOL_FREE, &free) ? "FREE" : NULL;
}

static int kept_is_whole(const struct user *user)
{
	for (unsigned int i = 0; i < user->kept.granted / sizeof(*user->words); i += 512)
		if (user->words[i] != user->pattern)
			return 0;
	return 1;
}

/*
 * The device is gone: no call works any more, and no access once the node is gone, too,
 * since that comes last.
 */
static int is_over(struct user *user)
{
	struct buddy_pool_info info = { .size = sizeof(info) };
	struct buddy_pool_alloc alloc;
	unsigned int n;

	for (n = 0; !access(user->node, F_OK); n++) {
		if (n == 1000)
			return fail("the node is still there");
		usleep(10000);
	}
	if (allocate(user->fd, PAGE, &alloc) != -1 || errno != ENODEV)
		return fail("ALLOC is not ENODEV");
	if (ioctl(user->fd, BUDDY_POOL_INFO, &info) != -1 || errno != ENODEV)
		return fail("INFO is not ENODEV");
	if (sigsetjmp(on_bus_error, 1))
		return 0;
	(void)user->words[PAGE];
	return fail("memory can still be read");
}

static int be_user(struct user *user, int ready)
{
	volatile unsigned int n = 0;
	const char *what;

	/* Whichever comes first, the signal or the error */
	if (sigsetjmp(on_bus_error, 1)) {
		if (user->until)
			return fail("SIGBUS");
		return is_over(user);
	}
	while (!user->until || access(user->until, F_OK)) {
		what = go_round(user, n);
		if (what && errno == ENODEV && !user->until)
			return is_over(user);
		if (what)
			return fail(what);
		if (!kept_is_whole(user))
			return fail("what was written has changed");
		n++;
		if (n == 16 && write(ready, "", 1) != 1)
			return fail("write");
	}
	return 0;
}

static int start_user(const char *node, const char *until, unsigned int i, int ready)
{
	struct user user = { .node = node, .pattern = 0x1000001 * (i + 1), .until = until };

	signal(SIGBUS, bus_error);
	user.fd = open(node, O_RDWR | O_CLOEXEC);
	if (user.fd < 0 || allocate(user.fd, 1 << 20, &user.kept))
		return fail(node);
	user.words = map(user.fd, &user.kept);
	if (user.words == MAP_FAILED)
		return fail("mmap");
	for (unsigned int w = 0; w < user.kept.granted / sizeof(*user.words); w++)
		user.words[w] = user.pattern;
	return be_user(&user, ready);
}

int main(int argc, char **argv)
{
	int ready[2], status, good = 0;
	char byte;

	if (argc < 2 || pipe(ready))
		return 2;
	for (unsigned int i = 0; i < NR_USERS; i++)
		if (!fork())
			_exit(start_user(argv[1], argv[2], i, ready[1]));
	close(ready[1]);
	for (int i = 0; i < NR_USERS; i++)
		if (read(ready[0], &byte, 1) != 1)
			printf("# a user ended before it was ready\n");
	close(open("/run/load.ready", O_CREAT | O_WRONLY, 0600));
	while (wait(&status) > 0)
		good += WIFEXITED(status) && !WEXITSTATUS(status);
	printf("# %d of %d users saw what they should\n", good, NR_USERS);
	return good != NR_USERS;
}

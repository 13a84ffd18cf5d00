// SPDX-License-Identifier: GPL-2.0
/*
 * What an open file and its mappings are worth after their device went away
 * (contract Q8): every call ENODEV, every access SIGBUS, close still works. The
 * guest script takes the device away when this program writes /run/gone.ready,
 * and then writes /run/gone.go.
 *
 * A child of fork, which inherits the mapping, must lose it as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/buddy_pool.h>

static sigjmp_buf on_bus_error;
static int nr_results, nr_bad;

static void result(int good, const char *what)
{
	nr_bad += !good;
	printf("%s %d %s\n", good ? "ok" : "not ok", ++nr_results, what);
	fflush(stdout);
}

static void bus_error(int signal)
{
	siglongjmp(on_bus_error, signal);
}

static int access_fails(volatile int *p)
{
	if (sigsetjmp(on_bus_error, 1))
		return 1;
	(void)*p;
	return 0;
}

static void touch(const char *path)
{
	close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void wait_for(const char *path)
{
	while (access(path, F_OK))
		usleep(10000);
}

static int call_fails(int fd, unsigned long call, void *arg)
{
	return ioctl(fd, call, arg) == -1 && errno == ENODEV;
}

/* Exits with 0 if the mapping works until the device goes, and not after. */
static void be_child(int *p)
{
	int lived = *p == 42;

	touch("/run/gone.child");
	wait_for("/run/gone.go");
	_exit(!(lived && access_fails(p + 1024)));
}

int main(int argc, char **argv)
{
	struct buddy_pool_alloc alloc = { .size = sizeof(alloc), .length = 1 << 20 };
	struct buddy_pool_alloc more = { .size = sizeof(more), .length = 4096 };
	struct buddy_pool_free free = { .size = sizeof(free) };
	struct buddy_pool_info info = { .size = sizeof(info) };
	struct pollfd poll_fd = { .events = POLLIN };
	int fd = open(argc > 1 ? argv[1] : "", O_RDWR | O_CLOEXEC);
	int status;
	pid_t child;
	int *p;

	signal(SIGBUS, bus_error);
	if (fd < 0 || ioctl(fd, BUDDY_POOL_ALLOC, &alloc))
		return 1;
	p = mmap(NULL, alloc.granted, PROT_READ | PROT_WRITE, MAP_SHARED, fd, alloc.map_offset);
	if (p == MAP_FAILED)
		return 1;
	*p = 42;
	child = fork();
	if (!child)
		be_child(p);
	wait_for("/run/gone.child");
	touch("/run/gone.ready");
	wait_for("/run/gone.go");

	printf("KTAP version 1\n");
	result(access_fails(p), "J03 a page that was mapped raises SIGBUS");
	result(access_fails(p + 1024), "J03 so does one that was not touched before");
	waitpid(child, &status, 0);
	result(WIFEXITED(status) && !WEXITSTATUS(status), "C37 and in a child of fork");
	result(call_fails(fd, BUDDY_POOL_INFO, &info), "J02 INFO is ENODEV");
	result(call_fails(fd, BUDDY_POOL_ALLOC, &more), "B47 ALLOC is ENODEV");
	free.handle = alloc.handle;
	result(call_fails(fd, BUDDY_POOL_FREE, &free), "B47 FREE is ENODEV");
	result(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, alloc.map_offset) == MAP_FAILED &&
	       errno == ENODEV, "Q8 mmap is ENODEV");
	poll_fd.fd = fd;
	result(poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLHUP, "Q8 poll reports a hang-up");
	result(!munmap(p, alloc.granted), "D24 munmap works");
	result(!close(fd), "D24 close works");
	printf("1..%d\n", nr_results);
	return nr_bad > 0;
}

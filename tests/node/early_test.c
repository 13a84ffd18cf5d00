// SPDX-License-Identifier: GPL-2.0
/*
 * A program that opens a node as soon as it is there, again and again, while a module
 * is being loaded that will fail: none of it may succeed.
 *
 * usage: early_test NODE FILE		until FILE is there
 *
 * What it gets it keeps open, and uses at the end, when the module is no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/buddy_pool.h>

#define MOST	100

int main(int argc, char **argv)
{
	struct buddy_pool_info info = { .size = sizeof(info) };
	unsigned long absent = 0, refused = 0, other = 0;
	int fds[MOST], fd, n = 0;

	if (argc != 3)
		return 2;
	while (access(argv[2], F_OK)) {
		fd = open(argv[1], O_RDWR | O_CLOEXEC);
		if (fd >= 0 && n < MOST)
			fds[n++] = fd;
		else if (fd >= 0)
			close(fd);
		else if (errno == ENODEV)
			refused++;
		else if (errno == ENOENT)
			absent++;
		else
			other++;
	}
	printf("# opened %d, refused %lu times, absent %lu, other errors %lu\n", n, refused, absent,
	       other);
	for (int i = 0; i < n; i++) {
		ioctl(fds[i], BUDDY_POOL_INFO, &info);
		close(fds[i]);
	}
	return n || other || !refused;
}

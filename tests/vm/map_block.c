// SPDX-License-Identifier: GPL-2.0
/*
 * usage: map_block NODE	maps a block, reads it, closes the file; then sleeps
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/buddy_pool.h>

int main(int argc, char **argv)
{
	struct buddy_pool_alloc alloc = { .size = sizeof(alloc), .length = 4096 };
	int fd = open(argc == 2 ? argv[1] : "", O_RDWR);
	volatile char *p;

	if (fd < 0 || ioctl(fd, BUDDY_POOL_ALLOC, &alloc))
		return 1;
	p = mmap(NULL, alloc.granted, PROT_READ, MAP_SHARED, fd, alloc.map_offset);
	if (p == MAP_FAILED)
		return 1;
	(void)*p;
	close(fd);
	puts("mapped");
	fflush(stdout);
	pause();
	return 0;
}

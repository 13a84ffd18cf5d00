// SPDX-License-Identifier: GPL-2.0
/*
 * usage: keep_block NODE FILE	maps a block and fills it; once FILE is there, prints
 *				what its bytes are then: one number, or "mixed"
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/buddy_pool.h>

#define LENGTH 65536

static int all_are(const volatile unsigned char *p, unsigned char byte)
{
	for (int i = 0; i < LENGTH; i++)
		if (p[i] != byte)
			return 0;
	return 1;
}

int main(int argc, char **argv)
{
	struct buddy_pool_alloc alloc = { .size = sizeof(alloc), .length = LENGTH };
	int fd = open(argc == 3 ? argv[1] : "", O_RDWR);
	unsigned char *p;

	if (fd < 0 || ioctl(fd, BUDDY_POOL_ALLOC, &alloc))
		return 1;
	p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, alloc.map_offset);
	if (p == MAP_FAILED)
		return 1;
	memset(p, 0x5a, LENGTH);
	puts("mapped");
	fflush(stdout);
	while (access(argv[2], F_OK))
		usleep(10000);
	if (all_are(p, *p))
		printf("%#x\n", *p);
	else
		puts("mixed");
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * usage: map_page FILE OFFSET	maps a page of FILE; prints the errno if it can't
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = open(argc == 3 ? argv[1] : "", O_RDWR | O_SYNC);

	if (fd >= 0 && mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			    strtoull(argv[2], NULL, 0)) != MAP_FAILED)
		return 0;
	puts(strerrorname_np(errno));
	return 1;
}

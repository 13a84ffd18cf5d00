// SPDX-License-Identifier: GPL-2.0
/* The life of a block: get, map, write, read, free. Arguments: node, bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/buddy_pool.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	struct buddy_pool_info info = { .size = sizeof(info) };
	struct buddy_pool_alloc block = { .size = sizeof(block), .length = 65536 };
	struct buddy_pool_free free_req = { .size = sizeof(free_req) };
	volatile __u32 *p;
	char *end = NULL;
	size_t last;
	int fd = open(argc > 1 ? argv[1] : "/dev/buddy_pool/pool0", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return fail("open");
	if (ioctl(fd, BUDDY_POOL_INFO, &info))
		return fail("BUDDY_POOL_INFO");
	printf("%s: %llu bytes in blocks of %llu\n", info.name, info.length, info.min_block);

	if (argc > 2)
		block.length = strtoull(argv[2], &end, 0);
	if (end && *end) {
		fprintf(stderr, "%s: no number of bytes\n", argv[2]);
		return 1;
	}
	if (ioctl(fd, BUDDY_POOL_ALLOC, &block))
		return fail("BUDDY_POOL_ALLOC");
	printf("handle %u: %llu bytes at offset %#llx\n", block.handle, block.granted,
	       block.offset);

	p = mmap(NULL, block.granted, PROT_READ | PROT_WRITE, MAP_SHARED, fd, block.map_offset);
	if (p == MAP_FAILED)
		return fail("mmap");
	last = block.granted / sizeof(*p) - 1;
	p[0] = 0xcafe;
	p[last] = 0xbeef;
	printf("wrote 0xcafe and 0xbeef, read %#x and %#x\n", p[0], p[last]);
	munmap((void *)p, block.granted);

	free_req.handle = block.handle;
	if (ioctl(fd, BUDDY_POOL_FREE, &free_req))
		return fail("BUDDY_POOL_FREE");
	printf("freed\n");
	if (!ioctl(fd, BUDDY_POOL_FREE, &free_req) || errno != ENOENT)
		return fail("a double free was not refused");
	printf("freed again: %s, reason %u\n", strerror(errno), free_req.reason);
	return 0;
}

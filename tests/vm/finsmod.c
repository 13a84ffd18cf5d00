// SPDX-License-Identifier: GPL-2.0
/*
 * finsmod FILE [PARAMETER...]: one finit_module(), no more; prints the name of the
 * errno if it fails. busybox insmod loads a second time after a failure, which
 * would show in the kernel log.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The arguments with blanks between; one that has a blank goes into quotes. */
static char *join(char **words)
{
	size_t size = 1;
	char *text, *p;

	for (char **w = words; *w; w++)
		size += strlen(*w) + 3;
	text = malloc(size);
	if (!text)
		return NULL;
	p = text;
	*p = '\0';
	for (char **w = words; *w; w++)
		p += sprintf(p, strchr(*w, ' ') ? "\"%s\" " : "%s ", *w);
	return text;
}

int main(int argc, char **argv)
{
	char *parameters;
	int fd;

	if (argc < 2)
		return 2;
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	parameters = join(argv + 2);
	if (fd < 0 || !parameters)
		return 2;
	if (!syscall(SYS_finit_module, fd, parameters, 0))
		return 0;
	puts(strerrorname_np(errno));
	return 1;
}

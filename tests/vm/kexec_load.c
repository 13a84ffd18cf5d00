// SPDX-License-Identifier: GPL-2.0
/*
 * kexec_load now|panic KERNEL INITRD COMMAND_LINE: starts that kernel, or has it ready
 * for when this one panics.
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long flags = 0;
	int kernel, initrd;

	if (argc != 5)
		return 2;
	if (!strcmp(argv[1], "panic"))
		flags = KEXEC_FILE_ON_CRASH;
	else if (strcmp(argv[1], "now"))
		return 2;
	kernel = open(argv[2], O_RDONLY | O_CLOEXEC);
	initrd = open(argv[3], O_RDONLY | O_CLOEXEC);
	if (kernel < 0 || initrd < 0) {
		perror("kexec_load");
		return 1;
	}
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[4]) + 1, argv[4], flags)) {
		perror("kexec_file_load");
		return 1;
	}
	if (flags)
		return 0;
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC,
		NULL);
	perror("reboot");
	return 1;
}

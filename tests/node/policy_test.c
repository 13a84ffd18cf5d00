// SPDX-License-Identifier: GPL-2.0
/*
 * When blocks are zeroed, and who may open a pool that does not: for whatever
 * zero= and share_dirty= the module was loaded with. See tests/vm/policy.sh.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "node.h"

#define PLACE	(20 * MIB)

/* The value of a module parameter */
static void parameter(const char *name, char *text, int size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/buddy_pool/parameters/%s", name);
	f = fopen(path, "r");
	if (!f || !fgets(text, size, f))
		*text = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (f)
		fclose(f);
}

static bool never_zeroes(void)
{
	char zero[16];

	parameter("zero", zero, sizeof(zero));
	return !strcmp(zero, "never");
}

TEST_F(node, I01_policy_is_reported)
{
	static const char *const names[] = { "", "never", "alloc", "free" };
	char zero[16];

	parameter("zero", zero, sizeof(zero));
	ASSERT_LT(0, self->info.zero);
	ASSERT_LT(self->info.zero, ARRAY_SIZE(names));
	EXPECT_EQ(0, strcmp(names[self->info.zero], zero));
	EXPECT_EQ(!never_zeroes(), !!(self->info.features & BUDDY_POOL_FEATURE_ZEROED));
}

/* A child without capabilities opens the node: 0 or its errno */
static int open_as_nobody(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setgid(65534) || setuid(65534))
			_exit(99);
		_exit(open_node(O_RDONLY) < 0 ? errno : 0);
	}
	waitpid(pid, &status, 0);
	return -WEXITSTATUS(status);
}

TEST_F(node, I01_who_may_open)
{
	char share[16];

	parameter("share_dirty", share, sizeof(share));
	ASSERT_EQ(0, chmod(node_path(), 0666));
	EXPECT_ERR(never_zeroes() && share[0] != 'Y' ? EPERM : 0, open_as_nobody());
	chmod(node_path(), 0600);
	EXPECT_ERR(EACCES, open_as_nobody());
}

TEST_F(node, I01_I02_what_the_next_owner_sees)
{
	struct buddy_pool_alloc block;
	bool is_zero, is_dirty;
	char *p;

	ASSERT_OK(alloc_at(self->fd, PLACE, 3 * PAGE, &block));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x5c, 3 * PAGE);
	/* The last mapping gives it back here, not the call. */
	ASSERT_OK(free_handle(self->fd, block.handle));
	ASSERT_EQ(0, munmap(p, 3 * PAGE));
	ASSERT_OK(alloc_at(self->other, PLACE, 3 * PAGE, &block));
	p = map_block(self->other, &block);
	ASSERT_NE(MAP_FAILED, p);
	is_zero = all_bytes_are(p, 3 * PAGE, 0);
	is_dirty = all_bytes_are(p, 3 * PAGE, 0x5c);
	EXPECT_TRUE(never_zeroes() ? is_dirty : is_zero);
}

/* The end of a process is a way to free as well. */
TEST_F(node, I02_what_a_killed_owner_wrote)
{
	struct buddy_pool_alloc block;
	int status;
	char *p;
	pid_t pid;

	if (never_zeroes())
		SKIP(return, "zero=never");
	pid = fork();
	if (!pid) {
		int fd = open_node(O_RDWR);

		p = alloc_at(fd, PLACE, MIB, &block) ? MAP_FAILED : map_block(fd, &block);
		if (p == MAP_FAILED)
			_exit(1);
		memset(p, 0x6d, MIB);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ASSERT_OK(alloc_at(self->fd, PLACE, MIB, &block));
	p = map_block(self->fd, &block);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(all_bytes_are(p, MIB, 0));
}

TEST_HARNESS_MAIN

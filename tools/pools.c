// SPDX-License-Identifier: GPL-2.0
/*
 * Commands that make pools and take them away, through configfs: a directory for
 * each pool, a file in it for each setting, and one that makes the pool.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buddyctl.h"

#define CONFIG_DIR	"/sys/kernel/config/buddy_pool"

/* Longer than any name or setting that the kernel takes */
#define PATH_LEN	256

static int fail(const char *what, const char *name, int err, const char *hint)
{
	fprintf(stderr, "buddyctl: %s %s: %s%s\n", what, name, strerror(-err), hint);
	return REFUSED;
}

static int explain(const char *what, const char *name, int err)
{
	const char *hint = "";

	if (err == -ENOENT && access(CONFIG_DIR, F_OK))
		hint = ": load buddy_pool_configfs, and mount configfs on /sys/kernel/config";
	else if (err == -ENOENT)
		hint = ": no pool of that name was made by 'create'";
	else if (err == -EPERM || err == -EACCES)
		hint = ": this needs root with CAP_SYS_RAWIO; lockdown forbids base";
	else if (err != -ENAMETOOLONG)
		hint = ": the kernel log says why";
	return fail(what, name, err, hint);
}

/* Puts the path of the directory of @name, or of @file in it, into @path. */
static bool make_path(char path[PATH_LEN], const char *name, const char *file)
{
	int length = snprintf(path, PATH_LEN, CONFIG_DIR "/%s%s%s", name, file ? "/" : "",
			      file ? file : "");

	return length < PATH_LEN && *name && *name != '.' && !strchr(name, '/');
}

/* Returns 0 or -errno. */
static int put(const char *name, const char *file, const char *text)
{
	char path[PATH_LEN];
	int fd, err = 0;

	if (!make_path(path, name, file))
		return -EINVAL;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* "base=0x30000000" */
static int put_setting(const char *name, const char *setting)
{
	const char *text = strchr(setting, '=');
	char file[32];
	int err;

	snprintf(file, sizeof(file), "%.*s", (int)(text - setting), setting);
	err = put(name, file, text + 1);
	if (err == -ENOENT)
		return complain("there is no setting '%s'", file);
	return err ? explain("create: setting", setting, err) : DONE;
}

static int put_settings(const char *name, int count, char **settings)
{
	int err = DONE;

	for (int i = 0; !err && i < count; i++)
		err = put_setting(name, settings[i]);
	return err;
}

/* Only what a setting can be called, since it becomes the name of a file. */
static bool is_word(const char *text, const char *end)
{
	return text + strspn(text, "abcdefghijklmnopqrstuvwxyz_") == end;
}

static bool are_settings(int count, char **settings)
{
	for (int i = 0; i < count; i++) {
		const char *equals = strchr(settings[i], '=');

		if (!equals || equals == settings[i] || !equals[1] ||
		    !is_word(settings[i], equals)) {
			complain("'%s' is no setting, such as size=64M", settings[i]);
			return false;
		}
		if (!strncmp(settings[i], "live=", equals - settings[i] + 1)) {
			complain("'%s': create makes the pool live by itself", settings[i]);
			return false;
		}
	}
	return true;
}

int cmd_create(const struct options *opt, int argc, char **argv)
{
	char path[PATH_LEN];
	int err, status;

	(void)opt;
	if (argc < 3)
		return complain("create takes a name and settings, such as base=A size=64M");
	if (!make_path(path, argv[1], NULL))
		return complain("'%s' is no name for a pool", argv[1]);
	if (!are_settings(argc - 2, argv + 2))
		return USAGE;
	err = mkdir(path, 0755) ? -errno : 0;
	if (err == -EEXIST)
		return fail("create", argv[1], err, ": 'delete' would remove what there is");
	if (err)
		return explain("create", argv[1], err);
	status = put_settings(argv[1], argc - 2, argv + 2);
	if (!status) {
		err = put(argv[1], "live", "1");
		if (!err)
			return DONE;
		status = explain("create", argv[1], err);
	}
	rmdir(path);
	return status;
}

int cmd_delete(const struct options *opt, int argc, char **argv)
{
	char path[PATH_LEN];
	int err;

	(void)opt;
	if (argc != 2)
		return complain("delete takes the name of a pool");
	if (!make_path(path, argv[1], NULL))
		return complain("'%s' is no name for a pool", argv[1]);
	err = put(argv[1], "live", "0");
	if (!err && rmdir(path))
		err = -errno;
	return err ? explain("delete", argv[1], err) : DONE;
}

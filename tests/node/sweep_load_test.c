// SPDX-License-Identifier: GPL-2.0
/*
 * The fault sweep of loading and unloading the module, of binding and unbinding a
 * device, and of a pool made while the module is there. After each failure the machine
 * is as before. Not for when the module is loaded. See tests/vm/sweep_load.sh.
 *
 * Only what is asked for from inside our functions fails, by the kernel's own or by us:
 * before init() is called, and in what looks for the driver, nothing of ours is there.
 */
#include <sys/stat.h>
#include <sys/syscall.h>

#define WITHOUT_NODE
#include "sweep.h"

#define MODULE "/m/buddy-pool.ko"
#define CONFIGFS_MODULE "/m/buddy-pool-configfs.ko"
#define POOLS "/sys/kernel/config/buddy_pool/"
#define POOL POOLS "ddr"
/* Longer than configfs has room for, so that it takes memory */
#define LONG_POOL POOLS "pool-with-a-name-of-30-letters"
/* It has no interrupt: without memory for one the ACPI code of Linux 7.3 uses what it freed. */
#define DEVICE "0000:00:02.0"
#define DRIVER "/sys/bus/pci/drivers/buddy_pool"
#define OVERRIDE "/sys/bus/pci/devices/" DEVICE "/driver_override"
/* A range and a BAR */
#define PARAMETERS "base=0x30000000 size=1M shards=2 pci=" DEVICE " bar=2"

/* The lines with @one or @other in them, or all */
static void show_lines(const char *path, const char *one, const char *other, FILE *out)
{
	char line[512];
	FILE *file = fopen(path, "re");

	fprintf(out, "%s\n", path);
	while (file && fgets(line, sizeof(line), file))
		if (!one || strstr(line, one) || strstr(line, other))
			fputs(line, out);
	if (file)
		fclose(file);
}

static void show_file(const char *path, FILE *out)
{
	show_lines(path, NULL, NULL, out);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void show_directory(const char *path, FILE *out)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, by_name);

	fprintf(out, "%s\n", path);
	for (int i = 0; i < n; i++) {
		fprintf(out, "%s\n", entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

static void unlink_stray(const char *directory, const char *node, const char *device)
{
	char path[512];

	snprintf(path, sizeof(path), "/sys/class/misc/%s", device);
	if (!access(path, F_OK))
		return;
	snprintf(path, sizeof(path), "%s/%s", directory, node);
	unlink(path);
}

/*
 * Without memory for a node's path devtmpfs makes it under the name of its device, or
 * looks for it there when it goes. It tells nobody, so nobody can help that the node
 * stays; but no device may be behind it.
 */
static void unlink_strays(void)
{
	char device[300];
	struct dirent *entry;
	DIR *dir = opendir("/dev");

	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "buddy_pool-", 11))
			unlink_stray("/dev", entry->d_name, entry->d_name);
	if (dir)
		closedir(dir);
	dir = opendir("/dev/buddy_pool");
	while (dir && (entry = readdir(dir))) {
		snprintf(device, sizeof(device), "buddy_pool-%s", entry->d_name);
		unlink_stray("/dev/buddy_pool", entry->d_name, device);
	}
	if (dir)
		closedir(dir);
	rmdir("/dev/buddy_pool");
}

/* All that a pool or a bound device shows in */
static void show_machine(void *arg, FILE *out)
{
	unlink_strays();
	show_file("/proc/iomem", out);
	show_file("/proc/misc", out);
	show_lines("/proc/modules", "buddy", "buddy", out);
	show_file("/sys/kernel/debug/x86/pat_memtype_list", out);
	show_file("/sys/bus/pci/devices/" DEVICE "/enable", out);
	show_file(OVERRIDE, out);
	show_directory("/dev", out);
	show_directory("/dev/buddy_pool", out);
	show_directory("/sys/class/misc", out);
	show_directory("/sys/module", out);
	show_directory("/sys/bus/pci/drivers", out);
	show_directory(DRIVER, out);
	show_directory("/sys/bus/pci/devices/" DEVICE, out);
}

static char *read_areas(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	show_lines("/proc/vmallocinfo", "ioremap", "[buddy", out);
	fclose(out);
	return text;
}

/*
 * The file is read a page at a time and goes on by number of line: an area in front that
 * goes meanwhile makes it leave out another one. So until it says the same twice.
 */
static void show_areas(FILE *out)
{
	char *before = NULL, *areas = read_areas();
	bool same = false;

	for (unsigned int i = 0; i < 10 && !same; i++) {
		free(before);
		before = areas;
		areas = read_areas();
		same = !strcmp(before, areas);
	}
	fputs(areas, out);
	free(before);
	free(areas);
}

/* What takes the kernel long to say, or is long; what stays here stays. */
static void show_memory(void *arg, FILE *out)
{
	show_areas(out);
	show_directory("/sys/kernel/slab", out);
	show_directory("/sys/kernel/debug", out);
}

static bool sweep_machine(struct sweep *sweep)
{
	sweep->ours = true;
	sweep->state = show_machine;
	sweep->slow_state = show_memory;
	return sweep_call(sweep);
}

/*
 * Loading
 */

static int module_fd = -1;

static int load(const char *parameters)
{
	return syscall(SYS_finit_module, module_fd, parameters, 0) ? -errno : 0;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "buddy_pool", O_NONBLOCK) ? -errno : 0;
}

static void prepare_loaded(void *arg)
{
	if (load(arg))
		abort();
}

static int run_load(void *arg)
{
	return load(arg);
}

static int run_unload(void *arg)
{
	return unload();
}

static void undo_load(void *arg)
{
	unload();
}

FIXTURE(module) {
	int fd;
};

/* The first load lets the kernel make what it keeps. */
FIXTURE_SETUP(module)
{
	self->fd = open(MODULE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	module_fd = self->fd;
	ASSERT_EQ(0, load(""));
	ASSERT_EQ(0, unload());
}

FIXTURE_TEARDOWN(module)
{
	unload();
	close(self->fd);
}

TEST_F_TIMEOUT(module, A51_G03_G15_G16_load, 3600)
{
	struct sweep sweep = {
		.name = "insmod",
		.run = run_load,
		.undo = undo_load,
		.arg = PARAMETERS,
		/* The driver core says EINVAL if it can't make /sys/module/.../drivers. */
		.errors = { ENOMEM, EINVAL },
	};

	EXPECT_TRUE(sweep_machine(&sweep));
}

TEST_F_TIMEOUT(module, G03_unload, 3600)
{
	struct sweep sweep = {
		.name = "rmmod",
		.prepare = prepare_loaded,
		.run = run_unload,
		.undo = undo_load,
		.can_t_fail = true,
		.arg = PARAMETERS,
	};

	EXPECT_TRUE(sweep_machine(&sweep));
}

/*
 * Binding
 */

static int write_device(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = fd < 0 || write(fd, DEVICE, strlen(DEVICE)) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

static int run_bind(void *arg)
{
	return write_device(DRIVER "/bind");
}

static int run_unbind(void *arg)
{
	return write_device(DRIVER "/unbind");
}

static void undo_bind(void *arg)
{
	write_device(DRIVER "/unbind");
}

static void prepare_bound(void *arg)
{
	if (write_device(DRIVER "/bind"))
		abort();
}

TEST_F_TIMEOUT(module, G03_J17_bind_unbind, 3600)
{
	struct sweep bind = {
		.name = "bind",
		.run = run_bind,
		.undo = undo_bind,
		.errors = { ENOMEM },
	};
	struct sweep unbind = {
		.name = "unbind",
		.prepare = prepare_bound,
		.run = run_unbind,
		.undo = undo_bind,
		.can_t_fail = true,
	};

	ASSERT_EQ(0, load(""));
	EXPECT_TRUE(write_text(OVERRIDE, "buddy_pool"));
	EXPECT_TRUE(sweep_machine(&bind));
	EXPECT_TRUE(sweep_machine(&unbind));
	EXPECT_TRUE(write_text(OVERRIDE, "\n"));
	ASSERT_EQ(0, unload());
}

/*
 * A pool at run time
 */

static bool load_configfs(void)
{
	int fd = open(CONFIGFS_MODULE, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && !syscall(SYS_finit_module, fd, "", 0);

	close(fd);
	return ok;
}

static int run_mkdir(void *arg)
{
	return mkdir(LONG_POOL, 0755) ? -errno : 0;
}

static void undo_mkdir(void *arg)
{
	rmdir(LONG_POOL);
}

static int run_setting(void *arg)
{
	return write_text(POOL "/bar", "2") ? 0 : -errno;
}

/* It was 2 before, and is. */
static void undo_setting(void *arg)
{
}

static int run_live(void *arg)
{
	return write_text(POOL "/live", "1") ? 0 : -errno;
}

static void undo_live(void *arg)
{
	write_text(POOL "/live", "0");
}

TEST_F_TIMEOUT(module, G03_pool_at_run_time, 3600)
{
	struct sweep make = {
		.name = "mkdir",
		.run = run_mkdir,
		.undo = undo_mkdir,
		.errors = { ENOMEM },
	};
	struct sweep setting = {
		.name = "setting",
		.run = run_setting,
		.undo = undo_setting,
		.errors = { ENOMEM },
	};
	struct sweep live = {
		.name = "live",
		.run = run_live,
		.undo = undo_live,
		.errors = { ENOMEM },
	};

	ASSERT_EQ(0, load(""));
	ASSERT_TRUE(load_configfs());
	EXPECT_EQ(0, mkdir(POOL, 0755));
	EXPECT_TRUE(write_text(POOL "/pci", DEVICE));
	EXPECT_TRUE(write_text(POOL "/bar", "2"));
	EXPECT_TRUE(sweep_machine(&make));
	EXPECT_TRUE(sweep_machine(&setting));
	EXPECT_TRUE(sweep_machine(&live));
	EXPECT_EQ(0, rmdir(POOL));
	EXPECT_EQ(0, syscall(SYS_delete_module, "buddy_pool_configfs", O_NONBLOCK));
	ASSERT_EQ(0, unload());
}

TEST_HARNESS_MAIN

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who uses a block device: what block-device.h says about use. */

#include <dirent.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backends/block-device.h"
#include "backends/in-use.h"

/* udev and what it runs, partitioning tools and lvm have a device open for a moment. */
#define PATIENCE_USEC (2 * USEC_PER_SEC)
#define PATIENCE_STEP_USEC (50 * USEC_PER_MSEC)

/* Where what is found is put, and which partition it is found of (NULL: the device itself). */
typedef struct Use {
        struct libmnt_table *mounts;
        UserList *users;
        const char *part;
} Use;

static int add(const Use *use, UserHow how, const char *name)
{
        return user_list_add(
                use->users,
                &(User){.how = how, .name = (char *) name, .write = true, .part = (char *) use->part});
}

static int add_mounts(const Use *use, dev_t devnum, const char *node)
{
        struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
        struct libmnt_fs *fs;
        int r = iter ? 0 : -ENOMEM;

        while (r >= 0 && mnt_table_next_fs(use->mounts, iter, &fs) == 0) {
                /* btrfs has device numbers of its own: its source names the device. */
                if (mnt_fs_get_devno(fs) == devnum || streq_ptr(mnt_fs_get_srcpath(fs), node))
                        r = add(use, USER_MOUNT, strempty(mnt_fs_get_target(fs)));
        }
        mnt_free_iter(iter);
        return r;
}

static int add_swap(const Use *use, const char *node)
{
        struct libmnt_table *table = mnt_new_table();
        int r = table ? 0 : -ENOMEM;

        if (r >= 0 && mnt_table_parse_swaps(table, NULL) == 0 &&
            mnt_table_find_srcpath(table, node, MNT_ITER_FORWARD))
                r = add(use, USER_SWAP, node);
        mnt_unref_table(table);
        return r;
}

/* By the name that people know a device-mapper device by. */
static int add_holder(const Use *use, const char *name)
{
        _cleanup_free_ char *path = NULL, *node = NULL;
        _cleanup_fclose_ FILE *f = NULL;
        char dm[256] = "";
        UserHow how = startswith(name, "md") ? USER_MD : USER_HOLDER;

        if (asprintf(&path, "/sys/class/block/%s/dm/name", name) < 0)
                return -ENOMEM;
        f = fopen(path, "re");
        if (f && fscanf(f, "%255s", dm) == 1)
                how = USER_DEVICE_MAPPER;
        if (asprintf(&node, "/dev/%s%s", dm[0] ? "mapper/" : "", dm[0] ? dm : name) < 0)
                return -ENOMEM;
        return add(use, how, node);
}

/* Calls found for each name in a folder of sysfs; a folder that is not there is empty. */
static int each_name(const char *folder, int (*found)(const char *folder, const char *name, void *userdata),
                     void *userdata)
{
        struct dirent *entry;
        DIR *dir = opendir(folder);
        int r = 0;

        if (!dir)
                return 0;
        while (r >= 0 && (entry = readdir(dir))) {
                if (entry->d_name[0] != '.')
                        r = found(folder, entry->d_name, userdata);
        }
        (void) closedir(dir);
        return r;
}

static int on_holder(const char *folder, const char *name, void *userdata)
{
        return add_holder(userdata, name);
}

/* The kernel lets a loop device have what others have, and does not count it as a holder. */
static int add_loops(const Use *use, dev_t devnum)
{
        struct dirent *entry;
        DIR *dir = opendir("/sys/block");
        int r = 0;

        while (dir && r >= 0 && (entry = readdir(dir))) {
                char path[PATH_MAX], file[PATH_MAX] = "";
                _cleanup_fclose_ FILE *f = NULL;
                struct stat st;

                if (!startswith(entry->d_name, "loop"))
                        continue;
                (void) snprintf(path, sizeof path, "/sys/block/%s/loop/backing_file", entry->d_name);
                f = fopen(path, "re");
                if (!f || !fgets(file, sizeof file, f))
                        continue;
                file[strcspn(file, "\n")] = 0;
                (void) snprintf(path, sizeof path, "/dev/%s", entry->d_name);
                if (stat(file, &st) >= 0 && S_ISBLK(st.st_mode) && st.st_rdev == devnum)
                        r = add(use, USER_LOOP, path);
        }
        if (dir)
                (void) closedir(dir);
        return r;
}

static int look_at(Use *use, dev_t devnum, const char *node)
{
        _cleanup_free_ char *holders = NULL;
        int r;

        if (asprintf(&holders, "/sys/dev/block/%u:%u/holders", major(devnum), minor(devnum)) < 0)
                return -ENOMEM;
        r = add_mounts(use, devnum, node);
        if (r >= 0)
                r = add_swap(use, node);
        if (r >= 0)
                r = add_loops(use, devnum);
        return r < 0 ? r : each_name(holders, on_holder, use);
}

/* Whether the name in the device's folder of sysfs is a partition of it. */
static bool read_partition(const char *folder, const char *name, dev_t *ret)
{
        char partition[PATH_MAX], path[PATH_MAX];
        _cleanup_fclose_ FILE *f = NULL;
        unsigned major_number, minor_number;

        (void) snprintf(partition, sizeof partition, "%s/%s/partition", folder, name);
        (void) snprintf(path, sizeof path, "%s/%s/dev", folder, name);
        if (access(partition, F_OK) < 0)
                return false;
        f = fopen(path, "re");
        if (!f || fscanf(f, "%u:%u", &major_number, &minor_number) != 2)
                return false;
        *ret = makedev(major_number, minor_number);
        return true;
}

/* A partition of the device: what is true of it is told with its name. */
static int on_child(const char *folder, const char *name, void *userdata)
{
        Use *use = userdata, child = {.mounts = use->mounts, .users = use->users, .part = name};
        _cleanup_free_ char *node = NULL;
        dev_t devnum;

        if (!read_partition(folder, name, &devnum))
                return 0;
        if (asprintf(&node, "/dev/%s", name) < 0) {
                node = NULL;
                return -ENOMEM;
        }
        return look_at(&child, devnum, node);
}

static int add_kernel(UserList *l, dev_t devnum, const char *node, const char *part, bool partitions)
{
        struct libmnt_table *mounts = mnt_new_table_from_file("/proc/self/mountinfo");
        Use use = {.mounts = mounts, .users = l, .part = part};
        char folder[64];
        int r = -ENOMEM;

        (void) snprintf(folder, sizeof folder, "/sys/dev/block/%u:%u", major(devnum), minor(devnum));
        if (mounts)
                r = look_at(&use, devnum, node);
        if (r >= 0 && partitions)
                r = each_name(folder, on_child, &use);
        mnt_unref_table(mounts);
        return r;
}

int user_list_add_kernel(UserList *l, dev_t devnum, const char *node, const char *part)
{
        return add_kernel(l, devnum, node, part, true);
}

static int describe(BackendContext *ctx, const BlockDevice *dev, bool partitions, char **ret)
{
        UserList users = {0};
        int r;

        r = add_kernel(&users, dev->devnum, dev->node, NULL, partitions);
        if (r >= 0)
                r = user_list_describe(&users, ret);
        user_list_done(&users);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot find out who uses %s", dev->path) : 0;
}

int block_device_describe_use(BackendContext *ctx, const BlockDevice *dev, char **ret)
{
        return describe(ctx, dev, true, ret);
}

int block_device_describe_whole_use(BackendContext *ctx, const BlockDevice *dev, char **ret)
{
        return describe(ctx, dev, false, ret);
}

bool block_device_has_holders(dev_t devnum, const char *node)
{
        UserList users = {0};
        bool any;

        (void) user_list_add_kernel(&users, devnum, node, NULL);
        any = users.n > 0;
        user_list_done(&users);
        return any;
}

typedef struct Things {
        UsedThing items[USED_THINGS_MAX];
        size_t n;
} Things;

static int add_partition(const char *folder, const char *name, void *userdata)
{
        Things *things = userdata;
        UsedThing *t = &things->items[things->n];
        dev_t devnum;

        if (things->n == ELEMENTSOF(things->items) || !read_partition(folder, name, &devnum))
                return 0;
        *t = (UsedThing){.device = true, .major = major(devnum), .minor = minor(devnum)};
        (void) snprintf(t->part, sizeof t->part, "%.15s", name);
        things->n++;
        return 0;
}

static int list_writers(const Things *things, char **ret)
{
        UserList all = {0}, writers = {0};
        int r;

        r = user_list_add_processes(&all, things->items, things->n);
        for (size_t i = 0; r >= 0 && i < all.n; i++) {
                if (all.items[i].write)
                        r = user_list_add(&writers, &all.items[i]);
        }
        if (r >= 0)
                r = user_list_describe(&writers, ret);
        user_list_done(&all);
        user_list_done(&writers);
        return r;
}

/* Who has it or a partition of it open for writing, and has it still after some time. */
static int describe_writers(const BlockDevice *dev, char **ret)
{
        uint64_t end = now_monotonic() + PATIENCE_USEC;
        Things things = {
                .items = {{.device = true, .major = major(dev->devnum), .minor = minor(dev->devnum)}},
                .n = 1};
        char folder[64];
        int r;

        (void) snprintf(folder, sizeof folder, "/sys/dev/block/%u:%u", major(dev->devnum),
                        minor(dev->devnum));
        (void) each_name(folder, add_partition, &things);
        for (;;) {
                r = list_writers(&things, ret);
                if (r < 0 || !*ret || now_monotonic() >= end)
                        return r;
                free(*ret);
                *ret = NULL;
                (void) usleep(PATIENCE_STEP_USEC);
        }
}

static int require(BackendContext *ctx, const BlockDevice *dev, const char *verb, bool no_writers)
{
        _cleanup_free_ char *words = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = block_device_describe_use(ctx, dev, &words);
        if (r < 0)
                return r;
        if (!words && no_writers) {
                r = describe_writers(dev, &words);
                if (r < 0)
                        return error_set_errno(ctx->error, r, "Cannot find out who uses %s", dev->path);
        }
        if (words)
                return error_setf(ctx->error, STORAGE_ERROR_IN_USE, "%s %s: it is in use: %s", dev->path,
                                  verb, words);
        fd = open(dev->node, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 && errno == EBUSY)
                return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                  "%s %s: some process or the kernel holds it for itself alone", dev->path,
                                  verb);
        return 0;
}

int block_device_require_unused(BackendContext *ctx, const BlockDevice *dev, const char *verb)
{
        return require(ctx, dev, verb, true);
}

int block_device_require_unheld(BackendContext *ctx, const BlockDevice *dev, const char *verb)
{
        return require(ctx, dev, verb, false);
}

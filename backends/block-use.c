/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who uses a block device: what block-device.h says about use. */

#include <dirent.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backends/block-device.h"
#include "backends/in-use.h"

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

static int look_at(Use *use, dev_t devnum, const char *node)
{
        _cleanup_free_ char *holders = NULL;
        int r;

        if (asprintf(&holders, "/sys/dev/block/%u:%u/holders", major(devnum), minor(devnum)) < 0)
                return -ENOMEM;
        r = add_mounts(use, devnum, node);
        if (r >= 0)
                r = add_swap(use, node);
        return r < 0 ? r : each_name(holders, on_holder, use);
}

/* A partition of the device: what is true of it is told with its name. */
static int on_child(const char *folder, const char *name, void *userdata)
{
        _cleanup_free_ char *partition = NULL, *path = NULL, *node = NULL;
        _cleanup_fclose_ FILE *f = NULL;
        Use *use = userdata, child = {.mounts = use->mounts, .users = use->users, .part = name};
        unsigned major_number, minor_number;

        if (asprintf(&partition, "%s/%s/partition", folder, name) < 0 ||
            asprintf(&path, "%s/%s/dev", folder, name) < 0 || asprintf(&node, "/dev/%s", name) < 0)
                return -ENOMEM;
        if (access(partition, F_OK) < 0)
                return 0;
        f = fopen(path, "re");
        if (!f || fscanf(f, "%u:%u", &major_number, &minor_number) != 2)
                return 0;
        return look_at(&child, makedev(major_number, minor_number), node);
}

int user_list_add_kernel(UserList *l, dev_t devnum, const char *node, const char *part)
{
        struct libmnt_table *mounts = mnt_new_table_from_file("/proc/self/mountinfo");
        Use use = {.mounts = mounts, .users = l, .part = part};
        _cleanup_free_ char *folder = NULL;
        int r = -ENOMEM;

        if (mounts && asprintf(&folder, "/sys/dev/block/%u:%u", major(devnum), minor(devnum)) >= 0)
                r = look_at(&use, devnum, node);
        if (r >= 0)
                r = each_name(folder, on_child, &use);
        mnt_unref_table(mounts);
        return r;
}

int block_device_describe_use(BackendContext *ctx, const BlockDevice *dev, char **ret)
{
        UserList users = {0};
        int r;

        r = user_list_add_kernel(&users, dev->devnum, dev->node, NULL);
        if (r >= 0)
                r = user_list_describe(&users, ret);
        user_list_done(&users);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot find out who uses %s", dev->path) : 0;
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

int block_device_require_unused(BackendContext *ctx, const BlockDevice *dev, const char *verb)
{
        _cleanup_free_ char *words = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = block_device_describe_use(ctx, dev, &words);
        if (r < 0)
                return r;
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

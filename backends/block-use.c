/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who uses a block device: what block-device.h says about use. */

#include <dirent.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backends/block-device.h"

/* The words found so far are one sentence: "mounted on /a, swap space". */
static int add_words(char **words, const char *format, ...) _printf_(2, 3);
static int add_words(char **words, const char *format, ...)
{
        _cleanup_free_ char *more = NULL;
        char *all;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&more, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        if (!*words) {
                *words = TAKE_PTR(more);
                return 0;
        }
        if (asprintf(&all, "%s, %s", *words, more) < 0)
                return -ENOMEM;
        free(*words);
        *words = all;
        return 0;
}

static int add_valid(char **words, const char *before, const char *text)
{
        _cleanup_free_ char *valid = NULL;
        int r = utf8_make_valid(text, strlen(text), &valid);

        return r < 0 ? r : add_words(words, "%s%s", before, valid);
}

static int add_mounts(struct libmnt_table *table, dev_t devnum, const char *node, char **words)
{
        struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
        struct libmnt_fs *fs;
        int r = iter ? 0 : -ENOMEM;

        while (r >= 0 && mnt_table_next_fs(table, iter, &fs) == 0) {
                /* btrfs has device numbers of its own: its source names the device. */
                if (mnt_fs_get_devno(fs) == devnum || streq_ptr(mnt_fs_get_srcpath(fs), node))
                        r = add_valid(words, "mounted on ", strempty(mnt_fs_get_target(fs)));
        }
        mnt_free_iter(iter);
        return r;
}

static int add_swap(const char *node, char **words)
{
        struct libmnt_table *table = mnt_new_table();
        int r = table ? 0 : -ENOMEM;

        if (r >= 0 && mnt_table_parse_swaps(table, NULL) == 0 &&
            mnt_table_find_srcpath(table, node, MNT_ITER_FORWARD))
                r = add_words(words, "used as swap space");
        mnt_unref_table(table);
        return r;
}

/* The name that people know a device-mapper device by. */
static int add_holder(const char *name, char **words)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_fclose_ FILE *f = NULL;
        char dm[256] = "";

        if (asprintf(&path, "/sys/class/block/%s/dm/name", name) < 0)
                return -ENOMEM;
        f = fopen(path, "re");
        if (f && fscanf(f, "%255s", dm) == 1)
                return add_words(words, "part of /dev/mapper/%s", dm);
        return add_words(words, "part of %s", name);
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

typedef struct Use {
        struct libmnt_table *mounts;
        char **words;
} Use;

static int on_holder(const char *folder, const char *name, void *userdata)
{
        Use *use = userdata;

        return add_holder(name, use->words);
}

static int describe_one(Use *use, dev_t devnum, const char *node)
{
        _cleanup_free_ char *holders = NULL;
        int r;

        if (asprintf(&holders, "/sys/dev/block/%u:%u/holders", major(devnum), minor(devnum)) < 0)
                return -ENOMEM;
        r = add_mounts(use->mounts, devnum, node, use->words);
        if (r >= 0)
                r = add_swap(node, use->words);
        return r < 0 ? r : each_name(holders, on_holder, use);
}

/* A partition of the device: what is true of it is told with its name. */
static int on_child(const char *folder, const char *name, void *userdata)
{
        _cleanup_free_ char *partition = NULL, *path = NULL, *node = NULL, *words = NULL;
        _cleanup_fclose_ FILE *f = NULL;
        Use *use = userdata, child = {.mounts = use->mounts, .words = &words};
        unsigned major_number, minor_number;
        int r;

        if (asprintf(&partition, "%s/%s/partition", folder, name) < 0 ||
            asprintf(&path, "%s/%s/dev", folder, name) < 0 || asprintf(&node, "/dev/%s", name) < 0)
                return -ENOMEM;
        if (access(partition, F_OK) < 0)
                return 0;
        f = fopen(path, "re");
        if (!f || fscanf(f, "%u:%u", &major_number, &minor_number) != 2)
                return 0;
        r = describe_one(&child, makedev(major_number, minor_number), node);
        if (r >= 0 && words)
                r = add_words(use->words, "its partition %s is %s", name, words);
        return r;
}

int block_device_describe_use(BackendContext *ctx, const BlockDevice *dev, char **ret)
{
        struct libmnt_table *mounts = mnt_new_table_from_file("/proc/self/mountinfo");
        _cleanup_free_ char *words = NULL, *folder = NULL;
        Use use = {.mounts = mounts, .words = &words};
        int r = -ENOMEM;

        if (mounts && asprintf(&folder, "/sys/dev/block/%u:%u", major(dev->devnum), minor(dev->devnum)) >= 0)
                r = describe_one(&use, dev->devnum, dev->node);
        if (r >= 0)
                r = each_name(folder, on_child, &use);
        mnt_unref_table(mounts);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot find out who uses %s", dev->path);
        *ret = TAKE_PTR(words);
        return 0;
}

bool block_device_has_holders(dev_t devnum, const char *node)
{
        const BlockDevice dev = {.devnum = devnum, .node = (char *) node, .path = (char *) node};
        BackendContext ctx = {0};
        _cleanup_free_ char *words = NULL;

        return block_device_describe_use(&ctx, &dev, &words) >= 0 && words;
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

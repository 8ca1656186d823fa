/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "backends/file-volume.h"
#include "backends/find-sources.h"
#include "backends/fs-make.h"
#include "backends/fs-scan.h"
#include "backends/mount.h"
#include "backends/pool-folder.h"

static const char *device_path(BackendContext *ctx)
{
        return ctx->pool->source.devices[0].path;
}

static int fs_check(BackendContext *ctx, bool *ret_active)
{
        _cleanup_(mount_point_done) MountPoint m = {0};
        struct stat st;
        int r;

        r = mount_point_find(ctx, ctx->pool->target_path, &m);
        if (r < 0)
                return r;
        *ret_active =
                stat(device_path(ctx), &st) >= 0 && S_ISBLK(st.st_mode) && mount_point_is_of(&m, st.st_rdev);
        return 0;
}

/* What the definition says about the folder is about the root of the file system, once that is there. */
static int set_up_root(BackendContext *ctx, const BlockDevice *dev)
{
        const Permissions *p = &ctx->pool->permissions;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (p->mode == MODE_UNSET && p->owner == ID_UNSET && p->group == ID_UNSET &&
            ctx->pool->cow != TRISTATE_NO)
                return 0;
        r = mount_unseen(ctx, dev, fs_type(ctx->pool->source.format), true, &fd);
        return r < 0 ? r : pool_folder_set_up(ctx, fd, false);
}

static int make_on_device(BackendContext *ctx, const BlockDevice *dev, bool overwrite)
{
        int r;

        r = fs_make(ctx, dev, overwrite);
        if (r < 0)
                return r;
        block_device_settle(dev);
        return set_up_root(ctx, dev);
}

static int is_blank(BackendContext *ctx, const BlockDevice *dev, bool *ret)
{
        _cleanup_(block_contents_done) BlockContents c = {0};
        int r;

        r = block_device_probe(ctx, dev, &c);
        *ret = r >= 0 && !c.type && !c.table;
        return r;
}

static int fs_build(BackendContext *ctx, const BuildOptions *options, bool *ret_made)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        _cleanup_close_ int fd = -EBADF;
        bool fresh, blank;
        int r;

        r = fs_require_makeable(ctx);
        if (r >= 0)
                r = block_device_find(ctx, device_path(ctx), &dev);
        if (r >= 0)
                r = is_blank(ctx, &dev, &blank);
        if (r >= 0)
                r = block_device_require_writable(ctx, &dev, options->overwrite);
        if (r >= 0)
                r = pool_folder_make(ctx, &fd, &fresh);
        if (r < 0)
                return r;
        r = make_on_device(ctx, &dev, options->overwrite && !blank);
        if (r < 0 && fresh)
                (void) rmdir(ctx->pool->target_path);
        *ret_made = r >= 0 && fresh && blank;
        return r;
}

/* One that the pool means is on the device; its type for the kernel, the caller's. */
static int find_type(BackendContext *ctx, const BlockDevice *dev, char **ret)
{
        const char *format = ctx->pool->source.format, *type = fs_type(format);
        _cleanup_(block_contents_done) BlockContents c = {0};
        _cleanup_free_ char *words = NULL;
        int r;

        r = block_device_probe(ctx, dev, &c);
        if (r < 0)
                return r;
        if (!c.type && !c.table)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "Cannot start pool '%s': there is no file system on %s; build the pool to "
                                  "make one",
                                  ctx->pool->name, dev->path);
        /* Of several that contradict each other the definition may choose. A disc may be both of these. */
        if (type ? c.ambivalent || streq_ptr(c.type, type) ||
                            (streq(type, "iso9660") && streq_ptr(c.type, "udf"))
                 : streq_ptr(c.usage, "filesystem")) {
                *ret = strdup(type ?: c.type);
                return *ret ? 0 : error_set_errno(ctx->error, ENOMEM, "Cannot mount %s", dev->path);
        }
        if (block_contents_describe(&c, &words) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot look at what is on %s", dev->path);
        return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                          "Cannot start pool '%s': on %s there is %s, not %s%s", ctx->pool->name, dev->path,
                          words, type ? "a file system of the pool's format " : "one file system",
                          type ? format : "");
}

/* 1: it is mounted already; 0: the target is free. */
static int adopt(BackendContext *ctx, const BlockDevice *dev)
{
        const char *type = fs_type(ctx->pool->source.format);
        _cleanup_(mount_point_done) MountPoint m = {0};
        int r;

        r = mount_point_find(ctx, ctx->pool->target_path, &m);
        if (r < 0 || m.id == 0)
                return r;
        if (!mount_point_is_of(&m, dev->devnum))
                return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                  "Cannot start pool '%s': %s (%s) is mounted on %s already, not %s",
                                  ctx->pool->name, m.source, m.type, m.path, dev->path);
        if (type && !streq(m.type, type))
                return error_setf(
                        ctx->error, STORAGE_ERROR_FAILED,
                        "Cannot start pool '%s': %s is mounted on %s already, but as %s, not as %s",
                        ctx->pool->name, dev->path, m.path, m.type, type);
        return 1;
}

static int fs_start(BackendContext *ctx)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        _cleanup_free_ char *type = NULL;
        _cleanup_close_ int fd = -EBADF;
        bool fresh;
        int r;

        r = block_device_find(ctx, device_path(ctx), &dev);
        if (r >= 0)
                r = adopt(ctx, &dev);
        if (r != 0)
                return r < 0 ? r : 0;
        r = find_type(ctx, &dev, &type);
        if (r >= 0)
                r = pool_folder_make(ctx, &fd, &fresh);
        if (r < 0)
                return r;
        r = mount_device(ctx, &dev, type, fd);
        if (r < 0 && fresh)
                (void) rmdir(ctx->pool->target_path);
        return r;
}

static int fs_stop(BackendContext *ctx)
{
        _cleanup_(mount_point_done) MountPoint m = {0};
        bool beneath = false;
        struct stat st;
        int r;

        r = mount_point_find(ctx, ctx->pool->target_path, &m);
        if (r < 0 || m.id == 0)
                return r;
        if (mount_point_is_dead(&m))
                return mount_remove(ctx, &m);
        if (stat(device_path(ctx), &st) < 0)
                return error_setf(
                        ctx->error, STORAGE_ERROR_FAILED,
                        "Cannot stop pool '%s': there is no device %s to tell by whether %s, mounted "
                        "on %s, is the pool's; unmount that by hand, or stop the pool with 'force' to "
                        "leave it mounted",
                        ctx->pool->name, device_path(ctx), m.source, m.path);
        if (mount_point_is_of(&m, st.st_rdev))
                return mount_remove(ctx, &m);
        r = mount_is_beneath(ctx, m.path, st.st_rdev, &beneath);
        if (r < 0 || !beneath)
                return r;
        return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                          "Cannot stop pool '%s': %s is mounted over it on %s; unmount that first",
                          ctx->pool->name, m.source, m.path);
}

static int require_target_unused(BackendContext *ctx)
{
        const char *path = ctx->pool->target_path;
        _cleanup_(mount_point_done) MountPoint m = {0};
        struct dirent *entry;
        bool empty = true;
        DIR *dir;
        int r;

        r = mount_point_find(ctx, path, &m);
        if (r < 0)
                return r;
        if (m.id != 0)
                return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                  "Cannot delete pool '%s': %s is mounted on %s", ctx->pool->name, m.source,
                                  m.path);
        dir = opendir(path);
        while (dir && empty && (entry = readdir(dir)))
                empty = streq(entry->d_name, ".") || streq(entry->d_name, "..");
        if (dir)
                (void) closedir(dir);
        if (empty)
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                          "Cannot delete pool '%s': its mount point %s is not an empty folder; remove what "
                          "is in it first",
                          ctx->pool->name, path);
}

/* The first name in the folder, NULL if none; what fsck rescued into lost+found is something. Consumes fd.
 */
static int find_content(int fd, bool top, char **ret)
{
        DIR *dir = fdopendir(fd);
        struct dirent *entry;
        int r = 0;

        if (!dir) {
                r = -errno;
                safe_close(fd);
                return r;
        }
        while (r >= 0 && !*ret && (entry = readdir(dir))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                if (!top || !streq(entry->d_name, "lost+found")) {
                        r = utf8_make_valid(entry->d_name, strlen(entry->d_name), ret);
                        continue;
                }
                fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                r = fd >= 0 ? find_content(fd, false, ret) : -errno;
                if (*ret)
                        r = free_and_strdup(ret, entry->d_name);
        }
        (void) closedir(dir);
        return r;
}

/* As a folder with something in it is not deleted, neither is a file system. */
static int require_empty(BackendContext *ctx, const BlockDevice *dev, const char *type)
{
        _cleanup_free_ char *name = NULL;
        int r, fd = -EBADF;

        r = mount_unseen(ctx, dev, type, false, &fd);
        if (r < 0)
                return r;
        r = find_content(fd, true, &name);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot look into %s", dev->path);
        if (!name)
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                          "Cannot delete pool '%s': the file system on %s is not empty ('%s' is in it); "
                          "start the pool and delete what is in it first",
                          ctx->pool->name, dev->path, name);
}

static int wipe_if_ours(BackendContext *ctx, const BlockDevice *dev)
{
        const char *type = fs_type(ctx->pool->source.format);
        _cleanup_(block_contents_done) BlockContents c = {0};
        _cleanup_free_ char *words = NULL;
        int r;

        r = block_device_probe(ctx, dev, &c);
        if (r < 0 || (!c.type && !c.table))
                return r;
        if (!c.type || !streq_ptr(c.usage, "filesystem") || (type && !streq(c.type, type))) {
                (void) block_contents_describe(&c, &words);
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "Cannot delete pool '%s': on %s there is %s, which is not the pool's",
                                  ctx->pool->name, dev->path, strempty(words));
        }
        if (dev->read_only)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "Cannot delete pool '%s': the device %s is read-only", ctx->pool->name,
                                  dev->path);
        r = require_empty(ctx, dev, c.type);
        if (r >= 0)
                r = block_device_require_unused(ctx, dev, "cannot be wiped");
        return r < 0 ? r : block_device_wipe(ctx, dev, true);
}

static int fs_delete(BackendContext *ctx)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        int r;

        r = require_target_unused(ctx);
        if (r >= 0)
                r = block_device_find(ctx, device_path(ctx), &dev);
        if (r >= 0)
                r = block_device_require_unused(ctx, &dev, "cannot be wiped");
        if (r >= 0)
                r = wipe_if_ours(ctx, &dev);
        if (r < 0)
                return r;
        block_device_settle(&dev);
        return access(ctx->pool->target_path, F_OK) < 0 && errno == ENOENT ? 0 : pool_folder_remove(ctx);
}

static const char *const fs_tools[] = {
        "qemu-img", "mke2fs",       "mkfs.xfs",   "mkfs.vfat", "mkfs.btrfs",
        "mkudffs",  "mkfs.hfsplus", "mkfs.ocfs2", "mkfs.gfs2", NULL,
};

const Backend backend_fs = {
        .type = POOL_FS,
        .needs_root = true,
        .tools = fs_tools,
        .find_sources = find_fs_sources,
        .check = fs_check,
        .build = fs_build,
        .start = fs_start,
        .stop = fs_stop,
        .delete = fs_delete,
        .scan_new = fs_scan_new,
        .scan_free = fs_scan_free,
        .refresh = fs_scan_refresh,
        .watch = fs_scan_watch,
        .refresh_changes = fs_scan_refresh_changes,
        .scan_note = fs_scan_note,
        .volume_create = file_volume_create,
        .volume_fill = file_volume_fill,
        .volume_reserve = file_volume_reserve,
        .volume_publish = file_volume_publish,
        .volume_discard = file_volume_discard,
        .volume_delete = file_volume_delete,
        .volume_resize = file_volume_resize,
        .volume_open = file_volume_open,
        .volume_look = file_volume_look,
};

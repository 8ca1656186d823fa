/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backends/mount-holders.h"

/* What is on an image store is no business of the host's; as libvirt does. A definition may say otherwise.
 */
#define DEFAULT_OPTIONS "nodev,nosuid,noexec"
/* These make something else of a mount than that of one device. */
#define FOREIGN_FLAGS (MS_REMOUNT | MS_BIND | MS_MOVE | MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)
#define FOREIGN_USER_FLAGS (MNT_MS_LOOP | MNT_MS_OFFSET | MNT_MS_SIZELIMIT)

void mount_point_done(MountPoint *m)
{
        free(m->path);
        free(m->source);
        free(m->type);
        free(m->root);
        free(m->options);
        *m = (MountPoint){0};
}

/* The path by which the kernel knows what fd is open on, and the ID of the mount that that is on. */
static int fd_path(int fd, char **ret_path, int *ret_id)
{
        _cleanup_fclose_ FILE *f = NULL;
        char name[64], line[256], target[PATH_MAX];
        ssize_t n;

        (void) snprintf(name, sizeof name, "/proc/self/fd/%i", fd);
        n = readlink(name, target, sizeof target - 1);
        if (n < 0)
                return -errno;
        target[n] = 0;
        (void) snprintf(name, sizeof name, "/proc/self/fdinfo/%i", fd);
        f = fopen(name, "re");
        if (!f)
                return -errno;
        *ret_id = 0;
        while (*ret_id == 0 && fgets(line, sizeof line, f))
                (void) sscanf(line, "mnt_id: %i", ret_id);
        *ret_path = strdup(target);
        return *ret_path ? 0 : -ENOMEM;
}

/* The path without links, and the ID of the mount that it is on. */
static int look_at_path(const char *path, char **ret_path, int *ret_id)
{
        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);

        return fd < 0 ? -errno : fd_path(fd, ret_path, ret_id);
}

static int take_mount(MountPoint *m, struct libmnt_fs *fs)
{
        m->id = mnt_fs_get_id(fs);
        m->devnum = mnt_fs_get_devno(fs);
        m->source = strdup(mnt_fs_get_source(fs) ?: "none");
        m->type = strdup(mnt_fs_get_fstype(fs) ?: "");
        m->root = strdup(mnt_fs_get_root(fs) ?: "/");
        m->options = strdup(mnt_fs_get_options(fs) ?: "");
        return m->source && m->type && m->root && m->options ? 0 : -ENOMEM;
}

/* Calls look for each mount on path until it returns other than 0. */
static int for_each_mount(const char *path, int (*look)(struct libmnt_fs *fs, void *userdata),
                          void *userdata)
{
        struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
        struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_BACKWARD);
        struct libmnt_fs *fs;
        int r = table && iter ? 0 : -ENOMEM;

        while (r == 0 && mnt_table_next_fs(table, iter, &fs) == 0) {
                if (streq(strempty(mnt_fs_get_target(fs)), path))
                        r = look(fs, userdata);
        }
        mnt_free_iter(iter);
        mnt_unref_table(table);
        return r;
}

static int take_if_seen(struct libmnt_fs *fs, void *userdata)
{
        MountPoint *m = userdata;

        if (mnt_fs_get_id(fs) != m->id)
                return 0;
        return take_mount(m, fs) ?: 1;
}

int mount_point_find(BackendContext *ctx, const char *path, MountPoint *ret)
{
        _cleanup_(mount_point_done) MountPoint m = {0};
        int r;

        r = look_at_path(path, &m.path, &m.id);
        if (r == -ENOENT || r == -ENOTDIR) {
                *ret = (MountPoint){0};
                return 0;
        }
        if (r >= 0)
                r = for_each_mount(m.path, take_if_seen, &m);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot find out what is mounted on %s", path);
        if (r == 0)
                m.id = 0;
        *ret = m;
        m = (MountPoint){0};
        return 0;
}

static bool kernel_name(dev_t devnum, char ret[static NAME_MAX + 1])
{
        char path[64], target[PATH_MAX];
        const char *name;
        ssize_t n;

        (void) snprintf(path, sizeof path, "/sys/dev/block/%u:%u", major(devnum), minor(devnum));
        n = readlink(path, target, sizeof target - 1);
        if (n < 0)
                return false;
        target[n] = 0;
        name = strrchr(target, '/');
        name = name ? name + 1 : target;
        if (strlen(name) > NAME_MAX)
                return false;
        strcpy(ret, name);
        return true;
}

/* A btrfs has a device number of its own, and is said to be mounted from any one of its devices. */
static bool share_btrfs(dev_t a, dev_t b)
{
        char name_a[NAME_MAX + 1], name_b[NAME_MAX + 1], path[NAME_MAX * 2 + 32];
        struct dirent *entry;
        bool found = false;
        DIR *dir;

        if (a == b)
                return true;
        dir = opendir("/sys/fs/btrfs");
        if (!dir)
                return false;
        while (!found && kernel_name(a, name_a) && kernel_name(b, name_b) && (entry = readdir(dir))) {
                (void) snprintf(path, sizeof path, "%s/devices/%s", entry->d_name, name_a);
                found = faccessat(dirfd(dir), path, F_OK, 0) >= 0;
                (void) snprintf(path, sizeof path, "%s/devices/%s", entry->d_name, name_b);
                found = found && faccessat(dirfd(dir), path, F_OK, 0) >= 0;
        }
        (void) closedir(dir);
        return found;
}

static bool is_of(dev_t devnum, const char *source, const char *type, const char *root, dev_t wanted)
{
        struct stat st;

        if (streq(type, "btrfs"))
                return stat(source, &st) >= 0 && S_ISBLK(st.st_mode) && share_btrfs(st.st_rdev, wanted);
        return devnum == wanted && streq(root, "/");
}

bool mount_point_is_of(const MountPoint *m, dev_t devnum)
{
        return m->id != 0 && is_of(m->devnum, m->source, m->type, m->root, devnum);
}

bool mount_point_is_dead(const MountPoint *m)
{
        char name[NAME_MAX + 1];
        struct stat st;

        if (m->id == 0)
                return false;
        if (major(m->devnum) != 0)
                return !kernel_name(m->devnum, name);
        return streq(m->type, "btrfs") && stat(m->source, &st) < 0 && errno == ENOENT;
}

static int compare_device(struct libmnt_fs *fs, void *userdata)
{
        return is_of(mnt_fs_get_devno(fs), strempty(mnt_fs_get_source(fs)), strempty(mnt_fs_get_fstype(fs)),
                     strempty(mnt_fs_get_root(fs)), *(dev_t *) userdata);
}

int mount_is_beneath(BackendContext *ctx, const char *path, dev_t devnum, bool *ret)
{
        int r = for_each_mount(path, compare_device, &devnum);

        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot find out what is mounted on %s", path);
        *ret = r > 0;
        return 0;
}

static int join_options(char *const *options, char **ret)
{
        _cleanup_free_ char *all = strdup(DEFAULT_OPTIONS);
        char *const *o;

        STRV_FOREACH (o, options) {
                char *longer;

                if (!all || asprintf(&longer, "%s,%s", all, *o) < 0)
                        return -ENOMEM;
                free(all);
                all = longer;
        }
        *ret = TAKE_PTR(all);
        return *ret ? 0 : -ENOMEM;
}

static int prepare(BackendContext *ctx, struct libmnt_context *c, const BlockDevice *dev, const char *type)
{
        unsigned long flags = 0, user_flags = 0;
        _cleanup_free_ char *options = NULL;
        int r;

        r = join_options(ctx->pool->mount_options, &options);
        if (r >= 0)
                r = mnt_context_set_optsmode(c, MNT_OMODE_NOTAB);
        if (r >= 0)
                r = mnt_context_set_source(c, dev->node);
        /* The path may lead elsewhere by now: it is mounted on the folder in which we are. */
        if (r >= 0)
                r = mnt_context_disable_canonicalize(c, true);
        if (r >= 0)
                r = mnt_context_set_target(c, ".");
        if (r >= 0)
                r = mnt_context_set_fstype(c, type);
        if (r >= 0)
                r = mnt_context_set_options(c, options);
        if (r >= 0)
                r = mnt_context_get_mflags(c, &flags);
        if (r >= 0)
                r = mnt_context_get_user_mflags(c, &user_flags);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot mount %s with the options %s", dev->path,
                                       strempty(options));
        if (!(flags & FOREIGN_FLAGS) && !(user_flags & FOREIGN_USER_FLAGS))
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "Cannot start pool '%s': among its mount options (%s) is one that mounts "
                          "something else than the device %s",
                          ctx->pool->name, options, dev->path);
}

static int mount_failed(BackendContext *ctx, struct libmnt_context *c, int result, const BlockDevice *dev,
                        const char *type)
{
        _cleanup_free_ char *user = NULL;
        char why[512] = "";
        int error;

        (void) mnt_context_get_excode(c, result, why, sizeof why);
        error = mnt_context_syscall_called(c) ? mnt_context_get_syscall_errno(c) : 0;
        if (error == ENODEV)
                return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                                  "Cannot start pool '%s': this kernel has no support for file systems of "
                                  "the type %s",
                                  ctx->pool->name, type);
        if (error == EBUSY && block_device_describe_use(ctx, dev, &user) >= 0 && user)
                return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                  "Cannot start pool '%s': the device %s is in use (%s)", ctx->pool->name,
                                  dev->path, user);
        return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                          "Cannot start pool '%s': mounting %s on %s as %s failed: %s", ctx->pool->name,
                          dev->path, ctx->pool->target_path, type,
                          why[0] ? why : "the kernel's log may tell more");
}

static int run_mount(BackendContext *ctx, struct libmnt_context *c, const BlockDevice *dev, const char *type,
                     int folder_fd)
{
        _cleanup_close_ int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        r = prepare(ctx, c, dev, type);
        if (r < 0)
                return r;
        if (before < 0 || fchdir(folder_fd) < 0)
                return error_set_errno(ctx->error, errno, "Cannot enter %s", ctx->pool->target_path);
        r = mnt_context_mount(c);
        (void) fchdir(before);
        if (r == 0 && mnt_context_get_status(c) == 1)
                return 0;
        return mount_failed(ctx, c, r, dev, type);
}

/* Whether it can be seen by the pool's path. If not, it is taken away from where the folder is by now. */
static int check_mounted(BackendContext *ctx, const BlockDevice *dev, int folder_fd)
{
        _cleanup_(mount_point_done) MountPoint m = {0}, own = {0};
        _cleanup_free_ char *path = NULL;
        int r, id;

        r = mount_point_find(ctx, ctx->pool->target_path, &m);
        if (r < 0 || mount_point_is_of(&m, dev->devnum))
                return r;
        r = error_setf(ctx->error, STORAGE_ERROR_FAILED,
                       "Cannot start pool '%s': after mounting %s there is %s on %s", ctx->pool->name,
                       dev->path, m.source ?: "nothing", ctx->pool->target_path);
        if (fd_path(folder_fd, &path, &id) >= 0 && mount_point_find(&(BackendContext){0}, path, &own) >= 0 &&
            own.id != 0 && own.devnum == dev->devnum)
                (void) umount2(own.path, UMOUNT_NOFOLLOW);
        return r;
}

int mount_device(BackendContext *ctx, const BlockDevice *dev, const char *type, int folder_fd)
{
        struct libmnt_context *c = mnt_new_context();
        int r;

        if (!c)
                return error_set_errno(ctx->error, ENOMEM, "Cannot mount %s", dev->path);
        r = run_mount(ctx, c, dev, type, folder_fd);
        mnt_free_context(c);
        return r < 0 ? r : check_mounted(ctx, dev, folder_fd);
}

static int unmount_failed(BackendContext *ctx, const MountPoint *m, int error)
{
        _cleanup_free_ char *holders = NULL;

        if (error != EBUSY)
                return error_set_errno(ctx->error, error, "Cannot stop pool '%s': cannot unmount %s",
                                       ctx->pool->name, m->path);
        if (mount_holders(m, &holders) < 0 || !holders)
                return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                  "Cannot stop pool '%s': %s is in use, and it cannot be seen by whom",
                                  ctx->pool->name, m->path);
        return error_setf(ctx->error, STORAGE_ERROR_IN_USE, "Cannot stop pool '%s': %s is in use by %s",
                          ctx->pool->name, m->path, holders);
}

int mount_remove(BackendContext *ctx, const MountPoint *m)
{
        struct libmnt_context *c = mnt_new_context();
        int r, error = 0;

        if (!c)
                return error_set_errno(ctx->error, ENOMEM, "Cannot unmount %s", m->path);
        r = mnt_context_set_target(c, m->path);
        if (r >= 0)
                r = mnt_context_umount(c);
        if (r != 0 || mnt_context_get_status(c) != 1)
                error = mnt_context_syscall_called(c) ? mnt_context_get_syscall_errno(c) : r < 0 ? -r : EIO;
        mnt_free_context(c);
        return error != 0 ? unmount_failed(ctx, m, error) : 0;
}

int mount_unseen(BackendContext *ctx, const BlockDevice *dev, const char *type, bool write, int *ret_fd)
{
        _cleanup_close_ int fs_fd = -EBADF, mount_fd = -EBADF;
        unsigned attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
        int fd = -1;

        fs_fd = fsopen(type, FSOPEN_CLOEXEC);
        if (fs_fd >= 0 && fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", dev->node, 0) >= 0 &&
            (write || fsconfig(fs_fd, FSCONFIG_SET_FLAG, "ro", NULL, 0) >= 0) &&
            /* All of it, not the subvolume that somebody made the default one. */
            (!streq(type, "btrfs") || fsconfig(fs_fd, FSCONFIG_SET_STRING, "subvolid", "5", 0) >= 0) &&
            fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) >= 0)
                mount_fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, attributes | (write ? 0 : MOUNT_ATTR_RDONLY));
        if (mount_fd >= 0)
                fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENODEV)
                return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                                  "Cannot look into %s: this kernel has no support for file systems of the "
                                  "type %s",
                                  dev->path, type);
        if (fd < 0)
                return error_set_errno(ctx->error, errno, "Cannot look into the %s file system on %s", type,
                                       dev->path);
        *ret_fd = fd;
        return 0;
}

static int refuse(BackendContext *ctx, bool gone)
{
        const char *path = ctx->pool->target_path, *device = ctx->pool->source.devices[0].path;
        _cleanup_(mount_point_done) MountPoint m = {0};

        if (gone)
                return error_setf(ctx->error, STORAGE_ERROR_INACCESSIBLE,
                                  "The device %s of pool '%s' is gone", device, ctx->pool->name);
        if (mount_point_find(ctx, path, &m) < 0)
                return -EIO;
        if (m.id == 0)
                return error_setf(ctx->error, STORAGE_ERROR_INACCESSIBLE,
                                  "The file system of pool '%s' is not mounted on %s any more; mount %s "
                                  "there again, or stop and start the pool",
                                  ctx->pool->name, path, device);
        if (mount_point_is_dead(&m))
                return error_setf(
                        ctx->error, STORAGE_ERROR_INACCESSIBLE,
                        "The device of pool '%s' was gone for a time, and what is mounted on %s is "
                        "dead; stop and start the pool",
                        ctx->pool->name, path);
        return error_setf(ctx->error, STORAGE_ERROR_INACCESSIBLE,
                          "Instead of the file system of pool '%s' on %s, there is %s mounted on %s",
                          ctx->pool->name, device, m.source, path);
}

int mount_require(BackendContext *ctx, int fd)
{
        _cleanup_(mount_point_done) MountPoint m = {0};
        struct statx stx;
        struct stat st;
        int r;

        if (stat(ctx->pool->source.devices[0].path, &st) < 0 || !S_ISBLK(st.st_mode))
                return refuse(ctx, true);
        if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx) < 0)
                return error_setf(ctx->error, STORAGE_ERROR_INACCESSIBLE,
                                  "The folder %s of pool '%s' does not answer: %s", ctx->pool->target_path,
                                  ctx->pool->name, strerrordesc_np(errno));
        if (!(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
                return refuse(ctx, false);
        if (makedev(stx.stx_dev_major, stx.stx_dev_minor) == st.st_rdev)
                return 0;
        /* It may be a btrfs still. */
        r = mount_point_find(ctx, ctx->pool->target_path, &m);
        if (r < 0 || mount_point_is_of(&m, st.st_rdev))
                return r;
        return refuse(ctx, false);
}

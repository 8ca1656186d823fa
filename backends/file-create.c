/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "backends/file-allocate.h"
#include "backends/file-row.h"
#include "backends/file-unfinished.h"
#include "backends/file-volume.h"
#include "backends/format-record.h"
#include "backends/image-plan.h"
#include "backends/qemu-img.h"
#include "backends/vmdk-name.h"

#define MODE_DEFAULT 0600
/* In the pool's own worker, which does nothing else meanwhile. */
#define SHORT_USEC (30 * USEC_PER_SEC)

int file_set_nocow(BackendContext *ctx, int fd, const char *what)
{
        unsigned int flags;

        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
                return error_set_errno(ctx->error, EOPNOTSUPP, "Cannot turn copy on write off for %s", what);
        flags |= FS_NOCOW_FL;
        if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
                return error_set_errno(ctx->error, errno == EPERM || errno == EACCES ? errno : EOPNOTSUPP,
                                       "Cannot turn copy on write off for %s", what);
        return 0;
}

int file_drop_inherited_rights(int fd)
{
        if (fremovexattr(fd, "system.posix_acl_access") >= 0 || errno == ENODATA || errno == EOPNOTSUPP)
                return 0;
        return -errno;
}

static int set_owner_and_mode(BackendContext *ctx, const VolumeDef *def, int fd, bool folder)
{
        const Permissions *p = &def->permissions;
        uint32_t mode = p->mode != MODE_UNSET ? p->mode : folder ? 0700 : MODE_DEFAULT;
        int r;

        if ((p->owner != ID_UNSET || p->group != ID_UNSET) && fchown(fd, p->owner, p->group) < 0)
                return error_set_errno(ctx->error, errno,
                                       "Cannot give volume '%s' to owner %" PRIi32 ":%" PRIi32, def->name,
                                       (int32_t) p->owner, (int32_t) p->group);
        r = file_drop_inherited_rights(fd);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot set the rights of volume '%s'", def->name);
        if ((folder || mode != MODE_DEFAULT) && fchmod(fd, mode) < 0)
                return error_set_errno(ctx->error, errno, "Cannot set the mode of volume '%s'", def->name);
        if (p->label && access("/sys/fs/selinux/status", F_OK) >= 0 &&
            fsetxattr(fd, "security.selinux", p->label, strlen(p->label) + 1, 0) < 0)
                return error_set_errno(ctx->error, errno, "Cannot label volume '%s' as %s", def->name,
                                       p->label);
        return 0;
}

static int set_size(BackendContext *ctx, const VolumeDef *def, int fd, uint64_t size)
{
        if (size == 0 || ftruncate(fd, (off_t) size) >= 0)
                return 0;
        if (errno == EFBIG)
                return sd_bus_error_setf(
                        ctx->error, STORAGE_ERROR_NO_SPACE,
                        "Volume '%s' cannot be made in pool '%s': a file there cannot have %" PRIu64
                        " bytes",
                        def->name, ctx->pool->name, size);
        return error_set_errno(ctx->error, errno, "Cannot make volume '%s' in pool '%s'", def->name,
                               ctx->pool->name);
}

static int sync_to_storage(BackendContext *ctx, int fd, const char *name)
{
        return fsync(fd) >= 0 ? 0
                              : error_set_errno(ctx->error, errno,
                                                "Cannot write volume '%s' to its storage", name);
}

/* The tool leaves nothing that is not on the disk. */
static int run_tool(BackendContext *ctx, const VolumeDef *def, const ImagePlan *plan, int fd, uint64_t usec)
{
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *what = NULL;
        int r;

        if (qemu_img_create_argv(plan, def, QEMU_IMG_TARGET, &argv) < 0 ||
            asprintf(&what, "make volume '%s' of format %s", def->name, def->format) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot make volume '%s'", def->name);
        r = qemu_img_run(ctx, argv, fd, plan->fill, usec, what);
        if (r < 0 || plan->format != IMAGE_VMDK)
                return r;
        r = vmdk_set_extent_name(fd, def->name);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot %s", what);
        return sync_to_storage(ctx, fd, def->name);
}

/* What a guest writes there shall never make it an image of another format. */
static int record_format(BackendContext *ctx, const VolumeDef *def, int fd, uint64_t size)
{
        int r = 0;

        if (streq_ptr(def->format, "raw") && def->encryption.format == ENCRYPTION_NONE)
                r = format_record_raw(fd, size);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot record the format of volume '%s'", def->name) : 0;
}

/* What is quick is made at once; what is long only gets its place. */
static int make_file(BackendContext *ctx, const VolumeDef *def, const ImagePlan *plan, int fd)
{
        int r;

        if (def->nocow) {
                r = file_set_nocow(ctx, fd, def->name);
                if (r < 0)
                        return r;
        }
        if (plan->fill > 0) {
                r = file_check_space(ctx, fd, plan->fill, def->name);
                if (r < 0)
                        return r;
        }
        if (!plan->tool)
                r = set_size(ctx, def, fd, plan->capacity);
        else
                r = plan->long_work ? 0 : run_tool(ctx, def, plan, fd, SHORT_USEC);
        if (r >= 0)
                r = record_format(ctx, def, fd, plan->capacity);
        return r < 0 ? r : set_owner_and_mode(ctx, def, fd, false);
}

static int error_exists(BackendContext *ctx, const char *name)
{
        return sd_bus_error_setf(
                ctx->error, STORAGE_ERROR_EXISTS,
                "There is a volume '%s' in pool '%s' already; choose another name or delete it", name,
                ctx->pool->name);
}

static int publish_error(BackendContext *ctx, int r, const char *name)
{
        if (r == -EEXIST)
                return error_exists(ctx, name);
        return error_set_errno(ctx->error, r, "Cannot give volume '%s' its name in pool '%s'", name,
                               ctx->pool->name);
}

static int read_row(BackendContext *ctx, int fd, const char *name, VolumeRow *ret)
{
        int r = file_row_read(fd, ctx->pool->target_path, name, ret);

        if (r < 0)
                return error_set_errno(ctx->error, r, "Volume '%s' was made but cannot be read", name);
        return 0;
}

/*
 * It is empty, and on the disk before it has its name, so that no loss of power shows half of it: it is there whole or
 * not at all. Whoever makes the first of its data durable makes its name durable as well: to wait for that here would
 * more than double what a raw volume costs.
 */
static int publish(BackendContext *ctx, Unfinished *u, const char *name, CreateResult *ret)
{
        int r = unfinished_publish(u, name);

        return r < 0 ? publish_error(ctx, r, name) : read_row(ctx, u->fd, name, &ret->row);
}

/* The lock on the file goes with the descriptor: whoever has it is at work on the file. */
static int reserve(BackendContext *ctx, Unfinished *u, const char *name, CreateResult *ret)
{
        if (asprintf(&ret->token, "%s/%s", u->name, name) < 0) {
                ret->token = NULL;
                return error_set_errno(ctx->error, ENOMEM, "Cannot make volume '%s'", name);
        }
        ret->fd = TAKE_FD(u->fd);
        ret->zero = true;
        u->name[0] = 0;
        return 0;
}

static int create_file(BackendContext *ctx, int dir_fd, const VolumeDef *def, const ImagePlan *plan,
                       CreateResult *ret)
{
        Unfinished u = UNFINISHED_NONE;
        int r;

        r = unfinished_create(dir_fd, plan->long_work, &u);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot make volume '%s' in pool '%s'", def->name,
                                       ctx->pool->name);
        r = make_file(ctx, def, plan, u.fd);
        if (r >= 0)
                r = plan->long_work ? reserve(ctx, &u, def->name, ret)
                                    : publish(ctx, &u, def->name, ret);
        unfinished_done(&u);
        return r;
}

static int create_folder(BackendContext *ctx, int dir_fd, const VolumeDef *def, CreateResult *ret)
{
        Unfinished u = UNFINISHED_NONE;
        int r;

        r = unfinished_create_folder(dir_fd, &u);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot make folder '%s' in pool '%s'", def->name,
                                       ctx->pool->name);
        r = def->nocow ? file_set_nocow(ctx, u.fd, def->name) : 0;
        if (r >= 0)
                r = set_owner_and_mode(ctx, def, u.fd, true);
        if (r >= 0)
                r = publish(ctx, &u, def->name, ret);
        unfinished_done(&u);
        return r;
}

int file_volume_create(BackendContext *ctx, const VolumeDef *def, Preallocation p, CreateResult *ret)
{
        _cleanup_close_ int dir_fd = -EBADF;
        CreateResult result = {.fd = -EBADF};
        ImagePlan plan = {0};
        struct stat st;
        int r;

        r = file_volume_require_files(ctx);
        if (r >= 0)
                r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        r = image_plan_make(ctx, dir_fd, def, p, &plan);
        if (r < 0)
                return r;
        /* Publishing would find it too, but perhaps after hours of work. */
        if ((plan.long_work || plan.tool) && fstatat(dir_fd, def->name, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                r = error_exists(ctx, def->name);
        else if (plan.format == IMAGE_DIR)
                r = create_folder(ctx, dir_fd, def, &result);
        else
                r = create_file(ctx, dir_fd, def, &plan, &result);
        image_plan_done(&plan);
        if (r < 0)
                create_result_done(&result);
        else
                *ret = result;
        return r;
}

int file_volume_reserve(BackendContext *ctx, const VolumeDef *def, const char *token, CreateResult *ret)
{
        _cleanup_close_ int dir_fd = -EBADF;
        CreateResult result = {.fd = -EBADF};
        Unfinished u = UNFINISHED_NONE;
        struct stat st;
        int r;

        r = file_volume_require_files(ctx);
        if (r >= 0)
                r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        if (fstatat(dir_fd, def->name, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                return error_exists(ctx, def->name);
        r = unfinished_create(dir_fd, true, &u);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot make volume '%s' in pool '%s'", def->name,
                                       ctx->pool->name);
        r = def->nocow ? file_set_nocow(ctx, u.fd, def->name) : 0;
        /* How large it becomes is known once it has its name. */
        if (r >= 0)
                r = record_format(ctx, def, u.fd, 0);
        if (r >= 0)
                r = set_owner_and_mode(ctx, def, u.fd, false);
        if (r >= 0)
                r = reserve(ctx, &u, def->name, &result);
        unfinished_done(&u);
        if (r < 0)
                create_result_done(&result);
        else
                *ret = result;
        return r;
}

/* QEMU has made the file; what it is to have of the pool comes behind the header. */
static int allocate_encrypted(BackendContext *ctx, const VolumeDef *def, const ImagePlan *plan, int fd)
{
        struct stat st;

        if (plan->format != IMAGE_RAW || plan->preallocation != PREALLOCATION_FALLOC)
                return 0;
        if (fstat(fd, &st) < 0)
                return error_set_errno(ctx->error, errno, "Cannot make volume '%s'", def->name);
        return file_allocate(ctx, fd, 0, plan->fill + (uint64_t) st.st_size - plan->capacity, false,
                             def->name);
}

int file_volume_make(BackendContext *ctx, const VolumeDef *def, const ImagePlan *plan, int fd)
{
        int r;

        if (plan->tool) {
                r = run_tool(ctx, def, plan, fd, 0);
                return r < 0 || !plan->encrypted ? r : allocate_encrypted(ctx, def, plan, fd);
        }
        r = set_size(ctx, def, fd, plan->capacity);
        return r < 0 ? r
                     : file_allocate(ctx, fd, 0, plan->fill, plan->preallocation == PREALLOCATION_FULL,
                                     def->name);
}

static int fill(BackendContext *ctx, const VolumeDef *def, Preallocation p, int fd)
{
        _cleanup_close_ int dir_fd = -EBADF;
        ImagePlan plan = {0};
        int r;

        r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        r = image_plan_make(ctx, dir_fd, def, p, &plan);
        if (r < 0)
                return r;
        r = file_volume_make(ctx, def, &plan, fd);
        image_plan_done(&plan);
        return r < 0 ? r : sync_to_storage(ctx, fd, def->name);
}

int file_volume_fill(BackendContext *ctx, const VolumeDef *def, Preallocation p, int fd)
{
        int r = fill(ctx, def, p, fd);

        /* If its device fails, the file system shall find out before the pool is looked at, not some time
         * later. */
        if (r < 0 && r != -ECANCELED && r != -ENOSPC)
                (void) syncfs(fd);
        return r;
}

/* "unfinished name/final name" */
static int split_token(BackendContext *ctx, const char *token, char tmp[static UNFINISHED_NAME_SIZE],
                       const char **ret_name)
{
        const char *slash = strchr(token, '/');
        size_t n = slash ? (size_t) (slash - token) : 0;

        if (n + 1 != UNFINISHED_NAME_SIZE || !startswith(token, UNFINISHED_PREFIX) ||
            volume_name_validate(slash + 1, NULL) < 0)
                return sd_bus_error_set(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                        "The token names no volume that is being made");
        memcpy(tmp, token, n);
        tmp[n] = 0;
        *ret_name = slash + 1;
        return 0;
}

static int record_size(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        return format_is_recorded_raw(fd, (uint64_t) st.st_size) ? format_record_raw(fd, (uint64_t) st.st_size) : 0;
}

int file_volume_publish(BackendContext *ctx, const char *token, VolumeRow *ret)
{
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        char tmp[UNFINISHED_NAME_SIZE];
        const char *name = NULL;
        int r;

        r = split_token(ctx, token, tmp, &name);
        if (r < 0)
                return r;
        r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        fd = file_open_quietly(dir_fd, tmp);
        r = fd < 0 ? fd : record_size(fd);
        if (r < 0)
                return error_set_errno(ctx->error, r, "What was made for volume '%s' in pool '%s' is gone",
                                       name, ctx->pool->name);
        r = unfinished_publish_name(dir_fd, tmp, name);
        if (r < 0)
                return publish_error(ctx, r, name);
        /* Until the folder is on the disk, a loss of power brings back the name that is removed as a
         * leftover. */
        r = sync_to_storage(ctx, dir_fd, name);
        return r < 0 ? r : read_row(ctx, fd, name, ret);
}

int file_volume_discard(BackendContext *ctx, const char *token)
{
        _cleanup_close_ int dir_fd = -EBADF;
        char tmp[UNFINISHED_NAME_SIZE];
        const char *name = NULL;
        int r;

        r = split_token(ctx, token, tmp, &name);
        if (r < 0)
                return r;
        r = file_volume_folder(ctx, &dir_fd);
        if (r < 0)
                return r;
        if (unlinkat(dir_fd, tmp, 0) < 0 && errno != ENOENT)
                return error_set_errno(ctx->error, errno, "Cannot remove what was made for volume '%s'",
                                       name);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-replace.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "backends/file-volume.h"
#include "backends/format-record.h"

#define ATTRIBUTES_MAX (64U * 1024U)
#define ATTRIBUTE_MAX (64U * 1024U)

static int fail(Replacement *r, int error)
{
        return error_set_errno(r->ctx->error, error, "Cannot replace volume '%s' of pool '%s'", r->name,
                               r->ctx->pool->name);
}

int file_copy_nocow(BackendContext *ctx, int old_fd, int new_fd, const char *name)
{
        unsigned flags;

        if (ioctl(old_fd, FS_IOC_GETFLAGS, &flags) < 0 || !(flags & FS_NOCOW_FL))
                return 0;
        return file_set_nocow(ctx, new_fd, name);
}

int file_replace_begin(BackendContext *ctx, const char *name, int old_fd, Replacement *ret)
{
        Replacement r = {
                .ctx = ctx, .name = name, .old_fd = old_fd, .dir_fd = -EBADF, .new = UNFINISHED_NONE};
        int q;

        if (fstat(old_fd, &r.old) < 0)
                return fail(&r, errno);
        if (!S_ISREG(r.old.st_mode) || r.old.st_nlink != 1)
                return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                                  "Volume '%s' of pool '%s' cannot be replaced by a new file: it %s", name,
                                  ctx->pool->name,
                                  S_ISREG(r.old.st_mode)
                                          ? "has other names (hard links), which would keep the old one"
                                          : "is no file");
        q = file_volume_folder(ctx, &r.dir_fd);
        if (q >= 0) {
                q = unfinished_create(r.dir_fd, false, &r.new);
                if (q < 0)
                        q = fail(&r, q);
        }
        if (q >= 0)
                q = file_copy_nocow(ctx, old_fd, r.new.fd, name);
        if (q < 0)
                file_replace_done(&r);
        else
                *ret = r;
        return q;
}

/* A file system may keep attributes of its own, which nobody else can set. */
static int copy_xattr(const Replacement *r, const char *attribute, char *value)
{
        ssize_t n = fgetxattr(r->old_fd, attribute, value, ATTRIBUTE_MAX);

        if (n < 0)
                return errno == ENODATA ? 0 : -errno;
        if (fsetxattr(r->new.fd, attribute, value, (size_t) n, 0) >= 0)
                return 0;
        return startswith(attribute, "user.") || startswith(attribute, "system.posix_acl") ||
                               startswith(attribute, "security.")
                       ? -errno
                       : 0;
}

static int copy_xattrs(const Replacement *r)
{
        _cleanup_free_ char *names = malloc(ATTRIBUTES_MAX), *value = malloc(ATTRIBUTE_MAX);
        ssize_t n;
        int q = 0;

        if (!names || !value)
                return -ENOMEM;
        n = flistxattr(r->old_fd, names, ATTRIBUTES_MAX);
        if (n < 0)
                return errno == EOPNOTSUPP ? 0 : -errno;
        for (const char *p = names; q >= 0 && p < names + n; p += strlen(p) + 1)
                q = copy_xattr(r, p, value);
        return q;
}

/* The attribute is there already, but says what size it is for. */
static int copy_format(const Replacement *r)
{
        struct stat old, new;

        if (fstat(r->old_fd, &old) < 0 || fstat(r->new.fd, &new) < 0)
                return -errno;
        return format_is_recorded_raw(r->old_fd, (uint64_t) old.st_size)
                       ? format_record_raw(r->new.fd, (uint64_t) new.st_size)
                       : format_record_remove(r->new.fd);
}

static int copy_attributes(const Replacement *r)
{
        struct stat st;
        int q = file_drop_inherited_rights(r->new.fd);

        if (q < 0)
                return q;
        /* The owner first: a change of it takes rights away. */
        if (fstat(r->old_fd, &st) < 0 || fchown(r->new.fd, st.st_uid, st.st_gid) < 0 ||
            fchmod(r->new.fd, st.st_mode & 07777) < 0)
                return -errno;
        q = copy_xattrs(r);
        return q < 0 ? q : copy_format(r);
}

static bool same_contents(const struct stat *a, const struct stat *b)
{
        return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
               a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int require_unchanged(Replacement *r)
{
        struct stat st;

        if (fstatat(r->dir_fd, r->name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && same_contents(&st, &r->old) &&
            st.st_nlink == 1)
                return 0;
        return error_setf(r->ctx->error, STORAGE_ERROR_BUSY,
                          "Volume '%s' of pool '%s' was changed by somebody else meanwhile, and stays as "
                          "that left it; "
                          "try again",
                          r->name, r->ctx->pool->name);
}

int file_replace_publish(Replacement *r)
{
        int q;

        q = copy_attributes(r);
        if (q >= 0 && fsync(r->new.fd) < 0)
                q = -errno;
        if (q >= 0)
                q = unfinished_give_name(&r->new);
        if (q < 0)
                return fail(r, q);
        q = require_unchanged(r);
        if (q < 0)
                return q;
        if (renameat(r->dir_fd, r->new.name, r->dir_fd, r->name) < 0)
                return fail(r, errno);
        r->new.name[0] = 0;
        return fsync(r->dir_fd) < 0 ? fail(r, errno) : 0;
}

void file_replace_done(Replacement *r)
{
        unfinished_done(&r->new);
        r->dir_fd = safe_close(r->dir_fd);
}

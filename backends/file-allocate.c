/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-allocate.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/statvfs.h>

/* One fallocate() on a busy ext4 takes tens of milliseconds for each GiB. */
#define SLICE_SIZE (UINT64_C(256) * 1024 * 1024)
#define ZEROS_SIZE (1024U * 1024U)
/* So much may wait in memory for the storage. */
#define WINDOW_SIZE (UINT64_C(8) * 1024 * 1024)

static int check_cancelled(BackendContext *ctx, const char *name)
{
        if (!ctx->cancelled(ctx))
                return 0;
        return sd_bus_error_setf(ctx->error, STORAGE_ERROR_CANCELLED,
                                 "The work on volume '%s' was cancelled", name);
}

/* Interrupted by a signal: once more, unless that was to cancel. */
static int allocate_slice(BackendContext *ctx, int fd, int mode, uint64_t at, uint64_t n, const char *name)
{
        while (fallocate(fd, mode, (off_t) at, (off_t) n) < 0) {
                int r;

                if (errno != EINTR)
                        return -errno;
                r = check_cancelled(ctx, name);
                if (r < 0)
                        return r;
        }
        return 0;
}

int file_write_behind(int fd, uint64_t offset, uint64_t at, uint64_t *sent)
{
        uint64_t before = *sent - offset > WINDOW_SIZE ? *sent - WINDOW_SIZE : offset;

        if (at - *sent < WINDOW_SIZE)
                return 0;
        if (sync_file_range(fd, (off_t) *sent, (off_t) (at - *sent), SYNC_FILE_RANGE_WRITE) < 0)
                return -errno;
        /* A length of 0 would mean all. */
        if (before < *sent && sync_file_range(fd, (off_t) before, (off_t) (*sent - before),
                                              SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                                      SYNC_FILE_RANGE_WAIT_AFTER) < 0)
                return -errno;
        *sent = at;
        return 0;
}

static int write_zeros(BackendContext *ctx, int fd, uint64_t offset, uint64_t end, const char *name)
{
        _cleanup_free_ char *zeros = calloc(1, ZEROS_SIZE);
        uint64_t sent = offset;

        if (!zeros)
                return error_set_errno(ctx->error, ENOMEM, "Cannot fill volume '%s'", name);
        for (uint64_t at = offset; at < end;) {
                size_t n = end - at < ZEROS_SIZE ? (size_t) (end - at) : ZEROS_SIZE;
                ssize_t written = pwrite(fd, zeros, n, (off_t) at);
                int r;

                if (written < 0 && errno != EINTR)
                        return error_set_errno(ctx->error, errno, "Cannot write to volume '%s'", name);
                r = check_cancelled(ctx, name);
                if (r < 0)
                        return r;
                at += written > 0 ? (uint64_t) written : 0;
                r = file_write_behind(fd, offset, at, &sent);
                if (r < 0 && r != -EINTR)
                        return error_set_errno(ctx->error, r, "Cannot write to volume '%s'", name);
                ctx->progress(ctx, at - offset, end - offset);
        }
        return 0;
}

/* -EOPNOTSUPP, without words: the file system cannot. */
static int allocate_slices(BackendContext *ctx, int fd, int mode, uint64_t offset, uint64_t end,
                           const char *name)
{
        for (uint64_t at = offset; at < end;) {
                uint64_t n = end - at < SLICE_SIZE ? end - at : SLICE_SIZE;
                int r;

                r = check_cancelled(ctx, name);
                if (r < 0)
                        return r;
                r = allocate_slice(ctx, fd, mode, at, n, name);
                if ((r == -EOPNOTSUPP || r == -ENOSYS) && at == offset)
                        return -EOPNOTSUPP;
                if (r < 0 && sd_bus_error_is_set(ctx->error))
                        return r;
                if (r < 0)
                        return error_set_errno(ctx->error, r,
                                               "Cannot allocate %" PRIu64 " bytes for volume '%s'",
                                               end - offset, name);
                at += n;
                ctx->progress(ctx, at - offset, end - offset);
        }
        return 0;
}

int file_allocate(BackendContext *ctx, int fd, uint64_t offset, uint64_t end, bool zeros, const char *name)
{
        int r = zeros ? -EOPNOTSUPP : allocate_slices(ctx, fd, 0, offset, end, name);

        return r == -EOPNOTSUPP ? write_zeros(ctx, fd, offset, end, name) : r;
}

int file_allocate_beyond(BackendContext *ctx, int fd, uint64_t end, uint64_t new_end, const char *name)
{
        return allocate_slices(ctx, fd, FALLOC_FL_KEEP_SIZE, end, new_end, name);
}

int file_check_space(BackendContext *ctx, int fd, uint64_t bytes, const char *name)
{
        struct statvfs v;
        uint64_t available;

        if (fstatvfs(fd, &v) < 0)
                return error_set_errno(ctx->error, errno,
                                       "Cannot tell how much space there is for volume '%s'", name);
        available = (uint64_t) v.f_bavail * v.f_frsize;
        if (bytes <= available)
                return 0;
        return sd_bus_error_setf(
                ctx->error, STORAGE_ERROR_NO_SPACE,
                "Volume '%s' needs %" PRIu64 " bytes of storage at once, and only %" PRIu64
                " are available in pool '%s'; a smaller allocation or preallocation=off may fit",
                name, bytes, available, ctx->pool->name);
}

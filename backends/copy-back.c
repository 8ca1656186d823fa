/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/copy-back.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "backends/copy-raw.h"

#define CHUNK_SIZE (1024U * 1024U)
#define UNIT_SIZE 4096U

typedef struct CopyBack {
        int from, to;
        uint8_t *source, *target;
} CopyBack;

static int read_all(int fd, uint8_t *buffer, size_t n, uint64_t offset)
{
        for (size_t done = 0; done < n;) {
                ssize_t k = pread(fd, buffer + done, n - done, (off_t) (offset + done));

                if (k <= 0)
                        return k < 0 ? -errno : -ENODATA;
                done += (size_t) k;
        }
        return 0;
}

static int write_all(int fd, const uint8_t *buffer, size_t n, uint64_t offset)
{
        for (size_t done = 0; done < n;) {
                ssize_t k = pwrite(fd, buffer + done, n - done, (off_t) (offset + done));

                if (k < 0)
                        return -errno;
                done += (size_t) k;
        }
        return 0;
}

static bool differs(const CopyBack *c, size_t at, size_t n)
{
        return memcmp(c->source + at, c->target + at, n - at < UNIT_SIZE ? n - at : UNIT_SIZE) != 0;
}

/* Of n bytes that were read, writes the blocks that differ, neighbours at once. */
static int write_differences(const CopyBack *c, size_t n, uint64_t offset)
{
        for (size_t start = 0, end; start < n; start = end) {
                bool different = differs(c, start, n);
                int r;

                for (end = start + UNIT_SIZE; end < n && differs(c, end, n) == different;)
                        end += UNIT_SIZE;
                end = end < n ? end : n;
                r = different ? write_all(c->to, c->source + start, end - start, offset + start) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

/*
 * What is compared is what the disk has. Somebody else's open of the device can have kept pages in memory
 * that it does not have: of a write that failed, or from before the device was changed below.
 */
static int forget_cached(int fd)
{
        return ioctl(fd, BLKFLSBUF, 0) >= 0 || errno == ENOTTY ? 0 : -errno;
}

static int run(BackendContext *ctx, const CopyBack *c, uint64_t size)
{
        for (uint64_t offset = 0; offset < size;) {
                size_t n = size - offset < CHUNK_SIZE ? (size_t) (size - offset) : CHUNK_SIZE;
                int r;

                if (ctx->cancelled(ctx))
                        return -ECANCELED;
                r = read_all(c->from, c->source, n, offset);
                if (r >= 0)
                        r = read_all(c->to, c->target, n, offset);
                if (r >= 0)
                        r = write_differences(c, n, offset);
                if (r < 0)
                        return r;
                /* Nobody reads it again soon. */
                (void) posix_fadvise(c->from, (off_t) offset, (off_t) n, POSIX_FADV_DONTNEED);
                offset += n;
                ctx->progress(ctx, offset, size);
        }
        return fsync(c->to) < 0 ? -errno : 0;
}

int copy_back(BackendContext *ctx, int from, int to, const char *name, int (*writing)(void *userdata),
              void *userdata)
{
        _cleanup_free_ uint8_t *source = malloc(CHUNK_SIZE), *target = malloc(CHUNK_SIZE);
        CopyBack c = {.from = from, .to = to, .source = source, .target = target};
        uint64_t size = 0, other = 0;
        int r;

        r = source && target ? copy_size(from, &size) : -ENOMEM;
        if (r >= 0)
                r = copy_size(to, &other);
        if (r >= 0 && size != other)
                return error_setf(
                        ctx->error, STORAGE_ERROR_UNSUPPORTED,
                        "Volume '%s' of pool '%s' cannot go back to that snapshot: they are not of the same "
                        "size any more",
                        name, ctx->pool->name);
        if (r >= 0)
                r = forget_cached(from);
        if (r >= 0)
                r = forget_cached(to);
        /* A snapshot that ran out of room cannot be read at all, and nothing has changed then. */
        if (r >= 0 && size > 0)
                r = read_all(from, source, size < UNIT_SIZE ? size : UNIT_SIZE, 0);
        if (r >= 0)
                r = writing(userdata);
        if (r >= 0)
                r = run(ctx, &c, size);
        if (r == -ECANCELED)
                return error_setf(ctx->error, STORAGE_ERROR_CANCELLED,
                                  "Cancelled: going back to a snapshot of volume '%s'", name);
        return r < 0 ? error_set_errno(ctx->error, r,
                                       "Volume '%s' of pool '%s' cannot go back to a snapshot", name,
                                       ctx->pool->name)
                     : 0;
}

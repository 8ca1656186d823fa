/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/copy-raw.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "backends/file-allocate.h"

#define BUFFER_SIZE (1024U * 1024U)
/* What is looked at at once for being zero: smaller holes save little and cost much. */
#define GRAIN_SIZE (64U * 1024U)
/* Between two looks at whether it is cancelled. */
#define SLICE_SIZE (UINT64_C(16) * 1024 * 1024)
/* What a device zeroes by itself begins and ends at pages, so that nothing in memory is in the way. */
#define PAGE_MASK UINT64_C(4095)

typedef struct Work {
        BackendContext *ctx;
        const RawCopy *copy;
        bool from_device, to_device;
        bool by_kernel;  /* copy_file_range() works */
        bool no_zeroout; /* BLKZEROOUT does not */
        uint64_t sent;   /* for file_write_behind() */
        char *buffer;    /* BUFFER_SIZE */
} Work;

int copy_size(int fd, uint64_t *ret)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISBLK(st.st_mode))
                return ioctl(fd, BLKGETSIZE64, ret) < 0 ? -errno : 0;
        *ret = (uint64_t) st.st_size;
        return 0;
}

int copy_reflink(int from, int to)
{
        if (ioctl(to, FICLONE, from) >= 0)
                return 0;
        switch (errno) {
        case EXDEV:
        case EINVAL:
        case ENOTTY:
        case EBADF:
        case EISDIR:
        case ETXTBSY:
                return -EOPNOTSUPP;
        default:
                return -errno;
        }
}

static int fail(Work *w, int r, const char *verb)
{
        return error_set_errno(w->ctx->error, r, "Cannot %s volume '%s'", verb, w->copy->name);
}

/* After each piece: progress, a look at whether to go on, and the storage is not let fall behind. */
static int step(Work *w, uint64_t at)
{
        int r;

        if (w->ctx->cancelled(w->ctx))
                return error_setf(w->ctx->error, STORAGE_ERROR_CANCELLED,
                                  "The making of volume '%s' was cancelled", w->copy->name);
        r = file_write_behind(w->copy->to, w->copy->start, at, &w->sent);
        if (r < 0 && r != -EINTR)
                return fail(w, r, "write to");
        w->ctx->progress(w->ctx, at < w->copy->size ? at : w->copy->size, w->copy->size);
        return 0;
}

static int put(Work *w, const char *data, size_t n, uint64_t at)
{
        while (n > 0) {
                ssize_t written = pwrite(w->copy->to, data, n, (off_t) at);

                if (written < 0 && errno != EINTR)
                        return fail(w, errno, "write to");
                if (written > 0) {
                        data += written;
                        at += (uint64_t) written;
                        n -= (size_t) written;
                }
        }
        return 0;
}

static int get(Work *w, size_t n, uint64_t at)
{
        size_t have = 0;

        while (have < n) {
                ssize_t got = pread(w->copy->from, w->buffer + have, n - have, (off_t) (at + have));

                if (got < 0 && errno != EINTR)
                        return fail(w, errno, "read what is copied to");
                if (got == 0)
                        return error_setf(w->ctx->error, STORAGE_ERROR_FAILED,
                                          "What is copied to volume '%s' became smaller meanwhile",
                                          w->copy->name);
                have += got > 0 ? (size_t) got : 0;
        }
        return 0;
}

static int write_zeros(Work *w, uint64_t at, uint64_t end)
{
        int r = 0;

        memset(w->buffer, 0, BUFFER_SIZE);
        while (r >= 0 && at < end) {
                size_t n = end - at < BUFFER_SIZE ? (size_t) (end - at) : BUFFER_SIZE;

                r = put(w, w->buffer, n, at);
                at += n;
                if (r >= 0)
                        r = step(w, at);
        }
        return r;
}

/* The device may have a command for it; the kernel writes zeros if it has none. */
static int zero_out(Work *w, uint64_t at, uint64_t end)
{
        while (at < end) {
                uint64_t n = end - at < SLICE_SIZE ? end - at : SLICE_SIZE, range[] = {at, n};
                int r;

                if (ioctl(w->copy->to, BLKZEROOUT, range) < 0) {
                        if (errno == EINTR)
                                continue;
                        if (errno != EOPNOTSUPP && errno != ENOTTY && errno != EINVAL)
                                return fail(w, errno, "write to");
                        w->no_zeroout = true;
                        return write_zeros(w, at, end);
                }
                at += n;
                r = step(w, at);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_zeros(Work *w, uint64_t at, uint64_t end)
{
        uint64_t first = (at + PAGE_MASK) & ~PAGE_MASK, last = end & ~PAGE_MASK;
        int r;

        if (w->copy->zero || at >= end)
                return 0;
        if (!w->to_device || w->no_zeroout || first >= last)
                return write_zeros(w, at, end);
        r = write_zeros(w, at, first);
        if (r >= 0)
                r = zero_out(w, first, last);
        return r < 0 ? r : write_zeros(w, last, end);
}

static bool is_zero(const char *data, size_t n)
{
        return data[0] == 0 && memcmp(data, data + 1, n - 1) == 0;
}

/* Writes what of the buffer is not zero, and sees to it that the rest is. */
static int put_grains(Work *w, size_t n, uint64_t at)
{
        size_t i = 0;
        int r = 0;

        while (r >= 0 && i < n) {
                size_t begin = i, grain = n - i < GRAIN_SIZE ? n - i : GRAIN_SIZE;
                bool zero = is_zero(w->buffer + i, grain);

                for (i += grain; i < n; i += grain) {
                        grain = n - i < GRAIN_SIZE ? n - i : GRAIN_SIZE;
                        if (is_zero(w->buffer + i, grain) != zero)
                                break;
                }
                if (!zero || (!w->copy->zero && i - begin < n))
                        r = put(w, w->buffer + begin, i - begin, at + begin);
                else
                        r = put_zeros(w, at + begin, at + i);
        }
        return r;
}

static int copy_through_memory(Work *w, uint64_t at, uint64_t end)
{
        int r = 0;

        while (r >= 0 && at < end) {
                size_t n = end - at < BUFFER_SIZE ? (size_t) (end - at) : BUFFER_SIZE;

                r = get(w, n, at);
                if (r >= 0)
                        r = w->from_device ? put_grains(w, n, at) : put(w, w->buffer, n, at);
                at += n;
                if (r >= 0)
                        r = step(w, at);
        }
        return r;
}

static int copy_by_kernel(Work *w, uint64_t at, uint64_t end)
{
        while (at < end) {
                off_t in = (off_t) at, out = (off_t) at;
                size_t n = end - at < SLICE_SIZE ? (size_t) (end - at) : (size_t) SLICE_SIZE;
                ssize_t done = copy_file_range(w->copy->from, &in, w->copy->to, &out, n, 0);
                int r;

                if (done < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG))
                        return fail(w, errno, "write to");
                if (done == 0 || (done < 0 && errno != EINTR)) {
                        /* Not between these file systems. */
                        w->by_kernel = false;
                        return copy_through_memory(w, at, end);
                }
                at += done > 0 ? (uint64_t) done : 0;
                r = step(w, at);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Where the next data begins, and where they end. What cannot be told is data. */
static void next_data(const Work *w, uint64_t at, uint64_t *ret_begin, uint64_t *ret_end)
{
        off_t begin = lseek(w->copy->from, (off_t) at, SEEK_DATA), end;
        uint64_t size = w->copy->size;

        *ret_begin = at;
        *ret_end = size;
        if (begin < 0) {
                if (errno == ENXIO)
                        *ret_begin = size;
                return;
        }
        *ret_begin = (uint64_t) begin < size ? (uint64_t) begin : size;
        end = lseek(w->copy->from, begin, SEEK_HOLE);
        if (end > begin && (uint64_t) end < size)
                *ret_end = (uint64_t) end;
}

static int copy_all(Work *w)
{
        uint64_t at = w->copy->start, begin, end, size = w->copy->size;
        int r = 0;

        while (r >= 0 && at < size) {
                next_data(w, at, &begin, &end);
                r = put_zeros(w, at, begin);
                if (r >= 0 && begin < end)
                        r = w->by_kernel ? copy_by_kernel(w, begin, end)
                                         : copy_through_memory(w, begin, end);
                at = end;
        }
        return r < 0 ? r : put_zeros(w, at > size ? at : size, w->copy->capacity);
}

int copy_raw(BackendContext *ctx, const RawCopy *copy)
{
        Work w = {.ctx = ctx, .copy = copy, .sent = copy->start};
        struct stat from, to;
        int r;

        if (fstat(copy->from, &from) < 0 || fstat(copy->to, &to) < 0)
                return fail(&w, errno, "look at");
        w.from_device = S_ISBLK(from.st_mode);
        w.to_device = S_ISBLK(to.st_mode);
        w.by_kernel = !w.from_device && !w.to_device && !copy->own;
        w.buffer = malloc(BUFFER_SIZE);
        if (!w.buffer)
                return fail(&w, ENOMEM, "copy to");
        (void) posix_fadvise(copy->from, 0, 0, POSIX_FADV_SEQUENTIAL);
        r = copy_all(&w);
        free(w.buffer);
        return r;
}

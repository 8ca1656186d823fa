/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/transfer-end.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "backends/block-mark.h"

#define ZEROS_SIZE (256U * 1024U)
/* What a device zeroes by itself begins and ends at pages, so that nothing in memory is in the way. */
#define PAGE_MASK UINT64_C(4095)
/* Between two looks at whether it is cancelled. */
#define SLICE_SIZE (UINT64_C(16) * 1024 * 1024)

static const char *whose(const TransferEnd *end)
{
        return end->foreign ? "the descriptor that was given for " : "";
}

int end_fail(const TransferEnd *end, int error, bool write)
{
        if (end->foreign && write && error == EPIPE)
                return error_setf(end->ctx->error, STORAGE_ERROR_FAILED,
                                  "Nobody reads any more from the descriptor that was given for volume '%s'",
                                  end->volume);
        return error_set_errno(end->ctx->error, error, "Cannot %s %svolume '%s'",
                               write ? "write to" : "read from", whose(end), end->volume);
}

int end_check_cancelled(const TransferEnd *end)
{
        if (!end->ctx->cancelled(end->ctx))
                return 0;
        return error_setf(end->ctx->error, STORAGE_ERROR_CANCELLED,
                          "The transfer of volume '%s' was cancelled", end->volume);
}

static int refuse_kind(const TransferEnd *end)
{
        return error_setf(
                end->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                "The descriptor that was given for volume '%s' is neither a pipe nor a stream socket, a "
                "regular file or a block device",
                end->volume);
}

static int set_kind(TransferEnd *end, const struct stat *st)
{
        socklen_t n = sizeof(int);
        int type;

        switch (st->st_mode & S_IFMT) {
        case S_IFREG:
                end->kind = END_FILE;
                end->size = (uint64_t) st->st_size;
                return 0;
        case S_IFBLK:
                end->kind = END_DEVICE;
                return ioctl(end->fd, BLKGETSIZE64, &end->size) < 0 ? end_fail(end, errno, false) : 0;
        case S_IFIFO:
                end->kind = END_PIPE;
                return 0;
        case S_IFSOCK:
                end->kind = END_SOCKET;
                if (getsockopt(end->fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM)
                        return refuse_kind(end);
                return 0;
        default:
                return refuse_kind(end);
        }
}

/* A server that does not trust root need not let us; and then it does not mind what is asked for either. */
static void open_buffered(TransferEnd *end, int flags)
{
        char path[sizeof("/proc/self/fd/") + 16];
        int fd;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%i", end->given);
        fd = open(path, (flags & (O_ACCMODE | O_APPEND)) | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0)
                end->fd = fd;
}

int end_open(BackendContext *ctx, int fd, const char *volume, bool foreign, bool write, TransferEnd *ret)
{
        TransferEnd end = {.ctx = ctx, .fd = fd, .given = fd, .volume = volume, .foreign = foreign};
        int r, flags = fcntl(fd, F_GETFL);
        struct stat st;
        off_t position;

        if (flags < 0 || fstat(fd, &st) < 0)
                return end_fail(&end, errno, write);
        if (flags & O_PATH || (flags & O_ACCMODE) == (write ? O_RDONLY : O_WRONLY))
                return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "The descriptor that was given for volume '%s' is not open for %s", volume,
                                  write ? "writing" : "reading");
        r = set_kind(&end, &st);
        if (r < 0)
                return r;
        end.device = end.kind == END_DEVICE ? st.st_rdev : st.st_dev;
        end.inode = end.kind == END_DEVICE ? 0 : st.st_ino;
        end.sequential = end_is_stream(&end) || (write && flags & O_APPEND);
        if (foreign && !end.sequential) {
                position = lseek(fd, 0, SEEK_CUR);
                if (position < 0)
                        return end_fail(&end, errno, write);
                end.offset = (uint64_t) position;
        }
        if (foreign && flags & O_DIRECT && !end_is_stream(&end))
                open_buffered(&end, flags);
        *ret = end;
        return 0;
}

void end_done(TransferEnd *end)
{
        if (end->foreign && !end->sequential)
                (void) lseek(end->given, (off_t) end->offset, SEEK_SET);
        if (end->fd != end->given)
                end->fd = safe_close(end->fd);
        free(end->held);
        end->held = NULL;
}

int end_hold_head(TransferEnd *end)
{
        int r = end->kind == END_DEVICE ? block_mark_find(end->fd, 0, NULL) : 0;

        if (r < 0)
                return end_fail(end, r, false);
        if (r == 0)
                return 0;
        end->held = calloc(1, BLOCK_MARK_SIZE);
        return end->held ? 0 : end_fail(end, ENOMEM, true);
}

/* How many of the next n bytes (NULL: zeros) are kept for later. */
static size_t hold(TransferEnd *end, const void *buffer, uint64_t n)
{
        uint64_t part = end->held && end->offset < BLOCK_MARK_SIZE ? BLOCK_MARK_SIZE - end->offset : 0;

        part = part < n ? part : n;
        if (part > 0 && buffer)
                memcpy(end->held + end->offset, buffer, part);
        end->offset += part;
        return part;
}

bool end_is_stream(const TransferEnd *end)
{
        return end->kind == END_PIPE || end->kind == END_SOCKET;
}

bool end_is_same(const TransferEnd *a, const TransferEnd *b)
{
        return a->kind == b->kind && a->device == b->device && a->inode == b->inode && !end_is_stream(a);
}

/* Until the stream is ready, or the signal comes that cancels: between the look and the waiting it is held
 * back. */
static int wait_ready(const TransferEnd *end, short events)
{
        /* Once for a moment, after which the look tells how far it is: a client may pause for hours. */
        static const struct timespec moment = {.tv_nsec = 300 * 1000 * 1000};
        struct pollfd p = {.fd = end->fd, .events = events};
        const struct timespec *time = &moment;
        sigset_t cancel, before;
        int r;

        (void) sigemptyset(&cancel);
        (void) sigaddset(&cancel, SIGUSR1);
        (void) sigprocmask(SIG_BLOCK, &cancel, &before);
        do {
                r = end_check_cancelled(end);
                if (r >= 0) {
                        r = ppoll(&p, 1, time, &before);
                        r = r < 0 ? -errno : r;
                        time = NULL;
                }
        } while (r == -EINTR || r == 0);
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        return r < 0 && !sd_bus_error_is_set(end->ctx->error) ? end_fail(end, r, events & POLLOUT) : r;
}

static ssize_t read_some(const TransferEnd *end, void *buffer, size_t n)
{
        switch (end->kind) {
        case END_PIPE:
                return read(end->fd, buffer, n);
        case END_SOCKET:
                return recv(end->fd, buffer, n, MSG_DONTWAIT);
        default:
                return pread(end->fd, buffer, n, (off_t) end->offset);
        }
}

static ssize_t write_some(const TransferEnd *end, const void *buffer, size_t n)
{
        if (end->kind == END_SOCKET)
                return send(end->fd, buffer, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (end->sequential)
                return write(end->fd, buffer, n);
        return pwrite(end->fd, buffer, n, (off_t) end->offset);
}

/* 0: once more. Whether a stream blocks is up to the client, who can change that at any time. */
static int after_failure(const TransferEnd *end, bool write)
{
        int error = errno, r = end_check_cancelled(end);

        if (r < 0 || error == EINTR || (error == EAGAIN && end_is_stream(end)))
                return r;
        return end_fail(end, error, write);
}

int end_read(TransferEnd *end, void *buffer, size_t n, size_t *ret)
{
        int r = 0;

        while (r >= 0) {
                ssize_t got;

                r = end_is_stream(end) ? wait_ready(end, POLLIN) : 0;
                if (r < 0)
                        break;
                got = read_some(end, buffer, n);
                if (got >= 0) {
                        *ret = (size_t) got;
                        end->offset += *ret;
                        return 0;
                }
                r = after_failure(end, false);
        }
        return r;
}

int end_write(TransferEnd *end, const void *buffer, size_t n)
{
        size_t kept = hold(end, buffer, n);
        const uint8_t *at = (const uint8_t *) buffer + kept;
        int r = 0;

        n -= kept;
        end->ends_in_hole &= n == 0;
        while (n > 0) {
                ssize_t written;

                r = end_is_stream(end) ? wait_ready(end, POLLOUT) : 0;
                if (r < 0)
                        return r;
                written = write_some(end, at, n);
                if (written >= 0) {
                        at += written;
                        n -= (size_t) written;
                        end->offset += (uint64_t) written;
                        continue;
                }
                r = after_failure(end, true);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_plain_zeros(TransferEnd *end, uint64_t n)
{
        static uint8_t zeros[ZEROS_SIZE];
        int r = 0;

        while (r >= 0 && n > 0) {
                size_t part = n < ZEROS_SIZE ? (size_t) n : ZEROS_SIZE;

                r = end_check_cancelled(end);
                if (r >= 0)
                        r = end_write(end, zeros, part);
                n -= part;
        }
        return r;
}

/* 1: done; 0: it cannot be done in that way. */
static int zero_by_kernel(const TransferEnd *end, int way, uint64_t n)
{
        int r = 0;

        while (r >= 0) {
                if (fallocate(end->fd, way | FALLOC_FL_KEEP_SIZE, (off_t) end->offset, (off_t) n) >= 0)
                        return 1;
                if (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV || errno == EINVAL)
                        return 0;
                r = errno == EINTR ? end_check_cancelled(end) : end_fail(end, errno, true);
        }
        return r;
}

/* A hole; on a device that has none, zeros by a command of its own, or else by the kernel. */
static int make_hole(TransferEnd *end, uint64_t n)
{
        int r;

        r = zero_by_kernel(end, FALLOC_FL_PUNCH_HOLE, n);
        if (r == 0 && end->kind == END_DEVICE)
                r = zero_by_kernel(end, FALLOC_FL_ZERO_RANGE, n);
        if (r > 0)
                end->offset += n;
        else if (r == 0)
                end->no_holes = true;
        return r == 0 ? write_plain_zeros(end, n) : r;
}

static int zero_file(TransferEnd *end, uint64_t n)
{
        uint64_t inside = end->offset < end->size ? end->size - end->offset : 0;
        int r;

        /* Behind its end there is nothing that could be in the way: end_sync() makes it as long as it has to
         * be. */
        r = inside > 0 ? make_hole(end, n < inside ? n : inside) : 0;
        if (r < 0 || n <= inside)
                return r;
        if (end->no_holes)
                return write_plain_zeros(end, n - inside);
        end->offset += n - inside;
        end->ends_in_hole = true;
        return 0;
}

static int zero_device(TransferEnd *end, uint64_t n)
{
        uint64_t before = -end->offset & PAGE_MASK;
        int r;

        if (end->zero) {
                end->offset += n;
                return 0;
        }
        if (before >= n || n - before <= PAGE_MASK)
                return write_plain_zeros(end, n);
        r = write_plain_zeros(end, before);
        n -= before;
        while (r >= 0 && n > PAGE_MASK && !end->no_holes) {
                uint64_t part = n < SLICE_SIZE ? n & ~PAGE_MASK : SLICE_SIZE;

                r = end_check_cancelled(end);
                if (r >= 0)
                        r = make_hole(end, part);
                n -= part;
        }
        return r < 0 ? r : write_plain_zeros(end, n);
}

int end_write_zeros(TransferEnd *end, uint64_t n)
{
        n -= hold(end, NULL, n);
        if (n == 0)
                return 0;
        if (end->sequential || end->no_holes)
                return write_plain_zeros(end, n);
        return end->kind == END_DEVICE ? zero_device(end, n) : zero_file(end, n);
}

bool end_next_is_hole(const TransferEnd *end, uint64_t n, uint64_t *ret)
{
        off_t at = (off_t) end->offset, next;
        bool hole = false;
        struct stat st;

        *ret = n;
        /* One that was cut short meanwhile has no hole there, but an end. */
        if (end->kind != END_FILE || fstat(end->fd, &st) < 0 || (uint64_t) st.st_size < end->offset + n)
                return false;
        next = lseek(end->fd, at, SEEK_DATA);
        if (next < 0 && errno == ENXIO)
                return true;
        if (next > at)
                hole = true;
        else if (next == at)
                next = lseek(end->fd, at, SEEK_HOLE);
        if (next > at && (uint64_t) (next - at) < n)
                *ret = (uint64_t) (next - at);
        return hole;
}

/* Never shorter than it is: somebody else may have made it longer. */
static int set_length(const TransferEnd *end)
{
        struct stat st;

        if (!end->ends_in_hole)
                return 0;
        if (fstat(end->fd, &st) < 0)
                return end_fail(end, errno, true);
        if ((uint64_t) st.st_size >= end->offset || ftruncate(end->fd, (off_t) end->offset) >= 0)
                return 0;
        return end_fail(end, errno, true);
}

static int sync_all(TransferEnd *end)
{
        int r = 0;

        while (r >= 0) {
                /* A client's may be of a kind that nothing can be said of. */
                if (fsync(end->fd) >= 0 || (end->foreign && (errno == EINVAL || errno == ENOSYS)))
                        return 0;
                r = errno == EINTR ? end_check_cancelled(end) : end_fail(end, errno, true);
        }
        return r;
}

static int write_held(TransferEnd *end)
{
        size_t n = end->size < BLOCK_MARK_SIZE ? (size_t) end->size : BLOCK_MARK_SIZE;
        int r = block_mark_replace(end->fd, end->held, n);

        return r < 0 ? end_fail(end, r, true) : 0;
}

int end_sync(TransferEnd *end)
{
        int r;

        if (end_is_stream(end))
                return 0;
        r = set_length(end);
        if (r >= 0)
                r = sync_all(end);
        return r < 0 || !end->held ? r : write_held(end);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Wiping by writing over. */

#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/random.h>

#include "backends/file-allocate.h"
#include "backends/wipe.h"

/* A multiple of three, so that the patterns of three bytes go on from one to the next; and of any block. */
#define CHUNK_SIZE (768U * 1024U)
#define PASSES_MAX 35U

/* Three bytes over and over. */
typedef struct Pass {
        bool random;
        uint8_t bytes[3];
} Pass;

#define RANDOM                 \
        {                      \
                .random = true \
        }
#define BYTES(a, b, c)               \
        {                            \
                .bytes = { a, b, c } \
        }
#define BYTE(a) BYTES(a, a, a)
#define RANDOM_4 RANDOM, RANDOM, RANDOM, RANDOM
#define RANDOM_7 RANDOM_4, RANDOM, RANDOM, RANDOM

typedef struct Method {
        unsigned n;
        bool read_back; /* the last pass, which is not random */
        Pass passes[PASSES_MAX];
} Method;

static const Method methods[_WIPE_ALGORITHM_MAX] = {
        [WIPE_RANDOM] = {.n = 1, .passes = {RANDOM}},
        [WIPE_NNSA] = {.n = 3, .read_back = true, .passes = {RANDOM, RANDOM, BYTE(0x00)}},
        [WIPE_DOD] = {.n = 3, .read_back = true, .passes = {RANDOM, BYTE(0x00), BYTE(0xff)}},
        [WIPE_BSI] = {.n = 9,
                      .passes = {BYTE(0xff), BYTE(0xfe), BYTE(0xfd), BYTE(0xfb), BYTE(0xf7), BYTE(0xef),
                                 BYTE(0xdf), BYTE(0xbf), BYTE(0x7f)}},
        [WIPE_GUTMANN] = {.n = 35,
                          .passes = {RANDOM_4,
                                     BYTE(0x55),
                                     BYTE(0xaa),
                                     BYTES(0x92, 0x49, 0x24),
                                     BYTES(0x49, 0x24, 0x92),
                                     BYTES(0x24, 0x92, 0x49),
                                     BYTE(0x00),
                                     BYTE(0x11),
                                     BYTE(0x22),
                                     BYTE(0x33),
                                     BYTE(0x44),
                                     BYTE(0x55),
                                     BYTE(0x66),
                                     BYTE(0x77),
                                     BYTE(0x88),
                                     BYTE(0x99),
                                     BYTE(0xaa),
                                     BYTE(0xbb),
                                     BYTE(0xcc),
                                     BYTE(0xdd),
                                     BYTE(0xee),
                                     BYTE(0xff),
                                     BYTES(0x92, 0x49, 0x24),
                                     BYTES(0x49, 0x24, 0x92),
                                     BYTES(0x24, 0x92, 0x49),
                                     BYTES(0x6d, 0xb6, 0xdb),
                                     BYTES(0xb6, 0xdb, 0x6d),
                                     BYTES(0xdb, 0x6d, 0xb6),
                                     RANDOM_4}},
        [WIPE_SCHNEIER] = {.n = 7, .passes = {BYTE(0x00), BYTE(0xff), RANDOM_4, RANDOM}},
        [WIPE_PFITZNER7] = {.n = 7, .passes = {RANDOM_7}},
        [WIPE_PFITZNER33] = {.n = 33, .passes = {RANDOM_7, RANDOM_7, RANDOM_7, RANDOM_7, RANDOM_4, RANDOM}},
};

unsigned wipe_passes(WipeAlgorithm a)
{
        return methods[a].n + methods[a].read_back;
}

static int fill_random(void *buffer, size_t n)
{
        for (size_t got = 0; got < n;) {
                ssize_t k = getrandom((char *) buffer + got, n - got, 0);

                if (k < 0 && errno != EINTR)
                        return -errno;
                got += k > 0 ? (size_t) k : 0;
        }
        return 0;
}

static void fill_pattern(uint8_t *buffer, const Pass *p)
{
        for (size_t i = 0; i < CHUNK_SIZE; i++)
                buffer[i] = p->bytes[i % sizeof(p->bytes)];
}

static int write_all(int fd, const void *buffer, size_t n, uint64_t at)
{
        for (size_t put = 0; put < n;) {
                ssize_t k = pwrite(fd, (const char *) buffer + put, n - put, (off_t) (at + put));

                if (k < 0 && errno != EINTR)
                        return -errno;
                put += k > 0 ? (size_t) k : 0;
        }
        return 0;
}

/* 0: something ends before that. */
static int read_all(int fd, void *buffer, size_t n, uint64_t at)
{
        for (size_t got = 0; got < n;) {
                ssize_t k = pread(fd, (char *) buffer + got, n - got, (off_t) (at + got));

                if (k == 0 || (k < 0 && errno != EINTR))
                        return k == 0 ? -EIO : -errno;
                got += k > 0 ? (size_t) k : 0;
        }
        return 0;
}

static size_t chunk_at(const Wipe *w, uint64_t at, uint64_t end)
{
        return end - at < CHUNK_SIZE ? (size_t) (end - at) : CHUNK_SIZE;
}

/* Nobody will read it: what is on the storage is dropped from memory. */
static int send(Wipe *w, uint64_t at, uint64_t *sent)
{
        uint64_t before = *sent;
        int r = file_write_behind(w->fd, 0, at, sent);

        if (r >= 0 && *sent > before)
                (void) posix_fadvise(w->fd, 0, (off_t) before, POSIX_FADV_DONTNEED);
        return r;
}

/*
 * Where a thin volume had a snapshot once, the kernel gives each of its blocks a new place when it is first written to, and
 * has the old place back only once that is on the storage: no more than WIPE_THIN_SLICE may wait for it.
 */
static int settle_thin(Wipe *w, uint64_t at)
{
        return !w->thin || at % WIPE_THIN_SLICE != 0 || fdatasync(w->fd) >= 0 ? 0 : -errno;
}

static int run_pass(Wipe *w, const Pass *p, uint8_t *buffer)
{
        uint64_t sent = 0;
        int r = 0;

        if (!p->random)
                fill_pattern(buffer, p);
        for (uint64_t at = 0; r >= 0 && at < w->size;) {
                size_t n = chunk_at(w, at, w->size);

                r = p->random ? fill_random(buffer, n) : 0;
                if (r >= 0)
                        r = write_all(w->fd, buffer, n, at);
                at += n;
                if (r >= 0)
                        r = send(w, at, &sent);
                if (r >= 0)
                        r = settle_thin(w, at);
                r = r < 0 && r != -EINTR ? wipe_failed(w, r) : wipe_step(w, n);
        }
        /* A pass that stays in a cache is none. */
        if (r >= 0 && fdatasync(w->fd) < 0)
                r = wipe_failed(w, errno);
        return r;
}

static int read_back(Wipe *w, const Pass *p, uint8_t *buffer)
{
        _cleanup_free_ uint8_t *found = malloc(CHUNK_SIZE);
        int r = found ? 0 : wipe_failed(w, ENOMEM);

        /* From the storage, not from memory. */
        if (w->device)
                (void) ioctl(w->fd, BLKFLSBUF, 0);
        (void) posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
        fill_pattern(buffer, p);
        for (uint64_t at = 0; r >= 0 && at < w->size;) {
                size_t n = chunk_at(w, at, w->size);

                r = read_all(w->fd, found, n, at);
                if (r < 0)
                        return wipe_failed(w, r);
                if (memcmp(found, buffer, n) != 0)
                        return error_setf(w->ctx->error, STORAGE_ERROR_FAILED,
                                          "Volume '%s' of pool '%s' is not wiped: between bytes %" PRIu64
                                          " and %" PRIu64
                                          " its storage does not have what was written to it",
                                          w->name, w->ctx->pool->name, at, at + n);
                at += n;
                r = wipe_step(w, n);
        }
        return r;
}

int wipe_passes_run(Wipe *w)
{
        const Method *method = &methods[w->algorithm];
        _cleanup_free_ uint8_t *buffer = malloc(CHUNK_SIZE);
        int r = buffer ? 0 : wipe_failed(w, ENOMEM);

        for (unsigned i = 0; r >= 0 && i < method->n; i++)
                r = run_pass(w, &method->passes[i], buffer);
        return r >= 0 && method->read_back ? read_back(w, &method->passes[method->n - 1], buffer) : r;
}

/* Where the next data is, or end. Who cannot tell has data everywhere. */
static uint64_t next_data(const Wipe *w, uint64_t at, uint64_t end)
{
        off_t data = w->device ? (off_t) at : lseek(w->fd, (off_t) at, SEEK_DATA);

        if (data < 0)
                return errno == ENXIO ? end : at;
        return (uint64_t) data < end ? (uint64_t) data : end;
}

static bool all_zero(const uint8_t *buffer, size_t n)
{
        return n == 0 || (buffer[0] == 0 && memcmp(buffer, buffer + 1, n - 1) == 0);
}

int wipe_write_zeros(Wipe *w, uint64_t at, uint64_t end)
{
        uint64_t start = at, sent = at;
        _cleanup_free_ uint8_t *buffer = malloc(CHUNK_SIZE);
        int r = buffer ? 0 : wipe_failed(w, ENOMEM);

        while (r >= 0 && at < end) {
                uint64_t data = next_data(w, at, end);
                size_t n = chunk_at(w, data, end);

                r = read_all(w->fd, buffer, n, data);
                if (r >= 0 && !all_zero(buffer, n)) {
                        memset(buffer, 0, n);
                        r = write_all(w->fd, buffer, n, data);
                }
                if (r >= 0)
                        r = file_write_behind(w->fd, start, data + n, &sent);
                r = r < 0 && r != -EINTR ? wipe_failed(w, r) : wipe_step(w, data + n - at);
                at = data + n;
        }
        return r;
}

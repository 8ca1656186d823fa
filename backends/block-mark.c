/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/block-mark.h"

#include <unistd.h>

#define SECTOR_SIZE 512U
#define BEGIN "storaged: the contents of this partition are not complete\n"

bool block_mark_token_is_valid(const char *token)
{
        size_t n = strlen(token);

        return n >= 16 && n <= BLOCK_MARK_TOKEN_MAX && strspn(token, "0123456789abcdef") == n;
}

int block_mark_write(int fd, uint64_t at, const char *token)
{
        char sector[SECTOR_SIZE] = BEGIN;
        ssize_t n;

        (void) strncat(sector, token, BLOCK_MARK_TOKEN_MAX);
        n = pwrite(fd, sector, sizeof sector, (off_t) at);
        return n == (ssize_t) sizeof sector ? 0 : n < 0 ? -errno : -EIO;
}

static int find_at(int fd, uint64_t at, const char *token)
{
        char sector[SECTOR_SIZE];
        const char *its;
        ssize_t n = pread(fd, sector, sizeof sector, (off_t) at);

        if (n < 0)
                return -errno;
        if (n < (ssize_t) sizeof sector || sector[SECTOR_SIZE - 1])
                return 0;
        its = startswith(sector, BEGIN);
        return its && (!token || streq(its, token));
}

int block_mark_find(int fd, uint64_t at, const char *token)
{
        int r = find_at(fd, at, token);

        return r == 0 ? find_at(fd, at + BLOCK_MARK_INNER, token) : r;
}

static int write_durably(int fd, const void *data, size_t n, uint64_t at)
{
        ssize_t written = pwrite(fd, data, n, (off_t) at);
        int r;

        if (written != (ssize_t) n)
                return written < 0 ? -errno : -EIO;
        do
                r = fsync(fd) < 0 ? -errno : 0;
        while (r == -EINTR);
        return r;
}

int block_mark_replace(int fd, const void *data, size_t n)
{
        char mark[SECTOR_SIZE];
        ssize_t had = pread(fd, mark, sizeof mark, 0);
        int r;

        if (had != (ssize_t) sizeof mark)
                return had < 0 ? -errno : -EIO;
        r = write_durably(fd, data, n, 0);
        if (r < 0)
                (void) write_durably(fd, mark, sizeof mark, 0);
        return r;
}

int block_mark_move_in(int fd)
{
        char mark[SECTOR_SIZE];
        ssize_t had = pread(fd, mark, sizeof mark, 0);

        if (had != (ssize_t) sizeof mark)
                return had < 0 ? -errno : -EIO;
        return write_durably(fd, mark, sizeof mark, BLOCK_MARK_INNER);
}

int block_mark_clear_inner(int fd)
{
        static const char zeroes[SECTOR_SIZE];
        char mark[SECTOR_SIZE];
        ssize_t had = pread(fd, mark, sizeof mark, BLOCK_MARK_INNER);
        int r;

        if (had != (ssize_t) sizeof mark)
                return had < 0 ? -errno : -EIO;
        if (!startswith(mark, BEGIN))
                return 0;
        r = write_durably(fd, zeroes, sizeof zeroes, BLOCK_MARK_INNER);
        if (r < 0)
                (void) write_durably(fd, mark, sizeof mark, BLOCK_MARK_INNER);
        return r;
}

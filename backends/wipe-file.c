/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files that are wiped without being written over. */

#include <fcntl.h>
#include <sys/stat.h>

#include "backends/file-allocate.h"
#include "backends/wipe.h"

/* One of these takes well under a second, even of fragmented files. */
#define SLICE_SIZE (UINT64_C(256) * 1024 * 1024)

static int allocate(int fd, int mode, uint64_t at, uint64_t n)
{
        int r;

        do
                r = fallocate(fd, mode, (off_t) at, (off_t) n) < 0 ? -errno : 0;
        while (r == -EINTR);
        return r;
}

/* What has holes is filled by passes, for which there must be room. */
static int prepare_passes(Wipe *w)
{
        struct stat st;
        uint64_t allocated;

        if (!w->sparse)
                return 0;
        if (fstat(w->fd, &st) < 0)
                return wipe_failed(w, errno);
        allocated = (uint64_t) st.st_blocks * 512;
        return file_check_space(w->ctx, w->fd, w->size - allocated, w->name);
}

int wipe_file_prepare(Wipe *w)
{
        int r;

        if (wipe_passes(w->algorithm) > 0)
                return prepare_passes(w);
        if (w->algorithm != WIPE_TRIM)
                return 0;
        /* A hole behind the end changes nothing, but tells. */
        r = allocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, w->size, SLICE_SIZE);
        if (r == -EOPNOTSUPP || r == -ENOSYS)
                return error_setf(w->ctx->error, STORAGE_ERROR_UNSUPPORTED,
                                  "Volume '%s' of pool '%s' cannot be trimmed: its file system cannot give "
                                  "parts of a file back; zero and random can be used",
                                  w->name, w->ctx->pool->name);
        return r < 0 ? wipe_failed(w, r) : 0;
}

int wipe_file_run(Wipe *w)
{
        bool punch = w->sparse || w->algorithm == WIPE_TRIM, can = true;
        int mode = FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
        int r = 0;

        for (uint64_t at = 0, n; r >= 0 && at < w->size; at += n) {
                n = w->size - at < SLICE_SIZE ? w->size - at : SLICE_SIZE;
                /* A hole may go on behind the end, so that the last block goes too. */
                if (can)
                        r = allocate(w->fd, mode, at, punch ? SLICE_SIZE : n);
                if (r == -EOPNOTSUPP || r == -ENOSYS)
                        can = false;
                if (!can)
                        r = wipe_write_zeros(w, at, at + n);
                else
                        r = r < 0 ? wipe_failed(w, r) : wipe_step(w, n);
        }
        return r;
}

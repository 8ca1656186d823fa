/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Block devices that are wiped without being written over. */

#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backends/thin-room.h"
#include "backends/wipe.h"

/* A slow disk writes this within a second. */
#define SLICE_SIZE (UINT64_C(16) * 1024 * 1024)
/* What is only given back takes longer at times than one would think; it is not written, though. */
#define TRIM_SLICE_SIZE (UINT64_C(256) * 1024 * 1024)

/* 0: it cannot. A partition has the queue of its disk. */
static uint64_t discard_max(dev_t devnum)
{
        static const char *const places[] = {"queue", "../queue"};
        uint64_t max = 0;

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_free_ char *path = NULL;
                _cleanup_fclose_ FILE *f = NULL;

                if (asprintf(&path, "/sys/dev/block/%u:%u/%s/discard_max_bytes", major(devnum),
                             minor(devnum), places[i]) < 0) {
                        path = NULL;
                        return 0;
                }
                f = fopen(path, "re");
                if (f && fscanf(f, "%" SCNu64, &max) == 1)
                        return max;
        }
        return 0;
}

/* A pool that is full fails the writes of all its volumes. */
static int require_room(Wipe *w, dev_t devnum)
{
        ThinRoom room;
        int r = thin_room(devnum, &room);

        if (r < 0)
                return error_set_errno(
                        w->ctx->error, r,
                        "Cannot tell whether the thin pool has room to write over volume '%s' "
                        "of pool '%s'",
                        w->name, w->ctx->pool->name);
        /* Also where it has all of its blocks: see WIPE_THIN_SLICE. */
        room.needed += w->size < WIPE_THIN_SLICE ? w->size : WIPE_THIN_SLICE;
        if (room.needed <= room.free)
                return 0;
        return error_setf(w->ctx->error, STORAGE_ERROR_NO_SPACE,
                          "Volume '%s' of pool '%s' cannot be written over: its thin pool has room for "
                          "%" PRIu64 " bytes, and that could take %" PRIu64 "%s; zero and trim need none",
                          w->name, w->ctx->pool->name, room.free, room.needed,
                          room.shared ? ", as it may share what it has with others (snapshots, volumes "
                                        "that are not active)"
                                      : "");
}

int wipe_device_prepare(Wipe *w)
{
        struct stat st;

        if (fstat(w->fd, &st) < 0)
                return wipe_failed(w, errno);
        w->thin = thin_volume(st.st_rdev);
        if (wipe_passes(w->algorithm) > 0)
                return w->thin ? require_room(w, st.st_rdev) : 0;
        /* It is looked over once more. */
        if (w->thin && w->algorithm == WIPE_ZERO)
                w->total *= 2;
        if (w->algorithm != WIPE_TRIM || discard_max(st.st_rdev) > 0)
                return 0;
        return error_setf(w->ctx->error, STORAGE_ERROR_UNSUPPORTED,
                          "Volume '%s' of pool '%s' cannot be trimmed: its device cannot give blocks back; "
                          "zero and random can be used",
                          w->name, w->ctx->pool->name);
}

static int each_slice(Wipe *w, unsigned long request, uint64_t slice)
{
        int r = 0;

        for (uint64_t at = 0, n; r >= 0 && at < w->size; at += n) {
                n = w->size - at < slice ? w->size - at : slice;
                do
                        r = ioctl(w->fd, request, (uint64_t[]){at, n}) < 0 ? -errno : 0;
                while (r == -EINTR);
                if (r == -EOPNOTSUPP && request == BLKDISCARD && w->algorithm == WIPE_ZERO)
                        r = 0;
                r = r < 0 ? wipe_failed(w, r) : wipe_step(w, n);
        }
        return r;
}

int wipe_device_run(Wipe *w)
{
        int r;

        if (w->algorithm == WIPE_TRIM)
                return each_slice(w, BLKDISCARD, TRIM_SLICE_SIZE);
        if (!w->thin)
                return each_slice(w, BLKZEROOUT, SLICE_SIZE);
        /*
         * Zeroed by the kernel it would get all its blocks from the thin pool. Without blocks it reads as
         * zeros; those of which only a part is its own stay, and so do all where the pool takes none back.
         */
        r = each_slice(w, BLKDISCARD, TRIM_SLICE_SIZE);
        return r < 0 ? r : wipe_write_zeros(w, 0, w->size);
}

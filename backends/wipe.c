/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/wipe.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

int wipe_failed(Wipe *w, int error)
{
        return error_set_errno(w->ctx->error, error, "Cannot wipe volume '%s' of pool '%s'", w->name,
                               w->ctx->pool->name);
}

int wipe_step(Wipe *w, uint64_t bytes)
{
        w->done += bytes;
        w->ctx->progress(w->ctx, w->done, w->total);
        if (!w->ctx->cancelled(w->ctx))
                return 0;
        return error_setf(w->ctx->error, STORAGE_ERROR_CANCELLED, "The wiping of volume '%s' was cancelled",
                          w->name);
}

static int look(Wipe *w)
{
        struct stat st;

        if (fstat(w->fd, &st) < 0)
                return wipe_failed(w, errno);
        w->device = S_ISBLK(st.st_mode);
        if (w->device)
                return ioctl(w->fd, BLKGETSIZE64, &w->size) < 0 ? wipe_failed(w, errno) : 0;
        w->size = (uint64_t) st.st_size;
        w->sparse = (uint64_t) st.st_blocks * 512 < w->size;
        return 0;
}

int wipe_prepare(BackendContext *ctx, int fd, const char *name, WipeAlgorithm algorithm, Wipe *ret)
{
        unsigned passes = wipe_passes(algorithm);
        int r;

        *ret = (Wipe){.ctx = ctx, .name = name, .fd = fd, .algorithm = algorithm};
        r = look(ret);
        if (r < 0)
                return r;
        ret->total = ret->size * (passes > 0 ? passes : 1);
        return ret->device ? wipe_device_prepare(ret) : wipe_file_prepare(ret);
}

int wipe_run(Wipe *w)
{
        int r;

        if (wipe_passes(w->algorithm) > 0)
                r = wipe_passes_run(w);
        else
                r = w->device ? wipe_device_run(w) : wipe_file_run(w);
        if (r >= 0 && fsync(w->fd) < 0)
                r = wipe_failed(w, errno);
        return r;
}

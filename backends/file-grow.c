/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-grow.h"

#include <inttypes.h>

#include "backends/file-allocate.h"
#include "backends/file-row.h"
#include "backends/qemu-img.h"

#define SECTOR_SIZE UINT64_C(512)

typedef struct Grow {
        BackendContext *ctx;
        const char *name;
        int fd;
        uint64_t capacity, from;
        uint64_t header; /* of a container, which comes before its data */
        bool plain;      /* the file has the data as they are, or encrypted, one after the other */
        VolumeRow row;   /* before */
} Grow;

static int refuse(Grow *g, const char *error_name, const char *why)
{
        return error_setf(g->ctx->error, error_name,
                          "Volume '%s' of pool '%s' cannot grow to %" PRIu64
                          " bytes, all of them allocated: %s",
                          g->name, g->ctx->pool->name, g->capacity, why);
}

static EncryptionFormat encryption_of(const Grow *g)
{
        return g->row.extra ? g->row.extra->encryption : ENCRYPTION_NONE;
}

static int check(Grow *g)
{
        bool container = streq(g->row.format, "luks");

        g->plain = container || streq(g->row.format, "raw");
        if (container && g->row.physical > g->row.capacity)
                g->header = g->row.physical - g->row.capacity;
        if (!g->plain && !streq(g->row.format, "qcow2"))
                return refuse(g, STORAGE_ERROR_UNSUPPORTED, "only raw and qcow2 volumes can");
        if ((!g->plain || container) && g->row.extra && g->row.extra->damaged)
                return refuse(g, STORAGE_ERROR_FAILED, "it is damaged, or cannot be understood");
        if (!g->plain && encryption_of(g) != ENCRYPTION_NONE && !g->ctx->secret)
                return refuse(g, STORAGE_ERROR_BUSY,
                              "it has become encrypted since it was looked at last; try again");
        if (g->row.extra && (g->row.extra->backing_path || g->row.extra->data_file))
                return refuse(g, STORAGE_ERROR_UNSUPPORTED,
                              "it is built on another one, or has its data in another file");
        if (g->capacity > (uint64_t) INT64_MAX - SECTOR_SIZE - g->header)
                return refuse(g, STORAGE_ERROR_INVALID_ARGUMENT, "that is more than a file can have");
        if (!g->plain || container)
                g->capacity = (g->capacity + SECTOR_SIZE - 1) / SECTOR_SIZE * SECTOR_SIZE;
        /* What others have added is not ours to cut off again. */
        if (g->row.capacity != g->from || g->capacity < g->from)
                return refuse(g, STORAGE_ERROR_BUSY, "it was resized meanwhile; try again");
        return file_check_space(g->ctx, g->fd, g->capacity - g->row.capacity, g->name);
}

static int set_size(Grow *g, uint64_t size)
{
        if (ftruncate(g->fd, (off_t) size) >= 0)
                return 0;
        return error_set_errno(g->ctx->error, errno, "Cannot resize volume '%s' of pool '%s'", g->name,
                               g->ctx->pool->name);
}

static int grow_raw(Grow *g)
{
        uint64_t before = g->header + g->row.capacity, after = g->header + g->capacity;
        int r;

        r = file_allocate_beyond(g->ctx, g->fd, before, after, g->name);
        if (r >= 0)
                r = set_size(g, after);
        else if (r == -EOPNOTSUPP && !sd_bus_error_is_set(g->ctx->error)) {
                /* It reads as zeros from the first moment on. */
                r = set_size(g, after);
                if (r >= 0)
                        r = file_allocate(g->ctx, g->fd, before, after, true, g->name);
        }
        /* All or nothing: this gives back what was allocated beyond the end, too. */
        if (r < 0)
                (void) ftruncate(g->fd, (off_t) before);
        return r;
}

static int grow_qcow2(Grow *g)
{
        const QemuImgResize z = {.format = g->row.format,
                                 .capacity = g->capacity,
                                 .preallocation = "falloc",
                                 .encrypted = encryption_of(g) != ENCRYPTION_NONE};
        uint64_t total = g->row.allocation + g->capacity - g->row.capacity;
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *what = NULL;

        if (qemu_img_resize_argv(&z, &argv) < 0 ||
            asprintf(&what, "resize volume '%s' of pool '%s'", g->name, g->ctx->pool->name) < 0) {
                what = NULL;
                return error_set_errno(g->ctx->error, ENOMEM, "Cannot resize volume '%s'", g->name);
        }
        return qemu_img_run(g->ctx, argv, g->fd, total, 0, what);
}

int file_grow(BackendContext *ctx, int fd, const char *name, uint64_t capacity, uint64_t from,
              int (*writing)(void *userdata), void *userdata)
{
        Grow g = {.ctx = ctx, .name = name, .fd = fd, .capacity = capacity, .from = from};
        int r;

        r = file_row_read(fd, ctx->pool->target_path, name, &g.row);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot read volume '%s'", name);
        r = check(&g);
        if (r >= 0)
                r = writing(userdata);
        if (r >= 0 && g.capacity > g.row.capacity)
                r = g.plain ? grow_raw(&g) : grow_qcow2(&g);
        if (r >= 0 && fsync(fd) < 0)
                r = error_set_errno(ctx->error, errno, "Cannot resize volume '%s'", name);
        volume_row_done(&g.row);
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "backends/file-row.h"
#include "backends/file-volume.h"
#include "backends/format-record.h"
#include "backends/image-plan.h"
#include "backends/qemu-img.h"

#define SECTOR_SIZE UINT64_C(512)
#define RESIZE_USEC (60 * USEC_PER_SEC)

typedef struct Resize {
        BackendContext *ctx;
        const char *name;
        uint64_t capacity;
        const ResizeOptions *options;
        int dir_fd, fd;
        VolumeRow row;   /* before */
        uint64_t header; /* bytes of a LUKS container before its contents */
} Resize;

static int refuse(Resize *z, const char *error_name, const char *why)
{
        return sd_bus_error_setf(z->ctx->error, error_name,
                                 "Volume '%s' of pool '%s' cannot be resized to %" PRIu64 " bytes: %s",
                                 z->name, z->ctx->pool->name, z->capacity, why);
}

/*
 * The contents of a LUKS container of version 1 go to the end of its file, so that it is resized with that,
 * and without its secret.
 */
static int look_at_luks(Resize *z)
{
        const VolumeExtra *extra = z->row.extra;

        if (!streq(z->row.format, "luks"))
                return 0;
        if (!extra || extra->problem || extra->encryption != ENCRYPTION_LUKS ||
            z->row.capacity >= z->row.physical)
                return refuse(z, STORAGE_ERROR_UNSUPPORTED,
                              "of LUKS containers only those of version 1, with their header, can be");
        z->header = z->row.physical - z->row.capacity;
        return 0;
}

static bool is_plain(const Resize *z)
{
        return streq(z->row.format, "raw") || streq(z->row.format, "luks");
}

static uint64_t round_up(const Resize *z, uint64_t capacity)
{
        return streq(z->row.format, "raw") ? capacity : (capacity + SECTOR_SIZE - 1) / SECTOR_SIZE * SECTOR_SIZE;
}

static bool is_as_expected(const Resize *z)
{
        return z->options->from == UINT64_MAX || z->row.capacity == z->capacity ||
               round_up(z, z->row.capacity) == round_up(z, z->options->from);
}

/* Only what QEMU and we can do; never below what is stored in it. */
static int check(Resize *z)
{
        const char *format = z->row.format;

        if (!is_plain(z) && !streq(format, "qcow2") && !streq(format, "qed"))
                return sd_bus_error_setf(
                        z->ctx->error, STORAGE_ERROR_UNSUPPORTED,
                        "Volume '%s' of pool '%s' has the format %s, which cannot be resized: raw, "
                        "qcow2 and qed can",
                        z->name, z->ctx->pool->name, format);
        if (z->capacity > (uint64_t) INT64_MAX - SECTOR_SIZE)
                return refuse(z, STORAGE_ERROR_INVALID_ARGUMENT, "that is more than a file can have");
        z->capacity = round_up(z, z->capacity);
        if (!is_plain(z) && z->row.extra && z->row.extra->damaged)
                return refuse(z, STORAGE_ERROR_FAILED, "it is damaged, or cannot be understood");
        if (z->row.extra && z->row.extra->data_file)
                return refuse(z, STORAGE_ERROR_UNSUPPORTED, "its data is in another file");
        if (!is_as_expected(z))
                return refuse(z, STORAGE_ERROR_BUSY, "it was resized meanwhile; try again");
        if (z->capacity >= z->row.capacity)
                return 0;
        if (!z->options->shrink)
                return refuse(
                        z, STORAGE_ERROR_INVALID_ARGUMENT,
                        "that is less than now, which destroys data; ask to shrink it if that is meant");
        if (z->header + z->capacity < z->row.allocation)
                return refuse(z, STORAGE_ERROR_INVALID_ARGUMENT, "more than that is allocated in it");
        return 0;
}

static int resize_raw(Resize *z)
{
        int r = 0;

        if (z->header + z->capacity < z->row.physical && format_is_recorded_raw(z->fd, z->row.physical))
                r = format_record_raw(z->fd, z->header + z->capacity);
        if (r < 0)
                return error_set_errno(z->ctx->error, r, "Cannot record the format of volume '%s'", z->name);
        /* Also to the same size: that gives back what was allocated beyond it for a growth that failed. */
        if (ftruncate(z->fd, (off_t) (z->header + z->capacity)) < 0)
                return error_set_errno(z->ctx->error, errno, "Cannot resize volume '%s' of pool '%s'",
                                       z->name, z->ctx->pool->name);
        if (fsync(z->fd) < 0)
                return error_set_errno(z->ctx->error, errno, "Cannot write volume '%s' to its storage",
                                       z->name);
        return 0;
}

/*
 * QEMU hides what a longer backing store has beyond the old end, for which it would have to open it; we let
 * it open no file that a header names.
 */
static int check_backing(Resize *z)
{
        const VolumeExtra *extra = z->row.extra;
        uint64_t capacity, size;
        ImageFormat format;
        bool whole;

        if (!extra || !extra->backing_path || z->capacity <= z->row.capacity)
                return 0;
        if (!extra->backing_remote &&
            image_probe_path(z->dir_fd, extra->backing_path, &format, &capacity, &size, &whole) >= 0 &&
            capacity <= z->row.capacity && size <= z->row.capacity)
                return 0;
        return refuse(z, STORAGE_ERROR_UNSUPPORTED,
                      "it is smaller than its backing store, or that cannot be read");
}

static int resize_by_tool(Resize *z)
{
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *what = NULL;
        int r;

        r = check_backing(z);
        if (r < 0)
                return r;
        if (z->capacity == z->row.capacity)
                return 0;
        r = qemu_img_resize_argv(
                &(QemuImgResize){
                        .format = z->row.format,
                        .capacity = z->capacity,
                        .shrink = z->capacity < z->row.capacity,
                        .encrypted = z->ctx->secret != NULL,
                },
                &argv);
        if (r < 0 || asprintf(&what, "resize volume '%s' of pool '%s'", z->name, z->ctx->pool->name) < 0) {
                what = NULL;
                return error_set_errno(z->ctx->error, ENOMEM, "Cannot resize volume '%s'", z->name);
        }
        return qemu_img_run(z->ctx, argv, z->fd, 0, RESIZE_USEC, what);
}

static int resize(Resize *z, VolumeRow *ret)
{
        const char *folder = z->ctx->pool->target_path;
        int r;

        r = file_volume_lock(z->ctx, z->fd, z->name, OPEN_TO_CHANGE, z->options->force);
        if (r < 0)
                return r;
        r = file_row_read(z->fd, folder, z->name, &z->row);
        if (r < 0)
                return error_set_errno(z->ctx->error, r, "Cannot read volume '%s'", z->name);
        r = look_at_luks(z);
        if (r >= 0)
                r = check(z);
        if (r >= 0)
                r = is_plain(z) ? resize_raw(z) : resize_by_tool(z);
        if (r < 0)
                return r;
        r = file_row_read(z->fd, folder, z->name, ret);
        if (r < 0)
                return error_set_errno(z->ctx->error, r, "Volume '%s' was resized but cannot be read",
                                       z->name);
        return 0;
}

int file_volume_resize(BackendContext *ctx, const char *name, uint64_t capacity,
                       const ResizeOptions *options, VolumeRow *ret)
{
        Resize z = {.ctx = ctx, .name = name, .capacity = capacity, .options = options, .dir_fd = -EBADF};
        struct stat st;
        int r;

        r = file_volume_require_files(ctx);
        if (r >= 0)
                r = file_volume_folder(ctx, &z.dir_fd);
        if (r < 0)
                return r;
        z.fd = file_volume_open_regular(ctx, z.dir_fd, name, O_RDWR, &st);
        r = z.fd < 0 ? z.fd : resize(&z, ret);
        volume_row_done(&z.row);
        safe_close(z.fd);
        safe_close(z.dir_fd);
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/disk.h"

#include <fcntl.h>

#include "backends/block-luks.h"
#include "backends/disk-edit.h"
#include "backends/find-sources.h"

static int disk_check(BackendContext *ctx, bool *ret_active)
{
        DiskPool pool = {.file.fd = -EBADF};
        int r;

        r = disk_pool_open(ctx, "check the pool", &pool);
        *ret_active = r >= 0;
        if (r < 0 && ctx->error)
                sd_bus_error_free(ctx->error);
        disk_pool_done(&pool);
        return 0;
}

/* libvirt makes a dos table where none is said. */
static int table_to_make(BackendContext *ctx, DiskTableType *ret)
{
        const char *format = ctx->pool->source.format;

        *ret = streq(format, "unknown") ? TABLE_DOS : disk_table_from_string(format);
        if (*ret != _TABLE_INVALID)
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                          "Cannot build pool '%s': %s is not a partition table that can be made; make it a "
                          "pool of type logical for LVM",
                          ctx->pool->name, format);
}

static int make_table(BackendContext *ctx, DiskLock *lock, DiskTableType type)
{
        const BlockDevice *device = lock->device;
        DiskTable empty = {.type = type};
        DiskFile file = disk_pool_file(device, open(device->node, O_RDWR | O_CLOEXEC));
        int r;

        if (file.fd < 0)
                return error_set_errno(ctx->error, errno, "Cannot open the device %s for writing",
                                       device->path);
        r = disk_edit_label(&file, type, ctx->error);
        if (r >= 0)
                r = disk_kernel_sync(ctx, device, file.fd, &empty);
        safe_close(file.fd);
        disk_lock_written(lock);
        return r;
}

static int disk_build(BackendContext *ctx, const BuildOptions *options, bool *ret_made)
{
        _cleanup_(block_device_done) BlockDevice device = {0};
        DiskTableType type;
        DiskLock lock;
        DiskFile file;
        int r;

        r = table_to_make(ctx, &type);
        if (r >= 0)
                r = block_device_find(ctx, ctx->pool->source.devices[0].path, &device);
        if (r >= 0)
                r = disk_require_partitions(ctx, &device);
        if (r >= 0) {
                file = disk_pool_file(&device, -EBADF);
                r = disk_edit_check(&file, type, ctx->error);
        }
        if (r >= 0)
                r = block_device_require_writable(ctx, &device, options->overwrite);
        if (r >= 0)
                r = disk_lock(ctx, &device, &lock);
        if (r < 0)
                return r;
        r = block_device_wipe(ctx, &device, options->overwrite);
        disk_lock_written(&lock);
        if (r >= 0)
                r = make_table(ctx, &lock, type);
        disk_unlock(&lock);
        block_device_settle(&device);
        *ret_made = r >= 0;
        return r;
}

/* A kernel without a reader for that kind of table is told what is in it. */
static int disk_start(BackendContext *ctx)
{
        DiskPool pool = {.file.fd = -EBADF};
        _cleanup_free_ char *verb = NULL;
        DiskLock lock;
        int r;

        if (asprintf(&verb, "start pool '%s'", ctx->pool->name) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot start pool '%s'", ctx->pool->name);
        r = disk_pool_open(ctx, verb, &pool);
        if (r >= 0)
                r = disk_pool_require_table(ctx, &pool, true);
        if (r >= 0 && !disk_pool_is_known(&pool)) {
                r = disk_lock(ctx, &pool.device, &lock);
                if (r >= 0) {
                        disk_pool_restore(&pool);
                        disk_unlock(&lock);
                        block_device_settle(&pool.device);
                }
        }
        disk_pool_done(&pool);
        return r;
}

static int disk_stop(BackendContext *ctx)
{
        return 0;
}

/* As a folder with something in it is not deleted, neither is a table: the disk's name may by now be that of
 * another one. */
static int require_no_partitions(BackendContext *ctx, const DiskPool *pool)
{
        _cleanup_free_ char *name = NULL;
        unsigned n = 0;

        for (size_t i = 0; i < pool->table.n_partitions; i++) {
                const DiskPartition *p = &pool->table.partitions[i];

                if (p->kind == PARTITION_RESERVED)
                        continue;
                if (n++ == 0 && disk_partition_name(ctx->pool, &pool->device, p->number, &name) < 0)
                        return error_set_errno(ctx->error, ENOMEM, "Cannot delete pool '%s'",
                                               ctx->pool->name);
        }
        if (n == 0)
                return 0;
        return error_setf(
                ctx->error, STORAGE_ERROR_HAS_DEPENDENTS,
                "Cannot delete pool '%s': there are %u partitions on %s, such as '%s'; start the pool "
                "and delete them first",
                ctx->pool->name, n, pool->device.path, name);
}

static int wipe(BackendContext *ctx, DiskPool *pool)
{
        DiskLock lock;
        int r;

        r = disk_lock(ctx, &pool->device, &lock);
        if (r < 0)
                return r;
        r = disk_pool_reload(ctx, pool);
        if (r >= 0)
                r = require_no_partitions(ctx, pool);
        if (r >= 0)
                r = disk_pool_release(ctx, pool, 1, UINT32_MAX, "be deleted with the pool");
        if (r >= 0) {
                r = block_device_wipe(ctx, &pool->device, true);
                disk_lock_written(&lock);
                if (r < 0)
                        disk_pool_restore(pool);
        }
        disk_unlock(&lock);
        block_device_settle(&pool->device);
        return r;
}

static int disk_delete(BackendContext *ctx)
{
        DiskPool pool = {.file.fd = -EBADF};
        _cleanup_free_ char *verb = NULL;
        int r;

        if (asprintf(&verb, "delete pool '%s'", ctx->pool->name) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot delete pool '%s'", ctx->pool->name);
        r = disk_pool_open(ctx, verb, &pool);
        if (r >= 0)
                r = block_device_require_unused(ctx, &pool.device, "cannot be wiped");
        if (r >= 0)
                r = disk_pool_require_table(ctx, &pool, false);
        if (r >= 0)
                r = wipe(ctx, &pool);
        disk_pool_done(&pool);
        return r;
}

const Backend backend_disk = {
        .type = POOL_DISK,
        .needs_root = true,
        .find_sources = find_disk_sources,
        .check = disk_check,
        .build = disk_build,
        .start = disk_start,
        .stop = disk_stop,
        .delete = disk_delete,
        .scan_new = disk_scan_new,
        .scan_free = disk_scan_free,
        .refresh = disk_scan_refresh,
        .watch = disk_scan_watch,
        .refresh_changes = disk_scan_refresh,
        .scan_note = disk_scan_note,
        .volume_create = disk_volume_create,
        .volume_fill = block_luks_fill,
        .volume_reserve = disk_volume_reserve,
        .volume_publish = disk_volume_publish,
        .volume_discard = disk_volume_discard,
        .volume_delete = disk_volume_delete,
        .volume_resize = disk_volume_resize,
        .volume_open = disk_volume_open,
        .volume_look = disk_volume_look,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "backends/block-luks.h"
#include "backends/disk-edit.h"
#include "backends/disk-place.h"
#include "backends/disk.h"

typedef struct Resize {
        BackendContext *ctx;
        const char *name;
        uint64_t capacity;
        const ResizeOptions *options;
        DiskPool pool;
        DiskPartition p; /* before */
        uint64_t end;    /* after */
} Resize;

static int refuse(Resize *z, const char *error_name, const char *why)
{
        return error_setf(z->ctx->error, error_name,
                          "Volume '%s' of pool '%s' cannot be resized to %" PRIu64 " bytes: %s", z->name,
                          z->ctx->pool->name, z->capacity, why);
}

static int check_grow(Resize *z)
{
        uint64_t limit = disk_grow_limit(&z->pool.table, &z->p);

        if (z->end <= limit)
                return 0;
        return error_setf(z->ctx->error, STORAGE_ERROR_NO_SPACE,
                          "Volume '%s' of pool '%s' cannot be resized to %" PRIu64
                          " bytes: the room behind it lets it have %" PRIu64 " bytes at most",
                          z->name, z->ctx->pool->name, z->capacity, limit - z->p.start);
}

/* What is cut off must be nobody's. */
static int check_shrink(Resize *z)
{
        if (!z->options->shrink)
                return refuse(
                        z, STORAGE_ERROR_INVALID_ARGUMENT,
                        "that is less than now, which destroys data; ask to shrink it if that is meant");
        for (size_t i = 0; z->p.kind == PARTITION_EXTENDED && i < z->pool.table.n_partitions; i++) {
                const DiskPartition *p = &z->pool.table.partitions[i];

                if (p->kind == PARTITION_LOGICAL && p->end > z->end)
                        return refuse(z, STORAGE_ERROR_HAS_DEPENDENTS,
                                      "there are logical partitions in what would be cut off");
        }
        return disk_pool_release(z->ctx, &z->pool, z->p.number, z->p.number, "be made smaller");
}

static int find(Resize *z)
{
        const DiskPartition *p;
        _cleanup_free_ char *node = NULL;
        uint64_t size, header = 0;
        int r;

        r = disk_pool_reload(z->ctx, &z->pool);
        if (r >= 0)
                r = disk_pool_find(z->ctx, &z->pool, z->name, &p);
        if (r < 0)
                return r;
        z->p = *p;
        if (disk_partition_node(z->ctx->pool, &z->pool.device, p->number, &node) < 0)
                return error_set_errno(z->ctx->error, ENOMEM, "Cannot resize volume '%s'", z->name);
        /* What is asked for is what a guest sees. */
        if (p->kind != PARTITION_EXTENDED)
                header = block_luks_read_header_size(node);
        if (z->capacity == 0 || z->capacity > (uint64_t) INT64_MAX - z->p.start - header)
                return refuse(z, STORAGE_ERROR_INVALID_ARGUMENT, "a partition has no such size");
        size = disk_round_size(&z->pool.table, z->capacity + header);
        z->end = z->p.start + size;
        if (z->options->from != UINT64_MAX && z->end != p->end &&
            z->options->from + header != p->end - p->start)
                return refuse(z, STORAGE_ERROR_BUSY, "it was resized meanwhile; try again");
        return 0;
}

static int resize(Resize *z, DiskLock *lock)
{
        int r;

        r = find(z);
        if (r < 0 || z->end == z->p.end)
                return r;
        r = z->end > z->p.end ? check_grow(z) : check_shrink(z);
        if (r < 0)
                return r;
        r = disk_pool_begin(z->ctx, &z->pool);
        if (r >= 0) {
                r = disk_edit_resize(&z->pool.file, z->pool.table.type, z->p.number, z->end, z->ctx->error);
                disk_pool_end(&z->pool, lock);
        }
        if (r < 0) {
                disk_pool_restore(&z->pool);
                return r;
        }
        r = disk_pool_reload(z->ctx, &z->pool);
        return r < 0 ? r : disk_kernel_sync(z->ctx, &z->pool.device, z->pool.file.fd, &z->pool.table);
}

int disk_volume_resize(BackendContext *ctx, const char *name, uint64_t capacity,
                       const ResizeOptions *options, VolumeRow *ret)
{
        Resize z = {
                .ctx = ctx, .name = name, .capacity = capacity, .options = options, .pool.file.fd = -EBADF};
        DiskLock lock;
        int r;

        r = disk_pool_open_volume(ctx, &z.pool);
        if (r < 0)
                return r;
        r = disk_lock(ctx, &z.pool.device, &lock);
        if (r >= 0) {
                r = resize(&z, &lock);
                disk_unlock(&lock);
                block_device_settle(&z.pool.device);
        }
        if (r >= 0)
                r = disk_pool_read_row(ctx, &z.pool, z.p.number, ret);
        disk_pool_done(&z.pool);
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Partitions whose contents come from elsewhere: see block-mark.h. */

#include <fcntl.h>
#include <inttypes.h>

#include "backends/block-mark.h"
#include "backends/disk.h"

/* What was reserved: "token/number/start/end". */
typedef struct Reserved {
        char token[BLOCK_MARK_TOKEN_MAX + 1];
        unsigned number;
        uint64_t start, end;
} Reserved;

static int read_token(BackendContext *ctx, const char *token, Reserved *ret)
{
        *ret = (Reserved){0};
        (void) sscanf(token, "%64[0-9a-f]/%u/%" SCNu64 "/%" SCNu64, ret->token, &ret->number, &ret->start,
                      &ret->end);
        if (block_mark_token_is_valid(ret->token))
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "The token names no volume that is being made");
}

static int open_made(BackendContext *ctx, const VolumeDef *def, const DiskPool *pool, unsigned number,
                     int *ret_fd)
{
        _cleanup_free_ char *node = NULL;
        int fd;

        if (disk_partition_node(ctx->pool, &pool->device, number, &node) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot make volume '%s'", def->name);
        fd = open(node, O_RDWR | O_EXCL | O_CLOEXEC);
        if (fd < 0)
                return error_set_errno(ctx->error, errno, "Cannot open the new volume '%s'", def->name);
        *ret_fd = fd;
        return 0;
}

int disk_volume_reserve(BackendContext *ctx, const VolumeDef *def, const char *token, CreateResult *ret)
{
        CreateResult result = {.fd = -EBADF};
        DiskPool pool = {.file.fd = -EBADF};
        DiskPartition p = {0};
        int r;

        if (!block_mark_token_is_valid(token))
                return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT, "A partition needs a token");
        if (streq_ptr(def->format, "extended"))
                return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' cannot be made: an extended partition has no contents",
                                  def->name);
        r = disk_partition_make(ctx, def, token, &pool, &p);
        if (r >= 0) {
                r = open_made(ctx, def, &pool, p.number, &result.fd);
                if (r >= 0 && asprintf(&result.token, "%s/%u/%" PRIu64 "/%" PRIu64, token, p.number, p.start,
                                       p.end) < 0) {
                        result.token = NULL;
                        r = error_set_errno(ctx->error, ENOMEM, "Cannot make volume '%s'", def->name);
                }
        }
        disk_pool_done(&pool);
        if (r < 0)
                create_result_done(&result);
        else
                *ret = result;
        return r;
}

int disk_volume_publish(BackendContext *ctx, const char *token, VolumeRow *ret)
{
        DiskPool pool = {.file.fd = -EBADF};
        const DiskPartition *p;
        Reserved reserved;
        int r;

        r = read_token(ctx, token, &reserved);
        if (r >= 0)
                r = disk_pool_open_volume(ctx, &pool);
        if (r < 0)
                return r;
        p = disk_table_find(&pool.table, reserved.number);
        if (!p || p->start != reserved.start || p->end != reserved.end)
                r = error_setf(ctx->error, STORAGE_ERROR_FAILED,
                               "Partition %u of %s is not the one any more that was made: somebody has "
                               "changed the table",
                               reserved.number, pool.device.path);
        else
                r = disk_pool_read_row(ctx, &pool, reserved.number, ret);
        disk_pool_done(&pool);
        return r;
}

/* Whether it is the one. What the kernel has not been told of has not been written to but as a part of the
 * disk. */
static int look_into(BackendContext *ctx, const DiskPool *pool, const DiskPartition *p, const char *node,
                     const char *token)
{
        _cleanup_close_ int fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        int r;

        if (fd >= 0)
                r = block_mark_find(fd, 0, token);
        else if (errno == ENOENT || errno == ENXIO) {
                (void) posix_fadvise(pool->file.fd, (off_t) p->start, BLOCK_MARK_SIZE, POSIX_FADV_DONTNEED);
                r = block_mark_find(pool->file.fd, p->start, token);
        } else
                r = -errno;
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot look into %s for what an interrupted job left",
                                       node)
                     : r;
}

/* In *ret_name, or NULL if there is none: never made, whole, or gone. */
static int find_marked(BackendContext *ctx, const DiskPool *pool, const char *token, char **ret_name)
{
        for (size_t i = 0; i < pool->table.n_partitions; i++) {
                const DiskPartition *p = &pool->table.partitions[i];
                _cleanup_free_ char *node = NULL;
                int r;

                if (p->kind == PARTITION_RESERVED || p->kind == PARTITION_EXTENDED)
                        continue;
                if (disk_partition_node(ctx->pool, &pool->device, p->number, &node) < 0)
                        return error_set_errno(ctx->error, ENOMEM, "Cannot look at pool '%s'",
                                               ctx->pool->name);
                r = look_into(ctx, pool, p, node, token);
                if (r > 0 && disk_partition_name(ctx->pool, &pool->device, p->number, ret_name) < 0)
                        return error_set_errno(ctx->error, ENOMEM, "Cannot look at pool '%s'",
                                               ctx->pool->name);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return 0;
}

static int discard(BackendContext *ctx, DiskPool *pool, const char *token, DiskLock *lock)
{
        _cleanup_free_ char *name = NULL;
        int r;

        r = disk_pool_reload(ctx, pool);
        if (r < 0)
                return r;
        /* Who died on the way may not have told the kernel. */
        disk_pool_restore(pool);
        r = find_marked(ctx, pool, token, &name);
        return r < 0 || !name ? r : disk_partition_delete(ctx, pool, name, lock);
}

int disk_volume_discard(BackendContext *ctx, const char *token)
{
        DiskPool pool = {.file.fd = -EBADF};
        Reserved reserved;
        DiskLock lock;
        int r;

        r = read_token(ctx, token, &reserved);
        if (r >= 0)
                r = disk_pool_open_volume(ctx, &pool);
        if (r < 0)
                return r;
        r = disk_lock(ctx, &pool.device, &lock);
        if (r >= 0) {
                r = discard(ctx, &pool, reserved.token, &lock);
                disk_unlock(&lock);
                block_device_settle(&pool.device);
        }
        disk_pool_done(&pool);
        return r;
}

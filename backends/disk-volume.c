/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>

#include "backends/block-luks.h"
#include "backends/block-mark.h"
#include "backends/disk-edit.h"
#include "backends/disk-place.h"
#include "backends/disk-type.h"
#include "backends/disk.h"
#include "backends/in-use.h"
#include "backends/luks-check.h"

/* What an old file system or array may have left at either end of the room for a new partition. */
#define EDGE (UINT64_C(1024) * 1024)
#define BLOCK (64U * 1024U)

typedef struct Create {
        BackendContext *ctx;
        const VolumeDef *def;
        DiskPool pool;
        DiskPartition p;   /* what it becomes */
        const char *token; /* NULL: it is whole at once */
} Create;

static int check_format(Create *c, const char *format)
{
        const char *table = disk_table_to_string(c->pool.table.type);
        _cleanup_free_ char *list = NULL;

        if (streq(format, "extended") && disk_table_extended(&c->pool.table))
                return error_setf(c->ctx->error, STORAGE_ERROR_EXISTS,
                                  "Volume '%s' cannot be made: there is an extended partition in pool '%s' "
                                  "already, and a dos table can have one only",
                                  c->def->name, c->ctx->pool->name);
        if (disk_type_has(c->pool.table.type, format))
                return 0;
        if (disk_type_list(c->pool.table.type, &list) < 0)
                return error_set_errno(c->ctx->error, ENOMEM, "Cannot make volume '%s'", c->def->name);
        return error_setf(c->ctx->error, STORAGE_ERROR_UNSUPPORTED,
                          "Volume '%s' of pool '%s' cannot have the format %s: %s tables have %s",
                          c->def->name, c->ctx->pool->name, format, table, list);
}

/* Whether the volume has the name that the next partition of that kind gets; *ret_name: that one. */
static int try_kind(Create *c, DiskPartitionKind kind, char **ret_name)
{
        unsigned number = disk_next_number(&c->pool.table, kind == PARTITION_LOGICAL);
        _cleanup_free_ char *name = NULL;

        if (number == 0 || (kind == PARTITION_LOGICAL && !disk_table_extended(&c->pool.table)))
                return 0;
        if (disk_partition_name(c->ctx->pool, &c->pool.device, number, &name) < 0)
                return -ENOMEM;
        if (!*ret_name)
                *ret_name = strdup(name);
        if (!*ret_name)
                return -ENOMEM;
        if (!streq(name, c->def->name))
                return 0;
        c->p.kind = kind;
        c->p.number = number;
        return 1;
}

/* A primary partition as long as there may be one; the name may ask for a logical one before. */
static int choose_kind(Create *c)
{
        bool dos = c->pool.table.type == TABLE_DOS, extended = streq(c->p.format, "extended");
        _cleanup_free_ char *expected = NULL;
        int r;

        r = try_kind(c, extended ? PARTITION_EXTENDED : PARTITION_PRIMARY, &expected);
        if (r == 0 && dos && !extended)
                r = try_kind(c, PARTITION_LOGICAL, &expected);
        if (r < 0)
                return error_set_errno(c->ctx->error, r, "Cannot make volume '%s'", c->def->name);
        if (r > 0)
                return 0;
        if (!expected)
                return error_setf(c->ctx->error, STORAGE_ERROR_NO_SPACE,
                                  "Volume '%s' cannot be made: the %s table of pool '%s' has no room for "
                                  "another partition%s",
                                  c->def->name, disk_table_to_string(c->pool.table.type), c->ctx->pool->name,
                                  dos ? "; an extended one in place of another would have" : "");
        return error_setf(c->ctx->error, STORAGE_ERROR_INVALID_NAME,
                          "The volume cannot be called '%s': the next partition of pool '%s' is '%s'",
                          c->def->name, c->ctx->pool->name, expected);
}

static int choose_place(Create *c)
{
        const DiskTable *t = &c->pool.table;
        uint64_t header = block_luks_header_size(&c->def->encryption), largest;
        uint64_t size = disk_round_size(t, c->def->capacity + header);
        bool logical = c->p.kind == PARTITION_LOGICAL;
        _cleanup_free_ DiskSpace *spaces = NULL;
        size_t n;

        if (disk_spaces(t, &spaces, &n) < 0)
                return error_set_errno(c->ctx->error, ENOMEM, "Cannot make volume '%s'", c->def->name);
        if (!disk_place(t, spaces, n, logical, size, disk_alignment(t, c->pool.device.optimal_size),
                        &c->p.start, &largest))
                return error_setf(c->ctx->error, STORAGE_ERROR_NO_SPACE,
                                  "Volume '%s' of %" PRIu64
                                  " bytes cannot be made: the largest free extent%s "
                                  "of pool '%s' has room for %" PRIu64 " bytes",
                                  c->def->name, c->def->capacity,
                                  logical ? " in the extended partition" : "", c->ctx->pool->name, largest);
        c->p.end = c->p.start + size;
        return 0;
}

static int zero(int fd, uint64_t start, uint64_t end)
{
        static const char zeroes[BLOCK];

        while (start < end) {
                size_t n = end - start < BLOCK ? (size_t) (end - start) : BLOCK;
                ssize_t put = pwrite(fd, zeroes, n, (off_t) start);

                if (put < 0 && errno != EINTR)
                        return -errno;
                start += put > 0 ? (uint64_t) put : 0;
        }
        return 0;
}

/* While nobody can see it yet: a new partition must not show what was there before. */
static int wipe_edges(Create *c)
{
        uint64_t start = c->p.start, end = c->p.end, edge = end - start < EDGE ? end - start : EDGE;
        int fd = c->pool.file.fd;
        int r;

        r = zero(fd, start, start + edge);
        if (r >= 0)
                r = zero(fd, end - edge, end);
        if (r >= 0 && c->token)
                r = block_mark_write(fd, start, c->token);
        if (r >= 0 && fdatasync(fd) < 0)
                r = -errno;
        if (r < 0)
                return error_set_errno(c->ctx->error, r, "Cannot wipe the room of volume '%s' on %s",
                                       c->def->name, c->pool.device.path);
        return 0;
}

/* What the kernel does not take is not there: the entry goes again. */
static void undo(Create *c)
{
        BackendContext silent = {0};
        DiskLock lock;

        if (disk_lock(&silent, &c->pool.device, &lock) < 0)
                return;
        if (disk_pool_begin(&silent, &c->pool) >= 0) {
                (void) disk_edit_remove(&c->pool.file, c->pool.table.type, c->p.number, NULL);
                disk_pool_end(&c->pool, &lock);
        }
        disk_unlock(&lock);
}

static int create(Create *c, DiskLock *lock)
{
        BackendContext *ctx = c->ctx;
        int r;

        r = disk_pool_release_room(ctx, &c->pool, c->p.start, c->p.end, "be taken for free room");
        if (r >= 0)
                r = disk_pool_begin(ctx, &c->pool);
        if (r < 0)
                return r;
        r = wipe_edges(c);
        if (r >= 0 && ctx->cancelled && ctx->cancelled(ctx))
                r = error_setf(ctx->error, STORAGE_ERROR_CANCELLED,
                               "The making of volume '%s' was cancelled", c->def->name);
        if (r >= 0)
                r = disk_edit_add(&c->pool.file, c->pool.table.type, &c->p, ctx->error);
        disk_pool_end(&c->pool, lock);
        if (r >= 0) {
                r = disk_pool_reload(ctx, &c->pool);
                if (r >= 0)
                        r = disk_kernel_sync(ctx, &c->pool.device, c->pool.file.fd, &c->pool.table);
                if (r < 0)
                        undo(c);
        }
        return r;
}

static int make(Create *c)
{
        BackendContext *ctx = c->ctx;
        DiskLock lock;
        int r;

        r = luks_check(ctx, c->def);
        if (r >= 0)
                r = disk_pool_open_volume(ctx, &c->pool);
        if (r < 0)
                return r;
        r = disk_lock(ctx, &c->pool.device, &lock);
        if (r < 0)
                return r;
        r = disk_pool_reload(ctx, &c->pool);
        if (r >= 0)
                r = check_format(c, c->p.format);
        if (r >= 0)
                r = choose_kind(c);
        if (r >= 0)
                r = choose_place(c);
        if (r >= 0)
                r = create(c, &lock);
        disk_unlock(&lock);
        block_device_settle(&c->pool.device);
        return r;
}

int disk_volume_create(BackendContext *ctx, const VolumeDef *def, Preallocation p, CreateResult *ret)
{
        Create c = {.ctx = ctx, .def = def, .pool.file.fd = -EBADF, .p.format = def->format ?: "none"};
        int r;

        r = make(&c);
        if (r >= 0)
                r = disk_pool_read_row(ctx, &c.pool, c.p.number, &ret->row);
        disk_pool_done(&c.pool);
        return r;
}

int disk_partition_make(BackendContext *ctx, const VolumeDef *def, const char *token, DiskPool *ret_pool,
                        DiskPartition *ret)
{
        Create c = {.ctx = ctx,
                    .def = def,
                    .token = token,
                    .pool.file.fd = -EBADF,
                    .p.format = def->format ?: "none"};
        int r = make(&c);

        if (r < 0) {
                disk_pool_done(&c.pool);
                return r;
        }
        *ret_pool = c.pool;
        *ret = c.p;
        return 0;
}

/* An extended partition goes only when nothing is in it. */
static int check_empty(BackendContext *ctx, const DiskPool *pool, const char *name)
{
        _cleanup_free_ char *first = NULL;

        if (!disk_table_find(&pool->table, 5))
                return 0;
        if (disk_partition_name(ctx->pool, &pool->device, 5, &first) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot delete volume '%s'", name);
        return error_setf(
                ctx->error, STORAGE_ERROR_HAS_DEPENDENTS,
                "Volume '%s' of pool '%s' cannot be deleted: the logical partitions from '%s' on are "
                "in it; delete them first, the last one first",
                name, ctx->pool->name, first);
}

int disk_partition_delete(BackendContext *ctx, DiskPool *pool, const char *name, DiskLock *lock)
{
        const DiskPartition *p;
        unsigned number, last;
        int r;

        r = disk_pool_reload(ctx, pool);
        if (r >= 0)
                r = disk_pool_find(ctx, pool, name, &p);
        if (r >= 0 && p->kind == PARTITION_EXTENDED)
                r = check_empty(ctx, pool, name);
        if (r < 0)
                return r;
        number = p->number;
        /* Logical ones behind it get other numbers, which none that is in use may. */
        last = p->kind == PARTITION_LOGICAL ? UINT32_MAX : number;
        r = disk_pool_release(ctx, pool, number, last,
                              last == number ? "be deleted" : "be deleted or renamed");
        if (r < 0)
                return r;
        r = disk_pool_begin(ctx, pool);
        if (r < 0) {
                disk_pool_restore(pool);
                return r;
        }
        r = disk_edit_remove(&pool->file, pool->table.type, number, ctx->error);
        disk_pool_end(pool, lock);
        if (r >= 0)
                r = disk_pool_reload(ctx, pool);
        disk_pool_restore(pool);
        return r;
}

int disk_volume_delete(BackendContext *ctx, const char *name, bool force)
{
        DiskPool pool = {.file.fd = -EBADF};
        DiskLock lock;
        int r;

        r = disk_pool_open_volume(ctx, &pool);
        if (r < 0)
                return r;
        r = disk_lock(ctx, &pool.device, &lock);
        if (r >= 0) {
                r = disk_partition_delete(ctx, &pool, name, &lock);
                disk_unlock(&lock);
                block_device_settle(&pool.device);
        }
        disk_pool_done(&pool);
        return r;
}

int disk_volume_open(BackendContext *ctx, const char *name, OpenMode mode, bool force, int *ret_fd)
{
        bool write = open_mode_writes(mode);
        _cleanup_free_ char *node = NULL;
        _cleanup_(block_device_done) BlockDevice device = {0};
        DiskPool pool = {.file.fd = -EBADF};
        const DiskPartition *p;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = disk_pool_open_volume(ctx, &pool);
        if (r >= 0)
                r = disk_pool_find(ctx, &pool, name, &p);
        if (r >= 0 && p->kind == PARTITION_EXTENDED)
                r = error_setf(
                        ctx->error, STORAGE_ERROR_UNSUPPORTED,
                        "Volume '%s' of pool '%s' cannot be opened: it is an extended partition, which "
                        "holds others and no data",
                        name, ctx->pool->name);
        if (r >= 0 && disk_partition_node(ctx->pool, &pool.device, p->number, &node) < 0)
                r = error_set_errno(ctx->error, ENOMEM, "Cannot open volume '%s'", name);
        disk_pool_done(&pool);
        if (r >= 0)
                r = block_device_find(ctx, node, &device);
        if (r >= 0 && write)
                r = block_device_require_unheld(ctx, &device, "cannot be opened for writing");
        if (r < 0)
                return r;
        fd = open(node, (write ? O_RDWR | O_EXCL : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return error_set_errno(ctx->error, errno, "Cannot open volume '%s' of pool '%s'", name,
                                       ctx->pool->name);
        r = in_use_refuse_mode(ctx, fd, name, mode, force);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int disk_volume_look(BackendContext *ctx, const char *name, VolumeRow *ret)
{
        DiskPool pool = {.file.fd = -EBADF};
        const DiskPartition *p;
        int r;

        r = disk_pool_open_volume(ctx, &pool);
        if (r >= 0)
                r = disk_pool_find(ctx, &pool, name, &p);
        if (r >= 0)
                r = disk_pool_read_row(ctx, &pool, p->number, ret);
        disk_pool_done(&pool);
        return r;
}

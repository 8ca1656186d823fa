/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backends/block-luks.h"
#include "backends/disk-edit.h"
#include "backends/disk.h"

#define READ_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK)

void disk_pool_done(DiskPool *pool)
{
        block_device_done(&pool->device);
        disk_table_done(&pool->table);
        free(pool->known);
        /* Zero is a descriptor: whoever was never opened has no name. */
        if (pool->file.name)
                safe_close(pool->file.fd);
        *pool = (DiskPool){.file.fd = -EBADF};
}

DiskFile disk_pool_file(const BlockDevice *device, int fd)
{
        return (DiskFile){
                .fd = fd,
                .name = device->path,
                .size = device->size,
                .sector_size = device->sector_size ?: 512,
        };
}

static int no_table(BackendContext *ctx, const DiskPool *pool, const char *verb)
{
        const char *wanted = ctx->pool->source.format;
        _cleanup_(block_contents_done) BlockContents c = {0};
        _cleanup_free_ char *words = NULL;
        int r;

        r = block_device_probe(ctx, &pool->device, &c);
        if (r < 0)
                return r;
        if (block_contents_describe(&c, &words) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot look at what is on %s",
                                       pool->device.path);
        if (!words)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "Cannot %s: there is no partition table on %s; build the pool to make one",
                                  verb, pool->device.path);
        return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                          "Cannot %s: on %s there is %s, not a partition table%s%s%s", verb,
                          pool->device.path, words, streq(wanted, "unknown") ? "" : " (",
                          streq(wanted, "unknown") ? "" : wanted, streq(wanted, "unknown") ? "" : ")");
}

static int read_table(BackendContext *ctx, DiskPool *pool, const char *verb)
{
        const char *wanted = ctx->pool->source.format;
        const char *found;
        int r;

        r = disk_table_read(&pool->file, &pool->table);
        if (r == -ENODATA)
                return no_table(ctx, pool, verb);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot %s: the partition table of %s cannot be read",
                                       verb, pool->device.path);
        found = disk_table_to_string(pool->table.type);
        if (streq(wanted, "unknown") || streq(wanted, found))
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                          "Cannot %s: the partition table on %s is %s, but that of the pool is %s; correct "
                          "the pool's definition, or build the pool to overwrite the table",
                          verb, pool->device.path, found, wanted);
}

/* Device-mapper devices have none: theirs are other device-mapper devices. */
int disk_require_partitions(BackendContext *ctx, const BlockDevice *device)
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[64];
        int range;

        (void) snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/ext_range", major(device->devnum),
                        minor(device->devnum));
        f = fopen(path, "re");
        if (!f || fscanf(f, "%i", &range) != 1 || range > 1)
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                          "%s cannot be the disk of pool '%s': the kernel makes no partitions on devices of "
                          "its kind; make it a pool of type logical or fs",
                          device->path, ctx->pool->name);
}

int disk_pool_open(BackendContext *ctx, const char *verb, DiskPool *ret)
{
        DiskPool pool = {.file.fd = -EBADF};
        int r;

        r = block_device_find(ctx, ctx->pool->source.devices[0].path, &pool.device);
        if (r < 0)
                return r;
        r = disk_require_partitions(ctx, &pool.device);
        if (r >= 0)
                pool.file = disk_pool_file(&pool.device, open(pool.device.node, READ_FLAGS));
        if (r >= 0 && pool.file.fd < 0)
                r = error_set_errno(ctx->error, errno, "Cannot %s: cannot open %s", verb, pool.device.path);
        if (r >= 0)
                r = read_table(ctx, &pool, verb);
        if (r >= 0) {
                r = disk_kernel_list(&pool.device, &pool.known, &pool.n_known);
                if (r < 0)
                        (void) error_set_errno(ctx->error, r, "Cannot list the kernel's partitions of %s",
                                               pool.device.path);
        }
        if (r < 0) {
                disk_pool_done(&pool);
                return r;
        }
        *ret = pool;
        ret->file.name = ret->device.path;
        return 0;
}

int disk_pool_open_volume(BackendContext *ctx, DiskPool *ret)
{
        int r = disk_pool_open(ctx, "read the pool", ret);

        if (r != -ENOENT || !ctx->error)
                return r;
        sd_bus_error_free(ctx->error);
        return error_setf(ctx->error, STORAGE_ERROR_INACCESSIBLE,
                          "The disk %s of pool '%s' is not there any more",
                          ctx->pool->source.devices[0].path, ctx->pool->name);
}

int disk_pool_reload(BackendContext *ctx, DiskPool *pool)
{
        DiskTable table = {0};
        int r;

        r = disk_table_read(&pool->file, &table);
        if (r < 0)
                return error_set_errno(ctx->error, r, "The partition table of %s cannot be read any more",
                                       pool->device.path);
        disk_table_done(&pool->table);
        pool->table = table;
        free(pool->known);
        pool->known = NULL;
        pool->n_known = 0;
        r = disk_kernel_list(&pool->device, &pool->known, &pool->n_known);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot list the kernel's partitions of %s",
                                       pool->device.path);
        return 0;
}

bool disk_pool_is_known(const DiskPool *pool)
{
        for (size_t i = 0; i < pool->table.n_partitions; i++) {
                const DiskPartition *p = &pool->table.partitions[i];
                const KernelPartition *k = disk_kernel_find(pool->known, pool->n_known, p->number);

                if (p->kind != PARTITION_RESERVED && (!k || !disk_kernel_agrees(k, p)))
                        return false;
        }
        return true;
}

int disk_pool_require_table(BackendContext *ctx, const DiskPool *pool, bool array)
{
        _cleanup_(block_contents_done) BlockContents c = {0};
        _cleanup_free_ char *words = NULL;
        int r;

        /* What is in a partition that begins where the disk does looks as if it were on the disk: sun has
         * those. */
        for (size_t i = 0; i < pool->table.n_partitions; i++) {
                const DiskPartition *p = &pool->table.partitions[i];

                if (p->kind != PARTITION_RESERVED && p->start == 0)
                        return 0;
        }
        r = block_device_probe(ctx, &pool->device, &c);
        if (r < 0 || !c.type || (array && !streq_ptr(c.usage, "raid")))
                return r;
        if (block_contents_describe(&c, &words) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot look at what is on %s",
                                       pool->device.path);
        return error_setf(
                ctx->error, STORAGE_ERROR_EXISTS,
                "The partition table of %s cannot be used by pool '%s': the disk as a whole is %s, which "
                "partitions would overwrite; if that is a leftover, remove its signature by wipefs",
                pool->device.path, ctx->pool->name, words);
}

int disk_pool_begin(BackendContext *ctx, DiskPool *pool)
{
        _cleanup_free_ char *words = NULL;
        int fd, r;

        /* File systems and the like leave room for a table in the first sector, and one may be left there.
         */
        r = block_device_describe_whole_use(ctx, &pool->device, &words);
        if (r < 0)
                return r;
        if (words)
                return error_setf(
                        ctx->error, STORAGE_ERROR_IN_USE,
                        "The partition table of %s cannot be changed: the disk as a whole is in use: "
                        "%s",
                        pool->device.path, words);
        r = disk_pool_require_table(ctx, pool, false);
        if (r >= 0)
                r = disk_edit_check(&pool->file, pool->table.type, ctx->error);
        if (r < 0)
                return r;
        fd = open(pool->device.node, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return error_set_errno(ctx->error, errno, "Cannot open %s for writing", pool->device.path);
        safe_close(pool->file.fd);
        pool->file.fd = fd;
        return 0;
}

void disk_pool_end(DiskPool *pool, DiskLock *lock)
{
        safe_close(pool->file.fd);
        disk_lock_written(lock);
        disk_unlock(lock);
        pool->file.fd = open(pool->device.node, READ_FLAGS);
}

/* As the kernel names them: a name that ends in a digit is parted from the number by a "p". */
int disk_partition_node(const PoolDef *def, const BlockDevice *device, unsigned number, char **ret)
{
        const char *node = device->node;
        bool digit = node[strlen(node) - 1] >= '0' && node[strlen(node) - 1] <= '9';

        return asprintf(ret, "%s%s%u", node, digit ? "p" : "", number) < 0 ? -ENOMEM : 0;
}

int disk_partition_name(const PoolDef *def, const BlockDevice *device, unsigned number, char **ret)
{
        _cleanup_free_ char *node = NULL;
        int r;

        r = disk_partition_node(def, device, number, &node);
        if (r < 0)
                return r;
        *ret = strdup(strrchr(node, '/') + 1);
        return *ret ? 0 : -ENOMEM;
}

int disk_pool_find(BackendContext *ctx, const DiskPool *pool, const char *name, const DiskPartition **ret)
{
        for (size_t i = 0; i < pool->table.n_partitions; i++) {
                const DiskPartition *p = &pool->table.partitions[i];
                _cleanup_free_ char *its = NULL;

                if (p->kind == PARTITION_RESERVED)
                        continue;
                if (disk_partition_name(ctx->pool, &pool->device, p->number, &its) < 0)
                        return error_set_errno(ctx->error, ENOMEM, "Cannot find volume '%s'", name);
                if (!streq(name, its))
                        continue;
                if (ctx->start != 0 && ctx->start != p->start)
                        return error_setf(
                                ctx->error, STORAGE_ERROR_NOT_FOUND,
                                "Volume '%s' of pool '%s' has got another name, or is gone: what has "
                                "its name now is another one",
                                name, ctx->pool->name);
                *ret = p;
                return 0;
        }
        return error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND, "There is no volume '%s' in pool '%s'", name,
                          ctx->pool->name);
}

static uint64_t logical_size(const DiskTable *table)
{
        uint64_t size = 0;

        for (size_t i = 0; i < table->n_partitions; i++) {
                if (table->partitions[i].kind == PARTITION_LOGICAL)
                        size += table->partitions[i].end - table->partitions[i].start;
        }
        return size;
}

static int set_extra(const PoolDef *def, const DiskPool *pool, const DiskPartition *p, const char *node,
                     VolumeRow *row)
{
        VolumeExtra *extra = row->extra = volume_extra_new();
        int r;

        if (!extra)
                return -ENOMEM;
        r = block_device_stable_path(node, strempty(def->target_path), &extra->path);
        if (r >= 0 && !extra->path)
                r = free_and_strdup(&extra->path, node);
        if (r >= 0)
                extra->extents = calloc(1, sizeof(*extra->extents));
        if (r < 0 || !extra->extents)
                return -ENOMEM;
        extra->n_extents = 1;
        extra->extents[0] = (VolumeExtent){
                .device = strdup(pool->device.path),
                .start = p->start,
                .end = p->end,
        };
        return extra->extents[0].device ? 0 : -ENOMEM;
}

/* What the kernel and the node say; what they do not is the volume's problem. */
static int set_known(const DiskPool *pool, const DiskPartition *p, const char *node, VolumeRow *row)
{
        const KernelPartition *k = disk_kernel_find(pool->known, pool->n_known, p->number);
        struct stat st;

        if (!k)
                return free_and_strdup(&row->extra->problem,
                                       "The kernel has not been told of this partition, so it cannot be "
                                       "used; refresh or restart the pool");
        if (!disk_kernel_agrees(k, p))
                return free_and_strdup(&row->extra->problem,
                                       "The kernel has another idea of where this partition is, as it was "
                                       "in use when the table was changed; it must not be used before the "
                                       "kernel has read the table again");
        if (stat(node, &st) >= 0) {
                row->mode = st.st_mode & 07777;
                row->owner = st.st_uid;
                row->group = st.st_gid;
        }
        row->in_use = block_device_has_holders(k->devnum, node);
        return 0;
}

int disk_pool_row(const PoolDef *def, const DiskPool *pool, const DiskPartition *p, bool now,
                  const VolumeRow *before, VolumeRow *ret)
{
        VolumeRow row = {
                .type = VOLUME_BLOCK,
                .format = volume_format_intern(p->format),
                .mode = MODE_UNSET,
                .owner = ID_UNSET,
                .group = ID_UNSET,
        };
        _cleanup_free_ char *node = NULL;
        int r;

        row.capacity = row.allocation = row.physical = p->end - p->start;
        if (p->kind == PARTITION_EXTENDED)
                row.allocation = logical_size(&pool->table);
        r = disk_partition_node(def, &pool->device, p->number, &node);
        if (r >= 0)
                r = disk_partition_name(def, &pool->device, p->number, &row.name);
        if (r >= 0)
                r = set_extra(def, pool, p, node, &row);
        if (r >= 0)
                r = set_known(pool, p, node, &row);
        if (r >= 0 && p->kind != PARTITION_EXTENDED && !row.extra->problem)
                r = block_luks_set_row(node, now, before, &row);
        if (r < 0) {
                volume_row_done(&row);
                return r;
        }
        *ret = row;
        return 0;
}

int disk_pool_read_row(BackendContext *ctx, DiskPool *pool, unsigned number, VolumeRow *ret)
{
        const DiskPartition *p;
        const KernelPartition *k;
        int r;

        r = disk_pool_reload(ctx, pool);
        if (r < 0)
                return r;
        p = disk_table_find(&pool->table, number);
        k = disk_kernel_find(pool->known, pool->n_known, number);
        if (!p)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "Partition %u of %s has vanished while it was worked on", number,
                                  pool->device.path);
        if (k)
                block_device_settle(&(BlockDevice){.devnum = k->devnum});
        r = disk_pool_row(ctx->pool, pool, p, true, NULL, ret);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot read partition %u of %s", number,
                                       pool->device.path)
                     : 0;
}

static int refuse_open(BackendContext *ctx, const DiskPool *pool, const KernelPartition *k, const char *verb)
{
        _cleanup_free_ char *node = NULL, *words = NULL;
        BlockDevice device = {.path = (char *) k->name, .devnum = k->devnum};

        if (asprintf(&node, "/dev/%s", k->name) < 0)
                node = NULL;
        device.node = node;
        if (node && block_device_describe_use(ctx, &device, &words) < 0)
                words = NULL;
        if (ctx->error)
                sd_bus_error_free(ctx->error);
        return error_setf(ctx->error, STORAGE_ERROR_IN_USE, "Volume '%s' of pool '%s' cannot %s: %s",
                          k->name, ctx->pool->name, verb, words ?: "some process has it open");
}

void disk_pool_restore(const DiskPool *pool)
{
        BackendContext silent = {0};

        (void) disk_kernel_sync(&silent, &pool->device, pool->file.fd, &pool->table);
}

static bool is_in_table(const DiskPool *pool, const KernelPartition *k)
{
        const DiskPartition *p = disk_table_find(&pool->table, k->number);

        return p && disk_kernel_agrees(k, p);
}

int disk_pool_release_room(BackendContext *ctx, const DiskPool *pool, uint64_t start, uint64_t end,
                           const char *verb)
{
        for (size_t i = 0; i < pool->n_known; i++) {
                const KernelPartition *k = &pool->known[i];
                int r;

                if (k->start >= end || k->start + k->size <= start || is_in_table(pool, k))
                        continue;
                r = disk_pool_release(ctx, pool, k->number, k->number, verb);
                if (r < 0)
                        return r;
        }
        return 0;
}

int disk_pool_release(BackendContext *ctx, const DiskPool *pool, unsigned first, unsigned last,
                      const char *verb)
{
        for (size_t i = 0; i < pool->n_known; i++) {
                const KernelPartition *k = &pool->known[i];
                int r;

                if (k->number < first || k->number > last)
                        continue;
                r = disk_kernel_forget(pool->file.fd, k->number);
                if (r >= 0 || r == -ENXIO)
                        continue;
                disk_pool_restore(pool);
                if (r == -EBUSY)
                        return refuse_open(ctx, pool, k, verb);
                return error_set_errno(ctx->error, r, "Volume '%s' of pool '%s' cannot %s", k->name,
                                       ctx->pool->name, verb);
        }
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/block-cache.h"
#include "backends/block-watch.h"
#include "backends/disk-place.h"
#include "backends/disk.h"

struct BackendScan {
        BlockCache *cache;
        BlockWatch *watch;
        char *path;    /* as the definition has it */
        char *sysname; /* what it was when it was last there; NULL: never yet */
        void (*wake)(void *userdata);
        void *userdata;
};

int disk_scan_new(BackendContext *ctx, BackendScan **ret)
{
        BackendScan *scan = calloc(1, sizeof(*scan));

        if (scan) {
                scan->cache = block_cache_new();
                scan->path = strdup(ctx->pool->source.devices[0].path);
        }
        if (!scan || !scan->cache || !scan->path) {
                disk_scan_free(scan);
                return error_set_errno(ctx->error, ENOMEM, "Cannot scan pool '%s'", ctx->pool->name);
        }
        *ret = scan;
        return 0;
}

BackendScan *disk_scan_free(BackendScan *scan)
{
        if (!scan)
                return NULL;
        block_watch_free(scan->watch);
        block_cache_free(scan->cache);
        free(scan->path);
        free(scan->sysname);
        free(scan);
        return NULL;
}

static int add_rows(const PoolDef *def, BackendScan *scan, const DiskPool *pool, RefreshSink *sink)
{
        int r = 0;

        block_cache_begin(scan->cache);
        for (size_t i = 0; r >= 0 && i < pool->table.n_partitions; i++) {
                const DiskPartition *p = &pool->table.partitions[i];
                _cleanup_free_ char *name = NULL;
                VolumeRow row = {0};

                if (p->kind == PARTITION_RESERVED)
                        continue;
                r = disk_partition_name(def, &pool->device, p->number, &name);
                if (r >= 0)
                        r = disk_pool_row(def, pool, p, false, block_cache_find(scan->cache, name), &row);
                if (r >= 0)
                        r = block_cache_put(scan->cache, &row, sink);
                volume_row_done(&row);
        }
        return r < 0 ? r : block_cache_end(scan->cache, sink);
}

/* The sums are libvirt's: what is free may be too small to be used. */
static int add_report(const DiskPool *pool, PoolReport *report)
{
        _cleanup_free_ DiskSpace *spaces = NULL;
        size_t n;
        int r;

        for (size_t i = 0; i < pool->table.n_partitions; i++) {
                const DiskPartition *p = &pool->table.partitions[i];

                if (p->kind == PARTITION_RESERVED)
                        continue;
                if (p->end > report->status.capacity)
                        report->status.capacity = p->end;
                if (p->kind != PARTITION_EXTENDED)
                        report->status.allocation += p->end - p->start;
        }
        r = disk_spaces(&pool->table, &spaces, &n);
        if (r < 0)
                return r;
        report->details.free_extents = calloc(n + 1, sizeof(FreeExtent));
        if (!report->details.free_extents)
                return -ENOMEM;
        for (size_t i = 0; i < n && i < DETAILS_LIST_MAX; i++) {
                report->status.available += spaces[i].end - spaces[i].start;
                if (spaces[i].end > report->status.capacity)
                        report->status.capacity = spaces[i].end;
                report->details.free_extents[report->details.n_free_extents++] =
                        (FreeExtent){.start = spaces[i].start, .end = spaces[i].end};
        }
        return 0;
}

/*
 * The kernel has no reader for some tables, or was made to forget partitions by whoever had it read the
 * table again: it is told of them, if nobody is at work on the disk.
 */
static int tell_kernel(BackendContext *ctx, DiskPool *pool)
{
        DiskLock lock;

        if (disk_pool_is_known(pool) || !disk_lock_now(&pool->device, &lock))
                return 0;
        disk_pool_restore(pool);
        disk_unlock(&lock);
        return disk_pool_reload(ctx, pool);
}

/* What the disk cannot tell now is kept as it was. */
static int inaccessible(BackendContext *ctx, sd_bus_error *why, PoolReport *ret)
{
        PoolReport report = {.health = HEALTH_INACCESSIBLE, .permissions = PERMISSIONS_UNSET};
        int r;

        r = pool_report_add(&report, "inaccessible", "%s", why->message ?: "The disk cannot be read");
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot look at pool '%s'", ctx->pool->name);
        *ret = report;
        return 0;
}

int disk_scan_refresh(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret)
{
        _cleanup_bus_error_free_ sd_bus_error why = SD_BUS_ERROR_NULL;
        PoolReport report = {.health = HEALTH_OK, .permissions = PERMISSIONS_UNSET};
        BackendContext inner = *ctx;
        DiskPool pool = {.file.fd = -EBADF};
        int r;

        inner.error = &why;
        r = disk_pool_open(&inner, "read the pool", &pool);
        if (r >= 0)
                r = tell_kernel(&inner, &pool);
        if (r < 0) {
                disk_pool_done(&pool);
                return inaccessible(ctx, &why, ret);
        }
        r = free_and_strdup(&scan->sysname, strrchr(pool.device.node, '/') + 1);
        if (r >= 0)
                r = add_rows(ctx->pool, scan, &pool, sink);
        if (r >= 0)
                r = add_report(&pool, &report);
        disk_pool_done(&pool);
        if (r < 0) {
                pool_report_done(&report);
                return error_set_errno(ctx->error, r, "Cannot look at pool '%s'", ctx->pool->name);
        }
        *ret = report;
        return 0;
}

/* Of a device that is gone only the name is left. */
static bool is_named(sd_device *device, const char *path)
{
        const char *name;

        if (sd_device_get_devname(device, &name) >= 0 && streq(name, path))
                return true;
        for (name = sd_device_get_devlink_first(device); name; name = sd_device_get_devlink_next(device)) {
                if (streq(name, path))
                        return true;
        }
        return false;
}

/* The disk, or one of its partitions. */
static bool matches(sd_device *device, void *userdata)
{
        BackendScan *scan = userdata;
        const char *path, *end;
        size_t n;

        if (is_named(device, scan->path))
                return true;
        if (!scan->sysname || sd_device_get_syspath(device, &path) < 0)
                return false;
        n = strlen(scan->sysname);
        end = strrchr(path, '/');
        if (end && streq(end + 1, scan->sysname))
                return true;
        return end && (size_t) (end - path) > n && end[-(ssize_t) n - 1] == '/' &&
               strncmp(end - n, scan->sysname, n) == 0;
}

static void on_change(void *userdata)
{
        BackendScan *scan = userdata;

        scan->wake(scan->userdata);
}

int disk_scan_watch(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                    void *userdata)
{
        int r;

        scan->watch = block_watch_free(scan->watch);
        if (!event)
                return 0;
        scan->wake = wake;
        scan->userdata = userdata;
        r = block_watch_new(event, matches, on_change, scan, &scan->watch);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot watch the disk of pool '%s'", ctx->pool->name);
        /* What happened before it began is found now. */
        block_watch_kick(scan->watch);
        return 0;
}

int disk_scan_note(BackendScan *scan, const char *name, const VolumeRow *row)
{
        return block_cache_note(scan->cache, name, row);
}

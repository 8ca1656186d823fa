/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir-scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "backends/block-watch.h"
#include "backends/device-row.h"
#include "backends/dir-batch.h"
#include "backends/dir-watch.h"
#include "backends/file-snapshot.h"
#include "backends/file-unfinished.h"
#include "backends/file-volume.h"
#include "backends/real-path.h"
#include "common/worker-protocol.h"

/* Changed names between two looks at whether to go on, and at the watch's queue. */
#define NAMES_PER_BREATH 512U

struct BackendScan {
        ScanCache cache;
        uint32_t generation;
        dev_t dev; /* of the folder that was looked at */
        ino_t ino; /* the same; 0: none */
        PoolStatus status;   /* as last seen */
        bool shares_blocks;  /* the same */
        char *real_path;     /* the same; NULL: the folder's path is the real one */
        PoolReport problems; /* of the cache; only its problems are used */
        DirWatch *watch;     /* NULL: not watched */
        BlockWatch *devices; /* of a folder of devices: sizes, media and users change without its names */
};

int dir_scan_new(BackendContext *ctx, BackendScan **ret)
{
        BackendScan *scan = calloc(1, sizeof(*scan));

        if (!scan)
                return error_set_errno(ctx->error, ENOMEM, "Cannot scan %s", ctx->pool->target_path);
        scan->cache.folder = strdup(ctx->pool->target_path);
        if (!scan->cache.folder) {
                dir_scan_free(scan);
                return error_set_errno(ctx->error, ENOMEM, "Cannot scan %s", ctx->pool->target_path);
        }
        *ret = scan;
        return 0;
}

BackendScan *dir_scan_free(BackendScan *scan)
{
        if (!scan)
                return NULL;
        dir_watch_free(scan->watch);
        block_watch_free(scan->devices);
        scan_cache_done(&scan->cache);
        pool_report_done(&scan->problems);
        free(scan->real_path);
        free(scan);
        return NULL;
}

/* So many of the first passes look for what an earlier worker may have left. */
#define LEFTOVER_PASSES 16U

typedef struct Pass {
        BackendContext *ctx;
        BackendScan *scan;
        Look *look;
} Pass;

static int take_breath(void *userdata)
{
        Pass *p = userdata;

        if (p->scan->watch)
                dir_watch_drain(p->scan->watch);
        if (!p->ctx->cancelled(p->ctx))
                return 0;
        return sd_bus_error_setf(p->ctx->error, STORAGE_ERROR_CANCELLED, "The refresh of %s was cancelled",
                                 p->scan->cache.folder);
}

/* Whether it is one to look at. What an earlier worker has left is cleared away. */
static bool may_be_volume(Pass *p, const char *name)
{
        BackendScan *scan = p->scan;

        if (name[0] != '.')
                return true;
        if (!name[1] || (name[1] == '.' && !name[2]))
                return false;
        if (!startswith(name, UNFINISHED_PREFIX))
                return true;
        /*
         * Somebody before this worker may have left it, who need not be quite dead yet: a write that is
         * under way ends before its process does.
         */
        if (scan->generation <= LEFTOVER_PASSES && !unfinished_reap(p->look->folder.fd, name) && scan->watch)
                dir_watch_want_all(scan->watch);
        return false;
}

/* getdents may tell a name twice while the folder changes: no two looks may have the same entry. */
static void add(Pass *p, Batch *b, const struct dirent64 *d)
{
        ScanEntry *e;

        if (!may_be_volume(p, d->d_name))
                return;
        e = scan_cache_find(&p->scan->cache, d->d_name);
        if (e && e->generation == p->look->generation)
                return;
        if (e)
                e->generation = p->look->generation;
        batch_add(b, d->d_name, d->d_type, e);
}

/* The next entries: 1; there are no more: 0; negative errno: the folder does not answer. */
static int fill(Pass *p, Batch *b)
{
        while (b->n == 0) {
                ssize_t n = getdents64(p->look->folder.fd, b->buffer, BATCH_BUFFER_SIZE);

                if (n <= 0)
                        return n < 0 ? -errno : 0;
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *d = (const struct dirent64 *) (b->buffer + at);

                        add(p, b, d);
                        at += d->d_reclen;
                }
        }
        return 1;
}

/* Empties the batch. */
static int commit(Pass *p, Batch *b)
{
        int r = 0;

        for (BatchEntry *e = b->entries; r >= 0 && e < b->entries + b->n; e++) {
                r = e->result;
                /* A new name that was told twice is in the cache by now. */
                if (r >= 0)
                        r = look_commit(p->look, e->entry ?: scan_cache_find(&p->scan->cache, e->name),
                                        e->name, &e->seen);
        }
        batch_clear(b);
        return r;
}

/* While a batch is looked at, the one before goes into the cache, and the next is fetched. */
static int pass_batches(Pass *p, Batch *now, Batch *other, BatchHelper *helper, int *ret_error)
{
        int r, filled;

        filled = fill(p, now);
        while (now->n > 0) {
                Batch *done = now;

                batch_begin(helper, now);
                r = commit(p, other);
                if (r < 0)
                        return r;
                filled = fill(p, other);
                r = batch_finish(helper, take_breath, p);
                if (r < 0)
                        return r;
                now = other;
                other = done;
        }
        *ret_error = -filled;
        r = commit(p, other);
        return r < 0 ? r : filled == 0;
}

/* 1: seen all; 0: the folder stopped answering, errno in *ret_error; negative errno. */
static int pass_entries(Pass *p, int *ret_error)
{
        BatchHelper helper = {.folder = &p->look->folder};
        Batch a, b;
        int r;

        r = batch_init(&a);
        if (r < 0)
                return r;
        r = batch_init(&b);
        if (r >= 0) {
                r = pass_batches(p, &a, &b, &helper, ret_error);
                batch_helper_done(&helper);
                batch_done(&b);
        }
        batch_done(&a);
        return r;
}

/* Reports those gone that the last pass did not meet. */
static int sweep(BackendScan *scan, Look *l)
{
        NameTable *t = &scan->cache.table;

        for (size_t i = 0; i < t->n_slots;) {
                ScanEntry *e = (ScanEntry *) t->slots[i];
                int r;

                if (!e || e->generation == l->generation) {
                        i++;
                        continue;
                }
                r = look_drop(l, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Returns as pass_entries() does. */
static int look_at_all(Pass *p, int *ret_error)
{
        Look *l = p->look;
        int r;

        l->generation = ++p->scan->generation;
        locked_files_read(l->folder.fd, &l->folder.locked);
        r = pass_entries(p, ret_error);
        locked_files_done(&l->folder.locked);
        if (r <= 0)
                return r;
        r = sweep(p->scan, l);
        return r < 0 ? r : 1;
}

static int look_at_names(Pass *p, const NameTable *names)
{
        size_t n = 0;

        p->look->generation = p->scan->generation;
        for (size_t i = 0; i < names->n_slots; i++) {
                int r;

                if (!names->slots[i])
                        continue;
                r = look_at(p->look, names->slots[i]->name);
                if (r >= 0 && ++n % NAMES_PER_BREATH == 0)
                        r = take_breath(p);
                if (r < 0)
                        return r;
        }
        return 1;
}

static int report_problems(BackendScan *scan, PoolReport *report)
{
        int r, error;

        if (scan->cache.problems_changed) {
                pool_report_done(&scan->problems);
                r = scan_cache_report(&scan->cache, &scan->problems);
                if (r < 0)
                        return r;
                scan->cache.problems_changed = false;
        }
        for (size_t i = 0; i < scan->problems.n_problems; i++) {
                const PoolProblem *p = scan->problems.problems + i;

                r = pool_report_add(report, p->code, "%s", p->text);
                if (r < 0)
                        return r;
        }
        if (!scan->watch || dir_watch_works(scan->watch, &error))
                return 0;
        return pool_report_add(report, "unwatched",
                               "Changes in %s are seen late, as it cannot be watched: %s; raising "
                               "fs.inotify.max_user_watches or max_user_instances may help",
                               scan->cache.folder, strerrordesc_np(error));
}

/* why: for people; NULL: the errno tells. */
static int report_inaccessible(BackendScan *scan, const char *why, int error, PoolReport *report)
{
        report->health = HEALTH_INACCESSIBLE;
        report->status = scan->status;
        report->details.shares_blocks = scan->shares_blocks;
        if (free_and_strdup(&report->details.real_path, scan->real_path) < 0)
                return -ENOMEM;
        if (why)
                return pool_report_add(report, "inaccessible", "%s", why);
        return pool_report_add(report, "inaccessible", "The folder %s cannot be read: %s",
                               scan->cache.folder, strerrordesc_np(error));
}

/* By which paths others may know what is in the folder. */
static int report_real_path(BackendScan *scan, int dir_fd, PoolReport *report)
{
        _cleanup_free_ char *real = NULL;
        int r = real_path(dir_fd, &real);

        if (r == -ENOMEM)
                return r;
        if (real && free_and_strdup(&scan->real_path, streq(real, scan->cache.folder) ? NULL : real) < 0)
                return -ENOMEM;
        return free_and_strdup(&report->details.real_path, scan->real_path);
}

static int report_status(BackendScan *scan, int dir_fd, PoolReport *report)
{
        struct statvfs v;
        struct stat st;
        int r;

        r = report_problems(scan, report);
        if (r < 0)
                return r;
        if (fstatvfs(dir_fd, &v) < 0 || fstat(dir_fd, &st) < 0)
                return report_inaccessible(scan, NULL, errno, report);
        report->health = HEALTH_OK;
        report->permissions.mode = st.st_mode & 07777;
        report->permissions.owner = st.st_uid;
        report->permissions.group = st.st_gid;
        /* What a folder of devices lies on tells nothing about them. */
        if (device_folder(scan->cache.folder))
                return 0;
        scan->shares_blocks = file_system_shares_blocks(dir_fd);
        report->details.shares_blocks = scan->shares_blocks;
        r = report_real_path(scan, dir_fd, report);
        if (r < 0)
                return r;
        scan->status.capacity = (uint64_t) v.f_blocks * v.f_frsize;
        scan->status.available = (uint64_t) v.f_bavail * v.f_frsize;
        scan->status.allocation = scan->status.capacity - scan->status.available;
        report->status = scan->status;
        return 0;
}

/* 1: looked, 0: the folder does not answer (errno in *ret_error), negative errno with ctx->error set. */
static int look(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, bool all, int dir_fd,
                int *ret_error)
{
        Look l = {.cache = &scan->cache,
                  .sink = sink,
                  .folder = {.fd = dir_fd,
                             .path = scan->cache.folder,
                             .devices = device_folder(scan->cache.folder)}};
        Pass p = {.ctx = ctx, .scan = scan, .look = &l};
        uint64_t begin = now_monotonic();
        NameTable names = {0};
        size_t n;
        int r;

        if (scan->watch)
                all = dir_watch_begin(scan->watch, dir_fd, all, &names);
        if (dir_fd < 0) {
                *ret_error = -dir_fd;
                r = 0;
        } else
                r = all ? look_at_all(&p, ret_error) : look_at_names(&p, &names);
        n = names.n;
        dir_watch_names_done(&names);
        if (scan->watch) {
                dir_watch_end(scan->watch, all && r > 0 ? now_monotonic() - begin : 0, r <= 0);
                /* What a link leads to changes without the link's name being told. */
                if (!all && n > 0 && scan->cache.n_links > 0)
                        dir_watch_want_all(scan->watch);
        }
        if (r < 0 && !sd_bus_error_is_set(ctx->error))
                return error_set_errno(ctx->error, r, "Cannot report what is in %s", scan->cache.folder);
        return r;
}

/*
 * Something was mounted over the folder, or unmounted, or it was made anew: what was seen is not gone, it is
 * somewhere else. All is looked at, as if for the first time.
 */
static bool is_another_folder(BackendScan *scan, int dir_fd)
{
        dev_t dev = scan->dev;
        ino_t ino = scan->ino;
        struct stat st;

        if (fstat(dir_fd, &st) < 0)
                return false;
        scan->dev = st.st_dev;
        scan->ino = st.st_ino;
        return ino != 0 && (dev != st.st_dev || ino != st.st_ino);
}

static void begin_anew(BackendScan *scan, RefreshSink *sink)
{
        char *folder = TAKE_PTR(scan->cache.folder);

        scan_cache_done(&scan->cache);
        scan->cache.folder = folder;
        scan->cache.problems_changed = true;
        scan->generation = 0;
        sink->restart(sink);
}

static int run(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, bool all, PoolReport *ret)
{
        _cleanup_bus_error_free_ sd_bus_error why = SD_BUS_ERROR_NULL;
        _cleanup_close_ int dir_fd = -EBADF;
        PoolReport report = {.permissions = PERMISSIONS_UNSET};
        BackendContext folder_ctx = *ctx;
        int r, error = 0;

        folder_ctx.error = &why;
        r = file_volume_folder(&folder_ctx, &dir_fd);
        if (r >= 0 && is_another_folder(scan, dir_fd)) {
                begin_anew(scan, sink);
                all = true;
        }
        r = look(ctx, scan, sink, all, r < 0 ? r : dir_fd, &error);
        if (r < 0)
                return r;
        r = r > 0 ? report_status(scan, dir_fd, &report)
                  : report_inaccessible(scan, why.message, error, &report);
        if (r < 0) {
                pool_report_done(&report);
                return error_set_errno(ctx->error, r, "Cannot report on %s", scan->cache.folder);
        }
        *ret = report;
        return 0;
}

int dir_scan_refresh(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret)
{
        return run(ctx, scan, sink, true, ret);
}

int dir_scan_refresh_changes(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret)
{
        return run(ctx, scan, sink, false, ret);
}

static bool any_device(sd_device *device, void *userdata)
{
        return true;
}

static void look_at_devices(void *userdata)
{
        BackendScan *scan = userdata;

        dir_watch_want_all_soon(scan->watch);
}

int dir_scan_watch(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                   void *userdata)
{
        int r;

        scan->watch = dir_watch_free(scan->watch);
        scan->devices = block_watch_free(scan->devices);
        if (!event)
                return 0;
        r = dir_watch_new(event, scan->cache.folder, wake, userdata, &scan->watch);
        if (r >= 0 && device_folder(scan->cache.folder))
                r = block_watch_new(event, any_device, look_at_devices, scan, &scan->devices);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot watch %s", scan->cache.folder);
        return 0;
}

int dir_scan_note(BackendScan *scan, const char *name, const VolumeRow *row)
{
        return scan_cache_note(&scan->cache, name, row, scan->generation);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir-scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "backends/dir-look.h"
#include "backends/dir-watch.h"
#include "backends/file-unfinished.h"
#include "common/worker-protocol.h"

#define BUFFER_SIZE (256U * 1024U)
/* Entries between two looks at whether to go on, and at the watch's queue. */
#define ENTRIES_PER_BREATH 512U

struct BackendScan {
        ScanCache cache;
        uint32_t generation;
        PoolStatus status;   /* as last seen */
        PoolReport problems; /* of the cache; only its problems are used */
        DirWatch *watch;     /* NULL: not watched */
        char *buffer;        /* for getdents */
};

int dir_scan_new(BackendContext *ctx, BackendScan **ret)
{
        BackendScan *scan = calloc(1, sizeof(*scan));

        if (!scan)
                return error_set_errno(ctx->error, ENOMEM, "Cannot scan %s", ctx->pool->target_path);
        scan->cache.folder = strdup(ctx->pool->target_path);
        scan->buffer = malloc(BUFFER_SIZE);
        if (!scan->cache.folder || !scan->buffer) {
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
        scan_cache_done(&scan->cache);
        pool_report_done(&scan->problems);
        free(scan->buffer);
        free(scan);
        return NULL;
}

/* So many of the first passes look for what an earlier worker may have left. */
#define LEFTOVER_PASSES 16U

static int take_breath(BackendContext *ctx, BackendScan *scan)
{
        if (scan->watch)
                dir_watch_drain(scan->watch);
        if (!ctx->cancelled(ctx))
                return 0;
        return sd_bus_error_setf(ctx->error, STORAGE_ERROR_CANCELLED, "The refresh of %s was cancelled",
                                 scan->cache.folder);
}

static int pass_entry(BackendScan *scan, Look *l, const struct dirent64 *d)
{
        const char *name = d->d_name;

        if (name[0] == '.') {
                if (!name[1] || (name[1] == '.' && !name[2]))
                        return 0;
                if (startswith(name, UNFINISHED_PREFIX)) {
                        /*
                         * Somebody before this worker may have left it, who need not be quite dead yet: a
                         * write that is under way ends before its process does.
                         */
                        if (scan->generation <= LEFTOVER_PASSES && !unfinished_reap(l->dir_fd, name) &&
                            scan->watch)
                                dir_watch_want_all(scan->watch);
                        return 0;
                }
        }
        return look_at(l, name, d->d_type);
}

/* 1: seen all; 0: the folder stopped answering; negative errno. */
static int pass_entries(BackendContext *ctx, BackendScan *scan, Look *l)
{
        size_t n_entries = 0;

        for (;;) {
                ssize_t n = getdents64(l->dir_fd, scan->buffer, BUFFER_SIZE);

                if (n < 0)
                        return 0;
                if (n == 0)
                        return 1;
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *d = (const struct dirent64 *) (scan->buffer + at);
                        int r;

                        r = pass_entry(scan, l, d);
                        if (r >= 0 && ++n_entries % ENTRIES_PER_BREATH == 0)
                                r = take_breath(ctx, scan);
                        if (r < 0)
                                return r;
                        at += d->d_reclen;
                }
        }
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

static int look_at_all(BackendContext *ctx, BackendScan *scan, Look *l)
{
        int r;

        l->generation = ++scan->generation;
        locked_files_read(l->dir_fd, &l->locked);
        r = pass_entries(ctx, scan, l);
        locked_files_done(&l->locked);
        if (r <= 0)
                return r;
        r = sweep(scan, l);
        return r < 0 ? r : 1;
}

static int look_at_names(BackendContext *ctx, BackendScan *scan, Look *l, const NameTable *names)
{
        size_t n = 0;

        l->generation = scan->generation;
        for (size_t i = 0; i < names->n_slots; i++) {
                int r;

                if (!names->slots[i])
                        continue;
                r = look_at(l, names->slots[i]->name, DT_UNKNOWN);
                if (r >= 0 && ++n % ENTRIES_PER_BREATH == 0)
                        r = take_breath(ctx, scan);
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

static int report_inaccessible(BackendScan *scan, int error, PoolReport *report)
{
        report->health = HEALTH_INACCESSIBLE;
        report->status = scan->status;
        return pool_report_add(report, "inaccessible", "The folder %s cannot be read: %s",
                               scan->cache.folder, strerrordesc_np(error));
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
                return report_inaccessible(scan, errno, report);
        report->health = HEALTH_OK;
        report->permissions.mode = st.st_mode & 07777;
        report->permissions.owner = st.st_uid;
        report->permissions.group = st.st_gid;
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
        Look l = {.cache = &scan->cache, .sink = sink, .dir_fd = dir_fd};
        uint64_t begin = now_monotonic();
        NameTable names = {0};
        size_t n;
        int r;

        if (scan->watch)
                all = dir_watch_begin(scan->watch, dir_fd, all, &names);
        if (dir_fd < 0) {
                *ret_error = -dir_fd;
                r = 0;
        } else {
                r = all ? look_at_all(ctx, scan, &l) : look_at_names(ctx, scan, &l, &names);
                *ret_error = r == 0 ? errno : 0;
        }
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

static int run(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, bool all, PoolReport *ret)
{
        _cleanup_close_ int dir_fd = -EBADF;
        PoolReport report = {.permissions = PERMISSIONS_UNSET};
        int r, error = 0;

        dir_fd = open(scan->cache.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
        if (dir_fd < 0)
                dir_fd = -errno;
        r = look(ctx, scan, sink, all, dir_fd, &error);
        if (r < 0)
                return r;
        r = r > 0 ? report_status(scan, dir_fd, &report) : report_inaccessible(scan, error, &report);
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

int dir_scan_watch(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                   void *userdata)
{
        int r;

        scan->watch = dir_watch_free(scan->watch);
        if (!event)
                return 0;
        r = dir_watch_new(event, scan->cache.folder, wake, userdata, &scan->watch);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot watch %s", scan->cache.folder);
        return 0;
}

int dir_scan_note(BackendScan *scan, const char *name, const VolumeRow *row)
{
        return scan_cache_note(&scan->cache, name, row, scan->generation);
}

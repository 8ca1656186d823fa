/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/fs-scan.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "backends/block-watch.h"
#include "backends/dir-scan.h"
#include "backends/mount.h"

/* What a BackendScan of this type is. */
typedef struct FsScan {
        BackendScan *files;
        BlockWatch *watch;
        char *device; /* as the definition names it */
        dev_t devnum; /* what that led to when it was last seen; 0: never yet */
        void (*wake)(void *userdata);
        void *userdata;
} FsScan;

static FsScan *fs_scan(BackendScan *scan)
{
        return (FsScan *) scan;
}

int fs_scan_new(BackendContext *ctx, BackendScan **ret)
{
        FsScan *s = calloc(1, sizeof(*s));
        int r;

        if (s)
                s->device = strdup(ctx->pool->source.devices[0].path);
        if (!s || !s->device) {
                free(s);
                return error_set_errno(ctx->error, ENOMEM, "Cannot scan %s", ctx->pool->target_path);
        }
        r = dir_scan_new(ctx, &s->files);
        if (r < 0) {
                (void) fs_scan_free((BackendScan *) s);
                return r;
        }
        *ret = (BackendScan *) s;
        return 0;
}

BackendScan *fs_scan_free(BackendScan *scan)
{
        FsScan *s = fs_scan(scan);

        if (!s)
                return NULL;
        block_watch_free(s->watch);
        dir_scan_free(s->files);
        free(s->device);
        free(s);
        return NULL;
}

static void find_device(FsScan *s)
{
        struct stat st;

        if (stat(s->device, &st) >= 0 && S_ISBLK(st.st_mode))
                s->devnum = st.st_rdev;
}

static bool is_ours(sd_device *device, void *userdata)
{
        FsScan *s = userdata;
        const char *name;
        dev_t devnum;

        if (sd_device_get_devnum(device, &devnum) >= 0 && s->devnum != 0 && devnum == s->devnum)
                return true;
        if (sd_device_get_devname(device, &name) >= 0 && streq(name, s->device))
                return true;
        for (name = sd_device_get_devlink_first(device); name; name = sd_device_get_devlink_next(device)) {
                if (streq(name, s->device))
                        return true;
        }
        return false;
}

static void on_device(void *userdata)
{
        FsScan *s = userdata;

        s->wake(s->userdata);
}

int fs_scan_watch(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                  void *userdata)
{
        FsScan *s = fs_scan(scan);
        int r;

        s->watch = block_watch_free(s->watch);
        r = dir_scan_watch(ctx, s->files, event, wake, userdata);
        if (r < 0 || !event)
                return r;
        find_device(s);
        s->wake = wake;
        s->userdata = userdata;
        r = block_watch_new(event, is_ours, on_device, s, &s->watch);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot watch the device %s", s->device);
        return 0;
}

/* Whether the word is among options that have commas between them. */
static bool has_option(const char *options, const char *word)
{
        while (options) {
                size_t n = strcspn(options, ",");

                if (n == strlen(word) && startswith(options, word))
                        return true;
                options = options[n] ? options + n + 1 : NULL;
        }
        return false;
}

static bool is_read_only_by_wish(const PoolDef *pool)
{
        char *const *o;

        if (streq(pool->source.format, "iso9660"))
                return true;
        STRV_FOREACH (o, pool->mount_options) {
                if (has_option(*o, "ro"))
                        return true;
        }
        return false;
}

/* On newer kernels ext4 stays "rw" when it has stopped writing, and says so by other options. */
static bool has_given_up(BackendContext *ctx)
{
        _cleanup_(mount_point_done) MountPoint m = {0};
        BackendContext quiet = *ctx;

        quiet.error = NULL;
        return mount_point_find(&quiet, ctx->pool->target_path, &m) >= 0 && m.id != 0 &&
               (has_option(m.options, "emergency_ro") || has_option(m.options, "shutdown"));
}

static bool device_is_read_only(const FsScan *s)
{
        _cleanup_(sd_device_unrefp) sd_device *device = NULL;
        const char *value;

        return sd_device_new_from_devnum(&device, 'b', s->devnum) >= 0 &&
               sd_device_get_sysattr_value(device, "ro", &value) >= 0 && streq(value, "1");
}

/* The kernel stops writing to a file system on which it has met errors. */
static int report_read_only(BackendContext *ctx, const FsScan *s, PoolReport *report)
{
        struct statvfs v;

        if (report->health != HEALTH_OK || is_read_only_by_wish(ctx->pool) ||
            statvfs(ctx->pool->target_path, &v) < 0 || device_is_read_only(s) ||
            (!(v.f_flag & ST_RDONLY) && !has_given_up(ctx)))
                return 0;
        report->health = HEALTH_DEGRADED;
        return pool_report_add(report, "read-only",
                               "The file system on %s is read-only although nobody asked for it: either "
                               "there have been errors, of which the kernel's log tells, or it can only be "
                               "read",
                               s->device);
}

static int refreshed(BackendContext *ctx, FsScan *s, int result, PoolReport *ret)
{
        int r;

        if (result < 0)
                return result;
        find_device(s);
        r = report_read_only(ctx, s, ret);
        if (r >= 0)
                return 0;
        pool_report_done(ret);
        return error_set_errno(ctx->error, r, "Cannot report on %s", ctx->pool->target_path);
}

int fs_scan_refresh(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret)
{
        FsScan *s = fs_scan(scan);

        return refreshed(ctx, s, dir_scan_refresh(ctx, s->files, sink, ret), ret);
}

int fs_scan_refresh_changes(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret)
{
        FsScan *s = fs_scan(scan);

        return refreshed(ctx, s, dir_scan_refresh_changes(ctx, s->files, sink, ret), ret);
}

int fs_scan_note(BackendScan *scan, const char *name, const VolumeRow *row)
{
        return dir_scan_note(fs_scan(scan)->files, name, row);
}

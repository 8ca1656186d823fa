/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What there is in a volume group, and what changed since the last look. */

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "backends/block-cache.h"
#include "backends/block-watch.h"
#include "backends/logical-follow.h"
#include "backends/logical.h"

/* Hundredths of a percent: fuller than that is told. */
#define FULL_PERCENT 8000U

struct BackendScan {
        BlockCache *cache;
        BlockWatch *watch;
        LogicalFollow *follow;
        void (*wake)(void *userdata);
        void *userdata; /* of wake */
        LogicalGroup last;
        char *vg;
        bool incomplete; /* devices of it were missing at the last look */
        bool outdated;   /* we have changed it since, or it could not be read */
        bool reaped;     /* what an interrupted worker left is removed */
};

BackendScan *logical_scan_free(BackendScan *scan)
{
        if (!scan)
                return NULL;
        block_watch_free(scan->watch);
        logical_follow_free(scan->follow);
        block_cache_free(scan->cache);
        logical_group_done(&scan->last);
        free(scan->vg);
        free(scan);
        return NULL;
}

int logical_scan_new(BackendContext *ctx, BackendScan **ret)
{
        BackendScan *scan = calloc(1, sizeof *scan);

        if (scan) {
                scan->cache = block_cache_new();
                scan->vg = strdup(ctx->pool->source.name);
                scan->incomplete = true;
        }
        if (!scan || !scan->cache || !scan->vg) {
                logical_scan_free(scan);
                return error_set_errno(ctx->error, ENOMEM, "Cannot look at pool '%s'", ctx->pool->name);
        }
        *ret = scan;
        return 0;
}

/*
 * Every change of the group is written to its physical volumes, which udev tells when they are closed, also
 * of volumes that are not active; the events of the volumes themselves tell who opened and closed them.
 */
static bool matches(sd_device *device, void *userdata)
{
        BackendScan *scan = userdata;
        const char *value;
        dev_t devnum;

        /* The value of an empty property is NULL. */
        if (sd_device_get_property_value(device, "DM_VG_NAME", &value) >= 0 && value)
                return streq(value, scan->vg);
        if (sd_device_get_devnum(device, &devnum) < 0)
                return false;
        for (size_t i = 0; i < scan->last.n_pvs; i++) {
                if (scan->last.pvs[i].devnum == devnum)
                        return true;
        }
        return scan->incomplete && sd_device_get_property_value(device, "ID_FS_TYPE", &value) >= 0 &&
               streq_ptr(value, "LVM2_member");
}

static void on_wake(void *userdata)
{
        BackendScan *scan = userdata;

        scan->wake(scan->userdata);
}

static void on_fuller(void *userdata)
{
        block_watch_kick(((BackendScan *) userdata)->watch);
}

int logical_scan_watch(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                       void *userdata)
{
        int r;

        scan->follow = logical_follow_free(scan->follow);
        scan->watch = block_watch_free(scan->watch);
        if (!event)
                return 0;
        scan->wake = wake;
        scan->userdata = userdata;
        r = block_watch_new(event, matches, on_wake, scan, &scan->watch);
        if (r >= 0)
                r = logical_follow_new(event, on_fuller, scan, &scan->follow);
        if (r >= 0)
                r = logical_follow_set(scan->follow, &scan->last, 0);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot watch pool '%s'", ctx->pool->name) : 0;
}

int logical_scan_note(BackendScan *scan, const char *name, const VolumeRow *row)
{
        scan->outdated = true;
        return block_cache_note(scan->cache, name, row);
}

const LogicalGroup *logical_scan_group(const BackendScan *scan)
{
        return scan && !scan->outdated ? logical_scan_group_of_old(scan) : NULL;
}

const LogicalGroup *logical_scan_group_of_old(const BackendScan *scan)
{
        return scan && scan->watch && scan->last.name && !scan->incomplete ? &scan->last : NULL;
}

const char *logical_scan_group_uuid(const BackendScan *scan)
{
        return scan ? scan->last.uuid : NULL;
}

const VolumeRow *logical_scan_row(const BackendScan *scan, const char *name)
{
        return scan ? block_cache_find(scan->cache, name) : NULL;
}

/* Of what is missing, LVM knows the UUID only. */
static int remember_devices(const LogicalGroup *before, LogicalGroup *now)
{
        for (size_t i = 0; i < now->n_pvs; i++) {
                LogicalPv *pv = &now->pvs[i];
                const LogicalPv *old = NULL;
                int r;

                for (size_t j = 0; j < before->n_pvs && !old; j++)
                        old = streq_ptr(before->pvs[j].uuid, pv->uuid) ? &before->pvs[j] : NULL;
                if (pv->device || !old)
                        continue;
                pv->devnum = old->devnum;
                r = free_and_strdup(&pv->was, old->device ?: old->was);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int report_missing(const LogicalGroup *group, PoolReport *report)
{
        for (size_t i = 0; i < group->n_pvs; i++) {
                const LogicalPv *pv = &group->pvs[i];
                int r;

                if (pv->device)
                        continue;
                report->health = HEALTH_DEGRADED;
                r = pool_report_add(report, "missing-device",
                                    "The device with the physical volume %s of the volume group %s is "
                                    "missing%s%s",
                                    strempty(pv->uuid), group->name, pv->was ? "; it was " : "",
                                    strempty(pv->was));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int report_full(const char *what, const LogicalLv *lv, uint32_t percent, const char *then,
                       PoolReport *report)
{
        if (percent == LOGICAL_PERCENT_UNKNOWN || percent < FULL_PERCENT)
                return 0;
        return pool_report_add(report, "low-space", "%s '%s' is %" PRIu32 ".%02" PRIu32 " %% full; %s", what,
                               lv->name, percent / 100, percent % 100, then);
}

/* A job that fills a volume has it for itself; whoever holds a leftover only has it open. */
static bool is_being_filled(BackendContext *ctx, const LogicalLv *lv)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;

        if (asprintf(&path, "%s/%s", ctx->pool->target_path, lv->name) < 0) {
                path = NULL;
                return false;
        }
        fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
        return fd < 0 && errno == EBUSY;
}

static int report_lv(BackendContext *ctx, const LogicalLv *lv, PoolReport *report)
{
        int r;

        /* One that nobody has open is about to be published, or to go with the next worker. */
        if (lv->unfinished && (lv->thin_pool || !logical_lv_is_open(lv) || is_being_filled(ctx, lv)))
                return 0;
        if (lv->unfinished)
                return pool_report_add(report, "skipped",
                                       "\"%s\" is skipped: it is what is left of a volume whose making was "
                                       "cut short, and cannot be removed now",
                                       lv->name);
        if (lv->thick_snapshot)
                return report_full("The room for differences of snapshot", lv, lv->data_percent,
                                   "when it is full its contents are lost: extend or delete it", report);
        if (!lv->thin_pool)
                return 0;
        r = report_full("The thin pool", lv, lv->data_percent,
                        "when it is full its volumes cannot be written any more: extend it", report);
        return r < 0 ? r
                     : report_full("The metadata of thin pool", lv, lv->metadata_percent,
                                   "when it is full its volumes cannot be written any more: extend it",
                                   report);
}

static int report_thin_pools(const LogicalGroup *group, PoolDetails *details)
{
        details->thin_pools = calloc(group->n_lvs + 1, sizeof(ThinPool));
        if (!details->thin_pools)
                return -ENOMEM;
        for (size_t i = 0; i < group->n_lvs && details->n_thin_pools < DETAILS_LIST_MAX; i++) {
                const LogicalLv *lv = &group->lvs[i];
                ThinPool *pool = &details->thin_pools[details->n_thin_pools];

                if (!lv->thin_pool)
                        continue;
                *pool = (ThinPool){
                        .name = strdup(lv->name),
                        .capacity = lv->size,
                        .allocation = logical_lv_allocation(lv),
                        .metadata_capacity = lv->metadata_size,
                        .metadata_allocation =
                                lv->metadata_percent == LOGICAL_PERCENT_UNKNOWN
                                        ? 0
                                        : logical_part_of(lv->metadata_size, lv->metadata_percent),
                };
                if (!pool->name)
                        return -ENOMEM;
                details->n_thin_pools++;
        }
        return 0;
}

static PoolStatus status_of(const LogicalGroup *group)
{
        return (PoolStatus){
                .capacity = group->size,
                .allocation = group->size - group->free,
                .available = group->free,
        };
}

static int report_group(BackendContext *ctx, const LogicalGroup *group, PoolReport *report)
{
        struct stat st;
        int r;

        report->status = status_of(group);
        report->permissions = PERMISSIONS_UNSET;
        /* It is there only while one of its volumes is active. */
        if (stat(ctx->pool->target_path, &st) >= 0 && S_ISDIR(st.st_mode)) {
                report->permissions.mode = st.st_mode & 0777;
                report->permissions.owner = st.st_uid;
                report->permissions.group = st.st_gid;
        }
        report->details.extent_size = group->extent_size;
        report->details.volume_group = strdup(group->name);
        if (!report->details.volume_group)
                return -ENOMEM;
        r = report_thin_pools(group, &report->details);
        if (r >= 0)
                r = report_missing(group, report);
        for (size_t i = 0; i < group->n_lvs && r >= 0; i++)
                r = report_lv(ctx, &group->lvs[i], report);
        return r;
}

/* What is open cannot go, and lvm would try for seconds. */
static bool reap_kind(BackendContext *ctx, const LogicalGroup *group, bool thin_pools)
{
        bool any = false;

        for (size_t i = 0; i < group->n_lvs; i++) {
                const LogicalLv *lv = &group->lvs[i];

                if (lv->unfinished && lv->thin_pool == thin_pools &&
                    (thin_pools || !logical_lv_is_open(lv)) && logical_remove_unfinished(ctx, lv->name) >= 0)
                        any = true;
        }
        return any;
}

/* Calls of a pool's worker are one at a time: what is unfinished when a scan begins is nobody's work any
 * more. */
static int reap(BackendContext *ctx, BackendScan *scan, LogicalGroup *group)
{
        bool any;

        if (scan->reaped)
                return 0;
        scan->reaped = true;
        /* Volumes have their pool open, and go before it. */
        any = reap_kind(ctx, group, false);
        if (!reap_kind(ctx, group, true) && !any)
                return 0;
        logical_group_done(group);
        return logical_group_read(ctx, group);
}

static int put_rows(BackendContext *ctx, BackendScan *scan, const LogicalGroup *group, RefreshSink *sink)
{
        block_cache_begin(scan->cache);
        for (size_t i = 0; i < group->n_lvs; i++) {
                const LogicalLv *lv = &group->lvs[i];
                VolumeRow row;
                int r;

                if (lv->hidden || lv->unfinished)
                        continue;
                r = logical_row(ctx->pool, lv, false, block_cache_find(scan->cache, lv->name), &row);
                if (r < 0)
                        return r;
                r = block_cache_put(scan->cache, &row, sink);
                volume_row_done(&row);
                if (r < 0)
                        return r;
        }
        return block_cache_end(scan->cache, sink);
}

/* Of a group that cannot be read nothing is known: that is no reason to forget its volumes. */
static int report_inaccessible(BackendContext *ctx, BackendScan *scan, PoolReport *ret)
{
        int r;

        scan->incomplete = scan->outdated = true;
        ret->health = HEALTH_INACCESSIBLE;
        ret->status = status_of(&scan->last);
        ret->permissions = PERMISSIONS_UNSET;
        r = pool_report_add(ret, "inaccessible", "%s",
                            ctx->error && ctx->error->message ? ctx->error->message
                                                              : "The volume group cannot be read");
        if (r >= 0 && ctx->error)
                sd_bus_error_free(ctx->error);
        return r;
}

int logical_scan_refresh(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret)
{
        uint64_t begin = now_monotonic(), usec;
        LogicalGroup group = {0};
        int r;

        r = logical_group_read(ctx, &group);
        usec = now_monotonic() - begin;
        if (r >= 0)
                r = reap(ctx, scan, &group);
        if (r < 0)
                return report_inaccessible(ctx, scan, ret);
        r = remember_devices(&scan->last, &group);
        logical_group_done(&scan->last);
        scan->last = group;
        scan->incomplete = logical_group_n_missing(&group) > 0;
        scan->outdated = false;
        if (r >= 0)
                r = put_rows(ctx, scan, &group, sink);
        if (r >= 0)
                r = report_group(ctx, &group, ret);
        if (r >= 0 && scan->follow)
                r = logical_follow_set(scan->follow, &group, usec);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot look at pool '%s'", ctx->pool->name) : 0;
}

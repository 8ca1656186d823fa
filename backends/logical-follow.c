/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/logical-follow.h"

#include <libdevmapper.h>

#include "backends/logical-kernel.h"

#define USEC_MIN (2 * USEC_PER_SEC)
#define USEC_MAX (30 * USEC_PER_SEC)
#define READ_FACTOR 10U

struct LogicalFollow {
        sd_event_source *timer;
        void (*changed)(void *userdata);
        void *userdata;
        char **uuids;      /* device-mapper's, of the devices */
        uint64_t usec;     /* how long to wait until the next look */
        uint64_t usec_min; /* by how long a refresh takes */
        uint64_t seen;     /* a hash of all that they said */
};

static void on_log(int level, const char *file, int line, int dm_errno, const char *format, ...)
{
        /* What cannot be read now is read the next time. */
}

/* FNV-1a. */
static uint64_t add_hash(uint64_t hash, const char *s)
{
        for (; *s; s++)
                hash = (hash ^ (unsigned char) *s) * UINT64_C(0x100000001b3);
        return hash;
}

static uint64_t hash_status(const char *uuid, uint64_t hash)
{
        struct dm_task *task = dm_task_create(DM_DEVICE_STATUS);
        char *type, *params;
        uint64_t start, length;

        if (!task)
                return hash;
        /* A flush would write metadata each time. */
        if (dm_task_set_uuid(task, uuid) && dm_task_no_flush(task) && dm_task_run(task)) {
                (void) dm_get_next_target(task, NULL, &start, &length, &type, &params);
                hash = add_hash(hash, strempty(params));
        }
        dm_task_destroy(task);
        return hash;
}

static uint64_t look(const LogicalFollow *f)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        char *const *uuid;

        STRV_FOREACH (uuid, f->uuids)
                hash = hash_status(*uuid, hash);
        /* It keeps a descriptor open otherwise. */
        dm_lib_release();
        return hash;
}

static void arm(LogicalFollow *f)
{
        (void) sd_event_source_set_time(f->timer, now_monotonic() + f->usec);
        (void) sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        LogicalFollow *f = userdata;
        uint64_t seen = look(f);

        if (seen != f->seen) {
                f->seen = seen;
                f->usec = f->usec_min;
                arm(f);
                f->changed(f->userdata);
                return 0;
        }
        f->usec = f->usec * 2 < USEC_MAX ? f->usec * 2 : USEC_MAX;
        arm(f);
        return 0;
}

static int add_uuid(LogicalFollow *f, const LogicalGroup *group, const LogicalLv *lv)
{
        char uuid[LOGICAL_KERNEL_UUID_SIZE];

        logical_kernel_uuid(group->uuid, lv->uuid, lv->thin_pool ? "-tpool" : "", uuid);
        return strv_extend(&f->uuids, uuid);
}

int logical_follow_set(LogicalFollow *f, const LogicalGroup *group, uint64_t usec)
{
        _cleanup_strv_free_ char **before = TAKE_PTR(f->uuids);
        int r = 0;

        for (size_t i = 0; i < group->n_lvs && r >= 0; i++) {
                const LogicalLv *lv = &group->lvs[i];

                if ((lv->thin_pool || lv->thick_snapshot) && logical_lv_is_active(lv))
                        r = add_uuid(f, group, lv);
        }
        f->usec_min = usec * READ_FACTOR;
        f->usec_min = f->usec_min < USEC_MIN ? USEC_MIN : f->usec_min > USEC_MAX ? USEC_MAX : f->usec_min;
        if (r < 0 || !f->uuids) {
                (void) sd_event_source_set_enabled(f->timer, SD_EVENT_OFF);
                return r;
        }
        if (strv_equal(before, f->uuids))
                return 0;
        f->seen = look(f);
        f->usec = f->usec_min;
        arm(f);
        return 0;
}

LogicalFollow *logical_follow_free(LogicalFollow *f)
{
        if (!f)
                return NULL;
        sd_event_source_disable_unref(f->timer);
        strv_free(f->uuids);
        free(f);
        return NULL;
}

int logical_follow_new(sd_event *event, void (*changed)(void *userdata), void *userdata, LogicalFollow **ret)
{
        _cleanup_(logical_follow_freep) LogicalFollow *f = calloc(1, sizeof *f);
        int r;

        if (!f)
                return -ENOMEM;
        f->changed = changed;
        f->userdata = userdata;
        f->usec_min = USEC_MIN;
        dm_log_with_errno_init(on_log);
        r = sd_event_add_time(event, &f->timer, CLOCK_MONOTONIC, 0, 0, on_timer, f);
        if (r >= 0)
                r = sd_event_source_set_enabled(f->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

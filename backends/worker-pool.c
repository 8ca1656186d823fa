/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/worker-pool.h"
#include "backends/pool-steps.h"

static bool on_cancelled(BackendContext *ctx)
{
        return worker_is_cancelled();
}

static void on_progress(BackendContext *ctx, uint64_t done, uint64_t total)
{
        /* The calls of a pool's worker are short: long work is a data worker's. */
}

static void drop_scan(PoolWorker *w)
{
        if (w->raid_watch)
                w->raid_watch = raid_watch_free(w->raid_watch);
        if (w->scan)
                w->scan = w->backend->scan_free(w->scan);
        /* It was found by that scan: of a pool that was stopped meanwhile it would not be true. */
        status_sender_drop(&w->status);
        w->listed = false;
}

BackendContext pool_worker_context(PoolWorker *w, sd_bus_error *error)
{
        return (BackendContext){
                .pool = w->def,
                .scan = w->scan,
                .error = error,
                .cancelled = on_cancelled,
                .progress = on_progress,
                .userdata = w,
        };
}

static void on_wake(void *userdata);

/* Turns the watch of what was scanned on or off, as w->watched says. */
static int set_watch(PoolWorker *w, BackendContext *ctx)
{
        int r = 0;

        if (w->backend->watch)
                r = w->backend->watch(ctx, w->scan, w->watched ? w->event : NULL, on_wake, w);
        if (w->raid_watch)
                w->raid_watch = raid_watch_free(w->raid_watch);
        if (r >= 0 && w->watched && pool_has_raid(w->def))
                r = raid_watch_new(ctx, w->event, on_wake, w, &w->raid_watch);
        return r;
}

static int ensure_scan(PoolWorker *w, sd_bus_error *error)
{
        BackendContext ctx = pool_worker_context(w, error);
        int r;

        if (w->scan)
                return 0;
        r = w->backend->scan_new(&ctx, &w->scan);
        return r < 0 || !w->watched ? r : set_watch(w, &ctx);
}

/* Lets the backend look, and sends its rows; whether they were a complete listing. */
static int look_rows(PoolWorker *w, bool all, sd_bus_error *error, PoolReport *ret, bool *ret_listing)
{
        BackendContext ctx = pool_worker_context(w, error);
        RowSender rows;
        bool half;
        int r;

        row_sender_init(&rows, w->bus, !w->listed);
        r = pool_look(w->backend, &ctx, w->scan, all, &rows.sink, ret);
        w->listed &= !rows.listing;
        half = !w->listed && !rows.first;
        /* Of storage that does not answer nothing is known: the daemon keeps what it has. */
        if (r < 0 || ret->health == HEALTH_INACCESSIBLE)
                rows.first = false;
        else
                w->listed = true;
        if (r >= 0)
                r = row_sender_finish(&rows);
        row_sender_done(&rows);
        /* Half a complete listing is none: the next one must begin anew. */
        if (half && !w->listed) {
                drop_scan(w);
                (void) ensure_scan(w, NULL);
        }
        *ret_listing = rows.listing && w->listed;
        return r;
}

static int look(PoolWorker *w, bool all, sd_bus_error *error)
{
        PoolReport report = {0};
        bool listing;
        int r;

        r = ensure_scan(w, error);
        if (r < 0)
                return r;
        r = look_rows(w, all, error, &report, &listing);
        if (r >= 0)
                r = status_sender_send(&w->status, &report, all || listing);
        pool_report_done(&report);
        return r;
}

void pool_worker_look(PoolWorker *w)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        if (!w->asked)
                return;
        worker_call_begin();
        r = look(w, false, &error);
        if (r < 0)
                fprintf(stderr, "Pool %s: %s\n", w->def->name, error.message ?: strerrordesc_np(-r));
}

static void on_wake(void *userdata)
{
        pool_worker_look(userdata);
}

int pool_worker_need(PoolWorker *w, bool has, const char *what, sd_bus_error *error)
{
        if (!w->def)
                return sd_bus_error_set(error, STORAGE_ERROR_FAILED, "The worker has not been given a pool");
        if (has)
                return 0;
        return sd_bus_error_setf(error, STORAGE_ERROR_UNSUPPORTED, "Pools of type %s cannot %s",
                                 pool_type_to_string(w->def->type), what);
}

/* The members of an array may change while it runs; what is on it is the same. */
static bool is_other_storage(const PoolDef *a, const PoolDef *b)
{
        PoolDef same_members = *a;

        same_members.raid = b->raid;
        return !pool_def_equal(&same_members, b);
}

static int method_set_pool(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        PoolWorker *w = userdata;
        const Backend *backend;
        const char *xml;
        int r;

        r = sd_bus_message_read(m, "s", &xml);
        if (r < 0)
                return r;
        r = pool_def_parse_xml(xml, strlen(xml), &def, error);
        if (r < 0)
                return r;
        backend = backend_find(def->type);
        if (!backend)
                return sd_bus_error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                         "There are no pools of type %s yet",
                                         pool_type_to_string(def->type));
        /* What was found belongs to the definition that it was found with. */
        if (w->def && is_other_storage(w->def, def))
                drop_scan(w);
        pool_def_free(w->def);
        w->def = TAKE_PTR(def);
        w->backend = backend;
        return sd_bus_reply_method_return(m, NULL);
}

static int method_check(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        bool active;
        int r;

        r = pool_worker_need(w, true, "be checked", error);
        if (r < 0)
                return r;
        r = pool_check_storage(w->backend, &ctx, &active);
        return r < 0 ? r : sd_bus_reply_method_return(m, "b", (int) active);
}

static int method_build(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        int r, overwrite = false;
        bool made = false;

        r = pool_worker_need(w, w->backend && w->backend->build, "be built", error);
        if (r < 0)
                return r;
        r = worker_read_options(m, &(WorkerOption){"overwrite", "b", &overwrite}, 1);
        if (r < 0)
                return r;
        r = pool_build_storage(w->backend, &ctx, &(BuildOptions){.overwrite = overwrite}, &made);
        return r < 0 ? r : sd_bus_reply_method_return(m, "b", (int) made);
}

static int simple(sd_bus_message *m, PoolWorker *w, bool has,
                  int (*verb)(const Backend *backend, BackendContext *ctx), const char *what,
                  sd_bus_error *error)
{
        BackendContext ctx = pool_worker_context(w, error);
        int r;

        r = pool_worker_need(w, has, what, error);
        if (r < 0)
                return r;
        r = verb(w->backend, &ctx);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

static int method_start(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;

        return simple(m, w, w->def && (w->backend->start || pool_has_raid(w->def)), pool_start_storage,
                      "be started", error);
}

static int method_stop(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;

        drop_scan(w);
        w->watched = w->asked = false;
        return simple(m, w, w->def && (w->backend->stop || pool_has_raid(w->def)), pool_stop_storage,
                      "be stopped", error);
}

static int method_delete(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;

        return simple(m, w, w->def && w->backend->delete, pool_delete_storage, "be deleted", error);
}

static int method_refresh(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;
        int r;

        r = pool_worker_need(w, w->backend && w->backend->refresh, "be refreshed", error);
        if (r < 0)
                return r;
        w->asked = true;
        r = look(w, true, error);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

static int method_watch(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        int r, on;

        r = sd_bus_message_read(m, "b", &on);
        if (r < 0)
                return r;
        r = pool_worker_need(w, w->backend && w->backend->watch, "be watched", error);
        if (r < 0)
                return r;
        w->watched = on;
        if (!w->scan)
                r = on ? ensure_scan(w, error) : 0;
        else
                r = set_watch(w, &ctx);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

static int method_change_raid(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        const char *action, *device;
        int r;

        r = pool_worker_need(w, w->def && pool_has_raid(w->def), "have their array changed without one",
                             error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "ss", &action, &device);
        if (r < 0)
                return r;
        r = raid_change_member(&ctx, action, device);
        /* What became of it is told before the reply. */
        pool_worker_look(w);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

static int method_find_sources(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return worker_find_sources(m, error);
}

static int method_ping(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable pool_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("SetPool", "sa{sv}", "", method_set_pool, 0),
        SD_BUS_METHOD("Check", "", "b", method_check, 0),
        SD_BUS_METHOD("Build", "a{sv}", "b", method_build, 0),
        SD_BUS_METHOD("Start", "a{sv}", "", method_start, 0),
        SD_BUS_METHOD("Stop", "a{sv}", "", method_stop, 0),
        SD_BUS_METHOD("Delete", "a{sv}", "", method_delete, 0),
        SD_BUS_METHOD("Refresh", "", "", method_refresh, 0),
        SD_BUS_METHOD("Watch", "b", "", method_watch, 0),
        SD_BUS_METHOD("CreateVolume", "sa{sv}", "saha" VOLUME_ROW_SIGNATURE "b", pool_worker_create_volume, 0),
        SD_BUS_METHOD("PublishVolume", "s", VOLUME_ROW_SIGNATURE, pool_worker_publish_volume, 0),
        SD_BUS_METHOD("DiscardVolume", "s", "", pool_worker_discard_volume, 0),
        SD_BUS_METHOD("DeleteVolume", "sa{sv}", "", pool_worker_delete_volume, 0),
        SD_BUS_METHOD("ResizeVolume", "sta{sv}", VOLUME_ROW_SIGNATURE, pool_worker_resize_volume, 0),
        SD_BUS_METHOD("OpenVolume", "ssa{sv}", "h", pool_worker_open_volume, 0),
        SD_BUS_METHOD("ListUsers", "s", "a(sua{sv})", pool_worker_list_users, 0),
        SD_BUS_METHOD("LookVolume", "s", VOLUME_ROW_SIGNATURE, pool_worker_look_volume, 0),
        SD_BUS_METHOD("ChangeRaid", "ss", "", method_change_raid, 0),
        SD_BUS_METHOD("FindSources", "ss", "aa{sv}", method_find_sources, 0),
        SD_BUS_METHOD("Ping", "", "", method_ping, 0),
        SD_BUS_SIGNAL("Rows", "ba" VOLUME_ROW_SIGNATURE "as", 0),
        SD_BUS_SIGNAL("Status", "tttsa(ss)uuua{sv}", 0),
        SD_BUS_VTABLE_END,
};

static void pool_free(void *userdata)
{
        PoolWorker *w = userdata;

        drop_scan(w);
        status_sender_done(&w->status);
        pool_def_free(w->def);
        free(w);
}

static int pool_new(sd_bus *bus, sd_event *event, void **ret)
{
        PoolWorker *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->bus = bus;
        w->event = event;
        r = status_sender_init(&w->status, bus, event);
        if (r < 0) {
                pool_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

const WorkerRole worker_role_pool = {
        .name = "pool",
        .vtable = pool_vtable,
        .new = pool_new,
        .free = pool_free,
};

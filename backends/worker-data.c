/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/worker-data.h"

#include <pthread.h>
#include <signal.h>

#define PROGRESS_USEC (USEC_PER_SEC / 4)
/* A few tries to write, each of which may take a minute. */
#define ANSWER_USEC (300 * USEC_PER_SEC)

static void tell_progress(DataWorker *w)
{
        uint64_t now = now_monotonic();

        if (!w->untold || now - w->last < PROGRESS_USEC)
                return;
        w->last = now;
        w->untold = false;
        (void) sd_bus_emit_signal(w->bus, WORKER_PATH, WORKER_INTERFACE, "Progress", "tt", w->done, w->total);
        (void) sd_bus_flush(w->bus);
}

/* It is asked between any two steps: before one that may last what is known of those before is told. */
static bool on_cancelled(BackendContext *ctx)
{
        tell_progress(ctx->userdata);
        return worker_is_cancelled();
}

static void on_progress(BackendContext *ctx, uint64_t done, uint64_t total)
{
        DataWorker *w = ctx->userdata;

        w->done = done;
        w->total = total;
        w->untold = true;
        tell_progress(w);
}

BackendContext data_context(DataWorker *w, const PoolDef *pool, sd_bus_error *error)
{
        w->untold = false;
        return (BackendContext){
                .pool = pool,
                .error = error,
                .cancelled = on_cancelled,
                .progress = on_progress,
                .userdata = w,
        };
}

int data_call_begin(sd_bus_message *m, DataWorker *w, sd_bus_error *error, DataCall *ret)
{
        _cleanup_(pool_def_freep) PoolDef *pool = NULL;
        const char *pool_xml, *name;
        int r, fd;

        r = sd_bus_message_read(m, "ssh", &pool_xml, &name, &fd);
        if (r >= 0)
                r = pool_def_parse_xml(pool_xml, strlen(pool_xml), &pool, error);
        if (r < 0)
                return r;
        *ret = (DataCall){.ctx = data_context(w, pool, error), .name = name, .fd = fd};
        ret->pool = TAKE_PTR(pool);
        return 0;
}

void data_call_done(DataCall *call)
{
        pool_def_free(call->pool);
}

/* Being cancelled does not interrupt it: who is not answered may not write, and the answer comes soon. */
static int ask(DataWorker *w, const char *question, sd_bus_error *error)
{
        sigset_t all, before;
        int r;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_BLOCK, &all, &before);
        r = sd_bus_call_method(w->bus, NULL, WORKER_PATH, WORKER_INTERFACE, question, error, NULL, NULL);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        return r;
}

int data_call_writing(DataCall *call)
{
        return ask(call->ctx.userdata, "Writing", call->ctx.error);
}

int data_call_whole(DataCall *call)
{
        DataWorker *w = call->ctx.userdata;
        int r;

        r = sd_bus_emit_signal(w->bus, WORKER_PATH, WORKER_INTERFACE, "Whole", NULL);
        /* In the socket's buffer it outlives us. */
        return r < 0 ? r : sd_bus_flush(w->bus);
}

static int fill(DataWorker *w, const PoolDef *pool, const VolumeDef *def, Preallocation p,
                const char *secret, int fd, sd_bus_error *error)
{
        const Backend *backend = backend_find(pool->type);
        BackendContext ctx = data_context(w, pool, error);

        if (!backend || !backend->volume_fill)
                return sd_bus_error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                         "Volumes in pools of type %s cannot be filled",
                                         pool_type_to_string(pool->type));
        ctx.secret = secret;
        return backend->volume_fill(&ctx, def, p, fd);
}

int data_worker_fill(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(volume_def_freep) VolumeDef *def = NULL;
        _cleanup_(pool_def_freep) PoolDef *pool = NULL;
        const char *pool_xml, *volume_xml, *preallocation = "", *secret = NULL;
        const WorkerOption options[] = {{"preallocation", "s", &preallocation}, {"secret", "s", &secret}};
        DataWorker *w = userdata;
        Preallocation p;
        int r, fd;

        r = sd_bus_message_read(m, "ssh", &pool_xml, &volume_xml, &fd);
        if (r >= 0)
                r = worker_read_options(m, options, ELEMENTSOF(options));
        if (r >= 0)
                r = worker_parse_preallocation(preallocation, &p, error);
        if (r >= 0)
                r = pool_def_parse_xml(pool_xml, strlen(pool_xml), &pool, error);
        if (r >= 0)
                r = volume_def_parse_xml(volume_xml, strlen(volume_xml), pool->type, &def, error);
        if (r >= 0)
                r = fill(w, pool, def, p, secret, fd, error);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable data_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Fill", "ssha{sv}", "", data_worker_fill, 0),
        SD_BUS_METHOD("Copy", "ssha(shs)a{sv}", "", data_worker_copy, 0),
        SD_BUS_METHOD("Upload", "sshha{sv}", "ts", data_worker_upload, 0),
        SD_BUS_METHOD("Download", "sshha{sv}", "ts", data_worker_download, 0),
        SD_BUS_METHOD("Measure", "sh", "t", data_worker_measure, 0),
        SD_BUS_METHOD("Rebase", "ssha(shs)ssa(shs)", "", data_worker_rebase, 0),
        SD_BUS_METHOD("SetBacking", "sshsssa{sv}", "", data_worker_set_backing, 0),
        SD_BUS_METHOD("Commit", "ssha(shs)", "", data_worker_commit, 0),
        SD_BUS_METHOD("Snapshot", "sshssa{sv}", "", data_worker_snapshot, 0),
        SD_BUS_METHOD("Grow", "sshtta{sv}", "", data_worker_grow, 0),
        SD_BUS_METHOD("Wipe", "sshs", "", data_worker_wipe, 0),
        SD_BUS_METHOD("FileSnapshot", "sshss", "a" VOLUME_ROW_SIGNATURE, data_worker_file_snapshot, 0),
        SD_BUS_METHOD("CopyBack", "sshh", "", data_worker_copy_back, 0),
        SD_BUS_SIGNAL("Progress", "tt", 0),
        SD_BUS_SIGNAL("Whole", "", 0),
        SD_BUS_VTABLE_END,
};

static int data_new(sd_bus *bus, sd_event *event, void **ret)
{
        DataWorker *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;
        w->bus = bus;
        /* The daemon is as patient with its answer as it is with its disk. */
        (void) sd_bus_set_method_call_timeout(bus, ANSWER_USEC);
        w->last = now_monotonic();
        *ret = w;
        return 0;
}

static void data_free(void *userdata)
{
        free(userdata);
}

const WorkerRole worker_role_data = {
        .name = "data",
        .vtable = data_vtable,
        .new = data_new,
        .free = data_free,
};

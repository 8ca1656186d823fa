/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/worker.h"
#include "common/candidate.h"

/* What is told of one machine; there are not more devices that a person could choose from. */
#define FOUND_MAX 4096U

typedef struct FoundReply {
        FoundSink sink;
        sd_bus_message *m;
        size_t n;
} FoundReply;

static int on_found(FoundSink *sink, const FoundSource *s)
{
        /* Only to be shown: nothing of it is changed or freed. */
        const Candidate c = {
                .devices = (char **) s->devices,
                .links = (char **) s->links,
                .name = (char *) s->name,
                .format = (char *) s->format,
                .size = s->size,
                .vendor = (char *) s->vendor,
                .model = (char *) s->model,
                .serial = (char *) s->serial,
                .removable = s->removable,
                .read_only = s->read_only,
                .contents = (char *) s->contents,
                .used_by = (char *) s->used_by,
                .unsuitable = (char *) s->unsuitable,
        };
        FoundReply *f = sink->userdata;

        return f->n++ < FOUND_MAX ? candidate_append(&c, f->m) : 0;
}

static bool on_cancelled(BackendContext *ctx)
{
        return worker_is_cancelled();
}

static void on_progress(BackendContext *ctx, uint64_t done, uint64_t total)
{
        /* Nobody can tell how much there is to look at. */
}

int worker_find_sources(sd_bus_message *m, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        BackendContext ctx = {.error = error, .cancelled = on_cancelled, .progress = on_progress};
        FoundReply f = {.sink = {.found = on_found, .userdata = &f}};
        const char *type, *xml;
        const Backend *backend;
        int r;

        r = sd_bus_message_read(m, "ss", &type, &xml);
        if (r < 0)
                return r;
        backend = backend_find(pool_type_from_string(type));
        if (!backend || !backend->find_sources)
                return sd_bus_error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                         "Pools of type %s cannot look for sources", type);
        r = pool_source_parse_xml(backend->type, xml, strlen(xml), &def, error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (r < 0)
                return r;
        ctx.pool = def;
        f.m = reply;
        r = backend->find_sources(&ctx, &f.sink);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

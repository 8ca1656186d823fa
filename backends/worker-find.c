/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/worker.h"
#include "common/bus-dict.h"

/* What is told of one machine; there are not more devices that a person could choose from. */
#define FOUND_MAX 4096U

typedef struct FoundReply {
        FoundSink sink;
        sd_bus_message *m;
        size_t n;
} FoundReply;

/* What devices say of themselves may be no UTF-8, which fails a whole message. */
static int append_text(sd_bus_message *m, const char *key, const char *value)
{
        _cleanup_free_ char *valid = NULL;
        int r;

        if (isempty(value))
                return 0;
        r = utf8_make_valid(value, strlen(value), &valid);
        return r < 0 ? r : sd_bus_message_append(m, "{sv}", key, "s", valid);
}

static int append_list(sd_bus_message *m, const char *key, const char *const *list)
{
        int r;

        if (!list || !list[0])
                return 0;
        r = bus_dict_open_array(m, key, "as");
        for (; r >= 0 && *list; list++)
                r = sd_bus_message_append(m, "s", *list);
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_texts(sd_bus_message *m, const FoundSource *s)
{
        const struct {
                const char *key, *value;
        } texts[] = {
                {"source-name", s->name}, {"source-format", s->format},  {"vendor", s->vendor},
                {"model", s->model},      {"serial", s->serial},         {"contents", s->contents},
                {"used-by", s->used_by},  {"unsuitable", s->unsuitable},
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(texts); i++)
                r = append_text(m, texts[i].key, texts[i].value);
        return r;
}

static int on_found(FoundSink *sink, const FoundSource *s)
{
        FoundReply *f = sink->userdata;
        int r;

        if (f->n++ >= FOUND_MAX)
                return 0;
        r = sd_bus_message_open_container(f->m, 'a', "{sv}");
        if (r >= 0)
                r = append_list(f->m, "source-devices", s->devices);
        if (r >= 0)
                r = append_list(f->m, "links", s->links);
        if (r >= 0)
                r = append_texts(f->m, s);
        if (r >= 0 && s->size > 0)
                r = sd_bus_message_append(f->m, "{sv}", "size", "t", s->size);
        if (r >= 0 && s->removable)
                r = sd_bus_message_append(f->m, "{sv}", "removable", "b", 1);
        if (r >= 0 && s->read_only)
                r = sd_bus_message_append(f->m, "{sv}", "read-only", "b", 1);
        return r < 0 ? r : sd_bus_message_close_container(f->m);
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

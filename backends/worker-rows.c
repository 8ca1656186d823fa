/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/worker.h"

static int begin(RowSender *s)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        int r;

        if (s->m)
                return 0;
        r = sd_bus_message_new_signal(s->bus, &m, WORKER_PATH, WORKER_INTERFACE, "Rows");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "b", (int) s->first);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', VOLUME_ROW_SIGNATURE);
        if (r < 0)
                return r;
        s->m = TAKE_PTR(m);
        s->first = false;
        return 0;
}

/* The flush blocks while the daemon does not read: it decides how fast rows come. */
static int flush(RowSender *s)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = TAKE_PTR(s->m);
        _cleanup_strv_free_ char **removed = TAKE_PTR(s->removed);
        int r;

        s->n = 0;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        r = sd_bus_message_append_strv(m, removed);
        if (r < 0)
                return r;
        r = sd_bus_send(s->bus, m, NULL);
        if (r < 0)
                return r;
        return sd_bus_flush(s->bus);
}

static int count(RowSender *s)
{
        return ++s->n >= WORKER_ROWS_MAX ? flush(s) : 0;
}

static int on_changed(RefreshSink *sink, const VolumeRow *row)
{
        RowSender *s = sink->userdata;
        int r;

        r = begin(s);
        if (r < 0)
                return r;
        r = volume_row_append(row, s->m);
        return r < 0 ? r : count(s);
}

static int on_removed(RefreshSink *sink, const char *name)
{
        RowSender *s = sink->userdata;
        int r;

        r = begin(s);
        if (r < 0)
                return r;
        r = strv_extend(&s->removed, name);
        return r < 0 ? r : count(s);
}

static void on_restart(RefreshSink *sink)
{
        RowSender *s = sink->userdata;

        s->first = s->listing = true;
}

void row_sender_init(RowSender *s, sd_bus *bus, bool first)
{
        *s = (RowSender){
                .sink = {.changed = on_changed, .removed = on_removed, .restart = on_restart, .userdata = s},
                .bus = bus,
                .first = first,
                .listing = first,
        };
}

int row_sender_finish(RowSender *s)
{
        int r = s->first ? begin(s) : 0;

        if (r < 0)
                return r;
        return s->m ? flush(s) : 0;
}

void row_sender_done(RowSender *s)
{
        sd_bus_message_unref(s->m);
        strv_free(s->removed);
}

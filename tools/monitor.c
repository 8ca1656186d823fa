/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>

#include "tools/call.h"
#include "tools/event.h"
#include "tools/monitor.h"
#include "tools/object-name.h"
#include "tools/report.h"

const Option monitor_options[] = {
        {"count", "N", OPTION_NUMBER, NULL, "end after N lines"},
        {"timeout", "SECONDS", OPTION_NUMBER, NULL, "end after that time"},
        {0},
};

typedef struct Monitor {
        Context *c;
        sd_event *event;
        json_object *names;   /* of pools, by object path */
        uint64_t count, seen; /* count 0: without end */
} Monitor;

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Monitor *monitor = userdata;
        Event e = {0};
        int r;

        r = event_from_signal(m, monitor->names, &e);
        if (r == 0)
                return 0;
        if (r > 0)
                r = event_print(&e, monitor->c->json);
        event_done(&e);
        /* a message that cannot be read is no reason to stop, an output that is gone is one */
        if (r == -EIO)
                return sd_event_exit(monitor->event, r);
        if (r >= 0 && ++monitor->seen == monitor->count)
                return sd_event_exit(monitor->event, 0);
        return 0;
}

static int on_end(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
        Monitor *monitor = userdata;

        return sd_event_exit(monitor->event, monitor->count > 0 ? -ETIMEDOUT : 0);
}

static int read_names(Monitor *monitor, sd_bus_error *error)
{
        _cleanup_json_ json_object *root = NULL;
        int r;

        r = read_root(monitor->c, &root, error);
        return r < 0 ? r : object_names_read(root, monitor->names);
}

static int subscribe(Monitor *monitor, sd_bus_error *error)
{
        Context *c = monitor->c;
        int r;

        r = context_connect(c, error);
        if (r >= 0)
                r = sd_bus_add_match(c->bus, NULL,
                                     "type='signal',sender='" STORAGE_BUS_NAME
                                     "',path_namespace='" STORAGE_PATH "'",
                                     on_signal, monitor);
        if (r >= 0)
                r = sd_bus_add_match(c->bus, NULL, MATCH_OWNER_CHANGED, on_signal, monitor);
        return r < 0 ? r : read_names(monitor, error);
}

static int set_up_loop(Monitor *monitor, const Args *a)
{
        const OptionValue *timeout = args_find(a, "timeout");
        sigset_t signals;
        int r;

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGINT);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &signals, NULL);
        r = sd_event_add_signal(monitor->event, NULL, SIGINT, on_end, NULL);
        if (r >= 0)
                r = sd_event_add_signal(monitor->event, NULL, SIGTERM, on_end, NULL);
        if (r >= 0 && timeout)
                r = sd_event_add_time_relative(monitor->event, NULL, CLOCK_MONOTONIC,
                                               timeout->number * USEC_PER_SEC, 0, on_timeout, monitor);
        if (r >= 0)
                r = sd_bus_attach_event(monitor->c->bus, monitor->event, SD_EVENT_PRIORITY_NORMAL);
        return r < 0 ? r : sd_bus_set_exit_on_disconnect(monitor->c->bus, true);
}

static int run(Monitor *monitor, const Args *a, sd_bus_error *error)
{
        int r;

        r = subscribe(monitor, error);
        if (r >= 0)
                r = set_up_loop(monitor, a);
        if (r < 0)
                return r;
        if (monitor->c->legend)
                (void) fputs("Watching " STORAGE_BUS_NAME "; Ctrl-C ends it.\n", stderr);
        r = sd_event_loop(monitor->event);
        (void) sd_bus_detach_event(monitor->c->bus);
        if (r == -ETIMEDOUT)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_TIMEOUT, "the time is over, with %llu lines instead of %llu",
                        (unsigned long long) monitor->seen, (unsigned long long) monitor->count);
        if (r > 0)
                return sd_bus_error_set(error, SD_BUS_ERROR_DISCONNECTED,
                                        "the connection to the bus was lost");
        return r;
}

int monitor(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *names = json_object_new_object();
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        const OptionValue *count = args_find(a, "count");
        Monitor m = {.c = c, .names = names, .count = count ? count->number : 0};
        int r;

        if (count && count->number == 0)
                return usage_error("option '--count' wants a number of at least 1");
        r = names ? sd_event_new(&event) : -ENOMEM;
        m.event = event;
        if (r >= 0)
                r = run(&m, a, &error);
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/worker.h"

#include <time.h>

#define SIZES_USEC (USEC_PER_SEC / 2)

static const char *health_to_string(PoolHealth health)
{
        static const char *const names[] = {
                [HEALTH_OK] = "ok", [HEALTH_DEGRADED] = "degraded", [HEALTH_INACCESSIBLE] = "inaccessible"};

        return names[health];
}

static bool sizes_equal(const PoolReport *a, const PoolReport *b)
{
        return a->status.capacity == b->status.capacity && a->status.allocation == b->status.allocation &&
               a->status.available == b->status.available;
}

static bool rest_equal(const PoolReport *a, const PoolReport *b)
{
        if (a->health != b->health || a->n_problems != b->n_problems ||
            a->permissions.mode != b->permissions.mode || a->permissions.owner != b->permissions.owner ||
            a->permissions.group != b->permissions.group || !pool_details_equal(&a->details, &b->details))
                return false;
        for (size_t i = 0; i < a->n_problems; i++) {
                if (!streq(a->problems[i].code, b->problems[i].code) ||
                    !streq(a->problems[i].text, b->problems[i].text))
                        return false;
        }
        return true;
}

static int append_report(sd_bus_message *m, const PoolReport *report)
{
        int r;

        r = sd_bus_message_append(m, "ttts", report->status.capacity, report->status.allocation,
                                  report->status.available, health_to_string(report->health));
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "(ss)");
        if (r < 0)
                return r;
        for (size_t i = 0; i < report->n_problems; i++) {
                r = sd_bus_message_append(m, "(ss)", report->problems[i].code, report->problems[i].text);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "uuu", report->permissions.mode, report->permissions.owner,
                                          report->permissions.group);
        return r < 0 ? r : pool_details_append(&report->details, m);
}

/* Sends next, which becomes the last. */
static int send_next(StatusSender *s)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        int r;

        (void) sd_event_source_set_enabled(s->later, SD_EVENT_OFF);
        r = sd_bus_message_new_signal(s->bus, &m, WORKER_PATH, WORKER_INTERFACE, "Status");
        if (r < 0)
                return r;
        r = append_report(m, &s->next);
        if (r < 0)
                return r;
        pool_report_done(&s->last);
        s->last = s->next;
        s->next = (PoolReport){0};
        s->sent = true;
        s->when = now_monotonic();
        r = sd_bus_send(s->bus, m, NULL);
        return r < 0 ? r : sd_bus_flush(s->bus);
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata)
{
        StatusSender *s = userdata;

        (void) send_next(s);
        return 0;
}

int status_sender_init(StatusSender *s, sd_bus *bus, sd_event *event)
{
        int r;

        *s = (StatusSender){.bus = bus};
        r = sd_event_add_time(event, &s->later, CLOCK_MONOTONIC, 0, 0, on_later, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->later, SD_EVENT_OFF);
}

void status_sender_done(StatusSender *s)
{
        s->later = sd_event_source_disable_unref(s->later);
        pool_report_done(&s->last);
        pool_report_done(&s->next);
}

void status_sender_drop(StatusSender *s)
{
        (void) sd_event_source_set_enabled(s->later, SD_EVENT_OFF);
        pool_report_done(&s->next);
}

int status_sender_send(StatusSender *s, PoolReport *report, bool force)
{
        uint64_t due = s->when + SIZES_USEC;

        pool_report_done(&s->next);
        s->next = *report;
        *report = (PoolReport){0};
        if (force || !s->sent || !rest_equal(&s->last, &s->next) || now_monotonic() >= due) {
                if (!force && s->sent && rest_equal(&s->last, &s->next) && sizes_equal(&s->last, &s->next))
                        return 0;
                return send_next(s);
        }
        if (sizes_equal(&s->last, &s->next))
                return sd_event_source_set_enabled(s->later, SD_EVENT_OFF);
        (void) sd_event_source_set_time(s->later, due);
        return sd_event_source_set_enabled(s->later, SD_EVENT_ONESHOT);
}

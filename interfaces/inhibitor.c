/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/inhibitor.h"

#include <fcntl.h>

#include "common/log.h"

#define LOGIND "org.freedesktop.login1"

/* What is over sooner than this is not worth the asking. */
#define INHIBIT_AFTER_USEC (250 * USEC_PER_MSEC)

struct Inhibitor {
        sd_bus *bus;
        sd_event_source *timer;
        sd_bus_slot *call; /* logind has been asked */
        int fd;            /* the lock: it ends when this is closed */
        bool wanted;
};

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        Inhibitor *i = userdata;
        int fd;

        i->call = sd_bus_slot_unref(i->call);
        if (error) {
                if (!sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) &&
                    !sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
                        log_warning("Cannot keep the machine from sleeping while data moves: %s",
                                    strempty(error->message));
                return 1;
        }
        /* The message's own descriptor is closed with it. */
        if (i->wanted && sd_bus_message_read(reply, "h", &fd) >= 0)
                i->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return 1;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        Inhibitor *i = userdata;
        int r;

        r = sd_bus_message_new_method_call(i->bus, &m, LOGIND, "/org/freedesktop/login1", LOGIND ".Manager",
                                           "Inhibit");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssss", "sleep:shutdown", "storaged",
                                          "Volumes are being copied or changed", "block");
        if (r >= 0)
                r = sd_bus_call_async(i->bus, &i->call, m, on_reply, i, 0);
        if (r < 0)
                log_warning("Cannot ask logind to keep the machine from sleeping: %s", strerrordesc_np(-r));
        return 0;
}

int inhibitor_new(sd_bus *bus, sd_event *event, Inhibitor **ret)
{
        Inhibitor *i = calloc(1, sizeof *i);
        int r;

        if (!i)
                return -ENOMEM;
        i->bus = sd_bus_ref(bus);
        i->fd = -EBADF;
        r = sd_event_add_time(event, &i->timer, CLOCK_MONOTONIC, 0, 0, on_timer, i);
        if (r >= 0)
                r = sd_event_source_set_enabled(i->timer, SD_EVENT_OFF);
        if (r < 0) {
                inhibitor_free(i);
                return r;
        }
        *ret = i;
        return 0;
}

Inhibitor *inhibitor_free(Inhibitor *i)
{
        if (!i)
                return NULL;
        sd_event_source_disable_unref(i->timer);
        sd_bus_slot_unref(i->call);
        safe_close(i->fd);
        sd_bus_unref(i->bus);
        free(i);
        return NULL;
}

void inhibitor_set(Inhibitor *i, bool wanted)
{
        i->wanted = wanted;
        if (!wanted) {
                (void) sd_event_source_set_enabled(i->timer, SD_EVENT_OFF);
                i->fd = safe_close(i->fd);
        } else if (i->fd < 0 && !i->call) {
                (void) sd_event_source_set_time_relative(i->timer, INHIBIT_AFTER_USEC);
                (void) sd_event_source_set_enabled(i->timer, SD_EVENT_ONESHOT);
        }
}

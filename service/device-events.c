/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/device-events.h"

#include <systemd/sd-device.h>

#include "common/log.h"
#include "service/pool-lifecycle.h"

/* A burst, as at boot, overflows what the kernel gives by itself. */
#define BUFFER_SIZE (32U * 1024 * 1024)
/* For so long after the first event others are waited for. */
#define COALESCE_USEC (200 * USEC_PER_MSEC)

struct DeviceEvents {
        Manager *manager;
        sd_device_monitor *monitor;
        sd_event_source *timer;
};

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        DeviceEvents *d = userdata;
        Pool *pool, *next;

        TAILQ_FOREACH_SAFE (pool, &d->manager->pools, entry, next) {
                if (pool_is_on_devices(pool))
                        pool_retry_soon(pool);
        }
        return 0;
}

static int on_device(sd_device_monitor *monitor, sd_device *device, void *userdata)
{
        DeviceEvents *d = userdata;
        sd_device_action_t action;
        int enabled = SD_EVENT_OFF;

        if (sd_device_get_action(device, &action) < 0 ||
            (action != SD_DEVICE_ADD && action != SD_DEVICE_CHANGE))
                return 0;
        (void) sd_event_source_get_enabled(d->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return 0;
        (void) sd_event_source_set_time_relative(d->timer, COALESCE_USEC);
        (void) sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
        return 0;
}

static int start_monitor(DeviceEvents *d)
{
        int r;

        r = sd_device_monitor_new(&d->monitor);
        if (r < 0)
                return r;
        (void) sd_device_monitor_set_receive_buffer_size(d->monitor, BUFFER_SIZE);
        r = sd_device_monitor_filter_add_match_subsystem_devtype(d->monitor, "block", NULL);
        if (r >= 0)
                r = sd_device_monitor_attach_event(d->monitor, d->manager->event);
        return r < 0 ? r : sd_device_monitor_start(d->monitor, on_device, d);
}

int device_events_new(Manager *m, DeviceEvents **ret)
{
        _cleanup_(device_events_freep) DeviceEvents *d = calloc(1, sizeof *d);
        int r;

        if (!d)
                return -ENOMEM;
        d->manager = m;
        r = sd_event_add_time(m->event, &d->timer, CLOCK_MONOTONIC, 0, 0, on_timer, d);
        if (r >= 0)
                r = sd_event_source_set_enabled(d->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = start_monitor(d);
        if (r < 0)
                log_warning("Events of block devices are not seen: %s", strerrordesc_np(-r));
        *ret = TAKE_PTR(d);
        return 0;
}

DeviceEvents *device_events_free(DeviceEvents *d)
{
        if (!d)
                return NULL;
        sd_device_monitor_unref(d->monitor);
        sd_event_source_disable_unref(d->timer);
        free(d);
        return NULL;
}

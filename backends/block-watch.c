/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/block-watch.h"

#define BUFFER_SIZE (16U * 1024 * 1024)
/* Still for so long, or held back for so long: then it is time to look. */
#define STILL_USEC (50 * USEC_PER_MSEC)
#define HELD_USEC (500 * USEC_PER_MSEC)
/*
 * A look is at everything: what waits to be read is read before it, however long that takes. No more than
 * the buffer holds, though, as events may come without end.
 */
#define UNREAD_MAX 20000U

struct BlockWatch {
        sd_device_monitor *monitor;
        sd_event_source *timer;
        bool (*matches)(sd_device *device, void *userdata);
        void (*wake)(void *userdata);
        void *userdata;
        uint64_t first;  /* when the first event of this burst came; 0: none waits */
        unsigned n_read; /* events since then, anybody's */
};

void block_watch_kick(BlockWatch *w)
{
        uint64_t now = now_monotonic(), due;

        if (w->first == 0)
                w->first = now;
        due = now + STILL_USEC;
        if (due > w->first + HELD_USEC)
                due = w->first + HELD_USEC;
        (void) sd_event_source_set_time(w->timer, due);
        (void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static void look(BlockWatch *w)
{
        w->first = 0;
        w->n_read = 0;
        (void) sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        w->wake(w->userdata);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        look(userdata);
        return 0;
}

static int on_event(sd_device_monitor *monitor, sd_device *device, void *userdata)
{
        BlockWatch *w = userdata;

        if (w->matches(device, w->userdata))
                block_watch_kick(w);
        if (w->first > 0 && ++w->n_read >= UNREAD_MAX)
                look(w);
        return 0;
}

BlockWatch *block_watch_free(BlockWatch *w)
{
        if (!w)
                return NULL;
        sd_device_monitor_unref(w->monitor);
        sd_event_source_disable_unref(w->timer);
        free(w);
        return NULL;
}

static int start(BlockWatch *w, sd_event *event)
{
        int r;

        r = sd_event_add_time(event, &w->timer, CLOCK_MONOTONIC, 0, 0, on_timer, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        /* The monitor goes first, as long as there is anything to read. */
        if (r >= 0)
                r = sd_event_source_set_priority(w->timer, SD_EVENT_PRIORITY_NORMAL + 10);
        if (r >= 0)
                r = sd_device_monitor_new(&w->monitor);
        if (r >= 0)
                r = sd_device_monitor_filter_add_match_subsystem_devtype(w->monitor, "block", NULL);
        if (r >= 0)
                r = sd_device_monitor_attach_event(w->monitor, event);
        if (r < 0)
                return r;
        /* More room than the default, for a burst; without the privilege the default must do. */
        (void) sd_device_monitor_set_receive_buffer_size(w->monitor, BUFFER_SIZE);
        return sd_device_monitor_start(w->monitor, on_event, w);
}

int block_watch_new(sd_event *event, bool (*matches)(sd_device *device, void *userdata),
                    void (*wake)(void *userdata), void *userdata, BlockWatch **ret)
{
        _cleanup_(block_watch_freep) BlockWatch *w = calloc(1, sizeof *w);
        int r;

        if (!w)
                return -ENOMEM;
        w->matches = matches;
        w->wake = wake;
        w->userdata = userdata;
        r = start(w, event);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/epoll.h>

#include "backends/raid-array.h"

/* While it synchronises its progress is looked at so often; nothing tells of that. */
#define PROGRESS_USEC USEC_PER_SEC

struct RaidWatch {
        char *name; /* the md device; NULL: it did not run */
        int mdstat_fd;
        sd_event_source *io, *timer;
        RaidState last;
        void (*wake)(void *userdata);
        void *userdata;
};

/*
 * The attributes that can be polled do not change with a spare that comes or goes; the kernel's list of all
 * arrays tells of every change, also of other arrays'. Reading it to its end is what arms it again.
 */
static void rearm(RaidWatch *w)
{
        char buffer[4096];

        if (lseek(w->mdstat_fd, 0, SEEK_SET) < 0)
                return;
        while (read(w->mdstat_fd, buffer, sizeof(buffer)) > 0)
                ;
}

static bool is_syncing(const RaidState *s)
{
        return s->action && !streq(s->action, "idle") && !streq(s->action, "frozen");
}

/* Looks at the array, and wakes if it is not as it was. */
static void look(RaidWatch *w, bool due)
{
        RaidState now = {0};
        bool changed;

        if (w->name)
                (void) raid_read_state(w->name, &now);
        changed = !raid_state_equal(&w->last, &now) || (due && now.progress != w->last.progress);
        raid_state_done(&w->last);
        w->last = now;
        if (is_syncing(&now)) {
                (void) sd_event_source_set_time_relative(w->timer, PROGRESS_USEC);
                (void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
        }
        if (changed)
                w->wake(w->userdata);
}

static int on_mdstat(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        RaidWatch *w = userdata;

        /* First: what changes after the look is then told again. */
        rearm(w);
        look(w, false);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        look(userdata, true);
        return 0;
}

static int open_watch(RaidWatch *w, sd_event *event)
{
        int r;

        w->mdstat_fd = open("/proc/mdstat", O_RDONLY | O_CLOEXEC);
        /* Not loaded: there is nothing to watch. */
        if (w->mdstat_fd < 0)
                return errno == ENOENT && !w->name ? 0 : -errno;
        r = sd_event_add_io(event, &w->io, w->mdstat_fd, EPOLLPRI, on_mdstat, w);
        if (r >= 0)
                r = sd_event_add_time(event, &w->timer, CLOCK_MONOTONIC, 0, 0, on_timer, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        rearm(w);
        if (w->name)
                (void) raid_read_state(w->name, &w->last);
        if (!is_syncing(&w->last))
                return 0;
        r = sd_event_source_set_time_relative(w->timer, PROGRESS_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

int raid_watch_new(BackendContext *ctx, sd_event *event, void (*wake)(void *userdata), void *userdata,
                   RaidWatch **ret)
{
        _cleanup_(raid_array_done) RaidArray array = {0};
        RaidWatch *w;
        int r;

        r = raid_array_look(ctx, &array);
        if (r < 0)
                return r;
        w = calloc(1, sizeof(*w));
        if (!w)
                return error_set_errno(ctx->error, ENOMEM, "Cannot watch the array %s", array.path);
        *w = (RaidWatch){
                .name = TAKE_PTR(array.name), .mdstat_fd = -EBADF, .wake = wake, .userdata = userdata};
        r = open_watch(w, event);
        if (r < 0) {
                raid_watch_free(w);
                return error_set_errno(ctx->error, r, "Cannot watch the array %s", array.path);
        }
        *ret = w;
        return 0;
}

RaidWatch *raid_watch_free(RaidWatch *w)
{
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->io);
        sd_event_source_disable_unref(w->timer);
        safe_close(w->mdstat_fd);
        raid_state_done(&w->last);
        free(w->name);
        free(w);
        return NULL;
}

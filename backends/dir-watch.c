/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir-watch.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "common/worker-protocol.h"

#define NAMES_MASK                                                                          \
        (IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ATTRIB | IN_CLOSE_WRITE | \
         IN_DELETE_SELF | IN_MOVE_SELF | IN_EXCL_UNLINK | IN_ONLYDIR)
#define MODIFY_MASK (IN_MODIFY | IN_ONESHOT | IN_EXCL_UNLINK | IN_ONLYDIR)
#define GONE_EVENTS (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)

#define READ_SIZE (64U * 1024U)
/* Names that are collected; beyond, all is looked at. */
#define NAMES_MAX 200000U

/* A lone event waits this long for others that belong to it (create, write, close, chmod, rename). */
#define SETTLE_USEC (3 * USEC_PER_MSEC)
/* In a storm the events are taken off the queue (16,384 by default) this often, and looked at more rarely.
 */
#define DRAIN_USEC (20 * USEC_PER_MSEC)
#define STORM_USEC_MIN (20 * USEC_PER_MSEC)
#define STORM_USEC_MAX (500 * USEC_PER_MSEC)
#define STORM_NAMES 64U

/* After the first write to a file of the folder, and while they go on: a look at all. */
#define MODIFY_USEC_MIN USEC_PER_SEC
#define MODIFY_USEC_MAX (10 * USEC_PER_SEC)
/* A look at all is followed by a pause of this many times what it took, but for lost events. */
#define PAUSE_FACTOR 50U
/* What is known to have changed waits for this part of it. */
#define PAUSE_PART 10U

/* Sizes of the file system, a folder replaced by way of its parents; also a folder that came back. */
#define SLOW_USEC (10 * USEC_PER_SEC)
#define RETRY_USEC_MIN USEC_PER_SEC
#define RETRY_USEC_MAX (30 * USEC_PER_SEC)

typedef struct WatchedName {
        Named named;
        char name[];
} WatchedName;

struct DirWatch {
        char *folder;
        sd_event *event;
        void (*wake)(void *userdata);
        void *userdata;

        int names_fd, modify_fd; /* inotify */
        int names_wd, modify_wd; /* -1: not attached, not armed */
        int mounts_fd;           /* mountinfo */
        dev_t dev;               /* of the folder that is attached */
        ino_t ino;
        int error; /* why it does not work; 0: it does */

        sd_event_source *names_io, *modify_io, *mounts_io;
        sd_event_source *tick;      /* drains, and wakes when it is due */
        sd_event_source *all_later; /* a look at all that can wait */
        sd_event_source *slow;

        NameTable names;
        bool all;                 /* what is in names is not enough */
        bool busy;                /* more happens than can be told one by one */
        uint64_t due, not_before; /* CLOCK_MONOTONIC: the next look; no look before */
        uint64_t last_all;
        uint64_t storm, modify, retry, pause; /* the lengths of waits, as they have grown */
};

void dir_watch_names_done(NameTable *names)
{
        for (size_t i = 0; i < names->n_slots; i++)
                free(names->slots[i]);
        name_table_done(names);
}

static void want_all_now(DirWatch *w)
{
        w->all = true;
        dir_watch_names_done(&w->names);
}

static void collect(DirWatch *w, const char *name)
{
        size_t n = strlen(name) + 1;
        WatchedName *entry;

        if (w->all || startswith(name, UNFINISHED_PREFIX) || name_table_find(&w->names, name))
                return;
        entry = w->names.n < NAMES_MAX ? malloc(sizeof(*entry) + n) : NULL;
        if (!entry) {
                want_all_now(w);
                return;
        }
        memcpy(entry->name, name, n);
        entry->named.name = entry->name;
        if (name_table_insert(&w->names, &entry->named) < 0) {
                free(entry);
                want_all_now(w);
        }
}

static void detach(DirWatch *w)
{
        if (w->names_wd >= 0)
                (void) inotify_rm_watch(w->names_fd, w->names_wd);
        if (w->modify_wd >= 0)
                (void) inotify_rm_watch(w->modify_fd, w->modify_wd);
        w->names_wd = w->modify_wd = -1;
}

static void on_event(DirWatch *w, const struct inotify_event *e)
{
        if (e->mask & IN_Q_OVERFLOW) {
                w->busy = true;
                want_all_now(w);
        } else if (e->wd != w->names_wd)
                return; /* of a folder that was attached before */
        else if (e->mask & GONE_EVENTS) {
                detach(w);
                want_all_now(w);
        } else if (e->len > 0)
                collect(w, e->name);
        else
                return; /* the folder's own attributes: the report follows anyway */
}

void dir_watch_drain(DirWatch *w)
{
        char buf[READ_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
        ssize_t n;

        while ((n = read(w->names_fd, buf, sizeof(buf))) > 0) {
                for (ssize_t at = 0; at < n;) {
                        const struct inotify_event *e = (const struct inotify_event *) (buf + at);

                        on_event(w, e);
                        at += (ssize_t) (sizeof(*e) + e->len);
                }
        }
}

static void arm(sd_event_source *timer, uint64_t at)
{
        (void) sd_event_source_set_time(timer, at);
        (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static bool is_armed(sd_event_source *timer)
{
        int enabled = SD_EVENT_OFF;

        return sd_event_source_get_enabled(timer, &enabled) >= 0 && enabled != SD_EVENT_OFF;
}

static uint64_t later(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

/* Looks as soon as things are settled, and no earlier than the last look's length allows. */
static void schedule(DirWatch *w)
{
        uint64_t now = now_monotonic();

        if (is_armed(w->tick))
                return;
        w->due = later(now + SETTLE_USEC, w->not_before);
        (void) sd_event_source_set_enabled(w->names_io, SD_EVENT_OFF);
        arm(w->tick, sooner(w->due, now + DRAIN_USEC));
}

static int on_names(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        DirWatch *w = userdata;

        dir_watch_drain(w);
        if (w->all || w->names.n > 0)
                schedule(w);
        return 0;
}

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata)
{
        DirWatch *w = userdata;
        uint64_t now = now_monotonic();

        dir_watch_drain(w);
        if (now < w->due) {
                arm(w->tick, sooner(w->due, now + DRAIN_USEC));
                return 0;
        }
        (void) sd_event_source_set_enabled(w->names_io, SD_EVENT_ON);
        w->wake(w->userdata);
        return 0;
}

static int on_all_later(sd_event_source *s, uint64_t usec, void *userdata)
{
        DirWatch *w = userdata;

        want_all_now(w);
        schedule(w);
        return 0;
}

static void want_all_after(DirWatch *w, uint64_t usec)
{
        if (!is_armed(w->all_later))
                arm(w->all_later, now_monotonic() + later(usec, w->pause));
}

void dir_watch_want_all(DirWatch *w)
{
        if (w->all_later)
                want_all_after(w, MODIFY_USEC_MIN);
}

void dir_watch_want_all_soon(DirWatch *w)
{
        if (w->all_later)
                arm(w->all_later, later(now_monotonic(), w->last_all + w->pause / PAUSE_PART));
}

static int on_modify(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        char buf[sizeof(struct inotify_event) * 16 + 4096];
        DirWatch *w = userdata;

        while (read(fd, buf, sizeof(buf)) > 0)
                ;
        w->modify_wd = -1;
        /* Writers that go on are followed more and more rarely; one that begins is seen soon. */
        if (now_monotonic() - w->last_all > 2 * later(w->modify, w->pause))
                w->modify = MODIFY_USEC_MIN;
        want_all_after(w, w->modify);
        w->modify = sooner(w->modify * 2, MODIFY_USEC_MAX);
        return 0;
}

/* A file system was mounted or unmounted: if that changed what the path leads to, looks now. */
static int on_mounts(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        DirWatch *w = userdata;
        struct stat st;

        if (stat(w->folder, &st) < 0 ? w->retry > 0
                                     : w->retry == 0 && st.st_dev == w->dev && st.st_ino == w->ino)
                return 0;
        want_all_now(w);
        w->wake(w->userdata);
        return 0;
}

static int on_slow(sd_event_source *s, uint64_t usec, void *userdata)
{
        DirWatch *w = userdata;

        if (w->names_wd < 0 || w->error != 0)
                want_all_now(w);
        arm(w->slow,
            now_monotonic() + (w->retry > 0 ? w->retry : later(SLOW_USEC, w->error ? w->pause : 0)));
        w->wake(w->userdata);
        return 0;
}

static int add_sources(DirWatch *w)
{
        int r;

        r = sd_event_add_io(w->event, &w->names_io, w->names_fd, EPOLLIN, on_names, w);
        if (r < 0)
                return r;
        r = sd_event_add_io(w->event, &w->modify_io, w->modify_fd, EPOLLIN, on_modify, w);
        if (r < 0)
                return r;
        r = sd_event_add_time(w->event, &w->tick, CLOCK_MONOTONIC, 0, USEC_PER_MSEC / 2, on_tick, w);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(w->tick, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time(w->event, &w->all_later, CLOCK_MONOTONIC, 0, 0, on_all_later, w);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(w->all_later, SD_EVENT_OFF);
}

/* Without inotify (there are few instances for a user) the slow timer does all. */
static int open_inotify(DirWatch *w)
{
        w->names_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (w->names_fd >= 0)
                w->modify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (w->modify_fd >= 0)
                return add_sources(w);
        w->error = errno;
        w->names_fd = safe_close(w->names_fd);
        return 0;
}

int dir_watch_new(sd_event *event, const char *folder, void (*wake)(void *userdata), void *userdata,
                  DirWatch **ret)
{
        _cleanup_(dir_watch_freep) DirWatch *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->names_fd = w->modify_fd = w->mounts_fd = -EBADF;
        w->names_wd = w->modify_wd = -1;
        w->event = sd_event_ref(event);
        w->wake = wake;
        w->userdata = userdata;
        w->folder = strdup(folder);
        if (!w->folder)
                return -ENOMEM;
        r = open_inotify(w);
        if (r < 0)
                return r;
        w->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        if (w->mounts_fd >= 0) {
                r = sd_event_add_io(event, &w->mounts_io, w->mounts_fd, EPOLLPRI, on_mounts, w);
                if (r < 0)
                        return r;
        }
        /* At once: what happened before the watch began must be found. */
        r = sd_event_add_time(event, &w->slow, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 2, on_slow, w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

DirWatch *dir_watch_free(DirWatch *w)
{
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->names_io);
        sd_event_source_disable_unref(w->modify_io);
        sd_event_source_disable_unref(w->mounts_io);
        sd_event_source_disable_unref(w->tick);
        sd_event_source_disable_unref(w->all_later);
        sd_event_source_disable_unref(w->slow);
        safe_close(w->names_fd);
        safe_close(w->modify_fd);
        safe_close(w->mounts_fd);
        dir_watch_names_done(&w->names);
        sd_event_unref(w->event);
        free(w->folder);
        free(w);
        return NULL;
}

static void arm_modify(DirWatch *w, const char *path)
{
        if (w->modify_wd < 0)
                w->modify_wd = inotify_add_watch(w->modify_fd, path, MODIFY_MASK);
}

/* Watches the folder that dir_fd is, if it is not so already. */
static void attach(DirWatch *w, int dir_fd)
{
        char path[sizeof("/proc/self/fd/") + 16];
        struct stat st;

        if (fstat(dir_fd, &st) < 0)
                return;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%i", dir_fd);
        if (w->names_wd >= 0 && st.st_dev == w->dev && st.st_ino == w->ino) {
                /* Armed anew only when all that was written before is looked at. */
                if (w->all)
                        arm_modify(w, path);
                return;
        }
        want_all_now(w);
        w->dev = st.st_dev;
        w->ino = st.st_ino;
        w->retry = 0;
        if (w->names_fd < 0)
                return;
        detach(w);
        w->names_wd = inotify_add_watch(w->names_fd, path, NAMES_MASK);
        w->error = w->names_wd < 0 ? errno : 0;
        if (w->error == 0) {
                arm_modify(w, path);
                w->error = w->modify_wd < 0 ? errno : 0;
        }
}

bool dir_watch_begin(DirWatch *w, int dir_fd, bool all, NameTable *names)
{
        dir_watch_drain(w);
        if (all)
                want_all_now(w);
        w->busy |= w->names.n > STORM_NAMES;
        if (dir_fd >= 0)
                attach(w, dir_fd);
        else {
                detach(w);
                w->retry = later(RETRY_USEC_MIN, sooner(w->retry * 2, RETRY_USEC_MAX));
                arm(w->slow, now_monotonic() + w->retry);
        }
        all = w->all;
        if (all && w->all_later)
                (void) sd_event_source_set_enabled(w->all_later, SD_EVENT_OFF);
        w->all = false;
        *names = w->names;
        w->names = (NameTable){0};
        return all;
}

void dir_watch_end(DirWatch *w, uint64_t usec, bool failed)
{
        bool more = w->all || w->names.n > 0;
        uint64_t now = now_monotonic();

        if (failed)
                want_all_now(w);
        if (usec > 0) {
                w->last_all = now;
                w->pause = usec * PAUSE_FACTOR;
        }
        w->storm = w->busy ? sooner(later(w->storm * 2, STORM_USEC_MIN), STORM_USEC_MAX) : 0;
        w->not_before = w->busy ? now + later(w->storm, usec * 2) : 0;
        w->busy = false;
        /* It was taken off the queue during the look, so nothing else wakes for it. After one that failed
         * the slow timer does. */
        if (more && !failed)
                schedule(w);
}

bool dir_watch_works(const DirWatch *w, int *ret_error)
{
        *ret_error = w->error;
        return w->error == 0;
}

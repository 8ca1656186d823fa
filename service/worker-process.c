/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/worker-process.h"
#include "common/log.h"

#include <bsd/sys/queue.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-id128.h>

#include "common/worker-protocol.h"

#define CANCEL_GRACE_USEC (1 * USEC_PER_SEC)
/* A process that survives SIGKILL for this long hangs in the kernel: its caller is not kept waiting. */
#define STUCK_USEC (3 * USEC_PER_SEC)
#define GROUP_POLL_MIN_USEC (1 * USEC_PER_MSEC)
#define GROUP_POLL_MAX_USEC (1 * USEC_PER_SEC)

struct WorkerProcess {
        TAILQ_ENTRY(WorkerProcess) entry;
        sd_event *event;
        sd_bus *bus;
        char *what;
        pid_t pid;   /* also the process group */
        bool reaped; /* the leader has been waited for: its pid may be reused, the group's id not yet */
        bool dying;
        int status; /* of waitid(), si_status */
        int code;
        WorkerHooks hooks;
        WorkerReply reply;
        void *reply_userdata;
        sd_bus_slot *call_slot;
        sd_bus_message *unsent; /* a call that waits for the worker to be there */
        sd_event_source *deadline;
        sd_event_source *group_poll;
        uint64_t group_poll_usec, killed_at;
        bool timed_out, cancelled, stuck;
};

/* All workers of the process: a dead child is looked up here by its pid. */
static TAILQ_HEAD(, WorkerProcess) workers = TAILQ_HEAD_INITIALIZER(workers);

static void exec_worker(const char *path, const char *role, int fd, pid_t parent)
{
        char parent_arg[32];
        const char *const argv[] = {path, role, parent_arg, NULL};
        sigset_t none;

        (void) snprintf(parent_arg, sizeof parent_arg, "--parent=%d", parent);
        (void) setpgid(0, 0);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        if (fd == WORKER_FD)
                (void) fcntl(fd, F_SETFD, 0);
        else if (dup2(fd, WORKER_FD) < 0)
                _exit(126);
        (void) unsetenv("NOTIFY_SOCKET");
        execv(path, (char *const *) argv);
        _exit(127);
}

static int fork_worker(const char *path, const char *role, pid_t *ret_pid, int *ret_fd)
{
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        pid_t parent = getpid(), pid;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                exec_worker(path, role, theirs, parent);
        /* In both processes, whoever is first: the group must exist before we may want to kill it. */
        (void) setpgid(pid, pid);
        *ret_pid = pid;
        *ret_fd = TAKE_FD(ours);
        return 0;
}

static void send_unsent(WorkerProcess *w);

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        WorkerProcess *w = userdata;

        if (w->hooks.asked && sd_bus_message_is_method_call(m, WORKER_INTERFACE, NULL)) {
                w->hooks.asked(w, m, w->hooks.userdata);
                return 1;
        }
        if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Local", "Connected"))
                send_unsent(w);
        else if (w->hooks.signal && sd_bus_message_is_signal(m, WORKER_INTERFACE, NULL))
                w->hooks.signal(w, m, w->hooks.userdata);
        return 0;
}

static int connect_worker(WorkerProcess *w, int fd)
{
        int r;

        r = sd_bus_new(&w->bus);
        if (r < 0) {
                (void) close(fd);
                return r;
        }
        r = sd_bus_set_fd(w->bus, fd, fd);
        if (r < 0) {
                (void) close(fd);
                return r;
        }
        /* One that hangs is not waited for at the service's end, as flushing would. */
        r = sd_bus_set_close_on_exit(w->bus, false);
        if (r >= 0)
                r = sd_bus_negotiate_fds(w->bus, true);
        if (r >= 0)
                r = sd_bus_set_anonymous(w->bus, true);
        if (r >= 0)
                r = sd_bus_set_connected_signal(w->bus, true);
        if (r >= 0)
                r = sd_bus_start(w->bus);
        if (r >= 0)
                r = sd_bus_add_filter(w->bus, NULL, on_message, w);
        if (r >= 0)
                r = sd_bus_attach_event(w->bus, w->event, SD_EVENT_PRIORITY_NORMAL + 10);
        return r;
}

int worker_process_new(sd_event *event, const char *path, const char *role, const char *what,
                       const WorkerHooks *hooks, WorkerProcess **ret, sd_bus_error *error)
{
        WorkerProcess *w;
        int fd = -EBADF, r;

        w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        w->hooks = *hooks;
        w->event = sd_event_ref(event);
        w->group_poll_usec = GROUP_POLL_MIN_USEC;
        w->what = strdup(what);
        r = w->what ? fork_worker(path, role, &w->pid, &fd) : -ENOMEM;
        if (r < 0) {
                sd_event_unref(w->event);
                free(w->what);
                free(w);
                return error_set_errno(error, r, "Cannot start %s", what);
        }
        TAILQ_INSERT_TAIL(&workers, w, entry);
        r = connect_worker(w, fd);
        if (r < 0) {
                worker_process_free(w);
                return error_set_errno(error, r, "Cannot speak to %s", what);
        }
        *ret = w;
        return 0;
}

WorkerProcess *worker_process_free(WorkerProcess *w)
{
        if (!w)
                return NULL;
        (void) kill(-w->pid, SIGKILL);
        TAILQ_REMOVE(&workers, w, entry);
        sd_event_source_disable_unref(w->deadline);
        sd_event_source_disable_unref(w->group_poll);
        sd_bus_slot_unref(w->call_slot);
        sd_bus_message_unref(w->unsent);
        sd_bus_close_unref(w->bus);
        sd_event_unref(w->event);
        free(w->what);
        free(w);
        return NULL;
}

int worker_process_new_call(WorkerProcess *w, const char *verb, sd_bus_message **ret)
{
        return sd_bus_message_new_method_call(w->bus, ret, NULL, WORKER_PATH, WORKER_INTERFACE, verb);
}

/* Ends the call under way, if there is one. The callback may start the next one, or free the worker. */
static void finish_call(WorkerProcess *w, sd_bus_message *reply, const sd_bus_error *error)
{
        WorkerReply callback = w->reply;

        w->reply = NULL;
        w->call_slot = sd_bus_slot_unref(w->call_slot);
        w->unsent = sd_bus_message_unref(w->unsent);
        if (w->deadline)
                (void) sd_event_source_set_enabled(w->deadline, SD_EVENT_OFF);
        if (callback)
                callback(reply, error, w->reply_userdata);
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        WorkerProcess *w = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);

        /* The connection broke: the truth (how it died) comes with SIGCHLD. */
        if (error && (sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) ||
                      sd_bus_error_has_name(error, SD_BUS_ERROR_DISCONNECTED))) {
                worker_process_kill(w);
                return 1;
        }
        finish_call(w, error ? NULL : reply, error);
        return 1;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
        WorkerProcess *w = userdata;

        w->timed_out = !w->cancelled;
        worker_process_kill(w);
        return 0;
}

static int arm_deadline(WorkerProcess *w, uint64_t usec)
{
        uint64_t at = now_monotonic() + usec;
        int r;

        if (!w->deadline)
                return sd_event_add_time(w->event, &w->deadline, CLOCK_MONOTONIC, at, USEC_PER_MSEC,
                                         on_deadline, w);
        r = sd_event_source_set_time(w->deadline, at);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(w->deadline, SD_EVENT_ONESHOT);
}

static int send_call(WorkerProcess *w, sd_bus_message *m)
{
        /* The time-out is ours, not sd-bus's: only after the worker is really gone is its call over. */
        int r = sd_bus_call_async(w->bus, &w->call_slot, m, on_reply, w, UINT64_MAX);

        if (r != -ENOTCONN && r != -ECONNRESET && r != -EPIPE)
                return r;
        worker_process_kill(w); /* it is dead and not reaped yet: the answer is how it died */
        return 0;
}

static void send_unsent(WorkerProcess *w)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = TAKE_PTR(w->unsent);

        if (m && send_call(w, m) < 0)
                worker_process_kill(w);
}

int worker_process_call(WorkerProcess *w, sd_bus_message *m, uint64_t timeout, WorkerReply reply,
                        void *userdata)
{
        int r;

        if (w->reply)
                return -EBUSY;
        if (w->dying)
                return -ESRCH;
        r = arm_deadline(w, timeout);
        if (r < 0)
                return r;
        /* sd-bus would wait until the worker has started before it sends a descriptor: we do not. */
        if (sd_bus_is_ready(w->bus) > 0)
                r = send_call(w, m);
        else
                w->unsent = sd_bus_message_ref(m);
        if (r < 0) {
                (void) sd_event_source_set_enabled(w->deadline, SD_EVENT_OFF);
                return r;
        }
        w->cancelled = false;
        w->reply = reply;
        w->reply_userdata = userdata;
        return 0;
}

bool worker_process_busy(const WorkerProcess *w)
{
        return w->reply;
}

bool worker_process_alive(const WorkerProcess *w)
{
        return !w->dying;
}

bool worker_process_is_stuck(const WorkerProcess *w)
{
        return w->stuck;
}

void worker_process_cancel(WorkerProcess *w)
{
        if (!w->reply || w->dying || w->cancelled)
                return;
        w->cancelled = true;
        (void) kill(w->pid, SIGUSR1);
        (void) arm_deadline(w, CANCEL_GRACE_USEC);
}

static void set_death_error(const WorkerProcess *w, sd_bus_error *error)
{
        if (w->cancelled)
                (void) sd_bus_error_set(error, STORAGE_ERROR_CANCELLED, "Cancelled");
        else if (w->timed_out)
                (void) sd_bus_error_setf(error, STORAGE_ERROR_TIMEOUT,
                                         "Gave up on %s: the storage did not answer in time", w->what);
        else if (w->code == CLD_EXITED)
                (void) sd_bus_error_setf(error, STORAGE_ERROR_FAILED, "Unexpected end of %s: exit status %d",
                                         w->what, w->status);
        else
                (void) sd_bus_error_setf(error, STORAGE_ERROR_FAILED,
                                         "Unexpected end of %s: killed by signal %d", w->what, w->status);
}

static bool is_known(const WorkerProcess *w)
{
        const WorkerProcess *i;

        TAILQ_FOREACH (i, &workers, entry) {
                if (i == w)
                        return true;
        }
        return false;
}

/* Those who wait for a call are told; the pool is told that nothing can be done until the processes are
 * gone. */
static void set_stuck(WorkerProcess *w)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;

        w->stuck = true;
        (void) sd_bus_error_setf(&error, STORAGE_ERROR_INACCESSIBLE,
                                 "Process %d of %s hangs in the kernel: its storage does not answer", w->pid,
                                 w->what);
        if (w->hooks.stuck)
                w->hooks.stuck(w, &error, w->hooks.userdata);
        if (is_known(w)) /* whom that was told may have freed it */
                finish_call(w, NULL, &error);
}

/*
 * What it said before it died may still be unread, as its death is seen first; what it answered does not
 * count any more. False: whom that was told has freed it.
 */
static bool hear_last_words(WorkerProcess *w)
{
        w->call_slot = sd_bus_slot_unref(w->call_slot);
        w->unsent = sd_bus_message_unref(w->unsent);
        while (is_known(w) && sd_bus_process(w->bus, NULL) > 0)
                ;
        return is_known(w);
}

/*
 * After a kill, or when the leader died: tools that it started may outlive it, so the end is only told when
 * every process of the group is gone.
 */
static int on_group_poll(sd_event_source *s, uint64_t usec, void *userdata)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        WorkerProcess *w = userdata;

        if (!w->reaped || kill(-w->pid, SIGKILL) >= 0 || errno != ESRCH) {
                if (w->group_poll_usec < GROUP_POLL_MAX_USEC)
                        w->group_poll_usec *= 2;
                (void) sd_event_source_set_time_relative(s, w->group_poll_usec);
                (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
                if (!w->stuck && now_monotonic() - w->killed_at > STUCK_USEC)
                        set_stuck(w);
                return 0;
        }
        if (!hear_last_words(w))
                return 0;
        set_death_error(w, &error);
        finish_call(w, NULL, &error);
        if (is_known(w)) /* whom the call's end was told may have freed it */
                w->hooks.gone(w, w->hooks.userdata);
        return 0;
}

static void follow_end(WorkerProcess *w)
{
        w->dying = true;
        if (w->group_poll) {
                (void) sd_event_source_set_time_relative(w->group_poll, 0);
                return;
        }
        w->killed_at = now_monotonic();
        if (sd_event_add_time(w->event, &w->group_poll, CLOCK_MONOTONIC, 0, 1, on_group_poll, w) < 0)
                log_error("Cannot follow the end of %s: out of memory", w->what);
}

void worker_process_kill(WorkerProcess *w)
{
        (void) kill(-w->pid, SIGKILL);
        follow_end(w);
}

static void worker_dead(WorkerProcess *w, const siginfo_t *si)
{
        w->reaped = true;
        w->status = si->si_status;
        w->code = si->si_code;
        follow_end(w);
}

static int on_sigchld(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata)
{
        WorkerProcess *w;
        siginfo_t si;

        for (;;) {
                si.si_pid = 0;
                if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0)
                        return 0;
                TAILQ_FOREACH (w, &workers, entry) {
                        if (w->pid == si.si_pid && !w->reaped) {
                                worker_dead(w, &si);
                                break;
                        }
                }
        }
}

int worker_process_watch_children(sd_event *event)
{
        sigset_t mask;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return -errno;
        return sd_event_add_signal(event, NULL, SIGCHLD, on_sigchld, NULL);
}

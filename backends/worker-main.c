/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <libxml/parser.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

#include "backends/worker.h"

static volatile sig_atomic_t cancelled;

static void on_cancel_signal(int number)
{
        cancelled = 1;
}

void worker_call_begin(void)
{
        cancelled = 0;
}

bool worker_is_cancelled(void)
{
        return cancelled;
}

static const WorkerRole *find_role(const char *name)
{
        static const WorkerRole *const roles[] = {&worker_role_store, &worker_role_pool, &worker_role_data};

        for (size_t i = 0; name && i < ELEMENTSOF(roles); i++) {
                if (streq(roles[i]->name, name))
                        return roles[i];
        }
        return NULL;
}

static void print_help(void)
{
        printf("storaged-worker ROLE [--parent=PID]\n\n"
               "Works for storaged, which starts it and talks to it through descriptor %i.\n"
               "It is of no use by itself.\n\n"
               "Roles:\n"
               "  store         writes the service's own files\n"
               "  pool          looks after one storage pool\n"
               "  data          fills one volume\n\n"
               "  --parent=PID  end when this process is not the parent any more\n"
               "  --help        show this\n"
               "  --version     show the version\n",
               WORKER_FD);
}

/* 1: go on; 0: all done; negative: wrong usage. */
static int parse_arguments(int argc, char *argv[], const WorkerRole **ret_role, pid_t *ret_parent)
{
        static const struct option options[] = {
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, 'V'},
                {"parent", required_argument, NULL, 'p'},
                {0},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                switch (c) {
                case 'h':
                        print_help();
                        return 0;
                case 'V':
                        printf("storaged-worker %s\n", STORAGED_VERSION);
                        return 0;
                case 'p':
                        *ret_parent = (pid_t) strtol(optarg, NULL, 10);
                        break;
                default:
                        return -EINVAL;
                }
        }
        *ret_role = find_role(argv[optind]);
        if (*ret_role && !argv[optind + 1])
                return 1;
        fprintf(stderr, "storaged-worker: give one role: store, pool or data (see --help)\n");
        return -EINVAL;
}

/* A group of its own, so that killing it kills the tools that it runs too; and nothing outlives the daemon.
 */
static int set_up_process(pid_t parent)
{
        struct sigaction on_cancel = {.sa_handler =
                                              on_cancel_signal}; /* no SA_RESTART: it shall interrupt */
        sigset_t all, term;

        (void) setpgid(0, 0);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        if (parent > 0 && getppid() != parent)
                return -ESRCH;
        (void) umask(0);
        (void) sigemptyset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, NULL);
        (void) sigaction(SIGUSR1, &on_cancel, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        /* Somebody opens a file on which we have a lease for a moment. */
        (void) signal(SIGIO, SIG_IGN);
        /* sd-event reads it; it is unblocked in children. */
        (void) sigemptyset(&term);
        (void) sigaddset(&term, SIGTERM);
        return sigprocmask(SIG_BLOCK, &term, NULL) < 0 ? -errno : 0;
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        if (sd_bus_message_is_method_call(m, NULL, NULL) > 0)
                worker_call_begin();
        return 0;
}

static int open_bus(sd_bus **ret)
{
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        sd_id128_t id;
        int r;

        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_fd(bus, WORKER_FD, WORKER_FD);
        if (r < 0)
                return r;
        r = sd_bus_set_server(bus, true, id);
        if (r < 0)
                return r;
        r = sd_bus_set_anonymous(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_set_trusted(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_negotiate_fds(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_start(bus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

/*
 * What a client sends right behind its authentication is read together with it, and sd-event does not hear
 * of that: it is dealt with before the loop begins to wait for more.
 */
static int begin_conversation(sd_bus *bus, sd_event *event)
{
        int r;

        while ((r = sd_bus_is_ready(bus)) == 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
                if (r < 0)
                        return r;
        }
        while (r > 0)
                r = sd_bus_process(bus, NULL);
        if (r < 0)
                return r;
        /* Before there is a loop that this could end, it would end the process on the spot, as a failure. */
        r = sd_bus_set_exit_on_disconnect(bus, true);
        return r < 0 ? r : sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
}

static int serve(const WorkerRole *role)
{
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        void *userdata = NULL;
        int r;

        r = sd_event_new(&event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r < 0)
                return r;
        r = open_bus(&bus);
        if (r < 0)
                return r;
        r = role->new (bus, event, &userdata);
        if (r < 0)
                return r;
        r = sd_bus_add_filter(bus, NULL, on_message, NULL);
        if (r >= 0)
                r = sd_bus_add_object_vtable(bus, NULL, WORKER_PATH, WORKER_INTERFACE, role->vtable,
                                             userdata);
        if (r >= 0)
                r = begin_conversation(bus, event);
        if (r >= 0)
                r = sd_event_loop(event);
        role->free(userdata);
        /* That the daemon hangs up is how it ends. */
        return r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN || r == -ESHUTDOWN ? 0 : r;
}

int main(int argc, char *argv[])
{
        const WorkerRole *role = NULL;
        struct stat st;
        pid_t parent = 0;
        int r;

        r = parse_arguments(argc, argv, &role, &parent);
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (fstat(WORKER_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
                fprintf(stderr,
                        "storaged-worker is started by storaged, which gives it a socket as descriptor "
                        "%i.\n",
                        WORKER_FD);
                return EXIT_FAILURE;
        }
        r = set_up_process(parent);
        if (r == -ESRCH)
                return EXIT_SUCCESS;
        if (r >= 0 && fcntl(WORKER_FD, F_SETFD, FD_CLOEXEC) < 0)
                r = -errno;
        if (r >= 0)
                r = storage_errors_register();
        if (r >= 0)
                r = serve(role);
        xmlCleanupParser();
        if (r >= 0)
                return EXIT_SUCCESS;
        fprintf(stderr, "storaged-worker %s: %s\n", role->name, strerrordesc_np(-r));
        return EXIT_FAILURE;
}

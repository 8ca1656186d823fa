/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* storaged: the daemon. Options, the event loop, the name on the bus, and the end. */

#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include "common/log.h"
#include "interfaces/bus.h"
#include "service/device-events.h"
#include "service/load.h"
#include "service/store.h"

#define IDLE_DEFAULT_SEC 30U
#define VERB_DEFAULT_SEC 60U
#define TIMEOUT_MAX_SEC 86400U
/* After SIGTERM nothing is waited for longer than this. */
#define END_USEC (1 * USEC_PER_SEC)

typedef struct Service {
        sd_event *event;
        sd_bus *bus;
        Manager *manager;
        Bus *objects;
        DeviceEvents *devices; /* NULL in a session, where nobody may use them */
        sd_event_source *idle, *end;
        bool has_name, releasing, ending;
} Service;

/* The one instance: the manager's idle hook has no other way back. */
static Service service;

static void request_name(void);

static int help(const char *name)
{
        printf("Usage: %s [OPTION…]\n\n"
               "Serves storage pools and volumes for virtual machines on D-Bus as " BUS_NAME ".\n\n"
               "  --user                  serve the session bus, for the caller's own folders\n"
               "  --config-dir=DIR        definitions (/etc/storaged; --user: $XDG_CONFIG_HOME/storaged)\n"
               "  --state-dir=DIR         unfinished work (/var/lib/storaged; --user: "
               "$XDG_STATE_HOME/storaged)\n"
               "  --runtime-dir=DIR       active pools (/run/storaged; --user: $XDG_RUNTIME_DIR/storaged)\n"
               "  --worker=PATH           the worker program (%s)\n"
               "  --idle-timeout=SECONDS  exit when nothing is to be done for that long (%u; 0: stay)\n"
               "  --verb-timeout=SECONDS  give up on storage that does not answer for that long (%u)\n"
               "  -h, --help              show this\n"
               "      --version           show the version\n",
               name, STORAGED_WORKER, IDLE_DEFAULT_SEC, VERB_DEFAULT_SEC);
        return 0;
}

static int default_folder(char **folder, bool session, const char *system, const char *variable,
                          const char *home)
{
        const char *base = getenv(variable), *home_dir = getenv("HOME");

        if (*folder)
                return 0;
        if (!session)
                return free_and_strdup(folder, system);
        if (base && base[0] == '/')
                return asprintf(folder, "%s/storaged", base) < 0 ? -ENOMEM : 0;
        if (!home || !home_dir) {
                log_error("$%s is not set; use the option for that folder", variable);
                return -ENOENT;
        }
        return asprintf(folder, "%s/%s/storaged", home_dir, home) < 0 ? -ENOMEM : 0;
}

static int parse_seconds(const char *option, const char *s, uint64_t *ret)
{
        double n;
        char *end;

        n = strtod(s, &end);
        if (end == s || *end || !(n >= 0 && n <= TIMEOUT_MAX_SEC)) {
                log_error("--%s takes seconds from 0 to %u, not '%s'", option, TIMEOUT_MAX_SEC, s);
                return -EINVAL;
        }
        *ret = (uint64_t) (n * USEC_PER_SEC);
        return 0;
}

/* 1: go on; 0: all is said; negative: wrong use. */
static int parse_options(int argc, char *argv[], ManagerOptions *o)
{
        enum { USER = 256, CONFIG, STATE, RUNTIME, WORKER, IDLE, VERB, VERSION };
        static const struct option options[] = {
                {"user", no_argument, NULL, USER},
                {"config-dir", required_argument, NULL, CONFIG},
                {"state-dir", required_argument, NULL, STATE},
                {"runtime-dir", required_argument, NULL, RUNTIME},
                {"worker", required_argument, NULL, WORKER},
                {"idle-timeout", required_argument, NULL, IDLE},
                {"verb-timeout", required_argument, NULL, VERB},
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, VERSION},
                {},
        };
        int c, r = 0;

        o->idle_timeout = IDLE_DEFAULT_SEC * USEC_PER_SEC;
        o->verb_timeout = VERB_DEFAULT_SEC * USEC_PER_SEC;
        while (r >= 0 && (c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                switch (c) {
                case USER:
                        o->session = true;
                        break;
                case CONFIG:
                        r = free_and_strdup(&o->config_dir, optarg);
                        break;
                case STATE:
                        r = free_and_strdup(&o->state_dir, optarg);
                        break;
                case RUNTIME:
                        r = free_and_strdup(&o->runtime_dir, optarg);
                        break;
                case WORKER:
                        r = free_and_strdup(&o->worker_path, optarg);
                        break;
                case IDLE:
                        r = parse_seconds("idle-timeout", optarg, &o->idle_timeout);
                        break;
                case VERB:
                        r = parse_seconds("verb-timeout", optarg, &o->verb_timeout);
                        break;
                case VERSION:
                        printf("storaged %s\n", STORAGED_VERSION);
                        return 0;
                case 'h':
                        return help(argv[0]);
                default:
                        return -EINVAL;
                }
        }
        if (r >= 0 && optind < argc) {
                log_error("Unexpected argument '%s'; see --help", argv[optind]);
                return -EINVAL;
        }
        return r < 0 ? r : 1;
}

static int complete_options(ManagerOptions *o)
{
        int r;

        r = default_folder(&o->config_dir, o->session, "/etc/storaged", "XDG_CONFIG_HOME", ".config");
        if (r >= 0)
                r = default_folder(&o->state_dir, o->session, "/var/lib/storaged", "XDG_STATE_HOME",
                                   ".local/state");
        if (r >= 0)
                r = default_folder(&o->runtime_dir, o->session, "/run/storaged", "XDG_RUNTIME_DIR", NULL);
        if (r >= 0 && !o->worker_path)
                r = free_and_strdup(&o->worker_path, STORAGED_WORKER);
        return r;
}

/* coming and going */

static int exit_now(sd_event_source *s, uint64_t usec, void *userdata)
{
        return sd_event_exit(service.event, 0);
}

static bool has_nothing_to_do(void)
{
        return manager_is_idle(service.manager) && policy_pending(service.objects->policy) == 0 &&
               service.objects->n_held == 0;
}

static int on_released(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        service.releasing = false;
        /* What is being written down is waited for, as long as it takes no longer than END_USEC. */
        if (service.ending && !store_is_idle(service.manager->store))
                return 1;
        /* All calls that were sent to the name came before this reply: they have been seen by now. */
        if (service.ending || (has_nothing_to_do() && !bus_is_busy(service.objects)))
                (void) sd_event_exit(service.event, 0);
        else
                request_name();
        return 1;
}

static void release_name(void)
{
        if (service.releasing)
                return;
        service.releasing = true;
        service.has_name = false;
        (void) sd_notify(false, "STOPPING=1");
        if (sd_bus_release_name_async(service.bus, NULL, BUS_NAME, on_released, NULL) < 0)
                (void) sd_event_exit(service.event, 0);
}

static int on_idle_long_enough(sd_event_source *s, uint64_t usec, void *userdata)
{
        if (has_nothing_to_do() && !bus_is_busy(service.objects))
                release_name();
        return 0;
}

static void check_idle(void *userdata)
{
        uint64_t wait = service.manager->options.idle_timeout;

        if (service.ending && !service.releasing && store_is_idle(service.manager->store))
                (void) sd_event_exit(service.event, 0);
        if (wait == 0 || service.ending || !service.has_name)
                return;
        if (!has_nothing_to_do() || bus_is_busy(service.objects)) {
                if (service.idle)
                        (void) sd_event_source_set_enabled(service.idle, SD_EVENT_OFF);
                return;
        }
        if (!service.idle) {
                (void) sd_event_add_time_relative(service.event, &service.idle, CLOCK_MONOTONIC, wait,
                                                  wait / 10 + 1, on_idle_long_enough, NULL);
                return;
        }
        (void) sd_event_source_set_time_relative(service.idle, wait);
        (void) sd_event_source_set_enabled(service.idle, SD_EVENT_ONESHOT);
}

static void manager_check_idle(Manager *m)
{
        check_idle(NULL);
}

static int on_terminate(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        if (service.ending)
                return sd_event_exit(service.event, 0);
        service.ending = true;
        manager_interrupt(service.manager);
        release_name();
        return sd_event_add_time_relative(service.event, &service.end, CLOCK_MONOTONIC, END_USEC, 0,
                                          exit_now, NULL);
}

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        uint32_t outcome = 0;

        if (!error && sd_bus_message_read(reply, "u", &outcome) >= 0 && (outcome == 1 || outcome == 4)) {
                service.has_name = true;
                (void) sd_notify(false, "READY=1");
                check_idle(NULL);
                return 1;
        }
        log_error("Cannot get the name " BUS_NAME ": %s", error ? error->message : "another process has it");
        return sd_event_exit(service.event, EXIT_FAILURE);
}

static void request_name(void)
{
        if (sd_bus_request_name_async(service.bus, NULL, BUS_NAME, 0, on_name, NULL) < 0)
                (void) sd_event_exit(service.event, EXIT_FAILURE);
}

/* What the backends can do is known: the last thing that was missing. */
static void on_described(const sd_bus_error *error, void *userdata)
{
        if (error) {
                log_error("Cannot run %s: %s", service.manager->options.worker_path, error->message);
                (void) sd_event_exit(service.event, EXIT_FAILURE);
                return;
        }
        load_begin(service.manager);
        request_name();
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        log_error("The connection to the bus was lost");
        return sd_event_exit(service.event, EXIT_FAILURE);
}

static int connect_bus(bool session)
{
        int r;

        r = session ? sd_bus_open_user_with_description(&service.bus, "storaged")
                    : sd_bus_open_system_with_description(&service.bus, "storaged");
        if (r < 0) {
                log_error("Cannot connect to the %s bus: %s", session ? "session" : "system",
                          strerrordesc_np(-r));
                return r;
        }
        /* The last replies are sent when the loop has ended. */
        r = sd_bus_set_close_on_exit(service.bus, false);
        if (r >= 0)
                r = sd_bus_attach_event(service.bus, service.event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(service.bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                              "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
                                              NULL, NULL);
        return r;
}

static int setup_signals(void)
{
        sigset_t mask;
        int r;

        (void) signal(SIGPIPE, SIG_IGN);
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        r = sd_event_add_signal(service.event, NULL, SIGTERM, on_terminate, NULL);
        if (r >= 0)
                r = sd_event_add_signal(service.event, NULL, SIGINT, on_terminate, NULL);
        return r < 0 ? r : worker_process_watch_children(service.event);
}

static int run(ManagerOptions *options)
{
        bool session = options->session;
        int r;

        r = sd_event_new(&service.event);
        if (r >= 0)
                r = setup_signals();
        if (r >= 0)
                r = manager_new(service.event, options, &service.manager);
        if (r >= 0)
                r = store_describe(service.manager->store, on_described, NULL);
        if (r >= 0)
                r = connect_bus(session);
        if (r >= 0)
                r = bus_new(service.manager, service.bus, check_idle, NULL, &service.objects);
        if (r >= 0)
                r = load_pools(service.manager);
        if (r >= 0 && !session)
                r = device_events_new(service.manager, &service.devices);
        if (r < 0) {
                log_error("Cannot start: %s", strerrordesc_np(-r));
                return r;
        }
        service.manager->check_idle = manager_check_idle;
        return sd_event_loop(service.event);
}

int main(int argc, char *argv[])
{
        ManagerOptions options = {};
        int r;

        (void) storage_errors_register();
        /* One arena is enough for one thread, and gives back what a burst has needed. */
        (void) mallopt(M_TRIM_THRESHOLD, 256 * 1024);
        r = parse_options(argc, argv, &options);
        if (r > 0) {
                r = complete_options(&options);
                if (r >= 0)
                        r = run(&options);
        }
        device_events_free(service.devices);
        manager_free(service.manager);
        bus_free(service.objects);
        sd_bus_flush_close_unref(service.bus);
        sd_event_source_disable_unref(service.idle);
        sd_event_source_disable_unref(service.end);
        sd_event_unref(service.event);
        free(options.config_dir);
        free(options.state_dir);
        free(options.runtime_dir);
        free(options.worker_path);
        return r == -EINVAL ? 2 : r < 0 ? EXIT_FAILURE : r;
}

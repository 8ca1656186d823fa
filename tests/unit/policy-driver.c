/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A service with methods that the policy guards, for tests/bus/test_policy_layer.py. With --user it runs in
 * session mode. It ends by SIGTERM, in order, so that sanitizers see what was not freed.
 */

#include <signal.h>

#include "policy/policy.h"

#define NAME "org.example.Storage1"
#define PATH "/org/example/Storage1/test"
#define PATH_HIDDEN "/org/example/Storage1/hidden"
#define INTERFACE NAME ".PolicyTest"

typedef struct Driver {
        sd_bus *bus;
        Policy *policy;
        sd_bus_slot *hidden;
        bool eat;
        uint32_t passes, changes;
} Driver;

static void on_changed(void *userdata)
{
        Driver *d = userdata;

        d->changes++;
}

/* Reads an action and its details: (sas). */
static int read_question(sd_bus_message *m, const char **ret_action, char ***ret_details)
{
        int r;

        r = sd_bus_message_read(m, "s", ret_action);
        if (r < 0)
                return r;
        return sd_bus_message_read_strv(m, ret_details);
}

/* Guarded(s action, as details) -> (u uid) */
static int method_guarded(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_strv_free_ char **details = NULL;
        Driver *d = userdata;
        const char *action;
        uid_t uid;
        int r;

        d->passes++;
        r = policy_caller(d->policy, m, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = read_question(m, &action, &details);
        if (r < 0)
                return r;
        r = policy_check(d->policy, m, action, (const char *const *) details, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        return sd_bus_reply_method_return(m, "u", (uint32_t) uid);
}

/* Twice(s action, as details, s action, as details): needs both. */
static int method_twice(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Driver *d = userdata;
        int r;

        d->passes++;
        for (int i = 0; i < 2; i++) {
                _cleanup_strv_free_ char **details = NULL;
                const char *action;

                r = read_question(m, &action, &details);
                if (r < 0)
                        return r;
                r = policy_check(d->policy, m, action, (const char *const *) details, error);
                if (r <= 0)
                        return r < 0 ? r : 1;
        }
        return sd_bus_reply_method_return(m, "");
}

/* Changing(s action): asks for something else in each pass, so that no answer ever fits. */
static int method_changing(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Driver *d = userdata;
        const char *action;
        char pass[16];
        int r;

        (void) snprintf(pass, sizeof(pass), "%u", ++d->passes);
        r = sd_bus_message_read(m, "s", &action);
        if (r < 0)
                return r;
        r = policy_check(d->policy, m, action, (const char *const[]){"capacity", pass, NULL}, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        return sd_bus_reply_method_return(m, "");
}

/* Caller() -> (u uid): only becomes a client. */
static int method_caller(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Driver *d = userdata;
        uid_t uid;
        int r;

        d->passes++;
        r = policy_caller(d->policy, m, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        return sd_bus_reply_method_return(m, "u", (uint32_t) uid);
}

/* Counts() -> (uuuu callers, pending, passes, changes), without becoming a client. */
static int method_counts(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Driver *d = userdata;

        return sd_bus_reply_method_return(m, "uuuu", (uint32_t) policy_callers(d->policy),
                                          (uint32_t) policy_pending(d->policy), d->passes, d->changes);
}

/* Hide(): the object at PATH_HIDDEN goes away. */
static int method_hide(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Driver *d = userdata;

        d->hidden = sd_bus_slot_unref(d->hidden);
        return sd_bus_reply_method_return(m, "");
}

/* Eat(): calls to PATH_HIDDEN are refused from now on, before any handler sees them. */
static int method_eat(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Driver *d = userdata;

        d->eat = true;
        return sd_bus_reply_method_return(m, "");
}

/* As a service does that asks for the caller of each message: it comes before the policy's own filter. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Driver *d = userdata;
        uid_t uid;

        if (!d->eat || !streq_ptr(sd_bus_message_get_path(m), PATH_HIDDEN))
                return 0;
        if (policy_caller(d->policy, m, &uid, NULL) != 0)
                (void) sd_bus_reply_method_errorf(m, STORAGE_ERROR_INACCESSIBLE, "Eaten by a filter");
        return 1;
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Guarded", "sas", "u", method_guarded, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Twice", "sassas", "", method_twice, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Changing", "s", "", method_changing, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Caller", "", "u", method_caller, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Counts", "", "uuuu", method_counts, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Eat", "", "", method_eat, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Hide", "", "", method_hide, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int run(Driver *d, bool session)
{
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        sigset_t mask;
        int r;

        if (sigemptyset(&mask) < 0 || sigaddset(&mask, SIGTERM) < 0 ||
            sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        r = storage_errors_register();
        if (r < 0)
                return r;
        r = sd_event_new(&event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r < 0)
                return r;
        r = session ? sd_bus_open_user(&d->bus) : sd_bus_open_system(&d->bus);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(d->bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = policy_new(d->bus, session, on_changed, d, &d->policy);
        if (r < 0)
                return r;
        r = sd_bus_add_filter(d->bus, NULL, on_message, d);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(d->bus, NULL, PATH, INTERFACE, vtable, d);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(d->bus, &d->hidden, PATH_HIDDEN, INTERFACE, vtable, d);
        if (r < 0)
                return r;
        r = sd_bus_request_name_async(d->bus, NULL, NAME, 0, NULL, NULL);
        if (r < 0)
                return r;
        return sd_event_loop(event);
}

int main(int argc, char **argv)
{
        Driver d = {0};
        int r;

        r = run(&d, argc > 1 && streq(argv[1], "--user"));
        if (d.policy)
                policy_free(d.policy);
        sd_bus_slot_unref(d.hidden);
        sd_bus_flush_close_unref(d.bus);
        if (r < 0)
                (void) fprintf(stderr, "policy-driver: %s\n", strerrordesc_np(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/callers.h"

#include <bsd/sys/tree.h>

#define BUS_NAME "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"

typedef struct Caller {
        RB_ENTRY(Caller) entry;
        Callers *callers; /* NULL: not in the tree */
        char *name;
        uid_t uid;
        sd_bus_slot *lookup; /* as long as the bus has not answered */
        sd_bus_message **kept;
        size_t n_kept;
} Caller;

RB_HEAD(CallerTree, Caller);

struct Callers {
        sd_bus *bus;
        sd_bus_slot *departures;
        struct CallerTree tree;
        size_t n, max;
        void (*gone)(const char *name, void *userdata);
        void *userdata;
};

static int caller_compare(Caller *a, Caller *b)
{
        return strcmp(a->name, b->name);
}

RB_GENERATE_INTERNAL(CallerTree, Caller, entry, caller_compare, _unused_ static)

static Caller *caller_find(Callers *callers, const char *name)
{
        Caller key = {.name = (char *) name};

        return RB_FIND(CallerTree, &callers->tree, &key);
}

static void caller_unlink(Caller *caller)
{
        if (!caller->callers)
                return;
        RB_REMOVE(CallerTree, &caller->callers->tree, caller);
        caller->callers->n--;
        caller->callers = NULL;
}

static Caller *caller_free(Caller *caller)
{
        caller_unlink(caller);
        sd_bus_slot_unref(caller->lookup);
        for (size_t i = 0; i < caller->n_kept; i++)
                sd_bus_message_unref(caller->kept[i]);
        free(caller->kept);
        free(caller->name);
        free(caller);
        return NULL;
}
DEFINE_CLEANUP(Caller *, caller_free)

static void caller_left(Caller *caller)
{
        _cleanup_(caller_freep) Caller *left = caller;
        Callers *callers = caller->callers;

        caller_unlink(left);
        callers->gone(left->name, callers->userdata);
}

int callers_redispatch(sd_bus_message *m)
{
        int r;

        r = sd_bus_enqueue_for_read(sd_bus_message_get_bus(m), m);
        if (r < 0)
                (void) sd_bus_reply_method_errnof(m, r, "The call could not be taken up again: %s",
                                                  strerrordesc_np(-r));
        return r < 0 ? r : 0;
}

static int credentials_uid(sd_bus_message *reply, uid_t *ret_uid)
{
        uint32_t uid;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                const char *key;

                r = sd_bus_message_read(reply, "s", &key);
                if (r < 0)
                        return r;
                if (streq(key, "UnixUserID")) {
                        r = sd_bus_message_read(reply, "v", "u", &uid);
                        if (r < 0)
                                return r;
                        *ret_uid = uid;
                        return 0;
                }
                r = sd_bus_message_skip(reply, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : -ENODATA;
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        Caller *caller = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(reply);

        caller->lookup = sd_bus_slot_unref(caller->lookup);
        if (e) {
                /* A sender that has left needs no answer; anything else, such as a bus at its limits, does.
                 */
                for (size_t i = 0;
                     i < caller->n_kept && !sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER); i++)
                        (void) sd_bus_reply_method_errorf(caller->kept[i], SD_BUS_ERROR_ACCESS_DENIED,
                                                          "The bus does not say which user %s is: %s",
                                                          caller->name, strempty(e->message));
                caller_left(caller);
                return 1;
        }
        if (credentials_uid(reply, &caller->uid) < 0)
                caller->uid = CALLER_UID_UNKNOWN;
        for (size_t i = 0; i < caller->n_kept; i++) {
                (void) callers_redispatch(caller->kept[i]);
                sd_bus_message_unref(caller->kept[i]);
        }
        free(caller->kept);
        caller->kept = NULL;
        caller->n_kept = 0;
        return 1;
}

static int on_departure(sd_bus_message *signal, void *userdata, sd_bus_error *ret_error)
{
        Callers *callers = userdata;
        Caller *caller;
        const char *name;

        if (sd_bus_message_read(signal, "s", &name) < 0)
                return 0;
        caller = caller_find(callers, name);
        if (caller)
                caller_left(caller);
        return 0;
}

int callers_new(sd_bus *bus, size_t max, void (*gone)(const char *name, void *userdata), void *userdata,
                Callers **ret)
{
        _cleanup_(callers_freep) Callers *callers = NULL;
        int r;

        callers = calloc(1, sizeof(*callers));
        if (!callers)
                return -ENOMEM;
        *callers = (Callers){
                .bus = sd_bus_ref(bus),
                .tree = RB_INITIALIZER(&callers->tree),
                .max = max,
                .gone = gone,
                .userdata = userdata,
        };
        /*
         * One match for all who leave, in place before the first lookup: the bus answers in order. If the
         * bus refuses, sd-bus ends the connection: better no service than one that never sees anybody leave.
         */
        r = sd_bus_add_match_async(bus, &callers->departures,
                                   "type='signal',sender='" BUS_NAME "',path='" BUS_PATH
                                   "',interface='" BUS_NAME "',member='NameOwnerChanged',arg2=''",
                                   on_departure, NULL, callers);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(callers);
        return 0;
}

Callers *callers_free(Callers *callers)
{
        Caller *caller;

        sd_bus_slot_unref(callers->departures);
        while ((caller = RB_ROOT(&callers->tree)))
                caller_free(caller);
        sd_bus_unref(callers->bus);
        free(callers);
        return NULL;
}

static int caller_new(Callers *callers, const char *name, Caller **ret, sd_bus_error *error)
{
        _cleanup_(caller_freep) Caller *caller = NULL;
        int r;

        if (callers->n >= callers->max)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                        "%zu connections use the service already; try again when some have left",
                        callers->n);
        caller = calloc(1, sizeof(*caller));
        if (!caller)
                return -ENOMEM;
        caller->uid = CALLER_UID_UNKNOWN;
        caller->name = strdup(name);
        if (!caller->name)
                return -ENOMEM;
        RB_INSERT(CallerTree, &callers->tree, caller);
        caller->callers = callers;
        callers->n++;
        r = sd_bus_call_method_async(callers->bus, &caller->lookup, BUS_NAME, BUS_PATH, BUS_NAME,
                                     "GetConnectionCredentials", on_credentials, caller, "s", name);
        if (r < 0)
                return error_set_errno(error, r, "The bus cannot be asked which user %s is", name);
        *ret = TAKE_PTR(caller);
        return 0;
}

static int caller_keep(Caller *caller, sd_bus_message *m, sd_bus_error *error)
{
        sd_bus_message **grown;

        if (caller->n_kept >= CALLER_MESSAGES_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                         "%zu calls of %s wait already for the bus to say which user it is",
                                         caller->n_kept, caller->name);
        grown = reallocarray(caller->kept, caller->n_kept + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        caller->kept = grown;
        caller->kept[caller->n_kept++] = sd_bus_message_ref(m);
        return 0;
}

int callers_lookup(Callers *callers, sd_bus_message *m, bool keep, uid_t *ret_uid, sd_bus_error *error)
{
        const char *name = sd_bus_message_get_sender(m);
        Caller *caller;
        int r;

        if (!name)
                return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED,
                                         "The call names no sender, so nobody knows whose it is");
        caller = caller_find(callers, name);
        if (!caller) {
                r = caller_new(callers, name, &caller, error);
                if (r < 0)
                        return r;
        }
        if (caller->lookup) {
                r = keep ? caller_keep(caller, m, error) : 0;
                return r < 0 ? r : 0;
        }
        if (caller->uid == CALLER_UID_UNKNOWN)
                return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED,
                                         "The bus does not know which user %s is", name);
        *ret_uid = caller->uid;
        return 1;
}

size_t callers_count(const Callers *callers)
{
        return callers->n;
}

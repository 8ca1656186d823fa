/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/polkit.h"

#include <inttypes.h>

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE POLKIT_NAME ".Authority"

/* Bit of CheckAuthorization's flags. */
#define POLKIT_ALLOW_USER_INTERACTION UINT32_C(1)

struct PolkitQuestion {
        sd_bus *bus;
        sd_bus_slot *slot; /* as long as there is no answer */
        uint64_t id;
        uid_t uid;
        char *action;
        char *object; /* for people: " (pool x, volume y)" or "" */
        bool interactive;
        void (*answer)(int r, const sd_bus_error *error, void *userdata);
        void *userdata;
};

/* What polkit found, see the reply (bba{ss}) of CheckAuthorization. */
typedef struct Verdict {
        int authorized, challenge;
        bool dismissed;
} Verdict;

static int verdict_read(sd_bus_message *reply, Verdict *ret)
{
        const char *key, *value;
        Verdict v = {0};
        int r;

        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "bb", &v.authorized, &v.challenge);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(reply, 'a', "{ss}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "{ss}", &key, &value)) > 0) {
                if (streq(key, "polkit.dismissed") && !isempty(value))
                        v.dismissed = true;
        }
        if (r < 0)
                return r;
        *ret = v;
        return 0;
}

/* 1, or the refusal in error. */
static int verdict_explain(const PolkitQuestion *q, const Verdict *v, sd_bus_error *error)
{
        if (v->authorized)
                return 1;
        if (v->challenge && !q->interactive)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                        "%s%s needs authentication, and the call did not allow to ask for it", q->action,
                        q->object);
        if (v->challenge)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                        "%s%s needs authentication, and no agent (pkttyagent, for example) runs "
                        "to ask user %" PRIu32 " for it",
                        q->action, q->object, (uint32_t) q->uid);
        if (v->dismissed)
                return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED,
                                         "%s%s needs authentication, which was dismissed", q->action,
                                         q->object);
        return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED,
                                 "User %" PRIu32
                                 " may not do %s%s; the administrator can allow it by a polkit rule",
                                 (uint32_t) q->uid, q->action, q->object);
}

static bool means_unreachable(const sd_bus_error *e)
{
        return sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                                      SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT,
                                      SD_BUS_ERROR_DISCONNECTED) ||
               (e->name && startswith(e->name, "org.freedesktop.DBus.Error.Spawn."));
}

static void failure_explain(const PolkitQuestion *q, const sd_bus_error *e, sd_bus_error *error)
{
        if (q->interactive && sd_bus_error_has_names(e, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT))
                (void) sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED,
                                         "%s%s needs authentication, and nobody answered polkit in time",
                                         q->action, q->object);
        else if (means_unreachable(e))
                (void) sd_bus_error_setf(
                        error, SD_BUS_ERROR_ACCESS_DENIED,
                        "polkit is not reachable, so only root may do %s%s; is polkit.service "
                        "running? (%s)",
                        q->action, q->object, strempty(e->message));
        else
                (void) sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED, "polkit did not judge %s%s: %s",
                                         q->action, q->object, strempty(e->message));
}

static void question_cancel(PolkitQuestion *q)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        char id[32];

        (void) snprintf(id, sizeof(id), "%" PRIu64, q->id);
        if (sd_bus_message_new_method_call(q->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                           "CancelCheckAuthorization") < 0 ||
            sd_bus_message_set_expect_reply(m, false) < 0 || sd_bus_message_set_auto_start(m, false) < 0 ||
            sd_bus_message_append(m, "s", id) < 0)
                return;
        (void) sd_bus_send(q->bus, m, NULL);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        PolkitQuestion *q = userdata;
        Verdict verdict;
        int r;

        q->slot = sd_bus_slot_unref(q->slot);
        if (e) {
                failure_explain(q, e, &error);
                if (sd_bus_error_has_names(e, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT))
                        question_cancel(q);
                r = -EACCES;
        } else {
                r = verdict_read(reply, &verdict);
                if (r < 0)
                        (void) sd_bus_error_setf(&error, SD_BUS_ERROR_ACCESS_DENIED,
                                                 "polkit's answer about %s%s cannot be read: %s", q->action,
                                                 q->object, strerrordesc_np(-r));
                else
                        r = verdict_explain(q, &verdict, &error);
        }
        /* Last, as it may free the question. */
        q->answer(r, &error, q->userdata);
        return 1;
}

static const char *detail(char *const *details, const char *key)
{
        for (char *const *i = details; i && i[0] && i[1]; i += 2) {
                if (streq(i[0], key))
                        return i[1];
        }
        return NULL;
}

static int describe_object(char *const *details, char **ret)
{
        const char *pool = detail(details, "pool"), *volume = detail(details, "volume");
        int n;

        if (pool && volume)
                n = asprintf(ret, " (pool '%s', volume '%s')", pool, volume);
        else if (pool)
                n = asprintf(ret, " (pool '%s')", pool);
        else
                n = asprintf(ret, "%s", "");
        if (n < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int question_message(const PolkitQuestion *q, const char *caller, char *const *details,
                            sd_bus_message **ret)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        char id[32];
        int r;

        r = sd_bus_message_new_method_call(q->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                           "CheckAuthorization");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s", caller, q->action);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "{ss}");
        if (r < 0)
                return r;
        for (char *const *i = details; i && i[0] && i[1]; i += 2) {
                r = sd_bus_message_append(m, "{ss}", i[0], i[1]);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        (void) snprintf(id, sizeof(id), "%" PRIu64, q->id);
        r = sd_bus_message_append(m, "us", q->interactive ? POLKIT_ALLOW_USER_INTERACTION : 0, id);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int polkit_ask(sd_bus *bus, const char *caller, uid_t uid, const char *action, char *const *details,
               bool interactive, void (*answer)(int r, const sd_bus_error *error, void *userdata),
               void *userdata, PolkitQuestion **ret)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_(polkit_question_freep) PolkitQuestion *q = NULL;
        static uint64_t last_id; /* unique on this connection is what polkit wants */
        int r;

        q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;
        *q = (PolkitQuestion){
                .bus = sd_bus_ref(bus),
                .id = ++last_id,
                .uid = uid,
                .action = strdup(action),
                .interactive = interactive,
                .answer = answer,
                .userdata = userdata,
        };
        if (!q->action)
                return -ENOMEM;
        r = describe_object(details, &q->object);
        if (r < 0)
                return r;
        r = question_message(q, caller, details, &m);
        if (r < 0)
                return r;
        r = sd_bus_call_async(bus, &q->slot, m, on_answer, q,
                              interactive ? POLKIT_INTERACTIVE_USEC : POLKIT_USEC);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

PolkitQuestion *polkit_question_free(PolkitQuestion *question)
{
        if (question->slot) {
                question->slot = sd_bus_slot_unref(question->slot);
                question_cancel(question);
        }
        sd_bus_unref(question->bus);
        free(question->action);
        free(question->object);
        free(question);
        return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/policy.h"

#include <bsd/sys/queue.h>
#include <inttypes.h>

#include "policy/callers.h"
#include "policy/polkit.h"

/* What polkit said about a call: it holds for just this action with just these details. */
typedef struct Answer {
        char *action;
        char **details;
        int result; /* 1, or negative with the error */
        sd_bus_error error;
} Answer;

typedef enum CallState {
        CALL_IN_LINE,  /* the user has enough questions under way */
        CALL_ASKED,    /* polkit thinks */
        CALL_ANSWERED, /* the message is in the read queue again */
        CALL_TAKEN_UP, /* the handler is at work on it, or was: freed soon, unless it asks for more */
} CallState;

/* What a user takes of the limits. */
typedef struct User {
        LIST_ENTRY(User) entry;
        uid_t uid;
        size_t n_calls, n_waiting, n_asked;
} User;

LIST_HEAD(UserList, User);

/* A method call that somebody waits for. What is being asked, if anything, is the last of its answers. */
typedef struct Call {
        TAILQ_ENTRY(Call) entry;
        Policy *policy;
        sd_bus_message *message;
        User *user;
        CallState state;
        PolkitQuestion *question;
        Answer answers[POLICY_ANSWERS_MAX];
        size_t n_answers;
} Call;

TAILQ_HEAD(CallList, Call);

struct Policy {
        sd_bus *bus;
        bool session;
        void (*changed)(void *userdata);
        void *userdata;
        Callers *callers;
        sd_bus_slot *filter;
        sd_event_source *sweep;
        struct CallList calls; /* oldest first */
        struct UserList users;
        size_t n_waiting, n_asked;
};

static void answer_done(Answer *answer)
{
        free(answer->action);
        strv_free(answer->details);
        sd_bus_error_free(&answer->error);
}

static bool state_waits(CallState state)
{
        return state == CALL_IN_LINE || state == CALL_ASKED || state == CALL_ANSWERED;
}

static void call_set_state(Call *call, CallState state)
{
        int waiting = state_waits(state) - state_waits(call->state);
        int asked = (state == CALL_ASKED) - (call->state == CALL_ASKED);

        call->policy->n_waiting += waiting;
        call->user->n_waiting += waiting;
        call->policy->n_asked += asked;
        call->user->n_asked += asked;
        call->state = state;
}

static User *user_find(Policy *policy, uid_t uid)
{
        User *user;

        LIST_FOREACH (user, &policy->users, entry) {
                if (user->uid == uid)
                        return user;
        }
        return NULL;
}

static Call *call_free(Call *call)
{
        call_set_state(call, CALL_TAKEN_UP);
        TAILQ_REMOVE(&call->policy->calls, call, entry);
        if (--call->user->n_calls == 0) {
                LIST_REMOVE(call->user, entry);
                free(call->user);
        }
        if (call->question)
                polkit_question_free(call->question);
        for (size_t i = 0; i < call->n_answers; i++)
                answer_done(&call->answers[i]);
        sd_bus_message_unref(call->message);
        free(call);
        return NULL;
}

static Call *call_find(Policy *policy, const sd_bus_message *m)
{
        Call *call;

        TAILQ_FOREACH (call, &policy->calls, entry) {
                if (call->message == m)
                        return call;
        }
        return NULL;
}

static bool call_may_ask(const Call *call)
{
        return call->policy->n_asked < POLICY_PENDING_MAX &&
               call->user->n_asked < POLICY_PENDING_PER_USER_MAX;
}

static void on_answer(int r, const sd_bus_error *error, void *userdata);

static int call_ask(Call *call)
{
        Answer *wanted = &call->answers[call->n_answers - 1];
        bool interactive = sd_bus_message_get_allow_interactive_authorization(call->message) > 0;
        int r;

        r = polkit_ask(call->policy->bus, sd_bus_message_get_sender(call->message), call->user->uid,
                       wanted->action, wanted->details, interactive, on_answer, call, &call->question);
        if (r < 0)
                return r;
        call_set_state(call, CALL_ASKED);
        return 0;
}

static void policy_sweep_soon(Policy *policy);

static void call_answered(Call *call)
{
        call_set_state(call, CALL_ANSWERED);
        if (callers_redispatch(call->message) >= 0)
                return;
        call_set_state(call, CALL_TAKEN_UP);
        policy_sweep_soon(call->policy);
}

/* Asks what waits in line, as far as the limits allow. */
static void policy_ask_more(Policy *policy)
{
        Call *call;
        int r;

        TAILQ_FOREACH (call, &policy->calls, entry) {
                Answer *wanted;

                if (call->state != CALL_IN_LINE || !call_may_ask(call))
                        continue;
                r = call_ask(call);
                if (r >= 0)
                        continue;
                wanted = &call->answers[call->n_answers - 1];
                wanted->result = error_set_errno(&wanted->error, r, "polkit cannot be asked about %s",
                                                 wanted->action);
                call_answered(call);
        }
}

static void on_answer(int r, const sd_bus_error *error, void *userdata)
{
        Call *call = userdata;
        Answer *wanted = &call->answers[call->n_answers - 1];

        call->question = polkit_question_free(call->question);
        wanted->result = r;
        if (r < 0)
                (void) sd_bus_error_copy(&wanted->error, error);
        call_answered(call);
        policy_ask_more(call->policy);
}

static int on_sweep(sd_event_source *source, void *userdata)
{
        Policy *policy = userdata;
        Call *call, *next;

        TAILQ_FOREACH_SAFE (call, &policy->calls, entry, next) {
                if (call->state == CALL_TAKEN_UP)
                        call_free(call);
        }
        if (TAILQ_EMPTY(&policy->calls))
                policy->changed(policy->userdata);
        return 0;
}

static void policy_sweep_soon(Policy *policy)
{
        if (policy->sweep) {
                (void) sd_event_source_set_enabled(policy->sweep, SD_EVENT_ONESHOT);
                return;
        }
        if (sd_event_add_defer(sd_bus_get_event(policy->bus), &policy->sweep, on_sweep, policy) < 0)
                return; /* out of memory: the next one sweeps for this one too */
        /* Before the bus gets its next turn: a message and its descriptors live no longer than needed. */
        (void) sd_event_source_set_priority(policy->sweep, SD_EVENT_PRIORITY_IMPORTANT);
}

static void policy_take_up(Policy *policy, const sd_bus_message *m)
{
        Call *call = call_find(policy, m);

        if (!call || call->state != CALL_ANSWERED)
                return;
        call_set_state(call, CALL_TAKEN_UP);
        policy_sweep_soon(policy);
}

/*
 * Sees every message before its handler does. The second pass may never reach a handler (the object may be
 * gone by then), or the handler may not get as far as the check, so this is where its end is known from.
 */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        policy_take_up(userdata, m);
        return 0;
}

static void on_caller_gone(const char *name, void *userdata)
{
        Policy *policy = userdata;
        Call *call, *next;

        TAILQ_FOREACH_SAFE (call, &policy->calls, entry, next) {
                if (streq_ptr(sd_bus_message_get_sender(call->message), name))
                        call_free(call);
        }
        policy_ask_more(policy);
        policy->changed(policy->userdata);
}

int policy_new(sd_bus *bus, bool session, void (*changed)(void *userdata), void *userdata, Policy **ret)
{
        _cleanup_(policy_freep) Policy *policy = NULL;
        int r;

        policy = calloc(1, sizeof(*policy));
        if (!policy)
                return -ENOMEM;
        *policy = (Policy){
                .bus = sd_bus_ref(bus),
                .session = session,
                .changed = changed,
                .userdata = userdata,
        };
        TAILQ_INIT(&policy->calls);
        LIST_INIT(&policy->users);
        r = callers_new(bus, POLICY_CALLERS_MAX, on_caller_gone, policy, &policy->callers);
        if (r < 0)
                return r;
        r = sd_bus_add_filter(bus, &policy->filter, on_message, policy);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(policy);
        return 0;
}

Policy *policy_free(Policy *policy)
{
        Call *call;

        sd_bus_slot_unref(policy->filter);
        sd_event_source_disable_unref(policy->sweep);
        while ((call = TAILQ_FIRST(&policy->calls)))
                call_free(call);
        if (policy->callers)
                callers_free(policy->callers);
        sd_bus_unref(policy->bus);
        free(policy);
        return NULL;
}

int policy_caller(Policy *policy, sd_bus_message *m, uid_t *ret_uid, sd_bus_error *error)
{
        int r;

        /* A filter of the service asks this before ours has seen the message, and may keep it from us. */
        policy_take_up(policy, m);
        r = callers_lookup(policy->callers, m, !policy->session, ret_uid, error);
        if (r == 0 && policy->session) {
                *ret_uid = getuid();
                return 1;
        }
        return r;
}

static int details_check(const char *const *details, sd_bus_error *error)
{
        size_t n = 0;

        for (; details && details[n]; n++) {
                if (n >= 2 * POLICY_DETAILS_MAX)
                        return sd_bus_error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                                 "More than %u details to a question about a permission",
                                                 POLICY_DETAILS_MAX);
                if (strlen(details[n]) > POLICY_DETAIL_LENGTH_MAX)
                        return sd_bus_error_setf(
                                error, STORAGE_ERROR_INVALID_ARGUMENT, "The %s is longer than %u bytes",
                                n % 2 == 1 ? details[n - 1] : "name of a detail", POLICY_DETAIL_LENGTH_MAX);
        }
        return n % 2 == 0 ? 0 : -EINVAL;
}

static const Answer *call_find_answer(const Call *call, const char *action, const char *const *details)
{
        for (size_t i = 0; i < call->n_answers; i++) {
                const Answer *answer = &call->answers[i];

                if (streq(answer->action, action) && strv_equal(answer->details, (char *const *) details))
                        return answer;
        }
        return NULL;
}

static int call_want(Call *call, const char *action, const char *const *details, sd_bus_error *error)
{
        _cleanup_strv_free_ char **copy = NULL;
        Answer *answer;
        int r;

        if (call->n_answers >= POLICY_ANSWERS_MAX)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                        "More than %u permissions are needed for one call; do it in several",
                        POLICY_ANSWERS_MAX);
        r = strv_copy((char *const *) details, &copy);
        if (r < 0)
                return r;
        answer = &call->answers[call->n_answers];
        *answer = (Answer){.action = strdup(action)};
        if (!answer->action)
                return -ENOMEM;
        answer->details = TAKE_PTR(copy);
        call->n_answers++;
        call_set_state(call, CALL_IN_LINE);
        return 0;
}

static int call_check_limits(const Policy *policy, const User *user, sd_bus_error *error)
{
        if (user && user->n_waiting >= POLICY_CALLS_PER_USER_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                         "%zu calls of user %" PRIu32 " wait for an authorization already; "
                                         "wait for the answer to some of them",
                                         user->n_waiting, (uint32_t) user->uid);
        if (policy->n_waiting >= POLICY_CALLS_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                         "%zu calls wait for an authorization already; try again later",
                                         policy->n_waiting);
        return 0;
}

static int call_new(Policy *policy, sd_bus_message *m, uid_t uid, Call **ret, sd_bus_error *error)
{
        _cleanup_free_ Call *call = NULL;
        User *user = user_find(policy, uid);
        int r;

        r = call_check_limits(policy, user, error);
        if (r < 0)
                return r;
        call = calloc(1, sizeof(*call));
        if (!call)
                return -ENOMEM;
        if (!user) {
                user = calloc(1, sizeof(*user));
                if (!user)
                        return -ENOMEM;
                user->uid = uid;
                LIST_INSERT_HEAD(&policy->users, user, entry);
        }
        user->n_calls++;
        call->policy = policy;
        call->message = sd_bus_message_ref(m);
        call->user = user;
        call->state = CALL_TAKEN_UP;
        TAILQ_INSERT_TAIL(&policy->calls, call, entry);
        *ret = TAKE_PTR(call);
        return 0;
}

static int policy_ask(Policy *policy, sd_bus_message *m, uid_t uid, const char *action,
                      const char *const *details, sd_bus_error *error)
{
        Call *call = call_find(policy, m);
        int r;

        if (!call) {
                r = call_new(policy, m, uid, &call, error);
                if (r < 0)
                        return r;
        }
        r = call_want(call, action, details, error);
        if (r >= 0 && call_may_ask(call)) {
                r = call_ask(call);
                if (r < 0)
                        r = error_set_errno(error, r, "polkit cannot be asked about %s", action);
        }
        if (r < 0)
                call_free(call);
        return r < 0 ? r : 0;
}

int policy_check(Policy *policy, sd_bus_message *m, const char *action, const char *const *details,
                 sd_bus_error *error)
{
        const Answer *answer;
        const Call *call;
        uid_t uid;
        int r;

        r = callers_lookup(policy->callers, m, true, &uid, error);
        if (r <= 0)
                return r;
        if (uid == 0 || (policy->session && uid == getuid()))
                return 1;
        if (policy->session)
                return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED,
                                         "User %" PRIu32 " may not do %s: this service is user %" PRIu32
                                         "'s own",
                                         (uint32_t) uid, action, (uint32_t) getuid());
        r = details_check(details, error);
        if (r < 0)
                return r;
        call = call_find(policy, m);
        if (call && (call->state == CALL_IN_LINE || call->state == CALL_ASKED))
                return 0;
        answer = call ? call_find_answer(call, action, details) : NULL;
        if (!answer)
                return policy_ask(policy, m, uid, action, details, error);
        if (answer->result < 0)
                (void) sd_bus_error_copy(error, &answer->error);
        return answer->result;
}

size_t policy_callers(const Policy *policy)
{
        return callers_count(policy->callers);
}

size_t policy_pending(const Policy *policy)
{
        return policy->n_waiting;
}

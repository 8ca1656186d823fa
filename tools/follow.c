/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>

#include "common/errors.h"
#include "tools/call.h"
#include "tools/follow.h"
#include "tools/progress.h"

#define REDRAW_USEC (250 * USEC_PER_MSEC)

typedef struct Follow {
        Context *c;
        sd_event *event;
        sd_event_source *interrupt, *redraw;
        sd_bus_slot *signals, *owner, *call, *query, *cancel;
        char *job; /* once known */
        Progress progress;
        unsigned interrupts;
        bool done;
        int result;
        json_object *answer; /* what the work has come to, if it is a dictionary */
        sd_bus_error *error; /* the caller's */
} Follow;

static int finish(Follow *f, int result)
{
        f->done = true;
        f->result = result;
        return 0;
}

static int finish_error(Follow *f, const char *name, const char *message)
{
        int r = sd_bus_error_set(f->error, isempty(name) ? STORAGE_ERROR_FAILED : name, message);

        return finish(f, r < 0 ? r : -EIO);
}

static int on_cancelled(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Follow *f = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (e) {
                progress_clear(&f->progress);
                (void) fprintf(stderr, "storagectl: cannot cancel: %s\n", strempty(e->message));
        }
        return 0;
}

static int cancel(Follow *f)
{
        f->cancel = sd_bus_slot_unref(f->cancel);
        return sd_bus_call_method_async(f->c->bus, &f->cancel, STORAGE_BUS_NAME, f->job, JOB_INTERFACE,
                                        "Cancel", on_cancelled, f, "a{sv}", 0);
}

static int on_interrupt(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        Follow *f = userdata;

        progress_clear(&f->progress);
        if (++f->interrupts > 1)
                return finish_error(f, STORAGE_ERROR_CANCELLED,
                                    "left before the end; see 'storagectl job list' for what goes on");
        (void) fputs("Cancelling; press Ctrl-C again to leave without waiting.\n", stderr);
        return f->job ? cancel(f) : 0;
}

static int on_redraw(sd_event_source *s, uint64_t usec, void *userdata)
{
        Follow *f = userdata;
        int r;

        /* only where no news from the job has done it */
        if (f->job && now_monotonic() - f->progress.drawn_at >= REDRAW_USEC)
                progress_draw(&f->progress);
        r = sd_event_source_set_time_relative(s, REDRAW_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* Takes over what a dictionary of properties says; true if the job has ended. */
static bool apply(Follow *f, json_object *properties)
{
        Progress *p = &f->progress;
        const char *state = json_string(properties, "State");
        json_object *v;

        if (json_object_object_get_ex(properties, "Progress", &v))
                p->fraction = json_object_get_double(v);
        if (json_object_object_get_ex(properties, "ProgressValid", &v))
                p->valid = json_object_get_boolean(v);
        if (json_object_object_get_ex(properties, "BytesDone", &v))
                p->done = json_object_get_uint64(v);
        if (json_object_object_get_ex(properties, "BytesTotal", &v))
                p->total = json_object_get_uint64(v);
        if (json_object_object_get_ex(properties, "Rate", &v))
                p->rate = json_object_get_uint64(v);
        if (json_object_object_get_ex(properties, "ExpectedEndTime", &v))
                p->expected_end = json_object_get_uint64(v);
        if (*state)
                p->queued = streq(state, "queued");
        return streq(state, "succeeded") || streq(state, "failed") || streq(state, "cancelled");
}

static void keep_answer(Follow *f, json_object *answer)
{
        (void) json_object_put(f->answer);
        f->answer = json_object_get(answer);
}

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Follow *f = userdata;
        _cleanup_json_ json_object *properties = NULL;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        json_object *result;
        int r;

        if (e)
                return finish_error(f, e->name, e->message);
        r = json_read(m, &properties);
        if (r < 0)
                return finish(f, r);
        if (!apply(f, properties)) {
                progress_draw(&f->progress);
                return 0;
        }
        if (json_object_object_get_ex(properties, "Result", &result))
                keep_answer(f, result);
        if (streq(json_string(properties, "State"), "succeeded"))
                return finish(f, 0);
        return finish_error(f, json_string(properties, "ErrorName"),
                            json_string(properties, "ErrorMessage"));
}

/* The job is known: its state now comes after the match, so that its end cannot be missed. */
static int begin_job(Follow *f, const char *path)
{
        int r;

        r = free_and_strdup(&f->job, path);
        if (r >= 0 && f->interrupts > 0)
                r = cancel(f);
        if (r >= 0)
                r = sd_bus_call_method_async(f->c->bus, &f->query, STORAGE_BUS_NAME, path,
                                             PROPERTIES_INTERFACE, "GetAll", on_properties, f, "s",
                                             JOB_INTERFACE);
        return r;
}

/* The job is the last thing in each such reply; *last is NULL before. A dictionary is the answer. */
static int read_reply(Follow *f, sd_bus_message *reply, json_object **last)
{
        int r;

        while ((r = sd_bus_message_at_end(reply, true)) == 0) {
                (void) json_object_put(*last);
                *last = NULL;
                r = json_read(reply, last);
                if (r < 0)
                        return r;
                if (json_object_is_type(*last, json_type_object))
                        keep_answer(f, *last);
        }
        if (r < 0)
                return r;
        return json_object_is_type(*last, json_type_string) ? 0 : -EBADMSG;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Follow *f = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        _cleanup_json_ json_object *job = NULL;
        int r;

        if (e)
                return finish_error(f, e->name, e->message);
        r = read_reply(f, m, &job);
        if (r < 0)
                return finish(f, r);
        if (streq(json_object_get_string(job), "/"))
                return finish(f, 0);
        r = begin_job(f, json_object_get_string(job));
        return r < 0 ? finish(f, r) : 0;
}

static int on_completed(Follow *f, sd_bus_message *m)
{
        _cleanup_json_ json_object *result = NULL;
        const char *name, *message;
        int success, r;

        r = sd_bus_message_read(m, "bss", &success, &name, &message);
        if (r >= 0)
                r = json_read(m, &result);
        if (r < 0)
                return finish(f, r);
        keep_answer(f, result);
        return success ? finish(f, 0) : finish_error(f, name, message);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Follow *f = userdata;
        _cleanup_json_ json_object *changed = NULL;

        if (!f->job || !streq(strempty(sd_bus_message_get_path(m)), f->job))
                return 0;
        if (sd_bus_message_is_signal(m, JOB_INTERFACE, "Completed"))
                return on_completed(f, m);
        if (sd_bus_message_is_signal(m, PROPERTIES_INTERFACE, "PropertiesChanged") &&
            sd_bus_message_skip(m, "s") >= 0 && json_read(m, &changed) >= 0) {
                (void) apply(f, changed);
                progress_draw(&f->progress);
        }
        return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Follow *f = userdata;
        const char *new_owner;

        if (sd_bus_message_read(m, "sss", NULL, NULL, &new_owner) < 0 || *new_owner)
                return 0;
        return finish_error(f, SD_BUS_ERROR_NO_REPLY, "the service ended before the work was done");
}

static int follow_begin(Follow *f, sigset_t *ret_old)
{
        sigset_t interrupt;
        int r;

        r = context_connect(f->c, f->error);
        if (r >= 0)
                r = sd_event_new(&f->event);
        if (r >= 0)
                r = sd_bus_attach_event(f->c->bus, f->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(f->c->bus, true);
        (void) sigemptyset(&interrupt);
        (void) sigaddset(&interrupt, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &interrupt, ret_old);
        if (r >= 0)
                r = sd_event_add_signal(f->event, &f->interrupt, SIGINT, on_interrupt, f);
        if (r >= 0)
                r = sd_event_add_time_relative(f->event, &f->redraw, CLOCK_MONOTONIC, REDRAW_USEC, 0,
                                               on_redraw, f);
        if (r >= 0)
                r = sd_bus_add_match(f->c->bus, &f->signals,
                                     "type='signal',sender='" STORAGE_BUS_NAME
                                     "',path_namespace='" STORAGE_JOB_PATH "'",
                                     on_signal, f);
        if (r >= 0)
                r = sd_bus_add_match(f->c->bus, &f->owner, MATCH_OWNER_CHANGED, on_owner, f);
        return r;
}

static void follow_end(Follow *f, const sigset_t *old)
{
        sd_bus_slot *slots[] = {f->signals, f->owner, f->call, f->query, f->cancel};

        progress_clear(&f->progress);
        for (size_t i = 0; i < ELEMENTSOF(slots); i++)
                (void) sd_bus_slot_unref(slots[i]);
        if (f->c->bus) {
                (void) sd_bus_set_exit_on_disconnect(f->c->bus, false);
                (void) sd_bus_detach_event(f->c->bus);
        }
        (void) sd_event_source_disable_unref(f->interrupt);
        (void) sd_event_source_disable_unref(f->redraw);
        (void) sd_event_unref(f->event);
        (void) sigprocmask(SIG_SETMASK, old, NULL);
        free(f->job);
}

static int follow_loop(Follow *f)
{
        /* Not sd_event_loop(): at its end the bus would be closed, but there may be more to call. It ends by
         * itself only with the connection. */
        while (!f->done && sd_event_get_state(f->event) != SD_EVENT_FINISHED) {
                int r = sd_event_run(f->event, UINT64_MAX);

                if (r < 0)
                        return r;
        }
        if (!f->done)
                return sd_bus_error_set(f->error, SD_BUS_ERROR_DISCONNECTED,
                                        "the connection to the bus was lost");
        return f->result;
}

static int call_without_wait(Follow *f, sd_bus_message *m)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        _cleanup_json_ json_object *job = NULL;
        int r;

        r = sd_bus_call(f->c->bus, m, CALL_CHANGE_TIMEOUT_USEC, f->error, &reply);
        if (r >= 0)
                r = read_reply(f, reply, &job);
        (void) json_object_put(f->answer);
        f->answer = NULL;
        if (r < 0)
                return r;
        (void) puts(json_object_get_string(job));
        return 0;
}

int job_call_result(Context *c, sd_bus_message *m, const char *label, json_object **ret, sd_bus_error *error)
{
        Follow f = {.c = c, .error = error};
        sigset_t old;
        int r;

        if (!c->wait) {
                r = call_without_wait(&f, m);
        } else {
                progress_begin(&f.progress, label, c->quiet);
                r = follow_begin(&f, &old);
                if (r >= 0)
                        r = sd_bus_call_async(c->bus, &f.call, m, on_reply, &f, CALL_CHANGE_TIMEOUT_USEC);
                if (r >= 0)
                        r = follow_loop(&f);
                follow_end(&f, &old);
        }
        *ret = f.answer;
        return r;
}

int job_call(Context *c, sd_bus_message *m, const char *label, sd_bus_error *error)
{
        _cleanup_json_ json_object *answer = NULL;

        return job_call_result(c, m, label, &answer, error);
}

int job_follow(Context *c, const char *path, const char *label, sd_bus_error *error)
{
        Follow f = {.c = c, .error = error};
        sigset_t old;
        int r;

        progress_begin(&f.progress, label, c->quiet);
        r = follow_begin(&f, &old);
        if (r >= 0)
                r = begin_job(&f, path);
        if (r >= 0)
                r = follow_loop(&f);
        follow_end(&f, &old);
        (void) json_object_put(f.answer);
        return r;
}

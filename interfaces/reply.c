/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/reply.h"

#include "interfaces/paths.h"
#include "service/find-sources.h"
#include "service/job.h"
#include "service/volume-users.h"

typedef struct Pending {
        JobWaiter waiter;
        sd_bus_message *m;
        Job *job;
        ReplyKind kind;
        sd_event_source *timer;
} Pending;

static void pending_free(Pending *p)
{
        sd_event_source_disable_unref(p->timer);
        sd_bus_message_unref(p->m);
        job_unref(p->job);
        free(p);
}

static char *object_of(const Job *job, ReplyKind kind)
{
        if (!job->pool)
                return strdup("/");
        if (kind == REPLY_VOLUME || kind == REPLY_VOLUME_CHANGES || kind == REPLY_IMPORT ||
            kind == REPLY_IMPORT_PIPE)
                return path_of_volume(job->pool, job->volume_name);
        return path_of_pool(job->pool);
}

static int append_sources(sd_bus_message *reply, const Job *job)
{
        const FoundSources *f = job_found_sources(job);
        _cleanup_free_ char *xml = NULL;
        int r;

        if (!found_sources_as_xml(f))
                return found_sources_append(f, reply);
        r = found_sources_format_xml(f, &xml);
        return r < 0 ? r : sd_bus_message_append(reply, "s", xml);
}

/* bytes, sha256: entries of an a{sv}; none, before the job has come to its end. */
static int append_transferred(sd_bus_message *m, const Job *job)
{
        int r = 0;

        if (job->state != JOB_SUCCEEDED || !job->has_transferred)
                return 0;
        r = sd_bus_message_append(m, "{sv}", "bytes", "t", job->transferred);
        return r >= 0 && job->sha256 ? sd_bus_message_append(m, "{sv}", "sha256", "s", job->sha256) : r;
}

static int append_transfer(sd_bus_message *m, const Job *job)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_transferred(m, job);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_reply(sd_bus_message *reply, const Job *job, ReplyKind kind, const char *job_path)
{
        _cleanup_free_ char *object = NULL;
        int r;

        switch (kind) {
        case REPLY_EMPTY:
                return 0;
        case REPLY_DESCRIPTOR:
                return sd_bus_message_append(reply, "h", job->result_fd);
        case REPLY_USERS:
                return volume_users_append(job, reply);
        case REPLY_JOB:
                return sd_bus_message_append(reply, "o", job_path);
        case REPLY_SOURCES:
                r = append_sources(reply, job);
                return r < 0 ? r : sd_bus_message_append(reply, "o", job_path);
        case REPLY_TRANSFER:
                r = append_transfer(reply, job);
                return r < 0 ? r : sd_bus_message_append(reply, "o", job_path);
        case REPLY_PIPE:
                return sd_bus_message_append(reply, "ho", job->result_fd, job_path);
        default:
                break;
        }
        object = object_of(job, kind);
        if (!object)
                return -ENOMEM;
        r = sd_bus_message_append(reply, "o", object);
        if (r >= 0 && (kind == REPLY_POOL_CHANGES || kind == REPLY_VOLUME_CHANGES))
                r = sd_bus_message_append_strv(reply, job->changes);
        if (r >= 0 && kind == REPLY_IMPORT)
                r = append_transfer(reply, job);
        if (r >= 0 && kind == REPLY_IMPORT_PIPE)
                r = sd_bus_message_append(reply, "h", job->result_fd);
        return r < 0 ? r : sd_bus_message_append(reply, "o", job_path);
}

static int send_reply(sd_bus_message *m, const Job *job, ReplyKind kind, const char *job_path)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        int r;

        if (sd_bus_error_is_set(&job->error))
                return sd_bus_reply_method_error(m, &job->error);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = append_reply(reply, job, kind, job_path);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        return r < 0 ? sd_bus_reply_method_errno(m, r, NULL) : r;
}

static void on_done(JobWaiter *waiter, Job *job)
{
        Pending *p = (Pending *) waiter;

        (void) send_reply(p->m, job, p->kind, "/");
        pending_free(p);
}

/* The work goes on; the caller gets the job to follow it. */
static int reply_running(sd_bus_message *m, Job *job, ReplyKind kind)
{
        _cleanup_free_ char *path = path_of_job(job);

        if (!path)
                return -ENOMEM;
        job_publish(job, true);
        return send_reply(m, job, kind, path);
}

static int on_wait_over(sd_event_source *s, uint64_t usec, void *userdata)
{
        Pending *p = userdata;

        job_remove_waiter(p->job, &p->waiter);
        (void) reply_running(p->m, p->job, p->kind);
        pending_free(p);
        return 0;
}

int reply_with_pipe(sd_bus_message *m, Job *job, ReplyKind kind)
{
        int r = job_is_over(job) ? send_reply(m, job, kind, "/") : reply_running(m, job, kind);

        /* Only the caller has it now, so that its end is seen. */
        job->result_fd = safe_close(job->result_fd);
        return r < 0 ? r : 1;
}

int reply_when_done(Bus *b, sd_bus_message *m, Job *job, ReplyKind kind, uint64_t wait, sd_bus_error *error)
{
        bool at_end = kind == REPLY_EMPTY || kind == REPLY_DESCRIPTOR || kind == REPLY_USERS;
        Pending *p;
        int r = 0;

        if (job_is_over(job))
                return send_reply(m, job, kind, "/") < 0 ? -EIO : 1;
        if (wait == 0 && !at_end)
                return reply_running(m, job, kind) < 0 ? -EIO : 1;
        p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->waiter.done = on_done;
        p->m = sd_bus_message_ref(m);
        p->job = job_ref(job);
        p->kind = kind;
        if (!at_end)
                r = sd_event_add_time(b->manager->event, &p->timer, CLOCK_MONOTONIC,
                                      wait > UINT64_MAX - now_monotonic() ? UINT64_MAX
                                                                          : now_monotonic() + wait,
                                      USEC_PER_MSEC, on_wait_over, p);
        if (r < 0) {
                pending_free(p);
                return r;
        }
        job_add_waiter(job, &p->waiter);
        return 1;
}

static int append_sources_entry(sd_bus_message *m, const Job *job)
{
        const FoundSources *f = job_found_sources(job);
        bool xml;
        int r;

        if (!f)
                return 0;
        xml = found_sources_as_xml(f);
        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", xml ? "xml" : "sources");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', xml ? "s" : "aa{sv}");
        if (r >= 0)
                r = append_sources(m, job);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int job_append_result(const Job *job, sd_bus_message *m)
{
        _cleanup_free_ char *path = NULL;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && job->state == JOB_SUCCEEDED && job->result_is_pool && job->pool) {
                path = path_of_pool(job->pool);
                r = path ? sd_bus_message_append(m, "{sv}", "pool", "o", path) : -ENOMEM;
        }
        if (r >= 0 && job->state == JOB_SUCCEEDED && job->result_is_volume && job->pool) {
                path = path_of_volume(job->pool, job->volume_name);
                r = path ? sd_bus_message_append(m, "{sv}", "volume", "o", path) : -ENOMEM;
        }
        if (r >= 0 && job->state == JOB_SUCCEEDED)
                r = append_sources_entry(m, job);
        if (r >= 0)
                r = append_transferred(m, job);
        if (r >= 0 && job->state == JOB_SUCCEEDED && job->has_changes) {
                r = sd_bus_message_open_container(m, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append(m, "s", "changes");
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'v', "as");
                if (r >= 0)
                        r = sd_bus_message_append_strv(m, job->changes);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/job.h"

#include <inttypes.h>

#include "service/data-job.h"
#include "service/pool.h"

#define PROGRESS_USEC (250 * USEC_PER_MSEC)
/* A century: what takes longer is not known, and would not fit at last. */
#define EXPECTED_MAX_USEC (UINT64_C(100 * 365 * 24 * 3600) * USEC_PER_SEC)
/* Nothing moves: for so long, and for so many times as long as it took last until something did, as some
 * tools tell of each hundredth only. */
#define STALLED_USEC (2 * USEC_PER_SEC)
#define STALLED_FACTOR 4U

static const char *const job_state_names[] = {
        [JOB_QUEUED] = "queued",       [JOB_RUNNING] = "running", [JOB_CANCELLING] = "cancelling",
        [JOB_SUCCEEDED] = "succeeded", [JOB_FAILED] = "failed",   [JOB_CANCELLED] = "cancelled",
};

const char *job_state_to_string(JobState s)
{
        return job_state_names[s];
}

bool job_is_over(const Job *job)
{
        return job->state >= JOB_SUCCEEDED;
}

static unsigned running_of_user(const Manager *m, uid_t uid)
{
        unsigned n = 0;
        Job *job;

        TAILQ_FOREACH (job, &m->jobs, entry) {
                n += job->uid == uid && !job_is_over(job);
        }
        return n;
}

static int on_publish_time(sd_event_source *s, uint64_t usec, void *userdata)
{
        job_publish(userdata, false);
        return 0;
}

static int add_job(Manager *m, Pool *pool, Job *job)
{
        int r;

        r = sd_event_add_time_relative(m->event, &job->timer, CLOCK_MONOTONIC, JOB_PUBLISH_USEC,
                                       10 * USEC_PER_MSEC, on_publish_time, job);
        if (r < 0)
                return r;
        if (pool) {
                job->pool = pool_ref(pool);
                TAILQ_INSERT_TAIL(&pool->jobs, job, pool_entry);
        }
        TAILQ_INSERT_TAIL(&m->jobs, job, entry);
        job->linked = true;
        m->n_running++;
        return 0;
}

int job_new(Manager *m, Pool *pool, const char *operation, uid_t uid, const char *volume_name, Job **ret,
            sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        int r;

        if (uid != UINT32_MAX && (m->n_running >= JOBS_MAX || running_of_user(m, uid) >= JOBS_PER_USER_MAX))
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                         "Too many jobs under way: wait for some of yours to end");
        job = calloc(1, sizeof *job);
        if (!job)
                return -ENOMEM;
        job->n_ref = 1;
        job->manager = m;
        job->operation = operation;
        job->uid = uid;
        job->result_fd = job->peer_fd = -EBADF;
        job->start = now_realtime();
        job->id = ++m->last_job;
        TAILQ_INIT(&job->waiters);
        r = free_and_strdup(&job->volume_name, volume_name);
        if (r >= 0)
                r = add_job(m, pool, job);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(job);
        return 0;
}

Job *job_ref(Job *job)
{
        if (job)
                job->n_ref++;
        return job;
}

static void job_unlink(Job *job)
{
        if (!job->linked)
                return;
        job->linked = false;
        TAILQ_REMOVE(&job->manager->jobs, job, entry);
        if (!job->kept)
                return;
        job->kept = false;
        TAILQ_REMOVE(&job->manager->kept, job, kept_entry);
        job->manager->n_kept--;
}

Job *job_unref(Job *job)
{
        if (!job || --job->n_ref > 0)
                return NULL;
        job_unlink(job);
        sd_event_source_disable_unref(job->timer);
        sd_event_source_disable_unref(job->progress);
        sd_event_source_disable_unref(job->stalled);
        data_job_free(job->data_job);
        if (job->free_data)
                job->free_data(job->data);
        pool_unref(job->pool);
        sd_bus_error_free(&job->error);
        strv_free(job->changes);
        safe_close(job->result_fd);
        safe_close(job->peer_fd);
        free(job->sha256);
        free(job->volume_name);
        volume_locks_done(&job->locks);
        free(job);
        return NULL;
}

void job_forget(Job *job)
{
        JobWaiter *waiter;

        if (!job_is_over(job) && !sd_bus_error_is_set(&job->error))
                (void) sd_bus_error_setf(&job->error, STORAGE_ERROR_INTERRUPTED,
                                         "Interrupted by the end of the service: %s may be done or not",
                                         job->operation);
        while ((waiter = TAILQ_FIRST(&job->waiters))) {
                TAILQ_REMOVE(&job->waiters, waiter, entry);
                waiter->done(waiter, job);
        }
        job_unlink(job);
        job->n_ref = 1;
        job_unref(job);
}

static void change_state(Job *job, JobState from, JobState to)
{
        if (job->state != from)
                return;
        job->state = to;
        if (job->published)
                job->manager->hooks->job_changed(job, JOB_CHANGE_STATE);
}

void job_set_running(Job *job)
{
        change_state(job, JOB_QUEUED, JOB_RUNNING);
}

void job_set_queued(Job *job)
{
        change_state(job, JOB_RUNNING, JOB_QUEUED);
}

static void tell_progress(Job *job)
{
        if (job->published && !job_is_over(job))
                job->manager->hooks->job_changed(job, JOB_CHANGE_PROGRESS);
}

static int on_progress_time(sd_event_source *s, uint64_t usec, void *userdata)
{
        tell_progress(userdata);
        return 0;
}

/* Lets a timer of the job that rings once ring so much later, whether it is set or not. */
static void set_timer(Job *job, sd_event_source **timer, uint64_t usec, uint64_t accuracy,
                      sd_event_time_handler_t handler)
{
        if (!*timer) {
                (void) sd_event_add_time_relative(job->manager->event, timer, CLOCK_MONOTONIC, usec, accuracy,
                                                  handler, job);
                return;
        }
        (void) sd_event_source_set_time_relative(*timer, usec);
        (void) sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
}

static int on_stalled(sd_event_source *s, uint64_t usec, void *userdata)
{
        Job *job = userdata;

        job->rate = job->expected_end = 0;
        /* When it goes on, the pause does not count. */
        job->rate_usec = 0;
        tell_progress(job);
        return 0;
}

static uint64_t expect_end(const Job *job)
{
        double left;

        if (job->rate == 0 || job->bytes_total < job->bytes_done)
                return 0;
        left = (double) (job->bytes_total - job->bytes_done) * USEC_PER_SEC / (double) job->rate;
        return left < (double) EXPECTED_MAX_USEC ? now_realtime() + (uint64_t) left : 0;
}

static void note_movement(Job *job)
{
        uint64_t now = now_monotonic(), gap = job->moved_usec > 0 ? now - job->moved_usec : 0;
        uint64_t usec = gap * STALLED_FACTOR > STALLED_USEC ? gap * STALLED_FACTOR : STALLED_USEC;

        job->moved_usec = now;
        set_timer(job, &job->stalled, usec, PROGRESS_USEC, on_stalled);
}

static void measure_rate(Job *job)
{
        uint64_t now = now_monotonic(), elapsed = now - job->rate_usec;

        if (job->rate_usec != 0 && elapsed < USEC_PER_SEC / 2)
                return;
        if (job->rate_usec != 0 && job->bytes_done >= job->rate_bytes)
                job->rate =
                        (uint64_t) ((double) (job->bytes_done - job->rate_bytes) * USEC_PER_SEC / elapsed);
        job->rate_usec = now;
        job->rate_bytes = job->bytes_done;
        job->expected_end = expect_end(job);
}

void job_set_progress(Job *job, uint64_t done, uint64_t total)
{
        int enabled = 0;

        if (done != job->bytes_done)
                note_movement(job);
        job->bytes_done = done;
        job->bytes_total = total;
        measure_rate(job);
        if (job->progress)
                (void) sd_event_source_get_enabled(job->progress, &enabled);
        if (job->published && enabled == SD_EVENT_OFF)
                set_timer(job, &job->progress, PROGRESS_USEC, USEC_PER_MSEC, on_progress_time);
}

static void job_keep(Job *job)
{
        job_ref(job);
        job->kept = true;
        TAILQ_INSERT_TAIL(&job->manager->kept, job, kept_entry);
        job->manager->n_kept++;
}

static void job_let_go(Job *job)
{
        job->manager->hooks->job_removed(job);
        job_unlink(job);
        job_unref(job);
}

static int on_keep_time(sd_event_source *s, uint64_t usec, void *userdata)
{
        job_let_go(userdata);
        return 0;
}

/* What is left of a job that is over: nothing, or the object that its callers were promised. */
static void job_retire(Job *job)
{
        job->timer = sd_event_source_disable_unref(job->timer);
        if (job->published && job->handed_out &&
            sd_event_add_time_relative(job->manager->event, &job->timer, CLOCK_MONOTONIC, JOB_KEEP_USEC,
                                       USEC_PER_SEC, on_keep_time, job) >= 0) {
                job_keep(job);
                if (job->manager->n_kept > JOBS_KEPT_MAX)
                        job_let_go(TAILQ_FIRST(&job->manager->kept));
                return;
        }
        if (job->published)
                job->manager->hooks->job_removed(job);
        job_unlink(job);
}

/* What a job did is announced before its end is. */
static void flush_objects(Job *job)
{
        Volume *v;

        if (!job->pool)
                return;
        v = job->volume_name ? volume_find(job->pool, job->volume_name) : NULL;
        if (v)
                volume_flush(v);
        else if (job->volume_name)
                pool_flush_removed(job->pool, job->volume_name);
        else
                pool_flush(job->pool);
}

void job_finish(Job *job, const sd_bus_error *error)
{
        Manager *m = job->manager;
        JobWaiter *waiter;

        if (sd_bus_error_is_set(error))
                (void) sd_bus_error_copy(&job->error, error);
        job->state = !sd_bus_error_is_set(error)                             ? JOB_SUCCEEDED
                     : sd_bus_error_has_name(error, STORAGE_ERROR_CANCELLED) ? JOB_CANCELLED
                                                                             : JOB_FAILED;
        job->end = now_realtime();
        job->cancel = NULL;
        /* Before anybody hears of the end: what it had open is let go of, and so are the locks on that. */
        job->data_job = data_job_free(job->data_job);
        job->peer_fd = safe_close(job->peer_fd);
        if (job->close_data)
                job->close_data(job->data);
        job->progress = sd_event_source_disable_unref(job->progress);
        job->stalled = sd_event_source_disable_unref(job->stalled);
        if (job->state == JOB_SUCCEEDED && job->bytes_total > 0)
                job->bytes_done = job->bytes_total;
        if (job->pool)
                TAILQ_REMOVE(&job->pool->jobs, job, pool_entry);
        m->n_running--;
        flush_objects(job);
        if (job->published) {
                m->hooks->job_changed(job, JOB_CHANGE_STATE | JOB_CHANGE_PROGRESS | JOB_CHANGE_END);
                m->hooks->job_completed(job);
        }
        while ((waiter = TAILQ_FIRST(&job->waiters))) {
                TAILQ_REMOVE(&job->waiters, waiter, entry);
                waiter->done(waiter, job);
        }
        job_retire(job);
        job_unref(job);
        if (m->check_idle)
                m->check_idle(m);
}

void job_add_waiter(Job *job, JobWaiter *waiter)
{
        TAILQ_INSERT_TAIL(&job->waiters, waiter, entry);
}

void job_remove_waiter(Job *job, JobWaiter *waiter)
{
        TAILQ_REMOVE(&job->waiters, waiter, entry);
}

void job_publish(Job *job, bool handed_out)
{
        job->handed_out |= handed_out;
        if (job->published)
                return;
        job->published = true;
        job->manager->hooks->job_added(job);
}

int job_cancel(Job *job, sd_bus_error *error)
{
        if (job_is_over(job))
                return sd_bus_error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                         "Job %" PRIu64 " (%s) is over: it has %s", job->id, job->operation,
                                         job_state_to_string(job->state));
        if (!job->cancelable || !job->cancel)
                return sd_bus_error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                         "Job %" PRIu64 " (%s) cannot be cancelled", job->id,
                                         job->operation);
        if (job->cancel_asked)
                return 0;
        job->cancel_asked = true;
        job->state = JOB_CANCELLING;
        if (job->published)
                job->manager->hooks->job_changed(job, JOB_CHANGE_STATE);
        job->cancel(job);
        return 0;
}

Job *job_find(Manager *m, uint64_t id)
{
        Job *job;

        TAILQ_FOREACH (job, &m->jobs, entry) {
                if (job->id == id && job->published)
                        return job;
        }
        return NULL;
}

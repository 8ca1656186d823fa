/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/pool-lifecycle.h"
#include "common/log.h"

#include "service/pool-conflict.h"
#include "service/pool-worker.h"
#include "service/snapshot-file.h"
#include "service/store.h"

#define RETRY_MIN_USEC (2 * USEC_PER_SEC)
#define RETRY_MAX_USEC (300 * USEC_PER_SEC)
#define RETRY_SOON_USEC (50 * USEC_PER_MSEC)

static int fill_false(Operation *op, sd_bus_message *m)
{
        return sd_bus_message_append(m, "b", false);
}

static int fill_true(Operation *op, sd_bus_message *m)
{
        return sd_bus_message_append(m, "b", true);
}

static int fill_options(Operation *op, sd_bus_message *m)
{
        return sd_bus_message_append(m, "a{sv}", 0);
}

static int fill_overwrite(Operation *op, sd_bus_message *m)
{
        return sd_bus_message_append(m, "a{sv}", 1, "overwrite", "b", (int) op->argument);
}

/* Queues the next step; that this cannot be done is a way for the step to fail, and undone like any other.
 */
static void step(Job *job, const char *verb, int (*fill)(Operation *, sd_bus_message *),
                 void (*done)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *),
                 uint64_t argument)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Operation failed = {.job = job, .verb = verb, .argument = argument};
        int r;

        r = pool_worker_call(job->pool, job, verb, fill, done, argument, &error);
        if (r >= 0)
                return;
        if (!sd_bus_error_is_set(&error))
                (void) error_set_errno(&error, r, "Cannot queue work for pool '%s'", job->pool->def->name);
        done(&failed, job->pool, NULL, &error);
}

static void finish(Job *job, const sd_bus_error *error)
{
        job_finish(job, error);
}

static int begin(Pool *pool, const char *operation, uid_t uid, Job **ret, sd_bus_error *error)
{
        Job *job;
        int r;

        if (pool->gone)
                return sd_bus_error_set(error, STORAGE_ERROR_NOT_FOUND, "The pool does not exist any more");
        r = job_new(pool->manager, pool, operation, uid, NULL, &job, error);
        if (r < 0)
                return r;
        job->next = finish;
        job->cancel = pool_worker_cancel;
        *ret = job_ref(job);
        return 0;
}

/* Takes over a definition that waited for the pool to be inactive. */
static void take_pending_def(Pool *pool)
{
        if (!pool->pending)
                return;
        pool_set_def(pool, TAKE_PTR(pool->pending));
}

/* build */

static void build_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        int made = false;

        if (!error && sd_bus_message_read(reply, "b", &made) >= 0)
                op->job->built = made;
        op->job->next(op->job, error);
}

static void delete_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        op->job->next(op->job, error);
}

void pool_delete_steps(Job *job)
{
        step(job, "Delete", fill_options, delete_done, 0);
}

/* False: the next step has been told why not. */
static bool is_alone(Job *job, bool running)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = pool_conflict_check_now(job->pool, running, &error);

        if (r >= 0)
                return true;
        if (!sd_bus_error_is_set(&error))
                (void) error_set_errno(&error, r, "Cannot look at what pool '%s' is on",
                                       job->pool->def->name);
        job->next(job, &error);
        return false;
}

void pool_build_steps(Job *job, bool overwrite)
{
        take_pending_def(job->pool);
        if (is_alone(job, false))
                step(job, "Build", fill_overwrite, build_done, overwrite);
}

int pool_build(Pool *pool, uid_t uid, bool overwrite, Job **ret, sd_bus_error *error)
{
        int r;

        r = pool_require_inactive(pool, "built", error);
        if (r >= 0)
                r = pool_require_no_jobs(pool, NULL, "built", error);
        if (r >= 0)
                r = begin(pool, "build-pool", uid, ret, error);
        if (r < 0)
                return r;
        pool_build_steps(*ret, overwrite);
        return 0;
}

static void forget_contents(Pool *pool)
{
        Volume *v, *next;

        RB_FOREACH_SAFE (v, VolumeTree, &pool->volumes, next) {
                volume_remove(v);
        }
        snapshot_files_sweep(pool, true);
        pool->scanned = false;
        pool->status = (PoolStatus){};
        pool_set_details(pool, &(PoolDetails){0});
        pool_set_health(pool, "unknown", NULL, NULL);
        pool_changed(pool, POOL_CHANGE_SIZES);
}

/* start: Start, Watch, Refresh, then it is written down as active */

static void start_failed_stop_done(Operation *op, Pool *pool, sd_bus_message *reply,
                                   const sd_bus_error *error)
{
        Job *job = op->job;
        _cleanup_bus_error_free_ sd_bus_error first = job->error;

        job->error = SD_BUS_ERROR_NULL;
        forget_contents(pool);
        pool_set_state(pool, POOL_INACTIVE);
        pool_worker_idle(pool);
        job->next(job, &first);
}

/* What Start did is undone, then the reason is told. */
static void start_failed(Job *job, const sd_bus_error *error)
{
        (void) sd_bus_error_copy(&job->error, error);
        step(job, "Stop", fill_options, start_failed_stop_done, 0);
}

static void start_written(const sd_bus_error *error, void *userdata)
{
        Job *job = userdata;
        Pool *pool = job->pool;

        if (error) {
                start_failed(job, error);
                return;
        }
        pool_set_state(pool, POOL_ACTIVE);
        pool->retry = sd_event_source_disable_unref(pool->retry);
        pool->retry_backoff = 0;
        job->next(job, NULL);
}

static void start_refresh_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *xml = NULL;
        Manager *m = pool->manager;
        int r;

        if (error) {
                start_failed(op->job, error);
                return;
        }
        pool->scanned = true;
        m->hooks->pool_ready(pool);
        r = pool_def_format_xml(pool->def, NULL, &xml);
        if (r >= 0)
                r = store_change_write(m, &list, STORE_ACTIVE, pool->def->name, xml);
        if (r >= 0 && pool->autostart)
                r = store_change_write(m, &list, STORE_AUTOSTARTED, pool->def->uuid, "");
        if (r >= 0)
                r = store_apply(m->store, TAKE_PTR(list), start_written, op->job);
        if (r < 0)
                start_written(&SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory"), op->job);
}

static void start_watch_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        if (error)
                start_failed(op->job, error);
        else
                step(op->job, "Refresh", NULL, start_refresh_done, 0);
}

static void start_start_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        if (!error) {
                step(op->job, "Watch", fill_true, start_watch_done, 0);
                return;
        }
        pool_set_state(pool, POOL_INACTIVE);
        op->job->next(op->job, error);
}

void pool_start_steps(Job *job)
{
        Pool *pool = job->pool;

        take_pending_def(pool);
        if (!is_alone(job, true))
                return;
        pool_set_state(pool, POOL_STARTING);
        step(job, "Start", fill_options, start_start_done, 0);
}

int pool_start(Pool *pool, uid_t uid, Job **ret, sd_bus_error *error)
{
        int r;

        r = pool_require_inactive(pool, "started", error);
        if (r >= 0)
                r = pool_require_no_jobs(pool, NULL, "started", error);
        if (r >= 0)
                r = begin(pool, "start-pool", uid, ret, error);
        if (r < 0)
                return r;
        pool_start_steps(*ret);
        return 0;
}

/* stop */

static void stop_written(const sd_bus_error *error, void *userdata)
{
        Job *job = userdata;
        Pool *pool = job->pool;

        take_pending_def(pool);
        pool->retry = sd_event_source_disable_unref(pool->retry);
        pool->retry_backoff = 0;
        pool_set_state(pool, POOL_INACTIVE);
        pool_worker_idle(pool);
        job->next(job, error);
}

static void stop_failed(Job *job, const sd_bus_error *error)
{
        Pool *pool = job->pool;

        pool_set_state(pool, POOL_ACTIVE);
        if (pool_worker_resync(pool) < 0)
                pool_set_health(pool, "degraded", "watch", "Changes are not seen: out of memory");
        job->next(job, error);
}

static void stop_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        Manager *m = pool->manager;
        Job *job = op->job;
        int r;

        if (error && !op->argument) {
                stop_failed(job, error);
                return;
        }
        forget_contents(pool);
        r = store_change_remove(m, &list, STORE_ACTIVE, pool->def->name);
        if (r >= 0 && pool->autostart)
                r = store_change_write(m, &list, STORE_AUTOSTARTED, pool->def->uuid, "");
        if (r >= 0)
                r = store_apply(m->store, TAKE_PTR(list), stop_written, job);
        if (r < 0)
                stop_written(&SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory"), job);
}

static void stop_watch_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        if (error && !op->argument)
                stop_failed(op->job, error);
        else
                step(op->job, "Stop", fill_options, stop_done, op->argument);
}

void pool_stop_steps(Job *job, bool force)
{
        pool_set_state(job->pool, POOL_STOPPING);
        step(job, "Watch", fill_false, stop_watch_done, force);
}

static void stop_finish(Job *job, const sd_bus_error *error)
{
        Pool *pool = job->pool;

        if (!pool->persistent && pool->state == POOL_INACTIVE)
                pool_remove(pool);
        job_finish(job, error);
}

int pool_stop(Pool *pool, uid_t uid, bool force, Job **ret, sd_bus_error *error)
{
        int r;

        r = pool_require_active(pool, "stopped", error);
        if (r >= 0)
                r = pool_require_no_jobs(pool, NULL, "stopped", error);
        if (r >= 0)
                r = begin(pool, "stop-pool", uid, ret, error);
        if (r < 0)
                return r;
        (*ret)->next = stop_finish;
        pool_stop_steps(*ret, force);
        return 0;
}

/* what failed without anybody who could be told is tried again, later and later */

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata);

static void retry_later(Pool *pool)
{
        pool->retry_backoff = pool->retry_backoff == 0 ? RETRY_MIN_USEC : pool->retry_backoff * 2;
        if (pool->retry_backoff > RETRY_MAX_USEC)
                pool->retry_backoff = RETRY_MAX_USEC;
        pool->retry = sd_event_source_disable_unref(pool->retry);
        (void) sd_event_add_time_relative(pool->manager->event, &pool->retry, CLOCK_MONOTONIC,
                                          pool->retry_backoff, USEC_PER_SEC / 10, on_retry, pool);
}

/*
 * What a start does to devices is told as events of theirs, which must not lead to the next try at once, for
 * ever: the more often it failed, the longer the events are let wait.
 */
void pool_retry_soon(Pool *pool)
{
        uint64_t delay = pool->retry_backoff / 32, due = UINT64_MAX;

        if (!pool->retry || sd_event_source_get_time(pool->retry, &due) < 0)
                return;
        if (delay < RETRY_SOON_USEC)
                delay = RETRY_SOON_USEC;
        if (due > now_monotonic() + delay)
                (void) sd_event_source_set_time_relative(pool->retry, delay);
}

/* after the daemon's start: Check, Watch, Refresh */

static void adopt_not_active(Pool *pool, const char *why)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        Manager *m = pool->manager;

        log_warning("Pool '%s' was active and is not any more: %s", pool->def->name, why);
        if (store_change_remove(m, &list, STORE_ACTIVE, pool->def->name) >= 0)
                (void) store_apply(m->store, TAKE_PTR(list), NULL, NULL);
        pool->adopting = false;
        pool_set_state(pool, POOL_INACTIVE);
        m->hooks->pool_ready(pool);
        pool_worker_idle(pool);
        if (!pool->persistent)
                pool_remove(pool);
}

/* That its storage or its worker gave no answer does not make a pool inactive: it is asked again. */
static void adopt_end(Job *job, const sd_bus_error *error)
{
        Pool *pool = job->pool;

        pool->adopting = false;
        if (error) {
                log_warning("Pool '%s' was active and cannot be looked at: %s", pool->def->name,
                            error->message);
                pool_set_health(pool, "inaccessible", "scan", error->message);
                retry_later(pool);
        } else {
                pool->scanned = true;
                pool->retry = sd_event_source_disable_unref(pool->retry);
                pool->retry_backoff = 0;
        }
        pool->manager->hooks->pool_ready(pool);
        job_finish(job, error);
}

static void adopt_refresh_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        adopt_end(op->job, error);
}

static void adopt_watch_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        step(op->job, "Refresh", NULL, adopt_refresh_done, 0);
}

static void adopt_check_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        _cleanup_bus_error_free_ sd_bus_error inactive = SD_BUS_ERROR_NULL;
        Job *job = op->job;
        int active = false, r;

        if (error) {
                adopt_end(job, error);
                return;
        }
        r = sd_bus_message_read(reply, "b", &active);
        if (r >= 0 && active) {
                step(job, "Watch", fill_true, adopt_watch_done, 0);
                return;
        }
        (void) sd_bus_error_setf(&inactive, STORAGE_ERROR_NOT_ACTIVE,
                                 "Pool '%s' is not active any more: its storage is not there",
                                 pool->def->name);
        pool_ref(pool);
        adopt_not_active(pool, "its storage is not there");
        job_finish(job, &inactive);
        pool_unref(pool);
}

static void adopt_steps(Job *job)
{
        job->pool->adopting = true;
        step(job, "Check", NULL, adopt_check_done, 0);
}

int pool_adopt(Pool *pool, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        int r;

        r = begin(pool, "adopt-pool", UINT32_MAX, &job, error);
        if (r < 0)
                return r;
        pool->state = POOL_ACTIVE;
        adopt_steps(job);
        return 0;
}

/* delete, refresh */

int pool_delete(Pool *pool, uid_t uid, Job **ret, sd_bus_error *error)
{
        int r;

        r = pool_require_inactive(pool, "deleted", error);
        if (r >= 0)
                r = pool_require_no_jobs(pool, NULL, "deleted", error);
        if (r >= 0)
                r = pool_conflict_check_now(pool, false, error);
        if (r >= 0)
                r = begin(pool, "delete-pool", uid, ret, error);
        if (r < 0)
                return r;
        pool_delete_steps(*ret);
        return 0;
}

static void refresh_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        if (error) {
                job_finish(op->job, error);
                return;
        }
        pool->manager->hooks->refreshed(pool);
        pool_finish_when_flushed(pool, op->job);
}

int pool_refresh(Pool *pool, uid_t uid, Job **ret, sd_bus_error *error)
{
        int r;

        r = pool_require_active(pool, "refreshed", error);
        if (r >= 0 && !pool->scanned)
                r = pool_require_no_jobs(pool, NULL, "refreshed", error);
        if (r >= 0)
                r = begin(pool, "refresh-pool", uid, ret, error);
        if (r < 0)
                return r;
        (*ret)->cancelable = true;
        if (pool->scanned)
                step(*ret, "Refresh", NULL, refresh_done, 0);
        else
                adopt_steps(*ret);
        return 0;
}

/* autostart */

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Pool *pool = userdata;

        pool->retry = sd_event_source_disable_unref(pool->retry);
        if (pool->state == POOL_ACTIVE) {
                if (!pool->scanned && (!TAILQ_EMPTY(&pool->jobs) || pool_adopt(pool, &error) < 0))
                        retry_later(pool);
        } else if (pool->autostart && pool->state == POOL_INACTIVE)
                pool_autostart(pool);
        return 0;
}

static void autostart_failed(Pool *pool, const char *why)
{
        retry_later(pool);
        log_warning("Autostart of pool '%s' failed, the next try is in %lu s: %s", pool->def->name,
                    (unsigned long) (pool->retry_backoff / USEC_PER_SEC), why);
        pool_set_health(pool, "unknown", "autostart", why);
}

static void autostart_done(Job *job, const sd_bus_error *error)
{
        if (error)
                autostart_failed(job->pool, error->message);
        job_finish(job, error);
}

void pool_autostart(Pool *pool)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(job_unrefp) Job *job = NULL;

        if (begin(pool, "start-pool", UINT32_MAX, &job, &error) < 0) {
                autostart_failed(pool, strempty(error.message));
                return;
        }
        job->next = autostart_done;
        pool_start_steps(job);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/pool-worker.h"
#include "common/log.h"

#include "service/incomplete.h"
#include "service/snapshot-file.h"
#include "service/unfinished.h"
#include "service/volume-rename.h"
#include "service/volume-secret.h"

#define BACKOFF_MIN_USEC (100 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC (60 * USEC_PER_SEC)
#define IDLE_USEC (10 * USEC_PER_SEC)
#define BUILD_FACTOR 20U

static void pump(Pool *pool);

static Operation *operation_free(Operation *op)
{
        job_unref(op->job);
        free(op);
        return NULL;
}

static int operation_new(Job *job, const char *verb, Operation **ret)
{
        Operation *op = calloc(1, sizeof *op);

        if (!op)
                return -ENOMEM;
        op->job = job_ref(job);
        op->verb = verb;
        *ret = op;
        return 0;
}

static void operation_done(Pool *pool, Operation *op, sd_bus_message *reply, const sd_bus_error *error)
{
        pool_ref(pool);
        if (op->done)
                op->done(op, pool, reply, error);
        operation_free(op);
        pool_unref(pool);
}

int pool_worker_call(Pool *pool, Job *job, const char *verb, int (*fill)(Operation *op, sd_bus_message *m),
                     void (*done)(Operation *op, Pool *pool, sd_bus_message *reply,
                                  const sd_bus_error *error),
                     uint64_t argument, sd_bus_error *error)
{
        Operation *op;
        int r;

        if (job && pool->worker && worker_process_is_stuck(pool->worker))
                return sd_bus_error_setf(
                        error, STORAGE_ERROR_INACCESSIBLE,
                        "The storage of pool '%s' does not answer: a process of its worker hangs",
                        pool->def->name);
        if (job && job->state == JOB_QUEUED && pool->n_queue >= POOL_QUEUE_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                         "Pool '%s' has too much to do: %u operations wait", pool->def->name,
                                         pool->n_queue);
        r = operation_new(job, verb, &op);
        if (r < 0)
                return r;
        op->fill = fill;
        op->done = done;
        op->argument = argument;
        TAILQ_INSERT_TAIL(&pool->queue, op, entry);
        pool->n_queue++;
        pump(pool);
        return 0;
}

/* True: the job had something there. */
static bool cancel_in(Pool *pool, const Job *job)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Operation *op;

        if (pool->current && pool->current->job == job) {
                worker_process_cancel(pool->worker);
                return true;
        }
        TAILQ_FOREACH (op, &pool->queue, entry) {
                if (op->job == job)
                        break;
        }
        if (!op)
                return false;
        TAILQ_REMOVE(&pool->queue, op, entry);
        pool->n_queue--;
        (void) sd_bus_error_set(&error, STORAGE_ERROR_CANCELLED, "Cancelled");
        operation_done(pool, op, NULL, &error);
        return true;
}

void pool_worker_cancel(Job *job)
{
        if (job->pool && cancel_in(job->pool, job))
                return;
        /* A job on volumes of two pools may be at work in the other one. */
        for (size_t i = 0; i < job->locks.n; i++) {
                if (cancel_in(job->locks.items[i].pool, job))
                        return;
        }
}

static int read_problems(sd_bus_message *m, char ***ret_codes, char ***ret_texts)
{
        _cleanup_strv_free_ char **codes = NULL, **texts = NULL;
        const char *code, *text;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(ss)");
        while (r >= 0 && (r = sd_bus_message_read(m, "(ss)", &code, &text)) > 0) {
                r = strv_extend(&codes, code);
                if (r >= 0)
                        r = strv_extend(&texts, text);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret_codes = TAKE_PTR(codes);
        *ret_texts = TAKE_PTR(texts);
        return 0;
}

/* What a complete listing did not name is not there any more. */
static void sweep(Pool *pool)
{
        Volume *v, *next;

        RB_FOREACH_SAFE (v, VolumeTree, &pool->volumes, next) {
                if (v->seen_in != pool->listing)
                        volume_remove(v);
        }
        snapshot_files_sweep(pool, false);
}

static void on_status(Pool *pool, sd_bus_message *m)
{
        _cleanup_strv_free_ char **codes = NULL, **texts = NULL;
        Permissions *p = &pool->permissions;
        PoolDetails details = {0};
        PoolStatus status;
        const char *health;

        if (sd_bus_message_read(m, "ttts", &status.capacity, &status.allocation, &status.available,
                                &health) < 0 ||
            read_problems(m, &codes, &texts) < 0 ||
            sd_bus_message_read(m, "uuu", &p->mode, &p->owner, &p->group) < 0 ||
            pool_details_read(m, &details) < 0)
                return;
        if (pool->listing_open)
                sweep(pool);
        pool->listing_open = false;
        if (memcmp(&status, &pool->status, sizeof status) != 0) {
                pool->status = status;
                pool_changed(pool, POOL_CHANGE_SIZES);
        }
        pool_set_details(pool, &details);
        pool_set_problems(pool, health, TAKE_PTR(codes), TAKE_PTR(texts));
}

static void on_rows(Pool *pool, sd_bus_message *m)
{
        VolumeRow row = {};
        const char *name;
        int first, r;

        if (sd_bus_message_read(m, "b", &first) < 0)
                return;
        if (first) {
                pool->listing++;
                pool->listing_open = true;
        }
        if (sd_bus_message_enter_container(m, 'a', VOLUME_ROW_SIGNATURE) < 0)
                return;
        while ((r = volume_row_read(m, &row)) > 0) {
                Volume *v = NULL;

                if (unfinished_is(pool, row.name) || volume_update(pool, &row, &v) < 0)
                        volume_row_done(&row);
                if (v)
                        v->seen_in = pool->listing;
        }
        if (r < 0 || sd_bus_message_exit_container(m) < 0 || sd_bus_message_enter_container(m, 'a', "s") < 0)
                return;
        while (sd_bus_message_read(m, "s", &name) > 0) {
                Volume *v = volume_find(pool, name);

                if (v) {
                        volume_follow_rename(v);
                        volume_gone(v);
                } else
                        snapshot_file_remove(pool, name);
        }
}

static void on_worker_signal(WorkerProcess *w, sd_bus_message *m, void *userdata)
{
        Pool *pool = userdata;
        uint64_t done, total;

        if (sd_bus_message_is_signal(m, WORKER_INTERFACE, "Rows"))
                on_rows(pool, m);
        else if (sd_bus_message_is_signal(m, WORKER_INTERFACE, "Status"))
                on_status(pool, m);
        else if (sd_bus_message_is_signal(m, WORKER_INTERFACE, "Progress") && pool->current &&
                 pool->current->job && sd_bus_message_read(m, "tt", &done, &total) >= 0)
                job_set_progress(pool->current->job, done, total);
}

static int on_worker_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        Pool *pool = userdata;

        if (pool->worker && !pool->current && TAILQ_EMPTY(&pool->queue) && pool->state == POOL_INACTIVE)
                pool->worker = worker_process_free(pool->worker);
        else
                pump(pool);
        return 0;
}

static void set_timer(Pool *pool, uint64_t usec)
{
        if (!pool->worker_timer) {
                (void) sd_event_add_time_relative(pool->manager->event, &pool->worker_timer, CLOCK_MONOTONIC,
                                                  usec, 0, on_worker_timer, pool);
                return;
        }
        (void) sd_event_source_set_time_relative(pool->worker_timer, usec);
        (void) sd_event_source_set_enabled(pool->worker_timer, SD_EVENT_ONESHOT);
}

static int fill_watch(Operation *op, sd_bus_message *m)
{
        return sd_bus_message_append(m, "b", true);
}

static void resync_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        if (error) {
                pool_set_health(pool, "inaccessible", "worker", error->message);
                return;
        }
        pool->worker_backoff = 0;
}

/* The worker of a pool that is active already watches and reports everything before anything else is done.
 */
static int queue_resync(Pool *pool)
{
        Operation *watch, *refresh;
        int r;

        r = operation_new(NULL, "Watch", &watch);
        if (r < 0)
                return r;
        watch->fill = fill_watch;
        r = operation_new(NULL, "Refresh", &refresh);
        if (r < 0) {
                operation_free(watch);
                return r;
        }
        refresh->done = resync_done;
        TAILQ_INSERT_HEAD(&pool->queue, refresh, entry);
        TAILQ_INSERT_HEAD(&pool->queue, watch, entry);
        pool->n_queue += 2;
        return 0;
}

int pool_worker_resync(Pool *pool)
{
        int r = 0;

        /* A new one begins with that. */
        if (pool->worker)
                r = queue_resync(pool);
        if (r >= 0)
                pump(pool);
        return r;
}

/* What was to bring the dead worker up to date: its successor gets its own. */
static void drop_housekeeping(Pool *pool)
{
        Operation *op, *next;

        TAILQ_FOREACH_SAFE (op, &pool->queue, entry, next) {
                if (op->job)
                        continue;
                TAILQ_REMOVE(&pool->queue, op, entry);
                pool->n_queue--;
                operation_free(op);
        }
}

static void on_worker_gone(WorkerProcess *w, void *userdata)
{
        Pool *pool = userdata;

        pool->worker = worker_process_free(pool->worker);
        pool->worker_ready = pool->listing_open = false;
        drop_housekeeping(pool);
        if (pool->gone)
                return;
        pool->worker_backoff = pool->worker_backoff == 0                 ? BACKOFF_MIN_USEC
                               : pool->worker_backoff < BACKOFF_MAX_USEC ? pool->worker_backoff * 2
                                                                         : BACKOFF_MAX_USEC;
        set_timer(pool, pool->worker_backoff);
}

static void fail_all(Pool *pool, const sd_bus_error *error)
{
        Operation *op;

        /* With the last job that fails the pool itself may go. */
        pool_ref(pool);
        while ((op = TAILQ_FIRST(&pool->queue))) {
                TAILQ_REMOVE(&pool->queue, op, entry);
                pool->n_queue--;
                operation_done(pool, op, NULL, error);
        }
        pool_unref(pool);
}

/* Nothing more can be asked of this pool until the kernel lets go: what waits is told so. */
static void on_worker_stuck(WorkerProcess *w, const sd_bus_error *error, void *userdata)
{
        Pool *pool = userdata;

        log_warning("Pool '%s': %s", pool->def->name, error->message);
        pool_set_health(pool, "inaccessible", "stuck", error->message);
        fail_all(pool, error);
}

static int start_worker(Pool *pool, sd_bus_error *error)
{
        const WorkerHooks hooks = {
                .signal = on_worker_signal,
                .stuck = on_worker_stuck,
                .gone = on_worker_gone,
                .userdata = pool,
        };
        _cleanup_free_ char *what = NULL;
        int r;

        if (asprintf(&what, "the worker of pool '%s'", pool->def->name) < 0)
                return -ENOMEM;
        r = worker_process_new(pool->manager->event, pool->manager->options.worker_path, "pool", what,
                               &hooks, &pool->worker, error);
        if (r < 0)
                return r;
        pool->worker_ready = pool->listing_open = false;
        return pool->state == POOL_ACTIVE && pool->scanned ? queue_resync(pool) : 0;
}

static void on_set_pool(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
        Pool *pool = userdata;

        if (error)
                log_error("Pool '%s': its worker refuses the definition: %s", pool->def->name,
                          error->message);
        pool->worker_ready = !error;
        if (error) {
                worker_process_kill(pool->worker);
                fail_all(pool, error);
                return;
        }
        pump(pool);
}

static int send_set_pool(Pool *pool)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *xml = NULL;
        int r;

        r = pool_def_format_xml(pool->def, NULL, &xml);
        if (r >= 0)
                r = worker_process_new_call(pool->worker, "SetPool", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sa{sv}", xml, 0);
        if (r >= 0)
                r = worker_process_call(pool->worker, m, pool->manager->options.verb_timeout, on_set_pool,
                                        pool);
        return r;
}

static void on_reply(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
        Pool *pool = userdata;
        Operation *op = pool->current;

        pool_ref(pool);
        pool->current = NULL;
        if (!error) {
                pool->worker_backoff = 0;
                if (streq(op->verb, "Refresh")) {
                        pool->last_refresh = now_realtime();
                        pool_changed(pool, POOL_CHANGE_REFRESH);
                }
        }
        operation_done(pool, op, reply, error);
        if (!pool->gone)
                pump(pool);
        pool_unref(pool);
}

/* Making a file system or an array on large and slow devices may take long, and nobody hangs in it. */
static uint64_t deadline(const Pool *pool, const char *verb)
{
        uint64_t timeout = pool->manager->options.verb_timeout;

        return streq(verb, "Build") || streq(verb, "Delete") ? BUILD_FACTOR * timeout : timeout;
}

static int send_operation(Pool *pool, Operation *op)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        int r;

        r = worker_process_new_call(pool->worker, op->verb, &m);
        if (r >= 0 && op->fill)
                r = op->fill(op, m);
        if (r >= 0)
                r = worker_process_call(pool->worker, m, deadline(pool, op->verb), on_reply, pool);
        return r;
}

static int fill_discard(Operation *op, sd_bus_message *m)
{
        const Unfinished *u = unfinished_find(op->pool->manager, op->argument);

        return u ? sd_bus_message_append(m, "s", unfinished_token(u)) : -ENOENT;
}

static void discard_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        Unfinished *u = unfinished_find(pool->manager, op->argument);

        if (error)
                log_warning("Pool '%s': what is left of an interrupted job cannot be removed: %s",
                            pool->def->name, error->message);
        else if (u)
                unfinished_remove(pool->manager, u);
}

/* Before the contents are looked at, what an interrupted job left is removed; each is tried once then. */
static void queue_discards(Pool *pool)
{
        Unfinished *u;

        while ((u = unfinished_next(pool))) {
                Operation *op;

                unfinished_set_asked(u);
                if (operation_new(NULL, "DiscardVolume", &op) < 0)
                        return;
                op->fill = fill_discard;
                op->done = discard_done;
                op->argument = unfinished_id(u);
                TAILQ_INSERT_HEAD(&pool->queue, op, entry);
                pool->n_queue++;
        }
}

/* Takes the first operation out of the queue and sends it. */
static void send_next(Pool *pool)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Operation *op;
        int r;

        if (streq(TAILQ_FIRST(&pool->queue)->verb, "Refresh"))
                queue_discards(pool);
        op = TAILQ_FIRST(&pool->queue);
        TAILQ_REMOVE(&pool->queue, op, entry);
        pool->n_queue--;
        if (streq(op->verb, "Refresh"))
                unfinished_asked_all(pool);
        if (op->job)
                job_set_running(op->job);
        op->pool = pool;
        pool->current = op;
        r = send_operation(pool, op);
        if (r >= 0)
                return;
        pool->current = NULL;
        (void) error_set_errno(&error, r, "Cannot ask the worker of pool '%s' to do %s", pool->def->name,
                               op->verb);
        operation_done(pool, op, NULL, &error);
}

static bool backing_off(const Pool *pool)
{
        int enabled = 0;

        if (pool->worker || !pool->worker_timer || pool->worker_backoff == 0)
                return false;
        (void) sd_event_source_get_enabled(pool->worker_timer, &enabled);
        return enabled != SD_EVENT_OFF;
}

/* Does the next thing that can be done; called whenever something has changed. */
static void pump(Pool *pool)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;

        if (pool->current || backing_off(pool))
                return;
        if (!pool->worker) {
                if (TAILQ_EMPTY(&pool->queue) && !(pool->state == POOL_ACTIVE && pool->scanned))
                        return;
                if (start_worker(pool, &error) < 0) {
                        fail_all(pool, &error);
                        return;
                }
        }
        if (!worker_process_alive(pool->worker) || worker_process_busy(pool->worker))
                return;
        if (!pool->worker_ready) {
                if (send_set_pool(pool) < 0)
                        worker_process_kill(pool->worker);
                return;
        }
        if (TAILQ_EMPTY(&pool->queue)) {
                if (pool->state == POOL_INACTIVE)
                        set_timer(pool, IDLE_USEC);
                return;
        }
        send_next(pool);
}

void pool_worker_forget_def(Pool *pool)
{
        pool->worker_ready = false;
}

void pool_worker_end(Pool *pool)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Operation *op = pool->current;

        pool->worker = worker_process_free(pool->worker);
        pool->current = NULL;
        pool->worker_timer = sd_event_source_disable_unref(pool->worker_timer);
        (void) sd_bus_error_setf(&error, STORAGE_ERROR_INTERRUPTED,
                                 "Interrupted: the service or the pool is ending");
        if (op)
                operation_done(pool, op, NULL, &error);
        fail_all(pool, &error);
}

void pool_worker_idle(Pool *pool)
{
        if (pool->worker && !pool->current && TAILQ_EMPTY(&pool->queue))
                set_timer(pool, IDLE_USEC);
}

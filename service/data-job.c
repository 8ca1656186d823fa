/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/data-job.h"
#include "common/log.h"

#include <inttypes.h>
#include <sys/random.h>

#include "service/data-queue.h"
#include "service/intent.h"
#include "service/pool-worker.h"
#include "service/store.h"
#include "service/unfinished.h"
#include "service/volume-work.h"

/* A data job may take hours; what is too long is decided by whoever watches its progress. */
#define MOVE_TIMEOUT_USEC (UINT64_C(7 * 24 * 3600) * USEC_PER_SEC)

struct DataJob {
        DataPlace place; /* the first member: see start_moving() */
        bool writing;    /* the worker has begun to write into an existing volume, as the intent says */
        bool making;     /* what it fills is reserved, or about to be: the intent is on disk */
        Job *job;        /* not owned: it owns this */
        WorkerProcess *worker;
        DataStep step;
        char *token;
        char *intent; /* the name of its file; NULL: there is none */
        sd_bus_message *asking; /* the worker waits for the answer to this, until the intent says so */
        /* As long as that of an unfinished file is open, its lock tells everybody that it is no leftover. */
        DataFds fds;
        sd_bus_error outcome;
        void (*published)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *);
        void (*reserved)(Job *, int, bool);
        const char *xml; /* of what is reserved; the job's */
};

DataJob *data_job_free(DataJob *d)
{
        if (!d)
                return NULL;
        data_place_leave(d->job->manager, &d->place);
        worker_process_free(d->worker);
        data_fds_close(&d->fds);
        free(d->token);
        free(d->intent);
        sd_bus_message_unref(d->asking);
        sd_bus_error_free(&d->outcome);
        free(d);
        return NULL;
}

int data_job_fd(const Job *job, size_t i)
{
        return job->data_job->fds.fds[i];
}

bool data_job_has_written(const Job *job)
{
        return job->data_job && job->data_job->writing;
}

static Intent describe(const DataJob *d, IntentStage stage)
{
        const Job *job = d->job;
        Intent i = {.uid = job->uid, .since = job->start, .start = d->step.start, .end = d->step.end, .stage = stage};

        (void) snprintf(i.operation, sizeof i.operation, "%s", job->operation);
        (void) snprintf(i.pool_uuid, sizeof i.pool_uuid, "%s", job->pool->def->uuid);
        (void) snprintf(i.pool_type, sizeof i.pool_type, "%s", pool_type_to_string(job->pool->def->type));
        (void) snprintf(i.volume, sizeof i.volume, "%s", job->volume_name);
        (void) snprintf(i.token, sizeof i.token, "%s", strempty(d->token));
        (void) snprintf(i.from, sizeof i.from, "%s", strempty(d->step.from));
        (void) snprintf(i.secret, sizeof i.secret, "%s", job->secret_uuid);
        return i;
}

static int write_intent(DataJob *d, IntentStage stage, StoreDone done)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        const Intent intent = describe(d, stage);
        Manager *m = d->job->manager;
        int r;

        if (!d->intent)
                d->intent = intent_name(d->job->id);
        r = d->intent ? intent_write(m, &list, d->intent, &intent) : -ENOMEM;
        return r < 0 ? r : store_apply(m->store, TAKE_PTR(list), done, d);
}

static void remove_intent_of_name(Manager *m, const char *intent)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;

        if (intent && store_change_remove(m, &list, STORE_INTENT, intent) >= 0)
                (void) store_apply(m->store, TAKE_PTR(list), NULL, NULL);
}

static void remove_intent(Job *job)
{
        remove_intent_of_name(job->manager, job->data_job->intent);
}

/* What was changed in place is whole, or marked; only when that is on the disk the intent goes. */
static void end_change(DataJob *d, const sd_bus_error *error)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        const Intent intent = describe(d, INTENT_WRITES);
        InPlaceChange change = intent_change(&intent);
        Manager *m = d->job->manager;
        int r = 0;

        change.as_of = d->step.as_of;
        if (!error)
                r = incomplete_mend(m, &list, &change, d->step.mends);
        else if (d->writing && !d->step.keeps_contents)
                r = incomplete_mark(m, &list, &change);
        if (r >= 0 && d->intent)
                r = store_change_remove(m, &list, STORE_INTENT, d->intent);
        if (r < 0)
                log_error("Cannot note what became of volume '%s'", d->job->volume_name);
        if (list)
                incomplete_apply(m, TAKE_PTR(list), &change, d->intent);
}

static void end_moving(DataJob *d, const sd_bus_error *error)
{
        Job *job = job_ref(d->job);

        data_place_leave(job->manager, &d->place);
        job->cancel = NULL;
        if (d->step.kind == DATA_CHANGES || d->step.kind == DATA_REPLACES)
                end_change(d, error);
        job->next(job, error);
        data_queue_run(job->manager);
        job_unref(job);
}

static void on_signal(WorkerProcess *w, sd_bus_message *m, void *userdata)
{
        DataJob *d = userdata;
        uint64_t done, total;

        if (sd_bus_message_is_signal(m, WORKER_INTERFACE, "Whole"))
                d->writing = false;
        if (sd_bus_message_is_signal(m, WORKER_INTERFACE, "Progress") &&
            sd_bus_message_read(m, "tt", &done, &total) >= 0)
                job_set_progress(d->job, done, total);
}

static void on_moved(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
        DataJob *d = userdata;
        int r;

        r = !error && d->step.answered ? d->step.answered(d->job, reply) : 0;
        if (error)
                (void) sd_bus_error_copy(&d->outcome, error);
        else if (r < 0)
                (void) error_set_errno(&d->outcome, r, "Cannot read what the worker of volume '%s' answered",
                                       d->job->volume_name);
        /* Only when every process that could still write is gone may the file be published or discarded. */
        worker_process_kill(d->worker);
}

static void on_gone(WorkerProcess *w, void *userdata)
{
        DataJob *d = userdata;

        d->worker = worker_process_free(d->worker);
        /* The intent that is being written is waited for: it is to go. */
        if (!d->asking)
                end_moving(d, sd_bus_error_is_set(&d->outcome) ? &d->outcome : NULL);
}

/* The intent says that the volume may have been written to, and so it may be. */
static void writing_noted(const sd_bus_error *error, void *userdata)
{
        _cleanup_bus_message_unref_ sd_bus_message *asking = NULL;
        DataJob *d = userdata;

        asking = TAKE_PTR(d->asking);
        if (!d->worker) {
                end_moving(d, sd_bus_error_is_set(&d->outcome) ? &d->outcome : NULL);
                return;
        }
        if (!worker_process_alive(d->worker))
                return;
        d->writing = !error && !d->job->cancel_asked;
        if (!error && !d->writing)
                (void) sd_bus_reply_method_errorf(asking, STORAGE_ERROR_CANCELLED, "Cancelled");
        else if (error)
                (void) sd_bus_reply_method_errorf(
                        asking, error->name, "Volume '%s' was not changed, as that cannot be noted before: %s",
                        d->job->volume_name, strempty(error->message));
        else
                (void) sd_bus_reply_method_return(asking, NULL);
}

/* It waits until it is known to the next daemon, too, that it is about to write. */
static void on_asked(WorkerProcess *w, sd_bus_message *m, void *userdata)
{
        DataJob *d = userdata;
        int r;

        if (!worker_process_alive(w) || d->asking)
                return;
        if (d->step.kind != DATA_CHANGES || d->writing || d->step.keeps_contents) {
                d->writing = true;
                (void) sd_bus_reply_method_return(m, NULL);
                return;
        }
        d->asking = sd_bus_message_ref(m);
        r = write_intent(d, INTENT_WRITES, writing_noted);
        if (r >= 0)
                return;
        (void) sd_bus_reply_method_errno(m, r, NULL);
        d->asking = sd_bus_message_unref(d->asking);
}

static int send_step(DataJob *d)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        int r;

        r = worker_process_new_call(d->worker, d->step.verb, &m);
        if (r >= 0)
                r = d->step.fill(d->job, m);
        if (r >= 0)
                r = worker_process_call(d->worker, m, MOVE_TIMEOUT_USEC, on_moved, d);
        return r;
}

static void cancel_moving(Job *job)
{
        DataJob *d = job->data_job;

        if (d->worker) {
                worker_process_cancel(d->worker);
                return;
        }
        (void) sd_bus_error_set(&d->outcome, STORAGE_ERROR_CANCELLED, "Cancelled");
        if (d->place.waiting)
                end_moving(d, &d->outcome);
}

static void start_worker(DataJob *d)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        const WorkerHooks hooks = {
                .signal = on_signal, .asked = on_asked, .gone = on_gone, .userdata = d};
        int r;

        r = worker_process_new(d->job->manager->event, d->job->manager->options.worker_path, "data",
                               "the worker of this job", &hooks, &d->worker, &error);
        if (r >= 0)
                r = send_step(d);
        if (r >= 0) {
                data_fds_let_go_of_devices(&d->fds);
                return;
        }
        d->worker = worker_process_free(d->worker);
        if (!sd_bus_error_is_set(&error))
                (void) error_set_errno(&error, r, "Cannot start a worker for volume '%s'",
                                       d->job->volume_name);
        end_moving(d, &error);
}

static void wait_for_place(DataJob *d)
{
        Job *job = job_ref(d->job);

        if (data_place_wait(job->manager, &d->place, job->uid) < 0)
                end_moving(d, &SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory"));
        else
                data_queue_run(job->manager);
        /* It may have begun, or even be over, and d with it. */
        if (job->data_job && job->data_job->place.waiting)
                job_set_queued(job);
        job_unref(job);
}

/* What is being made waits for its place from now on; what takes the place of something has one. */
static void intent_written(const sd_bus_error *error, void *userdata)
{
        DataJob *d = userdata;

        if (error || sd_bus_error_is_set(&d->outcome))
                end_moving(d, error ? error : &d->outcome);
        else if (d->place.user)
                start_worker(d);
        else
                wait_for_place(d);
}

/*
 * The intent of what works on an existing volume is written only now: what waits when the service ends has changed
 * nothing. Nor has a change in place until its worker asks, so that the intent need not be there before that.
 */
static void start_moving(DataPlace *place)
{
        DataJob *d = (DataJob *) place;
        int r = 0;

        job_set_running(d->job);
        if (d->step.kind == DATA_REPLACES)
                r = write_intent(d, INTENT_MAKES, intent_written);
        else if (d->step.kind == DATA_CHANGES)
                r = write_intent(d, INTENT_BEGINS, NULL);
        if (r >= 0 && d->step.kind != DATA_REPLACES)
                start_worker(d);
        if (r >= 0) /* it may be over, and d with it */
                return;
        (void) error_set_errno(&d->outcome, r, "Cannot begin to work on volume '%s'", d->job->volume_name);
        end_moving(d, &d->outcome);
}

static int take_arguments(DataJob *d, const DataStep *step, const int *fds, size_t n_fds)
{
        d->step = *step;
        d->step.token = NULL;
        if (step->token) {
                d->token = strdup(step->token);
                if (!d->token)
                        return -ENOMEM;
        }
        return data_fds_copy(&d->fds, fds, n_fds);
}

static DataJob *data_job_new(Job *job)
{
        DataJob *d = calloc(1, sizeof *d);

        if (!d)
                return NULL;
        d->job = job;
        d->place.start = start_moving;
        data_fds_init(&d->fds);
        data_job_free(job->data_job);
        job->data_job = d;
        return d;
}

void data_job_run(Job *job, const DataStep *step, const int *fds, size_t n_fds)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        DataJob *d = data_job_is_making(job) ? job->data_job : data_job_new(job);
        int r;

        if (!d) {
                job->next(job, &SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory"));
                return;
        }
        job->cancel = cancel_moving;
        d->place.client = step->client;
        r = take_arguments(d, step, fds, n_fds);
        if (job->cancel_asked)
                (void) sd_bus_error_set(&d->outcome, STORAGE_ERROR_CANCELLED, "Cancelled");
        if (r >= 0 && step->kind == DATA_MAKES && !d->making)
                r = write_intent(d, INTENT_MAKES, intent_written);
        else if (r >= 0 && sd_bus_error_is_set(&d->outcome))
                end_moving(d, &d->outcome);
        else if (r >= 0)
                wait_for_place(d);
        if (r >= 0)
                return;
        (void) error_set_errno(&error, r, "Cannot begin to work on volume '%s'", job->volume_name);
        end_moving(d, &error);
}

static int fill_token(Operation *op, sd_bus_message *m)
{
        DataJob *d = op->job->data_job;

        return sd_bus_message_append(m, "s", d->token);
}

/* What shows by itself that it is unfinished is removed some time; a partition must be remembered. */
static void remember(Job *job)
{
        DataJob *d = job->data_job;

        if (!unfinished_needed(job->pool))
                remove_intent(job);
        else if (unfinished_add(job->manager, job->pool->def->uuid, job->volume_name, d->token, d->intent) <
                 0)
                log_error("Cannot remember that volume '%s' is to be removed", job->volume_name);
}

static int fill_look(Operation *op, sd_bus_message *m)
{
        return sd_bus_message_append(m, "s", op->job->volume_name);
}

static void look_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        DataJob *d = op->job->data_job;

        if (error)
                job_finish(op->job, &d->outcome);
        else
                volume_job_finish_with_row(op->job, pool, reply, &d->outcome);
}

static void discard_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        DataJob *d = op->job->data_job;

        if (error)
                remember(op->job);
        else
                remove_intent(op->job);
        /* What became whole at the last moment has not been discarded, and was not shown until now. */
        if (error || !unfinished_needed(pool) ||
            pool_worker_call(pool, op->job, "LookVolume", fill_look, look_done, 0, NULL) < 0)
                job_finish(op->job, &d->outcome);
}

static void discard(Job *job, const sd_bus_error *error)
{
        DataJob *d = job->data_job;

        if (error != &d->outcome) {
                sd_bus_error_free(&d->outcome);
                (void) sd_bus_error_copy(&d->outcome, error);
        }
        job->cancel = NULL;
        /* A device that is open cannot be removed. */
        data_fds_close(&d->fds);
        if (pool_worker_call(job->pool, job, "DiscardVolume", fill_token, discard_done, 0, NULL) >= 0)
                return;
        remember(job);
        job_finish(job, &d->outcome);
}

static void publish_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        _cleanup_free_ char *intent = NULL;
        DataJob *d = op->job->data_job;
        Manager *m = op->job->manager;

        if (error) {
                discard(op->job, error);
                return;
        }
        data_fds_close(&d->fds);
        intent = TAKE_PTR(d->intent);
        d->published(op, pool, reply, NULL);
        /* The job may be over; it tells of the volume's secret until that is noted. */
        remove_intent_of_name(m, intent);
}

void data_job_publish(Job *job, const sd_bus_error *error,
                      void (*done)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *))
{
        _cleanup_bus_error_free_ sd_bus_error queue_error = SD_BUS_ERROR_NULL;
        DataJob *d = job->data_job;

        d->published = done;
        if (error)
                discard(job, error);
        else if (pool_worker_call(job->pool, job, "PublishVolume", fill_token, publish_done, 0,
                                  &queue_error) < 0)
                discard(job, &queue_error);
}

/* reserve */

bool data_job_is_making(const Job *job)
{
        return job->data_job && job->data_job->making;
}

static int read_reserved(DataJob *d, sd_bus_message *m, int *ret_fd, bool *ret_zero)
{
        const char *token;
        int r, zero;

        r = sd_bus_message_read(m, "s", &token);
        if (r >= 0)
                r = free_and_strdup(&d->token, token);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "h");
        if (r >= 0)
                r = sd_bus_message_read(m, "h", ret_fd);
        if (r == 0)
                r = -EBADMSG;
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_skip(m, "a" VOLUME_ROW_SIGNATURE);
        if (r >= 0)
                r = sd_bus_message_read(m, "b", &zero);
        *ret_zero = r >= 0 && zero;
        return r;
}

static void reserve_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        _cleanup_bus_error_free_ sd_bus_error bad = SD_BUS_ERROR_NULL;
        DataJob *d = op->job->data_job;
        bool zero = false;
        int fd, r;

        if (error) {
                /* A worker that died on the way may have made it. */
                discard(op->job, error);
                return;
        }
        r = read_reserved(d, reply, &fd, &zero);
        if (r >= 0) {
                d->reserved(op->job, fd, zero);
                return;
        }
        (void) error_set_errno(&bad, r, "Cannot read what the worker of pool '%s' answered",
                               pool->def->name);
        discard(op->job, &bad);
}

static int fill_reserve(Operation *op, sd_bus_message *m)
{
        DataJob *d = op->job->data_job;

        return sd_bus_message_append(m, "sa{sv}", d->xml, 2, "reserve", "b", 1, "token", "s", d->token);
}

static void reserve_begun(const sd_bus_error *error, void *userdata)
{
        _cleanup_bus_error_free_ sd_bus_error queue_error = SD_BUS_ERROR_NULL;
        DataJob *d = userdata;
        Job *job = d->job;

        if (!error && sd_bus_error_is_set(&d->outcome))
                error = &d->outcome;
        job->cancel = pool_worker_cancel;
        if (!error && pool_worker_call(job->pool, job, "CreateVolume", fill_reserve, reserve_done, 0,
                                       &queue_error) < 0)
                error = &queue_error;
        if (!error)
                return;
        remove_intent(job);
        job_finish(job, error);
}

void data_job_reserve(Job *job, const char *xml, void (*reserved)(Job *job, int fd, bool zero))
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        DataJob *d = data_job_new(job);
        uint64_t n[2];
        int r;

        r = !d ? -ENOMEM : getrandom(n, sizeof n, 0) != (ssize_t) sizeof n ? -EIO : 0;
        if (r >= 0 && asprintf(&d->token, "%016" PRIx64 "%016" PRIx64, n[0], n[1]) < 0) {
                d->token = NULL;
                r = -ENOMEM;
        }
        if (r >= 0) {
                d->reserved = reserved;
                d->xml = xml;
                d->making = true;
                d->step = (DataStep){.kind = DATA_MAKES, .end = UINT64_MAX};
                job->cancel = cancel_moving;
                r = write_intent(d, INTENT_MAKES, reserve_begun);
        }
        if (r >= 0)
                return;
        (void) error_set_errno(&error, r, "Cannot begin to make volume '%s'", job->volume_name);
        job_finish(job, &error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/data-job.h"
#include "common/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>

#include "service/data-queue.h"
#include "service/incomplete.h"
#include "service/pool-worker.h"
#include "service/store.h"

/* A data job may take hours; what is too long is decided by whoever watches its progress. */
#define MOVE_TIMEOUT_USEC (UINT64_C(7 * 24 * 3600) * USEC_PER_SEC)
#define INTENT_MAX 4096U

struct DataJob {
        DataPlace place; /* the first member: see start_moving() */
        bool writing;    /* the worker has begun to write into an existing volume */
        Job *job;        /* not owned: it owns this */
        WorkerProcess *worker;
        DataStep step;
        char *token;
        /* As long as that of an unfinished file is open, its lock tells everybody that it is no leftover. */
        int fds[DATA_FDS_MAX];
        sd_bus_error outcome;
        void (*published)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *);
};

static void close_all(DataJob *d)
{
        for (size_t i = 0; i < DATA_FDS_MAX; i++)
                d->fds[i] = safe_close(d->fds[i]);
}

DataJob *data_job_free(DataJob *d)
{
        if (!d)
                return NULL;
        data_place_leave(d->job->manager, &d->place);
        worker_process_free(d->worker);
        close_all(d);
        free(d->token);
        sd_bus_error_free(&d->outcome);
        free(d);
        return NULL;
}

int data_job_fd(const Job *job, size_t i)
{
        return job->data_job->fds[i];
}

static char *intent_name(const Job *job)
{
        char *name;

        return asprintf(&name, "%" PRIu64, job->id) < 0 ? NULL : name;
}

static void remove_intent(Job *job)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *name = intent_name(job);

        if (name && store_change_remove(job->manager, &list, STORE_INTENT, name) >= 0)
                (void) store_apply(job->manager->store, TAKE_PTR(list), NULL, NULL);
}

/* What was changed in place is whole, or marked as what it is; the mark is on its way to the disk before the
 * intent is taken away from there. */
static void end_change(DataJob *d, const sd_bus_error *error)
{
        const char *uuid = d->job->pool->def->uuid;
        Job *job = d->job;

        if (!error)
                incomplete_clear(job->manager, uuid, job->volume_name, d->step.start, d->step.end);
        else if (d->writing && incomplete_mark(job->manager, uuid, job->volume_name, job->operation,
                                               d->step.start, d->step.end) < 0)
                log_error("Cannot mark volume '%s' as incomplete", job->volume_name);
        remove_intent(job);
}

static void end_moving(DataJob *d, const sd_bus_error *error)
{
        Job *job = job_ref(d->job);

        data_place_leave(job->manager, &d->place);
        job->cancel = NULL;
        if (d->step.kind == DATA_CHANGES)
                end_change(d, error);
        job->next(job, error);
        data_queue_run(job->manager);
        job_unref(job);
}

static void on_signal(WorkerProcess *w, sd_bus_message *m, void *userdata)
{
        DataJob *d = userdata;
        uint64_t done, total;

        if (sd_bus_message_is_signal(m, WORKER_INTERFACE, "Writing"))
                d->writing = true;
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
        end_moving(d, sd_bus_error_is_set(&d->outcome) ? &d->outcome : NULL);
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

static void start_moving(DataPlace *place)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        DataJob *d = (DataJob *) place;
        const WorkerHooks hooks = {.signal = on_signal, .gone = on_gone, .userdata = d};
        int r;

        job_set_running(d->job);
        r = worker_process_new(d->job->manager->event, d->job->manager->options.worker_path, "data",
                               "the worker of this job", &hooks, &d->worker, &error);
        if (r >= 0)
                r = send_step(d);
        if (r >= 0)
                return;
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

static void intent_written(const sd_bus_error *error, void *userdata)
{
        DataJob *d = userdata;

        if (error || sd_bus_error_is_set(&d->outcome))
                end_moving(d, error ? error : &d->outcome);
        else
                wait_for_place(d);
}

static int write_intent(DataJob *d)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *name = intent_name(d->job), *content = NULL;
        Job *job = d->job;
        int r;

        if (!name || asprintf(&content,
                              "operation=%s\nuid=%u\nstart=%" PRIu64
                              "\npool=%s\nvolume=%s\n%s%s\nrange=%" PRIu64 "-%" PRIu64 "\n",
                              job->operation, job->uid, job->start, job->pool->def->uuid, job->volume_name,
                              d->step.kind == DATA_MAKES ? "token=" : "in-place", strempty(d->token),
                              d->step.start, d->step.end) < 0)
                return -ENOMEM;
        r = store_change_write(job->manager, &list, STORE_INTENT, name, content);
        if (r < 0)
                return r;
        return store_apply(job->manager->store, TAKE_PTR(list), intent_written, d);
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
        for (size_t i = 0; i < n_fds && i < DATA_FDS_MAX; i++) {
                d->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
                if (d->fds[i] < 0)
                        return -errno;
        }
        return 0;
}

void data_job_run(Job *job, const DataStep *step, const int *fds, size_t n_fds)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        DataJob *d = calloc(1, sizeof *d);
        int r;

        if (!d) {
                job->next(job, &SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory"));
                return;
        }
        d->job = job;
        d->place.start = start_moving;
        for (size_t i = 0; i < DATA_FDS_MAX; i++)
                d->fds[i] = -EBADF;
        data_job_free(job->data_job);
        job->data_job = d;
        job->cancel = cancel_moving;
        r = take_arguments(d, step, fds, n_fds);
        if (job->cancel_asked)
                (void) sd_bus_error_set(&d->outcome, STORAGE_ERROR_CANCELLED, "Cancelled");
        if (r >= 0 && step->kind != DATA_READS)
                r = write_intent(d);
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

static void discard_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        DataJob *d = op->job->data_job;

        close_all(d);
        remove_intent(op->job);
        job_finish(op->job, &d->outcome);
}

static void discard(Job *job, const sd_bus_error *error)
{
        DataJob *d = job->data_job;

        if (error != &d->outcome)
                (void) sd_bus_error_copy(&d->outcome, error);
        if (pool_worker_call(job->pool, job, "DiscardVolume", fill_token, discard_done, 0, NULL) < 0)
                job_finish(job, &d->outcome);
}

static void publish_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        DataJob *d = op->job->data_job;

        if (error) {
                discard(op->job, error);
                return;
        }
        close_all(d);
        remove_intent(op->job);
        d->published(op, pool, reply, NULL);
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
                job_finish(job, &queue_error);
}

/* after a restart */

typedef struct Intent {
        char operation[64], volume[DEF_NAME_MAX + 1], uuid[37];
        unsigned uid;
        bool in_place;
        uint64_t start; /* of the job, µs */
        uint64_t range_start, range_end;
} Intent;

static void read_intent(FILE *f, Intent *ret)
{
        char line[INTENT_MAX];

        *ret = (Intent){.uid = UINT32_MAX, .range_end = UINT64_MAX};
        while (fgets(line, sizeof line, f)) {
                (void) sscanf(line, "operation=%63s", ret->operation);
                (void) sscanf(line, "uid=%u", &ret->uid);
                (void) sscanf(line, "start=%" SCNu64, &ret->start);
                (void) sscanf(line, "pool=%36s", ret->uuid);
                (void) sscanf(line, "volume=%255[^\n]", ret->volume);
                (void) sscanf(line, "range=%" SCNu64 "-%" SCNu64, &ret->range_start, &ret->range_end);
                ret->in_place |= startswith(line, "in-place") != NULL;
        }
}

/* A job's operation is a literal; what is read becomes one of those that move data. */
static const char *known_operation(const char *name)
{
        static const char *const known[] = {"create-volume",   "clone-volume",    "import-volume",
                                            "wipe-volume",     "upload-volume",   "resize-volume",
                                            "flatten-volume",  "rebase-volume",   "commit-volume",
                                            "revert-snapshot", "create-snapshot", "delete-snapshot"};

        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                if (streq(known[i], name))
                        return known[i];
        }
        return "unknown";
}

static void recover_one(Manager *m, FILE *f)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Intent intent;

        read_intent(f, &intent);
        if (intent.in_place &&
            incomplete_mark(m, intent.uuid, intent.volume, known_operation(intent.operation),
                            intent.range_start, intent.range_end) < 0)
                log_error("Cannot mark volume '%s' as incomplete", intent.volume);
        if (job_new(m, manager_find_by_uuid(m, intent.uuid), known_operation(intent.operation), UINT32_MAX,
                    intent.volume, &job, NULL) < 0)
                return;
        job->uid = intent.uid;
        job->start = intent.start;
        (void) error_setf(
                &error, STORAGE_ERROR_INTERRUPTED,
                intent.in_place && intent.range_end == 0 ? "%s of volume '%s' was cut off by the end of the "
                                                           "service: its contents are as they "
                                                           "were"
                : intent.in_place
                        ? "%s of volume '%s' was cut off by the end of the service: its contents are "
                          "incomplete until that is done again"
                        : "%s of volume '%s' was cut off by the end of the service; nothing of it "
                          "is left",
                job->operation, intent.volume);
        job_ref(job);
        job_publish(job, true);
        job_finish(job, &error);
}

int data_jobs_recover(Manager *m)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *folder = store_path(m, STORE_INTENT, "");
        struct dirent *entry;
        DIR *dir;

        dir = folder ? opendir(folder) : NULL;
        if (!dir)
                return -errno;
        while ((entry = readdir(dir))) {
                _cleanup_free_ char *path = store_path(m, STORE_INTENT, entry->d_name);
                _cleanup_fclose_ FILE *f = NULL;

                if (entry->d_name[0] == '.' || !path || !(f = fopen(path, "re")))
                        continue;
                log_notice("A job of an earlier run was cut off: %s", entry->d_name);
                recover_one(m, f);
                (void) store_change_remove(m, &list, STORE_INTENT, entry->d_name);
        }
        (void) closedir(dir);
        return store_apply(m->store, TAKE_PTR(list), NULL, NULL);
}

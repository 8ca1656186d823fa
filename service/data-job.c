/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/data-job.h"
#include "common/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>

#include "service/pool-worker.h"
#include "service/store.h"

/* A data job may take hours; what is too long is decided by whoever watches its progress. */
#define FILL_TIMEOUT_USEC (UINT64_C(7 * 24 * 3600) * USEC_PER_SEC)
#define INTENT_MAX 4096U

/* So many workers move data at once: more would only get in each other's way. */
#define FILLING_MAX 4U

struct DataJob {
        TAILQ_ENTRY(DataJob) entry; /* in manager->waiting_to_fill, if waiting */
        bool waiting, filling;
        Job *job; /* not owned: it owns this */
        WorkerProcess *worker;
        char *xml, *preallocation, *token;
        int fd; /* of the unfinished file: as long as it is open, its lock tells everybody that it is no
                   leftover */
        sd_bus_error outcome;
        void (*published)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *);
        /* What the job had before, put back when the data part is over. */
        void *data;
        void (*free_data)(void *data);
};

static void start_fill(DataJob *d);

/* Lets go of a place among those that fill or wait, and gives it to the next. */
static void leave_queue(DataJob *d)
{
        Manager *m = d->job->manager;

        if (d->waiting)
                TAILQ_REMOVE(&m->waiting_to_fill, d, entry);
        if (d->filling)
                m->n_filling--;
        d->waiting = d->filling = false;
}

static void start_waiting(Manager *m)
{
        DataJob *d;

        while (m->n_filling < FILLING_MAX && (d = TAILQ_FIRST(&m->waiting_to_fill))) {
                leave_queue(d);
                d->filling = true;
                m->n_filling++;
                start_fill(d);
        }
}

static void data_job_free(void *p)
{
        DataJob *d = p;

        leave_queue(d);
        worker_process_free(d->worker);
        safe_close(d->fd);
        free(d->xml);
        free(d->preallocation);
        free(d->token);
        sd_bus_error_free(&d->outcome);
        if (d->free_data)
                d->free_data(d->data);
        free(d);
}

static void end_fill(DataJob *d, const sd_bus_error *error)
{
        Job *job = job_ref(d->job);

        leave_queue(d);
        job->cancel = NULL;
        job->next(job, error);
        start_waiting(job->manager);
        job_unref(job);
}

static void on_signal(WorkerProcess *w, sd_bus_message *m, void *userdata)
{
        DataJob *d = userdata;
        uint64_t done, total;

        if (sd_bus_message_is_signal(m, WORKER_INTERFACE, "Progress") &&
            sd_bus_message_read(m, "tt", &done, &total) >= 0)
                job_set_progress(d->job, done, total);
}

static void on_filled(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
        DataJob *d = userdata;

        if (error)
                (void) sd_bus_error_copy(&d->outcome, error);
        /* Only when every process that could still write is gone may the file be published or discarded. */
        worker_process_kill(d->worker);
}

static void on_gone(WorkerProcess *w, void *userdata)
{
        DataJob *d = userdata;

        d->worker = worker_process_free(d->worker);
        end_fill(d, sd_bus_error_is_set(&d->outcome) ? &d->outcome : NULL);
}

static int send_fill(DataJob *d)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *pool_xml = NULL;
        int r;

        r = pool_def_format_xml(d->job->pool->def, NULL, &pool_xml);
        if (r >= 0)
                r = worker_process_new_call(d->worker, "Fill", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssh", pool_xml, d->xml, d->fd);
        if (r >= 0 && d->preallocation)
                r = sd_bus_message_append(m, "a{sv}", 1, "preallocation", "s", d->preallocation);
        else if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 0);
        if (r >= 0)
                r = worker_process_call(d->worker, m, FILL_TIMEOUT_USEC, on_filled, d);
        return r;
}

static void cancel_fill(Job *job)
{
        DataJob *d = job->data;

        if (d->worker) {
                worker_process_cancel(d->worker);
                return;
        }
        (void) sd_bus_error_set(&d->outcome, STORAGE_ERROR_CANCELLED, "Cancelled");
        if (d->waiting)
                end_fill(d, &d->outcome);
}

static void start_fill(DataJob *d)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        const WorkerHooks hooks = {.signal = on_signal, .gone = on_gone, .userdata = d};
        int r;

        r = worker_process_new(d->job->manager->event, d->job->manager->options.worker_path, "data",
                               "the worker of this job", &hooks, &d->worker, &error);
        if (r >= 0)
                r = send_fill(d);
        if (r >= 0)
                return;
        d->worker = worker_process_free(d->worker);
        if (!sd_bus_error_is_set(&error))
                (void) error_set_errno(&error, r, "Cannot start a worker for volume '%s'",
                                       d->job->volume_name);
        end_fill(d, &error);
}

static void intent_written(const sd_bus_error *error, void *userdata)
{
        DataJob *d = userdata;

        if (error || sd_bus_error_is_set(&d->outcome)) {
                end_fill(d, error ? error : &d->outcome);
                return;
        }
        d->waiting = true;
        TAILQ_INSERT_TAIL(&d->job->manager->waiting_to_fill, d, entry);
        start_waiting(d->job->manager);
}

static char *intent_name(const Job *job)
{
        char *name;

        return asprintf(&name, "%" PRIu64, job->id) < 0 ? NULL : name;
}

static int write_intent(DataJob *d)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *name = intent_name(d->job), *content = NULL;
        Job *job = d->job;
        int r;

        if (!name ||
            asprintf(&content, "operation=%s\nuid=%u\nstart=%" PRIu64 "\npool=%s\nvolume=%s\n",
                     job->operation, job->uid, job->start, job->pool->def->uuid, job->volume_name) < 0)
                return -ENOMEM;
        r = store_change_write(job->manager, &list, STORE_INTENT, name, content);
        if (r < 0)
                return r;
        return store_apply(job->manager->store, TAKE_PTR(list), intent_written, d);
}

void data_job_fill(Job *job, const char *xml, const char *preallocation, const char *token, int fd)
{
        DataJob *d;
        int r = 0;

        d = calloc(1, sizeof *d);
        if (!d) {
                job_finish(job, &SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory"));
                return;
        }
        *d = (DataJob){.job = job,
                       .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
                       .data = job->data,
                       .free_data = job->free_data};
        if (d->fd < 0)
                r = -errno;
        if (job->cancel_asked)
                (void) sd_bus_error_set(&d->outcome, STORAGE_ERROR_CANCELLED, "Cancelled");
        d->xml = strdup(xml);
        d->token = strdup(token);
        d->preallocation = preallocation ? strdup(preallocation) : NULL;
        job->data = d;
        job->free_data = data_job_free;
        job->cancel = cancel_fill;
        if (!d->xml || !d->token || (preallocation && !d->preallocation))
                r = -ENOMEM;
        if (r >= 0)
                r = write_intent(d);
        if (r < 0)
                end_fill(d, &SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory"));
}

static int fill_token(Operation *op, sd_bus_message *m)
{
        DataJob *d = op->job->data;

        return sd_bus_message_append(m, "s", d->token);
}

static void remove_intent(Job *job)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *name = intent_name(job);

        if (name && store_change_remove(job->manager, &list, STORE_INTENT, name) >= 0)
                (void) store_apply(job->manager->store, TAKE_PTR(list), NULL, NULL);
}

static void discard_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        DataJob *d = op->job->data;

        d->fd = safe_close(d->fd);
        remove_intent(op->job);
        job_finish(op->job, &d->outcome);
}

static void discard(Job *job, const sd_bus_error *error)
{
        DataJob *d = job->data;

        if (error != &d->outcome)
                (void) sd_bus_error_copy(&d->outcome, error);
        if (pool_worker_call(job->pool, job, "DiscardVolume", fill_token, discard_done, 0, NULL) < 0)
                job_finish(job, &d->outcome);
}

static void publish_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        DataJob *d = op->job->data;

        if (error) {
                discard(op->job, error);
                return;
        }
        d->fd = safe_close(d->fd);
        remove_intent(op->job);
        d->published(op, pool, reply, NULL);
}

void data_job_publish(Job *job, const sd_bus_error *error,
                      void (*done)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *))
{
        _cleanup_bus_error_free_ sd_bus_error queue_error = SD_BUS_ERROR_NULL;
        DataJob *d = job->data;

        d->published = done;
        if (error)
                discard(job, error);
        else if (pool_worker_call(job->pool, job, "PublishVolume", fill_token, publish_done, 0,
                                  &queue_error) < 0)
                job_finish(job, &queue_error);
}

/* after a restart */

static void recover_one(Manager *m, FILE *f)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        char line[INTENT_MAX], volume[DEF_NAME_MAX + 1] = "", uuid[37] = "";
        uint64_t start = 0;
        unsigned uid = UINT32_MAX;
        Pool *pool;

        while (fgets(line, sizeof line, f)) {
                (void) sscanf(line, "uid=%u", &uid);
                (void) sscanf(line, "start=%" SCNu64, &start);
                (void) sscanf(line, "pool=%36s", uuid);
                (void) sscanf(line, "volume=%255[^\n]", volume);
        }
        pool = manager_find_by_uuid(m, uuid);
        if (job_new(m, pool, "create-volume", UINT32_MAX, volume, &job, NULL) < 0)
                return;
        job->uid = uid;
        job->start = start;
        (void) sd_bus_error_setf(
                &error, STORAGE_ERROR_INTERRUPTED,
                "Making volume '%s' was cut off by the end of the service; nothing of it is left", volume);
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

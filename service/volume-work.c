/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-work.h"

#include "common/log.h"
#include "service/incomplete.h"
#include "service/pool-worker.h"
#include "service/volume-secret.h"

int volume_job_begin(Pool *pool, const char *operation, const char *name, const char *verb,
                     VolumeLocks *locks, uid_t uid, Job **ret, sd_bus_error *error)
{
        Volume *v;
        int r;

        r = pool_require_active(pool, verb, error);
        if (r >= 0)
                r = volume_locks_check(locks, pool->manager, uid, error);
        if (r >= 0)
                r = job_new(pool->manager, pool, operation, uid, name, ret, error);
        if (r < 0) {
                volume_locks_done(locks);
                return r;
        }
        v = volume_find(pool, name);
        (*ret)->volume_start = v ? volume_start(v) : 0;
        (*ret)->locks = *locks;
        *locks = (VolumeLocks){};
        (*ret)->cancelable = true;
        (*ret)->cancel = pool_worker_cancel;
        job_ref(*ret);
        return 0;
}

int volume_job_submit(Job *job, Pool *pool, const char *verb, int (*fill)(Operation *, sd_bus_message *),
                      void (*done)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *))
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        job->cancel = pool_worker_cancel;
        r = pool_worker_call(pool, job, verb, fill, done, 0, &error);
        if (r >= 0)
                return 0;
        if (!sd_bus_error_is_set(&error))
                (void) error_set_errno(&error, r, "Cannot queue work for pool '%s'", pool->def->name);
        job_finish(job, &error);
        return 0;
}

/* The volume is there; without the record somebody has to remember its secret, that is all. */
static void recorded(const sd_bus_error *error, void *userdata)
{
        Job *job = userdata;

        if (error)
                log_error("Cannot note with which secret volume '%s' is encrypted: %s", job->volume_name,
                          strempty(error->message));
        job_finish(job, NULL);
}

void volume_job_finish_with_row(Job *job, Pool *pool, sd_bus_message *reply,
                                const sd_bus_error *error_before)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        VolumeRow row = {};
        Volume *v = NULL;
        int r;

        if (sd_bus_error_is_set(error_before))
                (void) sd_bus_error_copy(&error, error_before);
        r = volume_row_read(reply, &row);
        if (r > 0)
                r = volume_update(pool, &row, &v);
        volume_row_done(&row);
        if (r < 0 && !sd_bus_error_is_set(&error))
                (void) error_set_errno(&error, r, "Cannot read what the worker of pool '%s' answered",
                                       pool->def->name);
        if (v)
                v->seen_in = pool->listing;
        job->result_is_volume = r >= 0;
        if (!v || sd_bus_error_is_set(&error) || !job->secret_uuid[0] ||
            volume_secret_record(pool->manager, pool->def->uuid, v->row.name, job->secret_uuid, recorded,
                                 job) < 0)
                job_finish(job, &error);
}

void volume_job_finish_made(Job *job, Pool *pool, sd_bus_message *reply)
{
        incomplete_forget(job->manager, pool->def->uuid, job->volume_name);
        /* What was of that name may have gone while nobody looked. */
        if (!job->secret_uuid[0])
                volume_secret_forget(job->manager, pool->def->uuid, job->volume_name);
        volume_job_finish_with_row(job, pool, reply, NULL);
}

void volume_job_finish_oom(Job *job)
{
        job_finish(job, &SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory"));
}

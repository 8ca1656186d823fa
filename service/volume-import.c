/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A new volume of what a client's descriptor gives: reserved, filled by a data worker, published. */

#include "service/data-job.h"
#include "service/volume-transfer.h"

typedef struct Work {
        VolumeTransfer transfer;
        VolumeDef *def;
        char *format; /* that the contents must have; NULL: any */
        char *xml;
        bool zero; /* what is reserved reads as zeros */
} Work;

static void work_free(void *p)
{
        Work *w = p;

        volume_def_free(w->def);
        free(w->format);
        free(w->xml);
        free(w);
}

static int fill_upload(Job *job, sd_bus_message *m)
{
        _cleanup_free_ char *pool_xml = NULL;
        Work *w = job->data;
        int r;

        r = pool_def_format_xml(job->pool->def, NULL, &pool_xml);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssh", pool_xml, job->volume_name, data_job_fd(job, 0));
        if (r < 0)
                return r;
        return transfer_append(job, m, &w->transfer,
                               &(TransferTarget){.fresh = true, .zero = w->zero, .format = w->format});
}

static void publish_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        if (error)
                job_finish(op->job, error);
        else
                volume_job_finish_made(op->job, pool, reply);
}

static void uploaded(Job *job, const sd_bus_error *error)
{
        data_job_publish(job, error, publish_done);
}

static void reserved(Job *job, int fd, bool zero)
{
        const DataStep step = {
                .verb = "Upload",
                .kind = DATA_MAKES,
                .client = true,
                .fill = fill_upload,
                .answered = transfer_read_result,
        };
        Work *w = job->data;

        w->zero = zero;
        job->next = uploaded;
        data_job_run(job, &step, &fd, 1);
}

/* How large it will be is known now. */
static void begin(Job *job)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Work *w = job->data;
        int r;

        w->def->capacity = w->transfer.length;
        w->def->capacity_set = true;
        r = volume_def_validate(w->def, job->pool->def->type, &error);
        if (r >= 0)
                r = volume_def_format_xml(w->def, &w->xml);
        if (r >= 0) {
                data_job_reserve(job, w->xml, reserved);
                return;
        }
        if (!sd_bus_error_is_set(&error))
                (void) error_set_errno(&error, r, "Cannot import volume '%s'", job->volume_name);
        job_finish(job, &error);
}

static void measured(Job *job, const sd_bus_error *error)
{
        Work *w = job->data;

        w->transfer.length = job->bytes_total;
        if (error)
                job_finish(job, error);
        else
                begin(job);
}

static int make_job(Pool *pool, Work *w, uid_t uid, Job **ret, sd_bus_error *error)
{
        VolumeLocks locks = {};
        int r;

        if (volume_find(pool, w->def->name))
                return error_setf(error, STORAGE_ERROR_EXISTS, "Volume '%s' exists already in pool '%s'",
                                  w->def->name, pool->def->name);
        /* Of a partition the format is a type in the table, not what is in it. */
        r = pool_type_has_files(pool->def->type) ? free_and_strdup(&w->format, w->def->format) : 0;
        if (r >= 0)
                r = volume_locks_add(&locks, pool, w->def->name, false);
        if (r >= 0)
                return volume_job_begin(pool, "import-volume", w->def->name, "given a volume", &locks, uid,
                                        ret, error);
        volume_locks_done(&locks);
        return r;
}

int volume_import(Pool *pool, VolumeDef *def, const VolumeTransfer *t, uid_t uid, Job **ret,
                  sd_bus_error *error)
{
        _cleanup_bus_error_free_ sd_bus_error bad = SD_BUS_ERROR_NULL;
        Work *w = calloc(1, sizeof *w);
        int r;

        if (!w) {
                volume_def_free(def);
                return -ENOMEM;
        }
        *w = (Work){.transfer = *t, .def = def};
        r = make_job(pool, w, uid, ret, error);
        if (r < 0) {
                work_free(w);
                return r;
        }
        (*ret)->data = w;
        (*ret)->free_data = work_free;
        r = transfer_take_descriptors(*ret, t, true);
        if (r < 0) {
                (void) error_set_errno(&bad, r, "Cannot pass on a descriptor for volume '%s'", def->name);
                job_finish(*ret, &bad);
        } else if (t->length == UINT64_MAX)
                transfer_measure(*ret, measured);
        else
                begin(*ret);
        return 0;
}

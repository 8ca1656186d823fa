/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-users.h"

static void free_answer(void *p)
{
        sd_bus_message_unref(p);
}

static int fill(Operation *op, sd_bus_message *m)
{
        return sd_bus_message_append(m, "s", op->job->volume_name);
}

static void done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        if (!error) {
                op->job->data = sd_bus_message_ref(reply);
                op->job->free_data = free_answer;
        }
        job_finish(op->job, error);
}

int volume_list_users(Volume *v, uid_t uid, Job **ret, sd_bus_error *error)
{
        VolumeLocks none = {};
        int r;

        r = volume_job_begin(v->pool, "list-users", v->row.name, "asked who uses a volume", &none, uid, ret,
                             error);
        return r < 0 ? r : volume_job_submit(*ret, v->pool, "ListUsers", fill, done);
}

int volume_users_append(const Job *job, sd_bus_message *m)
{
        sd_bus_message *answer = job->data;
        int r;

        r = sd_bus_message_rewind(answer, true);
        return r < 0 ? r : sd_bus_message_copy(m, answer, true);
}

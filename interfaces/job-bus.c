/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.example.Storage1.Job: see interfaces/org.example.Storage1.Job.xml. */

#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/paths.h"
#include "interfaces/reply.h"
#include "service/job.h"

#define GETTER(name)                                                                                \
        static int name(sd_bus *bus, const char *path, const char *interface, const char *property, \
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(get_operation)
{
        return sd_bus_message_append(reply, "s", ((Job *) userdata)->operation);
}

static int append_volume(sd_bus_message *m, const Pool *pool, const char *name)
{
        _cleanup_free_ char *path = path_of_volume(pool, name);

        return path ? sd_bus_message_append(m, "o", path) : -ENOMEM;
}

static int append_pool(sd_bus_message *m, const Pool *pool)
{
        _cleanup_free_ char *path = path_of_pool(pool);

        return path ? sd_bus_message_append(m, "o", path) : -ENOMEM;
}

/* The other volumes that a job works on, such as the source of a copy, and their pools, each once. */
static int append_locked(sd_bus_message *m, const Job *job)
{
        const VolumeLock *items = job->locks.items;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < job->locks.n; i++) {
                bool named = items[i].pool == job->pool && streq_ptr(items[i].name, job->volume_name);
                bool pool_named = items[i].pool == job->pool;

                for (size_t k = 0; k < i; k++) {
                        named |= items[k].pool == items[i].pool && streq(items[k].name, items[i].name);
                        pool_named |= items[k].pool == items[i].pool;
                }
                if (!named)
                        r = append_volume(m, items[i].pool, items[i].name);
                if (r >= 0 && !pool_named)
                        r = append_pool(m, items[i].pool);
        }
        return r;
}

GETTER(get_objects)
{
        Job *job = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "o");
        if (r >= 0 && job->pool && job->volume_name)
                r = append_volume(reply, job->pool, job->volume_name);
        if (r >= 0 && job->pool)
                r = append_pool(reply, job->pool);
        if (r >= 0)
                r = append_locked(reply, job);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(get_state)
{
        return sd_bus_message_append(reply, "s", job_state_to_string(((Job *) userdata)->state));
}

GETTER(get_progress)
{
        Job *job = userdata;
        double progress = job->state == JOB_SUCCEEDED ? 1.0
                          : job->bytes_total > 0      ? (double) job->bytes_done / (double) job->bytes_total
                                                      : 0.0;

        return sd_bus_message_append(reply, "d", progress);
}

GETTER(get_progress_valid)
{
        Job *job = userdata;

        return sd_bus_message_append(reply, "b",
                                     (int) (job->bytes_total > 0 || job->state == JOB_SUCCEEDED));
}

GETTER(get_cancelable)
{
        return sd_bus_message_append(reply, "b", (int) ((Job *) userdata)->cancelable);
}

GETTER(get_result)
{
        return job_append_result(userdata, reply);
}

GETTER(get_error_name)
{
        return sd_bus_message_append(reply, "s", strempty(((Job *) userdata)->error.name));
}

GETTER(get_error_message)
{
        return sd_bus_message_append(reply, "s", strempty(((Job *) userdata)->error.message));
}

/* Everyone may cancel what he started himself; what others started needs the right to. */
static int method_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Job *job = userdata;
        const Access access = {
                .action = "cancel-job",
                .pool = job->pool ? job->pool->def->name : NULL,
                .volume = job->volume_name,
                .capacity = UINT64_MAX,
        };
        Bus *b = bus_of(job->manager);
        uid_t uid;
        int r;

        r = options_read(m, NULL, 0, error);
        if (r >= 0)
                r = policy_caller(b->policy, m, &uid, error);
        if (r > 0 && uid != job->uid)
                r = access_check(b, m, &access, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = job_cancel(job, error);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST

const sd_bus_vtable job_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Operation", "s", get_operation, 0, CONSTANT),
        SD_BUS_PROPERTY("Objects", "ao", get_objects, 0, CONSTANT),
        SD_BUS_PROPERTY("StartedByUID", "u", NULL, offsetof(Job, uid), CONSTANT),
        SD_BUS_PROPERTY("StartTime", "t", NULL, offsetof(Job, start), CONSTANT),
        SD_BUS_PROPERTY("State", "s", get_state, 0, CHANGES),
        SD_BUS_PROPERTY("Progress", "d", get_progress, 0, CHANGES),
        SD_BUS_PROPERTY("ProgressValid", "b", get_progress_valid, 0, CHANGES),
        SD_BUS_PROPERTY("Cancelable", "b", get_cancelable, 0, CONSTANT),
        SD_BUS_PROPERTY("BytesDone", "t", NULL, offsetof(Job, bytes_done), CHANGES),
        SD_BUS_PROPERTY("BytesTotal", "t", NULL, offsetof(Job, bytes_total), CHANGES),
        SD_BUS_PROPERTY("Rate", "t", NULL, offsetof(Job, rate), CHANGES),
        SD_BUS_PROPERTY("ExpectedEndTime", "t", NULL, offsetof(Job, expected_end), CHANGES),
        SD_BUS_PROPERTY("Result", "a{sv}", get_result, 0, CHANGES),
        SD_BUS_PROPERTY("ErrorName", "s", get_error_name, 0, CHANGES),
        SD_BUS_PROPERTY("ErrorMessage", "s", get_error_message, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_cancel,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Completed",
                                SD_BUS_ARGS("b", success, "s", error, "s", message, "a{sv}", result), 0),
        SD_BUS_VTABLE_END,
};

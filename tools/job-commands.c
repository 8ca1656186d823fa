/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/errors.h"
#include "common/size.h"
#include "tools/call.h"
#include "tools/follow.h"
#include "tools/object-name.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/show.h"
#include "tools/table.h"

static bool ended(json_object *job)
{
        const char *state = json_string(job, "State");

        return streq(state, "succeeded") || streq(state, "failed") || streq(state, "cancelled");
}

static const char *job_number(json_object *job)
{
        const char *path = json_string(job, "ObjectPath"), *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static int by_number(const void *a, const void *b)
{
        json_object *const *x = a, *const *y = b;
        unsigned long long m = strtoull(job_number(*x), NULL, 10), n = strtoull(job_number(*y), NULL, 10);

        return m < n ? -1 : m > n;
}

static int add_job(json_object *jobs, const char *path, json_object *properties)
{
        _cleanup_json_ json_object *job = json_object_new_object();
        int r;

        if (!job)
                return -ENOMEM;
        r = json_set_string(job, "ObjectPath", path);
        json_object_object_foreach(properties, name, value)
        {
                if (r >= 0)
                        r = json_set(job, name, json_object_get(value));
        }
        if (r < 0)
                return r;
        if (json_object_array_add(jobs, job) < 0)
                return -ENOMEM;
        (void) TAKE_PTR(job);
        return 0;
}

/* All jobs as an array of objects, the oldest first. names, unless NULL, is filled with those of the pools. */
static int read_jobs(Context *c, json_object **ret, json_object *names, sd_bus_error *error)
{
        _cleanup_json_ json_object *root = NULL, *jobs = json_object_new_array();
        int r;

        if (!jobs)
                return -ENOMEM;
        r = read_root(c, &root, error);
        if (r < 0)
                return r;
        json_object_object_foreach(root, path, interfaces)
        {
                json_object *properties;

                if (r >= 0 && json_object_object_get_ex(interfaces, JOB_INTERFACE, &properties))
                        r = add_job(jobs, path, properties);
        }
        if (r >= 0 && names)
                r = object_names_read(root, names);
        if (r < 0)
                return r;
        json_object_array_sort(jobs, by_number);
        *ret = TAKE_PTR(jobs);
        return 0;
}

/* What it changes or makes, which it names first. NULL if out of memory. */
static char *job_object(json_object *job, json_object *names)
{
        json_object *objects;

        if (!json_object_object_get_ex(job, "Objects", &objects) || json_object_array_length(objects) == 0)
                return strdup("");
        return object_name(names, strempty(json_object_get_string(json_object_array_get_idx(objects, 0))));
}

static uint64_t job_amount(json_object *job, const char *property)
{
        json_object *v;

        return !ended(job) && json_object_object_get_ex(job, property, &v) ? json_object_get_uint64(v) : 0;
}

static int add_row(Table *t, json_object *job, json_object *names)
{
        uint64_t rate = job_amount(job, "Rate"), end = job_amount(job, "ExpectedEndTime"), now = now_realtime();
        char size[SIZE_BUFSIZE], speed[SIZE_BUFSIZE + 2] = "", left[DURATION_BUFSIZE] = "";
        _cleanup_free_ char *object = NULL, *progress = NULL, *began = NULL;
        int r = 0;

        object = job_object(job, names);
        progress = json_truth(job, "ProgressValid") ? show_value(job, "Progress", SHOW_PERCENT) : strdup("");
        began = show_value(job, "StartTime", SHOW_TIME);
        if (!object || !progress || !began)
                return -ENOMEM;
        if (rate > 0)
                (void) snprintf(speed, sizeof speed, "%s/s", size_format(size, rate));
        if (end > now)
                (void) duration_format(left, end - now);
        const char *const cells[] = {job_number(job), json_string(job, "Operation"), object, json_string(job, "State"),
                                     progress, speed, left, began, json_string(job, "ErrorMessage")};
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(cells); i++)
                r = table_add(t, cells[i]);
        return r;
}

static int print_jobs(const Context *c, json_object *jobs, json_object *names)
{
        static const char *const columns[] = {">JOB",  "OPERATION", "ON",    "STATE", ">PROGRESS",
                                              ">RATE", ">LEFT",     "BEGAN", "ERROR"};
        _cleanup_(table_freep) Table *t = table_new(columns, ELEMENTSOF(columns));
        int r = t ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < json_object_array_length(jobs); i++)
                r = add_row(t, json_object_array_get_idx(jobs, i), names);
        return r < 0 ? r : table_print(t, stdout, c->legend);
}

static int job_list(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *jobs = NULL, *names = json_object_new_object();
        int r;

        r = names ? read_jobs(c, &jobs, names, &error) : -ENOMEM;
        if (r < 0)
                return report(c, &error, r);
        r = c->json ? json_print(jobs, true) : print_jobs(c, jobs, names);
        return r < 0 ? report(c, NULL, r) : STATUS_OK;
}

/* A job is given by its number or by its object path. */
static int job_path(const char *job, char **ret)
{
        const char *number = startswith(job, STORAGE_JOB_PATH "/");

        if (!number)
                number = job;
        if (!*number || number[strspn(number, "0123456789")])
                return usage_error("'%s' is no job; 'storagectl job list' shows their numbers", job);
        return asprintf(ret, "%s/%s", STORAGE_JOB_PATH, number) < 0 ? STATUS_FAILED : STATUS_OK;
}

/* What the job said last, one line for people or for programs. */
static int print_end(Context *c, json_object *job)
{
        const char *reason = json_string(job, "ErrorMessage");

        if (c->json)
                return json_print(job, false);
        (void) printf("%s %s %s%s%s\n", job_number(job), json_string(job, "Operation"),
                      json_string(job, "State"), *reason ? ": " : "", reason);
        return fflush(stdout) != 0 ? -EIO : 0;
}

/* "No such job": that of D-Bus speaks of objects and interfaces. */
static int no_such_job(const char *path, sd_bus_error *error)
{
        sd_bus_error_free(error);
        return sd_bus_error_setf(error, STORAGE_ERROR_NOT_FOUND,
                                 "there is no job %s: it never was, or it ended more than a minute ago",
                                 path + strlen(STORAGE_JOB_PATH "/"));
}

static int watch_one(Context *c, const char *path)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL, outcome = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *before = NULL, *after = NULL;
        _cleanup_free_ char *label = NULL;
        int r, result;

        r = read_object(c, path, JOB_INTERFACE, &before, &error);
        if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT))
                r = no_such_job(path, &error);
        if (r < 0)
                return report(c, &error, r);
        if (asprintf(&label, "%s", json_string(before, "Operation")) < 0)
                return report(c, NULL, -ENOMEM);
        result = job_follow(c, path, label, &outcome);
        r = read_object(c, path, JOB_INTERFACE, &after, &error);
        if (r < 0 || !ended(after)) /* left, or lost with the service */
                return report(c, &outcome, result);
        r = print_end(c, after);
        if (r < 0)
                return report(c, NULL, r);
        return result < 0 ? (int) report_status(outcome.name, result) : STATUS_OK;
}

static int watch_all(Context *c)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *jobs = NULL;
        int r, status = STATUS_OK;

        r = read_jobs(c, &jobs, NULL, &error);
        if (r < 0)
                return report(c, &error, r);
        for (size_t i = 0; i < json_object_array_length(jobs) && status != STATUS_INTERRUPTED; i++) {
                json_object *job = json_object_array_get_idx(jobs, i);
                int s;

                if (ended(job))
                        continue;
                s = watch_one(c, json_string(job, "ObjectPath"));
                if (status == STATUS_OK || s == STATUS_INTERRUPTED)
                        status = s;
        }
        return status;
}

static int job_watch(Context *c, const Args *a)
{
        _cleanup_free_ char *path = NULL;
        int r;

        if (a->n_operands == 0)
                return watch_all(c);
        r = job_path(a->operands[0], &path);
        return r == STATUS_OK ? watch_one(c, path) : r;
}

static int cancel_one(Context *c, const char *job)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = job_path(job, &path);
        if (r != STATUS_OK)
                return r;
        r = call_new(c, path, JOB_INTERFACE, "Cancel", &error, &m);
        if (r >= 0)
                r = call_options(c, m, NULL, NULL, false);
        if (r >= 0)
                r = call_send(c, m, &error);
        if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT))
                r = no_such_job(path, &error);
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Job %s is being cancelled.", path + strlen(STORAGE_JOB_PATH "/"));
        return STATUS_OK;
}

static int job_cancel(Context *c, const Args *a)
{
        int status = STATUS_OK;

        for (size_t i = 0; i < a->n_operands; i++) {
                int s = cancel_one(c, a->operands[i]);

                if (status == STATUS_OK)
                        status = s;
        }
        return status;
}

const Command job_commands[] = {
        {"job", "list", "", "list work that is under way or ended lately", 0, 0, COMMAND_JSON, NULL, NULL,
         job_list},
        {"job", "watch", "[JOB]", "wait for a job, or for all, and tell how it ended", 0, 1, COMMAND_JSON,
         NULL, NULL, job_watch},
        {"job", "cancel", "JOB...", "give up work; what was half done is undone", 1, OPERANDS_MAX, 0, NULL,
         NULL, job_cancel},
        {0},
};

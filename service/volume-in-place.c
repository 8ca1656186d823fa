/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-in-place.h"

#include "service/data-job.h"
#include "service/volume-secret.h"

typedef struct Work {
        VolumeChain others; /* first: see volume-chain.h */
        InPlace what;
        sd_bus_error outcome;
} Work;

static void work_free(void *p)
{
        Work *w = p;

        volume_chain_done(&w->others);
        if (w->what.free_argument)
                w->what.free_argument(w->what.argument);
        sd_bus_error_free(&w->outcome);
        free(w);
}

static int fill_look(Operation *op, sd_bus_message *m)
{
        return sd_bus_message_append(m, "s", op->job->volume_name);
}

/* What was encrypted, and has been overwritten, needs its secret no more. */
static void forget_secret(Pool *pool, const char *name)
{
        const Volume *v = volume_find(pool, name);

        if (v && !(v->row.extra && v->row.extra->encryption != ENCRYPTION_NONE))
                volume_secret_forget(pool->manager, pool->def->uuid, name);
}

static void look_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        Work *w = op->job->data;

        if (!error) {
                bool done = !sd_bus_error_is_set(&w->outcome);

                volume_job_finish_with_row(op->job, pool, reply, &w->outcome);
                if (done)
                        forget_secret(pool, op->job->volume_name);
        } else
                job_finish(op->job, sd_bus_error_is_set(&w->outcome) ? &w->outcome : error);
}

static void work_done(Job *job, const sd_bus_error *error)
{
        Work *w = job->data;

        if (!w->what.write) {
                job_finish(job, error);
                return;
        }
        if (error)
                (void) sd_bus_error_copy(&w->outcome, error);
        /* What it has not done is not undone: others may have. */
        if (error && w->what.fill_undo && data_job_has_written(job))
                (void) volume_job_submit(job, job->pool, "ResizeVolume", w->what.fill_undo, look_done);
        else
                (void) volume_job_submit(job, job->pool, "LookVolume", fill_look, look_done);
        /* It cannot be cancelled any more: what is done is done. */
        job->cancel = NULL;
}

static int fill_work(Job *job, sd_bus_message *m)
{
        _cleanup_free_ char *pool_xml = NULL;
        Work *w = job->data;
        int r;

        r = pool_def_format_xml(job->pool->def, NULL, &pool_xml);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssh", pool_xml, job->volume_name, data_job_fd(job, 0));
        return r < 0 ? r : w->what.fill(job, m, w->what.argument);
}

static int work_answered(Job *job, sd_bus_message *reply)
{
        Work *w = job->data;

        return w->what.answered ? w->what.answered(job, reply, w->what.argument) : 0;
}

static int fill_open(Operation *op, sd_bus_message *m)
{
        Work *w = op->job->data;

        return sd_bus_message_append(m, "ssa{sv}", op->job->volume_name,
                                     !w->what.write  ? "read"
                                     : w->what.alone ? "write-alone"
                                                     : "write",
                                     2, "force", "b", (int) w->what.force, "start", "t",
                                     op->job->volume_start);
}

static void start_work(Job *job, int fd)
{
        Work *w = job->data;
        DataStep step = {
                .verb = w->what.verb,
                .kind = w->what.replace ? DATA_REPLACES
                        : w->what.write ? DATA_CHANGES
                                        : DATA_READS,
                .fill = fill_work,
                .answered = work_answered,
                .client = w->what.client,
                .start = w->what.start,
                .end = w->what.end,
                .mends = w->what.mends,
                .from = w->what.from,
                .as_of = w->what.as_of,
                .keeps_contents = w->what.keeps_contents,
        };
        int fds[DATA_FDS_MAX] = {fd};

        for (size_t i = 0; i < w->others.n; i++)
                fds[i + 1] = w->others.members[i].fd;
        job->next = work_done;
        data_job_run(job, &step, fds, w->others.n + 1);
        /* The data job has copies of them. */
        for (size_t i = 0; i < w->others.n; i++)
                w->others.members[i].fd = safe_close(w->others.members[i].fd);
}

static void open_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        _cleanup_bus_error_free_ sd_bus_error bad = SD_BUS_ERROR_NULL;
        int fd, r;

        if (error) {
                job_finish(op->job, error);
                return;
        }
        r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0) {
                (void) error_set_errno(&bad, r, "Cannot read what the worker of pool '%s' answered",
                                       pool->def->name);
                job_finish(op->job, &bad);
        } else
                start_work(op->job, fd);
}

static void others_opened(Job *job)
{
        (void) volume_job_submit(job, job->pool, "OpenVolume", fill_open, open_done);
}

static Work *work_new(const InPlace *what)
{
        Work *w = calloc(1, sizeof *w);

        if (w) {
                w->what = *what;
                if (what->others)
                        w->others = *what->others;
        } else if (what->free_argument)
                what->free_argument(what->argument);
        if (what->others && !w)
                volume_chain_done(what->others);
        else if (what->others)
                *what->others = (VolumeChain){};
        return w;
}

int volume_in_place_prepare(Volume *v, const InPlace *what, VolumeLocks *locks, uid_t uid, Job **ret,
                            sd_bus_error *error)
{
        VolumeLocks none = {}, *l = locks ? locks : &none;
        Work *w = work_new(what);
        int r;

        r = w ? 0 : -ENOMEM;
        if (r >= 0 && what->write && !what->replace)
                r = incomplete_require_room(v, uid, error);
        if (r >= 0)
                r = volume_locks_add(l, v->pool, v->row.name, !what->write);
        if (r >= 0)
                r = volume_locks_add_chain(l, v);
        if (r >= 0)
                r = volume_job_begin(v->pool, what->operation, v->row.name, what->said, l, uid, ret, error);
        else
                volume_locks_done(l);
        if (r < 0) {
                if (w)
                        work_free(w);
                return r;
        }
        (*ret)->data = w;
        (*ret)->free_data = work_free;
        return 0;
}

void *volume_in_place_argument(const Job *job)
{
        return ((Work *) job->data)->what.argument;
}

void volume_in_place_start(Job *job, uint64_t start, uint64_t end)
{
        Work *w = job->data;

        w->what.start = start;
        w->what.end = end;
        volume_chain_open(job, others_opened);
}

int volume_in_place(Volume *v, const InPlace *what, VolumeLocks *locks, uid_t uid, Job **ret,
                    sd_bus_error *error)
{
        int r = volume_in_place_prepare(v, what, locks, uid, ret, error);

        if (r >= 0)
                volume_in_place_start(*ret, what->start, what->end);
        return r;
}

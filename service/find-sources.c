/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/find-sources.h"

#include "common/worker-protocol.h"
#include "service/pool-conflict.h"
#include "service/worker-process.h"

struct FoundSources {
        Manager *manager;
        Job *job; /* not owned: it owns this. NULL: it is gone, and a process that hangs has outlived it */
        PoolType type;
        bool as_xml;
        unsigned *counted; /* in that one of the manager's counts; NULL: in none */
        bool over;         /* the job was told */
        bool answered;
        WorkerProcess *worker;
        sd_bus_error outcome;
        Candidate *candidates;
        size_t n_candidates;
};

static void count(FoundSources *f, unsigned *counter)
{
        if (f->counted)
                (*f->counted)--;
        f->counted = counter;
        if (counter)
                (*counter)++;
}

static void found_sources_free(void *p)
{
        FoundSources *f = p;

        for (size_t i = 0; i < f->n_candidates; i++)
                candidate_done(f->candidates + i);
        f->n_candidates = 0;
        /* A process that hangs is followed until it is gone, and counted. */
        if (f->worker && f->over) {
                f->job = NULL;
                worker_process_kill(f->worker);
                return;
        }
        worker_process_free(f->worker);
        count(f, NULL);
        free(f->candidates);
        sd_bus_error_free(&f->outcome);
        free(f);
}

static void finish(FoundSources *f, const sd_bus_error *error)
{
        if (f->over)
                return;
        f->over = true;
        f->job->cancel = NULL;
        job_finish(f->job, error);
}

/* Each candidate's owner, if a pool is one: its devices may be spelt otherwise there. */
static int annotate(Candidate *c, PoolType type, const DeviceClaims *claims, Manager *m)
{
        const Pool *pool = NULL;
        char *const *device;
        char *why = NULL;

        if (type == POOL_LOGICAL && c->name)
                pool = pool_conflict_find_group(m, c->name);
        STRV_FOREACH (device, c->devices) {
                if (!pool)
                        pool = device_claims_find(claims, *device, NULL);
        }
        if (!pool)
                return 0;
        if (free_and_strdup(&c->used_by_pool, pool->def->name) < 0)
                return -ENOMEM;
        if (c->unsuitable)
                return 0;
        if (asprintf(&why, "pool '%s' uses it", pool->def->name) < 0)
                return -ENOMEM;
        c->unsuitable = why;
        return 0;
}

static int read_candidates(FoundSources *f, sd_bus_message *reply)
{
        _cleanup_(device_claims_freep) DeviceClaims *claims = NULL;
        Manager *m = f->manager;
        Candidate c = {0};
        int r;

        r = device_claims_new(m, NULL, &claims);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "a{sv}");
        while (r >= 0 && (r = candidate_read(reply, &c)) > 0) {
                Candidate *grown = reallocarray(f->candidates, f->n_candidates + 1, sizeof(Candidate));

                if (!grown) {
                        candidate_done(&c);
                        return -ENOMEM;
                }
                f->candidates = grown;
                grown[f->n_candidates++] = c;
                r = annotate(&grown[f->n_candidates - 1], f->type, claims, m);
        }
        return r;
}

static void on_reply(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
        FoundSources *f = userdata;
        int r;

        if (error)
                (void) sd_bus_error_copy(&f->outcome, error);
        else {
                r = read_candidates(f, reply);
                f->answered = r >= 0;
                if (r < 0)
                        (void) error_set_errno(&f->outcome, r, "Cannot read what was found");
        }
        worker_process_kill(f->worker);
}

static void on_gone(WorkerProcess *w, void *userdata)
{
        FoundSources *f = userdata;

        f->worker = worker_process_free(f->worker);
        count(f, NULL);
        if (!f->job)
                found_sources_free(f);
        else
                finish(f, sd_bus_error_is_set(&f->outcome) ? &f->outcome : NULL);
}

/* Whoever waits is told now; the process goes when the kernel lets go of it. */
static void on_stuck(WorkerProcess *w, const sd_bus_error *error, void *userdata)
{
        FoundSources *f = userdata;

        count(f, &f->manager->n_finding_hung);
        if (sd_bus_error_is_set(&f->outcome))
                error = &f->outcome;
        /* One device does not answer: what it could tell of the others was told. */
        finish(f, f->answered ? NULL : error);
}

static void cancel(Job *job)
{
        FoundSources *f = job->data;

        if (f->worker)
                worker_process_cancel(f->worker);
}

static int start(FoundSources *f, const PoolDef *source, sd_bus_error *error)
{
        const WorkerHooks hooks = {.stuck = on_stuck, .gone = on_gone, .userdata = f};
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *xml = NULL;
        Manager *manager = f->manager;
        int r;

        r = pool_source_format_xml(source, &xml);
        if (r >= 0)
                r = worker_process_new(manager->event, manager->options.worker_path, "pool",
                                       "the search for sources of pools", &hooks, &f->worker, error);
        if (r >= 0)
                r = worker_process_new_call(f->worker, "FindSources", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", pool_type_to_string(f->type), xml);
        if (r >= 0)
                r = worker_process_call(f->worker, m, manager->options.verb_timeout, on_reply, f);
        return r;
}

static int check(const Manager *m, PoolType type, sd_bus_error *error)
{
        const TypeAbility *ability = &m->abilities[type];

        if (!ability->available || !strv_contains(ability->operations, "find-sources"))
                return error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                  "For pools of type %s this service cannot look for sources",
                                  pool_type_to_string(type));
        if (m->n_finding >= FINDING_MAX)
                return error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                  "%u searches for sources are under way already: wait for one to end",
                                  m->n_finding);
        if (m->n_finding_hung >= FINDING_HUNG_MAX)
                return error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                  "%u searches for sources hang in devices that do not answer: repair or "
                                  "remove these",
                                  m->n_finding_hung);
        return 0;
}

int find_sources(Manager *m, const PoolDef *source, bool as_xml, uid_t uid, Job **ret, sd_bus_error *error)
{
        _cleanup_bus_error_free_ sd_bus_error failed = SD_BUS_ERROR_NULL;
        FoundSources *f;
        int r;

        r = check(m, source->type, error);
        if (r < 0)
                return r;
        f = calloc(1, sizeof *f);
        if (!f)
                return -ENOMEM;
        r = job_new(m, NULL, "find-sources", uid, NULL, &f->job, error);
        if (r < 0) {
                free(f);
                return r;
        }
        f->manager = m;
        count(f, &m->n_finding);
        f->type = source->type;
        f->as_xml = as_xml;
        f->job->data = f;
        f->job->free_data = found_sources_free;
        f->job->cancel = cancel;
        f->job->cancelable = true;
        *ret = job_ref(f->job);
        job_set_running(f->job);
        r = start(f, source, &failed);
        if (r >= 0)
                return 0;
        if (!sd_bus_error_is_set(&failed))
                (void) error_set_errno(&failed, r, "Cannot look for sources");
        finish(f, &failed);
        return 0;
}

const FoundSources *job_found_sources(const Job *job)
{
        return job->free_data == found_sources_free ? job->data : NULL;
}

bool found_sources_as_xml(const FoundSources *f)
{
        return f->as_xml;
}

int found_sources_append(const FoundSources *f, sd_bus_message *m)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && f->job->state == JOB_SUCCEEDED && i < f->n_candidates; i++)
                r = candidate_append(f->candidates + i, m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* libvirt's form has no place for a reason, so only what can be used is in it; and a volume group has a
 * name. */
static bool is_for_xml(const FoundSources *f, const Candidate *c)
{
        return f->type == POOL_LOGICAL ? c->name != NULL : !c->unsuitable;
}

static int to_source(const FoundSources *f, const Candidate *c, PoolDef **ret)
{
        _cleanup_(pool_def_freep) PoolDef *def = pool_def_new(f->type);
        size_t n = strv_length(c->devices);
        int r;

        if (!def)
                return -ENOMEM;
        r = free_and_strdup(&def->source.name, c->name);
        if (r >= 0)
                r = free_and_strdup(&def->source.format, c->format);
        def->source.devices = r < 0 || n == 0 ? NULL : calloc(n, sizeof(PoolDevice));
        if (r < 0 || (n > 0 && !def->source.devices))
                return -ENOMEM;
        for (; def->source.n_devices < n; def->source.n_devices++) {
                PoolDevice *d = def->source.devices + def->source.n_devices;

                d->path = strdup(c->devices[def->source.n_devices]);
                if (!d->path)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(def);
        return 0;
}

int found_sources_format_xml(const FoundSources *f, char **ret)
{
        PoolDef **sources = calloc(f->n_candidates + 1, sizeof(PoolDef *));
        size_t n = 0;
        int r = sources ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && f->job->state == JOB_SUCCEEDED && i < f->n_candidates; i++) {
                if (!is_for_xml(f, f->candidates + i))
                        continue;
                r = to_source(f, f->candidates + i, sources + n);
                n += r >= 0;
        }
        if (r >= 0)
                r = pool_sources_format_xml(sources, n, ret);
        for (size_t i = 0; i < n; i++)
                pool_def_free(sources[i]);
        free(sources);
        return r;
}

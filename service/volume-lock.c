/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-lock.h"

#include "service/pool.h"

void volume_locks_done(VolumeLocks *l)
{
        for (size_t i = 0; i < l->n; i++) {
                pool_unref(l->items[i].pool);
                free(l->items[i].name);
        }
        free(l->items);
        *l = (VolumeLocks){};
}

int volume_locks_add(VolumeLocks *l, Pool *pool, const char *name, bool shared)
{
        VolumeLock *items = reallocarray(l->items, l->n + 1, sizeof *items);

        if (!items)
                return -ENOMEM;
        l->items = items;
        items[l->n] = (VolumeLock){.name = strdup(name), .shared = shared};
        if (!items[l->n].name)
                return -ENOMEM;
        items[l->n++].pool = pool_ref(pool);
        return 0;
}

int volume_locks_add_chain(VolumeLocks *l, const Volume *v)
{
        const Volume *backing = volume_backing(v);

        for (unsigned i = 0; backing && backing != v && i < CHAIN_MAX; i++) {
                int r = volume_locks_add(l, backing->pool, backing->row.name, true);

                if (r < 0)
                        return r;
                backing = volume_backing(backing);
        }
        return 0;
}

static bool conflict(const VolumeLock *a, const VolumeLock *b)
{
        return a->pool == b->pool && !(a->shared && b->shared) && streq(a->name, b->name);
}

static int check_against(const VolumeLocks *l, const Job *job, sd_bus_error *error)
{
        for (size_t i = 0; i < l->n; i++) {
                const VolumeLock *wanted = &l->items[i];

                for (size_t k = 0; k < job->locks.n; k++) {
                        if (!conflict(wanted, &job->locks.items[k]))
                                continue;
                        return error_setf(error, STORAGE_ERROR_BUSY,
                                          "Volume '%s' of pool '%s' is busy: job %lu (%s%s%s) works on it",
                                          wanted->name, wanted->pool->def->name, (unsigned long) job->id,
                                          job->operation, job->volume_name ? " of " : "",
                                          strempty(job->volume_name));
                }
        }
        return 0;
}

int volume_locks_check(const VolumeLocks *l, Manager *m, uid_t uid, sd_bus_error *error)
{
        size_t all = l->n, of_user = l->n;
        Job *job;

        TAILQ_FOREACH (job, &m->jobs, entry) {
                int r = job_is_over(job) ? 0 : check_against(l, job, error);

                if (r < 0)
                        return r;
                all += job_is_over(job) ? 0 : job->locks.n;
                of_user += job_is_over(job) || job->uid != uid ? 0 : job->locks.n;
        }
        if (uid == UINT32_MAX || (all <= LOCKS_MAX && of_user <= LOCKS_PER_USER_MAX))
                return 0;
        return error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                          "Too many volumes are worked on at a time, with all that they are built on: wait "
                          "for some of your jobs to end");
}

bool volume_locks_have_pool(const VolumeLocks *l, const Pool *pool)
{
        for (size_t i = 0; i < l->n; i++) {
                if (l->items[i].pool == pool)
                        return true;
        }
        return false;
}

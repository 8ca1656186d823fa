/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/unfinished.h"

#include "service/data-job.h"
#include "service/store.h"

struct Unfinished {
        TAILQ_ENTRY(Unfinished) entry;
        uint64_t id;
        char pool_uuid[37];
        char *volume, *token, *intent;
        bool asked;
};

static void entry_free(Unfinished *u)
{
        free(u->volume);
        free(u->token);
        free(u->intent);
        free(u);
}

bool unfinished_is_needed_for(PoolType type)
{
        return type == POOL_DISK;
}

bool unfinished_needed(const Pool *pool)
{
        return unfinished_is_needed_for(pool->def->type);
}

int unfinished_add(Manager *m, const char *pool_uuid, const char *volume, const char *token,
                   const char *intent)
{
        Unfinished *u;

        if (m->n_unfinished >= UNFINISHED_MAX)
                return -EDQUOT;
        u = calloc(1, sizeof *u);
        if (!u)
                return -ENOMEM;
        *u = (Unfinished){
                .id = ++m->last_unfinished,
                .volume = strdup(volume),
                .token = strdup(token),
                .intent = strdup(intent),
        };
        (void) snprintf(u->pool_uuid, sizeof u->pool_uuid, "%s", pool_uuid);
        if (!u->volume || !u->token || !u->intent) {
                entry_free(u);
                return -ENOMEM;
        }
        TAILQ_INSERT_TAIL(&m->unfinished, u, entry);
        m->n_unfinished++;
        return 0;
}

static bool is_of(const Unfinished *u, const Pool *pool)
{
        return streq(u->pool_uuid, pool->def->uuid);
}

bool unfinished_is(const Pool *pool, const char *volume)
{
        Unfinished *u;
        Job *job;

        if (!unfinished_needed(pool))
                return false;
        TAILQ_FOREACH (u, &pool->manager->unfinished, entry) {
                if (is_of(u, pool) && streq(u->volume, volume))
                        return true;
        }
        TAILQ_FOREACH (job, &pool->jobs, pool_entry) {
                if (data_job_is_making(job) && streq(job->volume_name, volume))
                        return true;
        }
        return false;
}

Unfinished *unfinished_next(const Pool *pool)
{
        Unfinished *u;

        TAILQ_FOREACH (u, &pool->manager->unfinished, entry) {
                if (!u->asked && is_of(u, pool))
                        return u;
        }
        return NULL;
}

uint64_t unfinished_id(const Unfinished *u)
{
        return u->id;
}

const char *unfinished_token(const Unfinished *u)
{
        return u->token;
}

void unfinished_set_asked(Unfinished *u)
{
        u->asked = true;
}

void unfinished_asked_all(const Pool *pool)
{
        Unfinished *u;

        TAILQ_FOREACH (u, &pool->manager->unfinished, entry) {
                if (is_of(u, pool))
                        u->asked = false;
        }
}

Unfinished *unfinished_find(const Manager *m, uint64_t id)
{
        Unfinished *u;

        TAILQ_FOREACH (u, &m->unfinished, entry) {
                if (u->id == id)
                        return u;
        }
        return NULL;
}

void unfinished_remove(Manager *m, Unfinished *u)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;

        if (store_change_remove(m, &list, STORE_INTENT, u->intent) >= 0)
                (void) store_apply(m->store, TAKE_PTR(list), NULL, NULL);
        TAILQ_REMOVE(&m->unfinished, u, entry);
        m->n_unfinished--;
        entry_free(u);
}

void unfinished_free_all(Manager *m)
{
        Unfinished *u, *next;

        TAILQ_FOREACH_SAFE (u, &m->unfinished, entry, next) {
                TAILQ_REMOVE(&m->unfinished, u, entry);
                entry_free(u);
        }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/pool.h"

#include <malloc.h>

#include "service/pool-worker.h"
#include "service/volume-snapshot.h"

/* Signals of one pool's volumes a slice; then the loop turns to others. About a millisecond's work. */
#define SLICE_SIGNALS 32U
#define SIGNAL_WINDOW_USEC (1 * USEC_PER_SEC)
#define LISTING_RETRY_USEC (10 * USEC_PER_MSEC)

static const char *const pool_state_names[] = {
        [POOL_INACTIVE] = "inactive",
        [POOL_STARTING] = "starting",
        [POOL_ACTIVE] = "active",
        [POOL_STOPPING] = "stopping",
};

const char *pool_state_to_string(PoolState s)
{
        return pool_state_names[s];
}

int pool_new(Manager *m, PoolDef *def, Pool **ret)
{
        _cleanup_(pool_unrefp) Pool *pool = NULL;
        Pool *other;

        pool = calloc(1, sizeof *pool);
        if (!pool)
                return -ENOMEM;
        pool->n_ref = 1;
        pool->manager = m;
        pool->health = "unknown";
        pool->permissions = PERMISSIONS_UNSET;
        RB_INIT(&pool->volumes);
        TAILQ_INIT(&pool->dirty);
        TAILQ_INIT(&pool->removed);
        TAILQ_INIT(&pool->queue);
        TAILQ_INIT(&pool->jobs);
        pool->object_id = strdup(def->uuid);
        if (!pool->object_id)
                return -ENOMEM;
        for (char *c = pool->object_id; *c; c++) {
                if (*c == '-')
                        *c = '_';
        }
        pool->def = def;
        TAILQ_FOREACH (other, &m->pools, entry) {
                if (strcmp(other->def->name, def->name) > 0)
                        break;
        }
        if (other)
                TAILQ_INSERT_BEFORE(other, pool, entry);
        else
                TAILQ_INSERT_TAIL(&m->pools, pool, entry);
        m->n_pools++;
        *ret = TAKE_PTR(pool);
        return 0;
}

Pool *pool_ref(Pool *pool)
{
        if (pool)
                pool->n_ref++;
        return pool;
}

static void free_problems(Pool *pool)
{
        pool->problem_codes = strv_free(pool->problem_codes);
        pool->problem_texts = strv_free(pool->problem_texts);
}

static void drop_pending(Pool *pool)
{
        RemovedVolume *removed;
        Volume *v;

        while ((removed = TAILQ_FIRST(&pool->removed))) {
                TAILQ_REMOVE(&pool->removed, removed, entry);
                free(removed);
        }
        while ((v = TAILQ_FIRST(&pool->dirty))) {
                TAILQ_REMOVE(&pool->dirty, v, dirty);
                v->changes = 0;
        }
        pool->n_dirty = 0;
}

static void pool_unlink(Pool *pool)
{
        if (pool->gone)
                return;
        pool->gone = true;
        TAILQ_REMOVE(&pool->manager->pools, pool, entry);
        pool->manager->n_pools--;
        pool->retry = sd_event_source_disable_unref(pool->retry);
        pool_worker_end(pool);
        volumes_clear(pool);
        drop_pending(pool);
}

Pool *pool_unref(Pool *pool)
{
        if (!pool || --pool->n_ref > 0)
                return NULL;
        if (pool->def)
                pool_unlink(pool);
        sd_event_source_disable_unref(pool->worker_timer);
        pool_def_free(pool->def);
        pool_def_free(pool->pending);
        free_problems(pool);
        pool_details_done(&pool->details);
        free(pool->object_id);
        free(pool);
        return NULL;
}

const PoolDef *pool_next_def(const Pool *pool)
{
        return pool->pending ? pool->pending : pool->def;
}

void pool_set_def(Pool *pool, PoolDef *def)
{
        if (!pool->def->raid.level != !def->raid.level)
                pool_changed(pool, POOL_CHANGE_ARRAY);
        pool_def_free(pool->def);
        pool->def = def;
        pool_worker_forget_def(pool);
        pool_changed(pool, POOL_CHANGE_DEFINITION);
}

void pool_announce(Pool *pool)
{
        pool->announced = true;
        pool->changes = 0;
        pool->manager->hooks->pool_added(pool);
}

void pool_remove(Pool *pool)
{
        bool announced = pool->announced;

        pool_unlink(pool);
        pool->announced = false;
        if (announced)
                pool->manager->hooks->pool_removed(pool);
        pool_unref(pool);
}

void pool_changed(Pool *pool, unsigned changes)
{
        pool->changes |= changes;
        manager_schedule_announce(pool->manager);
}

void pool_flush(Pool *pool)
{
        unsigned changes = pool->changes;

        pool->changes = 0;
        if (changes != 0 && pool->announced)
                pool->manager->hooks->pool_changed(pool, changes);
}

void pool_set_state(Pool *pool, PoolState state)
{
        if (pool->state == state)
                return;
        pool->state = state;
        pool_changed(pool, POOL_CHANGE_STATE);
        pool_flush(pool);
}

/* The words are few and known: pool->health points at one of these. */
static const char *health_intern(const char *s)
{
        static const char *const known[] = {"ok", "degraded", "inaccessible", "unknown"};

        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                if (streq(s, known[i]))
                        return known[i];
        }
        return "unknown";
}

void pool_set_problems(Pool *pool, const char *health, char **codes, char **texts)
{
        health = health_intern(health);
        if (health == pool->health && strv_equal(codes, pool->problem_codes) &&
            strv_equal(texts, pool->problem_texts)) {
                strv_free(codes);
                strv_free(texts);
                return;
        }
        free_problems(pool);
        pool->health = health;
        pool->problem_codes = codes;
        pool->problem_texts = texts;
        pool_changed(pool, POOL_CHANGE_HEALTH);
}

void pool_set_health(Pool *pool, const char *health, const char *code, const char *text)
{
        _cleanup_strv_free_ char **codes = NULL, **texts = NULL;

        if (code && (strv_extend(&codes, code) < 0 || strv_extend(&texts, text) < 0)) {
                codes = strv_free(codes);
                texts = strv_free(texts);
        }
        pool_set_problems(pool, health, TAKE_PTR(codes), TAKE_PTR(texts));
}

void pool_set_details(Pool *pool, PoolDetails *details)
{
        unsigned changes = pool_details_compare(&pool->details, details);

        pool_details_done(&pool->details);
        pool->details = *details;
        *details = (PoolDetails){0};
        if (changes & DETAILS_FILES)
                volume_snapshots_depend_on_pool(pool);
        if (changes & DETAILS_PATH)
                volumes_depend_on_real_path(pool);
        if (changes & DETAILS_LOGICAL)
                pool_changed(pool, POOL_CHANGE_LOGICAL);
        if (changes & DETAILS_DISK)
                pool_changed(pool, POOL_CHANGE_DISK);
        if (changes & DETAILS_RAID)
                pool_changed(pool, POOL_CHANGE_RAID);
}

static void finish_flushing(Pool *pool)
{
        Job *job;

        while ((job = pool->flushing) && pool->n_dirty == 0) {
                pool->flushing = job->next_flushing;
                job_finish(job, NULL);
                job_unref(job);
        }
}

void pool_finish_when_flushed(Pool *pool, Job *job)
{
        job->next_flushing = pool->flushing;
        pool->flushing = job_ref(job);
        if (pool->n_dirty == 0)
                finish_flushing(pool);
        else
                manager_schedule_announce(pool->manager);
}

void pool_flush_removed(Pool *pool, const char *name)
{
        RemovedVolume *removed;

        TAILQ_FOREACH (removed, &pool->removed, entry) {
                if (!streq(removed->name, name))
                        continue;
                TAILQ_REMOVE(&pool->removed, removed, entry);
                pool->n_dirty--;
                pool->manager->hooks->volume_removed(pool, removed);
                free(removed);
                return;
        }
}

static void send_reset(Pool *pool)
{
        drop_pending(pool);
        pool->reset_needed = false;
        /* What a large pool has needed lies in holes between what others have: the allocator keeps it if not
         * asked. */
        if (pool->n_volumes == 0)
                (void) malloc_trim(0);
        if (pool->announced)
                pool->manager->hooks->volumes_reset(pool);
}

/* One pending removal or change, oldest first. */
static void send_one(Pool *pool)
{
        RemovedVolume *removed = TAILQ_FIRST(&pool->removed);

        if (!removed) {
                volume_flush(TAILQ_FIRST(&pool->dirty));
                return;
        }
        TAILQ_REMOVE(&pool->removed, removed, entry);
        pool->n_dirty--;
        pool->manager->hooks->volume_removed(pool, removed);
        free(removed);
}

bool pool_announce_slice(Pool *pool, uint64_t *ret_delay)
{
        uint64_t now = now_monotonic();

        *ret_delay = LISTING_RETRY_USEC;
        /* How much a listing changes is known at its end, and so whether it is told one by one. */
        if (pool->current && streq(pool->current->verb, "Refresh"))
                return true;
        *ret_delay = 0;
        if (pool->reset_needed || pool->n_dirty > VOLUME_SIGNALS_MAX)
                send_reset(pool);
        if (now - pool->signals_since >= SIGNAL_WINDOW_USEC) {
                pool->signals_since = now;
                pool->signals_sent = 0;
        }
        /* A flood that comes in small portions is a flood too: held back, it becomes one VolumesReset. */
        if (pool->n_dirty > 0 && pool->signals_sent >= VOLUME_SIGNALS_MAX) {
                if (!pool->flushing) {
                        *ret_delay = pool->signals_since + SIGNAL_WINDOW_USEC - now;
                        return true;
                }
                send_reset(pool);
        }
        for (unsigned i = 0; i < SLICE_SIGNALS && pool->n_dirty > 0; i++) {
                send_one(pool);
                pool->signals_sent++;
        }
        if (pool->n_dirty > 0)
                return true;
        pool_flush(pool);
        finish_flushing(pool);
        return false;
}

int pool_require_active(Pool *pool, const char *verb, sd_bus_error *error)
{
        if (pool->state == POOL_ACTIVE)
                return 0;
        return error_setf(error, STORAGE_ERROR_NOT_ACTIVE,
                          "Pool '%s' cannot be %s: it is %s; start it first", pool->def->name, verb,
                          pool_state_to_string(pool->state));
}

int pool_require_inactive(Pool *pool, const char *verb, sd_bus_error *error)
{
        if (pool->state == POOL_INACTIVE)
                return 0;
        return error_setf(error, STORAGE_ERROR_ACTIVE, "Pool '%s' cannot be %s: it is %s; stop it first",
                          pool->def->name, verb, pool_state_to_string(pool->state));
}

int pool_require_no_jobs(Pool *pool, const Job *except, const char *verb, sd_bus_error *error)
{
        char names[512] = "";
        size_t n = 0;
        Job *job;

        TAILQ_FOREACH (job, &pool->manager->jobs, entry) {
                if (job == except || job_is_over(job) || n >= sizeof names - 1 ||
                    (job->pool != pool && !volume_locks_have_pool(&job->locks, pool)))
                        continue;
                n += (size_t) snprintf(names + n, sizeof names - n, "%s%s%s%s (job %lu)", n ? ", " : "",
                                       job->operation, job->volume_name ? " of " : "",
                                       strempty(job->volume_name), (unsigned long) job->id);
        }
        if (n == 0)
                return 0;
        return error_setf(error, STORAGE_ERROR_BUSY,
                          "Pool '%s' cannot be %s while these run in it: %s; wait for them or cancel them",
                          pool->def->name, verb, names);
}

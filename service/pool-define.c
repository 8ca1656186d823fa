/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/pool-define.h"

#include "service/pool-conflict.h"
#include "service/pool-lifecycle.h"
#include "service/pool-worker.h"
#include "service/store.h"

static const sd_bus_error no_memory = SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory");

/* What a definition under way keeps. */
typedef struct Define {
        DefineOptions options;
        PoolDef *def; /* update: what is to be in force */
        bool written; /* the definition may be on disk: a failure removes it */
} Define;

static void define_free(void *p)
{
        Define *d = p;

        pool_def_free(d->def);
        free(d);
}

static void finish(Job *job, const sd_bus_error *error)
{
        job_finish(job, error);
}

static int begin(Manager *m, Pool *pool, const char *operation, const DefineOptions *options, uid_t uid,
                 Job **ret, sd_bus_error *error)
{
        Define *d;
        int r;

        d = calloc(1, sizeof *d);
        if (!d)
                return -ENOMEM;
        if (options)
                d->options = *options;
        r = job_new(m, pool, operation, uid, NULL, ret, error);
        if (r < 0) {
                free(d);
                return r;
        }
        (*ret)->data = d;
        (*ret)->free_data = define_free;
        (*ret)->next = finish;
        job_ref(*ret);
        job_set_running(*ret);
        return 0;
}

static int check_new(Manager *m, PoolDef *def, const DefineOptions *options, sd_bus_error *error)
{
        char uuid[37];

        if (!m->abilities[def->type].available)
                return sd_bus_error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                         "Pools of type '%s' are not supported by this service",
                                         pool_type_to_string(def->type));
        if (options->transient && options->autostart)
                return sd_bus_error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                         "Pool '%s' cannot be both transient and started automatically",
                                         def->name);
        if (m->n_pools >= POOLS_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "There are %u pools already",
                                         m->n_pools);
        if (!options->transient && strv_contains(m->unreadable, def->name))
                return sd_bus_error_setf(
                        error, STORAGE_ERROR_EXISTS,
                        "There is a definition of pool '%s' in %s/pools/%s.xml that could not be "
                        "read: repair or remove that file, then restart the service",
                        def->name, m->options.config_dir, def->name);
        if (def->uuid)
                return 0;
        uuid_generate(uuid);
        return free_and_strdup(&def->uuid, uuid);
}

static int change_persist(Pool *pool, const PoolDef *def, bool autostart, StoreChange **list)
{
        _cleanup_free_ char *xml = NULL;
        Manager *m = pool->manager;
        int r;

        r = pool_def_format_xml(def, NULL, &xml);
        if (r >= 0)
                r = store_change_write(m, list, STORE_POOL, def->name, xml);
        if (r >= 0 && autostart)
                r = store_change_link(m, list, def->name);
        return r;
}

static int change_forget(Pool *pool, StoreChange **list)
{
        Manager *m = pool->manager;
        int r;

        r = store_change_remove(m, list, STORE_AUTOSTART, pool->def->name);
        if (r >= 0)
                r = store_change_remove(m, list, STORE_POOL, pool->def->name);
        if (r >= 0)
                r = store_change_remove(m, list, STORE_AUTOSTARTED, pool->def->uuid);
        return r;
}

static int apply(Job *job, StoreChange **list, int r, StoreDone done)
{
        if (r >= 0)
                r = store_apply(job->manager->store, TAKE_PTR(*list), done, job);
        return r;
}

/* define: build, start, write down, announce; a failure undoes what was done before it */

static void define_forgotten(const sd_bus_error *ignored, void *userdata)
{
        Job *job = userdata;
        _cleanup_bus_error_free_ sd_bus_error first = job->error;

        job->error = SD_BUS_ERROR_NULL;
        pool_remove(job->pool);
        job_finish(job, &first);
}

/* Only files that this definition may have written: one that could not be read at the start is not ours. */
static void define_forget(Job *job, const sd_bus_error *ignored)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        Define *d = job->data;
        int r = 0;

        if (d->written)
                r = change_forget(job->pool, &list);
        r = apply(job, &list, r, define_forgotten);
        if (r < 0)
                define_forgotten(NULL, job);
}

/* The storage goes only if it was made for this definition: what was there before is somebody's. */
static void define_unbuild(Job *job, const sd_bus_error *ignored)
{
        job->next = define_forget;
        if (job->built)
                pool_delete_steps(job);
        else
                define_forget(job, NULL);
}

static void define_failed(Job *job, const sd_bus_error *error)
{
        (void) sd_bus_error_copy(&job->error, error);
        job->next = define_unbuild;
        if (pool_is_active(job->pool))
                pool_stop_steps(job, true);
        else
                define_unbuild(job, NULL);
}

static void define_written(const sd_bus_error *error, void *userdata)
{
        Job *job = userdata;
        Define *d = job->data;
        Pool *pool = job->pool;

        if (error) {
                define_failed(job, error);
                return;
        }
        pool->persistent = !d->options.transient;
        pool->autostart = d->options.autostart;
        job->result_is_pool = true;
        pool_announce(pool);
        job_finish(job, NULL);
}

static void define_started(Job *job, const sd_bus_error *error)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        Define *d = job->data;
        int r = 0;

        if (error) {
                define_failed(job, error);
                return;
        }
        d->written = !d->options.transient;
        if (d->written)
                r = change_persist(job->pool, job->pool->def, d->options.autostart, &list);
        r = apply(job, &list, r, define_written);
        if (r < 0)
                define_failed(job, &no_memory);
}

static void define_built(Job *job, const sd_bus_error *error)
{
        Define *d = job->data;

        if (error || !d->options.start) {
                define_started(job, error);
                return;
        }
        job->next = define_started;
        pool_start_steps(job);
}

static void define_begin(Job *job)
{
        Define *d = job->data;

        if (!d->options.build) {
                define_built(job, NULL);
                return;
        }
        job->next = define_built;
        pool_build_steps(job, d->options.overwrite);
}

int pool_define(Manager *m, PoolDef *def_arg, const DefineOptions *options_arg, uid_t uid, Job **ret,
                sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *def = def_arg;
        DefineOptions options = *options_arg;
        Pool *pool = NULL;
        int r;

        /* A pool that lives until it is stopped must first be started. */
        options.start |= options.transient;
        r = check_new(m, def, &options, error);
        if (r >= 0)
                r = pool_conflict_check(m, def, NULL, true, error);
        if (r >= 0 && !options.dry_run) {
                r = pool_new(m, def, &pool);
                if (r >= 0)
                        def = NULL;
        }
        if (r >= 0)
                r = begin(m, pool, "define-pool", &options, uid, ret, error);
        if (r < 0) {
                pool_unref(pool);
                return r;
        }
        if (options.dry_run)
                job_finish(*ret, NULL);
        else
                define_begin(*ret);
        return 0;
}

/* update */

static void update_apply(Pool *pool, PoolDef *def)
{
        pool->persistent = true;
        if (pool->state == POOL_INACTIVE) {
                pool->pending = pool_def_free(pool->pending);
                pool_set_def(pool, def);
        } else {
                pool_def_free(pool->pending);
                pool->pending = def;
        }
        pool_changed(pool, POOL_CHANGE_DEFINITION);
        pool_flush(pool);
}

static void update_written(const sd_bus_error *error, void *userdata)
{
        Job *job = userdata;
        Define *d = job->data;

        if (!error)
                update_apply(job->pool, TAKE_PTR(d->def));
        job->next(job, error);
}

/* A new definition must be of the same pool, and may claim nothing that another one has. */
static int check_update(Pool *pool, PoolDef *def, sd_bus_error *error)
{
        if (!streq(def->name, pool->def->name) || (def->uuid && !streq(def->uuid, pool->def->uuid)))
                return sd_bus_error_setf(
                        error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "This definition is of pool '%s' (UUID %s), not of pool '%s' (UUID %s): "
                        "neither can be changed",
                        def->name, def->uuid ? def->uuid : "not given", pool->def->name, pool->def->uuid);
        if (def->type != pool->def->type)
                return sd_bus_error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                         "Pool '%s' is of type '%s' and cannot become one of type '%s'",
                                         pool->def->name, pool_type_to_string(pool->def->type),
                                         pool_type_to_string(def->type));
        if (!def->uuid && free_and_strdup(&def->uuid, pool->def->uuid) < 0)
                return -ENOMEM;
        return pool_conflict_check(pool->manager, def, pool, true, error);
}

/* Writes d->def down; job->next follows. */
static void update_steps(Job *job)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        Define *d = job->data;
        int r;

        r = change_persist(job->pool, d->def, false, &list);
        r = apply(job, &list, r, update_written);
        if (r < 0)
                job->next(job, &no_memory);
}

int pool_update(Pool *pool, PoolDef *def_arg, uid_t uid, Job **ret, sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *def = def_arg;
        int r;

        r = check_update(pool, def, error);
        /* One that is going away, or just ending its life as a transient one, would take the new definition
         * with it. */
        if (r >= 0 && !pool_is_active(pool))
                r = pool_require_no_jobs(pool, NULL, "updated", error);
        if (r >= 0)
                r = begin(pool->manager, pool, "update-pool", NULL, uid, ret, error);
        if (r < 0)
                return r;
        ((Define *) (*ret)->data)->def = TAKE_PTR(def);
        update_steps(*ret);
        return 0;
}

/* undefine */

static void undefine_written(const sd_bus_error *error, void *userdata)
{
        Job *job = userdata;

        if (!error)
                pool_remove(job->pool);
        job_finish(job, error);
}

int pool_undefine(Pool *pool, uid_t uid, Job **ret, sd_bus_error *error)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        int r;

        r = pool_require_inactive(pool, "undefined", error);
        if (r >= 0)
                r = pool_require_no_jobs(pool, NULL, "undefined", error);
        if (r >= 0)
                r = begin(pool->manager, pool, "undefine-pool", NULL, uid, ret, error);
        if (r < 0)
                return r;
        pool->retry = sd_event_source_disable_unref(pool->retry);
        r = change_forget(pool, &list);
        r = apply(*ret, &list, r, undefine_written);
        if (r < 0)
                job_finish(*ret, &no_memory);
        return 0;
}

/* autostart */

static void autostart_written(const sd_bus_error *error, void *userdata)
{
        Job *job = userdata;
        Define *d = job->data;

        if (!error) {
                job->pool->autostart = d->options.autostart;
                if (!d->options.autostart)
                        job->pool->retry = sd_event_source_disable_unref(job->pool->retry);
                pool_changed(job->pool, POOL_CHANGE_AUTOSTART);
                pool_flush(job->pool);
        }
        job->next(job, error);
}

static void autostart_steps(Job *job, bool autostart)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        Define *d = job->data;
        Pool *pool = job->pool;
        int r;

        d->options.autostart = autostart;
        if (autostart)
                r = store_change_link(pool->manager, &list, pool->def->name);
        else
                r = store_change_remove(pool->manager, &list, STORE_AUTOSTART, pool->def->name);
        /* One that runs already has had its start of this boot. */
        if (r >= 0 && autostart && pool_is_active(pool))
                r = store_change_write(pool->manager, &list, STORE_AUTOSTARTED, pool->def->uuid, "");
        r = apply(job, &list, r, autostart_written);
        if (r < 0)
                job->next(job, &no_memory);
}

int pool_set_autostart(Pool *pool, bool autostart, uid_t uid, Job **ret, sd_bus_error *error)
{
        int r;

        if (!pool->persistent && autostart)
                return sd_bus_error_setf(
                        error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "Pool '%s' is transient: it cannot be started automatically; define it first",
                        pool->def->name);
        /* It may be being undefined: nothing must be left of it then. */
        r = pool->state == POOL_INACTIVE ? pool_require_no_jobs(pool, NULL, "changed", error) : 0;
        if (r >= 0)
                r = begin(pool->manager, pool, "set-autostart", NULL, uid, ret, error);
        if (r < 0)
                return r;
        autostart_steps(*ret, autostart);
        return 0;
}

/* ensure: of a pool that exists, the next thing that is not as described */

static int note_change(Job *job, const char *change)
{
        return strv_extend(&job->changes, change);
}

static void ensure_next(Job *job, const sd_bus_error *error)
{
        Define *d = job->data;
        Pool *pool = job->pool;

        job->next = ensure_next;
        if (error)
                job_finish(job, error);
        else if (d->def && !pool_def_equal(d->def, pool_next_def(pool))) {
                (void) note_change(job, "updated");
                update_steps(job);
        } else if (d->options.autostart && !pool->autostart) {
                (void) note_change(job, "autostart");
                autostart_steps(job, true);
        } else if (d->options.start && pool->state == POOL_INACTIVE) {
                (void) note_change(job, "started");
                pool_start_steps(job);
        } else
                job_finish(job, NULL);
}

static int ensure_existing(Pool *pool, PoolDef *def_arg, const DefineOptions *options, uid_t uid, Job **ret,
                           sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *def = def_arg;
        int r;

        r = check_update(pool, def, error);
        if (r >= 0 && !pool_def_equal(def, pool_next_def(pool)) && !pool->persistent)
                r = sd_bus_error_setf(error, STORAGE_ERROR_ACTIVE,
                                      "Pool '%s' is transient and otherwise defined; stop it first",
                                      pool->def->name);
        if (r >= 0 && !pool->persistent && options->autostart)
                r = sd_bus_error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                      "Pool '%s' is transient: it cannot be started automatically",
                                      pool->def->name);
        if (r >= 0)
                r = pool_require_no_jobs(pool, NULL, "changed", error);
        if (r >= 0)
                r = begin(pool->manager, pool, "ensure-pool", options, uid, ret, error);
        if (r < 0)
                return r;
        (*ret)->result_is_pool = (*ret)->has_changes = true;
        if (options->dry_run) {
                job_finish(*ret, NULL);
                return 0;
        }
        ((Define *) (*ret)->data)->def = TAKE_PTR(def);
        ensure_next(*ret, NULL);
        return 0;
}

int pool_ensure(Manager *m, PoolDef *def, const DefineOptions *options, uid_t uid, Job **ret,
                sd_bus_error *error)
{
        Pool *pool = manager_find_by_name(m, def->name);
        int r;

        if (pool && pool->announced)
                return ensure_existing(pool, def, options, uid, ret, error);
        r = pool_define(m, def, options, uid, ret, error);
        if (r < 0)
                return r;
        (*ret)->has_changes = true;
        (void) note_change(*ret, "defined");
        if (options->build)
                (void) note_change(*ret, "built");
        if (options->start || options->transient)
                (void) note_change(*ret, "started");
        if (options->autostart)
                (void) note_change(*ret, "autostart");
        return 0;
}

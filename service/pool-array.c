/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/pool-array.h"

#include "common/pool-check.h"
#include "common/pool-raid.h"
#include "service/device-id.h"
#include "service/pool-conflict.h"
#include "service/pool-worker.h"
#include "service/store.h"

static const struct {
        const char *verb;      /* of the worker */
        const char *operation; /* of the job */
} changes[_ARRAY_CHANGE_MAX] = {
        [ARRAY_ADD] = {"add", "add-array-device"},
        [ARRAY_FAIL] = {"fail", "fail-array-device"},
        [ARRAY_REMOVE] = {"remove", "remove-array-device"},
};

typedef struct Change {
        ArrayChange change;
        PoolDef *def, *pending;             /* what will be in force; pending may be NULL */
        const PoolDef *of_def, *of_pending; /* what these were made of: compared, never looked into */
        char device[];
} Change;

static void change_free(void *p)
{
        Change *c = p;

        pool_def_free(c->def);
        pool_def_free(c->pending);
        free(c);
}

static size_t find_member(const PoolRaid *raid, const char *device)
{
        for (size_t i = 0; i < raid->n_members; i++) {
                if (device_id_same(raid->members[i].path, device))
                        return i;
        }
        return SIZE_MAX;
}

/* A member of the definition that the array has not, as it was last seen. */
static size_t find_missing(const PoolRaid *raid, const PoolDetails *seen)
{
        for (size_t i = 0; seen->raid_level && i < raid->n_members; i++) {
                bool there = false;

                for (size_t j = 0; j < seen->n_raid_members && !there; j++)
                        there = !streq(seen->raid_members[j].state, "missing") &&
                                device_id_same(raid->members[i].path, seen->raid_members[j].path);
                if (!there)
                        return i;
        }
        return SIZE_MAX;
}

/* The new device stands in for one that is missing; if none is, it is a spare. */
static int follow_add(PoolRaid *raid, const char *device, const PoolDetails *seen)
{
        size_t i;
        int r;

        if (find_member(raid, device) != SIZE_MAX)
                return 0;
        i = find_missing(raid, seen);
        if (i != SIZE_MAX)
                return free_and_strdup(&raid->members[i].path, device);
        r = pool_raid_add_member(raid, device, NULL);
        if (r >= 0)
                raid->spares++;
        return r;
}

/* Without spares the definition keeps the place of what is gone: the array lacks it. */
static void follow_remove(PoolRaid *raid, const char *device)
{
        size_t i = find_member(raid, device);

        if (i == SIZE_MAX || raid->spares == 0)
                return;
        free(raid->members[i].path);
        memmove(raid->members + i, raid->members + i + 1,
                (raid->n_members - i - 1) * sizeof(*raid->members));
        raid->n_members--;
        raid->spares--;
}

/* What def becomes by the change. */
static int follow(const PoolDef *def, const Change *c, const PoolDetails *seen, PoolDef **ret)
{
        _cleanup_(pool_def_freep) PoolDef *copy = NULL;
        int r;

        r = pool_def_copy(def, &copy);
        if (r < 0)
                return r;
        if (copy->raid.level && c->change == ARRAY_ADD)
                r = follow_add(&copy->raid, c->device, seen);
        else if (copy->raid.level && c->change == ARRAY_REMOVE)
                follow_remove(&copy->raid, c->device);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

static int write_definition(Job *job);

static void finish(Job *job, int r)
{
        _cleanup_bus_error_free_ sd_bus_error failed = SD_BUS_ERROR_NULL;

        (void) error_set_errno(&failed, r, "The array was changed, but not the definition of pool '%s'",
                               job->pool->def->name);
        job_finish(job, &failed);
}

/* It was changed, whatever became of the look at it. */
static void refreshed(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        job_finish(op->job, NULL);
}

static void written(const sd_bus_error *error, void *userdata)
{
        Job *job = userdata;
        Pool *pool = job->pool;
        Change *c = job->data;
        int r;

        /* Meanwhile an update, or another change of the array, was written down: that has to follow too. */
        if (!error && (pool->def != c->of_def || pool->pending != c->of_pending)) {
                r = write_definition(job);
                if (r < 0)
                        finish(job, r);
                return;
        }
        if (!error) {
                pool_set_def(pool, TAKE_PTR(c->def));
                pool_def_free(pool->pending);
                pool->pending = TAKE_PTR(c->pending);
                pool_flush(pool);
                /* What is missing, and what the devices are called, is told by the new definition. */
                if (pool_worker_call(pool, job, "Refresh", NULL, refreshed, 0, NULL) >= 0)
                        return;
        }
        job_finish(job, error);
}

static int add_write(const Manager *m, StoreChange **list, StoreFile file, const PoolDef *def)
{
        _cleanup_free_ char *xml = NULL;
        int r;

        r = pool_def_format_xml(def, NULL, &xml);
        return r < 0 ? r : store_change_write(m, list, file, def->name, xml);
}

static int write_definition(Job *job)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        Pool *pool = job->pool;
        Manager *m = pool->manager;
        Change *c = job->data;
        int r;

        c->def = pool_def_free(c->def);
        c->pending = pool_def_free(c->pending);
        c->of_def = pool->def;
        c->of_pending = pool->pending;
        r = follow(pool->def, c, &pool->details, &c->def);
        if (r >= 0 && pool->pending)
                r = follow(pool->pending, c, &pool->details, &c->pending);
        if (r >= 0)
                r = add_write(m, &list, STORE_ACTIVE, c->def);
        if (r >= 0 && pool->persistent)
                r = add_write(m, &list, STORE_POOL, c->pending ? c->pending : c->def);
        return r < 0 ? r : store_apply(m->store, TAKE_PTR(list), written, job);
}

static void change_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        Change *c = op->job->data;
        int r;

        if (error || c->change == ARRAY_FAIL) {
                job_finish(op->job, error);
                return;
        }
        r = write_definition(op->job);
        if (r < 0)
                finish(op->job, r);
}

static int fill_change(Operation *op, sd_bus_message *m)
{
        const Change *c = op->job->data;

        return sd_bus_message_append(m, "ss", changes[c->change].verb, c->device);
}

static int check(Pool *pool, ArrayChange change, const char *device, sd_bus_error *error)
{
        const PoolDevice d = {.path = (char *) device};
        int r;

        r = pool_check_device(POOL_DISK, &d, error);
        if (r >= 0)
                r = pool_require_active(pool, "changed", error);
        if (r >= 0 && change == ARRAY_ADD)
                r = pool_conflict_check_device(pool->manager, device, pool, error);
        return r;
}

int pool_change_array(Pool *pool, uid_t uid, ArrayChange change, const char *device, Job **ret,
                      sd_bus_error *error)
{
        Change *c;
        int r;

        r = check(pool, change, device, error);
        if (r < 0)
                return r;
        c = calloc(1, sizeof(Change) + strlen(device) + 1);
        if (!c)
                return -ENOMEM;
        c->change = change;
        (void) strcpy(c->device, device);
        r = job_new(pool->manager, pool, changes[change].operation, uid, NULL, ret, error);
        if (r < 0) {
                change_free(c);
                return r;
        }
        (*ret)->data = c;
        (*ret)->free_data = change_free;
        job_ref(*ret);
        r = pool_worker_call(pool, *ret, "ChangeRaid", fill_change, change_done, 0, error);
        if (r < 0)
                job_finish(*ret, error);
        return r;
}

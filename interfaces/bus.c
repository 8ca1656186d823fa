/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/bus.h"

#include "interfaces/paths.h"
#include "interfaces/pool-parts.h"
#include "interfaces/volumes-node.h"
#include "service/job.h"

static int find_pool(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                     sd_bus_error *error)
{
        return !!(*ret = pool_of_path(((Bus *) userdata)->manager, path));
}

static int find_job(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                    sd_bus_error *error)
{
        return !!(*ret = job_of_path(((Bus *) userdata)->manager, path));
}

static int append_node(char ***nodes, size_t *n, char *path)
{
        char **grown;

        grown = path ? reallocarray(*nodes, *n + 2, sizeof(char *)) : NULL;
        if (!grown) {
                free(path);
                return -ENOMEM;
        }
        grown[(*n)++] = path;
        grown[*n] = NULL;
        *nodes = grown;
        return 0;
}

static int enumerate_pools(sd_bus *bus, const char *prefix, void *userdata, char ***ret, sd_bus_error *error)
{
        _cleanup_strv_free_ char **nodes = NULL;
        size_t n = 0;
        Pool *pool;

        TAILQ_FOREACH (pool, &((Bus *) userdata)->manager->pools, entry) {
                if (pool->announced && append_node(&nodes, &n, path_of_pool(pool)) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(nodes);
        return 0;
}

static int enumerate_jobs(sd_bus *bus, const char *prefix, void *userdata, char ***ret, sd_bus_error *error)
{
        _cleanup_strv_free_ char **nodes = NULL;
        size_t n = 0;
        Job *job;

        TAILQ_FOREACH (job, &((Bus *) userdata)->manager->jobs, entry) {
                if (job->published && append_node(&nodes, &n, path_of_job(job)) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(nodes);
        return 0;
}

/*
 * Sees every message first: learns who calls, so that the service stays while its clients are connected, and
 * makes calls about volumes wait while a pool's contents are not known yet.
 */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Bus *b = userdata;
        const char *path;
        Pool *pool;
        uid_t uid;
        uint8_t type;
        int r;

        if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
                return 0;
        hold_take_up(b, m);
        r = policy_caller(b->policy, m, &uid, &error);
        if (r == 0)
                return 1;
        path = sd_bus_message_get_path(m);
        pool = path ? pool_of_volumes_path(b->manager, path) : NULL;
        if (r > 0 && pool)
                r = hold_until_scanned(b, pool, m, &error);
        if (r == 0)
                return 1;
        if (r > 0)
                return 0;
        if (sd_bus_error_is_set(&error))
                (void) sd_bus_reply_method_error(m, &error);
        else
                (void) sd_bus_reply_method_errno(m, r, NULL);
        return 1;
}

static int add_pools(Bus *b)
{
        int r;

        r = sd_bus_add_fallback_vtable(b->bus, NULL, BUS_POOLS, POOL_INTERFACE, pool_vtable, find_pool, b);
        for (const PoolPart *part = pool_parts; r >= 0 && part->interface; part++)
                r = sd_bus_add_fallback_vtable(b->bus, NULL, BUS_POOLS, part->interface, part->vtable,
                                               part->find, b);
        return r;
}

static int add_objects(Bus *b)
{
        int r;

        r = sd_bus_add_filter(b->bus, NULL, on_message, b);
        if (r >= 0)
                r = sd_bus_add_object_manager(b->bus, NULL, BUS_ROOT);
        if (r >= 0)
                r = add_pools(b);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(b->bus, NULL, BUS_JOBS, JOB_INTERFACE, job_vtable, find_job,
                                               b);
        if (r >= 0)
                r = sd_bus_add_object_vtable(b->bus, NULL, BUS_ROOT, MANAGER_INTERFACE, manager_vtable,
                                             b->manager);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(b->bus, NULL, BUS_POOLS, enumerate_pools, b);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(b->bus, NULL, BUS_JOBS, enumerate_jobs, b);
        return r;
}

static void on_policy_changed(void *userdata)
{
        Bus *b = userdata;

        b->check_idle(b->userdata);
}

int bus_new(Manager *m, sd_bus *bus, void (*check_idle)(void *userdata), void *userdata, Bus **ret)
{
        _cleanup_(bus_freep) Bus *b = NULL;
        int r;

        b = calloc(1, sizeof *b);
        if (!b)
                return -ENOMEM;
        b->manager = m;
        b->bus = sd_bus_ref(bus);
        b->check_idle = check_idle;
        b->userdata = userdata;
        TAILQ_INIT(&b->held);
        TAILQ_INIT(&b->pools);
        m->hooks = &bus_announce_hooks;
        m->hooks_userdata = b;
        r = policy_new(bus, m->options.session, on_policy_changed, b, &b->policy);
        if (r >= 0 && !m->options.session)
                r = inhibitor_new(bus, m->event, &b->inhibitor);
        if (r >= 0)
                r = add_objects(b);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

Bus *bus_free(Bus *b)
{
        PoolOnBus *node;

        if (!b)
                return NULL;
        hold_free(b);
        while ((node = TAILQ_FIRST(&b->pools)))
                volumes_node_free(b, node);
        inhibitor_free(b->inhibitor);
        policy_free(b->policy);
        sd_bus_unref(b->bus);
        free(b);
        return NULL;
}

bool bus_is_busy(const Bus *b)
{
        return policy_callers(b->policy) > 0 || policy_pending(b->policy) > 0 || b->n_held > 0;
}

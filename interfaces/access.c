/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/access.h"

#include <inttypes.h>

#include "service/volume-lock.h"

int access_check(Bus *b, sd_bus_message *m, const Access *a, uid_t *ret_uid, sd_bus_error *error)
{
        const char *details[13], *wish = sd_bus_message_get_member(m);
        char action[64], capacity[24];
        size_t n = 0;
        int r;

        (void) snprintf(action, sizeof action, POLICY_ACTION_PREFIX "%s", a->action);
        if (a->pool) {
                details[n++] = "pool";
                details[n++] = a->pool;
        }
        if (a->type) {
                details[n++] = "type";
                details[n++] = a->type;
        }
        if (a->volume) {
                details[n++] = "volume";
                details[n++] = a->volume;
        }
        if (a->capacity != UINT64_MAX) {
                (void) snprintf(capacity, sizeof capacity, "%" PRIu64, a->capacity);
                details[n++] = "capacity";
                details[n++] = capacity;
        }
        if (a->force) {
                details[n++] = "force";
                details[n++] = "true";
        }
        details[n++] = "wish";
        details[n++] = strempty(wish);
        details[n] = NULL;
        r = policy_check(b->policy, m, action, details, error);
        return r <= 0 ? r : policy_caller(b->policy, m, ret_uid, error);
}

int access_check_pool(Bus *b, sd_bus_message *m, const char *action, const Pool *pool, bool force,
                      uid_t *ret_uid, sd_bus_error *error)
{
        const Access a = {
                .action = action,
                .pool = pool->def->name,
                .type = pool_type_to_string(pool->def->type),
                .capacity = UINT64_MAX,
                .force = force,
        };

        return access_check(b, m, &a, ret_uid, error);
}

int access_check_volume(Bus *b, sd_bus_message *m, const char *action, const Volume *v, bool force,
                        uid_t *ret_uid, sd_bus_error *error)
{
        const Access a = {
                .action = action,
                .pool = v->pool->def->name,
                .type = pool_type_to_string(v->pool->def->type),
                .volume = v->row.name,
                .capacity = v->row.capacity,
                .force = force,
        };

        return access_check(b, m, &a, ret_uid, error);
}

int access_check_chain(Bus *b, sd_bus_message *m, const Volume *v, uid_t *ret_uid, sd_bus_error *error)
{
        const Volume *backing = volume_backing(v);
        int r = 1;

        /* In a circle that v is not part of, what is asked again was answered already. */
        for (unsigned i = 0; r > 0 && backing && backing != v && i < CHAIN_MAX; i++) {
                r = access_check_volume(b, m, "read-volume", backing, false, ret_uid, error);
                backing = volume_backing(backing);
        }
        return r;
}

int unsupported(const Pool *pool, const char *what, sd_bus_error *error)
{
        return sd_bus_error_setf(error, STORAGE_ERROR_UNSUPPORTED, "Pools of type '%s' do not support %s",
                                 pool_type_to_string(pool->def->type), what);
}

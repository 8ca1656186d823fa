/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/pool-methods.h"

#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/reply.h"
#include "service/pool-define.h"
#include "service/pool-lifecycle.h"

/* Options of the methods that take no other arguments; key: the one besides wait, or NULL. */
static int read_options(sd_bus_message *m, const char *key, bool *flag, uint64_t *wait, sd_bus_error *error)
{
        const Option options[] = {{"wait", 't', wait}, {key, 'b', flag}};

        *wait = WAIT_DEFAULT_USEC;
        *flag = false;
        return options_read(m, options, key ? 2 : 1, error);
}

typedef enum Lifecycle { BUILD, START, STOP, DELETE, REFRESH } Lifecycle;

static int begin(Lifecycle what, Pool *pool, uid_t uid, bool flag, Job **job, sd_bus_error *error)
{
        switch (what) {
        case BUILD:
                return pool_build(pool, uid, flag, job, error);
        case START:
                return pool_start(pool, uid, job, error);
        case STOP:
                return pool_stop(pool, uid, flag, job, error);
        case DELETE:
                return pool_delete(pool, uid, job, error);
        default:
                return pool_refresh(pool, uid, job, error);
        }
}

static int lifecycle(sd_bus_message *m, Pool *pool, Lifecycle what, const char *action, const char *key,
                     sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        Bus *b = bus_of(pool->manager);
        uint64_t wait;
        uid_t uid;
        bool flag;
        int r;

        r = hold_while_adopting(b, pool, m, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = read_options(m, key, &flag, &wait, error);
        if (r < 0)
                return r;
        r = access_check_pool(b, m, action, pool, flag, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = begin(what, pool, uid, flag, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_JOB, wait, error);
}

int pool_method_build(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return lifecycle(m, userdata, BUILD, "build-pool", "overwrite", error);
}

int pool_method_start(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return lifecycle(m, userdata, START, "start-pool", NULL, error);
}

int pool_method_stop(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return lifecycle(m, userdata, STOP, "stop-pool", "force", error);
}

int pool_method_delete(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return lifecycle(m, userdata, DELETE, "delete-pool", NULL, error);
}

int pool_method_refresh(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return lifecycle(m, userdata, REFRESH, "refresh-pool", NULL, error);
}

int pool_method_undefine(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        Pool *pool = userdata;
        Bus *b = bus_of(pool->manager);
        uid_t uid;
        int r;

        r = options_read(m, NULL, 0, error);
        if (r < 0)
                return r;
        r = access_check_pool(b, m, "define-pool", pool, false, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = pool_undefine(pool, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_EMPTY, WAIT_DEFAULT_USEC, error);
}

int pool_method_set_autostart(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        Pool *pool = userdata;
        Bus *b = bus_of(pool->manager);
        int autostart, r;
        uid_t uid;

        r = sd_bus_message_read(m, "b", &autostart);
        if (r >= 0)
                r = options_read(m, NULL, 0, error);
        if (r < 0)
                return r;
        r = access_check_pool(b, m, "define-pool", pool, false, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = pool_set_autostart(pool, autostart, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_EMPTY, WAIT_DEFAULT_USEC, error);
}

static int update(sd_bus_message *m, Pool *pool, bool xml, sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        _cleanup_(job_unrefp) Job *job = NULL;
        Bus *b = bus_of(pool->manager);
        const char *text;
        uid_t uid;
        int r;

        if (xml) {
                r = sd_bus_message_read(m, "s", &text);
                if (r >= 0)
                        r = pool_def_parse_xml(text, strlen(text), &def, error);
        } else
                r = pool_def_read_dict(m, pool->def->name, pool->def->type, &def, error);
        if (r >= 0)
                r = options_read(m, NULL, 0, error);
        if (r < 0)
                return r;
        r = access_check_pool(b, m, "define-pool", pool, false, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = pool_update(pool, TAKE_PTR(def), uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_EMPTY, WAIT_DEFAULT_USEC, error);
}

int pool_method_update(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return update(m, userdata, false, error);
}

int pool_method_update_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return update(m, userdata, true, error);
}

/* What an active pool is: its definition, with the permissions that its target path really has. */
static int format_active(const Pool *pool, char **ret)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        const Permissions *real = &pool->permissions;
        int r;

        r = pool_def_copy(pool->def, &def);
        if (r < 0)
                return r;
        if (pool->scanned && real->mode != MODE_UNSET) {
                def->permissions.mode = real->mode;
                def->permissions.owner = real->owner;
                def->permissions.group = real->group;
        }
        return pool_def_format_xml(def, &pool->status, ret);
}

int pool_method_get_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_free_ char *xml = NULL;
        bool inactive = false;
        const Option options[] = {{"inactive", 'b', &inactive}};
        Pool *pool = userdata;
        int r;

        r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = inactive ? pool_def_format_xml(pool_next_def(pool), NULL, &xml)
                             : format_active(pool, &xml);
        return r < 0 ? r : sd_bus_reply_method_return(m, "s", xml);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pools come, change and go here: define, ensure, update, undefine, autostart. All or nothing: a definition
 * is shown on the bus once all that was asked for has been done and is written down.
 */

#include "service/pool.h"

typedef struct DefineOptions {
        bool build, overwrite, start, autostart, transient, dry_run;
} DefineOptions;

/*
 * Takes def, also on failure. *ret: the job, a reference for the caller; its pool is the new one (none after
 * a dry run).
 */
int pool_define(Manager *m, PoolDef *def, const DefineOptions *options, uid_t uid, Job **ret,
                sd_bus_error *error);
/* As above; where the pool exists it is brought to what is described, and the job tells what was changed. */
int pool_ensure(Manager *m, PoolDef *def, const DefineOptions *options, uid_t uid, Job **ret,
                sd_bus_error *error);
/* Takes def. A pool that is active goes on with the old definition until its next start. */
int pool_update(Pool *pool, PoolDef *def, uid_t uid, Job **ret, sd_bus_error *error);
int pool_undefine(Pool *pool, uid_t uid, Job **ret, sd_bus_error *error);
int pool_set_autostart(Pool *pool, bool autostart, uid_t uid, Job **ret, sd_bus_error *error);

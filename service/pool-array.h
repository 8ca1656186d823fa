/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Operations on the md array beneath an active pool; the pool's definition follows what they do. */

#include "service/pool.h"

typedef enum ArrayChange { ARRAY_ADD, ARRAY_FAIL, ARRAY_REMOVE, _ARRAY_CHANGE_MAX } ArrayChange;

/*
 * A job for one change of one device. NotActive; Conflict if another pool has a device that is to be added;
 * else what the worker says. *ret is owned by the caller.
 */
int pool_change_array(Pool *pool, uid_t uid, ArrayChange change, const char *device, Job **ret,
                      sd_bus_error *error);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Two pools must not claim the same storage: libvirt's rules, type by type. */

#include "service/pool.h"

/*
 * Looks whether def can live beside the pools that there are. same: a pool not to compare with (the one that
 * is being redefined); NULL: none. follow: devices are the same if their paths lead to the same one now;
 * else only if they are spelt the same, which is for definitions that were accepted once, as the names of
 * devices may be dealt out anew by each boot. Exists for a name or UUID that is taken, Conflict for the same
 * storage; both name the other pool.
 */
int pool_conflict_check(Manager *m, const PoolDef *def, const Pool *same, bool follow, sd_bus_error *error);

/* The pool, other than same, that claims the device, and how it calls that one; NULL: none. */
const Pool *pool_conflict_find_device(Manager *m, const char *device, const Pool *same,
                                      const char **ret_path);
/* Conflict if same must not claim that device as well. */
int pool_conflict_check_device(Manager *m, const char *device, const Pool *same, sd_bus_error *error);

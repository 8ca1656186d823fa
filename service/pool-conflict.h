/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Two pools must not claim the same storage: libvirt's rules, type by type. */

#include "service/pool.h"

/*
 * Looks whether def can live beside the pools that there are. same: a pool not to compare with (the one that
 * is being redefined); NULL: none. Exists for a name or UUID that is taken, Conflict for the same storage;
 * both name the other pool.
 */
int pool_conflict_check(Manager *m, const PoolDef *def, const Pool *same, sd_bus_error *error);

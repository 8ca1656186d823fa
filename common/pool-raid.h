/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * PoolRaid: the md array beneath a pool, as its definition says it. As XML see pool-extension.h, as a
 * dictionary it is the key "raid": level s, devices as, spares u, chunk-size t.
 */

#include "common/pool-def.h"

void pool_raid_done(PoolRaid *raid);
/* A deep copy in the empty *to. -ENOMEM: it has some of it, and may be freed. */
int pool_raid_copy(PoolRaid *to, const PoolRaid *from);
bool pool_raid_equal(const PoolRaid *a, const PoolRaid *b);

/* Appends a member. InvalidArgument if there are DEF_LIST_MAX already. */
int pool_raid_add_member(PoolRaid *raid, const char *path, sd_bus_error *error);

/*
 * Checks the array of a definition whose name is known, and gives the source the array's own device,
 * /dev/md/<name of the pool>, if it has none. Nothing if there is no array.
 */
int pool_check_raid(PoolDef *def, sd_bus_error *error);

/* The a{sv} at the read pointer. InvalidArgument, naming the key. */
int pool_raid_read_dict(sd_bus_message *m, PoolRaid *raid, sd_bus_error *error);
/* As the entry "raid" of a dictionary; nothing if there is no array. */
int pool_raid_append_entry(const PoolRaid *raid, sd_bus_message *m);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The interfaces that only some pools have, on the same object as Pool: Pool.Logical, Pool.Disk, Pool.Raid.
 * One table: which pools have it, what it has, and what tells its changes.
 */

#include "interfaces/bus.h"

typedef struct PoolPart {
        const char *interface; /* NULL ends the table */
        const sd_bus_vtable *vtable;
        bool (*has)(const Pool *pool);
        sd_bus_object_find_t find; /* userdata: Bus; finds pools that have it */
        unsigned change;           /* POOL_CHANGE_… after which these are announced: */
        const char *properties[8];
} PoolPart;

extern const PoolPart pool_parts[];

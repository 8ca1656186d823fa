/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The ObjectManager of one pool's volumes, which comes and goes with the pool. No volume is registered by
 * itself. */

#include "interfaces/bus.h"

int volumes_node_add(Bus *b, Pool *pool);
void volumes_node_remove(Bus *b, Pool *pool);
void volumes_node_free(Bus *b, PoolOnBus *node);

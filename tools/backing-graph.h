/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Volumes and what they are built on, as trees. */

#include "tools/json.h"
#include "tools/storagectl.h"

/*
 * The volumes of the pools in names (object paths of pools and their names), as an array of {Pool, Volumes}.
 * Each volume stands once, at its backing volume's Overlays, and has Name, Pool, ObjectPath, Format,
 * Capacity, Allocation and Problem. A backing store that is no volume of ours has a Path instead of a name.
 * What leads back to a volume above has Cycle. Backing volumes and overlays in other pools are shown too;
 * their pools' names are in all_names. The caller owns *ret. Negative errno and error.
 */
int backing_graph(Context *c, json_object *names, json_object *all_names, json_object **ret,
                  sd_bus_error *error);

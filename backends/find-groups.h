/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Volume groups as candidates, and as owners of candidates. */

#include "backends/find-devices.h"

typedef struct FoundGroup {
        char *name;
        char **devices; /* physical volumes: nodes */
        uint64_t size;
        uint64_t n_devices; /* that it should have */
} FoundGroup;

typedef struct FoundGroups {
        FoundGroup *list;
        size_t n;
        bool unread; /* LVM was not asked, as a device does not answer */
} FoundGroups;

/*
 * Asks LVM, if there are physical volumes among the devices, and tells the devices which group they are part
 * of (vg, and used_by where nobody is yet). Freed with found_groups_done().
 */
int found_groups_get(BackendContext *ctx, FoundDevices *devices, FoundGroups *ret);
void found_groups_done(FoundGroups *groups);

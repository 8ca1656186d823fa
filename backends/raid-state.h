/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the kernel tells of a running md array, in the folder md/ of its device in sysfs. */

#include <sys/types.h>

#include "common/util.h"

typedef struct RaidDisk {
        char *name;   /* the kernel's: "vdb", "vdb1" */
        dev_t devnum; /* 0: the device is gone */
        int slot;     /* its place in the array; -1: it has none */
        bool faulty;
        bool in_sync; /* what it holds is part of the data: not a spare, not being rebuilt */
} RaidDisk;

typedef struct RaidState {
        char *level;  /* "raid1" */
        char *action; /* idle check resync recover repair reshape frozen */
        bool running; /* it has been started */
        bool broken;  /* it has lost more than it can do without */
        uint32_t n_slots;
        uint32_t degraded;
        uint32_t layout;
        double progress; /* 0..1 of action; 0: idle or not begun */
        RaidDisk *disks; /* by name */
        size_t n_disks;
} RaidState;

/* Frees what it owns, not state itself, and zeroes it. */
void raid_state_done(RaidState *state);
/*
 * Reads folder ("/sys/block/md127/md") into the empty *ret. What the kernel does not tell of a level or a
 * state is zero. 0, -ENOENT if there is no array, or another negative errno.
 */
int raid_state_read(const char *folder, RaidState *ret);
/* Not the progress: that changes all the time. */
bool raid_state_equal(const RaidState *a, const RaidState *b);

/* "active", "spare", "rebuilding" or "faulty". */
const char *raid_disk_state(const RaidDisk *disk);
/* Would the array go on without that disk (one of state's)? */
bool raid_state_survives(const RaidState *state, const RaidDisk *without);
/* The first disk that is devnum; NULL: none. */
const RaidDisk *raid_state_find(const RaidState *state, dev_t devnum);

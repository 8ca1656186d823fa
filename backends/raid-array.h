/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The array beneath a pool and the devices that its definition names, as they are found. Reads only. */

#include "backends/block-device.h"
#include "backends/raid-state.h"
#include "backends/raid.h"

typedef struct RaidMemberFound {
        const char *path; /* the definition's */
        BlockDevice dev;  /* node NULL: it is not there */
        char *holder;     /* the md device that has it: "md127"; NULL: none */
        char *uuid;       /* of the array that its superblock names; NULL: it has none */
        char *array_name; /* the superblock's, without the host */
        char *contents;   /* what else is on it, for people; NULL: nothing */
} RaidMemberFound;

typedef struct RaidArray {
        const char *path; /* the pool's first source device */
        char *name;       /* the md device that it leads to: "md127"; NULL: there is nothing */
        RaidState state;  /* of it */
        RaidMemberFound *members;
        size_t n_members;
} RaidArray;

void raid_array_done(RaidArray *array);

/* InvalidArgument if what the pool's device leads to is no array. */
int raid_array_look(BackendContext *ctx, RaidArray *ret);
/* Fills in what is on the members. */
int raid_array_examine(BackendContext *ctx, RaidArray *array);
/* It is there, at least one of the members is in it and none in another. */
bool raid_array_is_ours(const RaidArray *array);
/* As its superblocks have it by the pool's device: NAME of /dev/md/NAME. NULL: the path has none. array's.
 */
const char *raid_array_own_name(const RaidArray *array);
/*
 * Which array the members belong to: that of the running one's, else of those whose superblock has the name
 * of the pool's device, else of most. NULL: none has a superblock. array's own.
 */
const char *raid_array_uuid(const RaidArray *array);

/* What a member's superblock names: the array's UUID and, if ret_name is not NULL, its name without the
 * host. NULL: c is none. *ret_uuid and *ret_name are the caller's. 0 or -ENOMEM. */
int raid_superblock(const BlockContents *c, char **ret_uuid, char **ret_name);
/* The md device that has devnum: *ret is the caller's, NULL if none. 0 or -ENOMEM. */
int raid_find_holder(dev_t devnum, char **ret);
/* Reads the state of the md device of that name. */
int raid_read_state(const char *name, RaidState *ret);

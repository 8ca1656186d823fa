/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is done with volumes. Each call checks what it can from memory, locks the volume's name, makes a job
 * and returns; *ret is a reference for the caller. On an error nothing has happened.
 */

#include "service/pool.h"

/*
 * The volume that def is to be built on in that pool, which names it by a path or by a block device, in
 * *ret; NULL: it is to be built on none, or on what is no volume of ours. -ENOMEM.
 */
int volume_find_backing(Pool *pool, const VolumeDef *def, Volume **ret);

/* Takes def, also on failure. preallocation: off metadata falloc full, or NULL: as allocation says. */
int volume_create(Pool *pool, VolumeDef *def, const char *preallocation, uid_t uid, Job **ret,
                  sd_bus_error *error);
/* The same for an overlay that is the clone of what it is built on. */
int volume_create_linked(Pool *pool, VolumeDef *def, uid_t uid, Job **ret, sd_bus_error *error);
/* As volume_create(); where the volume exists with the same format it is grown if it is smaller, and the job
 * tells so.
 */
int volume_ensure(Pool *pool, VolumeDef *def, const char *preallocation, uid_t uid, Job **ret,
                  sd_bus_error *error);
int volume_delete(Volume *v, bool force, uid_t uid, Job **ret, sd_bus_error *error);
/* The same for a volume that is the snapshot of another. */
int volume_create_snapshot_volume(Pool *pool, VolumeDef *def, uid_t uid, Job **ret, sd_bus_error *error);
int volume_delete_as(Volume *v, const char *operation, bool force, uid_t uid, Job **ret,
                     sd_bus_error *error);

typedef struct VolumeResize {
        uint64_t capacity; /* bytes; to add, if delta */
        bool shrink, delta, allocate, force;
        const char *secret; /* usage or UUID, of an encrypted image; NULL: as recorded; copied */
} VolumeResize;

int volume_resize(Volume *v, const VolumeResize *resize, uid_t uid, Job **ret, sd_bus_error *error);
/* mode: "r" or "rw". The descriptor is the job's result_fd. */
int volume_open(Volume *v, const char *mode, uid_t uid, Job **ret, sd_bus_error *error);

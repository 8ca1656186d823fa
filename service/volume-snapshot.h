/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Snapshots of volumes: what kind a volume can have, those that it has, and the jobs on them. */

#include "service/volume-jobs.h"

typedef enum SnapshotKind {
        SNAPSHOTS_NONE,     /* it can have none */
        SNAPSHOTS_INTERNAL, /* within a qcow2 image */
} SnapshotKind;

SnapshotKind volume_snapshot_kind(const Volume *v);

/* What is shown of one; borrows everything. */
typedef struct SnapshotInfo {
        const char *name;
        const char *id;       /* within the image; NULL: it has none */
        uint64_t time;        /* µs UTC */
        uint64_t size;        /* bytes that it takes by itself, as far as that is known */
        const Volume *volume; /* that it is; NULL: none */
} SnapshotInfo;

/* Calls found for each, in no order of time. 0, or the first negative that it returns. */
int volume_snapshots_each(const Volume *v, int (*found)(const SnapshotInfo *info, void *userdata),
                          void *userdata);

/* As in volume-jobs.h. InUse as long as a guest has the volume: of images even by force, as two would write.
 */
int volume_create_snapshot(Volume *v, const char *name, bool force, uid_t uid, Job **ret,
                           sd_bus_error *error);
int volume_revert_snapshot(Volume *v, const char *name, bool force, uid_t uid, Job **ret,
                           sd_bus_error *error);
int volume_delete_snapshot(Volume *v, const char *name, bool force, uid_t uid, Job **ret,
                           sd_bus_error *error);

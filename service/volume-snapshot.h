/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Snapshots of volumes: what kind a volume can have, those that it has, and the jobs on them. */

#include "service/volume-jobs.h"

typedef enum SnapshotKind {
        SNAPSHOTS_NONE,     /* it can have none */
        SNAPSHOTS_INTERNAL, /* within a qcow2 image */
        SNAPSHOTS_FILES,    /* files beside it that share its blocks */
        SNAPSHOTS_LOGICAL,  /* LVM's: volumes of the pool */
} SnapshotKind;

SnapshotKind volume_snapshot_kind(const Volume *v);
/* "" for none. */
const char *snapshot_kind_to_string(SnapshotKind kind);
/* What the pool's file system can do is known now, or not what it was: marks whom that concerns. */
void volume_snapshots_depend_on_pool(Pool *pool);
/* HasDependents, naming them, if v has snapshots that are files: they are of no use without it. */
int volume_require_no_snapshot_files(const Volume *v, sd_bus_error *error);

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

typedef struct SnapshotOptions {
        bool force;
        const char *secret; /* usage or UUID, of an encrypted image; NULL: as recorded; copied */
} SnapshotOptions;

/*
 * As in volume-jobs.h. InUse as long as a guest has the volume; but for a new snapshot of LVM's, or of a file by force,
 * which is what the guest would find after a power cut.
 */
int volume_create_snapshot(Volume *v, const char *name, const SnapshotOptions *options, uid_t uid, Job **ret,
                           sd_bus_error *error);
int volume_revert_snapshot(Volume *v, const char *name, const SnapshotOptions *options, uid_t uid, Job **ret,
                           sd_bus_error *error);
int volume_delete_snapshot(Volume *v, const char *name, const SnapshotOptions *options, uid_t uid, Job **ret,
                           sd_bus_error *error);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Snapshots within an image: made, gone back to and deleted by qemu-img, on a descriptor whose locks are
 * held. */

#include "backends/backend.h"

typedef enum SnapshotAction {
        SNAPSHOT_CREATE,
        SNAPSHOT_REVERT,
        SNAPSHOT_DELETE,
        _SNAPSHOT_ACTION_MAX,
} SnapshotAction;

/* "create", "revert", "delete"; _SNAPSHOT_ACTION_MAX: no such. */
SnapshotAction snapshot_action_from_string(const char *s);

typedef struct ImageSnapshotCall {
        const char *volume; /* its name */
        int fd;
        SnapshotAction action;
        const char *name; /* of the snapshot */
        bool mend; /* one of these was cut off before: what it may have left in the image is put right first
                    */
        /* Called just before the first byte is written, and when what was begun has come to nothing. */
        int (*writing)(void *userdata);
        int (*whole)(void *userdata);
        void *userdata;
} ImageSnapshotCall;

/* An encrypted image takes the context's secret. Exists, NotFound, Unsupported, InvalidArgument (it is
 * another secret), NoSpace. On return it is durable. */
int image_snapshot(BackendContext *ctx, const ImageSnapshotCall *call);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Snapshots of files that are no images with snapshots of their own: copies in the same folder that share
 * all blocks with the file, on file systems that can do so. They are named SNAPSHOT_PREFIX "volume@snapshot"
 * (see common/snapshot-name.h), are no volumes, and belong to root alone.
 */

#include "backends/backend.h"

/* Whether files of this file system can share blocks: btrfs, and xfs that was made for it. */
bool file_system_shares_blocks(int fd);

/* volume: its name; fd: its file. *ret: the row of the snapshot's file. Exists, Unsupported, NoSpace. */
int file_snapshot_create(BackendContext *ctx, const char *volume, int fd, const char *name, VolumeRow *ret);
/* The volume's file is replaced by a new one that shares the snapshot's blocks. NotFound. */
int file_snapshot_revert(BackendContext *ctx, const char *volume, int fd, const char *name);
int file_snapshot_delete(BackendContext *ctx, const char *volume, const char *name);

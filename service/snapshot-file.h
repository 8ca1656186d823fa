/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files that are snapshots of a pool's other files. The pool's worker reports them as it does volumes; they
 * are told from these by their names (common/snapshot-name.h), and shown as snapshots of the volumes that
 * they belong to.
 */

#include "service/pool.h"

/* Whether a row of that name is one of these. */
bool snapshot_file_is(const char *name);
/* Takes nothing. 0 or -ENOMEM. */
int snapshot_file_update(Pool *pool, const VolumeRow *row);
void snapshot_file_remove(Pool *pool, const char *name);
/* Those of v, one after the other: NULL first, then what was returned last. *ret_name: the snapshot's name,
 * in it. */
SnapshotFile *snapshot_file_next(const Volume *v, SnapshotFile *last, const char **ret_name);
/* Removes those that the complete listing did not name; all: all of them. */
void snapshot_files_sweep(Pool *pool, bool all);

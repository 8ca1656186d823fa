/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Volumes whose contents were being changed in place when that failed, was cancelled or was cut off: neither
 * what they were nor what they were to be. Each has a mark on disk, which lasts until the same range has
 * been written completely, or the volume is gone.
 */

#include "service/pool.h"
#include "service/store.h"

/*
 * Marks bytes start to end (UINT64_MAX: to its end; 0 to 0: none, but the image around them needs to be put
 * right) of the volume. operation: "wipe-volume", for people. What that changes on disk is appended to list.
 */
int incomplete_mark(Manager *m, StoreChange **list, const char *pool_uuid, const char *volume,
                    const char *operation, uint64_t start, uint64_t end);
/*
 * Takes the list: marks, and after them the removal of the intent that told of the change until then. If a
 * mark cannot be written, the intent stays, and the next daemon marks the volume.
 */
void incomplete_apply(Manager *m, StoreChange *list);
/* These bytes are whole again, or (0 to UINT64_MAX) the volume is gone. */
void incomplete_clear(Manager *m, const char *pool_uuid, const char *volume, uint64_t start, uint64_t end);
bool incomplete_is_marked(const Volume *v);
/* What Volume.Problem says of it, in words for people, owned by the caller; *ret is NULL if it is not
 * marked. */
int incomplete_describe(const Volume *v, char **ret);
/* Reads the marks that earlier daemons left. */
int incomplete_load(Manager *m);
/* Forgets all of them in memory: at the daemon's end. */
void incomplete_free_all(Manager *m);

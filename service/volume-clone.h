/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A volume with the contents of another, of the same pool or not: the source is opened for reading by its
 * pool's worker, and so is all that it is built on, in their pools'; the new one is reserved by its own
 * pool's; a data worker copies.
 */

#include "service/pool.h"

typedef struct VolumeClone {
        const char *preallocation; /* as volume_create() has it; copied */
        const char *reflink;       /* a literal: auto always never */
        const char *source_secret; /* usage or UUID; NULL: as recorded, if it is needed; copied */
        bool compress;
        bool linked; /* nothing is copied: an overlay of the source */
} VolumeClone;

/*
 * Completes def, in place, from the source: what is not set of format and capacity is taken from there, and
 * the capacity is not less. Not validated yet. InvalidArgument, Unsupported.
 */
int volume_clone_complete(const Pool *pool, const Volume *source, const VolumeClone *clone, VolumeDef *def,
                          sd_bus_error *error);
/*
 * Takes def, which is complete and validated, also on failure. *ret is a reference for the caller. Nothing
 * has happened if it fails.
 */
int volume_clone(Pool *pool, Volume *source, VolumeDef *def, const VolumeClone *clone, uid_t uid, Job **ret,
                 sd_bus_error *error);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Jobs that change what an image is built on. As in volume-jobs.h. */

#include "service/pool.h"

/* All that comes from the backing volumes is copied in; nothing to do for a volume that has none. */
int volume_flatten(Volume *v, uid_t uid, Job **ret, sd_bus_error *error);
/*
 * The volume becomes an overlay of backing. Its contents stay what they are, for which what differs is
 * copied in; or, if unsafe, only another backing volume is recorded, and the caller says that it has the
 * same contents.
 */
int volume_rebase(Volume *v, Volume *backing, bool unsafe, uid_t uid, Job **ret, sd_bus_error *error);
/* What the overlay has of its own is written into its backing volume, which must have no other dependents.
 */
int volume_commit(Volume *v, uid_t uid, Job **ret, sd_bus_error *error);

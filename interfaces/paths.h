/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Object paths: made of UUIDs and names only, so that they survive restarts. All are owned by the caller;
 * NULL: out of memory. */

#include "interfaces/bus.h"

char *path_of_pool(const Pool *pool);
/* The ObjectManager of its volumes. */
char *path_of_volumes(const Pool *pool);
char *path_of_volume(const Pool *pool, const char *name);
char *path_of_job(const Job *job);

/* The announced pool or volume of a path, or NULL. */
Pool *pool_of_path(Manager *m, const char *path);
Volume *volume_of_path(Manager *m, const char *path);
/* The pool that a path at or below BUS_VOLUMES belongs to, whether or not the volume exists. */
Pool *pool_of_volumes_path(Manager *m, const char *path);
Job *job_of_path(Manager *m, const char *path);

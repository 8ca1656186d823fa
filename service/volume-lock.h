/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which volumes a job works on: it has what it changes for itself, and shares with others what it only
 * reads, such as the backing chain of an image. All locks of a job are taken at once, before it begins, and
 * end with it.
 */

#include "service/volume.h"

typedef struct VolumeLock {
        Pool *pool; /* owned reference */
        char *name;
        bool shared;
} VolumeLock;

typedef struct VolumeLocks {
        VolumeLock *items;
        size_t n;
} VolumeLocks;

/* A chain of backing volumes longer than this is followed no further. */
#define CHAIN_MAX 256U

/*
 * Of the jobs of one user, and of all that are not over: each volume of a chain is open, too, from before its job has
 * a turn, and there are 65536 descriptors.
 */
#define LOCKS_PER_USER_MAX 8192U
#define LOCKS_MAX 24576U

void volume_locks_done(VolumeLocks *l);
/* 0 or -ENOMEM. One volume may be there twice: the stronger lock counts. */
int volume_locks_add(VolumeLocks *l, Pool *pool, const char *name, bool shared);
/* The volumes that v is built on, one behind the other, as far as they are ours: shared. A cycle ends it. */
int volume_locks_add_chain(VolumeLocks *l, const Volume *v);
/* Busy, with the job's name, if one that is not over has a volume of these that it does not share; LimitsExceeded
 * if the jobs of this user, or of all, would have too many. UINT32_MAX, the service itself, has no limit. */
int volume_locks_check(const VolumeLocks *l, Manager *m, uid_t uid, sd_bus_error *error);
/* One of them is a volume of the pool. */
bool volume_locks_have_pool(const VolumeLocks *l, const Pool *pool);

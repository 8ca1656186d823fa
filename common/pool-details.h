/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * PoolDetails: what is known of a running pool beyond what every pool has: its thin pools, the free extents
 * of its partition table, the array beneath it. A worker finds it out, the daemon shows it as Pool.Logical,
 * Pool.Disk and Pool.Raid. A plain value that owns its strings; sizes and positions in bytes.
 */

#include "common/util.h"

/* What one pool may have of each; the rest is not shown. */
#define DETAILS_LIST_MAX 4096U

typedef struct ThinPool {
        char *name;
        uint64_t capacity, allocation;                   /* of data */
        uint64_t metadata_capacity, metadata_allocation; /* of its metadata volume */
} ThinPool;

typedef struct FreeExtent {
        uint64_t start, end; /* end is the first byte that is not free any more */
} FreeExtent;

typedef struct RaidMember {
        char *path;  /* "" for a slot whose device is missing */
        char *state; /* active, spare, rebuilding, faulty, missing */
} RaidMember;

typedef struct PoolDetails {
        char *volume_group; /* NULL: not a logical pool */
        uint64_t extent_size;
        ThinPool *thin_pools;
        size_t n_thin_pools;

        FreeExtent *free_extents;
        size_t n_free_extents;

        char *raid_level;       /* "raid1"; NULL: no array, or it is not running */
        char *raid_action;      /* as the kernel names it: idle check resync recover repair reshape frozen */
        uint32_t raid_degraded; /* devices that it lacks */
        double raid_progress;   /* 0..1 of raid_action; 0 if idle */
        RaidMember *raid_members;
        size_t n_raid_members;

        bool shares_blocks; /* files in it can share blocks with each other */
        char *real_path;    /* of its folder, without symbolic links; NULL: the path that it has anyway */
} PoolDetails;

/* Frees what it owns, not details itself, and zeroes it. */
void pool_details_done(PoolDetails *details);

/* The parts of it, as bits. */
typedef enum DetailsPart {
        DETAILS_LOGICAL = 1 << 0, /* volume_group, extent_size, thin_pools */
        DETAILS_DISK = 1 << 1,    /* free_extents */
        DETAILS_RAID = 1 << 2,    /* raid_… */
        DETAILS_FILES = 1 << 3,   /* shares_blocks */
        DETAILS_PATH = 1 << 4,    /* real_path */
} DetailsPart;

/* Which parts differ; 0: none. */
unsigned pool_details_compare(const PoolDetails *a, const PoolDetails *b);
static inline bool pool_details_equal(const PoolDetails *a, const PoolDetails *b)
{
        return pool_details_compare(a, b) == 0;
}

/*
 * Between worker and daemon it is an a{sv}: volume-group s, extent-size t, thin-pools a(stttt), free-extents
 * a(tt), raid-level s, raid-action s, raid-degraded u, raid-progress d, raid-members a(ss), shares-blocks b,
 * real-path s; only what is set.
 */
int pool_details_append(const PoolDetails *details, sd_bus_message *m);
/* Reads one a{sv} into the empty *ret. 0, or a negative errno if it is none. Unknown keys are skipped. */
int pool_details_read(sd_bus_message *m, PoolDetails *ret);

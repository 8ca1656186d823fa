/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A pool in memory: its definition, its state, its volumes, the worker that serves it and the queue of what
 * that worker is to do.
 */

#include "common/pool-details.h"
#include "common/worker-protocol.h"
#include "service/job.h"
#include "service/volume.h"
#include "service/worker-process.h"

typedef enum PoolState {
        POOL_INACTIVE,
        POOL_STARTING,
        POOL_ACTIVE,
        POOL_STOPPING,
        _POOL_STATE_MAX
} PoolState;

const char *pool_state_to_string(PoolState s);

/* What of a pool changed and is not announced yet. */
typedef enum PoolChange {
        POOL_CHANGE_STATE = 1 << 0,
        POOL_CHANGE_HEALTH = 1 << 1,     /* Health Problems */
        POOL_CHANGE_SIZES = 1 << 2,      /* Capacity Allocation Available */
        POOL_CHANGE_CONTENTS = 1 << 3,   /* Generation VolumeCount */
        POOL_CHANGE_REFRESH = 1 << 4,    /* LastRefresh */
        POOL_CHANGE_DEFINITION = 1 << 5, /* Definition TargetPath SourceFormat UpdatePending Persistent */
        POOL_CHANGE_AUTOSTART = 1 << 6,
        POOL_CHANGE_LOGICAL = 1 << 7, /* of the details: VolumeGroup ExtentSize ThinPools */
        POOL_CHANGE_DISK = 1 << 8,    /* FreeExtents */
        POOL_CHANGE_RAID = 1 << 9,    /* Level SyncAction Degraded SyncProgress Devices */
        POOL_CHANGE_ARRAY = 1 << 10,  /* the definition has got an array, or lost it */
} PoolChange;

/* A batch of more volume changes than this is announced as one VolumesReset. */
#define VOLUME_SIGNALS_MAX 1000U
/* What one pool's worker may have waiting. */
#define POOL_QUEUE_MAX 1024U

/* One call to a pool's worker, in the name of a job. */
typedef struct Operation Operation;
struct Operation {
        TAILQ_ENTRY(Operation) entry;
        Job *job; /* owned reference; NULL: housekeeping */
        const char *verb;
        /* Appends the arguments; called when its turn has come, with a message to a worker that knows the
         * pool. */
        int (*fill)(Operation *op, sd_bus_message *m);
        /* The end of it: reply is NULL if error is set. */
        void (*done)(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error);
        uint64_t argument; /* for fill */
        Pool *pool;        /* for fill: whose worker does it; not owned */
};

typedef struct RemovedVolume {
        TAILQ_ENTRY(RemovedVolume) entry;
        bool had_snapshots; /* or could have */
        char name[];
} RemovedVolume;

struct Pool {
        TAILQ_ENTRY(Pool) entry; /* in manager->pools, in name order */
        unsigned n_ref;
        Manager *manager;
        PoolDef *def;     /* what is in force */
        PoolDef *pending; /* what the next start will use; NULL: the same */
        char *object_id;  /* the UUID as it stands in object paths */
        bool announced;   /* on the bus; before that it only holds its name and UUID */
        bool gone;        /* undefined, or never came to be: no work is taken any more */
        bool persistent, autostart;
        PoolState state;
        const char *health; /* interned: ok degraded inaccessible unknown */
        char **problem_codes, **problem_texts;
        PoolStatus status;
        Permissions permissions; /* of the target path as the worker sees them; no label */
        PoolDetails details;
        uint64_t last_refresh, generation;

        struct VolumeTree volumes;
        struct SnapshotTree snapshot_files;
        uint32_t n_volumes;
        TAILQ_HEAD(, Volume) dirty;
        TAILQ_HEAD(, RemovedVolume) removed;
        unsigned n_dirty;       /* of both lists */
        bool reset_needed;      /* a removal could not be noted: VolumesReset tells it */
        uint64_t signals_since; /* when the current second of signals began, and how many it has seen */
        unsigned signals_sent;
        unsigned changes; /* PoolChange */

        bool scanned;  /* its contents are known: true once the first refresh after a start is done */
        bool adopting; /* found active at the daemon's start, not scanned yet */
        uint32_t listing;

        WorkerProcess *worker;
        bool listing_open; /* a complete listing has begun; it ends at the next Status */
        bool worker_ready; /* has been told the pool */
        TAILQ_HEAD(, Operation) queue;
        unsigned n_queue;
        Operation *current;
        sd_event_source *worker_timer; /* retires an idle worker, or starts the next after a crash */
        uint64_t worker_backoff;       /* µs; 0: the last one did well */

        sd_event_source *retry; /* of autostart */
        uint64_t retry_backoff;
        TAILQ_HEAD(, Job) jobs;
        Job *flushing; /* owned references: over when the last change is announced, one after the other */
};

/* A pool that holds its name, not announced. Takes def. */
int pool_new(Manager *m, PoolDef *def, Pool **ret);
Pool *pool_ref(Pool *pool);
Pool *pool_unref(Pool *pool);
DEFINE_CLEANUP(Pool *, pool_unref)

/* Shows it on the bus, or takes it away from there and from the manager. */
void pool_announce(Pool *pool);
void pool_remove(Pool *pool);

void pool_set_state(Pool *pool, PoolState state);
void pool_set_health(Pool *pool, const char *health, const char *code, const char *text);
/* The same for many problems: takes both lists. */
void pool_set_problems(Pool *pool, const char *health, char **codes, char **texts);
/* Takes what is in details. */
void pool_set_details(Pool *pool, PoolDetails *details);
/* Marks changes for announcement soon. */
void pool_changed(Pool *pool, unsigned changes);
/* Sends the pool's own pending changes now. */
void pool_flush(Pool *pool);
/* Announces now that the volume of that name is gone, if that is pending. */
void pool_flush_removed(Pool *pool, const char *name);
/* Sends some of what is pending; for how many more µs it wants to wait before the next in *ret_delay. True:
 * more. */
bool pool_announce_slice(Pool *pool, uint64_t *ret_delay);
/* Finishes the job with success when all that is pending of the pool's volumes has been announced. */
void pool_finish_when_flushed(Pool *pool, Job *job);
/* Puts def, which it takes, in force in the place of the old one. */
void pool_set_def(Pool *pool, PoolDef *def);
/* The definition that the next start uses. */
const PoolDef *pool_next_def(const Pool *pool);

/* Its source are block devices. */
static inline bool pool_is_on_devices(const Pool *pool)
{
        return pool_type_info(pool->def->type)->block_devices;
}

static inline bool pool_is_active(const Pool *pool)
{
        return pool->state == POOL_ACTIVE;
}

/* Active and other than wanted: NotActive or Active, in words. verb: "refreshed". */
int pool_require_active(Pool *pool, const char *verb, sd_bus_error *error);
int pool_require_inactive(Pool *pool, const char *verb, sd_bus_error *error);
/* Busy, with their names, if jobs other than except run in it. */
int pool_require_no_jobs(Pool *pool, const Job *except, const char *verb, sd_bus_error *error);

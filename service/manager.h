/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The service: all pools and jobs, and what they share (event loop, paths, store, hooks towards the bus).
 */

#include <bsd/sys/queue.h>

#include "service/volume.h"

typedef struct Job Job;
typedef struct Store Store;
typedef struct DataJob DataJob;
typedef struct Incomplete Incomplete;
typedef struct Secret Secret;
typedef struct VolumeSecret VolumeSecret;
typedef struct RemovedVolume RemovedVolume;
typedef struct Unfinished Unfinished;

#define POOLS_MAX 1024U

/* What the bus layer does when something changes. All may assume that the object is complete. */
typedef struct AnnounceHooks {
        void (*pool_added)(Pool *pool);
        void (*pool_removed)(Pool *pool);
        void (*pool_changed)(Pool *pool, unsigned changes);
        void (*refreshed)(Pool *pool);
        void (*volumes_reset)(Pool *pool);
        void (*volume_added)(Volume *v);
        void (*volume_changed)(Volume *v, unsigned changes);
        void (*volume_removed)(Pool *pool, const RemovedVolume *removed);
        void (*job_added)(Job *job);
        void (*job_changed)(Job *job, unsigned changes);
        void (*job_completed)(Job *job);
        void (*job_removed)(Job *job);
        /* Calls that wait for the pool's contents can go on. */
        void (*pool_ready)(Pool *pool);
        /* Data is moved from now on, or no more. */
        void (*moving)(Manager *m, bool any);
        /* How many messages wait to be written to the bus: no more signals while there are many. */
        uint64_t (*backlog)(Manager *m);
} AnnounceHooks;

/* data-queue.c */
typedef struct DataQueue {
        TAILQ_HEAD(, DataUser) users; /* who have jobs that move data or wait for that */
        unsigned n_moving;
        bool running;
} DataQueue;

/* What the backends of this build can do, as the store worker told at the start. */
typedef struct TypeAbility {
        bool available;
        char **operations;
        char **missing_tools;
} TypeAbility;

typedef struct ManagerOptions {
        bool session;
        char *config_dir, *state_dir, *runtime_dir; /* owned */
        char *worker_path;
        uint64_t verb_timeout; /* µs */
        uint64_t idle_timeout;
} ManagerOptions;

struct Manager {
        sd_event *event;
        ManagerOptions options;
        char instance_id[33];
        const AnnounceHooks *hooks;
        void *hooks_userdata;
        Store *store;
        int lock_fd;
        char **unreadable; /* names of definition files that were skipped at the start */
        TypeAbility abilities[_POOL_TYPE_MAX];
        TAILQ_HEAD(, Pool) pools;
        unsigned n_pools;
        TAILQ_HEAD(, Job) jobs; /* also those that are over and kept */
        TAILQ_HEAD(, Job) kept; /* those of them that are over, in the order of their ends */
        unsigned n_running, n_kept;
        uint64_t last_job;
        DataQueue data_queue;   /* those that go as fast as the storage */
        DataQueue client_queue; /* those that wait for clients, too */
        bool told_moving;
        /* incomplete.c: volumes whose contents were left half written */
        RB_HEAD(IncompleteTree, Incomplete) incomplete;
        unsigned n_incomplete;
        uint64_t last_incomplete;
        TAILQ_HEAD(, Unfinished) unfinished; /* unfinished.c: partitions that are to be removed */
        unsigned n_unfinished;
        uint64_t last_unfinished;
        TAILQ_HEAD(, Secret) secrets; /* secret.c */
        unsigned n_secrets;
        RB_HEAD(VolumeSecretTree, VolumeSecret) volume_secrets; /* volume-secret.c */
        unsigned n_volume_secrets;
        uint64_t last_volume_secret;
        unsigned n_finding, n_finding_hung; /* find-sources.c: searches under way; that hang in the kernel */
        struct OverlayTree overlays;
        struct NeedTree needs;
        struct OddTree odd_volumes;
        sd_event_source *announce; /* sends pending changes */
        /* Called when a job ended, a pool stopped: is the service idle now? */
        void (*check_idle)(Manager *m);
};

/* Takes options. Its store worker runs afterwards; nothing is loaded yet. */
int manager_new(sd_event *event, ManagerOptions *options, Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager *, manager_free)

Pool *manager_find_by_name(Manager *m, const char *name);
Pool *manager_find_by_uuid(Manager *m, const char *uuid);
Pool *manager_find_by_object_id(Manager *m, const char *id);
Pool *manager_find_by_target(Manager *m, const char *path);

/* Sends what pools and volumes have pending, in slices, when the loop has nothing more urgent. */
void manager_schedule_announce(Manager *m);

/* The end is near: what is under way ends as Interrupted, so that those who wait for it hear of it. */
void manager_interrupt(Manager *m);

/* No active or busy pool, no retry pending, no running job. */
bool manager_is_idle(const Manager *m);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Jobs on a volume where it is: the pool's worker opens it, so that nobody else can begin to use it, a data
 * worker does the work through that descriptor, and the pool's worker looks at what became of it.
 */

#include "service/incomplete.h"
#include "service/volume-chain.h"

typedef struct InPlace {
        const char *operation; /* a literal: "wipe-volume" */
        const char *said;      /* of the pool, if that is not active: "wiped" is wrong, "changed" is right */
        const char *
                verb; /* of the data worker: gets (s pool xml, s volume name, h fd), and what fill appends */
        bool write;   /* else it is only read, and shared with others who read */
        bool client;  /* it waits for a client: see DataStep */
        bool force;   /* even if somebody uses it */
        bool alone;   /* it is not done by force: no error proposes that */
        bool replace; /* what is written is another file, which takes its place in one step */
        /* Opened besides; taken, may be NULL. Their descriptors are the data job's, from number 1 on. */
        VolumeChain *others;
        /* For ResizeVolume, after a failure of what has begun to write: brings back what the data worker could
         * not. NULL: LookVolume does. */
        int (*fill_undo)(Operation *op, sd_bus_message *m);
        uint64_t start, end; /* the bytes that are written; UINT64_MAX: to the end */
        InPlaceMends mends;  /* what its success is the proof of */
        bool keeps_contents; /* as in DataStep */
        const char *from;    /* as in InPlaceChange; lives as long as argument */
        uint64_t as_of;      /* as there */
        int (*fill)(Job *job, sd_bus_message *m, void *argument);
        int (*answered)(Job *job, sd_bus_message *reply,
                        void *argument); /* may be NULL: the answer is empty */
        void *argument;
        void (*free_argument)(void *argument);
} InPlace;

/*
 * Takes what->argument and locks (more of them than the volume's own; may be NULL), also on failure. *ret is
 * a reference for the caller. Nothing has happened if it fails.
 */
int volume_in_place(Volume *v, const InPlace *what, VolumeLocks *locks, uid_t uid, Job **ret,
                    sd_bus_error *error);
/*
 * In two steps, for jobs that have to find something out first: the job has its locks, and nothing is done
 * until it is started with the range that is written. Its argument is the one of what.
 */
int volume_in_place_prepare(Volume *v, const InPlace *what, VolumeLocks *locks, uid_t uid, Job **ret,
                            sd_bus_error *error);
void *volume_in_place_argument(const Job *job);
void volume_in_place_start(Job *job, uint64_t start, uint64_t end);

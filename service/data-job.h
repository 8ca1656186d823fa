/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The long part of a job that moves data: a worker of its own does it, on descriptors that the pools'
 * workers have opened or reserved, while the pools go on serving. Before anything is written an intent is
 * written down, so that a daemon that dies meanwhile leaves a trace, and its successor can tell what was
 * interrupted.
 */

#include "service/data-fds.h"
#include "service/incomplete.h"

typedef enum DataKind {
        DATA_READS,    /* nothing of ours is written: no intent */
        DATA_MAKES,    /* fills what token has reserved: published, or discarded */
        DATA_REPLACES, /* makes a file that takes the place of a volume's in one step: nothing is half done
                        */
        DATA_CHANGES,  /* writes into an existing volume: if it does not come to its end, that is incomplete
                        */
} DataKind;

typedef struct DataStep {
        const char *verb; /* of the data worker; a literal */
        DataKind kind;
        /* Appends the arguments; the descriptors are data_job_fd(). */
        int (*fill)(Job *job, sd_bus_message *m);
        /* Reads the worker's answer to a success. NULL: there is nothing in it. */
        int (*answered)(Job *job, sd_bus_message *reply);
        const char *token; /* DATA_MAKES; copied */
        bool client;       /* it waits for a client, who may take days: see data-queue.h */
        /* DATA_CHANGES and DATA_REPLACES: as in InPlaceChange, and what its success is the proof of. from
         * lives as long as the job. */
        uint64_t start, end;
        const char *from;
        uint64_t as_of;
        InPlaceMends mends;
        bool keeps_contents; /* DATA_CHANGES: they are whole at every moment, so that it leaves no mark */
} DataStep;

/*
 * Reserves a volume in the job's pool, whose definition is xml (which lives as long as the job): reserved is
 * called with its descriptor, which is the caller's only then, and whether all of it reads as zeros; it goes
 * on with data_job_run() of a step that DATA_MAKES, whose token is known then. An error ends the job, and
 * nothing is left. Before anything is made the intent is on disk.
 */
void data_job_reserve(Job *job, const char *xml, void (*reserved)(Job *job, int fd, bool zero));
/* It has reserved its volume, or is about to. */
bool data_job_is_making(const Job *job);
/*
 * Runs the step: job->next is called with its outcome once every process that could still write is gone.
 * Copies the descriptors, DATA_FDS_MAX at most; they stay open, with the locks on them, until the job is
 * over, but for devices, which are the worker's alone once it has them.
 */
void data_job_run(Job *job, const DataStep *step, const int *fds, size_t n_fds);
/* A step that DATA_CHANGES has begun to do so: else the volume is as it was. For job->next. */
bool data_job_has_written(const Job *job);
/* The copy of the descriptor of that index. */
int data_job_fd(const Job *job, size_t i);
/*
 * After a step that DATA_MAKES: publishes what was filled (done gets the worker's answer), or with an error
 * discards it and ends the job with that.
 */
void data_job_publish(Job *job, const sd_bus_error *error,
                      void (*done)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *));
DataJob *data_job_free(DataJob *d);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A job: one piece of work that somebody asked for, from the asking to the end. Every method that touches
 * storage makes one; it is shown on the bus only when it lasts, or when its path was handed out. Counted
 * references: its steps hold one, whoever waits for its end another.
 */

#include <bsd/sys/queue.h>

#include "service/manager.h"
#include "service/volume-lock.h"

typedef enum JobState {
        JOB_QUEUED,
        JOB_RUNNING,
        JOB_CANCELLING,
        JOB_SUCCEEDED,
        JOB_FAILED,
        JOB_CANCELLED,
        _JOB_STATE_MAX,
} JobState;

const char *job_state_to_string(JobState s);

/* What of a job changed, for PropertiesChanged. */
typedef enum JobChange {
        JOB_CHANGE_STATE = 1 << 0,
        JOB_CHANGE_PROGRESS = 1 << 1,
        JOB_CHANGE_END = 1 << 2, /* Result ErrorName ErrorMessage */
} JobChange;

/* Limits: a user's jobs, and all of them. */
#define JOBS_PER_USER_MAX 512U
#define JOBS_MAX 4096U
/* A job is shown on the bus when it has lasted this long, and stays for this long after its end. */
#define JOB_PUBLISH_USEC (250 * USEC_PER_MSEC)
#define JOB_KEEP_USEC (60 * USEC_PER_SEC)
/* No more than these are kept: the one that ended first goes first. */
#define JOBS_KEPT_MAX 1024U

typedef struct JobWaiter JobWaiter;
struct JobWaiter {
        TAILQ_ENTRY(JobWaiter) entry;
        /* The job ended (or was interrupted by the daemon's end). Called once; the waiter is off the list
         * then. */
        void (*done)(JobWaiter *waiter, Job *job);
};

struct Job {
        TAILQ_ENTRY(Job) entry;      /* in manager->jobs */
        TAILQ_ENTRY(Job) pool_entry; /* in pool->jobs, if it has a pool */
        TAILQ_ENTRY(Job) kept_entry; /* in manager->kept, if it is over and kept */
        unsigned n_ref;
        Manager *manager;
        Pool *pool; /* NULL for none; a job keeps its pool alive */
        uint64_t id;
        const char *operation; /* a literal: "create-volume" */
        uid_t uid;
        char *volume_name; /* what it is about, besides the pool; NULL: none */
        VolumeLocks locks; /* all that it works on */
        uint64_t start;    /* µs UTC */
        uint64_t end;      /* 0: not over */
        JobState state;
        bool cancelable, cancel_asked;
        uint64_t bytes_done, bytes_total, rate, expected_end; /* bytes, bytes/s, µs UTC */
        uint64_t rate_usec, rate_bytes;                       /* where the rate was last measured; 0: nowhere
                                                               */
        uint64_t moved_usec;                                  /* when bytes_done last changed */
        bool published, handed_out;
        Job *next_flushing;        /* in pool->flushing */
        bool linked;               /* still in the manager's list */
        bool kept;                 /* over, and shown for a while; the list of these has a reference */
        sd_event_source *timer;    /* until it is shown, or until it is forgotten */
        sd_event_source *progress; /* holds back progress signals */
        sd_event_source *stalled;  /* until nothing has moved for so long that its rate is none */
        TAILQ_HEAD(, JobWaiter) waiters;

        /* Its end. */
        sd_bus_error error;
        bool result_is_pool;   /* it made or found the job's pool */
        bool result_is_volume; /* it made or found volume_name in that pool */
        char **changes;        /* Ensure: what was changed */
        bool has_changes;
        bool built;           /* its Build made storage that was not there before */
        char secret_uuid[37]; /* of what the volume is encrypted with that it makes; "": it is not */
        uint64_t volume_start; /* of the volume when the job was begun, see volume_start() */
        int result_fd;        /* Open: owned; -EBADF for none */
        int peer_fd; /* what a client gave to read from or write to, until the worker has it: owned; or
                        -EBADF */
        bool has_transferred;
        uint64_t transferred; /* bytes */
        char *sha256;         /* of them, in hex; NULL: not asked for */

        /* The step that is running: asked to stop it. NULL: nothing can be stopped. */
        void (*cancel)(Job *job);
        /* Where a chain of steps goes on when its part is done; error is NULL after success. */
        void (*next)(Job *job, const sd_bus_error *error);
        /* What the steps keep; freed by free_data. */
        void *data;
        void (*free_data)(void *data);
        void (*close_data)(void *data); /* at the end of the job; the rest stays as long as the job */
        DataJob *data_job; /* owned; the part that moves data, if there is one */
};

/*
 * A new job, queued. Refused with LimitsExceeded. uid: who asked; UINT32_MAX for the service itself (not
 * limited). The caller owns one reference, which job_finish() takes.
 */
int job_new(Manager *m, Pool *pool, const char *operation, uid_t uid, const char *volume_name, Job **ret,
            sd_bus_error *error);
Job *job_ref(Job *job);
Job *job_unref(Job *job);
DEFINE_CLEANUP(Job *, job_unref)

void job_set_running(Job *job);
/* It waits again, for its next step. */
void job_set_queued(Job *job);
void job_set_progress(Job *job, uint64_t done, uint64_t total);
/* Ends it: error NULL or unset is success. Tells those who wait, and drops the steps' reference. */
void job_finish(Job *job, const sd_bus_error *error);
bool job_is_over(const Job *job);
/* Only at the daemon's end: those who wait hear that it was interrupted, and what is left of it is freed. */
void job_forget(Job *job);

void job_add_waiter(Job *job, JobWaiter *waiter);
void job_remove_waiter(Job *job, JobWaiter *waiter);
/* Shows it on the bus now; handed_out: a caller was given its path, so it is kept for a while. */
void job_publish(Job *job, bool handed_out);
int job_cancel(Job *job, sd_bus_error *error);
Job *job_find(Manager *m, uint64_t id);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One storaged-worker as the daemon sees it: started, spoken to, killed with its whole process group. Calls
 * are asynchronous, one under way at a time, each with a deadline; a worker that dies, or has to be killed
 * because it missed the deadline, answers the call under way with an error and then reports itself gone.
 * Nothing in here blocks.
 */

#include <signal.h>

#include "common/errors.h"
#include "common/util.h"

typedef struct WorkerProcess WorkerProcess;

/* What becomes of a call: reply is NULL if error is set. Both belong to the caller of the callback. */
typedef void (*WorkerReply)(sd_bus_message *reply, const sd_bus_error *error, void *userdata);

typedef struct WorkerHooks {
        /* A signal of WORKER_INTERFACE; may be NULL. */
        void (*signal)(WorkerProcess *w, sd_bus_message *m, void *userdata);
        /* A call of WORKER_INTERFACE from it, which is to be answered some time; may be NULL: it makes none. */
        void (*asked)(WorkerProcess *w, sd_bus_message *m, void *userdata);
        /* It was killed and will not die: the storage below it hangs. gone() follows when it does. May be
         * NULL. */
        void (*stuck)(WorkerProcess *w, const sd_bus_error *error, void *userdata);
        /* It and every process of its group are gone: the hook frees it. The last thing that it says. */
        void (*gone)(WorkerProcess *w, void *userdata);
        void *userdata;
} WorkerHooks;

/* Starts path with that role. what names it in messages: "the worker of pool 'vms'". */
int worker_process_new(sd_event *event, const char *path, const char *role, const char *what,
                       const WorkerHooks *hooks, WorkerProcess **ret, sd_bus_error *error);
/* Kills the group at once if it still lives; no hook is called. */
WorkerProcess *worker_process_free(WorkerProcess *w);
DEFINE_CLEANUP(WorkerProcess *, worker_process_free)

/* A method call message of WORKER_INTERFACE, to be filled and handed to worker_process_call(). */
int worker_process_new_call(WorkerProcess *w, const char *verb, sd_bus_message **ret);
/*
 * Sends it; nothing else may be under way. reply is called exactly once, unless the worker is freed before.
 * A call that is not answered within timeout µs is Timeout, and the worker is killed.
 */
int worker_process_call(WorkerProcess *w, sd_bus_message *m, uint64_t timeout, WorkerReply reply,
                        void *userdata);
bool worker_process_busy(const WorkerProcess *w);
/* False once it is known to be dead or dying: it takes no calls any more. */
bool worker_process_alive(const WorkerProcess *w);
/* It was killed and hangs in the kernel. */
bool worker_process_is_stuck(const WorkerProcess *w);

/* Asks it to give up the call under way; after a second it is killed. */
void worker_process_cancel(WorkerProcess *w);
/* Kills the whole group; gone() follows. */
void worker_process_kill(WorkerProcess *w);

/*
 * Reaps dead children, workers and what they left to us as their subreaper: called on SIGCHLD. Set up once
 * for an event loop.
 */
int worker_process_watch_children(sd_event *event);

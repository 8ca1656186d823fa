/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The pool's worker and its queue: starts it when there is work, tells it the pool, gives it one operation
 * after the other, takes what it reports, and replaces it when it dies.
 */

#include "service/pool.h"

/* Queues a call in the name of job (may be NULL). LimitsExceeded if too many wait. */
int pool_worker_call(Pool *pool, Job *job, const char *verb, int (*fill)(Operation *op, sd_bus_message *m),
                     void (*done)(Operation *op, Pool *pool, sd_bus_message *reply,
                                  const sd_bus_error *error),
                     uint64_t argument, sd_bus_error *error);
/* A job's cancel hook for what goes through the queue: takes it out, or interrupts it. */
void pool_worker_cancel(Job *job);
/* The pool's definition in force has changed: the worker is told before the next operation. */
void pool_worker_forget_def(Pool *pool);
/* The pool is active, and its worker watches nothing yet: it does, and reports everything. 0 or -ENOMEM. */
int pool_worker_resync(Pool *pool);
/* Ends the worker, if there is one; what was queued fails. */
void pool_worker_end(Pool *pool);
/* Until watched, a worker without work ends after a while: called when the pool stops being active. */
void pool_worker_idle(Pool *pool);

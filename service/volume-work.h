/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the jobs on volumes have in common: their beginning, the way to the pool's worker, and their end. */

#include "service/pool.h"

/*
 * A new job about the volume of that name, of which it has locks (taken, also on failure; they should have
 * the volume itself: see volume_locks_add()), cancellable. *ret is a reference for the caller; the other
 * belongs to the job's steps. Busy, LimitsExceeded, or NotActive, in which verb is said of the pool: "given
 * a volume". operation: a literal.
 */
int volume_job_begin(Pool *pool, const char *operation, const char *name, const char *verb,
                     VolumeLocks *locks, uid_t uid, Job **ret, sd_bus_error *error);
/*
 * Hands the job to the worker of pool, its own or another one, or ends it with the reason why not. Returns
 * 0, so that a function that has made a job can end with it.
 */
int volume_job_submit(Job *job, Pool *pool, const char *verb, int (*fill)(Operation *, sd_bus_message *),
                      void (*done)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *));
/* The worker's answer is a row: it is put into the pool, and the job is over, with error if there was one
 * before. */
void volume_job_finish_with_row(Job *job, Pool *pool, sd_bus_message *reply, const sd_bus_error *error);
/* The same for a volume that is new: what was known of an earlier one of that name is not true of it. */
void volume_job_finish_made(Job *job, Pool *pool, sd_bus_message *reply);
/* Ends it for want of memory. */
void volume_job_finish_oom(Job *job);

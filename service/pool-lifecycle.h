/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is done with a pool that exists: build, start, stop, delete, refresh. Each call checks what it can
 * from memory, makes a job and returns; *ret is a reference for the caller, who may wait for the job or drop
 * it. On an error nothing has happened.
 */

#include "service/pool.h"

int pool_build(Pool *pool, uid_t uid, bool overwrite, Job **ret, sd_bus_error *error);
int pool_start(Pool *pool, uid_t uid, Job **ret, sd_bus_error *error);
/* force: the pool becomes inactive even if its storage refuses to let go. */
int pool_stop(Pool *pool, uid_t uid, bool force, Job **ret, sd_bus_error *error);
int pool_delete(Pool *pool, uid_t uid, Job **ret, sd_bus_error *error);
int pool_refresh(Pool *pool, uid_t uid, Job **ret, sd_bus_error *error);

/* The parts, for other chains of steps: each ends by calling job->next once. */
void pool_build_steps(Job *job, bool overwrite);
void pool_start_steps(Job *job);
void pool_stop_steps(Job *job, bool force);
void pool_delete_steps(Job *job);

/*
 * After the daemon's start: a pool that was active is looked at. If it really is, it goes on as active and
 * is listed; if not it becomes inactive (a transient one disappears).
 */
int pool_adopt(Pool *pool, sd_bus_error *error);

/* If a pool waits to be started or looked at again, that is tried soon, as something may have changed. */
void pool_retry_soon(Pool *pool);

/* Starts a pool that is marked for autostart, and again after a while if that fails. */
void pool_autostart(Pool *pool);

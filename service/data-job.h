/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The long part of a job that moves data: a worker of its own fills what the pool's worker has reserved,
 * while the pool goes on serving. Before it begins an intent is written down, so that a daemon that dies
 * meanwhile leaves a trace, and its successor can tell that the job was interrupted.
 */

#include "service/pool.h"

/* Fills the reserved volume (token, fd: copied); job->next is called with the outcome. */
void data_job_fill(Job *job, const char *xml, const char *preallocation, const char *token, int fd);
/*
 * After that: publishes what was filled (done gets the worker's answer), or with an error discards it and
 * ends the job with that.
 */
void data_job_publish(Job *job, const sd_bus_error *error,
                      void (*done)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *));
/* Jobs whose intents an earlier daemon left behind reappear as failed (Interrupted); the intents are
 * removed. */
int data_jobs_recover(Manager *m);

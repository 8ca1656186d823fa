/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Answers a method call when its job is done, or when the caller has waited long enough. */

#include "interfaces/bus.h"

typedef enum ReplyKind {
        REPLY_EMPTY,          /* (): always at the end */
        REPLY_JOB,            /* (o job) */
        REPLY_POOL,           /* (o pool, o job) */
        REPLY_POOL_CHANGES,   /* (o pool, as changes, o job) */
        REPLY_VOLUME,         /* (o volume, o job) */
        REPLY_VOLUME_CHANGES, /* (o volume, as changes, o job) */
        REPLY_DESCRIPTOR,     /* (h): always at the end */
        REPLY_USERS,          /* (a(sua{sv}) users): always at the end */
        REPLY_SOURCES,        /* (aa{sv} sources, o job), or as XML (s xml, o job) */
        REPLY_TRANSFER,       /* (a{sv} result, o job) */
        REPLY_IMPORT,         /* (o volume, a{sv} result, o job) */
        REPLY_IMPORT_PIPE,    /* (o volume, h pipe, o job): as below */
        REPLY_PIPE,           /* (h pipe, o job): at once, and the job always has its path */
} ReplyKind;

/*
 * wait in µs: 0 answers at once with the running job. Takes nothing; job may be over already. Returns what a
 * method handler returns.
 */
int reply_when_done(Bus *b, sd_bus_message *m, Job *job, ReplyKind kind, uint64_t wait, sd_bus_error *error);

/* Answers at once with the job's result_fd, which only the caller has from then on; or that it has failed
 * already. */
int reply_with_pipe(sd_bus_message *m, Job *job, ReplyKind kind);

/* A job's Result as a{sv}. */
int job_append_result(const Job *job, sd_bus_message *m);

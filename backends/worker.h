/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parts of storaged-worker: a role is a vtable for WORKER_INTERFACE and its state. See
 * worker-protocol.h. */

#include "backends/backend.h"
#include "common/worker-protocol.h"

typedef struct WorkerRole {
        const char *name;
        const sd_bus_vtable *vtable;
        /* *ret: the vtable's userdata. */
        int (*new)(sd_bus *bus, sd_event *event, void **ret);
        void (*free)(void *userdata);
} WorkerRole;

extern const WorkerRole worker_role_store, worker_role_pool, worker_role_data;

/* A call begins: what was cancelled before is over. */
void worker_call_begin(void);
/* SIGUSR1 came since the call began. */
bool worker_is_cancelled(void);

/* One option of an a{sv}: key, signature (b, s or t), and where it goes (int *, const char ** or
 * uint64_t *). */
typedef struct WorkerOption {
        const char *key;
        const char *type;
        void *target;
} WorkerOption;

/* Reads the a{sv} at the message's read pointer; a key that is not in the n options is skipped. */
int worker_read_options(sd_bus_message *m, const WorkerOption *options, size_t n);
/* The value of the option "preallocation". */
int worker_parse_preallocation(const char *s, Preallocation *ret, sd_bus_error *error);

/* The method FindSources: replies by itself. */
int worker_find_sources(sd_bus_message *m, sd_bus_error *error);

/* Collects rows and sends them as Rows signals; use its sink. */
typedef struct RowSender {
        RefreshSink sink;
        sd_bus *bus;
        bool first;   /* the next message is the first of a complete listing */
        bool listing; /* what is sent is one */
        sd_bus_message *m;
        size_t n;
        char **removed;
} RowSender;

void row_sender_init(RowSender *s, sd_bus *bus, bool first);
/* Sends what there is, and an empty first message if a complete listing turned out to be empty. */
int row_sender_finish(RowSender *s);
void row_sender_done(RowSender *s);

/* Sends Status signals. All zero: nothing was sent yet. */
typedef struct StatusSender {
        sd_bus *bus;
        sd_event_source *later; /* sizes change all the time: at most twice a second */
        bool sent;
        uint64_t when; /* CLOCK_MONOTONIC */
        PoolReport last, next;
} StatusSender;

int status_sender_init(StatusSender *s, sd_bus *bus, sd_event *event);
void status_sender_done(StatusSender *s);
/* What is held back is not sent any more. */
void status_sender_drop(StatusSender *s);
/* Takes over what is in report. force: send it although nothing changed. */
int status_sender_send(StatusSender *s, PoolReport *report, bool force);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The worker of a data job: one call, then its end. Each verb has a file of its own, and a row in the vtable
 * in worker-data.c. See worker-protocol.h.
 */

#include "backends/worker.h"

typedef struct DataWorker {
        sd_bus *bus;
        uint64_t last;        /* CLOCK_MONOTONIC: the last progress was told */
        uint64_t done, total; /* how far it is */
        bool untold;          /* that was not told yet */
} DataWorker;

/* A call about one volume of a pool. */
typedef struct DataCall {
        BackendContext ctx;
        PoolDef *pool;
        const char *name; /* of the volume, for messages; the message's */
        int fd;           /* of the volume; the message's */
} DataCall;

/* Reads (s pool xml, s volume name, h fd) from m, and prepares the context, whose words go to error. */
int data_call_begin(sd_bus_message *m, DataWorker *w, sd_bus_error *error, DataCall *ret);
void data_call_done(DataCall *call);
/*
 * Contents are about to be written in place: from now on the volume is incomplete if the call does not come
 * to its end. Returns when the daemon has that on disk; not 0: nothing may be written.
 */
int data_call_writing(DataCall *call);
/* What was begun to be written has come to nothing, and the volume is as whole as it was: it is not
 * incomplete. */
int data_call_whole(DataCall *call);
/* The context of a call that is not about one volume. */
BackendContext data_context(DataWorker *w, const PoolDef *pool, sd_bus_error *error);

/* Handlers of the vtable. */
int data_worker_fill(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_copy(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_upload(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_download(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_measure(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_rebase(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_set_backing(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_commit(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_copy_back(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_file_snapshot(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_snapshot(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_grow(sd_bus_message *m, void *userdata, sd_bus_error *error);
int data_worker_wipe(sd_bus_message *m, void *userdata, sd_bus_error *error);

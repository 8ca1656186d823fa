/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The worker of a pool: what its two halves, the pool (worker-pool.c) and its volumes (worker-volume.c),
 * share. */

#include "backends/raid.h"
#include "backends/worker.h"

typedef struct PoolWorker {
        sd_bus *bus;
        sd_event *event;
        PoolDef *def;
        const Backend *backend;
        BackendScan *scan;
        RaidWatch *raid_watch;
        bool watched;
        bool asked;  /* a Refresh was asked for once: before, nothing is told unasked */
        bool listed; /* a complete listing was sent of this scan */
        StatusSender status;
} PoolWorker;

/* Of a call: error is where its words go. */
BackendContext pool_worker_context(PoolWorker *w, sd_bus_error *error);
/* Unsupported unless has; what ends "Pools of type x cannot …". */
int pool_worker_need(PoolWorker *w, bool has, const char *what, sd_bus_error *error);

/* Looks at what has changed, and tells, if anything was asked of the pool yet. */
void pool_worker_look(PoolWorker *w);

/* Methods on volumes: handlers of the vtable. */
int pool_worker_create_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_worker_publish_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_worker_discard_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_worker_delete_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_worker_resize_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_worker_open_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_worker_list_users(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_worker_look_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);

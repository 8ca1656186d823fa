/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A pool's lifecycle as its worker does it: the backend's functions, with those of the array beneath around
 * them if the definition has one. The backend has the function, but for stop and start, which a pool on an
 * array has in any case. Contracts are those of backend.h.
 */

#include "backends/raid.h"

/* Undone if it fails half-way. Afterwards the array does not run. */
int pool_build_storage(const Backend *backend, BackendContext *ctx, const BuildOptions *options,
                       bool *ret_made);
int pool_start_storage(const Backend *backend, BackendContext *ctx);
/* If it cannot be stopped wholly it is as active as before. */
int pool_stop_storage(const Backend *backend, BackendContext *ctx);
int pool_delete_storage(const Backend *backend, BackendContext *ctx);
int pool_check_storage(const Backend *backend, BackendContext *ctx, bool *ret_active);
/* all: refresh; else refresh_changes. */
int pool_look(const Backend *backend, BackendContext *ctx, BackendScan *scan, bool all, RefreshSink *sink,
              PoolReport *ret);

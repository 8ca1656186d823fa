/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The scan of a folder of image files: a cache of all its rows by name, and what is looked at again when.
 * The functions below have the contract of those of the same name in backend.h; pool types whose volumes are
 * files in a folder share them.
 */

#include "backends/backend.h"

int dir_scan_new(BackendContext *ctx, BackendScan **ret);
BackendScan *dir_scan_free(BackendScan *scan);
/*
 * One pass: getdents, statx, and only what is not as the cache has it is opened and read. A folder that is
 * not there or does not answer is no error: the report says inaccessible, and the cache stays as it is.
 */
int dir_scan_refresh(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret);
int dir_scan_watch(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                   void *userdata);
int dir_scan_refresh_changes(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret);
int dir_scan_note(BackendScan *scan, const char *name, const VolumeRow *row);

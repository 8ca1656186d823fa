/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The scan of a folder that a pool mounts a block device on: that of dir-scan.h, and a watch of the device.
 * The functions have the contract of those of the same name in backend.h.
 */

#include "backends/backend.h"

int fs_scan_new(BackendContext *ctx, BackendScan **ret);
BackendScan *fs_scan_free(BackendScan *scan);
int fs_scan_refresh(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret);
int fs_scan_watch(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                  void *userdata);
int fs_scan_refresh_changes(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret);
int fs_scan_note(BackendScan *scan, const char *name, const VolumeRow *row);

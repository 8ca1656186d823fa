/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Candidates for the source of a pool on block devices: those that could be one, and those that could not,
 * with the reason. ctx->pool may limit them: to the volume group and the devices that it names. Reads only,
 * and waits for a device that does not answer a bounded time.
 */

#include "backends/backend.h"

/* File systems, and what is blank: disks, partitions, logical volumes, arrays. */
int find_fs_sources(BackendContext *ctx, FoundSink *sink);
/* Whole disks and arrays, with their partition table. */
int find_disk_sources(BackendContext *ctx, FoundSink *sink);
/* Volume groups with their devices; and whole disks and arrays that one could be made of. */
int find_logical_sources(BackendContext *ctx, FoundSink *sink);

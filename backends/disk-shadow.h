/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A disk's partition table in memory, as a sparse file of the disk's size that has only the places where
 * tables are. libparted opens a disk for writing even to read it, writes in an order of its own and talks to
 * the kernel by itself; of the shadow it may do what it likes, and the disk gets only what came out
 * different, in an order in which a power cut leaves the old table or the new one.
 */

#include "backends/disk-table.h"

#define SHADOW_RANGES_MAX (DISK_CHAIN_MAX + 4U)

typedef struct ShadowRange {
        uint64_t start, end;
} ShadowRange;

typedef struct DiskShadow {
        DiskFile file; /* the copy: its fd is owned */
        ShadowRange ranges[SHADOW_RANGES_MAX];
        size_t n_ranges;
} DiskShadow;

/* 0 or negative errno. */
int disk_shadow_open(const DiskFile *disk, DiskShadow *ret);
void disk_shadow_done(DiskShadow *shadow);
/* Writes what differs to the disk, whose descriptor must be open for writing. On return it is durable. */
int disk_shadow_apply(const DiskShadow *shadow, const DiskFile *disk);

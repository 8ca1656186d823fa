/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where on a disk there is room, and what a new partition becomes. Pure functions on what disk_table_read()
 * found; in bytes, an end is the first byte behind.
 */

#include "backends/disk-table.h"

typedef struct DiskSpace {
        uint64_t start, end;
        bool logical; /* in the extended partition */
} DiskSpace;

/* All that no partition has, in the order of position; *ret is the caller's (NULL if there is none). 0 or
 * -ENOMEM. */
int disk_spaces(const DiskTable *table, DiskSpace **ret, size_t *ret_n);

/* What partitions begin at a multiple of: the table's cylinder, or the disk's optimal I/O size (0: unknown),
 * 1 MiB at least. */
uint64_t disk_alignment(const DiskTable *table, uint64_t optimal_size);
/* What a partition of that size takes up: whole cylinders, or whole sectors. */
uint64_t disk_round_size(const DiskTable *table, uint64_t size);

/*
 * The smallest space of that kind with room for size bytes (as rounded), aligned. False: there is none, and
 * *ret_largest is the size that would have found room.
 */
bool disk_place(const DiskTable *table, const DiskSpace *spaces, size_t n, bool logical, uint64_t size,
                uint64_t alignment, uint64_t *ret_start, uint64_t *ret_largest);

/* How far the end of a partition could be moved up; its end if not at all. */
uint64_t disk_grow_limit(const DiskTable *table, const DiskPartition *partition);

/* The number that the next partition gets; 0: the table is full. */
unsigned disk_next_number(const DiskTable *table, bool logical);

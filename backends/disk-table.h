/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Partition tables as they are on a disk. Reading opens nothing and writes nothing: libblkid reads all kinds
 * but pc98, which it takes for an empty dos table. Positions and sizes are in bytes; an end is the first
 * byte behind.
 */

#include "common/util.h"

typedef enum DiskTableType {
        TABLE_DOS,
        TABLE_DVH,
        TABLE_GPT,
        TABLE_MAC,
        TABLE_BSD,
        TABLE_PC98,
        TABLE_SUN,
        _TABLE_MAX,
        _TABLE_INVALID = -1,
} DiskTableType;

/* The names are those of pools' source formats. */
const char *disk_table_to_string(DiskTableType type);
DiskTableType disk_table_from_string(const char *s); /* also for "unknown": _TABLE_INVALID */

/* An open disk, or a plain file that looks like one. */
typedef struct DiskFile {
        int fd;
        const char *name; /* for messages */
        uint64_t size;
        uint32_t sector_size;
} DiskFile;

typedef enum DiskPartitionKind {
        PARTITION_PRIMARY,
        PARTITION_EXTENDED,
        PARTITION_LOGICAL,
        /* Entries that the table needs itself: mac's map, the whole disk of sun and dvh. */
        PARTITION_RESERVED,
} DiskPartitionKind;

typedef struct DiskPartition {
        unsigned number; /* as in the kernel's names */
        DiskPartitionKind kind;
        uint64_t start, end;
        const char *format; /* a volume format of disk pools; not owned */
} DiskPartition;

typedef struct DiskTable {
        DiskTableType type;
        uint32_t sector_size;
        uint64_t cylinder;    /* what partitions begin and end at; 0: anywhere */
        uint64_t first, last; /* between these partitions may be */
        DiskPartition *partitions;
        size_t n_partitions;
        uint64_t *records; /* dos: what disk_dos_chain() finds */
        size_t n_records;
} DiskTable;

void disk_table_done(DiskTable *table);

/* -ENODATA: there is no table of these types. */
int disk_table_read(const DiskFile *file, DiskTable *ret);
/* Appends a partition. 0 or -ENOMEM. */
int disk_table_add(DiskTable *table, const DiskPartition *partition);

const DiskPartition *disk_table_find(const DiskTable *table, unsigned number);
const DiskPartition *disk_table_extended(const DiskTable *table);

/*
 * The sectors that begin the table and those that hold one of its parts elsewhere: for dos the chain of
 * records in the extended partition, n of them at most. Each is the position of a sector. Returns how many
 * there are.
 */
size_t disk_dos_chain(const DiskFile *file, uint64_t *ret, size_t n);

/* The cylinder of libparted, which does not ask the disk: sectors in it. */
#define DISK_HEADS 255U
#define DISK_TRACK(sector_size) (1U + (sector_size) / 512U)
#define DISK_CHAIN_MAX 128U

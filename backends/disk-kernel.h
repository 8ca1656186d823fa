/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the kernel and udev are told of a partition table. The kernel gets each change by itself (BLKPG) and
 * keeps what did not change, so that partitions in use stay; it is never made to read the whole table again.
 */

#include "backends/block-device.h"
#include "backends/disk-table.h"

/* A disk whose table nobody else changes meanwhile, and which udev leaves alone. */
typedef struct DiskLock {
        const BlockDevice *device;
        int lock_fd;   /* open for reading, with udev's lock on it */
        int events_fd; /* the kernel's events, which udev sees as well */
} DiskLock;

/* Waits for others some seconds, then Busy. */
int disk_lock(BackendContext *ctx, const BlockDevice *device, DiskLock *ret);
/* Waits for nobody. Whether it is locked now. */
bool disk_lock_now(const BlockDevice *device, DiskLock *ret);
/*
 * To be called when a descriptor that was open for writing was closed: udev hears of that, and would let the
 * kernel read the whole table anew if the disk were not locked then. Waits (bounded) for it to have seen it.
 */
void disk_lock_written(DiskLock *lock);
/*
 * Lets udev go on: as soon as possible, as it comes back to a disk that was locked only after a while. May
 * be called again.
 */
void disk_unlock(DiskLock *lock);

/* A partition as the kernel has it. */
typedef struct KernelPartition {
        unsigned number;
        uint64_t start, size;
        dev_t devnum;
        char name[64];
} KernelPartition;

/* *ret is the caller's, NULL if there are none. 0 or negative errno. */
int disk_kernel_list(const BlockDevice *device, KernelPartition **ret, size_t *ret_n);
const KernelPartition *disk_kernel_find(const KernelPartition *l, size_t n, unsigned number);
/* Whether what the kernel has is what the table says. */
bool disk_kernel_agrees(const KernelPartition *k, const DiskPartition *p);

/* Forgets one. -EBUSY: somebody has it open, and for longer than a look takes. */
int disk_kernel_forget(int fd, unsigned number);
int disk_kernel_add(int fd, const DiskPartition *p, uint32_t sector_size);
/*
 * Makes the kernel's partitions those of the table; what the table needs itself stays as it is, unless it is
 * the whole disk. All that is possible is done; InUse, naming the first partition that is open and so could
 * not go or be moved.
 */
int disk_kernel_sync(BackendContext *ctx, const BlockDevice *device, int fd, const DiskTable *table);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pools that are a partitioned disk: the backend's table, and what its parts share. */

#include "backends/block-device.h"
#include "backends/disk-kernel.h"
#include "backends/disk-table.h"

extern const Backend backend_disk;

/* The pool's disk, open, and what is on it now. */
typedef struct DiskPool {
        BlockDevice device;
        DiskFile file; /* its fd is owned */
        DiskTable table;
        KernelPartition *known; /* the kernel's partitions */
        size_t n_known;
} DiskPool;

void disk_pool_done(DiskPool *pool);
/*
 * Opens the disk with flags (O_RDONLY or O_RDWR) and reads its table. verb is for messages: "start pool
 * 'x'". NotFound: there is no such device; Failed: there is no table, or not one of the pool's format, and
 * what there is instead.
 */
int disk_pool_open(BackendContext *ctx, const char *verb, DiskPool *ret);
/* The same for work on a volume: a disk that is gone is Inaccessible. */
int disk_pool_open_volume(BackendContext *ctx, DiskPool *ret);
/* Reads the table and the kernel's partitions again. */
int disk_pool_reload(BackendContext *ctx, DiskPool *pool);
/* As a DiskFile; fd is not owned. */
DiskFile disk_pool_file(const BlockDevice *device, int fd);
/* Unsupported, if the device cannot have partitions. */
int disk_require_partitions(BackendContext *ctx, const BlockDevice *device);
/* Whether the kernel has all partitions of the table, as they are there. */
bool disk_pool_is_known(const DiskPool *pool);
/*
 * Exists, if on the disk there is something that takes all of it, unused as it may be: the table is older
 * than that, or is the one in the array of which the disk is a part. array: only the latter counts.
 */
int disk_pool_require_table(BackendContext *ctx, const DiskPool *pool, bool array);
/*
 * Opens it for writing instead (InUse, if the disk is in use as a whole; disk_pool_require_table()), and for
 * reading again. Only while lock is held: udev hears when the first is closed; after that the lock is given
 * up.
 */
int disk_pool_begin(BackendContext *ctx, DiskPool *pool);
void disk_pool_end(DiskPool *pool, DiskLock *lock);

/* "vdb1", and its node "/dev/vdb1": *ret is the caller's. 0 or -ENOMEM. */
int disk_partition_name(const PoolDef *def, const BlockDevice *device, unsigned number, char **ret);
int disk_partition_node(const PoolDef *def, const BlockDevice *device, unsigned number, char **ret);
/* The partition of that name; NotFound. */
int disk_pool_find(BackendContext *ctx, const DiskPool *pool, const char *name, const DiskPartition **ret);
/* Its row. now and before: as in block_luks_set_row(). 0 or -ENOMEM. */
int disk_pool_row(const PoolDef *def, const DiskPool *pool, const DiskPartition *p, bool now,
                  const VolumeRow *before, VolumeRow *ret);

/* The row of what was made or changed just now, once udev has made its links. */
int disk_pool_read_row(BackendContext *ctx, DiskPool *pool, unsigned number, VolumeRow *ret);

/*
 * Takes partitions first..last away from the kernel, which refuses for those that somebody has open: then
 * all of them stay. InUse, naming the one, and who has it if that can be found out. verb: "be deleted".
 */
int disk_pool_release(BackendContext *ctx, const DiskPool *pool, unsigned first, unsigned last,
                      const char *verb);
/* The same of those that are in the way of bytes start to end, and not in the table: somebody may have taken
 * one out of that without telling the kernel, and use it still. */
int disk_pool_release_room(BackendContext *ctx, const DiskPool *pool, uint64_t start, uint64_t end,
                           const char *verb);
/* Makes the kernel's partitions those of the table again, as far as possible; says nothing. */
void disk_pool_restore(const DiskPool *pool);

int disk_scan_new(BackendContext *ctx, BackendScan **ret);
BackendScan *disk_scan_free(BackendScan *scan);
int disk_scan_refresh(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret);
int disk_scan_watch(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                    void *userdata);
int disk_scan_note(BackendScan *scan, const char *name, const VolumeRow *row);

/*
 * Makes a partition for def that bears the mark of token, which the kernel knows, and leaves the pool open;
 * *ret: what it became. On an error nothing is left, unless this process ends on the way: see
 * disk_volume_discard().
 */
int disk_partition_make(BackendContext *ctx, const VolumeDef *def, const char *token, DiskPool *ret_pool,
                        DiskPartition *ret);
/* Deletes the volume of that name, with the disk locked by lock. */
int disk_partition_delete(BackendContext *ctx, DiskPool *pool, const char *name, DiskLock *lock);

/* disk-reserve.c */
int disk_volume_reserve(BackendContext *ctx, const VolumeDef *def, const char *token, CreateResult *ret);
int disk_volume_publish(BackendContext *ctx, const char *token, VolumeRow *ret);
int disk_volume_discard(BackendContext *ctx, const char *token);

int disk_volume_create(BackendContext *ctx, const VolumeDef *def, Preallocation p, CreateResult *ret);
int disk_volume_delete(BackendContext *ctx, const char *name, bool force);
int disk_volume_resize(BackendContext *ctx, const char *name, uint64_t capacity,
                       const ResizeOptions *options, VolumeRow *ret);
int disk_volume_open(BackendContext *ctx, const char *name, OpenMode mode, bool force, int *ret_fd);
int disk_volume_look(BackendContext *ctx, const char *name, VolumeRow *ret);

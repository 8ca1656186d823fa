/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Block devices as a pool's source: finding the one that a path means, what is on it, who uses it. All of
 * these read only, but those that say so. Sizes are in bytes.
 */

#include <sys/types.h>

#include "backends/backend.h"

typedef struct BlockDevice {
        char *path; /* as it was given: may be a link in /dev/disk */
        char *node; /* what it leads to: /dev/vdb */
        dev_t devnum;
        uint64_t sequence; /* the kernel's number of the disk, which no later one gets; 0: it gives none */
        uint64_t size;
        uint32_t sector_size;  /* logical */
        uint32_t optimal_size; /* optimal I/O size; 0: the device does not tell */
        bool read_only;
} BlockDevice;

void block_device_done(BlockDevice *dev);

/* NotFound if there is no such path, InvalidArgument if it is no block device. */
int block_device_find(BackendContext *ctx, const char *path, BlockDevice *ret);

/* The usage of what qemu-img makes, which blkid does not know: type is the name of its format. */
#define BLOCK_USAGE_IMAGE "image"

/* What is on a device; strings are owned. All NULL: nothing is recognised. */
typedef struct BlockContents {
        char *usage; /* filesystem, raid, crypto, other, image; NULL for a partition table */
        char *type;  /* ext4, LVM2_member, linux_raid_member, … */
        char *label, *uuid;
        char *table;     /* dos, gpt, …: a partition table */
        bool ambivalent; /* more than one was found: type is "several signatures" */
} BlockContents;

void block_contents_done(BlockContents *c);
/* Reads the device itself by libblkid's low-level probe, never a cache. Where that finds nothing it looks
 * once more for what is damaged: superblocks with wrong checksums, a gpt without its first sector; and then
 * for the header of a disk image, as a guest has its disk on a logical volume. */
int block_device_probe(BackendContext *ctx, const BlockDevice *dev, BlockContents *ret);
/* For people: "an ext4 file system labelled 'data'", "a gpt partition table", "an LVM physical volume"; NULL
 * if c is empty. *ret is the caller's. 0 or -ENOMEM. */
int block_contents_describe(const BlockContents *c, char **ret);

/* Whether a device-mapper or md device is made of it or it is mounted or swap: looks into /sys and /proc
 * only. */
bool block_device_has_holders(dev_t devnum, const char *node);

/*
 * Who has the device: mounted file systems, swap, device-mapper and md devices on it or on any of its
 * partitions. Looks into /sys and /proc only. For people ("mounted on /srv", "part of md0"); *ret is NULL if
 * nobody. *ret is the caller's.
 */
int block_device_describe_use(BackendContext *ctx, const BlockDevice *dev, char **ret);
/* The same of the device as a whole, without its partitions. */
int block_device_describe_whole_use(BackendContext *ctx, const BlockDevice *dev, char **ret);
/*
 * InUse, naming who, if somebody has it, has it (or a partition of it) open for writing, or has opened it
 * exclusively (which is found out by opening it so for a moment: for what is about to change it only). Who
 * has it open for a moment, as udev and its tools, is waited for. verb: "cannot be partitioned".
 */
int block_device_require_unused(BackendContext *ctx, const BlockDevice *dev, const char *verb);
/* The same, but what processes have open is left to in_use_refuse_mode(), which minds what it is opened for.
 */
int block_device_require_unheld(BackendContext *ctx, const BlockDevice *dev, const char *verb);
/*
 * What Build must ask before it writes: read-only devices, those in use and parts of volume groups are
 * refused always; one on which something is recognised is refused (Exists, naming it) unless overwrite.
 */
int block_device_require_writable(BackendContext *ctx, const BlockDevice *dev, bool overwrite);
/*
 * Writes: wipes every signature that blkid knows, and zeroes the first and last MiB. The caller has asked
 * block_device_require_writable(); what has changed since is found out here, when nobody else can take the
 * device any more: Exists if there is something on it by now and overwrite does not allow that, Failed if it
 * is another disk.
 */
int block_device_wipe(BackendContext *ctx, const BlockDevice *dev, bool overwrite);

/* Waits (bounded: some seconds) until udev has handled what happened to dev, so that its links are there.
 * Never fails: a slow udev is no error. */
void block_device_settle(const BlockDevice *dev);

/*
 * The stable name for node beneath folder (/dev/disk/by-id, by-path, …): of the links that lead to it the
 * first in the order of names. folder "/dev": node itself. *ret is the caller's; NULL if it has none there.
 */
int block_device_stable_path(const char *node, const char *folder, char **ret);

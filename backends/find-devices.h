/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The block devices of the host as candidates for a pool's source. */

#include "backends/block-device.h"
#include "backends/find-drives.h"

typedef enum FoundKind {
        FOUND_DISK, /* a whole one, also a loop device or a multipath one */
        FOUND_CDROM,
        FOUND_PARTITION,
        FOUND_EXTENDED, /* the partition that others are in */
        FOUND_VOLUME,   /* logical */
        FOUND_ARRAY,
} FoundKind;

typedef struct FoundDevice {
        FoundKind kind;
        char *node;   /* as a pool should name it if it has no stable name: /dev/vdb, /dev/tank/root */
        char **links; /* stable names, best first */
        char *vg;     /* of a logical volume: whose it is; of a physical volume: what it is part of */
        dev_t devnum;
        uint64_t size;
        bool read_only;
        DriveInfo drive;
        bool no_medium; /* then nothing is known that is found by looking at it: */
        bool silent;    /* it did not answer */
        char *problem;  /* why it could not be looked at, for people */
        BlockContents contents;
        char *words;   /* contents for people; NULL: blank */
        char *used_by; /* for people; NULL: nobody */
} FoundDevice;

typedef struct FoundDevices {
        FoundDevice *list;
        size_t n;
        bool silent; /* one of them is */
} FoundDevices;

/* Of those that ctx->pool names, if it names any. The result is freed with found_devices_done(). */
int found_devices_get(BackendContext *ctx, FoundDevices *ret);
void found_devices_done(FoundDevices *devices);
/* The device with that node or stable name; NULL: none. */
FoundDevice *found_devices_find(const FoundDevices *devices, const char *path);

/*
 * Looks at node for at most usec (then it is silent), and fills in what that tells. 0 or a negative errno
 * that has nothing to do with the device.
 */
int found_device_look(FoundDevice *device, uint64_t usec);

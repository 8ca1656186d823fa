/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is known of the drives that block devices are on: of UDisks2 when it runs, else of udev. */

#include <systemd/sd-device.h>

#include "common/util.h"

typedef struct Drives Drives;

typedef struct DriveInfo {
        char *vendor, *model, *serial; /* valid UTF-8; NULL: not known */
        bool removable;
} DriveInfo;

void drive_info_done(DriveInfo *info);

/* Asks UDisks2, if it is on the system bus, for a bounded time; it is not started. NULL: out of memory. */
Drives *drives_new(void);
Drives *drives_free(Drives *drives);
DEFINE_CLEANUP(Drives *, drives_free)
/* Of the drive that the block device is on, into the empty *ret. 0 or -ENOMEM. */
int drives_find(const Drives *drives, sd_device *device, DriveInfo *ret);

/* udev writes what might break its database as "\x20": back into bytes, without spaces at both ends. NULL
 * for
 * "". *ret is the caller's. 0 or -ENOMEM. */
int drive_decode(const char *s, char **ret);

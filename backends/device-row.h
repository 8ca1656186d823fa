/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Volumes of a dir pool below /dev, such as /dev/disk/by-id: the host's own block devices by their stable
 * names, to be handed to guests. They can be listed, opened and watched, but neither made nor deleted.
 */

#include <sys/stat.h>

#include "backends/backend.h"

/* Whether folder holds devices rather than files. */
bool device_folder(const char *folder);

/* Whether what folder (one of devices) has there is a link that udev has made before it wrote down what the
 * device is: it tells of the device when it has. May run on any thread. */
bool device_awaits_udev(const char *folder, const struct statx *stx);

/*
 * Sets all of the row but its name from the node of a block device, without opening the device: a drive need
 * not spin up, a dead one cannot hang. What cannot be used (a drive without medium) says so in
 * extra->problem. May run on any thread. 0 or -ENOMEM.
 */
int device_row_set(VolumeRow *row, const struct statx *stx);

/* Opens the device that name in dir_fd leads to; for writing only if nobody has it. 0 or negative errno. */
int device_open(BackendContext *ctx, int dir_fd, const char *name, OpenMode mode, bool force, int *ret_fd);
/* All of the row of the device that name in dir_fd leads to. 0 or negative errno, with words. */
int device_row_look(BackendContext *ctx, int dir_fd, const char *name, VolumeRow *ret);

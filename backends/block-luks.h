/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * LUKS on block devices: volumes that are containers. Their capacity is what a guest sees of them, so that
 * their device is larger by a header. Sizes are in bytes.
 */

#include "backends/backend.h"

/*
 * What the header takes that is made for that encryption; 0 for none. Of QEMU 7.2, "qemu-img measure" tells
 * it too, but needs the passphrase and seconds of hashing for that, which nobody can wait for that has a
 * pool to serve: block_luks_begin() finds out if another QEMU takes more.
 */
uint64_t block_luks_header_size(const VolumeEncryption *e);

/*
 * Makes the device that fd is open on a container for def, with the context's secret: its header, and, if
 * the device has the mark of a partition (block-mark.h), that in a place where it leaves the header valid.
 * On return it is durable; what is in the container is noise. block_luks_end() takes that mark away, once
 * all else is on the disk. 0 or a negative errno, with words.
 */
int block_luks_begin(BackendContext *ctx, const VolumeDef *def, int fd);
int block_luks_end(BackendContext *ctx, const VolumeDef *def, int fd);
/* Both: for volume_fill. */
int block_luks_fill(BackendContext *ctx, const VolumeDef *def, Preallocation p, int fd);

/*
 * If a container is on the device at path: sets what row shows of the encryption, and takes the header from
 * its capacity, which is the device's. Who lists many devices does not want to open them all: now false
 * looks only where udev, or before (its row as it was; may be NULL), knows of a container. 0 or -ENOMEM.
 */
int block_luks_set_row(const char *path, bool now, const VolumeRow *before, VolumeRow *row);
/* How much of the device at path a container's header takes; 0: there is none. */
uint64_t block_luks_read_header_size(const char *path);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Bytes of volumes through descriptors of clients. What such a descriptor leads to may hang (somebody's FUSE
 * file): the daemon only passes it on, and the data worker finds out what it is.
 */

#include "service/volume-work.h"

typedef struct VolumeTransfer {
        int fd; /* the client's; not taken. Negative: a pipe is made, whose other end is the job's result_fd
                 */
        uint64_t offset; /* in the volume, bytes */
        uint64_t length; /* bytes; UINT64_MAX: not given */
        bool sparse, sha256, force;
} VolumeTransfer;

/*
 * Each checks what it can from memory, makes a job and returns; *ret is a reference for the caller. On an
 * error nothing has happened.
 */
int volume_upload(Volume *v, const VolumeTransfer *t, uid_t uid, Job **ret, sd_bus_error *error);
int volume_download(Volume *v, const VolumeTransfer *t, uid_t uid, Job **ret, sd_bus_error *error);

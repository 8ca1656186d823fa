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

/* What the worker has to know of the volume that it writes to. */
typedef struct TransferTarget {
        bool grow, fresh, zero;
        const char *format;
} TransferTarget;

/*
 * Each checks what it can from memory, makes a job and returns; *ret is a reference for the caller. On an
 * error nothing has happened.
 */
int volume_upload(Volume *v, const VolumeTransfer *t, uid_t uid, Job **ret, sd_bus_error *error);
int volume_download(Volume *v, const VolumeTransfer *t, uid_t uid, Job **ret, sd_bus_error *error);
/*
 * A new volume of what can be read from the descriptor. Takes def, also on failure; its capacity does not
 * matter, as it is the length. A format that def has is what the contents must be.
 */
int volume_import(Pool *pool, VolumeDef *def, const VolumeTransfer *t, uid_t uid, Job **ret,
                  sd_bus_error *error);

/* What they have in common. */

/* The job's peer_fd and result_fd, out of the client's descriptor or a new pipe. 0 or negative errno. */
int transfer_take_descriptors(Job *job, const VolumeTransfer *t, bool in);
/* Finds out how much peer_fd has to be read: it is job->bytes_total when next is called. */
void transfer_measure(Job *job, void (*next)(Job *job, const sd_bus_error *error));
/* Appends peer_fd, which only the worker has from then on, and the options: see worker-protocol.h. */
int transfer_append(Job *job, sd_bus_message *m, const VolumeTransfer *t, const TransferTarget *target);
/* What the worker says went through becomes the job's. */
int transfer_read_result(Job *job, sd_bus_message *reply);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Volumes that a job needs open besides its own: an image and what it is built on. Each is opened by its own
 * pool's worker, with locks, before the data worker gets all of them.
 */

#include "service/volume-work.h"

typedef struct ChainMember {
        Pool *pool; /* the job's lock on the volume keeps it */
        char *name, *format;
        char *secret; /* the file of what it is opened with; NULL: none is needed, or it stays closed */
        uint64_t start; /* see volume_start() */
        bool write;
        int fd; /* owned */
} ChainMember;

typedef struct VolumeChain {
        ChainMember *members;
        size_t n, n_open;
        void (*opened)(Job *job);
} VolumeChain;

void volume_chain_done(VolumeChain *c);
/* Adds one volume. format: "raw", "qcow2". LimitsExceeded, if there are too many for one job. */
int volume_chain_add(VolumeChain *c, const Volume *v, const char *format, bool write, sd_bus_error *error);
/*
 * The file of the secret that opens v as that format, in *ret; NULL: none is needed. NotFound, if v is
 * encrypted, and it is not known with which.
 */
int volume_chain_find_secret(const Volume *v, const char *format, char **ret, sd_bus_error *error);
/* Whether v itself, of that format, or the first volume behind it that is, is encrypted; NULL: none. */
const Volume *volume_chain_find_encrypted(const Volume *v, const char *format);
/*
 * Adds what the image v is built on, one behind the other, to be read, each with the format that the one
 * before has recorded; format: of v. Each with the secret that it needs. Unsupported, if a part of that is
 * not known: all that QEMU would open must be, as a header may name anything.
 */
int volume_chain_add_backing(VolumeChain *c, const Volume *v, const char *format, sd_bus_error *error);
/* Opens all, one after the other, and calls opened; or ends the job. The job's data begins with its
 * VolumeChain. */
void volume_chain_open(Job *job, void (*opened)(Job *job));
/* Appends members from first to end as a(shs); that of first is the data job's descriptor number fd. */
int volume_chain_append(const Job *job, const VolumeChain *c, size_t first, size_t end, size_t fd,
                        sd_bus_message *m);

/* What QEMU is to take the volume for. */
const char *volume_image_format(const Volume *v);

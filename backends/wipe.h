/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Wiping: the contents of a file or block device are made unreadable, in place; its size and, but for trim
 * and for files with holes, what is allocated to it stay. An image of whatever format is a raw one after
 * that: it is its own bytes that are wiped.
 *
 * zero: reads as zeros, by the fastest way that the storage has. A file's blocks are marked as unwritten, or
 * given back if the file has holes, and are not written over: no user of the file system can read them any
 * more, somebody with the disk itself in his hands could. A thin logical volume gives its blocks back, other
 * devices are zeroed by the kernel (BLKZEROOUT).
 *
 * trim: all of it is given back to the storage. A file and a thin volume read as zeros after that; of other
 * devices it is their matter what they read as.
 *
 * The others write over every byte, in passes, each of which has reached the storage before the next begins.
 * They are what the program scrub, which libvirt runs for them, calls by these names, and does in this order
 * (compared with scrub(1) 2.6.1, "SCRUB METHODS", with what that prints as it goes, and with libvirt's
 * virStorageVolWipeAlgorithm):
 *
 *     random      random
 *     nnsa        random twice, 0x00, read back     NNSA Policy Letter NAP-14.1-C, XVI-8
 *     dod         random, 0x00, 0xff, read back     DoD 5220.22-M, 8-306, procedure (d)
 *     bsi         ff fe fd fb f7 ef df bf 7f        the German BSI's recommendation
 *     gutmann     35 passes                         P. Gutmann, "Secure Deletion of Data from Magnetic and
 *                                                   Solid-State Memory" (1996), table 1
 *     schneier    0x00, 0xff, random five times     B. Schneier, "Applied Cryptography" (1996)
 *     pfitzner7   random 7 times                    R. Pfitzner
 *     pfitzner33  random 33 times                   R. Pfitzner
 *
 * Where the storage puts new data elsewhere than the old (copy-on-write file systems and reflinked files,
 * thin volumes, flash), old blocks can survive any number of passes.
 *
 * A thin volume gets what it has not yet from its pool as it is written over, and so does one whose blocks
 * are a snapshot's as well: without room for that in the pool it is refused, as all of its volumes suffer
 * when it is full. What others take meanwhile is not known.
 */

#include "backends/backend.h"
#include "common/wipe-algorithm.h"

/* Bytes of a thin volume that are written over before they are on the storage; its pool needs room for as many. A
 * multiple of what is written at once. */
#define WIPE_THIN_SLICE (UINT64_C(3) * 1024 * 1024)

typedef struct Wipe {
        BackendContext *ctx;
        const char *name; /* of the volume, for messages */
        int fd;           /* open for reading and writing; not owned */
        WipeAlgorithm algorithm;
        bool device, sparse;
        bool thin;            /* a thin logical volume */
        uint64_t size;        /* in bytes */
        uint64_t done, total; /* of all passes */
} Wipe;

/* Looks at what is to be wiped and refuses what cannot be done: Unsupported, NoSpace. Changes nothing. */
int wipe_prepare(BackendContext *ctx, int fd, const char *name, WipeAlgorithm algorithm, Wipe *ret);
/* Does it. On return it is durable. NoSpace, Cancelled, Failed: then it is wiped in part. */
int wipe_run(Wipe *w);

/* The parts of it, for files and for devices: as wipe_prepare() and wipe_run(), for zero and trim. */
int wipe_file_prepare(Wipe *w);
int wipe_file_run(Wipe *w);
int wipe_device_prepare(Wipe *w);
int wipe_device_run(Wipe *w);
/* How many times the algorithm goes over all bytes: its passes, and reading back. 0: it is not one of
 * passes. */
unsigned wipe_passes(WipeAlgorithm a);
int wipe_passes_run(Wipe *w);
/* Writes zeros from at to end, wherever something else can be read now; counts as done. Syncs nothing. */
int wipe_write_zeros(Wipe *w, uint64_t at, uint64_t end);

/* So much more is done. Cancelled if that was asked for. */
int wipe_step(Wipe *w, uint64_t bytes);
/* The error of a call that failed: "Cannot wipe volume 'x' of pool 'p': ...". */
int wipe_failed(Wipe *w, int error);

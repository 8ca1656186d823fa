/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The bytes of one file or block device into another, new one: holes stay holes, and what is zero on a
 * device becomes a hole in a file.
 */

#include "backends/backend.h"

typedef struct RawCopy {
        int from;          /* open for reading; its position is moved */
        int to;            /* open for writing; nobody has it but us */
        uint64_t start;    /* what is before is left alone, in both */
        uint64_t size;     /* copied is up to there */
        uint64_t capacity; /* bytes that to has already; not less than size: what is behind that is made zero
                            */
        bool zero;         /* all of to is zero now */
        bool own; /* nothing is to be shared with from, where the file system could do that by itself */
        const char *name; /* of the new volume, for messages */
} RawCopy;

/* 0 or negative errno; NoSpace, Cancelled. Progress is of size. Nothing is synced. */
int copy_raw(BackendContext *ctx, const RawCopy *copy);

/* The size of a file or block device. 0 or negative errno. */
int copy_size(int fd, uint64_t *ret);

/*
 * Lets the empty file to have all blocks of the file from, which are copied when one of them is written: a
 * matter of milliseconds. 0; or -EOPNOTSUPP, if the file system cannot or they are not on the same one, or
 * another negative errno.
 */
int copy_reflink(int from, int to);

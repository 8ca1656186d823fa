/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One of the two ends of a transfer. Where there are positions they are kept here, and given with each call:
 * whoever else has the descriptor may move its own as he likes.
 */

#include "backends/backend.h"

typedef enum EndKind { END_FILE, END_DEVICE, END_PIPE, END_SOCKET } EndKind;

typedef struct TransferEnd {
        BackendContext *ctx;
        const char *volume; /* its name, for messages; borrowed */
        int fd;    /* what is read or written: given, or owned */
        int given; /* borrowed */
        EndKind kind;
        bool foreign;      /* a client's */
        bool sequential;   /* has no positions: a stream, or a file that is only appended to */
        uint64_t offset;   /* of the next byte */
        uint64_t size;     /* of a file or device, bytes */
        bool ends_in_hole; /* what was written reaches beyond the file's end */
        bool no_holes;     /* it has shown that it cannot have any */
        bool zero; /* of a device: all that is not written yet reads as zeros already; set by the caller */
        uint8_t *held; /* owned, see end_hold_head(); NULL: nothing is held back */
        dev_t device;
        ino_t inode; /* 0 for a device */
} TransferEnd;

/*
 * fd is to be read, or written. A client's begins at its position, as read() and write() would; if it has
 * O_DIRECT, which takes whole blocks only, it is opened once more without, as its flags are the client's.
 * InvalidArgument if it is of a kind that has no bytes, or is not open for that. Freed with end_done().
 */
int end_open(BackendContext *ctx, int fd, const char *volume, bool foreign, bool write, TransferEnd *ret);
/* A client's position is behind what was transferred, as read() and write() leave it. */
void end_done(TransferEnd *end);
/*
 * If it is a partition that is being filled, what belongs in the place of its mark (block-mark.h) is held
 * back, and written by end_sync(), when all else is durable. Nothing of it is written yet.
 */
int end_hold_head(TransferEnd *end);

bool end_is_stream(const TransferEnd *end);
/* They are one file or device. */
bool end_is_same(const TransferEnd *a, const TransferEnd *b);

/* Waits for some bytes, n at most. *ret is 0 only at the end. Cancelled, if that is asked for meanwhile. */
int end_read(TransferEnd *end, void *buffer, size_t n, size_t *ret);
/* All n. */
int end_write(TransferEnd *end, const void *buffer, size_t n);
/* n zeros, as a hole where there can be one. */
int end_write_zeros(TransferEnd *end, uint64_t n);
/* Whether a hole is next; in *ret how many of the next n bytes are in it, or, if it is none, before the next
 * one. */
bool end_next_is_hole(const TransferEnd *end, uint64_t n, uint64_t *ret);
/* What was written is durable, and a file that ends in a hole has its length. */
int end_sync(TransferEnd *end);

/* Why reading or writing failed. */
int end_fail(const TransferEnd *end, int error, bool write);
int end_check_cancelled(const TransferEnd *end);

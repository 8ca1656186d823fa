/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Bytes between a volume, as they are in its file or on its device whatever its format, and a descriptor
 * that a client gave: a pipe, a stream socket, a regular file (also a memfd) or a block device. Nothing of
 * the latter is trusted: it may give nothing for days, end early, be somebody's FUSE file, or be blocking or
 * not.
 */

#include "backends/backend.h"

#define TRANSFER_SHA256_SIZE 65U

typedef struct Transfer Transfer;
struct Transfer {
        BackendContext *ctx;
        const char *name; /* of the volume, for messages */
        int volume;       /* open for reading, or for reading and writing */
        int peer;         /* the client's; neither is closed */
        uint64_t offset;  /* in the volume, bytes */
        uint64_t length;  /* bytes; UINT64_MAX: of what is read, all that is left */
        bool sparse;      /* holes stay holes, and zeros become some, where the target can have holes */
        bool sha256;      /* of all bytes that go through, those of holes too */
        bool fresh; /* into a volume that is being made: it has these bytes only, whatever it had behind them
                       is zeroed */
        bool zero;  /* with fresh: all of it reads as zeros now */
        bool grow;  /* into a volume whose file may become longer */
        /* Into a volume that is there: called once, before the first byte is written. NULL: nobody wants to
         * know. */
        int (*writing)(const Transfer *t);
        void *userdata;
};

typedef struct TransferResult {
        uint64_t bytes;
        char sha256[TRANSFER_SHA256_SIZE]; /* hex; "" if not asked for */
} TransferResult;

/*
 * From the descriptor into the volume, or the other way; what was written is on the storage when it returns.
 * 0, or a negative errno with ctx->error: InvalidArgument, before anything is written, for a descriptor of
 * another kind, or if it has less, or the volume less room, than length.
 */
int transfer_in(const Transfer *t, TransferResult *ret);
int transfer_out(const Transfer *t, TransferResult *ret);

/* What can be read from the descriptor of a client up to its end. InvalidArgument if it has none that is
 * known. */
int transfer_measure(BackendContext *ctx, int peer, const char *name, uint64_t *ret);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Changes of what an image is built on, by qemu-img. */

#include "backends/backend.h"
#include "backends/image-chain.h"

typedef struct ImageRebase {
        const char *volume;                        /* its name */
        const ImageChain *image;                   /* the image as it is, and what it is built on */
        const ImageChain *backing;                 /* what it is to be built on; n is 0: nothing */
        const char *backing_path, *backing_format; /* what is recorded of that */
} ImageRebase;

/* A new image with the same contents takes the place of the old one, durably. */
int image_rebase(BackendContext *ctx, const ImageRebase *rebase);

/*
 * Only records another backing store in the image fd, whose contents are what the caller says: format is
 * QEMU's name. An encrypted one takes the context's secret. writing is called before the first byte is
 * written, when all is checked. Durable on return.
 */
int image_record_backing(BackendContext *ctx, const char *volume, int fd, ImageFormat format,
                         const char *backing_path, const char *backing_format,
                         int (*writing)(void *userdata), void *userdata);

/* Writes what the image has of its own into what it is built on. The image stays as it is. writing is called
 * before the first byte is written, when all is checked. Durable on return. */
int image_commit(BackendContext *ctx, const char *volume, const ImageChain *image,
                 int (*writing)(void *userdata), void *userdata);

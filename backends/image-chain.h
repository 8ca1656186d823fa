/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An image and what it is built on, as the daemon resolved it: QEMU gets each of these by its descriptor and
 * with its format, and opens nothing else, whatever a header names.
 */

#include "backends/image-probe.h"
#include "backends/qemu-img.h"

/* The longest that is followed: its descriptors go with one message, and to one child. */
#define IMAGE_CHAIN_MAX 64U

typedef struct ImageChain {
        size_t n;
        int fds[IMAGE_CHAIN_MAX]; /* not owned; the image first */
        ImageFormat formats[IMAGE_CHAIN_MAX];
        const char *secrets[IMAGE_CHAIN_MAX]; /* files of their passphrases; NULL: not opened with one */
} ImageChain;

/* Reads a(shs): format, descriptor and secret of each; "" is raw, and none. All is the message's. */
int image_chain_read(sd_bus_message *m, ImageChain *ret, sd_bus_error *error);

/* A plain sequence of bytes, whatever is in it: what the guest sees is what is there. */
bool image_format_is_plain(ImageFormat format);

/*
 * Reads the header of fd. head has IMAGE_HEAD_SIZE bytes, and file borrows it. ret is freed with
 * image_info_done(). 0 or a negative errno.
 */
int image_chain_probe(int fd, uint8_t *head, ImageFile *file, ImageInfo *ret);

/*
 * Looks into the headers as they are now. Failed: one is damaged, see image_is_damaged(). Unsupported: an
 * image is encrypted (the first one may be a container that stays closed) and has no secret, or has its data
 * in files that it names, which nobody has looked at. Busy: the image is built on something else than the
 * chain says. *ret_capacity: what a guest sees of the image, 0 if its header does not tell; *ret_snapshots:
 * it has internal ones. name: of the new volume.
 */
int image_chain_check(BackendContext *ctx, const ImageChain *chain, const char *name, uint64_t *ret_capacity,
                      bool *ret_snapshots);

/*
 * QEMU's name for the chain in a child that has its descriptors from number first on: a "json:" file name,
 * without locks, as they are held already. *ret is the caller's. 0 or -ENOMEM.
 */
int image_chain_format(const ImageChain *chain, unsigned first, char **ret);
/* The same for a part of what a guest sees, from byte start to end (UINT64_MAX: to its end). */
int image_chain_format_part(const ImageChain *chain, unsigned first, uint64_t start, uint64_t end,
                            char **ret);

/*
 * Opens the secrets' files for such a child, and adds them to its descriptors, of which there are *n, and to
 * argv what QEMU needs to know of them; the images are those from number first on. Also after an error, what
 * was added to fds is the caller's to close. LimitsExceeded.
 */
int image_chain_add_secrets(BackendContext *ctx, const ImageChain *chain, unsigned first,
                            int fds[static QEMU_IMG_FDS_MAX], size_t *n, char ***argv);

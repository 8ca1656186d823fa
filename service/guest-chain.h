/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "service/guest-disk.h"
#include "service/volume.h"

/*
 * Appends v and what it is built on to disk's images, out of memory. Each volume that is built on is of the
 * format that the one above has recorded, whatever it looks like itself.
 *
 * format: what the caller knows v to be instead of what it looks like: "raw" or v's own format; NULL: that.
 * secret: usage or UUID of what v is encrypted with; "": the guest decrypts it itself; NULL: as recorded.
 * InvalidArgument, NotFound (no secret), Failed (v or a volume below it has a problem), Unsupported.
 */
int guest_chain_read(const Volume *v, const char *format, const char *secret, GuestDisk *disk,
                     sd_bus_error *error);

/* Something that v is built on is a file or device that is no volume known now. */
bool guest_chain_is_foreign(const Volume *v);

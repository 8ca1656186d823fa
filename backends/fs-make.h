/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Making file systems: by libblockdev those that it can make, by their own tools the others. */

#include "backends/block-device.h"

/*
 * The pool's source format as the kernel and libblkid call it; NULL for "auto".
 */
const char *fs_type(const char *format);
/*
 * Can a file system of the pool's format be made here? InvalidArgument for "auto"; Unsupported, naming the
 * tool that is missing or the reason why there is none.
 */
int fs_require_makeable(BackendContext *ctx);
/*
 * Makes it on the device; the caller has asked fs_require_makeable() and block_device_require_writable().
 * overwrite: what is on it is wiped first, and the tool is told to ask nothing.
 */
int fs_make(BackendContext *ctx, const BlockDevice *dev, bool overwrite);

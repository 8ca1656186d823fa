/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files that are made longer with storage for what is added. */

#include "backends/backend.h"

/*
 * Makes the volume that fd is open on, a raw or qcow2 file or a LUKS container, capacity bytes large, which
 * is not less than now, and was told to be from: if it is not, it is Busy and left alone. An encrypted qcow2
 * image takes the context's secret. On success what was added has its storage, and it is durable; else the
 * volume has its old size, and a raw one takes no more than before. Whoever reads it meanwhile finds the old
 * size or the new one. writing is called before anything is changed, and may refuse that. NoSpace, Unsupported,
 * Cancelled.
 */
int file_grow(BackendContext *ctx, int fd, const char *name, uint64_t capacity, uint64_t from,
              int (*writing)(void *userdata), void *userdata);

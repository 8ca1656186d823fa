/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Makes one device equal to another of the same size, by writing what differs only. From an LVM snapshot to
 * its origin that is room which the two have apart already: the snapshot does not grow, and a thin pool
 * gives nothing.
 */

#include "backends/backend.h"

/* name: of the volume behind to. writing is called before the first byte is written. Durable on return. */
int copy_back(BackendContext *ctx, int from, int to, const char *name, int (*writing)(void *userdata),
              void *userdata);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libblockdev: its plugins are loaded when they are first needed, and its errors become ours. */

#include <blockdev/blockdev.h>

#include "backends/backend.h"

/* Loads the plugin unless it is loaded. Unsupported, naming the missing plugin or tool. */
int blockdev_need(BackendContext *ctx, BDPlugin plugin);

/*
 * Sets ctx->error from a GError of libblockdev and frees it: "<the formatted words>: <what libblockdev
 * said>", and returns a negative errno. No room is NoSpace, a missing tool Unsupported, anything else
 * Failed.
 */
int error_set_blockdev(BackendContext *ctx, GError **gerror, const char *format, ...) _printf_(3, 4);

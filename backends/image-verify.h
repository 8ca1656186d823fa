/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "backends/backend.h"

/*
 * Whether a new file has the format that was asked for, before it gets its name: else somebody would come to rely on it. A
 * raw one whose contents look like an image of another format would be shown as that, and what a header names that a guest
 * may have written would be given to its reader. 0, or InvalidArgument. name: the volume's.
 */
int image_verify_format(BackendContext *ctx, int fd, const char *name, const char *format);

/*
 * The first size bytes were written by somebody who may do that: if they are an image of another format by themselves,
 * then that is the file's format from now on, whatever is recorded. 0 or an error.
 */
int image_accept_format(BackendContext *ctx, int fd, uint64_t size, const char *name);

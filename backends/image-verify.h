/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "backends/backend.h"

/*
 * Whether a new file has the format that was asked for, before it gets its name: else somebody would come to rely on it. A
 * raw one whose contents look like an image of another format would be shown as that, and what a header names that a guest
 * may have written would be given to its reader. 0, or InvalidArgument. name: the volume's.
 */
int image_verify_format(BackendContext *ctx, int fd, const char *name, const char *format);

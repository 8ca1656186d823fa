/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which other files an image cannot be read without. */

#include "common/volume-row.h"

/*
 * Finds what extra's backing_path and data_file name, and adds it to extra->needs: files, and devices that are named
 * in another way than by their path alone. folder: what relative names are relative to. 0 or -ENOMEM.
 */
int file_needs_find(const char *folder, VolumeExtra *extra);
/* Whether these are what they were. */
bool file_needs_are_current(const VolumeExtra *extra);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Names of the files that are snapshots of other files in a folder: SNAPSHOT_PREFIX "volume@snapshot". The
 * last '@' parts them, as there is none in a snapshot's name.
 */

#include "common/util.h"

#define SNAPSHOT_PREFIX ".storaged-snap-"

/* NULL: out of memory. */
char *snapshot_file_name(const char *volume, const char *snapshot);
/* InvalidName: one that no snapshot can have, or not one of that volume, as the file's would be too long. */
int snapshot_name_validate(const char *volume, const char *snapshot, sd_bus_error *error);

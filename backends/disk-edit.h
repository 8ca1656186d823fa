/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Changes to a partition table, by libparted: each is one durable write, of which a power cut leaves nothing
 * or all. The kernel is not told. Errors are Failed with libparted's own words.
 */

#include "backends/disk-table.h"
#include "common/errors.h"

/* Unsupported, if libparted writes such tables otherwise than the kernel and all others read them. To be
 * asked before anything is written. */
int disk_edit_check(const DiskFile *disk, DiskTableType type, sd_bus_error *error);
/* An empty table of that type in place of what there was, which must have been wiped. */
int disk_edit_label(const DiskFile *disk, DiskTableType type, sd_bus_error *error);
/* Adds p, whose start and end fit the table, under its number. */
int disk_edit_add(const DiskFile *disk, DiskTableType type, const DiskPartition *p, sd_bus_error *error);
/* Removes one; logical ones that come after it move down by one number. */
int disk_edit_remove(const DiskFile *disk, DiskTableType type, unsigned number, sd_bus_error *error);
/* Moves its end. */
int disk_edit_resize(const DiskFile *disk, DiskTableType type, unsigned number, uint64_t end,
                     sd_bus_error *error);

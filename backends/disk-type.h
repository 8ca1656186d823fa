/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Partition types: the codes that each table has for the volume formats of disk pools. */

#include "backends/disk-table.h"

/* What code (or text, for gpt and mac) and name of an entry mean; "none" for what has no word. */
const char *disk_type_format(DiskTableType type, uint32_t code, const char *text, const char *name);

/* Whether the table has a type for that format. */
bool disk_type_has(DiskTableType type, const char *format);
/* "none, linux, …" for messages; *ret is the caller's. 0 or -ENOMEM. */
int disk_type_list(DiskTableType type, char **ret);

/*
 * Writes the type into the entry of a table that libparted has written (not gpt, whose types libparted
 * sets), and the table's checksum. -ENODATA: there is no such entry.
 */
int disk_type_write(const DiskFile *file, DiskTableType type, unsigned number, uint64_t size,
                    const char *format);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A VolumeRow out of a file: its inode, and its header. */

#include "backends/backend.h"
#include "backends/image-probe.h"
#include "backends/in-use.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Flags to open a file whose contents are looked at, whatever it turns out to be. */
#define FILE_OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

/* What statx() is asked for. */
#define FILE_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME)

/*
 * Opens name below dir_fd for reading without touching its access time where we may. A descriptor or
 * negative errno.
 */
int file_open_quietly(int dir_fd, const char *name);

/* Sets sizes (not the capacity), times, mode, owner and group from the inode, and the type. */
void file_row_set_stat(VolumeRow *row, const struct statx *stx);
/* Whether the file that extra names as the backing store is there. True if it names none, or no file. */
bool file_row_backing_is_there(const VolumeExtra *extra);
/* Whether the inode says what the row has from it already. */
bool file_row_has_stat(const VolumeRow *row, const struct statx *stx);

/*
 * Looks into a regular file: sets format, capacity, in_use and extra (which must be NULL). folder: the
 * path that relative backing names are relative to. locked: spares the question whether it is in use; or
 * NULL. row->name is set. May run on any thread. 0 or -ENOMEM.
 */
int file_row_probe(int fd, const char *folder, const LockedFiles *locked, const struct statx *stx,
                   VolumeRow *row);
/* For a file that cannot be read: raw, and the reason in extra->problem. */
int file_row_set_unreadable(VolumeRow *row, const struct statx *stx, int error);
/* Sets what a folder is: format "dir", no sizes. */
void file_row_set_folder(VolumeRow *row);

/*
 * All of it for an open regular file or folder: the row of name. Frees nothing of *ret before. 0 or
 * negative errno.
 */
int file_row_read(int fd, const char *folder, const char *name, VolumeRow *ret);

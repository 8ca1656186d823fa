/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A new file in the place of one that is there: filled while it has no name, then given the old one's in one
 * step, if that is still as it was. Whatever happens meanwhile, the name leads to the old contents or to the
 * new ones.
 */

#include <sys/stat.h>

#include "backends/backend.h"
#include "backends/file-unfinished.h"

typedef struct Replacement {
        BackendContext *ctx;
        const char *name; /* of the volume */
        int old_fd;       /* not owned */
        int dir_fd;       /* owned */
        struct stat old;
        Unfinished new; /* new.fd: empty, to be filled */
} Replacement;

/* old_fd: the volume's file, which stays the caller's. Unsupported for what is no file, or has hard links.
 */
int file_replace_begin(BackendContext *ctx, const char *name, int old_fd, Replacement *ret);
/*
 * The new file gets the mode, owner, group and extended attributes (labels, access lists) of the old one,
 * becomes durable, and takes its place, durably. Busy, if the old one is not what it was.
 */
int file_replace_publish(Replacement *r);
/*
 * new_fd, which is empty, gets old_fd's flag for no copy on write: only an empty file can be told, and only alike files
 * share blocks.
 */
int file_copy_nocow(BackendContext *ctx, int old_fd, int new_fd, const char *name);
/* Removes what was not published. */
void file_replace_done(Replacement *r);

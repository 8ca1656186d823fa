/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files that are being made. Until it is whole, a file has no name at all (O_TMPFILE), or, if it must
 * outlive this process or the file system has no such files, a name with UNFINISHED_PREFIX; whoever works on
 * it then holds an flock() through the descriptor that made it, so that leftovers can be told from work
 * under way. Then it gets its name in one step, which never replaces what has it already.
 */

#include <sys/types.h>

#include "common/util.h"
#include "common/worker-protocol.h"

#define UNFINISHED_NAME_SIZE (sizeof(UNFINISHED_PREFIX) + 16)

typedef struct Unfinished {
        int dir_fd;                      /* borrowed */
        int fd;                          /* read-write; owned */
        char name[UNFINISHED_NAME_SIZE]; /* "": it has none */
} Unfinished;

#define UNFINISHED_NONE ((Unfinished){.dir_fd = -EBADF, .fd = -EBADF})

/* Makes an empty file below dir_fd. named: it must have a name. 0 or negative errno. */
int unfinished_create(int dir_fd, bool named, Unfinished *ret);
/* Makes an empty folder with a name; ret->fd is it. */
int unfinished_create_folder(int dir_fd, Unfinished *ret);
/* One without a name gets an unfinished one. 0 or negative errno. */
int unfinished_give_name(Unfinished *u);
/* Gives it its name. 0, -EEXIST if there is something of that name, or another negative errno. */
int unfinished_publish(Unfinished *u, const char *name);
/* The same for a file that another process has made: tmp is its name. */
int unfinished_publish_name(int dir_fd, const char *tmp, const char *name);
/* Removes what has not been published, and closes it. */
void unfinished_done(Unfinished *u);
/* Removes a leftover. False: somebody is at work on it still. */
bool unfinished_reap(int dir_fd, const char *name);

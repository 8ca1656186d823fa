/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The watch of a folder: which names in it may have changed, and when it is time to look.
 *
 * inotify tells of names that come, go, are closed after writing or get other attributes. Writes and
 * truncations tell of themselves by IN_MODIFY only, of which there can be hundreds of thousands a second: a
 * second inotify instance waits for the first one of them (IN_ONESHOT), then the whole folder is looked at
 * again a second or more later, after that instance has been armed anew. So a folder in which nobody writes
 * costs nothing, and one in which somebody does costs a bounded share of a processor.
 */

#include "backends/name-table.h"

typedef struct DirWatch DirWatch;

/* Calls wake from event when it is time for a look. */
int dir_watch_new(sd_event *event, const char *folder, void (*wake)(void *userdata), void *userdata,
                  DirWatch **ret);
DirWatch *dir_watch_free(DirWatch *w);
DEFINE_CLEANUP(DirWatch *, dir_watch_free)

/*
 * A look begins. dir_fd: the folder as it is now, or negative if it cannot be opened; all: all of it will be
 * looked at. Sees to it that this folder is being watched, and moves the names that may have changed to the
 * (empty) *names; the caller frees them with dir_watch_names_done(). Returns true if the names are not
 * enough and all must be looked at.
 */
bool dir_watch_begin(DirWatch *w, int dir_fd, bool all, NameTable *names);
void dir_watch_names_done(NameTable *names);
/* Takes events off the kernel's bounded queue during a long look. */
void dir_watch_drain(DirWatch *w);
/*
 * The look has ended. usec: what a look at all took, 0 if it was none. failed: it was cut short, and all
 * must be looked at the next time.
 */
void dir_watch_end(DirWatch *w, uint64_t usec, bool failed);
/* All must be looked at some time soon: something may have changed that is not watched. */
void dir_watch_want_all(DirWatch *w);
/* The same as soon as the length of the last such look allows: something that nothing in the folder tells of
 * has changed. */
void dir_watch_want_all_soon(DirWatch *w);
/* False: the folder's changes cannot be watched, it is looked at every now and then. error: why. */
bool dir_watch_works(const DirWatch *w, int *ret_error);

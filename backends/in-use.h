/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/util.h"

#include <sys/stat.h>

/*
 * QEMU marks the images that it has open with shared OFD locks on single bytes: from 100 on one for each
 * permission that it uses, from 200 on one for each that it does not share (QEMU's docs/system/images,
 * "Disk image file locking"). 1: somebody holds one of them on this open file, 0: nobody does, or the file
 * system cannot tell. Needs no more than a descriptor for reading, and takes no lock itself.
 */
bool image_in_use(int fd);

/*
 * Takes those locks on this open file, as QEMU itself would that writes to the image alone (write), or that reads it and
 * lets nobody write. They last as long as the descriptor or a copy of it is open, in any process. 0; -EBUSY, and none is
 * held, if somebody else's are in the way. Writing takes a descriptor for writing.
 */
int image_lock(int fd, bool write);

/*
 * Which files of one file system may be locked at all, of /proc/locks (proc_locks(5)): one look instead of a
 * question for every file. All zero: nothing is known, so any may.
 */
typedef struct LockedFiles {
        bool known;
        uint32_t dev_major, dev_minor; /* as statx() has them */
        uint64_t *inodes;              /* sorted */
        size_t n;
} LockedFiles;

/* For the file system of dir_fd. What cannot be found out is not known, which is no error. */
void locked_files_read(int dir_fd, LockedFiles *ret);
void locked_files_done(LockedFiles *l);
/* False: nobody had a lock on the file when the list was read. l may be NULL: not known. */
bool locked_files_may_have(const LockedFiles *l, const struct statx *stx);

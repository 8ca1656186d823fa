/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "backends/backend.h"

/*
 * Gives the bytes from offset to end of fd storage: by fallocate() in slices, by writing zeros where the
 * file system cannot, or always if zeros is set. Reports progress (bytes from offset on) and looks whether
 * it is cancelled between slices. The file is at least end bytes long then; nothing is synced. name: of the
 * volume, for the error.
 */
int file_allocate(BackendContext *ctx, int fd, uint64_t offset, uint64_t end, bool zeros, const char *name);

/*
 * Gives storage to what will be from its end on to new_end; the file itself is as long as before, and
 * whoever truncates it to that gives the storage back. -EOPNOTSUPP, without words, if the file system
 * cannot.
 */
int file_allocate_beyond(BackendContext *ctx, int fd, uint64_t end, uint64_t new_end, const char *name);

/* NoSpace if the file system of fd has fewer than bytes free for us. */
int file_check_space(BackendContext *ctx, int fd, uint64_t bytes, const char *name);

/*
 * For whoever writes to fd from offset on: what was written from *sent to at is sent to the storage, when it
 * is enough, and what was sent before is waited for: storage that has failed is noticed now, not after all
 * has been written to memory. 0 or negative errno; -EINTR is no failure.
 */
int file_write_behind(int fd, uint64_t offset, uint64_t at, uint64_t *sent);

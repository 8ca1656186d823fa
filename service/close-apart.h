/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/*
 * Closes descriptors of files on pools' storage, and sets them to -EBADF; what is negative is passed over.
 * The last close of a file waits for its storage: of one that is unlinked for the blocks that are on their
 * way to it, which a disk that hangs never takes. So a child process, which has such files as well, lets go
 * of them last; nobody waits for it. What has a name is closed at once.
 */
void close_apart(int *fds, size_t n);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The descriptors that a data job's worker gets, and how long the daemon has copies of them. */

#include "common/util.h"

/* What a clone is made of: the new volume, the source, and what that is built on. */
#define DATA_FDS_MAX 64U

typedef struct DataFds {
        int fds[DATA_FDS_MAX]; /* owned; -EBADF for none */
} DataFds;

void data_fds_init(DataFds *f);
/* Takes copies of n descriptors, DATA_FDS_MAX at most. 0 or negative errno. */
int data_fds_copy(DataFds *f, const int *fds, size_t n);
/* Waits for no storage: see close-apart.h. */
void data_fds_close(DataFds *f);
/*
 * The worker has them: whoever is the last to close a device waits until all that was written to it is on
 * the disk, and that must not be the daemon.
 */
void data_fds_let_go_of_devices(DataFds *f);

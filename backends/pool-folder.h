/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The folder that is a pool's target: making it as its definition says, and removing it. */

#include "backends/backend.h"

/*
 * Makes the target path and what is missing above it, and opens it. A folder that is made is for root alone
 * until pool_folder_set_up(). *ret_fresh: it was not there before.
 */
int pool_folder_make(BackendContext *ctx, int *ret_fd, bool *ret_fresh);
/*
 * Gives the folder fd mode, owner and copy on write of the definition. One that is not fresh changes only as
 * far as the definition says something.
 */
int pool_folder_set_up(BackendContext *ctx, int fd, bool fresh);
/* Removes it if it is empty. NotFound if it is not there. */
int pool_folder_remove(BackendContext *ctx);

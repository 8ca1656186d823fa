/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/util.h"

/*
 * Opens a folder for reading, by an absolute path. Symbolic links on the way are followed if they are root's or our own, or
 * of whom the folder is that they lead to: else a user who may have links where a pool is could lead us to folders that
 * are none of his business. A descriptor or negative errno; -ELOOP for such a link, or too many.
 */
int open_folder_safely(const char *path);
/* What that error means, for people. */
const char *open_folder_problem(int error);

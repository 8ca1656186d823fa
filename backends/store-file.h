/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/util.h"

/*
 * Changes of the daemon's own files. Each is whole or not there, whatever happens, and durable on return:
 * file and folder are synced. Folders on the way are made (0755). path is absolute. While a file is being
 * written its folder has a temporary one beside it, whose name begins with ".#". 0 or negative errno.
 */
int store_file_write(const char *path, const char *content, size_t n, unsigned mode);
int store_file_link(const char *path, const char *target);
/* That it is gone already is fine. */
int store_file_remove(const char *path);

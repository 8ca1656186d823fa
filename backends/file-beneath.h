/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/util.h"

/*
 * Opens name beneath the folder dir_fd and nowhere else (O_CLOEXEC is added). follow: symbolic links are
 * followed as long as they stay beneath it; else there must be none. A descriptor or negative errno: -EXDEV
 * for what leads out of the folder, -ELOOP for a link.
 */
int open_beneath(int dir_fd, const char *name, int flags, bool follow);

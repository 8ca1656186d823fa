/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/util.h"

/*
 * The path of what is open, as the kernel has it now: without symbolic links, "." and "..". The caller's. -ENOENT: it
 * has none any more, or none that can be told here.
 */
int real_path(int fd, char **ret);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The pool type "fs": image files on a file system of its own, on a block device that the pool mounts. */

#include "backends/backend.h"

extern const Backend backend_fs;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The pool type "dir": a folder of image files. */

#include "backends/backend.h"

extern const Backend backend_dir;

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What volumes are to each other: an overlay needs what it is built on. */

#include "service/pool.h"

/* HasDependents, naming them, if volumes other than except (NULL: none) are built on v. verb: "deleted". */
int volume_require_no_dependents(const Volume *v, const Volume *except, const char *verb,
                                 sd_bus_error *error);

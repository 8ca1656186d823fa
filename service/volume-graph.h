/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What volumes are to each other: an overlay needs what it is built on. */

#include "service/pool.h"

/*
 * What Volume.Problem says of what v is built on, if that is missing or v itself: in words for people, owned
 * by the caller; *ret is NULL if it is well. Looks at what is in memory only, and at no more than CHAIN_MAX
 * volumes.
 */
int volume_describe_backing(const Volume *v, char **ret);
/* v is built on itself, over others. */
bool volume_is_in_circle(const Volume *v);
/* HasDependents, naming them, if volumes other than except (NULL: none) are built on v, or a pool is on it,
 * as its device or a part of its array. verb: "deleted". */
int volume_require_no_dependents(const Volume *v, const Volume *except, const char *verb,
                                 sd_bus_error *error);

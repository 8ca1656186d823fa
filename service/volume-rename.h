/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files that somebody else gives another name. For us one volume is gone and another is there, but what is
 * known of the contents is known of the file: its marks, and the secret that opens it.
 */

#include "service/pool.h"

/* v is not there any more: if a file that has just come, or changed, in its pool is the same one, that is
 * known by all that was known of v. */
void volume_follow_rename(Volume *v);

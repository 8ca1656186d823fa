/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files that volumes cannot be read without, by their inodes: so that a file is known by any of its paths (a bind
 * mount, a hard link, another pool over the same folder), and those are known that are named in another way than as
 * an image's backing file (its data file, a "json:" name).
 */

#include "service/pool.h"

/* Brings the index to what v's row says. 0 or -ENOMEM. */
int volume_needs_update(Volume *v);
/* Takes v out of the index. */
void volume_needs_remove(Volume *v);
/*
 * What of other volumes needs v, one after the other, as volume_next_dependent() does: those that that finds are
 * left out. own: v's path.
 */
Need *volume_next_need(const Volume *v, const char *own, Need *last);

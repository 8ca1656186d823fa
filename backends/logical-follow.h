/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How full thin pools and snapshots are: of that there is no event. Their device-mapper status is looked at
 * every few seconds, more rarely while it stays the same, and not at all if there are none.
 */

#include "backends/logical-report.h"

typedef struct LogicalFollow LogicalFollow;

int logical_follow_new(sd_event *event, void (*changed)(void *userdata), void *userdata,
                       LogicalFollow **ret);
LogicalFollow *logical_follow_free(LogicalFollow *f);
DEFINE_CLEANUP(LogicalFollow *, logical_follow_free)
/* What there is to be followed from now on. usec: how long it took to read the group; the next look comes no
 * sooner than ten times that. 0 or -ENOMEM. */
int logical_follow_set(LogicalFollow *f, const LogicalGroup *group, uint64_t usec);

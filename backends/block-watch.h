/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A watch of block devices by udev's events: for those that concern a pool it wakes the pool's worker, once
 * for a burst of them.
 */

#include <systemd/sd-device.h>
#include <systemd/sd-event.h>

#include "common/util.h"

typedef struct BlockWatch BlockWatch;

/*
 * matches: whether this event (its action is in the device) concerns the pool; called for each event of the
 * subsystem block, must be quick and not block. wake: called from event some milliseconds after the last
 * event that matched, and not much later than that while they go on. After an overflow of the kernel's queue
 * wake is called as well. 0 or negative errno.
 */
int block_watch_new(sd_event *event, bool (*matches)(sd_device *device, void *userdata),
                    void (*wake)(void *userdata), void *userdata, BlockWatch **ret);
/* Wakes as if an event had matched. */
void block_watch_kick(BlockWatch *w);
BlockWatch *block_watch_free(BlockWatch *w);
DEFINE_CLEANUP(BlockWatch *, block_watch_free)

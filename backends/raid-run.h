/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Steps that building, starting and stopping an array have in common. */

#include "backends/raid-array.h"

/* Waits (bounded) until path is there, and udev is done with it. Inaccessible if it does not come. */
int raid_wait_for_path(BackendContext *ctx, const char *path);
/*
 * Stops the md device of that name ("md127"), shown to people as path. InUse, naming who, if somebody has
 * it. Waits (bounded) until it is gone.
 */
int raid_stop_device(BackendContext *ctx, const char *name, const char *path);

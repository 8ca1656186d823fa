/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/wipe-algorithm.h"
#include "service/volume-work.h"

/*
 * Wipes the volume; as volume_in_place(). HasDependents if other volumes are built on it, Unsupported if
 * its data is in another file.
 */
int volume_wipe(Volume *v, WipeAlgorithm algorithm, bool force, uid_t uid, Job **ret, sd_bus_error *error);

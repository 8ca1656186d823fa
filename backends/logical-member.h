/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Devices that are parts of volume groups, whose ever these are. */

#include "backends/block-device.h"

/* InUse if one of the n devices, or a partition of it, is a part of a volume group, also of another host's.
 */
int logical_require_groupless(BackendContext *ctx, const BlockDevice *devices, size_t n);

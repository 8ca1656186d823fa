/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* With what volumes can be encrypted, files and devices alike: with what QEMU can make. */

#include "backends/backend.h"

/* Whether a volume can be made encrypted as def asks; that it need not be encrypted is fine. Unsupported. */
int luks_check(BackendContext *ctx, const VolumeDef *def);
/* Of the cipher that a container made for that encryption gets, in bytes. */
uint64_t luks_key_size(const VolumeEncryption *e);

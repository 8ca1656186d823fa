/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Thin volumes, as the kernel (device mapper) knows them: what it would take to write over all of one. */

#include <sys/types.h>

#include "common/util.h"

typedef struct ThinRoom {
        uint64_t needed; /* bytes that its thin pool has to give for that, at most */
        uint64_t free;   /* bytes that the pool has */
        bool shared; /* needed counts all of it, as blocks of it may be others' as well: those are copied */
} ThinRoom;

/* Whether the block device is a thin volume. */
bool thin_volume(dev_t devnum);
/* 0, or negative errno: of a thin volume that cannot be asked, or whose pool has failed. */
int thin_room(dev_t devnum, ThinRoom *ret);

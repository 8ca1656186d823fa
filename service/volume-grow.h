/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "service/volume-work.h"

/*
 * Makes a volume that is a file larger, with storage for what is added; as volume_in_place(). A data worker
 * does it, as that may take long. capacity: in bytes, more than now. secret: the file of what an encrypted
 * image needs; NULL: nothing; taken.
 */
int volume_grow(Volume *v, uint64_t capacity, bool force, char *secret, uid_t uid, Job **ret,
                sd_bus_error *error);

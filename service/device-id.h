/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which device a path means: names below /dev lead to a device number through links, be they of udev or by
 * hand. Looks into /dev alone, which is in memory; never at the device, nor at any other file system, were it
 * mounted below /dev or linked to from there.
 */

#include <sys/types.h>

#include "common/util.h"

/* False if it is no block device below /dev, or not there now. */
bool device_id_get(const char *path, dev_t *ret);
/* The same text, or now the same device. */
bool device_id_same(const char *a, const char *b);

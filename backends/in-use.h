/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/*
 * QEMU marks the images that it has open with shared OFD locks on single bytes: from 100 on one for each
 * permission that it uses, from 200 on one for each that it does not share (QEMU's docs/system/images,
 * "Disk image file locking"). 1: somebody holds one of them on this open file, 0: nobody does, or the file
 * system cannot tell. Needs no more than a descriptor for reading, and takes no lock itself.
 */
bool image_in_use(int fd);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/in-use.h"

#include <fcntl.h>
#include <unistd.h>

/* There are fewer than 64 permissions: both ranges, and nothing that another program would lock. */
#define QEMU_LOCK_FIRST 100
#define QEMU_LOCK_LENGTH 164

bool image_in_use(int fd)
{
        struct flock lock = {
                .l_type = F_WRLCK,
                .l_whence = SEEK_SET,
                .l_start = QEMU_LOCK_FIRST,
                .l_len = QEMU_LOCK_LENGTH,
        };

        if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
                return false;
        return lock.l_type != F_UNLCK;
}

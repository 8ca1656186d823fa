/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#define TRIES_MAX 16U

int open_beneath(int dir_fd, const char *name, int flags, bool follow)
{
        struct open_how how = {
                .flags = (uint64_t) (flags | O_CLOEXEC),
                .resolve = RESOLVE_BENEATH | (follow ? RESOLVE_NO_MAGICLINKS : RESOLVE_NO_SYMLINKS),
        };

        /* EAGAIN: something was renamed or mounted meanwhile, and the kernel cannot be sure about "..". */
        for (unsigned i = 0; i < TRIES_MAX; i++) {
                long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

                if (fd >= 0)
                        return (int) fd;
                if (errno != EAGAIN)
                        return -errno;
        }
        return -EAGAIN;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/real-path.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

int real_path(int fd, char **ret)
{
        char link[sizeof("/proc/self/fd/") + 16], path[PATH_MAX];
        struct stat a, b;
        ssize_t n;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%i", fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return -errno;
        path[n] = 0;
        /* What was removed, or is out of sight from here, has a text too. */
        if (path[0] != '/' || !utf8_is_valid(path) || fstat(fd, &a) < 0 || lstat(path, &b) < 0 ||
            a.st_dev != b.st_dev || a.st_ino != b.st_ino)
                return -ENOENT;
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

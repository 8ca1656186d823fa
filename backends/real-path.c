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

int real_path_in_folder(const char *path, char **ret)
{
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        _cleanup_free_ char *folder = strndup(path, (size_t) (name - path)), *real = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!folder)
                return -ENOMEM;
        if (!slash || isempty(name) || streq(name, ".") || streq(name, ".."))
                return -ENOENT;
        fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = real_path(fd, &real);
        if (r < 0)
                return r;
        if (asprintf(ret, "%s/%s", streq(real, "/") ? "" : real, name) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

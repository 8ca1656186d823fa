/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/store-file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/random.h>
#include <sys/stat.h>

#define FOLDER_MODE 0755
#define TRIES_MAX 16U
#define TEMPORARY_SIZE (sizeof(".#") + 16)

/* Opens the folder of path; *ret_name is path's last part. make: makes it and those above it. */
static int open_folder(const char *path, bool make, const char **ret_name)
{
        _cleanup_free_ char *folder = NULL;
        const char *slash = strrchr(path, '/');
        int fd;

        if (path[0] != '/' || !slash[1])
                return -EINVAL;
        folder = strndup(path, slash > path ? (size_t) (slash - path) : 1);
        if (!folder)
                return -ENOMEM;
        *ret_name = slash + 1;
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT || !make)
                return fd < 0 ? -errno : fd;
        for (char *p = strchr(folder + 1, '/');; p = strchr(p + 1, '/')) {
                if (p)
                        *p = 0;
                if (mkdir(folder, FOLDER_MODE) < 0 && errno != EEXIST)
                        return -errno;
                if (!p)
                        break;
                *p = '/';
        }
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static void temporary_name(char ret[static TEMPORARY_SIZE])
{
        uint64_t n;

        if (getrandom(&n, sizeof(n), 0) != (ssize_t) sizeof(n))
                n = now_realtime();
        (void) snprintf(ret, TEMPORARY_SIZE, ".#%016" PRIx64, n);
}

static int write_all(int fd, const char *content, size_t n)
{
        while (n > 0) {
                ssize_t written = write(fd, content, n);

                if (written < 0 && errno != EINTR)
                        return -errno;
                if (written > 0) {
                        content += written;
                        n -= (size_t) written;
                }
        }
        return 0;
}

/* The temporary one becomes the real one, for good. */
static int replace(int dir_fd, const char *tmp, const char *name)
{
        if (renameat(dir_fd, tmp, dir_fd, name) < 0) {
                int r = -errno;

                (void) unlinkat(dir_fd, tmp, 0);
                return r;
        }
        return fsync(dir_fd) < 0 ? -errno : 0;
}

static int fill(int fd, const char *content, size_t n, unsigned mode)
{
        int r;

        if (fchmod(fd, mode) < 0)
                return -errno;
        r = write_all(fd, content, n);
        if (r < 0)
                return r;
        return fsync(fd) < 0 ? -errno : 0;
}

int store_file_write(const char *path, const char *content, size_t n, unsigned mode)
{
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        char tmp[TEMPORARY_SIZE];
        const char *name;
        int r;

        dir_fd = open_folder(path, true, &name);
        if (dir_fd < 0)
                return dir_fd;
        for (unsigned i = 0; fd < 0 && i < TRIES_MAX; i++) {
                temporary_name(tmp);
                fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
                if (fd < 0 && errno != EEXIST)
                        return -errno;
        }
        if (fd < 0)
                return -EEXIST;
        r = fill(fd, content, n, mode);
        if (r < 0) {
                (void) unlinkat(dir_fd, tmp, 0);
                return r;
        }
        return replace(dir_fd, tmp, name);
}

int store_file_link(const char *path, const char *target)
{
        _cleanup_close_ int dir_fd = -EBADF;
        char tmp[TEMPORARY_SIZE];
        const char *name;

        dir_fd = open_folder(path, true, &name);
        if (dir_fd < 0)
                return dir_fd;
        for (unsigned i = 0; i < TRIES_MAX; i++) {
                temporary_name(tmp);
                if (symlinkat(target, dir_fd, tmp) >= 0)
                        return replace(dir_fd, tmp, name);
                if (errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

int store_file_remove(const char *path)
{
        _cleanup_close_ int dir_fd = -EBADF;
        const char *name;

        dir_fd = open_folder(path, false, &name);
        if (dir_fd < 0)
                return dir_fd == -ENOENT ? 0 : dir_fd;
        if (unlinkat(dir_fd, name, 0) < 0)
                return errno == ENOENT ? 0 : -errno;
        return fsync(dir_fd) < 0 ? -errno : 0;
}

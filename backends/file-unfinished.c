/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-unfinished.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define TRIES_MAX 16U

static void random_name(char ret[static UNFINISHED_NAME_SIZE])
{
        uint64_t n;

        if (getrandom(&n, sizeof(n), 0) != (ssize_t) sizeof(n))
                n = now_realtime() ^ (uint64_t) getpid() << 40;
        (void) snprintf(ret, UNFINISHED_NAME_SIZE, UNFINISHED_PREFIX "%016" PRIx64, n);
}

/* A leftover's remover may have been faster than our lock. */
static bool is_ours(int fd)
{
        struct stat st;

        return flock(fd, LOCK_EX | LOCK_NB) >= 0 && fstat(fd, &st) >= 0 && st.st_nlink > 0;
}

static int create_named(Unfinished *u)
{
        for (unsigned i = 0; i < TRIES_MAX; i++) {
                random_name(u->name);
                u->fd = openat(u->dir_fd, u->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
                if (u->fd >= 0 && is_ours(u->fd))
                        return 0;
                if (u->fd < 0 && errno != EEXIST)
                        return -errno;
                u->fd = safe_close(u->fd);
        }
        return -EAGAIN;
}

int unfinished_create(int dir_fd, bool named, Unfinished *ret)
{
        Unfinished u = {.dir_fd = dir_fd, .fd = -EBADF};
        int r;

        if (!named)
                u.fd = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        if (u.fd < 0) {
                /* EISDIR and EOPNOTSUPP: no nameless files here. Others show again. */
                r = create_named(&u);
                if (r < 0)
                        return r;
        }
        *ret = u;
        return 0;
}

int unfinished_create_folder(int dir_fd, Unfinished *ret)
{
        Unfinished u = {.dir_fd = dir_fd, .fd = -EBADF};

        for (unsigned i = 0; i < TRIES_MAX; i++) {
                random_name(u.name);
                if (mkdirat(dir_fd, u.name, 0700) < 0) {
                        if (errno == EEXIST)
                                continue;
                        return -errno;
                }
                u.fd = openat(dir_fd, u.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (u.fd >= 0 && is_ours(u.fd)) {
                        *ret = u;
                        return 0;
                }
                u.fd = safe_close(u.fd);
        }
        return -EAGAIN;
}

/* For file systems without links: takes the name by an empty file, and puts ours in its place. */
static int publish_over_placeholder(int dir_fd, const char *tmp, const char *name)
{
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        if (renameat(dir_fd, tmp, dir_fd, name) < 0) {
                int r = -errno;

                (void) unlinkat(dir_fd, name, 0);
                return r;
        }
        return 0;
}

int unfinished_publish_name(int dir_fd, const char *tmp, const char *name)
{
        if (renameat2(dir_fd, tmp, dir_fd, name, RENAME_NOREPLACE) >= 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
                return -errno;
        if (linkat(dir_fd, tmp, dir_fd, name, 0) >= 0) {
                (void) unlinkat(dir_fd, tmp, 0);
                return 0;
        }
        if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
                return -errno;
        return publish_over_placeholder(dir_fd, tmp, name);
}

int unfinished_give_name(Unfinished *u)
{
        char path[sizeof("/proc/self/fd/") + 16];

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%i", u->fd);
        for (unsigned i = 0; !u->name[0] && i < TRIES_MAX; i++) {
                char name[UNFINISHED_NAME_SIZE];

                random_name(name);
                if (linkat(AT_FDCWD, path, u->dir_fd, name, AT_SYMLINK_FOLLOW) >= 0)
                        memcpy(u->name, name, sizeof(name));
                else if (errno != EEXIST)
                        return -errno;
        }
        return u->name[0] ? 0 : -EAGAIN;
}

int unfinished_publish(Unfinished *u, const char *name)
{
        char path[sizeof("/proc/self/fd/") + 16];
        int r;

        if (u->name[0]) {
                r = unfinished_publish_name(u->dir_fd, u->name, name);
                if (r >= 0)
                        u->name[0] = 0;
                return r;
        }
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%i", u->fd);
        return linkat(AT_FDCWD, path, u->dir_fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

void unfinished_done(Unfinished *u)
{
        if (u->name[0] && unlinkat(u->dir_fd, u->name, 0) < 0 && errno == EISDIR)
                (void) unlinkat(u->dir_fd, u->name, AT_REMOVEDIR);
        u->fd = safe_close(u->fd);
        u->name[0] = 0;
}

bool unfinished_reap(int dir_fd, const char *name)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return true;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return false;
        if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
                (void) unlinkat(dir_fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
        return true;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/device-id.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LINKS_MAX 8U

/* Below /dev, and never into what is mounted there: anybody may have a link to a dead server in /dev/shm. */
static int open_beneath_dev(int dev_fd, const char *name, int flags)
{
        const struct open_how how = {
                .flags = (uint64_t) (O_PATH | O_CLOEXEC | flags),
                .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
        };

        return (int) syscall(SYS_openat2, dev_fd, name + strspn(name, "/"), &how, sizeof how);
}

/* Where the link at path, which is below /dev, leads to. One that says so absolutely leads through "/",
 * which is another file system, or one to such a link: they are followed step by step. */
static bool read_link(int dev_fd, const char *path, char target[static PATH_MAX])
{
        _cleanup_close_ int fd = open_beneath_dev(dev_fd, path + strlen("/dev/"), O_NOFOLLOW);
        char text[PATH_MAX];
        int folder = 0, n;
        ssize_t length;

        length = fd < 0 ? -1 : readlinkat(fd, "", text, sizeof text);
        if (length <= 0)
                return false;
        if (text[0] != '/')
                folder = (int) (strrchr(path, '/') + 1 - path);
        n = snprintf(target, PATH_MAX, "%.*s%.*s", folder, path, (int) length, text);
        return n < PATH_MAX;
}

bool device_id_get(const char *path, dev_t *ret)
{
        _cleanup_close_ int dev_fd = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char targets[2][PATH_MAX];

        for (unsigned i = 0; dev_fd >= 0 && i < LINKS_MAX; i++) {
                const char *name = startswith(path, "/dev/");
                _cleanup_close_ int fd = -EBADF;
                struct stat st;

                fd = name ? open_beneath_dev(dev_fd, name, 0) : -EBADF;
                if (fd >= 0) {
                        if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
                                return false;
                        *ret = st.st_rdev;
                        return true;
                }
                if (!name || errno != EXDEV || !read_link(dev_fd, path, targets[i % 2]))
                        return false;
                path = targets[i % 2];
        }
        return false;
}

bool device_id_same(const char *a, const char *b)
{
        dev_t x, y;

        return streq(a, b) || (device_id_get(a, &x) && device_id_get(b, &y) && x == y);
}

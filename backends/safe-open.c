/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/safe-open.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LINKS_MAX 40U
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)

typedef struct Walk {
        int fd;           /* the folder that was reached */
        char *rest;       /* of the path from there */
        unsigned n_links; /* that were followed */
        uid_t owner;      /* of those that are neither root's nor ours; ID_NOBODYS: there were none */
} Walk;

#define ID_NOBODYS ((uid_t) -1)

/* Takes fd. */
static void step_to(Walk *w, int fd)
{
        safe_close(w->fd);
        w->fd = fd;
}

static int follow(Walk *w, int link, const struct stat *st, const char *rest)
{
        bool trusted = st->st_uid == 0 || st->st_uid == geteuid();
        char target[PATH_MAX], *longer;
        ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
        int fd;

        if (n < 0)
                return -errno;
        target[n] = 0;
        if (++w->n_links > LINKS_MAX || (!trusted && w->owner != ID_NOBODYS && w->owner != st->st_uid))
                return -ELOOP;
        if (!trusted)
                w->owner = st->st_uid;
        if (asprintf(&longer, "%s/%s", target, rest) < 0)
                return -ENOMEM;
        free(w->rest);
        w->rest = longer;
        if (target[0] != '/')
                return 0;
        fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        step_to(w, fd);
        return 0;
}

/* One part of the path. 1: there may be more, 0: that was all. */
static int step(Walk *w)
{
        char *name = w->rest + strspn(w->rest, "/"), *end = name + strcspn(name, "/");
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (name == end)
                return 0;
        /* What follows is moved only when the name is not needed any more. */
        if (*end)
                *end++ = 0;
        fd = openat(w->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode)) {
                r = follow(w, fd, &st, end);
                return r < 0 ? r : 1;
        }
        if (!S_ISDIR(st.st_mode))
                return -ENOTDIR;
        step_to(w, TAKE_FD(fd));
        memmove(w->rest, end, strlen(end) + 1);
        return 1;
}

static int open_end(const Walk *w)
{
        int fd = openat(w->fd, ".", FOLDER_FLAGS);
        struct stat st;

        if (fd < 0 || w->owner == ID_NOBODYS)
                return fd < 0 ? -errno : fd;
        if (fstat(fd, &st) >= 0 && st.st_uid == w->owner)
                return fd;
        safe_close(fd);
        return -ELOOP;
}

int open_folder_safely(const char *path)
{
        const struct open_how how = {.flags = FOLDER_FLAGS, .resolve = RESOLVE_NO_SYMLINKS};
        Walk w = {.owner = ID_NOBODYS};
        int r = (int) syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

        if (r >= 0 || errno != ELOOP)
                return r >= 0 ? r : -errno;
        w.fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (w.fd < 0)
                return -errno;
        w.rest = strdup(path);
        r = w.rest ? 1 : -ENOMEM;
        while (r > 0)
                r = step(&w);
        if (r >= 0)
                r = open_end(&w);
        safe_close(w.fd);
        free(w.rest);
        return r;
}

const char *open_folder_problem(int error)
{
        return error == -ELOOP ? "a symbolic link on the way there is of somebody who is neither root nor the folder's owner"
                               : strerrordesc_np(-error);
}

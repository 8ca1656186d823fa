/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir-see.h"

#include <dirent.h>

#include "backends/device-row.h"
#include "backends/file-beneath.h"
#include "backends/file-needs.h"
#include "backends/file-row.h"

/* One look at one entry. */
typedef struct Sight {
        const Folder *folder;
        const char *name;
        const Seen *known;
        Seen *seen;
} Sight;

static int see_problem(Sight *s, EntryProblem problem)
{
        s->seen->kind = SEEN_PROBLEM;
        s->seen->problem = problem;
        return 0;
}

static int see_gone(Sight *s)
{
        s->seen->kind = SEEN_GONE;
        return 0;
}

/*
 * Whether this very inode is known, unchanged, and with it what it is built on. A row that we noted
 * ourselves has no inode yet. What was in use need not change when it is let go.
 */
static bool see_known(Sight *s, const struct statx *stx)
{
        const Seen *k = s->known;

        if (!k || k->row.in_use || (k->ino != 0 && k->ino != stx->stx_ino) ||
            !file_row_has_stat(&k->row, stx))
                return false;
        if (k->row.extra && k->row.extra->backing_missing == file_row_backing_is_there(k->row.extra))
                return false;
        if (!file_needs_are_current(k->row.extra))
                return false;
        s->seen->kind = SEEN_KNOWN;
        s->seen->ino = stx->stx_ino;
        return true;
}

static void see_volume(Sight *s, const struct statx *stx)
{
        s->seen->kind = SEEN_VOLUME;
        s->seen->row.name = (char *) s->name;
        s->seen->ino = stx->stx_ino;
        file_row_set_stat(&s->seen->row, stx);
        /* It is a name of its own: the file that it leads to is another volume. */
        if (s->seen->link)
                s->seen->row.dev = s->seen->row.ino = 0;
}

static int probe(Sight *s, int fd, const struct statx *stx)
{
        /* A list that was read while it changed may lack one: what was in use is asked itself. */
        bool was_in_use = s->known && s->known->row.in_use;

        return file_row_probe(fd, s->folder->path, was_in_use ? NULL : &s->folder->locked, stx,
                              &s->seen->row);
}

/* fd: the file, open for reading. */
static int see_open_file(Sight *s, int fd)
{
        struct statx stx;

        if (statx(fd, "", AT_EMPTY_PATH, FILE_STATX_MASK, &stx) < 0)
                return see_problem(s, ENTRY_NO_STAT);
        /* Exchanged under our hands for something else: there will be an event, or the next pass sees it. */
        if (!S_ISREG(stx.stx_mode))
                return see_gone(s);
        see_volume(s, &stx);
        return probe(s, fd, &stx);
}

/* A file that cannot be opened: stx is all that is known of it. */
static int see_unreadable(Sight *s, const struct statx *stx, int error)
{
        see_volume(s, stx);
        s->seen->problem = ENTRY_UNREADABLE;
        return file_row_set_unreadable(&s->seen->row, stx, error);
}

static int stat_entry(Sight *s, struct statx *ret)
{
        int r = statx(s->folder->fd, s->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, FILE_STATX_MASK, ret);

        return r < 0 ? -errno : 0;
}

static int see_file(Sight *s)
{
        _cleanup_close_ int fd = file_open_quietly(s->folder->fd, s->name);
        struct statx stx;
        int r;

        if (fd >= 0)
                return see_open_file(s, fd);
        if (fd == -ENOENT || fd == -ELOOP || fd == -ENXIO)
                return see_gone(s);
        r = stat_entry(s, &stx);
        if (r == -ENOENT)
                return see_gone(s);
        if (r < 0)
                return see_problem(s, ENTRY_NO_STAT);
        return see_unreadable(s, &stx, -fd);
}

/*
 * A ploop image is a folder of these two files. root.hds in *ret_stx, open; or negative errno if it is none.
 */
static int open_ploop(Sight *s, struct statx *ret_stx)
{
        _cleanup_close_ int folder_fd = -EBADF, fd = -EBADF;

        folder_fd = openat(s->folder->fd, s->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder_fd < 0 || faccessat(folder_fd, "DiskDescriptor.xml", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        fd = file_open_quietly(folder_fd, "root.hds");
        if (fd < 0)
                return fd;
        if (statx(fd, "", AT_EMPTY_PATH, FILE_STATX_MASK, ret_stx) < 0)
                return -errno;
        return S_ISREG(ret_stx->stx_mode) ? TAKE_FD(fd) : -EINVAL;
}

static int see_folder(Sight *s, const struct statx *stx)
{
        _cleanup_close_ int fd = -EBADF;
        struct statx hds;
        int r;

        if (see_known(s, stx))
                return 0;
        see_volume(s, stx);
        fd = open_ploop(s, &hds);
        if (fd < 0) {
                file_row_set_folder(&s->seen->row);
                return 0;
        }
        file_row_set_stat(&s->seen->row, &hds);
        r = probe(s, fd, &hds);
        s->seen->row.type = VOLUME_PLOOP;
        return r;
}

/* A link is a volume if it leads to a regular file within the folder: one cannot point out of the pool. */
static int see_link(Sight *s)
{
        _cleanup_close_ int path_fd = -EBADF, fd = -EBADF;
        int dir_fd = s->folder->fd;
        struct statx stx;

        s->seen->link = true;
        path_fd = open_beneath(dir_fd, s->name, O_PATH, true);
        if (path_fd == -ELOOP)
                return see_problem(s, ENTRY_LINK_LOOPS);
        if (path_fd == -EXDEV)
                return see_problem(s, ENTRY_LINK_LEAVES);
        if (path_fd < 0)
                return see_problem(s, ENTRY_LINK_DANGLES);
        if (statx(path_fd, "", AT_EMPTY_PATH, FILE_STATX_MASK, &stx) < 0)
                return see_problem(s, ENTRY_NO_STAT);
        if (!S_ISREG(stx.stx_mode))
                return see_problem(s, ENTRY_LINK_TO_NO_FILE);
        if (see_known(s, &stx))
                return 0;
        fd = open_beneath(dir_fd, s->name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOATIME, true);
        if (fd == -EPERM)
                fd = open_beneath(dir_fd, s->name, O_RDONLY | O_NONBLOCK | O_NOCTTY, true);
        if (fd < 0)
                return see_unreadable(s, &stx, -fd);
        return see_open_file(s, fd);
}

/* A link in /dev/disk, or a node: what is no block device is not meant to be a volume, and no problem
 * either. */
static int see_device(Sight *s)
{
        struct statx stx;

        if (statx(s->folder->fd, s->name, AT_NO_AUTOMOUNT, FILE_STATX_MASK, &stx) < 0 ||
            !S_ISBLK(stx.stx_mode) || device_awaits_udev(s->folder->path, &stx))
                return see_gone(s);
        s->seen->kind = SEEN_VOLUME;
        s->seen->row.name = (char *) s->name;
        return device_row_set(&s->seen->row, &stx);
}

static EntryProblem check_name(const char *name)
{
        bool ascii = true;

        for (const unsigned char *p = (const unsigned char *) name; *p; p++) {
                if (*p < 0x20 || *p == 0x7f)
                        return ENTRY_CONTROL_CHARACTER;
                ascii &= *p < 0x80;
        }
        return ascii || utf8_is_valid(name) ? ENTRY_FINE : ENTRY_NOT_UTF8;
}

static int see(Sight *s, unsigned char d_type)
{
        EntryProblem problem = s->known ? ENTRY_FINE : check_name(s->name);
        struct statx stx;
        int r;

        if (problem == ENTRY_FINE && s->folder->devices)
                return see_device(s);
        /* The first look at a file needs its header anyway: one walk of the path less. */
        if (problem == ENTRY_FINE && !s->known && d_type == DT_REG)
                return see_file(s);
        r = stat_entry(s, &stx);
        if (r == -ENOENT)
                return see_gone(s);
        if (r < 0)
                problem = ENTRY_NO_STAT;
        if (problem != ENTRY_FINE)
                return see_problem(s, problem);
        switch (stx.stx_mode & S_IFMT) {
        case S_IFREG:
                return see_known(s, &stx) ? 0 : see_file(s);
        case S_IFDIR:
                return see_folder(s, &stx);
        case S_IFLNK:
                return see_link(s);
        case S_IFIFO:
                return see_problem(s, ENTRY_FIFO);
        case S_IFSOCK:
                return see_problem(s, ENTRY_SOCKET);
        default:
                return see_problem(s, ENTRY_DEVICE);
        }
}

int see_entry(const Folder *folder, const char *name, unsigned char d_type, const Seen *known, Seen *ret)
{
        Seen seen = {0};
        Sight s = {.folder = folder, .name = name, .known = known, .seen = &seen};
        int r;

        r = see(&s, d_type);
        if (r < 0)
                seen.row.extra = volume_extra_free(seen.row.extra);
        *ret = seen;
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/in-use.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sys/vfs.h>

/* There are fewer than 64 permissions: both ranges, and nothing that another program would lock. */
#define QEMU_LOCK_FIRST 100
#define QEMU_LOCK_LENGTH 164

/* A running guest has about ten on each disk. With more than these, every file is asked about. */
#define LOCKS_MAX (64U * 1024U)

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

/* QEMU's permissions, by their bits (its include/block/block-common.h). */
#define PERMISSION_READ (1U << 0)
#define PERMISSION_WRITE (1U << 1)
#define PERMISSION_RESIZE (1U << 3)
#define PERMISSIONS 5U
#define UNSHARED_FIRST 200

static int lock_byte(int fd, int command, short type, off_t byte)
{
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

        if (fcntl(fd, command, &lock) < 0)
                return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
        return command == F_OFD_GETLK && lock.l_type != F_UNLCK ? -EBUSY : 0;
}

/* What is used is shared, what is not shared is told in the other range; then each looks whether somebody's
 * are in the way. */
static int lock_permissions(int fd, unsigned used, unsigned unshared)
{
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < PERMISSIONS; i++) {
                if (used & (1U << i))
                        r = lock_byte(fd, F_OFD_SETLK, F_RDLCK, QEMU_LOCK_FIRST + i);
                if (r >= 0 && unshared & (1U << i))
                        r = lock_byte(fd, F_OFD_SETLK, F_RDLCK, UNSHARED_FIRST + i);
        }
        for (unsigned i = 0; r >= 0 && i < PERMISSIONS; i++) {
                if (used & (1U << i))
                        r = lock_byte(fd, F_OFD_GETLK, F_WRLCK, UNSHARED_FIRST + i);
                if (r >= 0 && unshared & (1U << i))
                        r = lock_byte(fd, F_OFD_GETLK, F_WRLCK, QEMU_LOCK_FIRST + i);
        }
        return r;
}

int image_lock(int fd, bool write)
{
        const unsigned all = (1U << PERMISSIONS) - 1, changes = PERMISSION_WRITE | PERMISSION_RESIZE;
        struct flock none = {.l_type = F_UNLCK,
                             .l_whence = SEEK_SET,
                             .l_start = QEMU_LOCK_FIRST,
                             .l_len = QEMU_LOCK_LENGTH};
        int r;

        r = write ? lock_permissions(fd, PERMISSION_READ | changes, all)
                  : lock_permissions(fd, PERMISSION_READ, changes);
        if (r < 0)
                (void) fcntl(fd, F_OFD_SETLK, &none);
        /* A file system without locks has no QEMU that could have any. */
        return r == -EBUSY ? r : 0;
}

/*
 * Whether all its locks are this kernel's, under the inode numbers that stat shows. It is not so where other
 * hosts can lock a file, or where the files shown are another file system's.
 */
static bool lists_all_locks(int dir_fd)
{
        struct statfs fs;

        if (fstatfs(dir_fd, &fs) < 0)
                return false;
        return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
               fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC;
}

static int add_inode(LockedFiles *l, uint64_t ino)
{
        /* A disk's locks stand together, and one of them is enough. */
        if (l->n > 0 && l->inodes[l->n - 1] == ino)
                return 0;
        /* It is full at each power of two. */
        if ((l->n & (l->n - 1)) == 0) {
                uint64_t *p = reallocarray(l->inodes, l->n > 0 ? l->n * 2 : 1, sizeof(uint64_t));

                if (!p)
                        return -ENOMEM;
                l->inodes = p;
        }
        l->inodes[l->n++] = ino;
        return 0;
}

/*
 * "1: OFDLCK ADVISORY  READ -1 fe:00:11115256 203 203"; an arrow behind the number marks one that waits for
 * a lock listed before. The device is the file system's, which for a Btrfs subvolume is not that of stat: an
 * inode number of another file system only makes us ask about one file more.
 */
static int add_line(LockedFiles *l, const char *line)
{
        uint64_t ino;

        if (strstr(line, ": ->"))
                return 0;
        if (sscanf(line, "%*s %*s %*s %*s %*s %*x:%*x:%" SCNu64, &ino) != 1)
                return -EBADMSG;
        return add_inode(l, ino);
}

static int read_locks(LockedFiles *l)
{
        char buffer[BUFSIZ * 2], line[256];
        _cleanup_fclose_ FILE *f = fopen("/proc/locks", "re");
        struct statfs fs;

        if (!f || fstatfs(fileno(f), &fs) < 0)
                return -errno;
        /* A sandbox hides it behind an empty file. */
        if (fs.f_type != PROC_SUPER_MAGIC)
                return -ENOENT;
        (void) setvbuf(f, buffer, _IOFBF, sizeof(buffer));
        for (size_t n = 0; fgets(line, sizeof(line), f); n++) {
                int r = n < LOCKS_MAX ? add_line(l, line) : -E2BIG;

                if (r < 0)
                        return r;
        }
        return ferror(f) ? -EIO : 0;
}

static int compare_inodes(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

void locked_files_read(int dir_fd, LockedFiles *ret)
{
        LockedFiles l = {0};
        struct statx stx;

        if (lists_all_locks(dir_fd) && statx(dir_fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx) >= 0 &&
            read_locks(&l) >= 0) {
                l.known = true;
                l.dev_major = stx.stx_dev_major;
                l.dev_minor = stx.stx_dev_minor;
                if (l.n > 0)
                        qsort(l.inodes, l.n, sizeof(uint64_t), compare_inodes);
        } else
                locked_files_done(&l);
        *ret = l;
}

void locked_files_done(LockedFiles *l)
{
        free(l->inodes);
        *l = (LockedFiles){0};
}

bool locked_files_may_have(const LockedFiles *l, const struct statx *stx)
{
        if (!l || !l->known || stx->stx_dev_major != l->dev_major || stx->stx_dev_minor != l->dev_minor)
                return true;
        return l->n > 0 && bsearch(&stx->stx_ino, l->inodes, l->n, sizeof(uint64_t), compare_inodes);
}

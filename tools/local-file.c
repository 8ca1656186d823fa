/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/local-file.h"

#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>

static int duplicate(int fd, int *ret)
{
        *ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return *ret < 0 ? -errno : 0;
}

int source_open(const char *name, int *ret, bool *ret_stream, sd_bus_error *error)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r = 0;

        if (streq(name, "-") && isatty(STDIN_FILENO))
                return sd_bus_error_set(
                        error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "will not read a volume's contents from a terminal: redirect the input");
        if (streq(name, "-"))
                r = duplicate(STDIN_FILENO, &fd);
        else
                fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 || r < 0 || fstat(fd, &st) < 0)
                return error_set_errno(error, r < 0 ? r : errno, "cannot read the file '%s'", name);
        *ret_stream = !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
        *ret = TAKE_FD(fd);
        return 0;
}

static int refuse_existing(const char *name, bool device, sd_bus_error *error)
{
        return sd_bus_error_setf(error, STORAGE_ERROR_EXISTS, "'%s' exists: use --overwrite to %s", name,
                                 device ? "write to that device" : "replace it");
}

/* Beside what it will be, so that it can be renamed; hidden, so that nobody takes it for something whole. */
static int open_temporary(const char *name, Destination *d, sd_bus_error *error)
{
        _cleanup_free_ char *copy = strdup(name), *other = strdup(name);

        if (!copy || !other ||
            asprintf(&d->temporary, "%s/.%s.XXXXXX", dirname(copy), basename(other)) < 0) {
                d->temporary = NULL;
                return -ENOMEM;
        }
        d->fd = mkostemp(d->temporary, O_CLOEXEC);
        if (d->fd >= 0)
                return 0;
        d->temporary = (free(d->temporary), NULL);
        return error_set_errno(error, errno, "cannot make the file '%s'", name);
}

static int open_existing(const char *name, const struct stat *st, bool overwrite, Destination *d,
                         sd_bus_error *error)
{
        if (S_ISDIR(st->st_mode))
                return sd_bus_error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                         "'%s' is a folder: give the name of a file", name);
        if (!overwrite && (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode)))
                return refuse_existing(name, S_ISBLK(st->st_mode), error);
        if (S_ISREG(st->st_mode))
                return open_temporary(name, d, error);
        d->fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return d->fd < 0 ? error_set_errno(error, errno, "cannot write to '%s'", name) : 0;
}

int destination_open(const char *name, bool overwrite, Destination *ret, sd_bus_error *error)
{
        struct stat st;

        *ret = (Destination){.fd = -EBADF, .name = name, .overwrite = overwrite};
        if (!streq(name, "-"))
                return stat(name, &st) >= 0 ? open_existing(name, &st, overwrite, ret, error)
                                            : open_temporary(name, ret, error);
        if (isatty(STDOUT_FILENO))
                return sd_bus_error_set(
                        error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "will not write a volume's contents to a terminal: redirect the output");
        return duplicate(STDOUT_FILENO, &ret->fd);
}

/* Never over what somebody has put there meanwhile; link() is for filesystems that cannot rename so. */
static int give_name(const Destination *d)
{
        if (d->overwrite)
                return rename(d->temporary, d->name) < 0 ? -errno : 0;
        if (renameat2(AT_FDCWD, d->temporary, AT_FDCWD, d->name, RENAME_NOREPLACE) >= 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -errno;
        if (link(d->temporary, d->name) < 0)
                return -errno;
        (void) unlink(d->temporary);
        return 0;
}

int destination_publish(Destination *d, sd_bus_error *error)
{
        mode_t mask;
        int r;

        if (!d->temporary)
                return 0;
        mask = umask(0);
        (void) umask(mask);
        r = fchmod(d->fd, 0666 & ~mask) < 0 ? -errno : give_name(d);
        if (r == -EEXIST)
                return refuse_existing(d->name, false, error);
        if (r < 0)
                return error_set_errno(error, r, "cannot give the file its name '%s'", d->name);
        free(d->temporary);
        d->temporary = NULL;
        return 0;
}

void destination_done(Destination *d)
{
        if (d->temporary)
                (void) unlink(d->temporary);
        free(d->temporary);
        d->temporary = NULL;
        d->fd = safe_close(d->fd);
}

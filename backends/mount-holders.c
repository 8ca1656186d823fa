/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/mount-holders.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <sys/sysmacros.h>

#define NAMED_MAX 8U
#define LINK_MAX 4096U

/*
 * Paths are compared as text and nothing is opened by them: what other processes have open may lie on a
 * server that does not answer.
 */
typedef struct Search {
        const MountPoint *mount;
        char namespace[64]; /* our own */
        char *text;
        size_t n;
} Search;

static int add(Search *s, const char *format, ...) _printf_(2, 3);

static int add(Search *s, const char *format, ...)
{
        _cleanup_free_ char *word = NULL;
        char *text = NULL;
        va_list ap;
        int n;

        if (s->n++ >= NAMED_MAX)
                return 0;
        va_start(ap, format);
        n = vasprintf(&word, format, ap);
        va_end(ap);
        if (n < 0 || asprintf(&text, "%s%s%s", strempty(s->text), s->text ? ", " : "", word) < 0)
                return -ENOMEM;
        free(s->text);
        s->text = text;
        return 0;
}

static bool is_on_it(const Search *s, const char *path)
{
        const char *rest = startswith(path, s->mount->path);

        return rest && (*rest == 0 || *rest == '/' || *rest == ' ');
}

static bool read_link(int dir_fd, const char *name, char *buf, size_t size)
{
        ssize_t n = readlinkat(dir_fd, name, buf, size - 1);

        if (n < 0)
                return false;
        buf[n] = 0;
        return true;
}

/* In another namespace the same path is another mount, which ours does not wait for. */
static bool has_folder(const Search *s, int process_fd)
{
        static const char *const links[] = {"cwd", "root", "exe"};
        char path[LINK_MAX], namespace[64];

        if (!read_link(process_fd, "ns/mnt", namespace, sizeof namespace) || !streq(namespace, s->namespace))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                if (read_link(process_fd, links[i], path, sizeof path) && is_on_it(s, path))
                        return true;
        }
        return false;
}

static FILE *open_text(int dir_fd, const char *name)
{
        int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
        FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;

        if (!f)
                safe_close(fd);
        return f;
}

/* The mount of an open file is told by its fdinfo. */
static bool has_file(const Search *s, int process_fd)
{
        int fd = openat(process_fd, "fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;
        bool found = false;

        if (!dir) {
                safe_close(fd);
                return false;
        }
        while (!found && (entry = readdir(dir))) {
                _cleanup_fclose_ FILE *f = isdigit((unsigned char) entry->d_name[0])
                                                   ? open_text(dirfd(dir), entry->d_name)
                                                   : NULL;
                char line[256];
                int id;

                while (f && !found && fgets(line, sizeof line, f))
                        found = sscanf(line, "mnt_id: %i", &id) == 1 && id == s->mount->id;
        }
        (void) closedir(dir);
        return found;
}

static bool has_mapping(const Search *s, int process_fd)
{
        _cleanup_fclose_ FILE *f = open_text(process_fd, "maps");
        char line[LINK_MAX + 128];

        while (f && fgets(line, sizeof line, f)) {
                unsigned a, b;
                int at = 0;

                if (sscanf(line, "%*s %*s %*s %x:%x %*u %n", &a, &b, &at) >= 2 && at > 0 &&
                    makedev(a, b) == s->mount->devnum && is_on_it(s, line + at))
                        return true;
        }
        return false;
}

static int look_at_process(Search *s, int proc_fd, const char *pid)
{
        _cleanup_close_ int fd = openat(proc_fd, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_fclose_ FILE *comm = NULL;
        char name[64] = "?";

        if (fd < 0 || !(has_folder(s, fd) || has_file(s, fd) || has_mapping(s, fd)))
                return 0;
        comm = open_text(fd, "comm");
        if (comm && fgets(name, sizeof name, comm))
                name[strcspn(name, "\n")] = 0;
        return add(s, "process %s (%s)", pid, name);
}

static int look_at_processes(Search *s)
{
        DIR *dir = opendir("/proc");
        struct dirent *entry;
        int r = 0;

        while (r >= 0 && dir && (entry = readdir(dir))) {
                if (isdigit((unsigned char) entry->d_name[0]))
                        r = look_at_process(s, dirfd(dir), entry->d_name);
        }
        if (dir)
                (void) closedir(dir);
        return r;
}

static int look_at_mounts(Search *s)
{
        struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
        struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
        struct libmnt_fs *fs;
        int r = 0;

        while (r >= 0 && table && iter && mnt_table_next_fs(table, iter, &fs) == 0) {
                if (mnt_fs_get_parent_id(fs) == s->mount->id)
                        r = add(s, "the mount on %s", mnt_fs_get_target(fs));
        }
        mnt_free_iter(iter);
        mnt_unref_table(table);
        return r;
}

static int look_at_loops(Search *s)
{
        DIR *dir = opendir("/sys/block");
        struct dirent *entry;
        int r = 0;

        while (r >= 0 && dir && (entry = readdir(dir))) {
                _cleanup_fclose_ FILE *f = NULL;
                char path[LINK_MAX];

                if (!startswith(entry->d_name, "loop"))
                        continue;
                (void) snprintf(path, sizeof path, "%s/loop/backing_file", entry->d_name);
                f = open_text(dirfd(dir), path);
                if (f && fgets(path, sizeof path, f) && is_on_it(s, path))
                        r = add(s, "the loop device /dev/%s", entry->d_name);
        }
        if (dir)
                (void) closedir(dir);
        return r;
}

static int look_at_swap(Search *s)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/swaps", "re");
        char line[LINK_MAX];
        int r = 0;

        while (r >= 0 && f && fgets(line, sizeof line, f)) {
                if (is_on_it(s, line))
                        r = add(s, "the swap file %.*s", (int) strcspn(line, " \t"), line);
        }
        return r;
}

int mount_holders(const MountPoint *m, char **ret)
{
        Search s = {.mount = m};
        int r;

        (void) read_link(AT_FDCWD, "/proc/self/ns/mnt", s.namespace, sizeof s.namespace);
        r = look_at_mounts(&s);
        if (r >= 0)
                r = look_at_loops(&s);
        if (r >= 0)
                r = look_at_swap(&s);
        if (r >= 0)
                r = look_at_processes(&s);
        if (r >= 0 && s.n > NAMED_MAX) {
                size_t more = s.n - NAMED_MAX;

                s.n = 0;
                r = add(&s, "and %zu more", more);
        }
        if (r < 0) {
                free(s.text);
                return r;
        }
        *ret = s.text;
        return 0;
}

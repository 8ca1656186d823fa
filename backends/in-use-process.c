/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which processes have a file or device open. The links in /proc lead to it by whatever name and in whatever
 * mount namespace it was opened. Looking at what others have open must not wait for a server that does not
 * answer: descriptors on network file systems are passed over, unless their number says that it is the file.
 */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>

#include "backends/in-use.h"

#define REMOTE_MAX 64U

/* The mounts of network file systems in one mount namespace. */
typedef struct Remote {
        char namespace[64];
        unsigned ids[REMOTE_MAX];
        size_t n; /* more than REMOTE_MAX: all may be */
} Remote;

typedef struct Search {
        UserList *users;
        const UsedThing *things;
        size_t n_things;
        int proc_fd;
        pid_t self, daemon;
        struct statx exe; /* ours */
        Remote remote;    /* of the process that was looked at last */
} Search;

/* What a descriptor is, as /proc/PID/fdinfo has it (proc_pid_fdinfo(5)). */
typedef struct FdInfo {
        unsigned flags, mount;
        uint64_t ino; /* 0: not told */
        bool locked;
} FdInfo;

static FILE *open_file(const Search *s, const char *path)
{
        int fd = openat(s->proc_fd, path, O_RDONLY | O_CLOEXEC);
        FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;

        if (!f)
                safe_close(fd);
        return f;
}

static size_t read_link(const Search *s, const char *path, char *ret, size_t size)
{
        ssize_t n = readlinkat(s->proc_fd, path, ret, size - 1);

        ret[n > 0 ? n : 0] = 0;
        return n > 0 ? (size_t) n : 0;
}

static bool is_remote_type(const char *type)
{
        static const char *const types[] = {"nfs",  "cifs", "smb3",   "9p",   "afs",
                                            "ceph", "fuse", "lustre", "gfs2", "ocfs2"};

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                if (startswith(type, types[i]))
                        return true;
        }
        return false;
}

/* "36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw": the type is behind the dash. */
static void read_remote(Search *s, const char *pid)
{
        char path[64], line[PATH_MAX * 2], namespace[64];
        _cleanup_fclose_ FILE *f = NULL;

        (void) snprintf(path, sizeof path, "%.16s/ns/mnt", pid);
        if (read_link(s, path, namespace, sizeof namespace) > 0 && streq(namespace, s->remote.namespace))
                return;
        s->remote.n = 0;
        (void) snprintf(s->remote.namespace, sizeof s->remote.namespace, "%s", namespace);
        (void) snprintf(path, sizeof path, "%.16s/mountinfo", pid);
        f = open_file(s, path);
        while (f && fgets(line, sizeof line, f)) {
                const char *dash = strstr(line, " - ");
                unsigned id;

                if (!dash || !is_remote_type(dash + 3) || sscanf(line, "%u", &id) != 1)
                        continue;
                if (s->remote.n < REMOTE_MAX)
                        s->remote.ids[s->remote.n] = id;
                if (s->remote.n <= REMOTE_MAX)
                        s->remote.n++;
        }
}

static bool read_info(Search *s, const char *pid, const char *fd, FdInfo *ret)
{
        char path[64], line[256];
        _cleanup_fclose_ FILE *f = NULL;

        *ret = (FdInfo){0};
        (void) snprintf(path, sizeof path, "%.16s/fdinfo/%.16s", pid, fd);
        f = open_file(s, path);
        while (f && fgets(line, sizeof line, f)) {
                (void) sscanf(line, "flags: %o", &ret->flags);
                (void) sscanf(line, "mnt_id: %u", &ret->mount);
                (void) sscanf(line, "ino: %" SCNu64, &ret->ino);
                ret->locked |= startswith(line, "lock:") != NULL;
        }
        return f;
}

static bool is_number_of_one(const Search *s, uint64_t ino)
{
        for (size_t i = 0; i < s->n_things; i++) {
                if (!s->things[i].device && s->things[i].ino == ino)
                        return true;
        }
        return false;
}

/* To look at it could take for ever. */
static bool passed_over(Search *s, const char *pid, const char *fd)
{
        bool remote = s->remote.n > REMOTE_MAX;
        FdInfo info;

        if (s->remote.n == 0)
                return false;
        if (!read_info(s, pid, fd, &info))
                return true;
        for (size_t i = 0; !remote && i < s->remote.n; i++)
                remote = s->remote.ids[i] == info.mount;
        return remote && !is_number_of_one(s, info.ino);
}

/* NULL: it is none of what is looked for. */
static const UsedThing *match(const Search *s, int dir_fd, const char *name)
{
        struct statx stx;

        if (statx(dir_fd, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO, &stx) < 0)
                return NULL;
        for (size_t i = 0; i < s->n_things; i++) {
                const UsedThing *t = &s->things[i];

                if (t->device ? S_ISBLK(stx.stx_mode) && stx.stx_rdev_major == t->major &&
                                        stx.stx_rdev_minor == t->minor
                              : S_ISREG(stx.stx_mode) && stx.stx_ino == t->ino &&
                                        stx.stx_dev_major == t->major && stx.stx_dev_minor == t->minor)
                        return t;
        }
        return NULL;
}

static pid_t pid_of(const char *name)
{
        return (pid_t) strtol(name, NULL, 10);
}

static pid_t parent_of(const Search *s, pid_t pid)
{
        char path[32], line[512];
        _cleanup_fclose_ FILE *f = NULL;
        const char *end;
        int parent = 0;

        (void) snprintf(path, sizeof path, "%i/stat", (int) pid);
        f = open_file(s, path);
        /* The command is in brackets, and may have some itself. */
        if (f && fgets(line, sizeof line, f) && (end = strrchr(line, ')')))
                (void) sscanf(end + 1, " %*c %d", &parent);
        return parent;
}

/* This process, the daemon or what it forked (close-apart.h), or one in the group of another worker of it:
 * such as a tool that that one runs. */
static bool is_ours(const Search *s, pid_t pid)
{
        struct statx exe;
        char path[32];
        pid_t leader;

        if (pid == s->self || pid == s->daemon)
                return true;
        leader = getpgid(pid);
        if (leader <= 0)
                return false;
        if (leader == s->self || (leader == getpgid(s->daemon) && parent_of(s, pid) == s->daemon))
                return true;
        (void) snprintf(path, sizeof path, "%i/exe", (int) leader);
        return parent_of(s, leader) == s->daemon && statx(s->proc_fd, path, 0, STATX_INO, &exe) >= 0 &&
               exe.stx_ino == s->exe.stx_ino && exe.stx_dev_major == s->exe.stx_dev_major &&
               exe.stx_dev_minor == s->exe.stx_dev_minor;
}

static int add_process(Search *s, const char *pid, const UsedThing *thing, UserHow how, bool write)
{
        char path[64], name[64] = "", exe[PATH_MAX];
        _cleanup_fclose_ FILE *f = NULL;
        struct stat st;

        (void) snprintf(path, sizeof path, "%.16s/comm", pid);
        f = open_file(s, path);
        if (f && fgets(name, sizeof name, f))
                name[strcspn(name, "\n")] = 0;
        (void) snprintf(path, sizeof path, "%.16s/exe", pid);
        (void) read_link(s, path, exe, sizeof exe);
        if (fstatat(s->proc_fd, pid, &st, 0) < 0)
                st.st_uid = UINT32_MAX;
        return user_list_add(s->users, &(User){.how = how,
                                               .name = name,
                                               .pid = pid_of(pid),
                                               .uid = st.st_uid,
                                               .exe = exe[0] ? exe : NULL,
                                               .write = write,
                                               .part = thing->part[0] ? (char *) thing->part : NULL});
}

static int add_other(Search *s, const char *pid, const UsedThing *thing, UserHow how, bool write)
{
        if (!is_ours(s, pid_of(pid)))
                return add_process(s, pid, thing, how, write);
        s->users->ours = true;
        return 0;
}

/* One row a process: it is written to, or locked, if any of its descriptors says so. */
static int search_descriptors(Search *s, const char *pid, bool *ret_found)
{
        const UsedThing *thing = NULL;
        bool write = false, locked = false;
        struct dirent *entry;
        char path[64];
        DIR *dir;
        int fd;

        (void) snprintf(path, sizeof path, "%.16s/fd", pid);
        fd = openat(s->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd >= 0 ? fdopendir(fd) : NULL;
        if (!dir) {
                safe_close(fd);
                return 0;
        }
        while ((entry = readdir(dir))) {
                const UsedThing *t;
                FdInfo info;

                if (entry->d_name[0] == '.' || passed_over(s, pid, entry->d_name) ||
                    !(t = match(s, fd, entry->d_name)) || !read_info(s, pid, entry->d_name, &info) ||
                    info.flags & O_PATH)
                        continue;
                thing = t;
                write |= (info.flags & O_ACCMODE) != O_RDONLY;
                locked |= info.locked;
        }
        (void) closedir(dir);
        *ret_found = thing;
        return thing ? add_other(s, pid, thing, locked ? USER_LOCK : USER_OPEN, write) : 0;
}

/*
 * "7f0c3e000000-7f0c3e100000 rw-s 00000000 fe:00 11115256   /srv/disk": the file that the number means is
 * behind the link in map_files.
 */
static const UsedThing *match_mapping(const Search *s, const char *pid, const char *line)
{
        char range[64], path[128], permissions[8];
        uint64_t ino;
        int at = 0;

        if (sscanf(line, "%63s %7s %*s %*s %" SCNu64 " %n", range, permissions, &ino, &at) < 3 || ino == 0 ||
            at == 0)
                return NULL;
        if (!is_number_of_one(s, ino) && !startswith(line + at, "/dev/"))
                return NULL;
        (void) snprintf(path, sizeof path, "%.16s/map_files/%s", pid, range);
        return match(s, s->proc_fd, path);
}

static int search_mappings(Search *s, const char *pid)
{
        char path[64], line[PATH_MAX + 128];
        const UsedThing *thing = NULL;
        _cleanup_fclose_ FILE *f = NULL;

        (void) snprintf(path, sizeof path, "%.16s/maps", pid);
        f = open_file(s, path);
        while (!thing && f && fgets(line, sizeof line, f))
                thing = match_mapping(s, pid, line);
        return thing ? add_other(s, pid, thing, USER_MAPPED, strstr(line, " rw") != NULL) : 0;
}

static int search_process(Search *s, const char *pid)
{
        bool found = false;
        int r;

        read_remote(s, pid);
        r = search_descriptors(s, pid, &found);
        if (r >= 0 && !found)
                r = search_mappings(s, pid);
        return r;
}

int user_list_add_processes(UserList *l, const UsedThing *things, size_t n)
{
        _cleanup_close_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Search s = {.users = l,
                    .things = things,
                    .n_things = n,
                    .proc_fd = proc_fd,
                    .self = getpid(),
                    .daemon = getppid()};
        struct dirent *entry;
        int r = 0;
        DIR *dir;

        if (proc_fd < 0 || statx(proc_fd, "self/exe", 0, STATX_INO, &s.exe) < 0)
                return -errno;
        dir = opendir("/proc");
        if (!dir)
                return -errno;
        while (r >= 0 && l->n < USERS_MAX && (entry = readdir(dir))) {
                if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
                        r = search_process(&s, entry->d_name);
        }
        (void) closedir(dir);
        return r;
}

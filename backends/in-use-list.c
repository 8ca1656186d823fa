/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/in-use.h"

#include <dirent.h>
#include <fcntl.h>
#include <libdevmapper.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define NAMED_MAX 5U
/* Somebody who only looks, as udev does at what was just written, is gone by then. */
#define TRIES 10U
#define TRY_USEC (100 * USEC_PER_MSEC)

static const char *const how_names[_USER_HOW_MAX] = {
        [USER_OPEN] = "open",
        [USER_MAPPED] = "mapped",
        [USER_LOCK] = "lock",
        [USER_MOUNT] = "mount",
        [USER_SWAP] = "swap",
        [USER_LOOP] = "loop",
        [USER_DEVICE_MAPPER] = "device-mapper",
        [USER_MD] = "md",
        [USER_HOLDER] = "device",
};

const char *user_how_to_string(UserHow how)
{
        return how_names[how];
}

static void user_done(User *u)
{
        free(u->name);
        free(u->exe);
        free(u->part);
}

void user_list_done(UserList *l)
{
        for (size_t i = 0; i < l->n; i++)
                user_done(&l->items[i]);
        free(l->items);
        *l = (UserList){0};
}

static int copy_valid(const char *s, char **ret)
{
        return s ? utf8_make_valid(s, strlen(s), ret) : 0;
}

int user_list_add(UserList *l, const User *u)
{
        User *copy;
        int r;

        if (l->n >= USERS_MAX)
                return 0;
        if (!l->items)
                l->items = calloc(USERS_MAX, sizeof(User));
        if (!l->items)
                return -ENOMEM;
        copy = &l->items[l->n++];
        *copy = *u;
        copy->name = copy->exe = copy->part = NULL;
        r = copy_valid(strempty(u->name), &copy->name);
        if (r >= 0)
                r = copy_valid(u->exe, &copy->exe);
        return r < 0 ? r : copy_valid(u->part, &copy->part);
}

static int add_words(char **words, const char *format, ...) _printf_(2, 3);
static int add_words(char **words, const char *format, ...)
{
        _cleanup_free_ char *more = NULL;
        char *all;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&more, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        if (asprintf(&all, "%s%s%s", strempty(*words), *words ? ", " : "", more) < 0)
                return -ENOMEM;
        free(*words);
        *words = all;
        return 0;
}

static int describe_one(const User *u, char **words)
{
        static const char *const formats[_USER_HOW_MAX] = {
                [USER_MOUNT] = "mounted on ", [USER_SWAP] = "used as swap space",
                [USER_LOOP] = "loop device ", [USER_DEVICE_MAPPER] = "part of ",
                [USER_MD] = "part of ",       [USER_HOLDER] = "part of ",
        };
        char part[64] = "";

        if (u->part)
                (void) snprintf(part, sizeof part, "%s is ", u->part);
        if (u->pid > 0)
                return add_words(words, "%s%s by process %u (%s)", part,
                                 u->how == USER_MAPPED ? "mapped into memory" : "opened", (unsigned) u->pid,
                                 u->name);
        if (u->how == USER_LOCK)
                return add_words(words, "locked as an image in use, by whom cannot be seen from here");
        return add_words(words, "%s%s%s", part, formats[u->how], u->how == USER_SWAP ? "" : u->name);
}

int user_list_describe(const UserList *l, char **ret)
{
        _cleanup_free_ char *words = NULL;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < l->n && i < NAMED_MAX; i++)
                r = describe_one(&l->items[i], &words);
        if (r >= 0 && l->n > NAMED_MAX)
                r = add_words(&words, "and more");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(words);
        return 0;
}

static bool read_line(const char *path, char *line, size_t size)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");

        if (!f || !fgets(line, (int) size, f))
                return false;
        line[strcspn(line, "\n")] = 0;
        return true;
}

/* The loop device of that name, if it is made of the file that has the path; text is compared, as to look
 * for the others' files may take for ever. */
static int add_loop(UserList *l, const char *name, const char *path, UsedThing *things, size_t *n)
{
        char file[128], line[PATH_MAX + 16], node[64];
        UsedThing thing = {.device = true};
        int r;

        (void) snprintf(file, sizeof file, "/sys/block/%.32s/loop/backing_file", name);
        if (!read_line(file, line, sizeof line) || !streq(line, path))
                return 0;
        (void) snprintf(file, sizeof file, "/sys/block/%.32s/dev", name);
        (void) snprintf(node, sizeof node, "/dev/%.32s", name);
        r = user_list_add(l, &(User){.how = USER_LOOP, .name = node, .write = true});
        if (r < 0 || *n >= USED_THINGS_MAX || !read_line(file, line, sizeof line) ||
            sscanf(line, "%u:%u", &thing.major, &thing.minor) != 2)
                return r;
        (void) snprintf(thing.part, sizeof thing.part, "%.15s", name);
        things[(*n)++] = thing;
        return user_list_add_kernel(l, makedev(thing.major, thing.minor), node, thing.part);
}

static int add_loops(UserList *l, int fd, UsedThing *things, size_t *n)
{
        char link[32], path[PATH_MAX];
        struct dirent *entry;
        DIR *dir = opendir("/sys/block");
        ssize_t length;
        int r = 0;

        (void) snprintf(link, sizeof link, "/proc/self/fd/%i", fd);
        length = readlink(link, path, sizeof path - 1);
        while (dir && length > 0 && r >= 0 && (entry = readdir(dir))) {
                path[length] = 0;
                if (startswith(entry->d_name, "loop"))
                        r = add_loop(l, entry->d_name, path, things, n);
        }
        if (dir)
                (void) closedir(dir);
        return r;
}

static int find_file(int fd, const struct statx *stx, UserList *l)
{
        UsedThing things[USED_THINGS_MAX] = {
                {.major = stx->stx_dev_major, .minor = stx->stx_dev_minor, .ino = stx->stx_ino}};
        bool locked = image_in_use(fd), named = false;
        size_t n = 1;
        int r;

        r = add_loops(l, fd, things, &n);
        if (r >= 0)
                r = user_list_add_processes(l, things, n);
        for (size_t i = 0; i < l->n; i++)
                named |= l->items[i].how == USER_LOCK;
        /* Locked, and by none of these: on another host, or out of our sight. */
        return r < 0 || !locked || named || l->ours
                       ? r
                       : user_list_add(l, &(User){.how = USER_LOCK, .write = true});
}

int user_list_find_device(dev_t devnum, const char *node, UserList *ret)
{
        const UsedThing thing = {.device = true, .major = major(devnum), .minor = minor(devnum)};
        UserList l = {0};
        int r;

        r = user_list_add_kernel(&l, devnum, node, NULL);
        if (r >= 0)
                r = user_list_add_processes(&l, &thing, 1);
        if (r < 0)
                user_list_done(&l);
        *ret = l;
        return r;
}

static int find_device(const struct statx *stx, UserList *ret)
{
        char path[64], link[PATH_MAX], node[PATH_MAX];
        const char *name;
        ssize_t n;

        (void) snprintf(path, sizeof path, "/sys/dev/block/%u:%u", stx->stx_rdev_major, stx->stx_rdev_minor);
        n = readlink(path, link, sizeof link - 1);
        link[n > 0 ? n : 0] = 0;
        name = strrchr(link, '/');
        (void) snprintf(node, sizeof node, "/dev/%.255s", name ? name + 1 : "");
        return user_list_find_device(makedev(stx->stx_rdev_major, stx->stx_rdev_minor), node, ret);
}

int user_list_find(int fd, UserList *ret)
{
        struct statx stx;
        UserList l = {0};
        int r;

        *ret = l;
        if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
                return -errno;
        if (S_ISBLK(stx.stx_mode))
                return find_device(&stx, ret);
        r = find_file(fd, &stx, &l);
        if (r < 0)
                user_list_done(&l);
        *ret = l;
        return r;
}

/*
 * How often somebody besides us has the device open; negative if that is not known: it is none of
 * device-mapper's.
 */
static int count_others(int fd)
{
        struct dm_task *task;
        struct dm_info info = {0};
        struct stat st;
        int n = -1;

        if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || !(task = dm_task_create(DM_DEVICE_INFO)))
                return -1;
        if (dm_task_set_major(task, (int) major(st.st_rdev)) &&
            dm_task_set_minor(task, (int) minor(st.st_rdev)) && dm_task_run(task) &&
            dm_task_get_info(task, &info) && info.exists)
                n = info.open_count - 1;
        dm_task_destroy(task);
        dm_lib_release();
        return n;
}

/* It gives none without a delegation of its own, whoever has the file open. */
static bool leases_are_the_servers(int fd)
{
        struct statfs fs;

        if (fstatfs(fd, &fs) < 0)
                return true;
        return fs.f_type == NFS_SUPER_MAGIC || fs.f_type == CIFS_SUPER_MAGIC ||
               fs.f_type == SMB2_SUPER_MAGIC || fs.f_type == SMB_SUPER_MAGIC;
}

/*
 * A lease for writing is given to the only one who has a file open, in whatever way, one for reading if
 * nobody has it open for writing; so the answer costs nothing.
 * 1: nobody else; 0: somebody; negative: the file system has none, or we may not.
 */
static int ask_for_lease(int fd, bool writers_only)
{
        if (fcntl(fd, F_SETLEASE, writers_only ? F_RDLCK : F_WRLCK) < 0)
                return errno == EAGAIN && !leases_are_the_servers(fd) ? 0 : -errno;
        (void) fcntl(fd, F_SETLEASE, F_UNLCK);
        return 1;
}

/* 1: nobody but us; 0: somebody; negative: who knows. */
static int is_free(int fd, bool writers_only)
{
        int others = count_others(fd);

        if (others >= 0)
                return others == 0;
        return !writers_only && image_in_use(fd) ? 0 : ask_for_lease(fd, writers_only);
}

static void keep_writers(UserList *l)
{
        size_t n = 0;

        for (size_t i = 0; i < l->n; i++) {
                if (l->items[i].write)
                        l->items[n++] = l->items[i];
                else
                        user_done(&l->items[i]);
        }
        l->n = n;
}

/* udev looks at whatever was written to, and is gone again soon. */
static bool only_udev(const UserList *l)
{
        for (size_t i = 0; i < l->n; i++) {
                const User *u = &l->items[i];
                const char *exe = strrchr(strempty(u->exe), '/');

                if (u->pid == 0 || u->uid != 0 || u->write || !exe ||
                    (!streq(exe, "/udevadm") && !streq(exe, "/systemd-udevd")))
                        return false;
        }
        return true;
}

/* 1: somebody does, who is in l if he can be seen; 0: nobody. */
static int look_for_users(int fd, bool writers_only, UserList *l)
{
        for (unsigned i = 0; i < TRIES; i++) {
                int r, free_now = is_free(fd, writers_only);

                user_list_done(l);
                if (free_now > 0)
                        return 0;
                r = user_list_find(fd, l);
                if (r < 0)
                        return r;
                if (writers_only)
                        keep_writers(l);
                /* A count of who has it open does not tell what for; a lease does. */
                if (l->n == 0 && (free_now < 0 || writers_only))
                        return 0;
                if (l->n > 0 && !only_udev(l))
                        return 1;
                (void) usleep(TRY_USEC);
        }
        return 1;
}

int in_use_refuse(BackendContext *ctx, int fd, const char *name, const char *verb, bool writers_only,
                  bool forcible)
{
        _cleanup_free_ char *words = NULL;
        UserList l = {0};
        int r;

        r = look_for_users(fd, writers_only, &l);
        if (r > 0 && user_list_describe(&l, &words) < 0)
                r = -ENOMEM;
        user_list_done(&l);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot find out who uses volume '%s' of pool '%s'",
                                       name, ctx->pool->name);
        if (r == 0)
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                          "Volume '%s' of pool '%s' %s: it is in use: %s; end that first%s", name,
                          ctx->pool->name, verb,
                          words ?: "by the kernel or a process that cannot be seen from here",
                          forcible ? ", or use force" : "");
}

int in_use_refuse_mode(BackendContext *ctx, int fd, const char *name, OpenMode mode, bool force)
{
        if (mode == OPEN_READ || (force && mode != OPEN_WRITE))
                return 0;
        return in_use_refuse(ctx, fd, name, mode == OPEN_TO_COPY ? "cannot be read" : "cannot be written to",
                             mode == OPEN_TO_COPY, mode == OPEN_TO_CHANGE);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir-look.h"

#include <dirent.h>

#include "backends/file-beneath.h"
#include "backends/file-row.h"

void scan_cache_done(ScanCache *cache)
{
        for (size_t i = 0; i < cache->table.n_slots; i++) {
                ScanEntry *e = (ScanEntry *) cache->table.slots[i];

                if (e)
                        volume_extra_free(e->row.extra);
                free(e);
        }
        name_table_done(&cache->table);
        free(cache->folder);
        *cache = (ScanCache){0};
}

static ScanEntry *find(const ScanCache *cache, const char *name)
{
        return (ScanEntry *) name_table_find(&cache->table, name);
}

static int entry_new(ScanCache *cache, const char *name, ScanEntry **ret)
{
        size_t n = strlen(name) + 1;
        ScanEntry *e = calloc(1, sizeof(ScanEntry) + n);
        int r;

        if (!e)
                return -ENOMEM;
        memcpy(e->name, name, n);
        e->named.name = e->name;
        r = name_table_insert(&cache->table, &e->named);
        if (r < 0) {
                free(e);
                return r;
        }
        *ret = e;
        return 0;
}

static void entry_set(ScanCache *cache, ScanEntry *e, EntryProblem problem, bool link)
{
        cache->problems_changed |= e->problem != problem;
        cache->n_problems += (problem != ENTRY_FINE) - (e->problem != ENTRY_FINE);
        cache->n_links += (size_t) link - (size_t) e->link;
        e->problem = problem;
        e->link = link;
}

static void entry_free(ScanCache *cache, ScanEntry *e)
{
        entry_set(cache, e, ENTRY_FINE, false);
        name_table_remove(&cache->table, &e->named);
        volume_extra_free(e->row.extra);
        free(e);
}

int look_drop(Look *l, ScanEntry *e)
{
        int r;

        if (!e)
                return 0;
        r = e->shown ? l->sink->removed(l->sink, e->name) : 0;
        entry_free(l->cache, e);
        return r;
}

/* What is there is not a volume. */
static int skip(Look *l, ScanEntry *e, const char *name, EntryProblem problem)
{
        bool was_shown = e && e->shown;
        int r;

        if (!e) {
                r = entry_new(l->cache, name, &e);
                if (r < 0)
                        return r;
        }
        entry_set(l->cache, e, problem, problem >= ENTRY_LINK_DANGLES && problem <= ENTRY_LINK_TO_NO_FILE);
        e->row.extra = volume_extra_free(e->row.extra);
        e->row = (VolumeRow){0};
        e->shown = false;
        e->generation = l->generation;
        return was_shown ? l->sink->removed(l->sink, name) : 0;
}

/* What was seen of an entry that is a volume. */
typedef struct Seen {
        VolumeRow row; /* its name is borrowed */
        uint64_t ino;
        EntryProblem problem;
        bool link;
} Seen;

/* Takes over s->row.extra, and reports the row if it is news. */
static int commit(Look *l, ScanEntry *e, const char *name, Seen *s)
{
        bool changed;
        int r;

        if (!e) {
                r = entry_new(l->cache, name, &e);
                if (r < 0) {
                        volume_extra_free(s->row.extra);
                        return r;
                }
        }
        s->row.name = e->name;
        changed = !e->shown || !volume_row_equal(&e->row, &s->row);
        volume_extra_free(e->row.extra);
        e->row = s->row;
        e->ino = s->ino;
        e->shown = true;
        e->generation = l->generation;
        entry_set(l->cache, e, s->problem, s->link);
        return changed ? l->sink->changed(l->sink, &e->row) : 0;
}

/* A list that was read while it changed may lack one: what was in use is asked itself. */
static const LockedFiles *locked_files(const Look *l, const ScanEntry *e)
{
        return e && e->row.in_use ? NULL : &l->locked;
}

/* fd: the regular file, open for reading. */
static int look_into(Look *l, ScanEntry *e, const char *name, int fd, bool link)
{
        Seen s = {.row.name = (char *) name, .link = link};
        struct statx stx;
        int r;

        if (statx(fd, "", AT_EMPTY_PATH, FILE_STATX_MASK, &stx) < 0)
                return skip(l, e, name, ENTRY_NO_STAT);
        /* Exchanged under our hands for something else: there will be an event, or the next pass sees it. */
        if (!S_ISREG(stx.stx_mode))
                return look_drop(l, e);
        file_row_set_stat(&s.row, &stx);
        s.ino = stx.stx_ino;
        r = file_row_probe(fd, l->cache->folder, locked_files(l, e), &stx, &s.row);
        if (r < 0) {
                volume_extra_free(s.row.extra);
                return r;
        }
        return commit(l, e, name, &s);
}

/* A file that cannot be opened: stx is all that is known of it. */
static int look_unreadable(Look *l, ScanEntry *e, const char *name, const struct statx *stx, bool link,
                           int error)
{
        Seen s = {.ino = stx->stx_ino, .problem = ENTRY_UNREADABLE, .link = link};
        int r;

        file_row_set_stat(&s.row, stx);
        r = file_row_set_unreadable(&s.row, stx, error);
        if (r < 0) {
                volume_extra_free(s.row.extra);
                return r;
        }
        return commit(l, e, name, &s);
}

static int stat_entry(Look *l, const char *name, struct statx *ret)
{
        if (statx(l->dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, FILE_STATX_MASK, ret) < 0)
                return -errno;
        return 0;
}

static int look_at_file(Look *l, ScanEntry *e, const char *name)
{
        _cleanup_close_ int fd = file_open_quietly(l->dir_fd, name);
        struct statx stx;
        int r;

        if (fd >= 0)
                return look_into(l, e, name, fd, false);
        if (fd == -ENOENT || fd == -ELOOP || fd == -ENXIO)
                return look_drop(l, e);
        r = stat_entry(l, name, &stx);
        if (r == -ENOENT)
                return look_drop(l, e);
        if (r < 0)
                return skip(l, e, name, ENTRY_NO_STAT);
        return look_unreadable(l, e, name, &stx, false, -fd);
}

/*
 * Whether the cache has this very inode, unchanged. A row that we noted ourselves has no inode yet. What was
 * in use need not change when it is let go.
 */
static bool is_known(ScanEntry *e, const struct statx *stx)
{
        if (!e || !e->shown || e->row.in_use || (e->ino != 0 && e->ino != stx->stx_ino) ||
            !file_row_has_stat(&e->row, stx))
                return false;
        e->ino = stx->stx_ino;
        return true;
}

static int keep(Look *l, ScanEntry *e)
{
        e->generation = l->generation;
        return 0;
}

/*
 * A ploop image is a folder of these two files. root.hds in *ret_stx, open; or negative errno if it is none.
 */
static int open_ploop(Look *l, const char *name, struct statx *ret_stx)
{
        _cleanup_close_ int folder_fd = -EBADF, fd = -EBADF;

        folder_fd = openat(l->dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder_fd < 0 || faccessat(folder_fd, "DiskDescriptor.xml", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        fd = file_open_quietly(folder_fd, "root.hds");
        if (fd < 0)
                return fd;
        if (statx(fd, "", AT_EMPTY_PATH, FILE_STATX_MASK, ret_stx) < 0)
                return -errno;
        return S_ISREG(ret_stx->stx_mode) ? TAKE_FD(fd) : -EINVAL;
}

static int look_at_folder(Look *l, ScanEntry *e, const char *name, const struct statx *stx)
{
        Seen s = {.ino = stx->stx_ino, .row.name = (char *) name};
        _cleanup_close_ int fd = -EBADF;
        struct statx hds;
        int r;

        if (is_known(e, stx))
                return keep(l, e);
        fd = open_ploop(l, name, &hds);
        if (fd < 0) {
                file_row_set_stat(&s.row, stx);
                file_row_set_folder(&s.row);
                return commit(l, e, name, &s);
        }
        file_row_set_stat(&s.row, &hds);
        r = file_row_probe(fd, l->cache->folder, locked_files(l, e), &hds, &s.row);
        if (r < 0) {
                volume_extra_free(s.row.extra);
                return r;
        }
        s.row.type = VOLUME_PLOOP;
        return commit(l, e, name, &s);
}

/* A link is a volume if it leads to a regular file within the folder: one cannot point out of the pool. */
static int look_at_link(Look *l, ScanEntry *e, const char *name)
{
        _cleanup_close_ int path_fd = -EBADF, fd = -EBADF;
        struct statx stx;

        path_fd = open_beneath(l->dir_fd, name, O_PATH, true);
        if (path_fd == -ELOOP)
                return skip(l, e, name, ENTRY_LINK_LOOPS);
        if (path_fd == -EXDEV)
                return skip(l, e, name, ENTRY_LINK_LEAVES);
        if (path_fd < 0)
                return skip(l, e, name, ENTRY_LINK_DANGLES);
        if (statx(path_fd, "", AT_EMPTY_PATH, FILE_STATX_MASK, &stx) < 0)
                return skip(l, e, name, ENTRY_NO_STAT);
        if (!S_ISREG(stx.stx_mode))
                return skip(l, e, name, ENTRY_LINK_TO_NO_FILE);
        if (is_known(e, &stx))
                return keep(l, e);
        fd = open_beneath(l->dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOATIME, true);
        if (fd == -EPERM)
                fd = open_beneath(l->dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, true);
        if (fd < 0)
                return look_unreadable(l, e, name, &stx, true, -fd);
        return look_into(l, e, name, fd, true);
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

int look_at(Look *l, const char *name, unsigned char d_type)
{
        ScanEntry *e = find(l->cache, name);
        EntryProblem problem;
        struct statx stx;
        int r;

        problem = e && e->shown ? ENTRY_FINE : check_name(name);
        /* The first look at a file needs its header anyway: one walk of the path less. */
        if (problem == ENTRY_FINE && !e && d_type == DT_REG)
                return look_at_file(l, e, name);
        r = stat_entry(l, name, &stx);
        if (r == -ENOENT)
                return look_drop(l, e);
        if (r < 0)
                problem = ENTRY_NO_STAT;
        if (problem != ENTRY_FINE)
                return skip(l, e, name, problem);
        switch (stx.stx_mode & S_IFMT) {
        case S_IFREG:
                return is_known(e, &stx) ? keep(l, e) : look_at_file(l, e, name);
        case S_IFDIR:
                return look_at_folder(l, e, name, &stx);
        case S_IFLNK:
                return look_at_link(l, e, name);
        case S_IFIFO:
                return skip(l, e, name, ENTRY_FIFO);
        case S_IFSOCK:
                return skip(l, e, name, ENTRY_SOCKET);
        default:
                return skip(l, e, name, ENTRY_DEVICE);
        }
}

int scan_cache_note(ScanCache *cache, const char *name, const VolumeRow *row, uint32_t generation)
{
        ScanEntry *e = find(cache, name);
        VolumeExtra *extra = NULL;
        int r;

        if (!row) {
                if (e)
                        entry_free(cache, e);
                return 0;
        }
        /* The next look at the file finds what is noted here, unless it changed. */
        r = volume_extra_copy(row->extra, &extra);
        if (r < 0)
                return r;
        if (!e) {
                r = entry_new(cache, name, &e);
                if (r < 0) {
                        volume_extra_free(extra);
                        return r;
                }
        }
        volume_extra_free(e->row.extra);
        e->row = *row;
        e->row.name = e->name;
        e->row.extra = extra;
        e->ino = 0;
        e->shown = true;
        e->generation = generation;
        entry_set(cache, e, ENTRY_FINE, e->link);
        return 0;
}

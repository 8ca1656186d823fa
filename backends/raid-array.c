/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/raid-array.h"

#include <dirent.h>
#include <linux/major.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

void raid_array_done(RaidArray *array)
{
        for (size_t i = 0; i < array->n_members; i++) {
                RaidMemberFound *m = &array->members[i];

                block_device_done(&m->dev);
                free(m->holder);
                free(m->uuid);
                free(m->array_name);
                free(m->contents);
        }
        free(array->members);
        free(array->name);
        raid_state_done(&array->state);
        *array = (RaidArray){0};
}

int raid_read_state(const char *name, RaidState *ret)
{
        _cleanup_free_ char *folder = NULL;

        if (asprintf(&folder, "/sys/block/%s/md", name) < 0)
                return -ENOMEM;
        return raid_state_read(folder, ret);
}

static bool is_md(const char *name)
{
        char path[PATH_MAX];

        return (size_t) snprintf(path, sizeof(path), "/sys/block/%s/md", name) < sizeof(path) &&
               access(path, F_OK) >= 0;
}

static bool has_device(dev_t devnum)
{
        char path[64];

        (void) snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(devnum), minor(devnum));
        return access(path, F_OK) >= 0;
}

/*
 * Whether node is what is left of an array that was just stopped: the kernel forgets first the array, then
 * its device, and udev takes the links to it away last.
 */
static bool is_going(const struct stat *st, const char *node)
{
        if (!node)
                return true;
        if (!S_ISBLK(st->st_mode))
                return false;
        return !has_device(st->st_rdev) ||
               (major(st->st_rdev) == MD_MAJOR && !is_md(strrchr(node, '/') + 1));
}

int raid_find_holder(dev_t devnum, char **ret)
{
        _cleanup_free_ char *folder = NULL;
        struct dirent *entry;
        DIR *dir;
        int r = 0;

        *ret = NULL;
        if (asprintf(&folder, "/sys/dev/block/%u:%u/holders", major(devnum), minor(devnum)) < 0)
                return -ENOMEM;
        dir = opendir(folder);
        while (dir && !*ret && r >= 0 && (entry = readdir(dir))) {
                if (entry->d_name[0] != '.' && is_md(entry->d_name))
                        r = free_and_strdup(ret, entry->d_name);
        }
        if (dir)
                (void) closedir(dir);
        return r;
}

/* NAME of /dev/md/NAME; mdadm names /dev/md5 "5". NULL: path is neither. */
static const char *name_in_path(const char *path)
{
        return startswith(path, "/dev/md/") ?: startswith(path, "/dev/md");
}

static int look_at_path(BackendContext *ctx, RaidArray *array)
{
        _cleanup_free_ char *node = NULL, *name = NULL;
        struct stat st;
        int r;

        if (stat(array->path, &st) < 0) {
                if (errno == ENOENT)
                        return 0;
                return error_set_errno(ctx->error, errno, "Cannot look at %s", array->path);
        }
        node = realpath(array->path, NULL);
        if (is_going(&st, node))
                return 0;
        name = node && startswith(node, "/dev/") ? strdup(node + strlen("/dev/")) : NULL;
        if (!name || strchr(name, '/') || !S_ISBLK(st.st_mode) || !is_md(name))
                return error_setf(
                        ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "%s is there, but is no RAID array: pool '%s' needs another name for its array",
                        array->path, ctx->pool->name);
        r = raid_read_state(name, &array->state);
        /* It went meanwhile. */
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot look at the array %s", array->path);
        array->name = TAKE_PTR(name);
        return 0;
}

static int look_at_member(BackendContext *ctx, RaidMemberFound *m)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        BackendContext quiet = *ctx;
        int r;

        quiet.error = &error;
        r = block_device_find(&quiet, m->path, &m->dev);
        /* One that cannot be opened is as good as not there. */
        if (r < 0)
                return 0;
        r = raid_find_holder(m->dev.devnum, &m->holder);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot find out who uses %s", m->path) : 0;
}

int raid_array_look(BackendContext *ctx, RaidArray *ret)
{
        const PoolRaid *raid = &ctx->pool->raid;
        RaidArray array = {0};
        int r;

        array.path = ctx->pool->source.devices[0].path;
        array.members = calloc(raid->n_members + 1, sizeof(RaidMemberFound));
        if (!array.members)
                return error_set_errno(ctx->error, ENOMEM, "Cannot look at the array %s", array.path);
        r = look_at_path(ctx, &array);
        for (size_t i = 0; r >= 0 && i < raid->n_members; i++) {
                array.members[i].path = raid->members[i].path;
                array.n_members = i + 1;
                r = look_at_member(ctx, &array.members[i]);
        }
        if (r < 0) {
                raid_array_done(&array);
                return r;
        }
        *ret = array;
        return 0;
}

int raid_superblock(const BlockContents *c, char **ret_uuid, char **ret_name)
{
        const char *colon;
        int r;

        *ret_uuid = NULL;
        if (ret_name)
                *ret_name = NULL;
        if (!streq_ptr(c->type, "linux_raid_member"))
                return 0;
        r = free_and_strdup(ret_uuid, c->uuid);
        if (r < 0 || !ret_name || !c->label)
                return r;
        colon = strchr(c->label, ':');
        return free_and_strdup(ret_name, colon ? colon + 1 : c->label);
}

static int examine_member(BackendContext *ctx, RaidMemberFound *m)
{
        _cleanup_(block_contents_done) BlockContents c = {0};
        int r;

        r = block_device_probe(ctx, &m->dev, &c);
        if (r < 0)
                return r;
        r = raid_superblock(&c, &m->uuid, &m->array_name);
        if (r >= 0 && !m->uuid)
                r = block_contents_describe(&c, &m->contents);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot look at what is on %s", m->path) : 0;
}

int raid_array_examine(BackendContext *ctx, RaidArray *array)
{
        for (size_t i = 0; i < array->n_members; i++) {
                int r = array->members[i].dev.node ? examine_member(ctx, &array->members[i]) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

bool raid_array_is_ours(const RaidArray *array)
{
        bool one = false;

        if (!array->name)
                return false;
        for (size_t i = 0; i < array->n_members; i++) {
                const char *holder = array->members[i].holder;

                if (holder && !streq(holder, array->name))
                        return false;
                one = one || holder;
        }
        return one;
}

const char *raid_array_own_name(const RaidArray *array)
{
        return name_in_path(array->path);
}

const char *raid_array_uuid(const RaidArray *array)
{
        const char *own = raid_array_own_name(array), *best = NULL;
        size_t most = 0;

        for (size_t i = 0; i < array->n_members; i++) {
                const RaidMemberFound *m = &array->members[i];
                size_t n = 0;

                if (!m->uuid)
                        continue;
                for (size_t k = 0; k < array->n_members; k++)
                        n += streq_ptr(array->members[k].uuid, m->uuid);
                if (streq_ptr(m->array_name, own))
                        n += array->n_members;
                if (m->holder && streq_ptr(m->holder, array->name))
                        n += 2 * array->n_members;
                if (n > most) {
                        most = n;
                        best = m->uuid;
                }
        }
        return best;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Making volumes. A logical volume has a tag from its birth until everything is done to it: what still has
 * it when a worker begins was cut short and goes.
 */

#include <blockdev/exec.h>
#include <blockdev/lvm.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>

#include "backends/block-luks.h"
#include "backends/blockdev-lib.h"
#include "backends/logical-kernel.h"
#include "backends/logical.h"
#include "backends/luks-check.h"

#define THIN_POOL_NAME "thinpool"
/* Of what is free, a new thin pool gets so many fifths: the rest is for its metadata, and for thick volumes.
 */
#define THIN_POOL_FIFTHS 4U

/* A chunk of 4 KiB that differs takes 16 bytes in a thick snapshot's list of these. */
#define SNAPSHOT_LIST_PART 256U

typedef struct Create {
        BackendContext *ctx;
        const VolumeDef *def;
        const LogicalGroup *group;
        LogicalGroup read;       /* if it had to be */
        const LogicalLv *origin; /* NULL: no snapshot */
        uint64_t capacity;       /* in whole extents */
        bool thin;
        const char *thin_pool; /* the one it is put into; a snapshot's is that of its origin */
        const char *new_pool;  /* a thin pool that was made for it */
        int64_t time;          /* when this began, seconds since 1970 */
        bool begun;            /* so something may be left of it */
} Create;

static BDExtraArg tag = {.opt = (char *) "--addtag", .val = (char *) LOGICAL_UNFINISHED_TAG};
static BDExtraArg yes = {.opt = (char *) "--yes", .val = (char *) ""};
static BDExtraArg wipe = {.opt = (char *) "--wipesignatures", .val = (char *) "y"};
static BDExtraArg zero = {.opt = (char *) "--zero", .val = (char *) "y"};
static BDExtraArg no_skip = {.opt = (char *) "--setactivationskip", .val = (char *) "n"};
static BDExtraArg no_backup = {.opt = (char *) "--config", .val = (char *) LOGICAL_NO_BACKUP};

static int refuse(Create *c, const char *error_name, const char *why)
{
        return error_setf(c->ctx->error, error_name, "Cannot make volume '%s' in pool '%s': %s",
                          c->def->name, c->ctx->pool->name, why);
}

static int check_def(Create *c, Preallocation p)
{
        const VolumeDef *def = c->def;
        int r = logical_name_validate(c->ctx, def->name);

        if (r < 0)
                return r;
        r = luks_check(c->ctx, def);
        if (r < 0)
                return r;
        if (def->encryption.format != ENCRYPTION_NONE && def->backing_path)
                return refuse(c, STORAGE_ERROR_INVALID_ARGUMENT,
                              "a snapshot is encrypted as its origin is, and with the same secret");
        if (def->permissions.label)
                return refuse(c, STORAGE_ERROR_UNSUPPORTED, "a logical volume's label is for udev to set");
        if (def->nocow)
                return refuse(c, STORAGE_ERROR_INVALID_ARGUMENT, "nocow is for files");
        c->thin = !def->backing_path && def->allocation_set && def->allocation < def->capacity;
        if (p == PREALLOCATION_METADATA ||
            (p != PREALLOCATION_UNSET && (def->backing_path || c->thin != (p == PREALLOCATION_OFF))))
                return refuse(
                        c, STORAGE_ERROR_INVALID_ARGUMENT,
                        "its allocation decides whether room is set aside for all of it: preallocation "
                        "has no other meaning here");
        return 0;
}

static bool leads_to(const LogicalLv *lv, const char *folder, const struct stat *node)
{
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (asprintf(&path, "%s/%s", folder, lv->name) < 0) {
                path = NULL;
                return false;
        }
        return stat(path, &st) >= 0 && S_ISBLK(st.st_mode) && st.st_rdev == node->st_rdev;
}

/* By its path in the pool; else by what the path leads to (/dev/mapper/…). */
static int find_origin(Create *c)
{
        const char *folder = c->ctx->pool->target_path, *path = c->def->backing_path;
        const char *name = startswith(path, folder);
        struct stat st;

        if (name && *name == '/')
                c->origin = logical_group_find(c->group, name + 1);
        else if (stat(path, &st) >= 0 && S_ISBLK(st.st_mode)) {
                for (size_t i = 0; i < c->group->n_lvs && !c->origin; i++) {
                        if (leads_to(&c->group->lvs[i], folder, &st))
                                c->origin = &c->group->lvs[i];
                }
        }
        if (c->origin && !c->origin->hidden && !c->origin->unfinished)
                return 0;
        return error_setf(c->ctx->error, STORAGE_ERROR_NOT_FOUND,
                          "Cannot make volume '%s' in pool '%s': its backing store '%s' is no volume of the "
                          "pool, as that of a snapshot must be",
                          c->def->name, c->ctx->pool->name, path);
}

static int round_up(Create *c, uint64_t size, uint64_t *ret)
{
        uint64_t extent = c->group->extent_size;

        if (size > (uint64_t) INT64_MAX - extent)
                return refuse(c, STORAGE_ERROR_INVALID_ARGUMENT, "it is too large");
        *ret = (size + extent - 1) / extent * extent;
        return 0;
}

/* Of its device: what a guest sees, and the header of a container. */
static int choose_capacity(Create *c)
{
        uint64_t header = block_luks_header_size(&c->def->encryption);

        if (c->def->capacity > (uint64_t) INT64_MAX - header)
                return refuse(c, STORAGE_ERROR_INVALID_ARGUMENT, "it is too large");
        return round_up(c, c->def->capacity + header, &c->capacity);
}

static int refuse_name(Create *c)
{
        return error_setf(
                c->ctx->error, STORAGE_ERROR_EXISTS,
                "Cannot make volume '%s' in pool '%s': the volume group %s has something of that name",
                c->def->name, c->ctx->pool->name, c->group->name);
}

static int fail(Create *c, GError **gerror)
{
        if (*gerror && strstr((*gerror)->message, "already exists in volume group"))
                return refuse_name(c);
        return error_set_blockdev(c->ctx, gerror, "Cannot make volume '%s' in pool '%s'", c->def->name,
                                  c->ctx->pool->name);
}

static int make_snapshot(Create *c)
{
        const BDExtraArg *thin[] = {&tag, &no_backup, &yes, &no_skip, NULL};
        const BDExtraArg *thick[] = {&tag, &no_backup, &yes, NULL};
        const char *vg = c->group->name, *origin = c->origin->name, *name = c->def->name;
        g_autoptr(GError) gerror = NULL;
        uint64_t room = 0, capacity = c->origin->size;
        int r;

        r = c->def->capacity_set && c->def->capacity > 0 ? round_up(c, c->def->capacity, &capacity) : 0;
        if (r >= 0 && capacity != c->origin->size)
                return error_setf(
                        c->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "Cannot make volume '%s' in pool '%s': a snapshot is as large as its origin, "
                        "here %" PRIu64 " bytes; leave its capacity out",
                        name, c->ctx->pool->name, c->origin->size);
        if (r < 0)
                return r;
        if (c->origin->pool)
                return bd_lvm_thsnapshotcreate(vg, origin, name, NULL, thin, &gerror) ? 0 : fail(c, &gerror);
        if (c->origin->thick_snapshot)
                return refuse(c, STORAGE_ERROR_UNSUPPORTED,
                              "LVM makes no snapshots of snapshots, but of thin volumes");
        /* With the list of what differs it takes more than its origin: LVM gives it no more than it can use.
         */
        if (c->def->allocation_set && c->def->allocation > 0)
                room = c->def->allocation;
        else
                room = capacity + capacity / SNAPSHOT_LIST_PART + c->group->extent_size;
        r = round_up(c, room, &room);
        if (r < 0)
                return r;
        return bd_lvm_lvsnapshotcreate(vg, origin, name, room, thick, &gerror) ? 0 : fail(c, &gerror);
}

static uint64_t room_of(const LogicalLv *pool)
{
        return pool->size - logical_lv_allocation(pool);
}

/* The thin pool that works and has the most room; NULL: none. */
static const LogicalLv *choose_pool(const LogicalGroup *group)
{
        const LogicalLv *best = NULL;

        for (size_t i = 0; i < group->n_lvs; i++) {
                const LogicalLv *lv = &group->lvs[i];

                if (lv->thin_pool && !strchr("pFDM", lv->attr[8]) && (!best || room_of(lv) > room_of(best)))
                        best = lv;
        }
        return best;
}

static int make_pool(Create *c)
{
        uint64_t extent = c->group->extent_size, allocation = 0;
        uint64_t size = c->group->free / extent / 5 * THIN_POOL_FIFTHS * extent;
        const BDExtraArg *extra[] = {&tag, &no_backup, &yes, &zero, NULL};
        g_autoptr(GError) gerror = NULL;
        int r;

        if (logical_group_find(c->group, THIN_POOL_NAME))
                return refuse(c, STORAGE_ERROR_EXISTS,
                              "it needs a thin pool, and what is named " THIN_POOL_NAME " is none");
        r = round_up(c, c->def->allocation, &allocation);
        if (r < 0)
                return r;
        size = size > allocation ? size : allocation;
        if (size == 0)
                return refuse(c, STORAGE_ERROR_NO_SPACE, "there is no room for a thin pool");
        c->new_pool = THIN_POOL_NAME;
        return bd_lvm_thpoolcreate(c->group->name, THIN_POOL_NAME, size, 0, 0, NULL, extra, &gerror)
                       ? 0
                       : fail(c, &gerror);
}

static int make_thin(Create *c)
{
        const LogicalLv *pool = choose_pool(c->group);
        const char *name = pool ? pool->name : THIN_POOL_NAME;
        const BDExtraArg *extra[] = {&tag, &no_backup, &yes, NULL};
        g_autoptr(GError) gerror = NULL;
        int r = pool ? 0 : make_pool(c);

        if (r < 0)
                return r;
        /* Made for another volume, which may still come to nothing: then it stays for this one. */
        if (pool && pool->unfinished && streq(pool->name, THIN_POOL_NAME))
                c->new_pool = THIN_POOL_NAME;
        if (pool && room_of(pool) < c->def->allocation)
                return error_setf(c->ctx->error, STORAGE_ERROR_NO_SPACE,
                                  "Cannot make volume '%s' in pool '%s': the thin pool '%s' has room for "
                                  "%" PRIu64 " bytes only",
                                  c->def->name, c->ctx->pool->name, pool->name, room_of(pool));
        c->thin_pool = name;
        return bd_lvm_thlvcreate(c->group->name, name, c->def->name, c->capacity, extra, &gerror)
                       ? 0
                       : fail(c, &gerror);
}

static int make_thick(Create *c)
{
        const BDExtraArg *extra[] = {&tag, &no_backup, &wipe, NULL};
        g_autoptr(GError) gerror = NULL;

        return bd_lvm_lvcreate(c->group->name, c->def->name, c->capacity, NULL, NULL, extra, &gerror)
                       ? 0
                       : fail(c, &gerror);
}

static int make(Create *c)
{
        int r;

        if (logical_group_find(c->group, c->def->name))
                return refuse_name(c);
        r = c->def->backing_path ? find_origin(c) : choose_capacity(c);
        if (r < 0)
                return r;
        c->begun = true;
        return c->origin ? make_snapshot(c) : c->thin ? make_thin(c) : make_thick(c);
}

/* udev sets these each time that a volume is activated: others would last until then. */
static int check_permissions(Create *c, const VolumeRow *row)
{
        const Permissions *p = &c->def->permissions;

        if ((p->mode == MODE_UNSET || p->mode == row->mode) &&
            (p->owner == ID_UNSET || p->owner == row->owner) &&
            (p->group == ID_UNSET || p->group == row->group))
                return 0;
        return error_setf(
                c->ctx->error, STORAGE_ERROR_UNSUPPORTED,
                "Cannot make volume '%s' in pool '%s': mode and owner of logical volumes are set by "
                "udev (here to %03o, %u:%u); leave them out, or write a udev rule",
                c->def->name, c->ctx->pool->name, row->mode, row->owner, row->group);
}

/*
 * lvm changes a volume of which a part is gone as well as any other: only what is all there at that moment
 * is to be told of.
 */
static int remove_tag(Create *c)
{
        _cleanup_free_ char *path = NULL, *pool = NULL;
        const char *argv[] = {"lvm",      "lvchange",
                              "--config", "log{silent=0} " LOGICAL_NO_ARCHIVE,
                              "--deltag", LOGICAL_UNFINISHED_TAG,
                              "--select", "lv_health_status!=partial",
                              NULL,       NULL,
                              NULL};
        g_autoptr(GError) gerror = NULL;
        g_autofree gchar *said = NULL;

        if (asprintf(&path, "%s/%s", c->ctx->pool->source.name, c->def->name) < 0 ||
            asprintf(&pool, "%s/%s", c->ctx->pool->source.name, strempty(c->new_pool)) < 0)
                return error_set_errno(c->ctx->error, ENOMEM, "Cannot make volume '%s'", c->def->name);
        argv[8] = path;
        argv[9] = c->new_pool ? pool : NULL;
        if (bd_utils_exec_and_capture_output(argv, NULL, &said, &gerror))
                return 0;
        if (g_error_matches(gerror, BD_UTILS_EXEC_ERROR, BD_UTILS_EXEC_ERROR_NOOUT))
                return refuse(c, STORAGE_ERROR_FAILED, "a device on which a part of it lies is gone");
        return fail(c, &gerror);
}

static int read_row(Create *c, bool now, VolumeRow *ret)
{
        LogicalGroup group = {0};
        const LogicalLv *lv;
        int r;

        r = logical_group_read(c->ctx, &group);
        if (r < 0)
                return r;
        lv = logical_group_find(&group, c->def->name);
        r = lv ? logical_row(c->ctx->pool, lv, now, NULL, ret) : -ENOENT;
        logical_group_done(&group);
        return r < 0 ? error_set_errno(c->ctx->error, r, "Volume '%s' was made but cannot be read",
                                       c->def->name)
                     : 0;
}

/* What the kernel does not know of it. */
static int complete(const Create *c, LogicalLv *lv)
{
        const char *pool = c->origin ? c->origin->pool : c->thin_pool;
        int r = 0;

        /* By lvm's clock it may be a second more; the next look tells. */
        lv->time = c->time;
        if (c->origin)
                r = free_and_strdup(&lv->origin, c->origin->name);
        return r < 0 || !pool ? r : free_and_strdup(&lv->pool, pool);
}

/* lvm takes as long to tell it as to make it, and longer the more volumes there are. */
static int look_at_row(Create *c, VolumeRow *ret)
{
        bool now = c->origin != NULL;
        LogicalLv lv = {0};
        int r;

        r = logical_kernel_read(c->ctx->pool, c->group, c->def->name, &lv);
        if (r < 0)
                return read_row(c, now, ret);
        r = complete(c, &lv);
        if (r >= 0)
                r = logical_row(c->ctx->pool, &lv, now, NULL, ret);
        logical_lv_done(&lv);
        return r < 0 ? error_set_errno(c->ctx->error, r, "Volume '%s' was made but cannot be read",
                                       c->def->name)
                     : 0;
}

/* What was made, and whether it is as it was to be. */
static int look(Create *c, VolumeRow *ret)
{
        VolumeRow row = {0};
        int r;

        r = look_at_row(c, &row);
        if (r >= 0)
                r = check_permissions(c, &row);
        if (r < 0)
                volume_row_done(&row);
        else
                *ret = row;
        return r;
}

/* A thick volume is made without regard to others; lvm refuses one whose name somebody has taken meanwhile.
 */
static const LogicalGroup *known_group(const Create *c)
{
        const LogicalGroup *group = logical_scan_group(c->ctx->scan);

        if (group || c->thin || c->def->backing_path)
                return group;
        group = logical_scan_group_of_old(c->ctx->scan);
        return group && !logical_group_find(group, c->def->name) ? group : NULL;
}

static int begin(Create *c, Preallocation p)
{
        int r;

        c->time = time(NULL);
        r = check_def(c, p);
        c->group = known_group(c);
        if (r >= 0 && !c->group) {
                r = logical_group_read(c->ctx, &c->read);
                c->group = &c->read;
        }
        return r < 0 ? r : make(c);
}

static void undo(const Create *c)
{
        (void) logical_remove_unfinished(c->ctx, c->def->name);
        if (c->new_pool)
                (void) logical_remove_unfinished(c->ctx, c->new_pool);
}

int logical_volume_create(BackendContext *ctx, const VolumeDef *def, Preallocation p, CreateResult *ret)
{
        Create c = {.ctx = ctx, .def = def};
        int r;

        r = begin(&c, p);
        if (r >= 0)
                r = look(&c, &ret->row);
        if (r >= 0)
                r = remove_tag(&c);
        if (r < 0 && c.begun)
                undo(&c);
        logical_group_done(&c.read);
        return r;
}

int logical_make_unfinished(BackendContext *ctx, const VolumeDef *def, LogicalUnfinished *ret)
{
        Create c = {.ctx = ctx, .def = def};
        VolumeRow row = {0};
        int r;

        r = begin(&c, PREALLOCATION_UNSET);
        if (r >= 0)
                r = look(&c, &row);
        if (r < 0 && c.begun)
                undo(&c);
        volume_row_done(&row);
        ret->new_pool = c.new_pool != NULL;
        ret->zero = r >= 0 && c.thin && (c.new_pool || logical_pool_zeroes(choose_pool(c.group)));
        logical_group_done(&c.read);
        return r;
}

int logical_finish(BackendContext *ctx, const char *name, bool new_pool, VolumeRow *ret)
{
        VolumeDef def = {.name = (char *) name, .permissions = PERMISSIONS_UNSET};
        Create c = {.ctx = ctx, .def = &def, .new_pool = new_pool ? THIN_POOL_NAME : NULL};
        VolumeRow row = {0};
        int r;

        r = read_row(&c, true, &row);
        if (r >= 0)
                r = remove_tag(&c);
        if (r < 0)
                volume_row_done(&row);
        else
                *ret = row;
        return r;
}

void logical_undo(BackendContext *ctx, const char *name, bool new_pool)
{
        VolumeDef def = {.name = (char *) name};

        undo(&(Create){.ctx = ctx, .def = &def, .new_pool = new_pool ? THIN_POOL_NAME : NULL});
}

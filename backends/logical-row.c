/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A logical volume as a volume. */

#include <sys/stat.h>

#include "backends/block-luks.h"
#include "backends/logical-report.h"

/* Where lvs(8) has the letters of lv_attr. */
#define ATTR_STATE 4
#define ATTR_HEALTH 8

/* What is wrong with it, for people; NULL: nothing. */
static const char *problem_of(const LogicalLv *lv)
{
        switch (lv->attr[ATTR_STATE]) {
        case 'I':
                return "This snapshot ran out of room and its contents are lost";
        case 'S':
        case 's':
                return "It is suspended";
        case 'm':
        case 'M':
                return "Merging this snapshot into its origin failed";
        case 'd':
                return "It is known to the kernel, but its tables are not";
        default:
                break;
        }
        switch (lv->attr[ATTR_HEALTH]) {
        case 'p':
                return "A part of it lies on a device that is missing";
        case 'F':
                return "Its thin pool failed, and can be neither read nor written";
        case 'D':
                return "Its thin pool has no room for data left";
        case 'M':
                return "Its thin pool's metadata is read-only";
        case 'r':
                return "One of the devices that it is mirrored on failed, and must be refreshed or replaced";
        case 'm':
                return "The devices that it is mirrored on were found to differ";
        default:
                return logical_lv_is_active(lv) ? NULL : "It is not active";
        }
}

static int set_string(char **field, const char *s)
{
        return s && !(*field = strdup(s)) ? -ENOMEM : 0;
}

static int copy_extents(const LogicalLv *lv, VolumeExtra *extra)
{
        if (lv->n_extents == 0)
                return 0;
        extra->extents = calloc(lv->n_extents, sizeof(VolumeExtent));
        if (!extra->extents)
                return -ENOMEM;
        for (; extra->n_extents < lv->n_extents; extra->n_extents++) {
                const VolumeExtent *from = &lv->extents[extra->n_extents];
                VolumeExtent *to = &extra->extents[extra->n_extents];

                *to = (VolumeExtent){.device = strdup(from->device), .start = from->start, .end = from->end};
                if (!to->device)
                        return -ENOMEM;
        }
        return 0;
}

static int fill_extra(const PoolDef *pool, const LogicalLv *lv, VolumeExtra *extra)
{
        int r;

        r = set_string(&extra->key, lv->uuid);
        if (r >= 0 && asprintf(&extra->path, "%s/%s", pool->target_path, lv->name) < 0) {
                extra->path = NULL;
                r = -ENOMEM;
        }
        if (r >= 0 && lv->origin &&
            asprintf(&extra->backing_path, "%s/%s", pool->target_path, lv->origin) < 0) {
                extra->backing_path = NULL;
                r = -ENOMEM;
        }
        if (r >= 0)
                r = set_string(&extra->problem, problem_of(lv));
        return r < 0 ? r : copy_extents(lv, extra);
}

/* One that is not active has no node; whoever reads one that is suspended waits. */
static int look_into(const LogicalLv *lv, bool now, const VolumeRow *before, VolumeRow *row)
{
        struct stat st;

        if (!logical_lv_is_active(lv) || stat(row->extra->path, &st) < 0 || !S_ISBLK(st.st_mode))
                return 0;
        row->mode = st.st_mode & 0777;
        row->owner = st.st_uid;
        row->group = st.st_gid;
        return row->extra->problem ? 0 : block_luks_set_row(row->extra->path, now, before, row);
}

int logical_row(const PoolDef *pool, const LogicalLv *lv, bool now, const VolumeRow *before, VolumeRow *ret)
{
        VolumeRow row = {
                .name = strdup(lv->name),
                .type = VOLUME_BLOCK,
                .format = volume_format_intern(""),
                .in_use = logical_lv_is_open(lv),
                .capacity = lv->size,
                .allocation = logical_lv_allocation(lv),
                .btime = lv->time * INT64_C(1000000000),
                .mode = MODE_UNSET,
                .owner = ID_UNSET,
                .group = ID_UNSET,
                .extra = volume_extra_new(),
        };
        int r;

        row.physical = lv->thick_snapshot ? lv->stored : row.allocation;
        r = row.name && row.extra ? fill_extra(pool, lv, row.extra) : -ENOMEM;
        if (r >= 0)
                r = look_into(lv, now, before, &row);
        if (r < 0) {
                volume_row_done(&row);
                return r;
        }
        *ret = row;
        return 0;
}

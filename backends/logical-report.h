/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A volume group as LVM itself reports it: one run of lvm tells of the group, its physical volumes, its
 * logical volumes and their segments, all read at one moment. Sizes are in bytes.
 */

#include "backends/backend.h"

/* Marks a logical volume that is being made: not a volume yet. */
#define LOGICAL_UNFINISHED_TAG "storaged-unfinished"
/*
 * What LVM keeps of a group in /etc/lvm, to be restored from, shall never have that tag: a volume that is
 * whole by then would be taken for a leftover. So commands that set the
 * tag write nothing (they archive what is in between as well), nor do those that read (which makes up for
 * that), and those that remove it write a backup after that, but no archive before.
 */
#define LOGICAL_NO_BACKUP "backup{backup=0 archive=0}"
#define LOGICAL_NO_ARCHIVE "backup{archive=0}"

#define LOGICAL_PERCENT_UNKNOWN UINT32_MAX

typedef struct LogicalPv {
        char *device; /* NULL: missing */
        char *uuid;
        char *was;      /* of a missing one, if that is known: where it was before */
        dev_t devnum;   /* 0: not known */
        uint64_t start; /* where its first extent begins */
} LogicalPv;

typedef struct LogicalLv {
        char *name, *uuid;
        char *origin;   /* of a snapshot, else NULL */
        char *pool;     /* the thin pool of a thin volume, else NULL */
        char attr[11];  /* lvs(8), "lv_attr" */
        bool hidden;    /* a part of others, or a pool */
        bool thin_pool; /* which is hidden as well */
        bool thick_snapshot;
        bool raid;       /* made of other volumes: raid, mirror */
        bool unfinished; /* has our tag */
        uint64_t size;   /* of what the device shows; of a thin pool: of its data */
        uint64_t stored; /* room that it has: of a thick snapshot that for differences, else size */
        uint64_t metadata_size;
        uint32_t data_percent, metadata_percent; /* hundredths of a percent, or unknown */
        int64_t time;                            /* of creation, seconds since 1970 */
        VolumeExtent *extents;
        size_t n_extents;
} LogicalLv;

typedef struct LogicalGroup {
        char *name, *uuid;
        uint64_t size, free, extent_size;
        LogicalPv *pvs;
        size_t n_pvs;
        LogicalLv *lvs; /* by name */
        size_t n_lvs;
} LogicalGroup;

void logical_group_done(LogicalGroup *group);
void logical_lv_done(LogicalLv *lv);

/* Reads what lvm wrote into the empty *ret. 0, -ENOENT if there is no group in it, -EBADMSG or -ENOMEM. */
int logical_group_parse(const char *json, LogicalGroup *ret);
/* The commands that write it: NULL-terminated, their strings are constants but for vg. */
#define LOGICAL_REPORT_ARGS_MAX 32U
void logical_report_argv(const char *vg, const char *argv[static LOGICAL_REPORT_ARGS_MAX]);
/* Of the group and its devices only. */
void logical_devices_argv(const char *vg, const char *argv[static LOGICAL_REPORT_ARGS_MAX]);

/* The pool's group. NotFound if there is none (or nothing is left of it), Unsupported, Failed. */
int logical_group_read(BackendContext *ctx, LogicalGroup *ret);

/* The same without its logical volumes, whose state takes long to find out if they are many. */
int logical_group_read_devices(BackendContext *ctx, LogicalGroup *ret);

const LogicalLv *logical_group_find(const LogicalGroup *group, const char *name);
/* One that people see, by that name; NotFound. */
int logical_group_require(BackendContext *ctx, const LogicalGroup *group, const char *name,
                          const LogicalLv **ret);
size_t logical_group_n_missing(const LogicalGroup *group);

static inline bool logical_lv_is_active(const LogicalLv *lv)
{
        return lv->attr[4] != '-' && lv->attr[4] != 'X' && lv->attr[4] != 0;
}

static inline bool logical_lv_is_open(const LogicalLv *lv)
{
        return logical_lv_is_active(lv) && lv->attr[5] == 'o';
}

/* A block that is written for the first time is zeroed before: lvs(8), "lv_attr". pool may be NULL. */
static inline bool logical_pool_zeroes(const LogicalLv *pool)
{
        return pool && pool->attr[7] == 'z';
}

/* Bytes of size that are percent of it, which must be known. */
uint64_t logical_part_of(uint64_t size, uint32_t percent);
/* What of lv's room is used: all of it, but for thin volumes and snapshots. */
uint64_t logical_lv_allocation(const LogicalLv *lv);

/* The names (quoted, the first few) of the volumes whose origin is lv: "'a', 'b'"; NULL: none. The caller's.
 */
int logical_dependents(const LogicalGroup *group, const LogicalLv *lv, char **ret);

/* Adds length bytes from start on of the device, whose path has n characters; beyond a number of them that
 * no report has, nothing. 0 or -ENOMEM. */
int logical_lv_add_extent(LogicalLv *lv, const char *device, size_t n, uint64_t start, uint64_t length);

/*
 * What is shown of lv. now and before: as in block_luks_set_row(). Freed with volume_row_done(). 0 or
 * -ENOMEM.
 */
int logical_row(const PoolDef *pool, const LogicalLv *lv, bool now, const VolumeRow *before, VolumeRow *ret);

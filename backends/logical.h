/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pools on LVM's volume groups. What each function does is told in backend.h and in the .c files; sizes are
 * in bytes.
 *
 * A volume is every logical volume that people made: pools of thin volumes are in the pool's details, and
 * what LVM hides is hidden. A thick volume has all its room from the start. One whose allocation is asked to
 * be less than its capacity is a thin volume: it is put into the thin pool of the group that has the most
 * room; if there is none, one named "thinpool" is made of four fifths of what is free. A volume with a
 * backing path is a snapshot of that volume: of a thin one in its thin pool, of a thick one with a room of
 * its own for differences, which is as large as its allocation (as its origin and a list, if none is given:
 * then it cannot overflow).
 */

#include "backends/in-use.h"
#include "backends/logical-report.h"

extern const Backend backend_logical;

/* logical-build.c */
int logical_build(BackendContext *ctx, const BuildOptions *options, bool *ret_made);
int logical_delete(BackendContext *ctx);

/* logical-scan.c */
int logical_scan_new(BackendContext *ctx, BackendScan **ret);
BackendScan *logical_scan_free(BackendScan *scan);
int logical_scan_refresh(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret);
int logical_scan_watch(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                       void *userdata);
int logical_scan_note(BackendScan *scan, const char *name, const VolumeRow *row);
/*
 * The group as the watch knows it: with nothing of ours done since the last look, and others' changes a
 * moment ago at most missing. NULL: it must be read. Nothing may be destroyed by what it says alone.
 */
const LogicalGroup *logical_scan_group(const BackendScan *scan);
/* The same, though we have changed it since: its volumes may be others, nothing else. */
const LogicalGroup *logical_scan_group_of_old(const BackendScan *scan);
/* The group's UUID as it was seen last, whatever was done to the group since; NULL: not known. */
const char *logical_scan_group_uuid(const BackendScan *scan);
/* The volume's row as it was told last; NULL: not known. */
const VolumeRow *logical_scan_row(const BackendScan *scan, const char *name);

/* logical-create.c */
int logical_volume_create(BackendContext *ctx, const VolumeDef *def, Preallocation p, CreateResult *ret);

/* A new volume that has its tag still, and its thin pool too if that is new. */
typedef struct LogicalUnfinished {
        bool new_pool;
        bool zero; /* it reads as zeros, and what is next to what is written does */
} LogicalUnfinished;

int logical_make_unfinished(BackendContext *ctx, const VolumeDef *def, LogicalUnfinished *ret);
/* Takes the tags away. */
int logical_finish(BackendContext *ctx, const char *name, bool new_pool, VolumeRow *ret);
/* Removes what has the tag still; what has not is nobody's leftover. */
void logical_undo(BackendContext *ctx, const char *name, bool new_pool);

/* logical-reserve.c */
int logical_volume_reserve(BackendContext *ctx, const VolumeDef *def, const char *token, CreateResult *ret);
int logical_volume_publish(BackendContext *ctx, const char *token, VolumeRow *ret);
int logical_volume_discard(BackendContext *ctx, const char *token);

/* logical-volume.c */
int logical_volume_delete(BackendContext *ctx, const char *name, bool force);
int logical_volume_resize(BackendContext *ctx, const char *name, uint64_t capacity,
                          const ResizeOptions *options, VolumeRow *ret);
int logical_volume_open(BackendContext *ctx, const char *name, OpenMode mode, bool force, int *ret_fd);
int logical_volume_look(BackendContext *ctx, const char *name, VolumeRow *ret);

/* logical-name.c: InvalidName if LVM would not take it for a new logical volume. */
int logical_name_validate(BackendContext *ctx, const char *name);

/* logical-use.c: who has the volume, for people: mounts, swap, holders, processes. *ret is NULL if nobody
 * can be found; the caller's. */
int logical_find_users(BackendContext *ctx, const char *name, UserList *ret);
int logical_describe_use(BackendContext *ctx, const char *name, char **ret);
/* InUse, naming who, if lv is open. verb: "cannot be deleted". */
int logical_require_closed(BackendContext *ctx, const LogicalLv *lv, const char *verb);
/* The same of one that is open. */
int logical_refuse_open(BackendContext *ctx, const char *name, const char *verb);

/* logical-remove.c: what is removed is chosen by lvm itself, while it holds the group's lock. */

/*
 * Removes what carries our tag of unfinished work, unless others have made volumes of it: a thin pool in
 * which there are some is whole, and loses its tag. 0; -EBUSY if it stays as it is, or another negative
 * errno, without words.
 */
int logical_remove_unfinished(BackendContext *ctx, const char *name);
/*
 * Removes the volume if it is still the one of that UUID in the group of that UUID, and no snapshot has been
 * made of it. 1: it is gone, 0: there is none like that (any more). InUse, Failed.
 */
int logical_remove_exactly(BackendContext *ctx, const char *name, const char *vg_uuid, const char *lv_uuid);
/* Removes the pool's group, if it is the one of that UUID and nothing that lvm shows is in it; else
 * HasDependents. */
int logical_remove_group(BackendContext *ctx, const char *vg_uuid);

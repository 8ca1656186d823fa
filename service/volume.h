/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A volume in memory: the row that the pool's worker reported, its place in the pool, and which other volume
 * it is an overlay of. Only the daemon's loop touches it; nothing in here does I/O.
 */

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "common/volume-row.h"

typedef struct Manager Manager;
typedef struct Pool Pool;
typedef struct Volume Volume;

/* What of a volume changed and is not announced yet. */
typedef enum VolumeChange {
        VOLUME_ADDED = 1 << 0,
        VOLUME_SIZES = 1 << 1,   /* Capacity Allocation Physical */
        VOLUME_TIMES = 1 << 2,   /* Modified */
        VOLUME_ACCESS = 1 << 3,  /* Mode Owner Group */
        VOLUME_CONTENT = 1 << 4, /* Format FormatProbed Encryption Problem Key Path Type */
        VOLUME_BACKING = 1 << 5, /* BackingPath BackingFormat Backing */
        VOLUME_USE = 1 << 6,     /* InUse */
        VOLUME_DEPENDENTS = 1 << 7,
        VOLUME_SNAPSHOTS = 1 << 8,     /* Snapshots */
        VOLUME_SNAPSHOT_KIND = 1 << 9, /* it has got the interface for them, or lost it */
} VolumeChange;

/* A volume with a backing file, in the manager's index by the path of that file. */
typedef struct Overlay {
        RB_ENTRY(Overlay) node;
        char *backing; /* absolute path */
        Volume *volume;
} Overlay;

RB_HEAD(OverlayTree, Overlay);
RB_PROTOTYPE(OverlayTree, Overlay, node, overlay_compare)

/* A file that a volume cannot be read without, in the manager's index by its inode. */
typedef struct Need {
        RB_ENTRY(Need) node;
        uint64_t dev, ino; /* both 0: it was not there, and is in no index */
        char *path;
        Volume *volume;
} Need;

RB_HEAD(NeedTree, Need);

/* A volume whose path or key is not its folder and name, in the manager's index by its path. */
typedef struct OddVolume {
        RB_ENTRY(OddVolume) node;
        char *path;
        Volume *volume;
} OddVolume;

RB_HEAD(OddTree, OddVolume);
RB_PROTOTYPE(OddTree, OddVolume, node, odd_compare)

/* A file that is the snapshot of another one: no volume. In its pool's tree by its name. */
typedef struct SnapshotFile {
        RB_ENTRY(SnapshotFile) node;
        char *name;
        uint64_t time, size; /* µs UTC, bytes */
        uint32_t seen_in;    /* the complete listing that it was last part of */
} SnapshotFile;

RB_HEAD(SnapshotTree, SnapshotFile);
RB_PROTOTYPE(SnapshotTree, SnapshotFile, node, snapshot_compare)

struct Volume {
        RB_ENTRY(Volume) node;     /* in pool->volumes, by name */
        TAILQ_ENTRY(Volume) dirty; /* in pool->dirty while changes != 0 */
        Pool *pool;
        Overlay *overlay; /* owned; NULL: no backing file */
        Need *needs;      /* owned; n_needs of them, NULL: none */
        size_t n_needs;
        OddVolume *odd;   /* owned; NULL: its path and key are those of its name */
        VolumeRow row;
        unsigned changes; /* VolumeChange not announced yet */
        uint32_t seen_in; /* the complete listing that it was last part of */
};

RB_HEAD(VolumeTree, Volume);
RB_PROTOTYPE(VolumeTree, Volume, node, volume_compare)

/*
 * Takes row (which is emptied) into the pool: a new volume, or the change of a known one, with its changes
 * marked for announcement. A file that is a snapshot is no volume: *ret is left as it is. 0 or -ENOMEM.
 */
int volume_update(Pool *pool, VolumeRow *row, Volume **ret);
/* Removes and frees it, and marks that for announcement. What is known of it on disk stays: it may come
 * back. */
void volume_remove(Volume *v);
/* The same for one that was seen to go: what is kept on disk about it goes too. */
void volume_gone(Volume *v);
/* The real path of the pool's folder has become known, or another one: so may be who is built on what. */
void volumes_depend_on_real_path(Pool *pool);
/* Marks VolumeChanges for announcement that are not of its row. */
void volume_mark_changed(Volume *v, unsigned changes);
/* Announces what is pending of this volume now. */
void volume_flush(Volume *v);
/* Frees all volumes of a pool without announcing each. */
void volumes_clear(Pool *pool);

Volume *volume_find(Pool *pool, const char *name);
/* The first volume whose name is greater than after (or not less than from). NULL: none. */
Volume *volume_next_after(Pool *pool, const char *after);
Volume *volume_first_from(Pool *pool, const char *from);
/* By absolute path, in all pools; that without symbolic links will do, too. */
Volume *volume_find_by_path(Manager *m, const char *path);
/* The volume that is the block device of that path, which may be another name of it. */
Volume *volume_find_by_device(Manager *m, const char *path);

/* The volume's path and key: owned by the caller. NULL: out of memory. */
char *volume_path(const Volume *v);
char *volume_key(const Volume *v);

/* Where a partition begins, by which it is known whatever number it gets; 0: it is none. */
uint64_t volume_start(const Volume *v);

/* The volume that v is an overlay of, if it is one of ours, and another one. */
Volume *volume_backing(const Volume *v);
/* The same, also if it names itself. */
Volume *volume_backing_or_self(const Volume *v);
/* Those that are overlays of v, one after the other: NULL first, then what was returned last. */
Overlay *volume_next_dependent(const Volume *v, const char *path, Overlay *last);

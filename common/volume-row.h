/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * VolumeRow: all that is known of one existing volume, as a worker reports it and as the daemon keeps it in
 * memory. There may be a hundred thousand of them: what most volumes have not is behind one pointer, and
 * formats are interned. Sizes are in bytes, times in nanoseconds since 1970 UTC (0: unknown).
 */

#include "common/volume-def.h"

typedef struct VolumeSnapshot {
        char *name;
        char *id;
        uint64_t size; /* bytes of VM state; 0: disk only */
        int64_t time;  /* µs since 1970 UTC */
} VolumeSnapshot;

/* Another file that an image cannot be read without: what it is built on, or what has its data. */
typedef struct VolumeNeed {
        char *path;        /* the real one, as far as that could be found out */
        uint64_t dev, ino; /* as in VolumeRow */
} VolumeNeed;

typedef struct VolumeExtra {
        char *key;  /* NULL: the path */
        char *path; /* NULL: the pool's target path, '/', the name */
        char *backing_path;
        char *backing_format;
        bool backing_remote;  /* backing_path is a "json:" or protocol name */
        bool backing_missing; /* there was no such file when that was last looked at */
        EncryptionFormat encryption;
        char *cipher_name, *cipher_mode, *cipher_hash;
        uint32_t cipher_size;
        uint64_t header_size; /* of a container: bytes of the device before its data, not in the capacity */
        char *compat;
        bool lazy_refcounts, extended_l2;
        char *data_file;
        uint64_t cluster_size;
        VolumeNeed *needs; /* files only, also those of a "json:" name */
        size_t n_needs;
        char *label;   /* SELinux label; NULL: none */
        char *problem; /* for people */
        bool damaged;  /* QEMU must not open it, see image_is_damaged(); within a worker only */
        VolumeSnapshot *snapshots;
        size_t n_snapshots;
        VolumeExtent *extents; /* where on the pool's devices it lies */
        size_t n_extents;
} VolumeExtra;

typedef struct VolumeRow {
        char *name;
        VolumeType type;
        const char *format; /* interned, never NULL, "" where volumes of the pool have none; not owned */
        bool format_probed; /* the format was guessed from the contents, not recorded anywhere */
        bool in_use;        /* as last seen */
        uint64_t capacity, allocation, physical;
        int64_t atime, btime, ctime, mtime;
        uint32_t mode, owner, group;
        uint64_t dev, ino;  /* of a file, by which it is known whatever its path is; 0: not known */
        VolumeExtra *extra; /* owned; NULL: nothing of it */
} VolumeRow;

VolumeExtra *volume_extra_new(void);
VolumeExtra *volume_extra_free(VolumeExtra *extra);
DEFINE_CLEANUP(VolumeExtra *, volume_extra_free)
/* 0 or -ENOMEM. */
int volume_extra_add_need(VolumeExtra *extra, const char *path, uint64_t dev, uint64_t ino);
/* Either may be NULL. */
bool volume_needs_equal(const VolumeExtra *a, const VolumeExtra *b);
/* A deep copy in *ret (NULL for NULL). 0 or -ENOMEM. */
int volume_extra_copy(const VolumeExtra *extra, VolumeExtra **ret);
/* Frees what it owns, not the row itself, and zeroes it. */
void volume_row_done(VolumeRow *row);
bool volume_row_equal(const VolumeRow *a, const VolumeRow *b);

/*
 * The one copy of a format's name; lives for ever. There are few: an unknown one beyond 64 becomes "raw".
 * Any thread may ask.
 */
const char *volume_format_intern(const char *s);

/*
 * On the wire a row is
 *     s name, y type, s format, b probed, b in-use, t capacity, t allocation, t physical,
 *     x atime, x btime, x ctime, x mtime, u mode, u owner, u group, t dev, t ino, a{sv} extra
 * Extra's keys: key path backing-path backing-format encryption cipher-name cipher-mode cipher-hash compat
 * data-file label problem (s), backing-remote backing-missing lazy-refcounts extended-l2 (b), cipher-size
 * (u), cluster-size header-size (t), snapshots a(sstx), extents needs a(stt).
 */
#define VOLUME_ROW_CONTENTS "sysbbtttxxxxuuutta{sv}"
#define VOLUME_ROW_SIGNATURE "(" VOLUME_ROW_CONTENTS ")"

int volume_row_append(const VolumeRow *row, sd_bus_message *m);
/* Reads one struct. 1: read into the empty *ret, 0: end of the array, negative errno: not a row. */
int volume_row_read(sd_bus_message *m, VolumeRow *ret);

/* What volume XML shows of it. path: its path; *ret is owned by the caller. */
int volume_row_to_def(const VolumeRow *row, const char *path, VolumeDef **ret);

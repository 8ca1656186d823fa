/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The facts about each pool type that reading and writing a definition needs, in one table: names, formats,
 * which parts of a <source> it has. What a type can *do* is told by its backend (backends/backend.h).
 */

#include <stdbool.h>

typedef enum PoolType {
        POOL_DIR,
        POOL_FS,
        POOL_NETFS,
        POOL_LOGICAL,
        POOL_DISK,
        POOL_ISCSI,
        POOL_ISCSI_DIRECT,
        POOL_SCSI,
        POOL_MPATH,
        POOL_RBD,
        POOL_SHEEPDOG,
        POOL_GLUSTER,
        POOL_ZFS,
        POOL_VSTORAGE,
        _POOL_TYPE_MAX,
        _POOL_TYPE_INVALID = -1,
} PoolType;

/* Which parts of <source> a type has; those it must have are in PoolTypeInfo.source_required. */
typedef enum PoolSourceKey {
        POOL_SOURCE_HOST = 1 << 0,
        POOL_SOURCE_DEVICE = 1 << 1,
        POOL_SOURCE_DIR = 1 << 2,
        POOL_SOURCE_NAME = 1 << 3,
        POOL_SOURCE_ADAPTER = 1 << 4,
        POOL_SOURCE_INITIATOR = 1 << 5,
        POOL_SOURCE_FORMAT = 1 << 6,
        POOL_SOURCE_AUTH = 1 << 7,
        POOL_SOURCE_VENDOR = 1 << 8, /* vendor and product */
} PoolSourceKey;

typedef struct PoolTypeInfo {
        PoolType type;
        const char *name;                  /* "dir" */
        unsigned source_keys;              /* PoolSourceKey that are meaningful */
        unsigned source_required;          /* PoolSourceKey that must be given */
        const char *const *source_formats; /* NULL-terminated; NULL: the type has no format */
        const char *default_format;
        const char *const *volume_formats; /* NULL-terminated; NULL: volumes have no format */
        const char *default_volume_format;
        bool target_path;       /* has a <target>, whose path is required; without it, there is none */
        bool mount_options;     /* takes <fs:mount_opts> */
        bool many_devices;      /* more than one <device> in its source */
        bool block_devices;     /* its source devices are block devices, which it alone may have */
        bool raid;              /* may be made on an md array of its own */
        bool cow;               /* takes <features><cow> */
        bool volume_allocation; /* takes <refresh><volume allocation> */
} PoolTypeInfo;

/* The row of a type; never NULL for a valid one. */
const PoolTypeInfo *pool_type_info(PoolType type);
/* Its volumes are files, with formats of images. */
bool pool_type_has_files(PoolType type);
/* _POOL_TYPE_INVALID if there is none of that name. */
PoolType pool_type_from_string(const char *name);
const char *pool_type_to_string(PoolType type);

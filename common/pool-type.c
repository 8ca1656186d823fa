/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/pool-type.h"

#include <string.h>

/* The names are those of libvirt's storagepool.rng and storagevol.rng, and btrfs. */
static const char *const fs_formats[] = {
        "auto", "ext2", "ext3", "ext4", "ufs",   "iso9660", "udf",   "gfs",
        "gfs2", "vfat", "hfs+", "xfs",  "ocfs2", "vmfs",    "btrfs", NULL,
};
static const char *const netfs_formats[] = {"auto", "nfs", "glusterfs", "cifs", NULL};
static const char *const logical_formats[] = {"unknown", "lvm2", NULL};
static const char *const disk_formats[] = {
        "unknown", "dos", "dvh", "gpt", "mac", "bsd", "pc98", "sun", "lvm2", NULL,
};
static const char *const file_volume_formats[] = {
        "raw", "dir",   "bochs", "cloop", "dmg",   "iso", "vpc",  "vdi", "fat",
        "vhd", "ploop", "cow",   "qcow",  "qcow2", "qed", "vmdk", NULL,
};
static const char *const disk_volume_formats[] = {
        "none", "linux", "fat16", "fat32", "linux-swap", "linux-lvm", "linux-raid", "extended", NULL,
};
static const char *const raw_volume_formats[] = {"raw", NULL};

static const PoolTypeInfo pool_types[_POOL_TYPE_MAX] = {
        [POOL_DIR] =
                {
                        .type = POOL_DIR,
                        .name = "dir",
                        .source_keys = POOL_SOURCE_VENDOR,
                        .volume_formats = file_volume_formats,
                        .default_volume_format = "raw",
                        .target_path = true,
                        .cow = true,
                },
        [POOL_FS] =
                {
                        .type = POOL_FS,
                        .name = "fs",
                        .source_keys = POOL_SOURCE_DEVICE | POOL_SOURCE_FORMAT | POOL_SOURCE_VENDOR,
                        .source_required = POOL_SOURCE_DEVICE,
                        .source_formats = fs_formats,
                        .default_format = "auto",
                        .volume_formats = file_volume_formats,
                        .default_volume_format = "raw",
                        .target_path = true,
                        .block_devices = true,
                        .raid = true,
                        .mount_options = true,
                        .cow = true,
                },
        [POOL_NETFS] =
                {
                        .type = POOL_NETFS,
                        .name = "netfs",
                        .source_keys =
                                POOL_SOURCE_HOST | POOL_SOURCE_DIR | POOL_SOURCE_FORMAT | POOL_SOURCE_VENDOR,
                        .source_required = POOL_SOURCE_HOST | POOL_SOURCE_DIR,
                        .source_formats = netfs_formats,
                        .default_format = "auto",
                        .volume_formats = file_volume_formats,
                        .default_volume_format = "raw",
                        .target_path = true,
                        .mount_options = true,
                },
        [POOL_LOGICAL] =
                {
                        .type = POOL_LOGICAL,
                        .name = "logical",
                        .source_keys = POOL_SOURCE_NAME | POOL_SOURCE_DEVICE | POOL_SOURCE_FORMAT |
                                       POOL_SOURCE_VENDOR,
                        .source_required = POOL_SOURCE_NAME,
                        .source_formats = logical_formats,
                        .default_format = "lvm2",
                        .target_path = true,
                        .block_devices = true,
                        .raid = true,
                        .many_devices = true,
                },
        [POOL_DISK] =
                {
                        .type = POOL_DISK,
                        .name = "disk",
                        .source_keys = POOL_SOURCE_DEVICE | POOL_SOURCE_FORMAT | POOL_SOURCE_VENDOR,
                        .source_required = POOL_SOURCE_DEVICE,
                        .source_formats = disk_formats,
                        .default_format = "unknown",
                        .volume_formats = disk_volume_formats,
                        .default_volume_format = "none",
                        .target_path = true,
                        .block_devices = true,
                        .raid = true,
                },
        [POOL_ISCSI] =
                {
                        .type = POOL_ISCSI,
                        .name = "iscsi",
                        .source_keys = POOL_SOURCE_HOST | POOL_SOURCE_DEVICE | POOL_SOURCE_INITIATOR |
                                       POOL_SOURCE_AUTH | POOL_SOURCE_VENDOR,
                        .source_required = POOL_SOURCE_HOST | POOL_SOURCE_DEVICE,
                        .target_path = true,
                },
        [POOL_ISCSI_DIRECT] =
                {
                        .type = POOL_ISCSI_DIRECT,
                        .name = "iscsi-direct",
                        .source_keys = POOL_SOURCE_HOST | POOL_SOURCE_DEVICE | POOL_SOURCE_INITIATOR |
                                       POOL_SOURCE_AUTH,
                        .source_required = POOL_SOURCE_HOST | POOL_SOURCE_DEVICE | POOL_SOURCE_INITIATOR,
                },
        [POOL_SCSI] =
                {
                        .type = POOL_SCSI,
                        .name = "scsi",
                        .source_keys = POOL_SOURCE_ADAPTER | POOL_SOURCE_VENDOR,
                        .source_required = POOL_SOURCE_ADAPTER,
                        .target_path = true,
                },
        [POOL_MPATH] =
                {
                        .type = POOL_MPATH,
                        .name = "mpath",
                        .target_path = true,
                },
        [POOL_RBD] =
                {
                        .type = POOL_RBD,
                        .name = "rbd",
                        .source_keys = POOL_SOURCE_HOST | POOL_SOURCE_NAME | POOL_SOURCE_AUTH,
                        .source_required = POOL_SOURCE_HOST | POOL_SOURCE_NAME,
                        .volume_formats = raw_volume_formats,
                        .default_volume_format = "raw",
                        .volume_allocation = true,
                },
        [POOL_SHEEPDOG] =
                {
                        .type = POOL_SHEEPDOG,
                        .name = "sheepdog",
                        .source_keys = POOL_SOURCE_HOST | POOL_SOURCE_NAME,
                        .source_required = POOL_SOURCE_HOST | POOL_SOURCE_NAME,
                        .volume_formats = raw_volume_formats,
                        .default_volume_format = "raw",
                },
        [POOL_GLUSTER] =
                {
                        .type = POOL_GLUSTER,
                        .name = "gluster",
                        .source_keys = POOL_SOURCE_HOST | POOL_SOURCE_NAME | POOL_SOURCE_DIR,
                        .source_required = POOL_SOURCE_HOST | POOL_SOURCE_NAME,
                        .volume_formats = file_volume_formats,
                        .default_volume_format = "raw",
                },
        [POOL_ZFS] =
                {
                        .type = POOL_ZFS,
                        .name = "zfs",
                        .source_keys = POOL_SOURCE_NAME | POOL_SOURCE_DEVICE,
                        .source_required = POOL_SOURCE_NAME,
                        .target_path = true,
                },
        [POOL_VSTORAGE] =
                {
                        .type = POOL_VSTORAGE,
                        .name = "vstorage",
                        .source_keys = POOL_SOURCE_NAME,
                        .source_required = POOL_SOURCE_NAME,
                        .volume_formats = file_volume_formats,
                        .default_volume_format = "raw",
                        .target_path = true,
                },
};

const PoolTypeInfo *pool_type_info(PoolType type)
{
        return type >= 0 && type < _POOL_TYPE_MAX ? &pool_types[type] : NULL;
}

bool pool_type_has_files(PoolType type)
{
        return pool_types[type].volume_formats == file_volume_formats;
}

PoolType pool_type_from_string(const char *name)
{
        for (PoolType t = 0; name && t < _POOL_TYPE_MAX; t++) {
                if (strcmp(pool_types[t].name, name) == 0)
                        return t;
        }
        return _POOL_TYPE_INVALID;
}

const char *pool_type_to_string(PoolType type)
{
        const PoolTypeInfo *info = pool_type_info(type);

        return info ? info->name : NULL;
}

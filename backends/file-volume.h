/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Volumes that are files in the pool's folder; the contracts are those of backend.h. */

#include <sys/stat.h>

#include "backends/backend.h"
#include "backends/image-plan.h"

int file_volume_create(BackendContext *ctx, const VolumeDef *def, Preallocation p, CreateResult *ret);
int file_volume_fill(BackendContext *ctx, const VolumeDef *def, Preallocation p, int fd);
int file_volume_publish(BackendContext *ctx, const char *token, VolumeRow *ret);
int file_volume_discard(BackendContext *ctx, const char *token);
int file_volume_delete(BackendContext *ctx, const char *name, bool force);
int file_volume_resize(BackendContext *ctx, const char *name, uint64_t capacity,
                       const ResizeOptions *options, VolumeRow *ret);
int file_volume_reserve(BackendContext *ctx, const VolumeDef *def, const char *token, CreateResult *ret);
int file_volume_open(BackendContext *ctx, const char *name, OpenMode mode, bool force, int *ret_fd);
int file_volume_look(BackendContext *ctx, const char *name, VolumeRow *ret);

/* Opens the pool's folder; Inaccessible if that is not possible, or if what the pool mounts there is not. */
int file_volume_folder(BackendContext *ctx, int *ret_fd);
/* Sets or clears btrfs' flag for no copy on write on an empty file or folder. Unsupported elsewhere. */
int file_set_nocow(BackendContext *ctx, int fd, const char *what);
/*
 * Takes away what a new file or folder got of its folder's default list of rights (ACL): a mode that is set
 * later would open it to those who are in that. Before the mode. 0 or negative errno.
 */
int file_drop_inherited_rights(int fd);
/*
 * Opens the regular file name beneath the folder dir_fd with flags (O_RDONLY or O_RDWR). A descriptor, or
 * NotFound, or Unsupported for folders and symbolic links.
 */
int file_volume_open_regular(BackendContext *ctx, int dir_fd, const char *name, int flags,
                             struct stat *ret_stat);
/* Unsupported, if the pool's folder is one of devices, which are neither made nor deleted. */
int file_volume_require_files(BackendContext *ctx);
/* Makes the empty image of a plan in the empty file fd, with the storage that it gets at once. Nothing is
 * synced. */
int file_volume_make(BackendContext *ctx, const VolumeDef *def, const ImagePlan *plan, int fd);
/*
 * Takes QEMU's locks on fd, so that no guest begins to use it as long as that is open: to change it alone,
 * or to read what nobody writes, as mode says. InUse, naming who, if somebody does now, unless force.
 */
int file_volume_lock(BackendContext *ctx, int fd, const char *name, OpenMode mode, bool force);

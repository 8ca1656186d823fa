/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Mounted file systems: what is mounted on a folder (by /proc/self/mountinfo, see proc(5)), mounting and
 * unmounting by libmount. All of it in the mount namespace of the service, which is the machine's own.
 */

#include "backends/block-device.h"

typedef struct MountPoint {
        char *path; /* the folder itself, links followed; NULL: it is not there */
        int id;     /* of the mount; 0: nothing is mounted on the folder */
        dev_t devnum;
        char *source, *type;
        char *root;    /* what of the file system is mounted: "/" for all of it */
        char *options; /* those of the mount and those of the file system */
} MountPoint;

void mount_point_done(MountPoint *m);
/* What is mounted on path: what a process that opens it sees. Nothing mounted is no error. */
int mount_point_find(BackendContext *ctx, const char *path, MountPoint *ret);
/* Is it the whole file system of the block device devnum (of btrfs: one of its devices, any subvolume)? */
bool mount_point_is_of(const MountPoint *m, dev_t devnum);
/* Is the device gone that it was mounted from? */
bool mount_point_is_dead(const MountPoint *m);
/* Is a file system of devnum mounted on path, whether seen or beneath another one? */
int mount_is_beneath(BackendContext *ctx, const char *path, dev_t devnum, bool *ret);

/*
 * Mounts the device on the pool's target path, which is open as folder_fd and was opened safely, as a file
 * system of type (as the kernel calls it) and with the options of the definition, and sees to it that it is
 * what is there then. On failure nothing is mounted. Unsupported: the kernel does not know the type; InUse:
 * somebody else has the device.
 */
int mount_device(BackendContext *ctx, const BlockDevice *dev, const char *type, int folder_fd);
/* Unmounts what is seen at m->path, never by force. InUse, naming who holds it. */
int mount_remove(BackendContext *ctx, const MountPoint *m);

/*
 * Mounts the device where nobody sees it, and opens its root folder; when *ret_fd is closed it is unmounted.
 */
int mount_unseen(BackendContext *ctx, const BlockDevice *dev, const char *type, bool write, int *ret_fd);

/*
 * For each use of the pool's folder: is what fd has open the root of the file system of the pool's device,
 * and is that device there? Otherwise Inaccessible with the reason: the folder beneath is not the pool.
 */
int mount_require(BackendContext *ctx, int fd);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who uses a file or block device: in-use.c knows QEMU's locks, in-use-process.c the processes that have it
 * open, block-use.c what the kernel does with a device; in-use-list.c puts them together.
 */

#include <sys/stat.h>

#include "backends/backend.h"

/*
 * QEMU marks the images that it has open with shared OFD locks on single bytes: from 100 on one for each
 * permission that it uses, from 200 on one for each that it does not share (QEMU's docs/system/images,
 * "Disk image file locking"). 1: somebody holds one of them on this open file, 0: nobody does, or the file
 * system cannot tell. Needs no more than a descriptor for reading, and takes no lock itself.
 */
bool image_in_use(int fd);

/*
 * Takes those locks on this open file, as QEMU itself would that writes to the image alone (write), or that
 * reads it and lets nobody write. They last as long as the descriptor or a copy of it is open, in any
 * process. 0; -EBUSY, and none is held, if somebody else's are in the way. Writing takes a descriptor for
 * writing.
 */
int image_lock(int fd, bool write);

/*
 * Which files of one file system may be locked at all, of /proc/locks (proc_locks(5)): one look instead of a
 * question for every file. All zero: nothing is known, so any may.
 */
typedef struct LockedFiles {
        bool known;
        uint32_t dev_major, dev_minor; /* as statx() has them */
        uint64_t *inodes;              /* sorted */
        size_t n;
} LockedFiles;

/* For the file system of dir_fd. What cannot be found out is not known, which is no error. */
void locked_files_read(int dir_fd, LockedFiles *ret);
void locked_files_done(LockedFiles *l);
/* False: nobody had a lock on the file when the list was read. l may be NULL: not known. */
bool locked_files_may_have(const LockedFiles *l, const struct statx *stx);

typedef enum UserHow {
        USER_OPEN,   /* a process has it open */
        USER_MAPPED, /* in its memory only: the descriptor is closed */
        USER_LOCK,   /* open, and locked; without a process: somebody on another host has locked it */
        USER_MOUNT,
        USER_SWAP,
        USER_LOOP,
        USER_DEVICE_MAPPER,
        USER_MD,
        USER_HOLDER, /* another device is made of it */
        _USER_HOW_MAX,
} UserHow;

/* "open", "mapped", "lock", "mount", "swap", "loop", "device-mapper", "md", "device" */
const char *user_how_to_string(UserHow how);

/* One who uses it. Strings are valid UTF-8. */
typedef struct User {
        UserHow how;
        char *name; /* a process' command; else the mount point or device; "" if there is nothing to name */
        pid_t pid;  /* 0: no process */
        uid_t uid;  /* of the process */
        char *exe;  /* of the process; NULL: not known */
        bool write; /* what is known only to read has false */
        /* What of it is used, if that is a part of it or made of it ("vdb1", "loop0"); NULL: itself. */
        char *part;
} User;

#define USERS_MAX 256U

typedef struct UserList {
        User *items;
        size_t n;  /* USERS_MAX at most: there may be more then */
        bool ours; /* the service itself has it open, too */
} UserList;

void user_list_done(UserList *l);
/* Adds one, with copies of the strings, of which all but how and name may be NULL or 0. 0 or -ENOMEM. */
int user_list_add(UserList *l, const User *u);
/*
 * For people: "mounted on /srv, opened by process 12 (qemu-system-x86)". *ret is NULL if nobody does; the
 * caller's. 0 or -ENOMEM.
 */
int user_list_describe(const UserList *l, char **ret);

/*
 * Everybody who uses the file or block device that fd is open on, in whatever mount namespace and by
 * whatever name; not the service itself (this process, the daemon, its other workers and their tools). Looks
 * into /proc and /sys; what it may not see there is not in it. 0 or a negative errno.
 */
int user_list_find(int fd, UserList *ret);
/* The same for the block device of that number, which need not be open. node: "/dev/vdb". */
int user_list_find_device(dev_t devnum, const char *node, UserList *ret);
/*
 * InUse, naming who, if anybody but the service itself uses it; with writers_only, if he could write to it
 * (fd must be for reading then). fd: the only descriptor that the service has of it. Of a file that nobody
 * uses it costs no search; a device is searched for in all processes, but one of device-mapper, which
 * counts. forcible: the caller may use force. name, verb: "Volume 'x' of pool 'p' <cannot be deleted>: it is
 * in use: ...".
 */
int in_use_refuse(BackendContext *ctx, int fd, const char *name, const char *verb, bool writers_only,
                  bool forcible);

/* The same for a device that was opened in this mode: InUse if a data job that changes it finds anybody, or
 * one that copies it somebody who may write, unless force; or if a client is to write to what others have
 * open. */
int in_use_refuse_mode(BackendContext *ctx, int fd, const char *name, OpenMode mode, bool force);

/* The parts of user_list_find(). */

/* What is looked for: a file by its file system and number, or a device by its own number. */
typedef struct UsedThing {
        bool device;
        uint32_t major, minor; /* of the file system, or of the device */
        uint64_t ino;          /* of a file */
        char part[16];         /* what User.part is to say */
} UsedThing;

#define USED_THINGS_MAX 16U

/* Processes that have one of these open or mapped. */
int user_list_add_processes(UserList *l, const UsedThing *things, size_t n);
/* Mounts, swap and devices on the device of that number, and on its partitions. node: "/dev/vdb"; part: what
 * User.part is to say of the device itself; NULL: nothing. */
int user_list_add_kernel(UserList *l, dev_t devnum, const char *node, const char *part);

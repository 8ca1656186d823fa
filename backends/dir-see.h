/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an entry of a folder is, and why it is not shown. Reads the file system and changes nothing: several
 * threads may do it at once.
 */

#include "backends/backend.h"
#include "backends/in-use.h"

typedef enum EntryProblem {
        ENTRY_FINE,
        ENTRY_NOT_UTF8,
        ENTRY_CONTROL_CHARACTER,
        ENTRY_FIFO,
        ENTRY_SOCKET,
        ENTRY_DEVICE,
        ENTRY_LINK_DANGLES,
        ENTRY_LINK_LOOPS,
        ENTRY_LINK_LEAVES,
        ENTRY_LINK_TO_NO_FILE,
        ENTRY_NO_STAT,
        ENTRY_UNREADABLE, /* is shown all the same */
        _ENTRY_PROBLEM_MAX,
} EntryProblem;

typedef struct Folder {
        int fd;
        const char *path;
        bool devices; /* it is one of devices: only these are shown, links may lead to them */
        LockedFiles locked;
} Folder;

typedef enum SeenKind {
        SEEN_GONE,
        SEEN_KNOWN,   /* what is known of it still holds; ino is set */
        SEEN_PROBLEM, /* it is no volume: see problem */
        SEEN_VOLUME,
} SeenKind;

/* What is to be known of an entry. */
typedef struct Seen {
        SeenKind kind;
        EntryProblem problem;
        VolumeRow row; /* its name is borrowed, its extra owned */
        uint64_t ino;  /* of the file whose header was read; 0: not known */
        bool link;
} Seen;

/*
 * Looks at name (d_type as getdents tells it, or DT_UNKNOWN). known: what was seen of this volume the last
 * time; NULL: nothing, or that it is none. The header of a file is read only if its inode is not as it was,
 * or if it was in use. Sets *ret, whose row.extra is then the caller's. 0 or -ENOMEM: what is wrong with
 * the entry is no error.
 */
int see_entry(const Folder *folder, const char *name, unsigned char d_type, const Seen *known, Seen *ret);

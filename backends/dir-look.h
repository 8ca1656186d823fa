/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One entry of a scanned folder: what it is, whether it is still what the cache says, and why it is not
 * shown. */

#include "backends/backend.h"
#include "backends/in-use.h"
#include "backends/name-table.h"

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

typedef struct ScanEntry {
        Named named;
        VolumeRow row; /* if shown; its name is named.name */
        uint64_t ino;  /* of the file whose header was read; 0: not known */
        uint32_t generation;
        EntryProblem problem;
        bool shown; /* reported as a volume */
        bool link;
        char name[];
} ScanEntry;

/* The entries of a folder. All zero but folder: nothing is known yet. */
typedef struct ScanCache {
        char *folder;    /* owned */
        NameTable table; /* of ScanEntry */
        size_t n_problems, n_links;
        bool problems_changed;
} ScanCache;

void scan_cache_done(ScanCache *cache);
/* Appends the problems of the entries to the report. 0 or -ENOMEM. */
int scan_cache_report(const ScanCache *cache, PoolReport *report);
/* One run over all or some entries. */
typedef struct Look {
        ScanCache *cache;
        RefreshSink *sink;
        int dir_fd; /* the folder */
        LockedFiles locked;
        uint32_t generation;
} Look;

/*
 * Looks at name (d_type as getdents tells it, or DT_UNKNOWN) and reports what differs from the cache. The
 * header of a file is read only if its inode is not as the cache has it, or if it was in use the last time.
 * A negative errno is the sink's or -ENOMEM, never the entry's.
 */
int look_at(Look *l, const char *name, unsigned char d_type);
/* Takes an entry out of the cache and reports that it is gone. e may be NULL. */
int look_drop(Look *l, ScanEntry *e);
/* Puts a row into the cache that was reported already; row NULL: takes it out. 0 or -ENOMEM. */
int scan_cache_note(ScanCache *cache, const char *name, const VolumeRow *row, uint32_t generation);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The cache of a folder's entries, and what an entry that was looked at means for it. */

#include "backends/backend.h"
#include "backends/dir-see.h"
#include "backends/name-table.h"

typedef struct ScanEntry {
        Named named;
        Seen seen;           /* reported if it is a volume; its row's name is named.name */
        uint32_t generation; /* of the pass that met it last */
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
/* NULL: there is none. It is the cache's. */
ScanEntry *scan_cache_find(const ScanCache *cache, const char *name);
/* What see_entry() takes; NULL for e NULL too. */
const Seen *scan_entry_known(const ScanEntry *e);

/* One run over all or some entries. */
typedef struct Look {
        ScanCache *cache;
        RefreshSink *sink;
        Folder folder;
        uint32_t generation;
} Look;

/* Looks at name and reports what differs from the cache. 0, or a negative errno: the sink's or -ENOMEM. */
int look_at(Look *l, const char *name);
/*
 * The second half of that: puts what was seen into the cache and reports it. e is the entry of that name,
 * NULL if there is none. Takes seen->row.extra over.
 */
int look_commit(Look *l, ScanEntry *e, const char *name, Seen *seen);
/* Takes an entry out of the cache and reports that it is gone. e may be NULL. */
int look_drop(Look *l, ScanEntry *e);
/* Puts a row into the cache that was reported already; row NULL: takes it out. 0 or -ENOMEM. */
int scan_cache_note(ScanCache *cache, const char *name, const VolumeRow *row, uint32_t generation);

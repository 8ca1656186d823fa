/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir-look.h"

#include <dirent.h>

void scan_cache_done(ScanCache *cache)
{
        for (size_t i = 0; i < cache->table.n_slots; i++) {
                ScanEntry *e = (ScanEntry *) cache->table.slots[i];

                if (e)
                        volume_extra_free(e->seen.row.extra);
                free(e);
        }
        name_table_done(&cache->table);
        free(cache->folder);
        *cache = (ScanCache){0};
}

ScanEntry *scan_cache_find(const ScanCache *cache, const char *name)
{
        return (ScanEntry *) name_table_find(&cache->table, name);
}

const Seen *scan_entry_known(const ScanEntry *e)
{
        return e && e->seen.kind == SEEN_VOLUME ? &e->seen : NULL;
}

static int entry_new(ScanCache *cache, const char *name, ScanEntry **ret)
{
        size_t n = strlen(name) + 1;
        ScanEntry *e = calloc(1, sizeof(ScanEntry) + n);
        int r;

        if (!e)
                return -ENOMEM;
        memcpy(e->name, name, n);
        e->named.name = e->name;
        r = name_table_insert(&cache->table, &e->named);
        if (r < 0) {
                free(e);
                return r;
        }
        *ret = e;
        return 0;
}

/* Takes over what *seen has. */
static void entry_set(ScanCache *cache, ScanEntry *e, Seen *seen)
{
        Seen *old = &e->seen;

        cache->problems_changed |= old->problem != seen->problem;
        cache->n_problems += (seen->problem != ENTRY_FINE) - (old->problem != ENTRY_FINE);
        cache->n_links += (size_t) seen->link - (size_t) old->link;
        volume_extra_free(old->row.extra);
        *old = *seen;
        old->row.name = e->name;
        *seen = (Seen){0};
}

static void entry_free(ScanCache *cache, ScanEntry *e)
{
        entry_set(cache, e, &(Seen){0});
        name_table_remove(&cache->table, &e->named);
        free(e);
}

int look_drop(Look *l, ScanEntry *e)
{
        int r;

        if (!e)
                return 0;
        r = e->seen.kind == SEEN_VOLUME ? l->sink->removed(l->sink, e->name) : 0;
        entry_free(l->cache, e);
        return r;
}

/* It is a volume, or a problem. */
static int replace(Look *l, ScanEntry *e, Seen *seen)
{
        bool was_volume = e->seen.kind == SEEN_VOLUME, is_volume = seen->kind == SEEN_VOLUME;
        bool same = was_volume && is_volume && volume_row_equal(&e->seen.row, &seen->row);

        entry_set(l->cache, e, seen);
        e->generation = l->generation;
        if (is_volume)
                return same ? 0 : l->sink->changed(l->sink, &e->seen.row);
        return was_volume ? l->sink->removed(l->sink, e->name) : 0;
}

int look_commit(Look *l, ScanEntry *e, const char *name, Seen *seen)
{
        int r;

        switch (seen->kind) {
        case SEEN_GONE:
                return look_drop(l, e);
        case SEEN_KNOWN:
                e->seen.ino = seen->ino;
                e->generation = l->generation;
                return 0;
        default:
                r = e ? 0 : entry_new(l->cache, name, &e);
                if (r >= 0)
                        return replace(l, e, seen);
                seen->row.extra = volume_extra_free(seen->row.extra);
                return r;
        }
}

int look_at(Look *l, const char *name)
{
        ScanEntry *e = scan_cache_find(l->cache, name);
        Seen seen;
        int r;

        r = see_entry(&l->folder, name, DT_UNKNOWN, scan_entry_known(e), &seen);
        return r < 0 ? r : look_commit(l, e, name, &seen);
}

int scan_cache_note(ScanCache *cache, const char *name, const VolumeRow *row, uint32_t generation)
{
        Seen seen = {.kind = SEEN_VOLUME};
        ScanEntry *e = scan_cache_find(cache, name);
        int r;

        if (!row) {
                if (e)
                        entry_free(cache, e);
                return 0;
        }
        /* The next look at the file finds what is noted here, unless it changed. */
        seen.row = *row;
        seen.row.extra = NULL;
        r = volume_extra_copy(row->extra, &seen.row.extra);
        if (r < 0)
                return r;
        if (!e) {
                r = entry_new(cache, name, &e);
                if (r < 0) {
                        volume_extra_free(seen.row.extra);
                        return r;
                }
        }
        seen.link = e->seen.link;
        entry_set(cache, e, &seen);
        e->generation = generation;
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/block-cache.h"

#include "backends/name-table.h"

typedef struct CacheEntry {
        Named named; /* its name is the row's */
        VolumeRow row;
        uint64_t pass; /* the last one that met it */
} CacheEntry;

struct BlockCache {
        NameTable table;
        uint64_t pass;
};

BlockCache *block_cache_new(void)
{
        return calloc(1, sizeof(BlockCache));
}

static void entry_free(CacheEntry *e)
{
        volume_row_done(&e->row);
        free(e);
}

BlockCache *block_cache_free(BlockCache *cache)
{
        if (!cache)
                return NULL;
        for (size_t i = 0; i < cache->table.n_slots; i++) {
                if (cache->table.slots[i])
                        entry_free((CacheEntry *) cache->table.slots[i]);
        }
        name_table_done(&cache->table);
        free(cache);
        return NULL;
}

void block_cache_begin(BlockCache *cache)
{
        cache->pass++;
}

static int copy_row(const VolumeRow *row, VolumeRow *ret)
{
        VolumeRow copy = *row;
        int r;

        copy.name = strdup(row->name);
        r = copy.name ? volume_extra_copy(row->extra, &copy.extra) : -ENOMEM;
        if (r < 0) {
                free(copy.name);
                return r;
        }
        *ret = copy;
        return 0;
}

static int insert(BlockCache *cache, VolumeRow *row)
{
        CacheEntry *e = calloc(1, sizeof *e);
        int r = e ? 0 : -ENOMEM;

        if (r >= 0) {
                *e = (CacheEntry){.named.name = row->name, .row = *row, .pass = cache->pass};
                r = name_table_insert(&cache->table, &e->named);
        }
        if (r < 0) {
                free(e);
                volume_row_done(row);
        }
        return r;
}

/* Replaces what is known of the entry; takes row. */
static void replace(CacheEntry *e, VolumeRow *row)
{
        /* The table has the pointer to the name: the old one stays. */
        free(row->name);
        row->name = TAKE_PTR(e->row.name);
        volume_row_done(&e->row);
        e->row = *row;
}

int block_cache_put(BlockCache *cache, const VolumeRow *row, RefreshSink *sink)
{
        CacheEntry *e = (CacheEntry *) name_table_find(&cache->table, row->name);
        VolumeRow copy;
        int r;

        if (e) {
                e->pass = cache->pass;
                if (volume_row_equal(&e->row, row))
                        return 0;
        }
        r = copy_row(row, &copy);
        if (r < 0)
                return r;
        if (!e)
                r = insert(cache, &copy);
        else
                replace(e, &copy);
        return r < 0 || !sink ? r : sink->changed(sink, row);
}

int block_cache_end(BlockCache *cache, RefreshSink *sink)
{
        for (size_t i = 0; i < cache->table.n_slots;) {
                CacheEntry *e = (CacheEntry *) cache->table.slots[i];
                int r;

                if (!e || e->pass == cache->pass) {
                        i++;
                        continue;
                }
                r = sink->removed(sink, e->row.name);
                if (r < 0)
                        return r;
                name_table_remove(&cache->table, &e->named);
                entry_free(e);
        }
        return 0;
}

int block_cache_note(BlockCache *cache, const char *name, const VolumeRow *row)
{
        CacheEntry *e;

        if (row)
                return block_cache_put(cache, row, NULL);
        e = (CacheEntry *) name_table_find(&cache->table, name);
        if (!e)
                return 0;
        name_table_remove(&cache->table, &e->named);
        entry_free(e);
        return 0;
}

const VolumeRow *block_cache_find(const BlockCache *cache, const char *name)
{
        const CacheEntry *e = (const CacheEntry *) name_table_find(&cache->table, name);

        return e ? &e->row : NULL;
}

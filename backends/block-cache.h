/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The rows that were reported of a pool whose volumes come in one list (logical volumes, partitions): a
 * refresh reads the whole list, and this tells what differs from the last time.
 */

#include "backends/backend.h"

typedef struct BlockCache BlockCache;

/* NULL: out of memory. */
BlockCache *block_cache_new(void);
BlockCache *block_cache_free(BlockCache *cache);
DEFINE_CLEANUP(BlockCache *, block_cache_free)

/* One pass: begin, a put for each row there is now (the row stays the caller's), end. Only differences reach
 * sink. */
void block_cache_begin(BlockCache *cache);
int block_cache_put(BlockCache *cache, const VolumeRow *row, RefreshSink *sink);
int block_cache_end(BlockCache *cache, RefreshSink *sink);
/* For scan_note. */
int block_cache_note(BlockCache *cache, const char *name, const VolumeRow *row);
/* The row of that name as last seen; NULL: none. The cache's own, until the next call. */
const VolumeRow *block_cache_find(const BlockCache *cache, const char *name);

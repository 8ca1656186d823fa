/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/snapshot-file.h"

#include "common/snapshot-name.h"

static int snapshot_compare(SnapshotFile *a, SnapshotFile *b)
{
        return strcmp(a->name, b->name);
}

RB_GENERATE(SnapshotTree, SnapshotFile, node, snapshot_compare)

bool snapshot_file_is(const char *name)
{
        return startswith(name, SNAPSHOT_PREFIX) != NULL;
}

/* What it is a snapshot of shows it. */
static void mark_volume(Pool *pool, const char *name)
{
        _cleanup_free_ char *volume = strdup(name + strlen(SNAPSHOT_PREFIX));
        char *at = volume ? strrchr(volume, '@') : NULL;
        Volume *v;

        if (!at)
                return;
        *at = 0;
        v = volume_find(pool, volume);
        if (v)
                volume_mark_changed(v, VOLUME_SNAPSHOTS);
}

static SnapshotFile *find(Pool *pool, const char *name)
{
        return RB_FIND(SnapshotTree, &pool->snapshot_files, &(SnapshotFile){.name = (char *) name});
}

static int add(Pool *pool, const char *name, SnapshotFile **ret)
{
        SnapshotFile *f = calloc(1, sizeof *f);

        if (!f)
                return -ENOMEM;
        f->name = strdup(name);
        if (!f->name) {
                free(f);
                return -ENOMEM;
        }
        RB_INSERT(SnapshotTree, &pool->snapshot_files, f);
        *ret = f;
        return 0;
}

int snapshot_file_update(Pool *pool, const VolumeRow *row)
{
        SnapshotFile *f = find(pool, row->name);
        uint64_t time = row->mtime > 0 ? (uint64_t) row->mtime / NSEC_PER_USEC : 0;
        int r;

        if (!f) {
                r = add(pool, row->name, &f);
                if (r < 0)
                        return r;
                mark_volume(pool, row->name);
        } else if (f->time != time || f->size != row->allocation)
                mark_volume(pool, row->name);
        f->time = time;
        f->size = row->allocation;
        f->seen_in = pool->listing;
        return 0;
}

static void drop(Pool *pool, SnapshotFile *f)
{
        RB_REMOVE(SnapshotTree, &pool->snapshot_files, f);
        mark_volume(pool, f->name);
        free(f->name);
        free(f);
}

void snapshot_file_remove(Pool *pool, const char *name)
{
        SnapshotFile *f = find(pool, name);

        if (f)
                drop(pool, f);
}

SnapshotFile *snapshot_file_next(const Volume *v, SnapshotFile *last, const char **ret_name)
{
        _cleanup_free_ char *prefix = snapshot_file_name(v->row.name, "");
        SnapshotFile *f;

        if (!prefix)
                return NULL;
        f = last ? RB_NEXT(SnapshotTree, &v->pool->snapshot_files, last)
                 : RB_NFIND(SnapshotTree, &v->pool->snapshot_files, &(SnapshotFile){.name = prefix});
        for (; f && startswith(f->name, prefix); f = RB_NEXT(SnapshotTree, &v->pool->snapshot_files, f)) {
                *ret_name = f->name + strlen(prefix);
                /* Else it is one of a volume "a@b", between those of "a". */
                if (!strchr(*ret_name, '@'))
                        return f;
        }
        return NULL;
}

void snapshot_files_sweep(Pool *pool, bool all)
{
        SnapshotFile *f, *next;

        RB_FOREACH_SAFE (f, SnapshotTree, &pool->snapshot_files, next) {
                if (all || f->seen_in != pool->listing)
                        drop(pool, f);
        }
}

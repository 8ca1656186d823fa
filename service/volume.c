/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume.h"

#include "service/device-id.h"
#include "service/incomplete.h"
#include "service/pool.h"
#include "service/snapshot-file.h"
#include "service/volume-graph.h"
#include "service/volume-need.h"
#include "service/volume-secret.h"
#include "service/volume-snapshot.h"

static int overlay_compare(Overlay *a, Overlay *b)
{
        int r = strcmp(a->backing, b->backing);

        return r ? r : a->volume < b->volume ? -1 : a->volume > b->volume;
}

static int volume_compare(Volume *a, Volume *b)
{
        return strcmp(a->row.name, b->row.name);
}

static int odd_compare(OddVolume *a, OddVolume *b)
{
        int r = strcmp(a->path, b->path);

        return r ? r : a->volume < b->volume ? -1 : a->volume > b->volume;
}

RB_GENERATE(OverlayTree, Overlay, node, overlay_compare)
RB_GENERATE(OddTree, OddVolume, node, odd_compare)
RB_GENERATE(VolumeTree, Volume, node, volume_compare)

static char *path_join(const char *folder, const char *name)
{
        char *path;

        return asprintf(&path, "%s/%s", strempty(folder), name) < 0 ? NULL : path;
}

char *volume_path(const Volume *v)
{
        if (v->row.extra && v->row.extra->path)
                return strdup(v->row.extra->path);
        return path_join(v->pool->def->target_path, v->row.name);
}

char *volume_key(const Volume *v)
{
        if (v->row.extra && v->row.extra->key)
                return strdup(v->row.extra->key);
        return volume_path(v);
}

uint64_t volume_start(const Volume *v)
{
        const VolumeExtra *extra = v->row.extra;

        return v->pool->def->type == POOL_DISK && extra && extra->n_extents == 1 ? extra->extents[0].start : 0;
}

Volume *volume_find(Pool *pool, const char *name)
{
        Volume key = {.row.name = (char *) name};

        return RB_FIND(VolumeTree, &pool->volumes, &key);
}

Volume *volume_first_from(Pool *pool, const char *from)
{
        Volume key = {.row.name = (char *) from};

        return RB_NFIND(VolumeTree, &pool->volumes, &key);
}

Volume *volume_next_after(Pool *pool, const char *after)
{
        Volume *v = volume_first_from(pool, after);

        return v && streq(v->row.name, after) ? RB_NEXT(VolumeTree, &pool->volumes, v) : v;
}

static Volume *find_in_folder(Pool *pool, const char *folder, const char *path)
{
        const char *rest = folder ? startswith(path, folder) : NULL;
        Volume *v = rest && rest[0] == '/' ? volume_find(pool, rest + 1) : NULL;

        return v && (!v->row.extra || !v->row.extra->path) ? v : NULL;
}

Volume *volume_find_by_path(Manager *m, const char *path)
{
        OddVolume key = {.path = (char *) path}, *odd;
        Pool *pool;

        TAILQ_FOREACH (pool, &m->pools, entry) {
                Volume *v = find_in_folder(pool, pool->def->target_path, path)
                                    ?: find_in_folder(pool, pool->details.real_path, path);

                if (v)
                        return v;
        }
        odd = RB_NFIND(OddTree, &m->odd_volumes, &key);
        return odd && streq(odd->path, path) ? odd->volume : NULL;
}

Volume *volume_find_by_device(Manager *m, const char *path)
{
        dev_t wanted, id;
        OddVolume *odd;

        if (!device_id_get(path, &wanted))
                return NULL;
        RB_FOREACH (odd, OddTree, &m->odd_volumes) {
                if (device_id_get(odd->path, &id) && id == wanted)
                        return odd->volume;
        }
        return NULL;
}

static void odd_remove(Volume *v)
{
        if (!v->odd)
                return;
        RB_REMOVE(OddTree, &v->pool->manager->odd_volumes, v->odd);
        free(v->odd->path);
        free(v->odd);
        v->odd = NULL;
}

/* Brings the index to what the row says. */
static int odd_update(Volume *v)
{
        const VolumeExtra *extra = v->row.extra;
        OddVolume *odd;

        odd_remove(v);
        if (!extra || (!extra->path && !extra->key))
                return 0;
        odd = calloc(1, sizeof *odd);
        if (!odd)
                return -ENOMEM;
        odd->volume = v;
        odd->path = volume_path(v);
        if (!odd->path) {
                free(odd);
                return -ENOMEM;
        }
        v->odd = odd;
        RB_INSERT(OddTree, &v->pool->manager->odd_volumes, odd);
        return 0;
}

static void mark(Volume *v, unsigned changes)
{
        Pool *pool = v->pool;

        if (changes == 0)
                return;
        if (v->changes == 0) {
                TAILQ_INSERT_TAIL(&pool->dirty, v, dirty);
                pool->n_dirty++;
        }
        v->changes |= changes;
        pool_changed(pool, 0);
}

/* LVM's snapshots are dependents of their origin. */
static void mark_backing(const Overlay *o, unsigned changes)
{
        Volume *backing = volume_find_by_path(o->volume->pool->manager, o->backing);

        if (backing && backing->pool->def->type != POOL_LOGICAL)
                changes &= ~(unsigned) VOLUME_SNAPSHOTS;
        if (backing)
                mark(backing, changes);
}

Volume *volume_backing_or_self(const Volume *v)
{
        return v->overlay ? volume_find_by_path(v->pool->manager, v->overlay->backing) : NULL;
}

Volume *volume_backing(const Volume *v)
{
        Volume *backing = volume_backing_or_self(v);

        return backing == v ? NULL : backing;
}

/* A circle becomes one, or none, by what one of its members is built on: it is every member's problem. */
static void mark_circle(Volume *v)
{
        Volume *next = v;

        if (!volume_is_in_circle(v))
                return;
        do {
                mark(next, VOLUME_CONTENT);
                next = volume_backing_or_self(next);
        } while (next && next != v);
}

static void overlay_remove(Volume *v)
{
        if (!v->overlay)
                return;
        mark_circle(v);
        RB_REMOVE(OverlayTree, &v->pool->manager->overlays, v->overlay);
        mark_backing(v->overlay, VOLUME_DEPENDENTS | VOLUME_SNAPSHOTS);
        free(v->overlay->backing);
        free(v->overlay);
        v->overlay = NULL;
}

static int overlay_add(Volume *v)
{
        const VolumeExtra *extra = v->row.extra;
        Overlay *o;

        if (!extra || isempty(extra->backing_path) || extra->backing_remote)
                return 0;
        o = calloc(1, sizeof *o);
        if (!o)
                return -ENOMEM;
        o->volume = v;
        o->backing = extra->backing_path[0] == '/'
                             ? strdup(extra->backing_path)
                             : path_join(v->pool->def->target_path, extra->backing_path);
        if (!o->backing) {
                free(o);
                return -ENOMEM;
        }
        v->overlay = o;
        RB_INSERT(OverlayTree, &v->pool->manager->overlays, o);
        mark_backing(o, VOLUME_DEPENDENTS | VOLUME_SNAPSHOTS);
        mark_circle(v);
        return 0;
}

/* Its coming or going is a change of those that are built on it. */
static void mark_dependents(const Volume *v)
{
        _cleanup_free_ char *path = NULL;
        Overlay *o = NULL;

        if (RB_EMPTY(&v->pool->manager->overlays))
                return;
        path = volume_path(v);
        while (path && (o = volume_next_dependent(v, path, o))) {
                if (o->volume != v)
                        mark(o->volume, VOLUME_BACKING | VOLUME_CONTENT);
        }
}

static Overlay *next_overlay(struct OverlayTree *tree, const char *path, Overlay *last)
{
        Overlay key = {.backing = (char *) path}, *o;

        o = last ? RB_NEXT(OverlayTree, tree, last) : RB_NFIND(OverlayTree, tree, &key);
        return o && streq(o->backing, path) ? o : NULL;
}

Overlay *volume_next_dependent(const Volume *v, const char *path, Overlay *last)
{
        struct OverlayTree *tree = &v->pool->manager->overlays;
        const char *folder = v->pool->details.real_path;
        _cleanup_free_ char *real = NULL;
        Overlay *o = NULL;

        if (!last || streq(last->backing, path))
                o = next_overlay(tree, path, last);
        if (o || !folder)
                return o;
        /* Then those that know it by the real path of its folder. */
        real = path_join(folder, v->row.name);
        return real ? next_overlay(tree, real, last && streq(last->backing, real) ? last : NULL) : NULL;
}

static bool extra_equal_otherwise(const VolumeRow *a, const VolumeRow *b)
{
        VolumeExtra none = {}, x = a->extra ? *a->extra : none, y = b->extra ? *b->extra : none;
        VolumeRow p = {.extra = &x}, q = {.extra = &y};

        x.backing_path = x.backing_format = y.backing_path = y.backing_format = NULL;
        x.backing_remote = y.backing_remote = false;
        x.n_needs = y.n_needs = 0;
        x.n_snapshots = y.n_snapshots = 0;
        return volume_row_equal(&p, &q);
}

static bool backing_equal(const VolumeExtra *a, const VolumeExtra *b)
{
        return streq(a ? strempty(a->backing_path) : "", b ? strempty(b->backing_path) : "") &&
               streq(a ? strempty(a->backing_format) : "", b ? strempty(b->backing_format) : "");
}

static bool snapshots_equal(const VolumeExtra *a, const VolumeExtra *b)
{
        VolumeExtra none = {}, x = {}, y = {};
        VolumeRow p = {.extra = &x}, q = {.extra = &y};

        a = a ?: &none;
        b = b ?: &none;
        x.snapshots = a->snapshots;
        x.n_snapshots = a->n_snapshots;
        y.snapshots = b->snapshots;
        y.n_snapshots = b->n_snapshots;
        return volume_row_equal(&p, &q);
}

static unsigned row_changes(const VolumeRow *a, const VolumeRow *b)
{
        unsigned c = 0;

        if (a->capacity != b->capacity || a->allocation != b->allocation || a->physical != b->physical)
                c |= VOLUME_SIZES;
        if (a->mtime / 1000 != b->mtime / 1000)
                c |= VOLUME_TIMES;
        if (a->mode != b->mode || a->owner != b->owner || a->group != b->group)
                c |= VOLUME_ACCESS;
        if (a->type != b->type || a->format != b->format || a->format_probed != b->format_probed ||
            !extra_equal_otherwise(a, b))
                c |= VOLUME_CONTENT;
        if (!backing_equal(a->extra, b->extra))
                c |= VOLUME_BACKING;
        if (a->in_use != b->in_use)
                c |= VOLUME_USE;
        if (!snapshots_equal(a->extra, b->extra))
                c |= VOLUME_SNAPSHOTS;
        return c;
}

/* Removed and there again before either was told: told as removed first, then as added. */
static void tell_removal_first(Pool *pool, const char *name)
{
        RemovedVolume *removed, *next;

        if (pool->n_dirty > VOLUME_SIGNALS_MAX) {
                pool->reset_needed = true; /* so many are told as one, and need no search */
                return;
        }
        TAILQ_FOREACH_SAFE (removed, &pool->removed, entry, next) {
                if (!streq(removed->name, name))
                        continue;
                pool->manager->hooks->volume_removed(pool, removed);
                TAILQ_REMOVE(&pool->removed, removed, entry);
                pool->n_dirty--;
                free(removed);
                return;
        }
}

static int volume_added(Volume *v)
{
        Pool *pool = v->pool;
        int r;

        pool->n_volumes++;
        pool->generation++;
        tell_removal_first(pool, v->row.name);
        mark(v, VOLUME_ADDED);
        mark_dependents(v);
        pool_changed(pool, POOL_CHANGE_CONTENTS);
        r = odd_update(v);
        if (r >= 0)
                r = overlay_add(v);
        return r < 0 ? r : volume_needs_update(v);
}

static int volume_changed(Volume *v, VolumeRow *row)
{
        unsigned changes = row_changes(&v->row, row);
        SnapshotKind kind = volume_snapshot_kind(v);
        bool same_needs = volume_needs_equal(v->row.extra, row->extra);
        int r = 0;

        if (changes & VOLUME_BACKING)
                overlay_remove(v);
        volume_row_done(&v->row);
        v->row = *row;
        *row = (VolumeRow){};
        if ((kind == SNAPSHOTS_NONE) != (volume_snapshot_kind(v) == SNAPSHOTS_NONE))
                changes |= VOLUME_SNAPSHOT_KIND;
        if (changes & VOLUME_CONTENT)
                r = odd_update(v);
        if (r >= 0 && changes & VOLUME_BACKING)
                r = overlay_add(v);
        /* How large a snapshot is, is shown there too. */
        else if (v->overlay && changes & VOLUME_SIZES)
                mark_backing(v->overlay, VOLUME_SNAPSHOTS);
        if (r >= 0 && !same_needs)
                r = volume_needs_update(v);
        mark(v, changes);
        return r;
}

int volume_update(Pool *pool, VolumeRow *row, Volume **ret)
{
        Volume *v, *other;

        if (snapshot_file_is(row->name)) {
                int r = snapshot_file_update(pool, row);

                if (r >= 0)
                        volume_row_done(row);
                return r;
        }

        v = calloc(1, sizeof *v);
        if (!v)
                return -ENOMEM;
        v->pool = pool;
        v->row = *row;
        /* One descent of the tree for the many that a listing brings. */
        other = RB_INSERT(VolumeTree, &pool->volumes, v);
        if (ret)
                *ret = other ? other : v;
        if (other) {
                free(v);
                return volume_changed(other, row);
        }
        *row = (VolumeRow){};
        return volume_added(v);
}

static void volume_free(Volume *v)
{
        Pool *pool = v->pool;

        mark_dependents(v);
        volume_needs_remove(v);
        overlay_remove(v);
        odd_remove(v);
        if (v->changes != 0) {
                TAILQ_REMOVE(&pool->dirty, v, dirty);
                pool->n_dirty--;
        }
        RB_REMOVE(VolumeTree, &pool->volumes, v);
        pool->n_volumes--;
        volume_row_done(&v->row);
        free(v);
}

void volumes_depend_on_real_path(Pool *pool)
{
        Volume *v;

        RB_FOREACH (v, VolumeTree, &pool->volumes) {
                if (RB_EMPTY(&pool->manager->overlays))
                        return;
                mark(v, VOLUME_DEPENDENTS);
                mark_dependents(v);
        }
}

void volume_mark_changed(Volume *v, unsigned changes)
{
        mark(v, changes);
}

void volume_remove(Volume *v)
{
        bool never_told = v->changes & VOLUME_ADDED;
        Pool *pool = v->pool;
        RemovedVolume *removed;

        if (!never_told) {
                removed = malloc(sizeof *removed + strlen(v->row.name) + 1);
                if (removed) {
                        strcpy(removed->name, v->row.name);
                        removed->had_snapshots = volume_snapshot_kind(v) != SNAPSHOTS_NONE;
                        TAILQ_INSERT_TAIL(&pool->removed, removed, entry);
                        pool->n_dirty++;
                } else
                        pool->reset_needed = true;
        }
        volume_free(v);
        pool->generation++;
        pool_changed(pool, POOL_CHANGE_CONTENTS);
}

void volume_gone(Volume *v)
{
        Pool *pool = v->pool;

        incomplete_forget(pool->manager, pool->def->uuid, v->row.name);
        volume_secret_forget(pool->manager, pool->def->uuid, v->row.name);
        volume_remove(v);
}

void volume_flush(Volume *v)
{
        Pool *pool = v->pool;
        unsigned changes = v->changes;

        if (changes == 0)
                return;
        TAILQ_REMOVE(&pool->dirty, v, dirty);
        pool->n_dirty--;
        v->changes = 0;
        if (changes & VOLUME_ADDED)
                pool->manager->hooks->volume_added(v);
        else
                pool->manager->hooks->volume_changed(v, changes);
}

void volumes_clear(Pool *pool)
{
        Volume *v, *next;

        snapshot_files_sweep(pool, true);

        RB_FOREACH_SAFE (v, VolumeTree, &pool->volumes, next) {
                volume_free(v);
        }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-need.h"

#include "service/device-id.h"

static int compare(Need *a, Need *b)
{
        if (a->ino != b->ino)
                return a->ino < b->ino ? -1 : 1;
        if (a->dev != b->dev)
                return a->dev < b->dev ? -1 : 1;
        /* Before all others comes the key of a search, which is of no volume. */
        if (a->volume != b->volume)
                return a->volume < b->volume ? -1 : 1;
        return a < b ? -1 : a > b;
}

RB_PROTOTYPE(NeedTree, Need, node, compare)
RB_GENERATE(NeedTree, Need, node, compare)

static bool is_known(const Need *n)
{
        return n->dev != 0 || n->ino != 0;
}

static void mark_needed(const Need *n)
{
        Manager *m = n->volume->pool->manager;
        Volume *v = volume_find_by_path(m, n->path);

        if (!v && startswith(n->path, "/dev/"))
                v = volume_find_by_device(m, n->path);
        if (v && v != n->volume)
                volume_mark_changed(v, VOLUME_DEPENDENTS);
}

void volume_needs_remove(Volume *v)
{
        for (size_t i = 0; i < v->n_needs; i++) {
                Need *n = v->needs + i;

                if (is_known(n))
                        RB_REMOVE(NeedTree, &v->pool->manager->needs, n);
                mark_needed(n);
                free(n->path);
        }
        free(v->needs);
        v->needs = NULL;
        v->n_needs = 0;
}

int volume_needs_update(Volume *v)
{
        const VolumeExtra *extra = v->row.extra;

        volume_needs_remove(v);
        if (!extra || extra->n_needs == 0)
                return 0;
        v->needs = calloc(extra->n_needs, sizeof(Need));
        if (!v->needs)
                return -ENOMEM;
        for (; v->n_needs < extra->n_needs; v->n_needs++) {
                const VolumeNeed *from = extra->needs + v->n_needs;
                Need *n = v->needs + v->n_needs;

                *n = (Need){.dev = from->dev, .ino = from->ino, .path = strdup(from->path), .volume = v};
                if (!n->path)
                        return -ENOMEM;
                if (is_known(n))
                        (void) RB_INSERT(NeedTree, &v->pool->manager->needs, n);
                mark_needed(n);
        }
        return 0;
}

/* By which v is known. False: there is nothing. */
static bool identify(const Volume *v, const char *own, Need *ret)
{
        dev_t id;

        *ret = (Need){.dev = v->row.dev, .ino = v->row.ino};
        if (v->row.type == VOLUME_BLOCK && device_id_get(own, &id))
                *ret = (Need){.dev = id};
        return is_known(ret);
}

/* volume_next_dependent() goes by the same name. */
static bool is_known_by_path(const Volume *v, const char *own, const Need *n)
{
        const char *backing = n->volume->overlay ? n->volume->overlay->backing : NULL, *rest;

        if (!backing || !streq(backing, n->path))
                return false;
        if (streq(backing, own))
                return true;
        rest = v->pool->details.real_path ? startswith(backing, v->pool->details.real_path) : NULL;
        return rest && rest[0] == '/' && streq(rest + 1, v->row.name);
}

Need *volume_next_need(const Volume *v, const char *own, Need *last)
{
        struct NeedTree *tree = &v->pool->manager->needs;
        Need key, *n;

        if (RB_EMPTY(tree) || !identify(v, own, &key))
                return NULL;
        n = last ? RB_NEXT(NeedTree, tree, last) : RB_NFIND(NeedTree, tree, &key);
        while (n && (n->volume == v || is_known_by_path(v, own, n)))
                n = RB_NEXT(NeedTree, tree, n);
        return n && n->dev == key.dev && n->ino == key.ino ? n : NULL;
}

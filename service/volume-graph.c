/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-graph.h"

#define NAMES_SIZE 512U

int volume_require_no_dependents(const Volume *v, const Volume *except, const char *verb,
                                 sd_bus_error *error)
{
        _cleanup_free_ char *path = volume_path(v);
        char names[NAMES_SIZE] = "";
        Overlay *o = NULL;
        size_t n = 0;

        if (!path)
                return -ENOMEM;
        while (n < sizeof names - 1 && (o = volume_next_dependent(v, path, o))) {
                if (o->volume == v || o->volume == except)
                        continue;
                n += (size_t) snprintf(names + n, sizeof names - n, "%s'%s' of pool '%s'", n ? ", " : "",
                                       o->volume->row.name, o->volume->pool->def->name);
        }
        if (n == 0)
                return 0;
        return error_setf(error, STORAGE_ERROR_HAS_DEPENDENTS,
                          "Volume '%s' cannot be %s: it is the backing volume of %s", v->row.name, verb,
                          names);
}

bool volume_is_in_circle(const Volume *v)
{
        const Volume *next = v;

        if (!v->overlay)
                return false;
        for (unsigned i = 0; next && i < CHAIN_MAX; i++) {
                next = volume_backing_or_self(next);
                if (next == v)
                        return true;
        }
        return false;
}

/* Whether the path is that of a volume of pool, were it there: what a folder has is known as long as that is
 * watched. */
static bool is_in_folder(const Pool *pool, const char *path)
{
        const char *name = pool->def->target_path ? startswith(path, pool->def->target_path) : NULL;

        return pool_is_active(pool) && pool->scanned && pool_type_info(pool->def->type)->volume_formats &&
               name && name[0] == '/' && !strchr(name + 1, '/');
}

static bool is_missing(const Volume *v)
{
        const char *path = v->overlay->backing;
        Pool *pool;

        if (v->row.type != VOLUME_FILE || volume_backing(v))
                return false;
        TAILQ_FOREACH (pool, &v->pool->manager->pools, entry) {
                if (is_in_folder(pool, path))
                        return true;
        }
        return v->row.extra && v->row.extra->backing_missing;
}

int volume_describe_backing(const Volume *v, char **ret)
{
        int n = 0;

        *ret = NULL;
        if (!v->overlay)
                return 0;
        if (volume_is_in_circle(v))
                n = asprintf(
                        ret,
                        "It is built on itself: its backing files are a circle, of which %s is the next",
                        v->overlay->backing);
        else if (is_missing(v))
                n = asprintf(ret, "Its backing file %s is missing", v->overlay->backing);
        return n < 0 ? -ENOMEM : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-graph.h"

#include "service/device-id.h"
#include "service/pool-conflict.h"
#include "service/volume-need.h"

#define NAMES_SIZE 512U

typedef struct Names {
        const Volume *v, *except;
        char text[NAMES_SIZE];
        size_t n;
} Names;

static void add_name(Names *names, const Volume *dependent)
{
        if (dependent == names->v || dependent == names->except || names->n >= sizeof names->text - 1)
                return;
        names->n += (size_t) snprintf(names->text + names->n, sizeof names->text - names->n,
                                      "%s'%s' of pool '%s'", names->n ? ", " : "", dependent->row.name,
                                      dependent->pool->def->name);
}

/* Those that know it by another of a device's many names, such as /dev/mapper/…. */
static void add_by_device(Names *names, const char *path)
{
        dev_t own, id;
        Overlay *o;

        if (names->v->row.type != VOLUME_BLOCK || !device_id_get(path, &own))
                return;
        RB_FOREACH (o, OverlayTree, &names->v->pool->manager->overlays) {
                if (startswith(o->backing, "/dev/") && !streq(o->backing, path) &&
                    device_id_get(o->backing, &id) && id == own)
                        add_name(names, o->volume);
        }
}

/* A partition or logical volume may be what another pool is on, which need not run. */
static int require_no_pool(const Volume *v, const char *path, const char *verb, sd_bus_error *error)
{
        _cleanup_(device_claims_freep) DeviceClaims *claims = NULL;
        const Pool *pool;
        int r;

        if (v->row.type != VOLUME_BLOCK)
                return 0;
        r = device_claims_new(v->pool->manager, v->pool, &claims);
        if (r < 0)
                return r;
        pool = device_claims_find(claims, path, NULL);
        if (!pool)
                return 0;
        return error_setf(
                error, STORAGE_ERROR_HAS_DEPENDENTS,
                "Volume '%s' cannot be %s: pool '%s' is on it; undefine that pool first if it is not "
                "needed any more",
                v->row.name, verb, pool->def->name);
}

int volume_require_no_dependents(const Volume *v, const Volume *except, const char *verb,
                                 sd_bus_error *error)
{
        _cleanup_free_ char *path = volume_path(v);
        Names names = {.v = v, .except = except};
        Overlay *o = NULL;
        Need *n = NULL;
        bool by_path;
        int r;

        if (!path)
                return -ENOMEM;
        r = require_no_pool(v, path, verb, error);
        if (r < 0)
                return r;
        while ((o = volume_next_dependent(v, path, o)))
                add_name(&names, o->volume);
        add_by_device(&names, path);
        by_path = names.n > 0;
        while ((n = volume_next_need(v, path, n)))
                add_name(&names, n->volume);
        if (names.n == 0)
                return 0;
        return error_setf(error, STORAGE_ERROR_HAS_DEPENDENTS, "Volume '%s' cannot be %s: %s %s", v->row.name,
                          verb,
                          by_path ? "it is the backing volume of"
                                  : "its file, which may have other paths, too, is needed by",
                          names.text);
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

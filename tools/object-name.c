/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/object-name.h"
#include "tools/storagectl.h"

#define POOL_PATH STORAGE_PATH "/pool"

int object_names_read(json_object *root, json_object *names)
{
        int r = 0;

        json_object_object_foreach(root, path, interfaces)
        {
                json_object *pool;

                if (r >= 0 && json_object_object_get_ex(interfaces, POOL_INTERFACE, &pool))
                        r = json_set_string(names, path, json_string(pool, "Name"));
        }
        return r;
}

/* The name of the pool with that last part of an object path; NULL: it is not known. */
static const char *pool_name(json_object *names, const char *id, size_t n)
{
        char path[256];
        const char *name;

        (void) snprintf(path, sizeof(path), POOL_PATH "/%.*s", (int) n, id);
        name = json_string(names, path);
        return *name ? name : NULL;
}

/* id: "<uuid>/<escaped name>", the end of path */
static char *volume_name(json_object *names, const char *path, const char *id)
{
        _cleanup_free_ char *prefix = NULL, *volume = NULL;
        const char *slash = strchr(id, '/'), *pool;
        char *name;

        if (!slash)
                return strdup(path);
        prefix = strndup(path, (size_t) (slash - path));
        if (!prefix || sd_bus_path_decode(path, prefix, &volume) < 0)
                return NULL;
        pool = pool_name(names, id, (size_t) (slash - id));
        if (!pool)
                pool = prefix + strlen(STORAGE_VOLUME_PATH "/");
        return asprintf(&name, "%s/%s", pool, volume ? volume : slash + 1) < 0 ? NULL : name;
}

char *object_name(json_object *names, const char *path)
{
        const char *volume = startswith(path, STORAGE_VOLUME_PATH "/"), *last = strrchr(path, '/'), *name;

        if (volume)
                return volume_name(names, path, volume);
        name = startswith(path, POOL_PATH "/") ? json_string(names, path) : "";
        return strdup(*name ? name : last ? last + 1 : path);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/backing-graph.h"

#include "tools/call.h"

/* As deep as QEMU can open anything, and more. */
#define DEPTH_MAX 256U

typedef struct Graph {
        Context *c;
        json_object *volumes; /* properties by object path, as far as they were read */
        json_object *shown;   /* object paths of those that have their place */
        json_object *foreign; /* nodes of backing stores that are no volumes, by path */
        json_object *names;   /* of all pools, by object path */
        sd_bus_error *error;
} Graph;

static bool has(json_object *set, const char *key)
{
        return json_object_object_get_ex(set, key, NULL);
}

/* Borrowed; NULL if it went meanwhile, or out of memory. */
static json_object *get_volume(Graph *g, const char *path)
{
        json_object *volume;

        if (json_object_object_get_ex(g->volumes, path, &volume))
                return volume;
        if (read_object(g->c, path, VOLUME_INTERFACE, &volume, NULL) < 0 ||
            json_set(g->volumes, path, volume) < 0)
                return NULL;
        return volume;
}

/* The volume at the bottom of what this one is built on; of a cycle any. */
static json_object *find_bottom(Graph *g, json_object *volume)
{
        json_object *v = volume;

        for (unsigned i = 0; i < DEPTH_MAX; i++) {
                const char *backing = json_string(v, "Backing");
                json_object *below = streq(backing, "/") ? NULL : get_volume(g, backing);

                if (!below)
                        break;
                if (below == volume)
                        return volume;
                v = below;
        }
        return v;
}

static int by_label(const void *a, const void *b)
{
        json_object *x = *(json_object *const *) a, *y = *(json_object *const *) b;
        int order = strcmp(json_string(x, "Name"), json_string(y, "Name"));

        return order ?: strcmp(json_string(x, "Pool"), json_string(y, "Pool"));
}

static int new_node(Graph *g, json_object *volume, json_object **ret)
{
        static const char *const copied[] = {"Name",     "ObjectPath", "Format",
                                             "Capacity", "Allocation", "Problem"};
        _cleanup_json_ json_object *node = json_object_new_object();
        int r = node ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(copied); i++) {
                json_object *value;

                if (json_object_object_get_ex(volume, copied[i], &value))
                        r = json_set(node, copied[i], json_object_get(value));
        }
        if (r >= 0)
                r = json_set_string(node, "Pool", json_string(g->names, json_string(volume, "Pool")));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(node);
        return 0;
}

static int add(json_object *array, json_object *node)
{
        if (json_object_array_add(array, node) >= 0)
                return 0;
        (void) json_object_put(node);
        return -ENOMEM;
}

static int add_tree(Graph *g, json_object *volume, unsigned depth, json_object *array);

static int add_overlays(Graph *g, json_object *volume, unsigned depth, json_object *node)
{
        json_object *overlays = json_object_new_array(), *dependents;
        int r = overlays ? json_set(node, "Overlays", overlays) : -ENOMEM;

        if (r < 0 || !json_object_object_get_ex(volume, "Dependents", &dependents))
                return r;
        for (size_t i = 0; r >= 0 && i < json_object_array_length(dependents); i++) {
                json_object *path = json_object_array_get_idx(dependents, i),
                            *v = get_volume(g, json_object_get_string(path));

                if (v)
                        r = add_tree(g, v, depth + 1, overlays);
        }
        json_object_array_sort(overlays, by_label);
        return r;
}

/* The volume and all that is built on it. */
static int add_tree(Graph *g, json_object *volume, unsigned depth, json_object *array)
{
        const char *path = json_string(volume, "ObjectPath");
        json_object *node = NULL;
        bool again = has(g->shown, path) || depth > DEPTH_MAX;
        int r;

        r = new_node(g, volume, &node);
        if (r >= 0)
                r = add(array, node);
        if (r >= 0 && again)
                return json_set(node, "Cycle", json_object_new_boolean(true));
        if (r >= 0)
                r = json_set(g->shown, path, NULL);
        return r < 0 ? r : add_overlays(g, volume, depth, node);
}

/* What no pool has stands in the place of a volume, once for all that are built on it. */
static int get_foreign(Graph *g, const char *path, json_object *roots, json_object **ret)
{
        json_object *node, *overlays;
        int r;

        if (json_object_object_get_ex(g->foreign, path, &node))
                return json_object_object_get_ex(node, "Overlays", ret) ? 0 : -EINVAL;
        node = json_object_new_object();
        r = node ? add(roots, node) : -ENOMEM;
        if (r >= 0)
                r = json_set(g->foreign, path, json_object_get(node));
        if (r >= 0)
                r = json_set_string(node, "Path", path);
        overlays = r >= 0 ? json_object_new_array() : NULL;
        if (!overlays)
                return r < 0 ? r : -ENOMEM;
        *ret = overlays;
        return json_set(node, "Overlays", overlays);
}

static int add_root(Graph *g, json_object *volume, json_object *roots)
{
        json_object *bottom, *array = roots;
        const char *foreign;
        int r = 0;

        if (has(g->shown, json_string(volume, "ObjectPath")))
                return 0;
        bottom = find_bottom(g, volume);
        if (has(g->shown, json_string(bottom, "ObjectPath")))
                bottom = volume; /* its backing volume does not name it: both are changing just now */
        foreign = streq(json_string(bottom, "Backing"), "/") ? json_string(bottom, "BackingPath") : "";
        if (*foreign)
                r = get_foreign(g, foreign, roots, &array);
        return r < 0 ? r : add_tree(g, bottom, 0, array);
}

static int add_pool(Graph *g, json_object *volumes, const char *name, json_object *graph)
{
        _cleanup_json_ json_object *pool = json_object_new_object();
        json_object *roots = json_object_new_array();
        int r = pool && roots ? json_set_string(pool, "Pool", name) : -ENOMEM;

        if (roots && (r < 0 || (r = json_set(pool, "Volumes", roots)) < 0))
                (void) json_object_put(roots);
        for (size_t i = 0; r >= 0 && i < json_object_array_length(volumes); i++)
                r = add_root(g, json_object_array_get_idx(volumes, i), roots);
        return r < 0 ? r : add(graph, TAKE_PTR(pool));
}

static int remember(Graph *g, const char *path, json_object *volume, json_object *list)
{
        int r = json_set_string(volume, "ObjectPath", path);

        if (r >= 0)
                r = json_set(g->volumes, path, json_object_get(volume));
        return r < 0 ? r : add(list, json_object_get(volume));
}

/* All volumes of a pool, in the order of their names. */
static int read_volumes(Graph *g, const char *pool, json_object **ret)
{
        _cleanup_json_ json_object *properties = NULL, *managed = NULL, *list = json_object_new_array();
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        int r;

        if (!list)
                return -ENOMEM;
        r = read_object(g->c, pool, POOL_INTERFACE, &properties, g->error);
        if (r >= 0)
                r = call_read(g->c, json_string(properties, "Volumes"), OBJECT_MANAGER_INTERFACE,
                              "GetManagedObjects", g->error, &reply, "");
        if (r >= 0)
                r = json_read(reply, &managed);
        if (r < 0)
                return r;
        json_object_object_foreach(managed, path, interfaces)
        {
                json_object *volume;

                if (r >= 0 && json_object_object_get_ex(interfaces, VOLUME_INTERFACE, &volume))
                        r = remember(g, path, volume, list);
        }
        json_object_array_sort(list, by_label);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

static int add_pools(Graph *g, json_object *names, json_object *graph)
{
        _cleanup_json_ json_object *lists = json_object_new_object();
        int r = lists ? 0 : -ENOMEM;

        /* All are read before the first is drawn: most of what is in other pools is known then. */
        json_object_object_foreach(names, pool, unused)
        {
                json_object *list = NULL;

                (void) unused;
                if (r >= 0)
                        r = read_volumes(g, pool, &list);
                if (r >= 0)
                        r = json_set(lists, pool, list);
        }
        json_object_object_foreach(names, path, name)
        {
                json_object *list;

                if (r >= 0 && json_object_object_get_ex(lists, path, &list))
                        r = add_pool(g, list, json_object_get_string(name), graph);
        }
        return r;
}

int backing_graph(Context *c, json_object *names, json_object *all_names, json_object **ret,
                  sd_bus_error *error)
{
        _cleanup_json_ json_object *volumes = json_object_new_object(), *shown = json_object_new_object(),
                                   *foreign = json_object_new_object(), *graph = json_object_new_array();
        Graph g = {.c = c,
                   .volumes = volumes,
                   .shown = shown,
                   .foreign = foreign,
                   .names = all_names,
                   .error = error};
        int r;

        if (!volumes || !shown || !foreign || !graph)
                return -ENOMEM;
        r = add_pools(&g, names, graph);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(graph);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/volumes-node.h"

#include "interfaces/paths.h"
#include "interfaces/volume-snapshots.h"

struct PoolOnBus {
        TAILQ_ENTRY(PoolOnBus) entry;
        Pool *pool; /* a reference */
        sd_bus_slot *manager_slot, *enumerator_slot, *vtable_slot, *snapshots_slot;
};

static int find_volume(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                       sd_bus_error *error)
{
        return !!(*ret = volume_of_path(((Pool *) userdata)->manager, path));
}

/* Names of every property and value, and what else a volume takes in the reply besides its own strings. */
#define MANAGED_VOLUME_SIZE 1024U
#define MANAGED_SIZE_MAX (24U * 1024 * 1024)

static size_t managed_size(const Volume *v, const char *path)
{
        const VolumeExtra *extra = v->row.extra;
        size_t n = strlen(v->row.name), target = strlen(strempty(v->pool->def->target_path));

        n += 2 * (target + n + 1); /* Path, Key */
        if (extra)
                n += strlen(strempty(extra->backing_path)) + strlen(strempty(extra->path)) +
                     strlen(strempty(extra->key)) + strlen(strempty(extra->problem));
        if (v->overlay) /* Backing, and in Dependents of the other; in Problem */
                n += 2 * strlen(path) + strlen(v->overlay->backing);
        return n + snapshots_size(v) + strlen(path) + MANAGED_VOLUME_SIZE;
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error)
{
        _cleanup_strv_free_ char **nodes = NULL;
        Pool *pool = userdata;
        size_t n = 0, size = 0;
        Volume *v;

        if (pool->n_volumes > MANAGED_VOLUMES_MAX)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                        "Pool '%s' has %u volumes, more than the %u that one reply can hold: "
                        "list them in pages with " POOL_INTERFACE ".ListVolumes",
                        pool->def->name, pool->n_volumes, MANAGED_VOLUMES_MAX);
        nodes = calloc(pool->n_volumes + 1, sizeof(char *));
        if (!nodes)
                return -ENOMEM;
        RB_FOREACH (v, VolumeTree, &pool->volumes) {
                nodes[n] = path_of_volume(pool, v->row.name);
                if (!nodes[n])
                        return -ENOMEM;
                size += managed_size(v, nodes[n++]);
        }
        if (size > MANAGED_SIZE_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                         "The %u volumes of pool '%s' are more than one reply can hold: "
                                         "list them in pages with " POOL_INTERFACE ".ListVolumes",
                                         pool->n_volumes, pool->def->name);
        *ret_nodes = TAKE_PTR(nodes);
        return 0;
}

void volumes_node_free(Bus *b, PoolOnBus *node)
{
        TAILQ_REMOVE(&b->pools, node, entry);
        sd_bus_slot_unref(node->manager_slot);
        sd_bus_slot_unref(node->enumerator_slot);
        sd_bus_slot_unref(node->vtable_slot);
        sd_bus_slot_unref(node->snapshots_slot);
        pool_unref(node->pool);
        free(node);
}

int volumes_node_add(Bus *b, Pool *pool)
{
        _cleanup_free_ char *path = path_of_volumes(pool);
        PoolOnBus *node;
        int r;

        node = path ? calloc(1, sizeof *node) : NULL;
        if (!node)
                return -ENOMEM;
        node->pool = pool_ref(pool);
        TAILQ_INSERT_TAIL(&b->pools, node, entry);
        r = sd_bus_add_object_manager(b->bus, &node->manager_slot, path);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(b->bus, &node->enumerator_slot, path, enumerate, pool);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(b->bus, &node->vtable_slot, path, VOLUME_INTERFACE,
                                               volume_vtable, find_volume, pool);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(b->bus, &node->snapshots_slot, path, SNAPSHOTS_INTERFACE,
                                               snapshots_vtable, snapshots_find, pool);
        if (r < 0)
                volumes_node_free(b, node);
        return r;
}

void volumes_node_remove(Bus *b, Pool *pool)
{
        PoolOnBus *node;

        TAILQ_FOREACH (node, &b->pools, entry) {
                if (node->pool == pool) {
                        volumes_node_free(b, node);
                        return;
                }
        }
}

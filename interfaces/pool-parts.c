/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/pool-parts.h"

#include <stddef.h>

#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/paths.h"
#include "interfaces/reply.h"
#include "service/pool-array.h"

#define GETTER(name)                                                                                \
        static int name(sd_bus *bus, const char *path, const char *interface, const char *property, \
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

/* logical */

GETTER(get_volume_group)
{
        return sd_bus_message_append(reply, "s", strempty(((Pool *) userdata)->details.volume_group));
}

GETTER(get_thin_pools)
{
        const PoolDetails *d = &((Pool *) userdata)->details;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(stttta{sv})");
        for (size_t i = 0; r >= 0 && i < d->n_thin_pools; i++) {
                const ThinPool *t = d->thin_pools + i;

                r = sd_bus_message_append(reply, "(stttta{sv})", t->name, t->capacity, t->allocation,
                                          t->metadata_capacity, t->metadata_allocation, 0);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static const sd_bus_vtable logical_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("VolumeGroup", "s", get_volume_group, 0, CHANGES),
        SD_BUS_PROPERTY("ExtentSize", "t", NULL, offsetof(Pool, details.extent_size), CHANGES),
        SD_BUS_PROPERTY("ThinPools", "a(stttta{sv})", get_thin_pools, 0, CHANGES),
        SD_BUS_VTABLE_END,
};

/* disk */

GETTER(get_free_extents)
{
        const PoolDetails *d = &((Pool *) userdata)->details;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(tt)");
        for (size_t i = 0; r >= 0 && i < d->n_free_extents; i++)
                r = sd_bus_message_append(reply, "(tt)", d->free_extents[i].start, d->free_extents[i].end);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static const sd_bus_vtable disk_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("FreeExtents", "a(tt)", get_free_extents, 0, CHANGES),
        SD_BUS_VTABLE_END,
};

/* raid */

GETTER(get_level)
{
        return sd_bus_message_append(reply, "s", strempty(((Pool *) userdata)->details.raid_level));
}

GETTER(get_sync_action)
{
        return sd_bus_message_append(reply, "s", strempty(((Pool *) userdata)->details.raid_action));
}

GETTER(get_devices)
{
        const PoolDetails *d = &((Pool *) userdata)->details;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ssa{sv})");
        for (size_t i = 0; r >= 0 && i < d->n_raid_members; i++)
                r = sd_bus_message_append(reply, "(ssa{sv})", d->raid_members[i].path,
                                          d->raid_members[i].state, 0);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int change_array(sd_bus_message *m, Pool *pool, ArrayChange change, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        uint64_t wait = WAIT_DEFAULT_USEC;
        const Option options[] = {{"wait", 't', &wait}};
        Bus *b = bus_of(pool->manager);
        const char *device;
        uid_t uid;
        int r;

        r = hold_while_adopting(b, pool, m, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_read(m, "s", &device);
        if (r >= 0)
                r = options_read(m, options, ELEMENTSOF(options), error);
        if (r < 0)
                return r;
        r = access_check_pool(b, m, "change-array", pool, false, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = pool_change_array(pool, uid, change, device, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_JOB, wait, error);
}

static int method_add_device(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return change_array(m, userdata, ARRAY_ADD, error);
}

static int method_fail_device(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return change_array(m, userdata, ARRAY_FAIL, error);
}

static int method_remove_device(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return change_array(m, userdata, ARRAY_REMOVE, error);
}

#define DEVICE_METHOD(name, method)                                                                        \
        SD_BUS_METHOD_WITH_ARGS(name, SD_BUS_ARGS("s", device, "a{sv}", options), SD_BUS_RESULT("o", job), \
                                method, SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable raid_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Level", "s", get_level, 0, CHANGES),
        SD_BUS_PROPERTY("SyncAction", "s", get_sync_action, 0, CHANGES),
        SD_BUS_PROPERTY("Degraded", "u", NULL, offsetof(Pool, details.raid_degraded), CHANGES),
        SD_BUS_PROPERTY("SyncProgress", "d", NULL, offsetof(Pool, details.raid_progress), CHANGES),
        SD_BUS_PROPERTY("Devices", "a(ssa{sv})", get_devices, 0, CHANGES),
        DEVICE_METHOD("AddDevice", method_add_device),
        DEVICE_METHOD("FailDevice", method_fail_device),
        DEVICE_METHOD("RemoveDevice", method_remove_device),
        SD_BUS_VTABLE_END,
};

/* which pools have which */

static bool is_logical(const Pool *pool)
{
        return pool->def->type == POOL_LOGICAL;
}

static bool is_disk(const Pool *pool)
{
        return pool->def->type == POOL_DISK;
}

static bool has_raid(const Pool *pool)
{
        return pool->def->raid.level != NULL;
}

static int find(Bus *b, const char *path, bool (*has)(const Pool *pool), void **ret)
{
        Pool *pool = pool_of_path(b->manager, path);

        if (!pool || !has(pool))
                return 0;
        *ret = pool;
        return 1;
}

static int find_logical(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                        sd_bus_error *error)
{
        return find(userdata, path, is_logical, ret);
}

static int find_disk(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                     sd_bus_error *error)
{
        return find(userdata, path, is_disk, ret);
}

static int find_raid(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                     sd_bus_error *error)
{
        return find(userdata, path, has_raid, ret);
}

const PoolPart pool_parts[] = {
        {
                .interface = POOL_INTERFACE ".Logical",
                .vtable = logical_vtable,
                .has = is_logical,
                .find = find_logical,
                .change = POOL_CHANGE_LOGICAL,
                .properties = {"VolumeGroup", "ExtentSize", "ThinPools"},
        },
        {
                .interface = POOL_INTERFACE ".Disk",
                .vtable = disk_vtable,
                .has = is_disk,
                .find = find_disk,
                .change = POOL_CHANGE_DISK,
                .properties = {"FreeExtents"},
        },
        {
                .interface = POOL_INTERFACE ".Raid",
                .vtable = raid_vtable,
                .has = has_raid,
                .find = find_raid,
                .change = POOL_CHANGE_RAID,
                .properties = {"Level", "SyncAction", "Degraded", "SyncProgress", "Devices"},
        },
        {},
};

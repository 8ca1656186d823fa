/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/pool-raid.h"

#include <inttypes.h>

#include "common/bus-dict.h"
#include "common/def-util.h"
#include "common/pool-check.h"

#define CHUNK_MIN UINT64_C(4096)
#define CHUNK_MAX (UINT64_C(1) << 30)
/* md(4): the superblock has this many bytes for an array's name. */
#define ARRAY_NAME_MAX 32U
#define ARRAY_NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+"

static const struct {
        const char *name;
        size_t members; /* at least, without spares */
        bool spares;
} levels[] = {
        {"raid0", 2, false}, {"raid1", 2, true}, {"raid4", 3, true},
        {"raid5", 3, true},  {"raid6", 4, true}, {"raid10", 2, true},
};

void pool_raid_done(PoolRaid *raid)
{
        free(raid->level);
        pool_devices_free(raid->members, raid->n_members);
        *raid = (PoolRaid){0};
}

int pool_raid_copy(PoolRaid *to, const PoolRaid *from)
{
        int r;

        r = free_and_strdup(&to->level, from->level);
        if (r < 0)
                return r;
        to->spares = from->spares;
        to->chunk_size = from->chunk_size;
        return pool_devices_copy(from->members, from->n_members, &to->members, &to->n_members);
}

bool pool_raid_equal(const PoolRaid *a, const PoolRaid *b)
{
        return streq_ptr(a->level, b->level) && a->spares == b->spares && a->chunk_size == b->chunk_size &&
               pool_devices_equal(a->members, a->n_members, b->members, b->n_members);
}

int pool_raid_add_member(PoolRaid *raid, const char *path, sd_bus_error *error)
{
        PoolDevice *grown;
        char *copy;

        if (raid->n_members >= DEF_LIST_MAX)
                return def_invalid(error, "The array has more than %u devices", DEF_LIST_MAX);
        grown = reallocarray(raid->members, raid->n_members + 1, sizeof(PoolDevice));
        if (!grown)
                return -ENOMEM;
        raid->members = grown;
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        grown[raid->n_members++] = (PoolDevice){.path = copy};
        return 0;
}

/* The array's own device: what the pool is made on. */
static int check_array(PoolDef *def, sd_bus_error *error)
{
        PoolSource *s = &def->source;
        const char *name;

        if (s->n_devices > 1)
                return def_invalid(error,
                                   "A pool on an array has one source device, the array's own, and not "
                                   "%zu: the array's devices are said in its raid part",
                                   s->n_devices);
        if (s->n_devices == 0) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "/dev/md/%s", def->name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                s->devices = calloc(1, sizeof(PoolDevice));
                if (!s->devices)
                        return -ENOMEM;
                s->devices[0].path = TAKE_PTR(path);
                s->n_devices = 1;
        }
        name = startswith(s->devices[0].path, "/dev/md/");
        if (!name)
                name = startswith(s->devices[0].path, "/dev/md");
        if (!isempty(name) && strlen(name) <= ARRAY_NAME_MAX && !strchr("-.", name[0]) &&
            name[strspn(name, ARRAY_NAME_CHARS)] == 0)
                return 0;
        return def_invalid(error,
                           "'%.100s' cannot be an array's device: it is /dev/md/ and a name of at most %u "
                           "letters, digits and _+-. characters; give one as the source device",
                           s->devices[0].path, ARRAY_NAME_MAX);
}

static int check_members(const PoolDef *def, sd_bus_error *error)
{
        const PoolRaid *raid = &def->raid;
        int r;

        if (raid->n_members > DEF_LIST_MAX)
                return def_invalid(error, "The array has more than %u devices", DEF_LIST_MAX);
        for (size_t i = 0; i < raid->n_members; i++) {
                const char *path = raid->members[i].path;

                r = pool_check_device(POOL_DISK, &raid->members[i], error);
                if (r < 0)
                        return r;
                if (raid->members[i].part_separator_set)
                        return def_invalid(error, "The array's device '%s' has a part_separator", path);
                if (streq(path, def->source.devices[0].path))
                        return def_invalid(error, "The array '%s' cannot be made of itself", path);
                for (size_t j = 0; j < i; j++) {
                        if (streq(path, raid->members[j].path))
                                return def_invalid(error, "The array has the device '%s' twice", path);
                }
        }
        return 0;
}

static int check_level(const PoolRaid *raid, sd_bus_error *error)
{
        size_t members = raid->n_members - raid->spares;

        for (size_t i = 0; i < ELEMENTSOF(levels); i++) {
                if (!streq(levels[i].name, raid->level))
                        continue;
                if (raid->spares > 0 && !levels[i].spares)
                        return def_invalid(error, "An array of level %s has no spares", raid->level);
                if (members < levels[i].members)
                        return def_invalid(error,
                                           "An array of level %s needs at least %zu devices besides its "
                                           "spares, not %zu",
                                           raid->level, levels[i].members, members);
                return 0;
        }
        return def_invalid(
                error,
                "'%.100s' is not a level of arrays: they have raid0, raid1, raid4, raid5, raid6, raid10",
                raid->level);
}

int pool_check_raid(PoolDef *def, sd_bus_error *error)
{
        const PoolRaid *raid = &def->raid;
        int r;

        if (!raid->level) {
                if (raid->n_members > 0 || raid->spares > 0 || raid->chunk_size > 0)
                        return def_invalid(error, "The array of the pool '%s' has no level", def->name);
                return 0;
        }
        if (!pool_type_info(def->type)->raid)
                return def_invalid(error,
                                   "Pools of type %s have no array beneath them: fs, logical and disk may",
                                   pool_type_to_string(def->type));
        if (raid->spares > raid->n_members)
                return def_invalid(error,
                                   "The array of the pool '%s' has %" PRIu32 " spares, but only %zu devices",
                                   def->name, raid->spares, raid->n_members);
        if (raid->chunk_size > 0 && (raid->chunk_size < CHUNK_MIN || raid->chunk_size > CHUNK_MAX ||
                                     (raid->chunk_size & (raid->chunk_size - 1))))
                return def_invalid(error,
                                   "The array's chunk size %" PRIu64
                                   " is not a power of two from 4096 to 1073741824 bytes",
                                   raid->chunk_size);
        r = check_level(raid, error);
        if (r < 0)
                return r;
        r = check_array(def, error);
        return r < 0 ? r : check_members(def, error);
}

typedef struct RaidReader {
        PoolRaid *raid;
        unsigned seen;
        sd_bus_error *error;
} RaidReader;

static int read_level(sd_bus_message *m, RaidReader *d)
{
        const char *s;
        int r;

        r = sd_bus_message_read(m, "v", "s", &s);
        return r < 0 ? r : free_and_strdup(&d->raid->level, isempty(s) ? NULL : s);
}

static int read_devices(sd_bus_message *m, RaidReader *d)
{
        const char *path;
        int r;

        r = bus_dict_enter_array(m, "as");
        while (r >= 0 && (r = sd_bus_message_read_basic(m, 's', &path)) > 0)
                r = pool_raid_add_member(d->raid, path, d->error);
        return r < 0 ? r : bus_dict_exit_array(m);
}

static int read_spares(sd_bus_message *m, RaidReader *d)
{
        return sd_bus_message_read(m, "v", "u", &d->raid->spares);
}

static int read_chunk_size(sd_bus_message *m, RaidReader *d)
{
        return sd_bus_message_read(m, "v", "t", &d->raid->chunk_size);
}

static const struct {
        const char *key, *signature;
        int (*read)(sd_bus_message *m, RaidReader *d);
} raid_keys[] = {
        {"level", "s", read_level},
        {"devices", "as", read_devices},
        {"spares", "u", read_spares},
        {"chunk-size", "t", read_chunk_size},
};

static int read_entry(sd_bus_message *m, const char *key, void *userdata)
{
        RaidReader *d = userdata;
        const char *contents;
        size_t i = 0;
        char type;
        int r;

        while (i < ELEMENTSOF(raid_keys) && !streq(raid_keys[i].key, key))
                i++;
        if (i == ELEMENTSOF(raid_keys))
                return def_invalid(d->error, "Unknown key '%.100s' in 'raid'", key);
        if (d->seen & 1U << i)
                return def_invalid(d->error, "The key '%s' is given twice in 'raid'", key);
        d->seen |= 1U << i;
        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (!streq(contents, raid_keys[i].signature))
                return def_invalid(d->error, "The key '%s' of 'raid' has type '%.32s' instead of '%s'", key,
                                   contents, raid_keys[i].signature);
        return raid_keys[i].read(m, d);
}

int pool_raid_read_dict(sd_bus_message *m, PoolRaid *raid, sd_bus_error *error)
{
        RaidReader d = {.raid = raid, .error = error};

        return bus_dict_read(m, read_entry, &d);
}

int pool_raid_append_entry(const PoolRaid *raid, sd_bus_message *m)
{
        int r;

        if (!raid->level)
                return 0;
        r = bus_dict_open_array(m, "raid", "a{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "level", "s", raid->level);
        if (r >= 0)
                r = bus_dict_open_array(m, "devices", "as");
        for (size_t i = 0; r >= 0 && i < raid->n_members; i++)
                r = sd_bus_message_append(m, "s", raid->members[i].path);
        if (r >= 0)
                r = bus_dict_close_array(m);
        if (r >= 0 && raid->spares > 0)
                r = sd_bus_message_append(m, "{sv}", "spares", "u", raid->spares);
        if (r >= 0 && raid->chunk_size > 0)
                r = sd_bus_message_append(m, "{sv}", "chunk-size", "t", raid->chunk_size);
        return r < 0 ? r : bus_dict_close_array(m);
}

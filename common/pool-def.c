/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/pool-def.h"

#include <ctype.h>
#include <limits.h>
#include <sys/random.h>

#include "common/def-util.h"
#include "common/pool-raid.h"

static const size_t pool_strings[] = {
        offsetof(PoolDef, name),
        offsetof(PoolDef, uuid),
        offsetof(PoolDef, source.dir),
        offsetof(PoolDef, source.name),
        offsetof(PoolDef, source.format),
        offsetof(PoolDef, source.protocol_version),
        offsetof(PoolDef, source.vendor),
        offsetof(PoolDef, source.product),
        offsetof(PoolDef, source.initiator_iqn),
        offsetof(PoolDef, source.auth.username),
        offsetof(PoolDef, source.auth.secret_uuid),
        offsetof(PoolDef, source.auth.secret_usage),
        offsetof(PoolDef, source.adapter.name),
        offsetof(PoolDef, source.adapter.parent),
        offsetof(PoolDef, source.adapter.parent_wwnn),
        offsetof(PoolDef, source.adapter.parent_wwpn),
        offsetof(PoolDef, source.adapter.parent_fabric_wwn),
        offsetof(PoolDef, source.adapter.wwnn),
        offsetof(PoolDef, source.adapter.wwpn),
        offsetof(PoolDef, target_path),
        offsetof(PoolDef, permissions.label),
};

PoolDef *pool_def_new(PoolType type)
{
        PoolDef *def = calloc(1, sizeof(*def));

        if (!def)
                return NULL;
        def->type = type;
        def->cow = TRISTATE_UNSET;
        def->permissions = PERMISSIONS_UNSET;
        return def;
}

PoolDef *pool_def_free(PoolDef *def)
{
        if (!def)
                return NULL;
        for (size_t i = 0; i < def->source.n_hosts; i++)
                free(def->source.hosts[i].name);
        free(def->source.hosts);
        pool_devices_free(def->source.devices, def->source.n_devices);
        pool_raid_done(&def->raid);
        strv_free(def->mount_options);
        def_strings_free(def, pool_strings, ELEMENTSOF(pool_strings));
        free(def);
        return NULL;
}

static int copy_hosts(PoolSource *to, const PoolSource *from)
{
        if (from->n_hosts == 0)
                return 0;
        to->hosts = calloc(from->n_hosts, sizeof(PoolHost));
        if (!to->hosts)
                return -ENOMEM;
        for (; to->n_hosts < from->n_hosts; to->n_hosts++) {
                PoolHost *h = &to->hosts[to->n_hosts];

                h->port = from->hosts[to->n_hosts].port;
                h->name = strdup(from->hosts[to->n_hosts].name);
                if (!h->name)
                        return -ENOMEM;
        }
        return 0;
}

void pool_devices_free(PoolDevice *devices, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(devices[i].path);
        free(devices);
}

int pool_devices_copy(const PoolDevice *from, size_t n, PoolDevice **ret, size_t *ret_n)
{
        PoolDevice *copy;

        *ret = NULL;
        *ret_n = 0;
        if (n == 0)
                return 0;
        copy = *ret = calloc(n, sizeof(PoolDevice));
        if (!copy)
                return -ENOMEM;
        for (; *ret_n < n; (*ret_n)++) {
                copy[*ret_n] = from[*ret_n];
                copy[*ret_n].path = strdup(from[*ret_n].path);
                if (!copy[*ret_n].path)
                        return -ENOMEM;
        }
        return 0;
}

bool pool_devices_equal(const PoolDevice *a, size_t n_a, const PoolDevice *b, size_t n_b)
{
        if (n_a != n_b)
                return false;
        for (size_t i = 0; i < n_a; i++) {
                if (!streq(a[i].path, b[i].path) || a[i].part_separator_set != b[i].part_separator_set ||
                    a[i].part_separator != b[i].part_separator)
                        return false;
        }
        return true;
}

int pool_def_copy(const PoolDef *def, PoolDef **ret)
{
        _cleanup_(pool_def_freep) PoolDef *copy = calloc(1, sizeof(*copy));
        int r;

        if (!copy)
                return -ENOMEM;
        *copy = *def;
        copy->source.hosts = NULL;
        copy->source.n_hosts = 0;
        copy->source.devices = NULL;
        copy->source.n_devices = 0;
        copy->raid = (PoolRaid){0};
        copy->mount_options = NULL;
        r = def_strings_copy(copy, def, pool_strings, ELEMENTSOF(pool_strings));
        if (r >= 0)
                r = copy_hosts(&copy->source, &def->source);
        if (r >= 0)
                r = pool_devices_copy(def->source.devices, def->source.n_devices, &copy->source.devices,
                                      &copy->source.n_devices);
        if (r >= 0)
                r = pool_raid_copy(&copy->raid, &def->raid);
        if (r >= 0)
                r = strv_copy(def->mount_options, &copy->mount_options);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

static bool hosts_equal(const PoolSource *a, const PoolSource *b)
{
        if (a->n_hosts != b->n_hosts)
                return false;
        for (size_t i = 0; i < a->n_hosts; i++) {
                if (a->hosts[i].port != b->hosts[i].port || !streq(a->hosts[i].name, b->hosts[i].name))
                        return false;
        }
        return true;
}

static bool adapters_equal(const PoolAdapter *a, const PoolAdapter *b)
{
        return a->type == b->type && a->managed_set == b->managed_set && a->managed == b->managed &&
               a->parentaddr == b->parentaddr && a->parentaddr_unique_id == b->parentaddr_unique_id &&
               a->parentaddr_domain == b->parentaddr_domain && a->parentaddr_bus == b->parentaddr_bus &&
               a->parentaddr_slot == b->parentaddr_slot && a->parentaddr_function == b->parentaddr_function;
}

bool pool_def_equal(const PoolDef *a, const PoolDef *b)
{
        for (size_t i = 0; i < ELEMENTSOF(pool_strings); i++) {
                if (pool_strings[i] == offsetof(PoolDef, uuid) && (!a->uuid || !b->uuid))
                        continue;
                if (!def_strings_equal(a, b, &pool_strings[i], 1))
                        return false;
        }
        return a->type == b->type && a->cow == b->cow && a->refresh_allocation == b->refresh_allocation &&
               a->permissions.mode == b->permissions.mode && a->permissions.owner == b->permissions.owner &&
               a->permissions.group == b->permissions.group && a->source.auth.type == b->source.auth.type &&
               adapters_equal(&a->source.adapter, &b->source.adapter) &&
               hosts_equal(&a->source, &b->source) && pool_raid_equal(&a->raid, &b->raid) &&
               pool_devices_equal(a->source.devices, a->source.n_devices, b->source.devices,
                                  b->source.n_devices) &&
               strv_equal(a->mount_options, b->mount_options);
}

int pool_name_validate(const char *name, sd_bus_error *error)
{
        return def_check_name("pool", name, error);
}

int uuid_normalize(const char *s, char ret[static 37])
{
        size_t n = strlen(s), w = 0;

        if (n != 32 && n != 36)
                return -EINVAL;
        for (; *s; s++) {
                bool dash_follows = w == 8 || w == 13 || w == 18 || w == 23;

                if (dash_follows) {
                        ret[w++] = '-';
                        if (n == 36) {
                                if (*s != '-')
                                        return -EINVAL;
                                continue;
                        }
                }
                if (!isxdigit((unsigned char) *s))
                        return -EINVAL;
                ret[w++] = (char) tolower((unsigned char) *s);
        }
        ret[w] = 0;
        return 0;
}

void uuid_generate(char ret[static 37])
{
        uint8_t b[16];
        size_t w = 0;

        /* 16 bytes are never cut short, and the call waits for the pool of randomness at early boot. */
        while (getrandom(b, sizeof(b), 0) != sizeof(b))
                ;
        b[6] = (uint8_t) ((b[6] & 0x0f) | 0x40);
        b[8] = (uint8_t) ((b[8] & 0x3f) | 0x80);
        for (size_t i = 0; i < sizeof(b); i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        ret[w++] = '-';
                ret[w++] = "0123456789abcdef"[b[i] >> 4];
                ret[w++] = "0123456789abcdef"[b[i] & 0xf];
        }
        ret[w] = 0;
}

int path_normalize(const char *path, char **ret)
{
        _cleanup_free_ char *buf = NULL;
        size_t w = 0;

        if (path[0] != '/' || strlen(path) >= PATH_MAX)
                return -EINVAL;
        buf = malloc(strlen(path) + 2);
        if (!buf)
                return -ENOMEM;
        for (;;) {
                size_t n;

                path += strspn(path, "/");
                n = strcspn(path, "/");
                if (n == 0)
                        break;
                if (n == 2 && path[0] == '.' && path[1] == '.')
                        return -EINVAL;
                if (n != 1 || path[0] != '.') {
                        buf[w++] = '/';
                        memcpy(buf + w, path, n);
                        w += n;
                }
                path += n;
        }
        if (w == 0)
                buf[w++] = '/';
        buf[w] = 0;
        *ret = TAKE_PTR(buf);
        return 0;
}

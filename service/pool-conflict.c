/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/pool-conflict.h"

#include "service/device-id.h"

static bool same_host(const PoolDef *a, const PoolDef *b)
{
        for (size_t i = 0; i < a->source.n_hosts; i++) {
                for (size_t j = 0; j < b->source.n_hosts; j++) {
                        const PoolHost *x = &a->source.hosts[i], *y = &b->source.hosts[j];

                        if (streq_ptr(x->name, y->name) &&
                            (x->port == y->port || x->port == 0 || y->port == 0))
                                return true;
                }
        }
        return false;
}

/* One of what a definition claims: its i-th source device, or member of its array. NULL: that were all. */
static const char *claim(const PoolDef *def, size_t i)
{
        if (i < def->source.n_devices)
                return def->source.devices[i].path;
        i -= def->source.n_devices;
        return i < def->raid.n_members ? def->raid.members[i].path : NULL;
}

/* A device as it is looked for: what its links lead to is found out once. */
typedef struct Wanted {
        const char *path;
        dev_t id;
        bool has_id;
} Wanted;

static Wanted wanted_device(const char *path, bool follow)
{
        Wanted w = {.path = path};

        w.has_id = follow && device_id_get(path, &w.id);
        return w;
}

static bool same_wanted(const Wanted *a, const Wanted *b)
{
        return streq(a->path, b->path) || (a->has_id && b->has_id && a->id == b->id);
}

static const Wanted *find_wanted(const Wanted *wanted, size_t n, const char *path, bool follow)
{
        const Wanted w = wanted_device(path, follow);

        for (size_t i = 0; i < n; i++) {
                if (same_wanted(wanted + i, &w))
                        return wanted + i;
        }
        return NULL;
}

static bool same_device(const PoolDef *a, const PoolDef *b)
{
        for (size_t i = 0; i < a->source.n_devices; i++) {
                for (size_t j = 0; j < b->source.n_devices; j++) {
                        if (streq(a->source.devices[i].path, b->source.devices[j].path))
                                return true;
                }
        }
        return false;
}

static bool same_adapter(const PoolAdapter *a, const PoolAdapter *b)
{
        if (a->type != b->type || a->type == ADAPTER_NONE)
                return false;
        if (a->type == ADAPTER_FC_HOST)
                return streq_ptr(a->wwnn, b->wwnn) && streq_ptr(a->wwpn, b->wwpn);
        if (a->parentaddr || b->parentaddr)
                return a->parentaddr == b->parentaddr && a->parentaddr_domain == b->parentaddr_domain &&
                       a->parentaddr_bus == b->parentaddr_bus && a->parentaddr_slot == b->parentaddr_slot &&
                       a->parentaddr_function == b->parentaddr_function &&
                       a->parentaddr_unique_id == b->parentaddr_unique_id;
        return streq_ptr(a->name, b->name);
}

/* Both spellings, if they differ: people know one of them. */
static int device_conflict(const char *name, const char *path, const char *other_name,
                           const char *other_path, sd_bus_error *error)
{
        if (streq(path, other_path))
                return error_setf(error, STORAGE_ERROR_CONFLICT,
                                  "Pool '%s' would use the same device as pool '%s': %s", name, other_name,
                                  path);
        return error_setf(error, STORAGE_ERROR_CONFLICT,
                          "Pool '%s' would use the same device as pool '%s': %s is the same as %s", name,
                          other_name, path, other_path);
}

static bool on_block_devices(PoolType type)
{
        return pool_type_info(type)->block_devices;
}

/* What a definition claims, to be compared with many others. */
typedef struct Claims {
        const PoolDef *def;
        Wanted *wanted;
        size_t n;
        bool follow;
} Claims;

static void claims_done(Claims *c)
{
        free(c->wanted);
}

static int claims_init(Claims *c, const PoolDef *def, bool follow)
{
        *c = (Claims){.def = def, .follow = follow};
        if (!on_block_devices(def->type))
                return 0;
        c->wanted = calloc(def->source.n_devices + def->raid.n_members + 1, sizeof(Wanted));
        if (!c->wanted)
                return -ENOMEM;
        for (const char *path; (path = claim(def, c->n)); c->n++)
                c->wanted[c->n] = wanted_device(path, follow);
        return 0;
}

/* Across types: what one of them writes to, the other must not. */
static int check_devices(const Claims *c, const PoolDef *other, sd_bus_error *error)
{
        const char *path;

        if (!on_block_devices(other->type) || c->n == 0)
                return 0;
        for (size_t i = 0; (path = claim(other, i)); i++) {
                const Wanted *w = find_wanted(c->wanted, c->n, path, c->follow);

                if (w)
                        return device_conflict(c->def->name, w->path, other->name, path, error);
        }
        return 0;
}

/* What both would claim, for people; NULL: nothing. */
static const char *same_storage(const PoolDef *a, const PoolDef *b)
{
        if (a->type != b->type)
                return NULL;
        switch (a->type) {
        case POOL_DIR:
                return streq_ptr(a->target_path, b->target_path) ? "target path" : NULL;
        case POOL_NETFS:
        case POOL_GLUSTER:
                return same_host(a, b) && streq_ptr(a->source.dir, b->source.dir) &&
                                       streq_ptr(a->source.name, b->source.name)
                               ? "source host and directory"
                               : NULL;
        case POOL_LOGICAL:
                return streq_ptr(a->source.name, b->source.name) ? "volume group" : NULL;
        case POOL_ISCSI:
        case POOL_ISCSI_DIRECT:
                return same_device(a, b) && streq_ptr(a->source.initiator_iqn, b->source.initiator_iqn)
                               ? "iSCSI target and initiator"
                               : NULL;
        case POOL_SCSI:
                return same_adapter(&a->source.adapter, &b->source.adapter) ? "SCSI adapter" : NULL;
        case POOL_MPATH:
                return "multipath devices";
        default:
                return NULL;
        }
}

static int check_against(const Claims *c, const PoolDef *other, sd_bus_error *error)
{
        const PoolDef *def = c->def;
        const char *what;
        int r;

        if (streq(def->name, other->name))
                return sd_bus_error_setf(
                        error, STORAGE_ERROR_EXISTS,
                        "A pool named '%s' exists already, with UUID %s; update it, or choose "
                        "another name",
                        def->name, other->uuid);
        if (def->uuid && streq(def->uuid, other->uuid))
                return sd_bus_error_setf(error, STORAGE_ERROR_EXISTS,
                                         "UUID %s belongs to pool '%s'; leave the UUID out to get a new one",
                                         def->uuid, other->name);
        r = check_devices(c, other, error);
        if (r < 0)
                return r;
        what = same_storage(def, other);
        if (!what)
                return 0;
        return sd_bus_error_setf(error, STORAGE_ERROR_CONFLICT,
                                 "Pool '%s' would use the same storage as pool '%s' (%s: %s)", def->name,
                                 other->name, what, strempty(def->target_path));
}

int pool_conflict_check(Manager *m, const PoolDef *def, const Pool *same, bool follow, sd_bus_error *error)
{
        _cleanup_(claims_done) Claims claims;
        Pool *other;
        int r;

        r = claims_init(&claims, def, follow);
        if (r < 0)
                return r;
        TAILQ_FOREACH (other, &m->pools, entry) {
                if (other == same)
                        continue;
                r = check_against(&claims, other->def, error);
                if (r >= 0 && other->pending)
                        r = check_against(&claims, other->pending, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int pool_conflict_check_now(const Pool *pool, bool running, sd_bus_error *error)
{
        _cleanup_(claims_done) Claims claims;
        Pool *other;
        int r;

        r = claims_init(&claims, pool->def, true);
        if (r < 0)
                return r;
        TAILQ_FOREACH (other, &pool->manager->pools, entry) {
                if (other == pool || (running && other->state == POOL_INACTIVE && !other->adopting))
                        continue;
                r = check_devices(&claims, other->def, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

typedef struct DeviceClaim {
        Wanted device;
        const Pool *pool;
} DeviceClaim;

struct DeviceClaims {
        size_t n;
        DeviceClaim claims[];
};

static size_t count_claims(const PoolDef *def)
{
        return def && on_block_devices(def->type) ? def->source.n_devices + def->raid.n_members : 0;
}

static void add_claims(DeviceClaims *c, const Pool *pool, const PoolDef *def)
{
        for (size_t i = 0; i < count_claims(def); i++)
                c->claims[c->n++] = (DeviceClaim){wanted_device(claim(def, i), true), pool};
}

int device_claims_new(Manager *m, const Pool *except, DeviceClaims **ret)
{
        DeviceClaims *c;
        Pool *pool;
        size_t n = 0;

        TAILQ_FOREACH (pool, &m->pools, entry) {
                n += count_claims(pool->def) + count_claims(pool->pending);
        }
        c = calloc(1, sizeof(DeviceClaims) + n * sizeof(DeviceClaim));
        if (!c)
                return -ENOMEM;
        TAILQ_FOREACH (pool, &m->pools, entry) {
                if (pool == except)
                        continue;
                add_claims(c, pool, pool->def);
                add_claims(c, pool, pool->pending);
        }
        *ret = c;
        return 0;
}

DeviceClaims *device_claims_free(DeviceClaims *c)
{
        free(c);
        return NULL;
}

const Pool *device_claims_find(const DeviceClaims *c, const char *device, const char **ret_path)
{
        const Wanted wanted = wanted_device(device, true);

        for (size_t i = 0; i < c->n; i++) {
                if (!same_wanted(&c->claims[i].device, &wanted))
                        continue;
                if (ret_path)
                        *ret_path = c->claims[i].device.path;
                return c->claims[i].pool;
        }
        return NULL;
}

int pool_conflict_check_device(Manager *m, const char *device, const Pool *same, sd_bus_error *error)
{
        _cleanup_(device_claims_freep) DeviceClaims *claims = NULL;
        const Pool *other;
        const char *path;
        int r;

        r = device_claims_new(m, same, &claims);
        if (r < 0)
                return r;
        other = device_claims_find(claims, device, &path);
        return other ? device_conflict(same->def->name, device, other->def->name, path, error) : 0;
}

static bool has_group(const PoolDef *def, const char *name)
{
        return def && def->type == POOL_LOGICAL && streq_ptr(def->source.name, name);
}

const Pool *pool_conflict_find_group(Manager *m, const char *name)
{
        Pool *pool;

        TAILQ_FOREACH (pool, &m->pools, entry) {
                if (has_group(pool->def, name) || has_group(pool->pending, name))
                        return pool;
        }
        return NULL;
}

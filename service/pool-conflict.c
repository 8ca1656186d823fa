/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/pool-conflict.h"

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

static bool on_block_devices(PoolType type)
{
        return type == POOL_FS || type == POOL_LOGICAL || type == POOL_DISK;
}

/* What both would claim, for people; NULL: nothing. */
static const char *same_storage(const PoolDef *a, const PoolDef *b)
{
        if (on_block_devices(a->type) && on_block_devices(b->type) && same_device(a, b))
                return "source device";
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

static int check_against(const PoolDef *def, const PoolDef *other, sd_bus_error *error)
{
        const char *what;

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
        what = same_storage(def, other);
        if (!what)
                return 0;
        return sd_bus_error_setf(error, STORAGE_ERROR_CONFLICT,
                                 "Pool '%s' would use the same storage as pool '%s' (%s: %s)", def->name,
                                 other->name, what, strempty(def->target_path));
}

int pool_conflict_check(Manager *m, const PoolDef *def, const Pool *same, sd_bus_error *error)
{
        Pool *other;
        int r;

        TAILQ_FOREACH (other, &m->pools, entry) {
                if (other == same)
                        continue;
                r = check_against(def, other->def, error);
                if (r >= 0 && other->pending)
                        r = check_against(def, other->pending, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

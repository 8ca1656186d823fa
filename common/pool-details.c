/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/pool-details.h"

#include "common/bus-dict.h"

#define THIN_POOL_SIGNATURE "(stttt)"
#define FREE_EXTENT_SIGNATURE "(tt)"
#define RAID_MEMBER_SIGNATURE "(ss)"

void pool_details_done(PoolDetails *d)
{
        free(d->volume_group);
        for (size_t i = 0; i < d->n_thin_pools; i++)
                free(d->thin_pools[i].name);
        free(d->thin_pools);
        free(d->free_extents);
        free(d->raid_level);
        free(d->raid_action);
        for (size_t i = 0; i < d->n_raid_members; i++) {
                free(d->raid_members[i].path);
                free(d->raid_members[i].state);
        }
        free(d->raid_members);
        free(d->real_path);
        *d = (PoolDetails){0};
}

static bool thin_pools_equal(const PoolDetails *a, const PoolDetails *b)
{
        if (a->n_thin_pools != b->n_thin_pools)
                return false;
        for (size_t i = 0; i < a->n_thin_pools; i++) {
                const ThinPool *x = a->thin_pools + i, *y = b->thin_pools + i;

                if (!streq_ptr(x->name, y->name) || x->capacity != y->capacity ||
                    x->allocation != y->allocation || x->metadata_capacity != y->metadata_capacity ||
                    x->metadata_allocation != y->metadata_allocation)
                        return false;
        }
        return true;
}

static bool free_extents_equal(const PoolDetails *a, const PoolDetails *b)
{
        if (a->n_free_extents != b->n_free_extents)
                return false;
        for (size_t i = 0; i < a->n_free_extents; i++) {
                if (a->free_extents[i].start != b->free_extents[i].start ||
                    a->free_extents[i].end != b->free_extents[i].end)
                        return false;
        }
        return true;
}

static bool raid_equal(const PoolDetails *a, const PoolDetails *b)
{
        if (!streq_ptr(a->raid_level, b->raid_level) || !streq_ptr(a->raid_action, b->raid_action) ||
            a->raid_degraded != b->raid_degraded || a->raid_progress < b->raid_progress ||
            a->raid_progress > b->raid_progress || a->n_raid_members != b->n_raid_members)
                return false;
        for (size_t i = 0; i < a->n_raid_members; i++) {
                if (!streq_ptr(a->raid_members[i].path, b->raid_members[i].path) ||
                    !streq_ptr(a->raid_members[i].state, b->raid_members[i].state))
                        return false;
        }
        return true;
}

unsigned pool_details_compare(const PoolDetails *a, const PoolDetails *b)
{
        unsigned parts = 0;

        if (!streq_ptr(a->volume_group, b->volume_group) || a->extent_size != b->extent_size ||
            !thin_pools_equal(a, b))
                parts |= DETAILS_LOGICAL;
        if (!free_extents_equal(a, b))
                parts |= DETAILS_DISK;
        if (!raid_equal(a, b))
                parts |= DETAILS_RAID;
        if (a->shares_blocks != b->shares_blocks)
                parts |= DETAILS_FILES;
        if (!streq_ptr(a->real_path, b->real_path))
                parts |= DETAILS_PATH;
        return parts;
}

static size_t bounded(size_t n)
{
        return n < DETAILS_LIST_MAX ? n : DETAILS_LIST_MAX;
}

static int append_thin_pools(const PoolDetails *d, sd_bus_message *m)
{
        int r;

        if (d->n_thin_pools == 0)
                return 0;
        r = bus_dict_open_array(m, "thin-pools", "a" THIN_POOL_SIGNATURE);
        for (size_t i = 0; r >= 0 && i < bounded(d->n_thin_pools); i++) {
                const ThinPool *t = d->thin_pools + i;

                r = sd_bus_message_append(m, THIN_POOL_SIGNATURE, strempty(t->name), t->capacity,
                                          t->allocation, t->metadata_capacity, t->metadata_allocation);
        }
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_free_extents(const PoolDetails *d, sd_bus_message *m)
{
        int r;

        if (d->n_free_extents == 0)
                return 0;
        r = bus_dict_open_array(m, "free-extents", "a" FREE_EXTENT_SIGNATURE);
        for (size_t i = 0; r >= 0 && i < bounded(d->n_free_extents); i++)
                r = sd_bus_message_append(m, FREE_EXTENT_SIGNATURE, d->free_extents[i].start,
                                          d->free_extents[i].end);
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_raid_members(const PoolDetails *d, sd_bus_message *m)
{
        int r;

        if (d->n_raid_members == 0)
                return 0;
        r = bus_dict_open_array(m, "raid-members", "a" RAID_MEMBER_SIGNATURE);
        for (size_t i = 0; r >= 0 && i < bounded(d->n_raid_members); i++)
                r = sd_bus_message_append(m, RAID_MEMBER_SIGNATURE, strempty(d->raid_members[i].path),
                                          strempty(d->raid_members[i].state));
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_raid(const PoolDetails *d, sd_bus_message *m)
{
        int r;

        if (!d->raid_level)
                return 0;
        r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "raid-level", "s", d->raid_level, "raid-action",
                                  "s", strempty(d->raid_action), "raid-degraded", "u", d->raid_degraded,
                                  "raid-progress", "d", d->raid_progress);
        return r < 0 ? r : append_raid_members(d, m);
}

int pool_details_append(const PoolDetails *d, sd_bus_message *m)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && d->volume_group)
                r = sd_bus_message_append(m, "{sv}{sv}", "volume-group", "s", d->volume_group, "extent-size",
                                          "t", d->extent_size);
        if (r >= 0)
                r = append_thin_pools(d, m);
        if (r >= 0)
                r = append_free_extents(d, m);
        if (r >= 0)
                r = append_raid(d, m);
        if (r >= 0 && d->shares_blocks)
                r = sd_bus_message_append(m, "{sv}", "shares-blocks", "b", 1);
        if (r >= 0 && d->real_path)
                r = sd_bus_message_append(m, "{sv}", "real-path", "s", d->real_path);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int read_thin_pool(sd_bus_message *m, PoolDetails *d)
{
        ThinPool *grown, t = {0};
        const char *name;
        int r;

        r = sd_bus_message_read(m, THIN_POOL_SIGNATURE, &name, &t.capacity, &t.allocation,
                                &t.metadata_capacity, &t.metadata_allocation);
        if (r <= 0 || d->n_thin_pools >= DETAILS_LIST_MAX)
                return r;
        grown = reallocarray(d->thin_pools, d->n_thin_pools + 1, sizeof(ThinPool));
        if (!grown)
                return -ENOMEM;
        d->thin_pools = grown;
        t.name = strdup(name);
        grown[d->n_thin_pools++] = t;
        return t.name ? 1 : -ENOMEM;
}

static int read_free_extent(sd_bus_message *m, PoolDetails *d)
{
        FreeExtent *grown, e;
        int r;

        r = sd_bus_message_read(m, FREE_EXTENT_SIGNATURE, &e.start, &e.end);
        if (r <= 0 || d->n_free_extents >= DETAILS_LIST_MAX)
                return r;
        grown = reallocarray(d->free_extents, d->n_free_extents + 1, sizeof(FreeExtent));
        if (!grown)
                return -ENOMEM;
        d->free_extents = grown;
        grown[d->n_free_extents++] = e;
        return 1;
}

static int read_raid_member(sd_bus_message *m, PoolDetails *d)
{
        const char *path, *state;
        RaidMember *grown, *member;
        int r;

        r = sd_bus_message_read(m, RAID_MEMBER_SIGNATURE, &path, &state);
        if (r <= 0 || d->n_raid_members >= DETAILS_LIST_MAX)
                return r;
        grown = reallocarray(d->raid_members, d->n_raid_members + 1, sizeof(RaidMember));
        if (!grown)
                return -ENOMEM;
        d->raid_members = grown;
        member = grown + d->n_raid_members++;
        *member = (RaidMember){.path = strdup(path), .state = strdup(state)};
        return member->path && member->state ? 1 : -ENOMEM;
}

static int read_string(sd_bus_message *m, char **ret)
{
        const char *s;
        int r;

        r = sd_bus_message_read(m, "v", "s", &s);
        return r < 0 ? r : free_and_strdup(ret, s);
}

/* The lists by their key. */
static const struct {
        const char *key, *signature;
        int (*read)(sd_bus_message *m, PoolDetails *d);
} lists[] = {
        {"thin-pools", "a" THIN_POOL_SIGNATURE, read_thin_pool},
        {"free-extents", "a" FREE_EXTENT_SIGNATURE, read_free_extent},
        {"raid-members", "a" RAID_MEMBER_SIGNATURE, read_raid_member},
};

static int read_entry(sd_bus_message *m, const char *key, void *userdata)
{
        PoolDetails *d = userdata;
        int r, b;

        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                if (!streq(lists[i].key, key))
                        continue;
                r = bus_dict_enter_array(m, lists[i].signature);
                while (r >= 0 && (r = lists[i].read(m, d)) > 0)
                        ;
                return r < 0 ? r : bus_dict_exit_array(m);
        }
        if (streq(key, "volume-group"))
                return read_string(m, &d->volume_group);
        if (streq(key, "extent-size"))
                return sd_bus_message_read(m, "v", "t", &d->extent_size);
        if (streq(key, "raid-level"))
                return read_string(m, &d->raid_level);
        if (streq(key, "raid-action"))
                return read_string(m, &d->raid_action);
        if (streq(key, "raid-degraded"))
                return sd_bus_message_read(m, "v", "u", &d->raid_degraded);
        if (streq(key, "raid-progress"))
                return sd_bus_message_read(m, "v", "d", &d->raid_progress);
        if (streq(key, "real-path"))
                return read_string(m, &d->real_path);
        if (streq(key, "shares-blocks")) {
                r = sd_bus_message_read(m, "v", "b", &b);
                d->shares_blocks = r >= 0 && b;
                return r;
        }
        return sd_bus_message_skip(m, "v");
}

int pool_details_read(sd_bus_message *m, PoolDetails *ret)
{
        PoolDetails d = {0};
        int r;

        r = bus_dict_read(m, read_entry, &d);
        if (r < 0) {
                pool_details_done(&d);
                return r;
        }
        *ret = d;
        return 0;
}

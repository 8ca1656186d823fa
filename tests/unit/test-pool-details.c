/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef NDEBUG
#include <assert.h>

#include "bus-message.h"
#include "common/pool-details.h"

static PoolDetails full_details(void)
{
        PoolDetails d = {
                .volume_group = strdup("vg"),
                .extent_size = 4194304,
                .n_thin_pools = 2,
                .n_free_extents = 2,
                .raid_level = strdup("raid1"),
                .raid_action = strdup("recover"),
                .raid_degraded = 1,
                .raid_progress = 0.25,
                .shares_blocks = true,
                .real_path = strdup("/srv"),
                .n_raid_members = 2,
        };

        d.thin_pools = calloc(2, sizeof(ThinPool));
        d.free_extents = calloc(2, sizeof(FreeExtent));
        d.raid_members = calloc(2, sizeof(RaidMember));
        assert(d.thin_pools && d.free_extents && d.raid_members);
        d.thin_pools[0] = (ThinPool){strdup("one"), 1, 2, 3, 4};
        d.thin_pools[1] = (ThinPool){strdup("two"), UINT64_MAX, 0, 0, 0};
        d.free_extents[0] = (FreeExtent){1048576, 2097152};
        d.free_extents[1] = (FreeExtent){4194304, UINT64_MAX};
        d.raid_members[0] = (RaidMember){strdup("/dev/vdb"), strdup("active")};
        d.raid_members[1] = (RaidMember){strdup(""), strdup("missing")};
        return d;
}

static PoolDetails over_the_wire(const PoolDetails *d)
{
        _cleanup_bus_close_ sd_bus *bus = NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = unsent_message(&bus);
        PoolDetails read = {0};

        assert(pool_details_append(d, m) >= 0);
        seal_message(m);
        assert(pool_details_read(m, &read) == 0);
        assert(sd_bus_message_at_end(m, true) > 0);
        return read;
}

static void test_wire(void)
{
        PoolDetails full = full_details(), empty = {0}, read;

        read = over_the_wire(&full);
        assert(pool_details_equal(&read, &full));
        assert(streq(read.volume_group, "vg") && streq(read.raid_members[1].state, "missing"));
        assert(read.thin_pools[0].metadata_allocation == 4 && read.free_extents[1].end == UINT64_MAX);
        pool_details_done(&read);
        assert(read.n_thin_pools == 0 && !read.thin_pools);
        read = over_the_wire(&empty);
        assert(pool_details_equal(&read, &empty));
        pool_details_done(&full);
}

static void test_bounds(void)
{
        PoolDetails d = {.n_free_extents = DETAILS_LIST_MAX + 1}, read;

        d.free_extents = calloc(d.n_free_extents, sizeof(FreeExtent));
        assert(d.free_extents);
        read = over_the_wire(&d);
        assert(read.n_free_extents == DETAILS_LIST_MAX);
        pool_details_done(&read);
        pool_details_done(&d);
}

static void test_unknown_keys(void)
{
        _cleanup_bus_close_ sd_bus *bus = NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = unsent_message(&bus);
        PoolDetails read = {0};

        assert(sd_bus_message_append(m, "a{sv}", 2, "of-tomorrow", "as", 1, "x", "extent-size", "t",
                                     UINT64_C(7)) >= 0);
        seal_message(m);
        assert(pool_details_read(m, &read) == 0 && read.extent_size == 7);
        pool_details_done(&read);
}

static void test_nonsense(void)
{
        _cleanup_bus_close_ sd_bus *bus = NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = unsent_message(&bus);
        PoolDetails read = {0};

        assert(sd_bus_message_append(m, "a{sv}", 2, "volume-group", "s", "vg", "thin-pools", "as", 1, "x") >=
               0);
        seal_message(m);
        assert(pool_details_read(m, &read) < 0 && !read.volume_group);
}

static void test_compare(void)
{
        PoolDetails a = full_details(), b = full_details();

        assert(pool_details_compare(&a, &b) == 0);
        b.thin_pools[1].metadata_capacity++;
        assert(pool_details_compare(&a, &b) == DETAILS_LOGICAL);
        b.thin_pools[1].metadata_capacity--;
        b.extent_size++;
        assert(pool_details_compare(&a, &b) == DETAILS_LOGICAL);
        b.extent_size--;
        b.n_free_extents--;
        assert(pool_details_compare(&a, &b) == DETAILS_DISK);
        b.n_free_extents++;
        b.free_extents[0].end--;
        assert(pool_details_compare(&a, &b) == DETAILS_DISK);
        b.free_extents[0].end++;
        b.raid_progress = 0.5;
        assert(pool_details_compare(&a, &b) == DETAILS_RAID);
        b.raid_progress = a.raid_progress;
        b.shares_blocks = false;
        assert(pool_details_compare(&a, &b) == DETAILS_FILES);
        b.shares_blocks = true;
        b.raid_members[0].state[0] = 'A';
        b.raid_degraded = 0;
        b.free_extents[0].start = 0;
        assert(pool_details_compare(&a, &b) == (DETAILS_RAID | DETAILS_DISK));
        pool_details_done(&a);
        pool_details_done(&b);
}

int main(void)
{
        test_wire();
        test_bounds();
        test_unknown_keys();
        test_nonsense();
        test_compare();
        return 0;
}

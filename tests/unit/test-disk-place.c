/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef NDEBUG
#include <assert.h>

#include "backends/disk-place.h"

#define MIB (UINT64_C(1024) * 1024)

/* A gpt of 1 GiB with what is in parts; freed by the caller. */
static DiskTable make_table(DiskTableType type, const DiskPartition *parts, size_t n)
{
        DiskTable t = {.type = type, .sector_size = 512, .first = 17408, .last = 1024 * MIB - 33 * 512};

        for (size_t i = 0; i < n; i++)
                assert(disk_table_add(&t, &parts[i]) == 0);
        return t;
}

static void test_empty(void)
{
        DiskTable t = make_table(TABLE_GPT, NULL, 0);
        _cleanup_free_ DiskSpace *spaces = NULL;
        uint64_t start, largest;
        size_t n;

        assert(disk_spaces(&t, &spaces, &n) == 0 && n == 1);
        assert(spaces[0].start == t.first && spaces[0].end == t.last && !spaces[0].logical);
        assert(disk_place(&t, spaces, n, false, MIB, MIB, &start, &largest) && start == MIB);
        assert(largest == t.last - MIB);
        assert(disk_place(&t, spaces, n, false, largest, MIB, &start, &largest) && start == MIB);
        assert(!disk_place(&t, spaces, n, false, largest + 512, MIB, &start, &largest));
        assert(!disk_place(&t, spaces, n, true, MIB, MIB, &start, &largest) && largest == 0);
        assert(disk_next_number(&t, false) == 1);
        disk_table_done(&t);
}

/* Of the holes that are large enough the smallest, although it is not the first. */
static void test_smallest(void)
{
        const DiskPartition parts[] = {
                {.number = 1, .start = 1 * MIB, .end = 100 * MIB},
                {.number = 3, .start = 150 * MIB, .end = 200 * MIB},
                {.number = 2, .start = 220 * MIB, .end = 300 * MIB},
                {.number = 5, .start = 310 * MIB + 512, .end = 400 * MIB},
        };
        DiskTable t = make_table(TABLE_GPT, parts, ELEMENTSOF(parts));
        _cleanup_free_ DiskSpace *spaces = NULL;
        uint64_t start, largest;
        size_t n;

        assert(disk_spaces(&t, &spaces, &n) == 0 && n == 5);
        assert(disk_place(&t, spaces, n, false, 20 * MIB, MIB, &start, &largest) && start == 200 * MIB);
        assert(disk_place(&t, spaces, n, false, 10 * MIB, MIB, &start, &largest) && start == 300 * MIB);
        assert(disk_place(&t, spaces, n, false, 21 * MIB, MIB, &start, &largest) && start == 100 * MIB);
        assert(disk_place(&t, spaces, n, false, 51 * MIB, MIB, &start, &largest) && start == 400 * MIB);
        /* Aligned to 16 MiB the hole from 300 on holds nothing. */
        assert(disk_place(&t, spaces, n, false, 10 * MIB, 16 * MIB, &start, &largest) && start == 208 * MIB);
        assert(disk_next_number(&t, false) == 4);
        assert(disk_grow_limit(&t, disk_table_find(&t, 1)) == 150 * MIB);
        assert(disk_grow_limit(&t, disk_table_find(&t, 2)) == 310 * MIB + 512);
        assert(disk_grow_limit(&t, disk_table_find(&t, 5)) == t.last);
        disk_table_done(&t);
}

static void test_logical(void)
{
        const DiskPartition parts[] = {
                {.number = 1, .start = 1 * MIB, .end = 10 * MIB},
                {.number = 2, .kind = PARTITION_EXTENDED, .start = 10 * MIB, .end = 100 * MIB},
                {.number = 5, .kind = PARTITION_LOGICAL, .start = 11 * MIB, .end = 20 * MIB},
                {.number = 6, .kind = PARTITION_LOGICAL, .start = 41 * MIB, .end = 60 * MIB},
        };
        DiskTable t = make_table(TABLE_DOS, parts, ELEMENTSOF(parts));
        _cleanup_free_ DiskSpace *spaces = NULL;
        uint64_t start, largest;
        size_t n;

        assert(disk_spaces(&t, &spaces, &n) == 0);
        assert(disk_place(&t, spaces, n, true, 10 * MIB, MIB, &start, &largest) && start == 21 * MIB);
        assert(disk_place(&t, spaces, n, true, 21 * MIB, MIB, &start, &largest) && start == 61 * MIB);
        assert(largest == 39 * MIB);
        assert(disk_place(&t, spaces, n, false, 20 * MIB, MIB, &start, &largest) && start == 100 * MIB);
        /* A sector is left for the record that leads to the next. */
        assert(disk_grow_limit(&t, disk_table_find(&t, 5)) == 41 * MIB - 512);
        assert(disk_grow_limit(&t, disk_table_find(&t, 6)) == 100 * MIB);
        assert(disk_grow_limit(&t, disk_table_find(&t, 1)) == 10 * MIB);
        assert(disk_grow_limit(&t, disk_table_find(&t, 2)) == t.last);
        assert(disk_next_number(&t, true) == 7);
        assert(disk_next_number(&t, false) == 3);
        disk_table_done(&t);
}

/* Spaces never touch a partition, whatever the order and size of these. */
static void test_random(void)
{
        for (unsigned seed = 1; seed < 200; seed++) {
                DiskTable t = make_table(TABLE_GPT, NULL, 0);

                srandom(seed);
                for (unsigned i = 1; i < 60; i++) {
                        uint64_t size = (uint64_t) (random() % 40 + 1) * 100 * 512, start, largest;
                        _cleanup_free_ DiskSpace *spaces = NULL;
                        size_t n;

                        assert(disk_spaces(&t, &spaces, &n) == 0);
                        if (!disk_place(&t, spaces, n, false, size, 512, &start, &largest))
                                break;
                        assert(start >= t.first && start + size <= t.last);
                        for (size_t k = 0; k < t.n_partitions; k++)
                                assert(start + size <= t.partitions[k].start ||
                                       start >= t.partitions[k].end);
                        assert(disk_table_add(&t, &(DiskPartition){.number = i,
                                                                   .start = start,
                                                                   .end = start + size}) == 0);
                        /* Some go again, so that there are holes. */
                        if (random() % 3 == 0) {
                                size_t at = (size_t) random() % t.n_partitions;

                                t.n_partitions--;
                                t.partitions[at] = t.partitions[t.n_partitions];
                        }
                }
                disk_table_done(&t);
        }
}

static void test_rules(void)
{
        DiskTable sun = {.type = TABLE_SUN, .sector_size = 512, .cylinder = 510 * 512, .last = 1000 * MIB};
        DiskTable gpt = {.type = TABLE_GPT, .sector_size = 4096};

        assert(disk_alignment(&gpt, 0) == MIB);
        assert(disk_alignment(&gpt, 65536) == MIB);
        assert(disk_alignment(&gpt, 3 * 512 * 1024) == 3 * 512 * 1024);
        assert(disk_alignment(&gpt, 4 * MIB) == 4 * MIB);
        assert(disk_alignment(&gpt, 33553920) == MIB); /* 65535 sectors: nonsense */
        assert(disk_alignment(&sun, 4 * MIB) == sun.cylinder);
        assert(disk_round_size(&sun, 1) == sun.cylinder);
        assert(disk_round_size(&gpt, 4097) == 8192);
        assert(disk_table_add(&sun, &(DiskPartition){.number = 1}) == 0);
        assert(disk_table_add(&sun, &(DiskPartition){.number = 2}) == 0);
        assert(disk_next_number(&sun, false) == 4);
        disk_table_done(&sun);
}

int main(void)
{
        test_empty();
        test_smallest();
        test_logical();
        test_random();
        test_rules();
        return 0;
}

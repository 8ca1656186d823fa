/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Partition tables of all kinds on plain files: what is written by libparted is read back by libblkid. */

#undef NDEBUG
#include <assert.h>
#include <sys/mman.h>

#include "backends/disk-edit.h"
#include "backends/disk-place.h"
#include "backends/disk-type.h"

#define MIB (UINT64_C(1024) * 1024)

static const char *const formats[] = {"none",       "linux",     "fat16",     "fat32",
                                      "linux-swap", "linux-lvm", "linux-raid"};

static DiskFile make_disk(uint64_t size)
{
        DiskFile disk = {
                .fd = memfd_create("disk", 0), .name = "the disk", .size = size, .sector_size = 512};

        assert(disk.fd >= 0 && ftruncate(disk.fd, (off_t) size) >= 0);
        return disk;
}

static int check(int r, const sd_bus_error *error)
{
        if (r < 0)
                fprintf(stderr, "%s\n", error->message ?: strerror(-r));
        return r;
}

/* As a create does it. *ret_number: what it became. */
static int create(const DiskFile *disk, DiskTable *t, DiskPartitionKind kind, uint64_t size,
                  const char *format, unsigned *ret_number)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        bool logical = kind == PARTITION_LOGICAL;
        _cleanup_free_ DiskSpace *spaces = NULL;
        DiskPartition p = {.kind = kind, .format = format};
        uint64_t largest;
        size_t n;

        assert(disk_spaces(t, &spaces, &n) == 0);
        size = disk_round_size(t, size);
        p.number = *ret_number = disk_next_number(t, logical);
        if (p.number == 0 ||
            !disk_place(t, spaces, n, logical, size, disk_alignment(t, 0), &p.start, &largest))
                return -ENOSPC;
        p.end = p.start + size;
        assert(check(disk_edit_add(disk, t->type, &p, &error), &error) == 0);
        disk_table_done(t);
        assert(disk_table_read(disk, t) == 0);
        assert(disk_table_find(t, p.number)->start == p.start);
        assert(disk_table_find(t, p.number)->end == p.end);
        assert(disk_table_find(t, p.number)->kind == kind);
        return 0;
}

static void make_label(const DiskFile *disk, DiskTableType type, DiskTable *ret)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;

        assert(disk_table_read(disk, ret) == -ENODATA);
        assert(check(disk_edit_label(disk, type, &error), &error) == 0);
        assert(disk_table_read(disk, ret) == 0);
        assert(ret->type == type);
        for (size_t i = 0; i < ret->n_partitions; i++)
                assert(ret->partitions[i].kind == PARTITION_RESERVED);
}

/* One of each format that the table has, the last of them grown and removed. */
static void test_table(DiskTableType type)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(disk_table_done) DiskTable t = {0};
        DiskFile disk = make_disk(256 * MIB);
        unsigned number, n = 0, numbers[ELEMENTSOF(formats)];
        const DiskPartition *p;
        uint64_t limit;

        make_label(&disk, type, &t);
        for (size_t i = 0; i < ELEMENTSOF(formats) && (type != TABLE_DOS || n < 4); i++) {
                if (!disk_type_has(type, formats[i]))
                        continue;
                assert(create(&disk, &t, PARTITION_PRIMARY, 10 * MIB, formats[i], &number) == 0);
                numbers[n++] = number;
                assert(streq(disk_table_find(&t, number)->format, formats[i]));
        }
        assert(n >= 4);
        p = disk_table_find(&t, number);
        limit = disk_grow_limit(&t, p);
        assert(limit > p->end + 100 * MIB);
        assert(check(disk_edit_resize(&disk, type, number, limit, &error), &error) == 0);
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0);
        assert(disk_table_find(&t, number)->end == limit);
        assert(disk_grow_limit(&t, disk_table_find(&t, number)) == limit);
        assert(check(disk_edit_remove(&disk, type, numbers[1], &error), &error) == 0);
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0);
        assert(!disk_table_find(&t, numbers[1]));
        for (size_t i = 0, k = 0; i < ELEMENTSOF(formats) && k < n; i++) {
                if (!disk_type_has(type, formats[i]))
                        continue;
                if (k != 1)
                        assert(streq(disk_table_find(&t, numbers[k])->format, formats[i]));
                k++;
        }
        /* The hole is the smallest that fits, and its number the next. */
        assert(disk_next_number(&t, false) == numbers[1]);
        assert(create(&disk, &t, PARTITION_PRIMARY, 10 * MIB, "none", &number) == 0);
        assert(number == numbers[1]);
        close(disk.fd);
}

static void test_logical(void)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(disk_table_done) DiskTable t = {0};
        DiskFile disk = make_disk(256 * MIB);
        unsigned number;

        make_label(&disk, TABLE_DOS, &t);
        assert(create(&disk, &t, PARTITION_PRIMARY, 10 * MIB, "linux", &number) == 0);
        assert(create(&disk, &t, PARTITION_EXTENDED, 100 * MIB, "extended", &number) == 0 && number == 2);
        assert(streq(disk_table_find(&t, 2)->format, "extended"));
        for (unsigned i = 0; i < ELEMENTSOF(formats); i++) {
                assert(create(&disk, &t, PARTITION_LOGICAL, 10 * MIB, formats[i], &number) == 0);
                assert(number == 5 + i);
                for (unsigned k = 0; k <= i; k++)
                        assert(streq(disk_table_find(&t, 5 + k)->format, formats[k]));
        }
        assert(create(&disk, &t, PARTITION_LOGICAL, 50 * MIB, "none", &number) == -ENOSPC);
        /* The third goes: the others move down, and the next one takes its place under a later number. */
        assert(check(disk_edit_remove(&disk, TABLE_DOS, 7, &error), &error) == 0);
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0);
        assert(streq(disk_table_find(&t, 7)->format, formats[3]));
        assert(streq(disk_table_find(&t, 10)->format, formats[6]));
        assert(!disk_table_find(&t, 11));
        assert(create(&disk, &t, PARTITION_LOGICAL, 10 * MIB, "fat16", &number) == 0 && number == 11);
        assert(disk_table_find(&t, 11)->start < disk_table_find(&t, 10)->start);
        for (unsigned i = 0; i < 7; i++) {
                assert(check(disk_edit_remove(&disk, TABLE_DOS, 5, &error), &error) == 0);
        }
        assert(check(disk_edit_remove(&disk, TABLE_DOS, 2, &error), &error) == 0);
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0);
        assert(t.n_partitions == 1);
        close(disk.fd);
}

/* The record that leads to a partition may be far before it: it is no room, however large the hole. */
static void test_records_are_no_room(void)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(disk_table_done) DiskTable t = {0};
        _cleanup_free_ DiskSpace *spaces = NULL;
        DiskPartition p = {.number = 6, .kind = PARTITION_LOGICAL, .format = "linux"};
        DiskFile disk = make_disk(64 * MIB);
        unsigned number;
        size_t n;

        make_label(&disk, TABLE_DOS, &t);
        assert(create(&disk, &t, PARTITION_EXTENDED, 60 * MIB, "extended", &number) == 0);
        assert(create(&disk, &t, PARTITION_LOGICAL, 5 * MIB, "linux", &number) == 0);
        p.start = 30 * MIB;
        p.end = 40 * MIB;
        assert(check(disk_edit_add(&disk, TABLE_DOS, &p, &error), &error) == 0);
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0 && t.n_records == 2);
        assert(disk_spaces(&t, &spaces, &n) == 0);
        for (size_t i = 0; i < n; i++)
                assert(!spaces[i].logical || spaces[i].end <= t.records[1] ||
                       spaces[i].start >= t.records[1] + 1024);
        close(disk.fd);
}

/* What is in a partition is not touched by changes beside it, up to the last byte. */
static void test_neighbours(void)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(disk_table_done) DiskTable t = {0};
        DiskFile disk = make_disk(64 * MIB);
        static char data[8192], got[8192];
        unsigned number;

        memset(data, 0xa5, sizeof(data));
        make_label(&disk, TABLE_DOS, &t);
        assert(create(&disk, &t, PARTITION_EXTENDED, 60 * MIB, "extended", &number) == 0);
        /* The record that leads to the next one is in the one sector between them, in a page with both. */
        for (unsigned i = 0; i < 4; i++) {
                DiskPartition p = {.number = 5 + i, .kind = PARTITION_LOGICAL, .format = "linux"};

                p.start = 3 * MIB + i * (5 * MIB + 512);
                p.end = p.start + 5 * MIB;
                assert(check(disk_edit_add(&disk, TABLE_DOS, &p, &error), &error) == 0);
                assert(pwrite(disk.fd, data, sizeof(data), (off_t) p.start) == sizeof(data));
                assert(pwrite(disk.fd, data, sizeof(data), (off_t) (p.end - sizeof(data))) == sizeof(data));
        }
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0);
        for (unsigned i = 5; i < 9; i++) {
                const DiskPartition *p = disk_table_find(&t, i);

                assert(pread(disk.fd, got, sizeof(got), (off_t) p->start) == sizeof(got));
                assert(memcmp(data, got, sizeof(got)) == 0);
                assert(pread(disk.fd, got, sizeof(got), (off_t) (p->end - sizeof(got))) == sizeof(got));
                assert(memcmp(data, got, sizeof(got)) == 0);
        }
        close(disk.fd);
}

/* A power cut in the middle of a gpt's writing leaves a table that can be read: either header will do. */
static void test_gpt_halves(void)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(disk_table_done) DiskTable t = {0};
        DiskFile disk = make_disk(64 * MIB);
        static const char zero[64];
        unsigned number;

        make_label(&disk, TABLE_GPT, &t);
        assert(create(&disk, &t, PARTITION_PRIMARY, MIB, "linux", &number) == 0);
        assert(pwrite(disk.fd, zero, 64, 512 + 16) == 64);
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0 && t.n_partitions == 1);
        assert(create(&disk, &t, PARTITION_PRIMARY, MIB, "linux", &number) == 0);
        assert(pwrite(disk.fd, zero, 64, (off_t) (64 * MIB - 512)) == 64);
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0 && t.n_partitions == 2);
        assert(check(disk_edit_remove(&disk, TABLE_GPT, 1, &error), &error) == 0);
        close(disk.fd);
}

/* A disk that has grown: the second header is not at its end, and what was added can be used. */
static void test_gpt_grown(void)
{
        _cleanup_(disk_table_done) DiskTable t = {0};
        DiskFile disk = make_disk(64 * MIB);
        unsigned number;

        make_label(&disk, TABLE_GPT, &t);
        assert(create(&disk, &t, PARTITION_PRIMARY, 60 * MIB, "linux", &number) == 0);
        disk.size = 128 * MIB;
        assert(ftruncate(disk.fd, (off_t) disk.size) >= 0);
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0);
        assert(create(&disk, &t, PARTITION_PRIMARY, 60 * MIB, "none", &number) == 0);
        assert(number == 2 && t.n_partitions == 2);
        close(disk.fd);
}

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
        uint32_t crc = UINT32_MAX;

        for (size_t i = 0; i < 8 * n; i++) {
                bool bit = (crc ^ p[i / 8] >> i % 8) & 1;

                crc = crc >> 1 ^ (bit ? 0xedb88320 : 0);
        }
        return ~crc;
}

/* The entries, or a boot loader, may lie between the header and the first sector that is for partitions. */
static void test_gpt_first(void)
{
        _cleanup_(disk_table_done) DiskTable t = {0};
        DiskFile disk = make_disk(64 * MIB);
        uint8_t header[92];
        uint64_t first = 4128;
        uint32_t crc;
        unsigned number;

        make_label(&disk, TABLE_GPT, &t);
        assert(pread(disk.fd, header, sizeof(header), 512) == sizeof(header));
        memcpy(header + 40, &first, sizeof(first));
        memset(header + 16, 0, 4);
        crc = crc32_of(header, sizeof(header));
        memcpy(header + 16, &crc, 4);
        assert(pwrite(disk.fd, header, sizeof(header), 512) == sizeof(header));
        disk_table_done(&t);
        assert(disk_table_read(&disk, &t) == 0 && t.first == first * 512);
        assert(create(&disk, &t, PARTITION_PRIMARY, MIB, "linux", &number) == 0);
        close(disk.fd);
}

static void test_none(void)
{
        static const uint8_t noise[1024] = {1, 2, 3, [510] = 0x55};
        _cleanup_(disk_table_done) DiskTable t = {0};
        DiskFile disk = make_disk(16 * MIB);

        assert(disk_table_read(&disk, &t) == -ENODATA);
        assert(pwrite(disk.fd, noise, sizeof(noise), 0) == sizeof(noise));
        assert(disk_table_read(&disk, &t) == -ENODATA);
        close(disk.fd);
}

int main(void)
{
        assert(storage_errors_register() >= 0);
        test_none();
        for (DiskTableType t = 0; t < _TABLE_MAX; t++) {
                fprintf(stderr, "%s\n", disk_table_to_string(t));
                test_table(t);
        }
        test_logical();
        test_records_are_no_room();
        test_neighbours();
        test_gpt_halves();
        test_gpt_grown();
        test_gpt_first();
        return 0;
}

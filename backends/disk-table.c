/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/disk-table.h"

#include <blkid/blkid.h>
#include <endian.h>

#include "backends/disk-type.h"

#define PARTITIONS_MAX 4096U
#define SECTOR 512U /* libblkid's unit, whatever the disk's is */
/* Tables but gpt count sectors in 32 bits. */
#define SECTORS_MAX UINT64_C(0xffffffff)

static const char *const table_names[_TABLE_MAX] = {
        [TABLE_DOS] = "dos", [TABLE_DVH] = "dvh",   [TABLE_GPT] = "gpt", [TABLE_MAC] = "mac",
        [TABLE_BSD] = "bsd", [TABLE_PC98] = "pc98", [TABLE_SUN] = "sun",
};

const char *disk_table_to_string(DiskTableType type)
{
        return table_names[type];
}

DiskTableType disk_table_from_string(const char *s)
{
        for (DiskTableType t = 0; t < _TABLE_MAX; t++) {
                if (streq(table_names[t], s))
                        return t;
        }
        return _TABLE_INVALID;
}

void disk_table_done(DiskTable *table)
{
        free(table->partitions);
        free(table->records);
        *table = (DiskTable){0};
}

int disk_table_add(DiskTable *table, const DiskPartition *partition)
{
        DiskPartition *p;

        if (table->n_partitions >= PARTITIONS_MAX)
                return 0;
        p = reallocarray(table->partitions, table->n_partitions + 1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        table->partitions = p;
        p[table->n_partitions++] = *partition;
        return 0;
}

const DiskPartition *disk_table_find(const DiskTable *table, unsigned number)
{
        for (size_t i = 0; i < table->n_partitions; i++) {
                if (table->partitions[i].number == number)
                        return &table->partitions[i];
        }
        return NULL;
}

const DiskPartition *disk_table_extended(const DiskTable *table)
{
        for (size_t i = 0; i < table->n_partitions; i++) {
                if (table->partitions[i].kind == PARTITION_EXTENDED)
                        return &table->partitions[i];
        }
        return NULL;
}

static int read_sector(const DiskFile *file, uint64_t offset, void *ret)
{
        ssize_t n = pread(file->fd, ret, SECTOR, (off_t) offset);

        if (n < 0)
                return -errno;
        return n == SECTOR ? 0 : -ENODATA;
}

static uint16_t be16(const uint8_t *p)
{
        return (uint16_t) (p[0] << 8 | p[1]);
}

static uint32_t le32(const uint8_t *p)
{
        return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static bool dos_is_extended(uint8_t type)
{
        return type == 0x05 || type == 0x0f || type == 0x85;
}

/* The position of the first entry for an extended partition in a sector, relative, or 0. */
static uint64_t dos_link(const DiskFile *file, uint64_t offset)
{
        uint8_t s[SECTOR];

        if (read_sector(file, offset, s) < 0 || s[510] != 0x55 || s[511] != 0xaa)
                return 0;
        for (const uint8_t *e = s + 446; e < s + 510; e += 16) {
                if (dos_is_extended(e[4]) && le32(e + 12) > 0)
                        return (uint64_t) le32(e + 8) * file->sector_size;
        }
        return 0;
}

size_t disk_dos_chain(const DiskFile *file, uint64_t *ret, size_t n)
{
        uint64_t first = dos_link(file, 0), at = first;
        size_t found = 0;

        while (at > 0 && at < file->size && found < n) {
                uint64_t next;

                /* A chain that comes back to where it was is broken. */
                for (size_t i = 0; i < found; i++) {
                        if (ret[i] == at)
                                return found;
                }
                ret[found++] = at;
                next = dos_link(file, at);
                at = next > 0 ? first + next : 0;
        }
        return found;
}

static uint64_t cylinder_of(uint32_t sector_size)
{
        return (uint64_t) DISK_HEADS * DISK_TRACK(sector_size) * sector_size;
}

static uint64_t round_down(uint64_t size, uint64_t to)
{
        return size - size % to;
}

/*
 * The format is that of NEC's PC-98: "IPL1" or a boot loader's name in the first sector, sixteen entries of
 * 32 bytes in the second: type (2 bytes), a start and an end as sector, head and cylinder (as FreeBSD's
 * diskpc98.h has it). The head and track counts are libparted's, as there is no PC-98 to ask.
 */
static bool is_pc98(const uint8_t *s)
{
        return s[510] == 0x55 && s[511] == 0xaa &&
               (memcmp(s + 4, "IPL1", 4) == 0 || memcmp(s + 4, "Linux 98", 8) == 0 ||
                memcmp(s + 4, "GRUB/98 ", 8) == 0);
}

static uint64_t pc98_position(const uint8_t *e, uint32_t sector_size)
{
        uint64_t cylinder = (uint64_t) (e[2] | e[3] << 8);

        return ((cylinder * DISK_HEADS + e[1]) * DISK_TRACK(sector_size) + e[0]) * sector_size;
}

static int read_pc98(const DiskFile *file, DiskTable *t)
{
        static const uint8_t unused[12];
        uint8_t s[SECTOR];
        int r;

        r = read_sector(file, SECTOR, s);
        for (unsigned i = 0; r >= 0 && i < SECTOR / 32; i++) {
                const uint8_t *e = s + i * 32;
                DiskPartition p = {.number = i + 1, .kind = PARTITION_PRIMARY};

                if ((e[0] | e[1]) == 0 && memcmp(e + 4, unused, sizeof(unused)) == 0)
                        continue;
                p.format = disk_type_format(TABLE_PC98, (uint32_t) e[0] << 8 | e[1], NULL, NULL);
                p.start = pc98_position(e + 8, file->sector_size);
                p.end = pc98_position(e + 12, file->sector_size) + file->sector_size;
                /* An end without head and sector is that of its cylinder. */
                if ((e[12] | e[13]) == 0)
                        p.end += t->cylinder - file->sector_size;
                r = disk_table_add(t, &p);
        }
        return r;
}

/*
 * libblkid counts only the used entries of a bsd label, which everybody else names by their place. The label
 * is at 64, as libparted has it, with entries of 16 bytes from 148 on: size, start, and a type at 12 (BSD's
 * disklabel.h).
 */
static int read_bsd(const DiskFile *file, DiskTable *t)
{
        static const uint8_t magic[] = {0x57, 0x45, 0x56, 0x82};
        uint8_t s[SECTOR];
        int r;

        r = read_sector(file, 0, s);
        if (r >= 0 && memcmp(s + 64, magic, sizeof(magic)) != 0)
                r = -ENODATA;
        for (unsigned i = 0; r >= 0 && i < 8; i++) {
                const uint8_t *e = s + 64 + 148 + i * 16;
                DiskPartition p = {.number = i + 1, .kind = PARTITION_PRIMARY};

                if (e[12] == 0 || le32(e) == 0)
                        continue;
                p.start = (uint64_t) le32(e + 4) * file->sector_size;
                p.end = p.start + (uint64_t) le32(e) * file->sector_size;
                p.format = disk_type_format(TABLE_BSD, e[12], NULL, NULL);
                r = disk_table_add(t, &p);
        }
        return r;
}

/* Which kind of entry it is, and its format. */
static void classify(DiskTableType type, blkid_partition entry, DiskPartition *p)
{
        uint32_t code = (uint32_t) blkid_partition_get_type(entry);
        const char *text = blkid_partition_get_type_string(entry);

        p->format = disk_type_format(type, code, text, blkid_partition_get_name(entry));
        if (type == TABLE_DOS && blkid_partition_is_extended(entry)) {
                p->kind = PARTITION_EXTENDED;
                p->format = "extended";
        } else if (type == TABLE_DOS && blkid_partition_is_logical(entry))
                p->kind = PARTITION_LOGICAL;
        else if (type == TABLE_DVH && (code == 0 || code == 6))
                p->kind = PARTITION_RESERVED; /* volume header, whole volume */
        else if (type == TABLE_MAC && text && strcasecmp(text, "Apple_partition_map") == 0)
                p->kind = PARTITION_RESERVED;
        else
                p->kind = PARTITION_PRIMARY;
}

/* Entries of mac tables for space that is not used, as libparted takes them. */
static bool is_unused(DiskTableType type, blkid_partition entry)
{
        const char *text = strempty(blkid_partition_get_type_string(entry));
        const char *name = strempty(blkid_partition_get_name(entry));

        if (type != TABLE_MAC)
                return false;
        return strcasecmp(text, "Apple_Void") == 0 || strcasecmp(text, "Apple_Scratch") == 0 ||
               strcasecmp(text, "Apple_Extra") == 0 ||
               (strcasecmp(text, "Apple_Free") == 0 && (!*name || strcasecmp(name, "Extra") == 0));
}

static DiskTableType type_of(blkid_parttable table)
{
        const char *name = blkid_parttable_get_type(table);

        return streq(name, "sgi") ? TABLE_DVH : disk_table_from_string(name);
}

static int take_list(const DiskFile *file, blkid_partlist list, DiskTable *t)
{
        blkid_parttable table = blkid_partlist_get_table(list);
        int r = 0;

        t->type = table ? type_of(table) : _TABLE_INVALID;
        if (t->type == _TABLE_INVALID)
                return -ENODATA;
        if (t->type == TABLE_BSD)
                return read_bsd(file, t);
        for (int i = 0; r >= 0 && i < blkid_partlist_numof_partitions(list); i++) {
                blkid_partition entry = blkid_partlist_get_partition(list, i);
                DiskPartition p = {0};

                /* A partition may hold a table of its own, whose entries are not this disk's. */
                if (!entry || blkid_partition_get_table(entry) != table || is_unused(t->type, entry))
                        continue;
                p.number = (unsigned) blkid_partition_get_partno(entry);
                p.start = (uint64_t) blkid_partition_get_start(entry) * SECTOR;
                p.end = p.start + (uint64_t) blkid_partition_get_size(entry) * SECTOR;
                classify(t->type, entry, &p);
                r = disk_table_add(t, &p);
        }
        return r;
}

static int read_by_blkid(const DiskFile *file, DiskTable *t)
{
        blkid_probe probe = blkid_new_probe();
        blkid_partlist list;
        int r = 0;

        if (!probe)
                return -ENOMEM;
        errno = 0;
        if (blkid_probe_set_device(probe, file->fd, 0, 0) < 0)
                r = errno ? -errno : -EIO;
        if (r >= 0 && file->sector_size > SECTOR)
                r = blkid_probe_set_sectorsize(probe, file->sector_size) < 0 ? -EINVAL : 0;
        (void) blkid_probe_enable_superblocks(probe, false);
        (void) blkid_probe_enable_partitions(probe, true);
        if (r >= 0) {
                errno = 0;
                list = blkid_probe_get_partitions(probe);
                r = list ? take_list(file, list, t) : errno == EIO ? -EIO : -ENODATA;
        }
        blkid_free_probe(probe);
        return r;
}

/* How much of the disk the header leaves for its entries: their count and size are at 80 and 84. They may
 * lie farther behind it, before the first sector that partitions may have, which is at 40. */
static void limit_gpt(const DiskFile *file, DiskTable *t)
{
        uint64_t sectors = UINT64_C(128) * 128 / file->sector_size, first = 0;
        uint8_t s[SECTOR];

        if (read_sector(file, file->sector_size, s) >= 0 && memcmp(s, "EFI PART", 8) == 0) {
                uint64_t bytes = (uint64_t) le32(s + 80) * le32(s + 84);

                if (bytes > 0 && bytes < file->size / 4)
                        sectors = (bytes + file->sector_size - 1) / file->sector_size;
                first = (uint64_t) le32(s + 44) << 32 | le32(s + 40);
        }
        if (first < 2 + sectors || first > file->size / file->sector_size)
                first = 2 + sectors;
        t->first = first * file->sector_size;
        t->last = round_down(file->size, file->sector_size) - (1 + sectors) * file->sector_size;
}

/* The label has heads and tracks at 436, cylinders at 422 (Sun's dklabel.h). */
static void limit_sun(const DiskFile *file, DiskTable *t)
{
        uint8_t s[SECTOR];

        if (read_sector(file, 0, s) < 0)
                return;
        t->cylinder = (uint64_t) be16(s + 436) * be16(s + 438) * file->sector_size;
        if (t->cylinder == 0)
                t->cylinder = cylinder_of(file->sector_size);
        /* The first holds the label, which what is in a partition would overwrite. */
        t->first = t->cylinder;
        t->last = be16(s + 422) * t->cylinder;
}

static void set_limits(const DiskFile *file, DiskTable *t)
{
        uint64_t cylinder = cylinder_of(file->sector_size);

        t->sector_size = file->sector_size;
        t->first = file->sector_size;
        t->last = round_down(file->size, file->sector_size);
        if (t->type == TABLE_GPT)
                limit_gpt(file, t);
        else if (t->last > SECTORS_MAX * file->sector_size)
                t->last = SECTORS_MAX * file->sector_size;
        if (t->type == TABLE_SUN)
                limit_sun(file, t);
        if (t->type == TABLE_DOS) {
                /* As libparted, and so libvirt, shows it. */
                t->first = (uint64_t) DISK_TRACK(file->sector_size) * file->sector_size;
                t->last = round_down(t->last, cylinder);
        }
        if (t->type == TABLE_PC98) {
                t->cylinder = t->first = cylinder;
                t->last = round_down(t->last, cylinder);
                if (t->last > cylinder << 16)
                        t->last = cylinder << 16;
        }
        if (t->last > file->size)
                t->last = round_down(file->size, t->cylinder ?: file->sector_size);
        if (t->first > t->last)
                t->first = t->last;
}

static int keep_chain(const DiskFile *file, DiskTable *t)
{
        t->records = calloc(DISK_CHAIN_MAX, sizeof(*t->records));
        if (!t->records)
                return -ENOMEM;
        t->n_records = disk_dos_chain(file, t->records, DISK_CHAIN_MAX);
        return 0;
}

static int by_number(const void *a, const void *b)
{
        const DiskPartition *x = a, *y = b;

        return x->number < y->number ? -1 : x->number > y->number;
}

int disk_table_read(const DiskFile *file, DiskTable *ret)
{
        _cleanup_(disk_table_done) DiskTable t = {.type = TABLE_PC98};
        uint8_t s[SECTOR];
        int r;

        r = read_sector(file, 0, s);
        if (r < 0)
                return r;
        if (is_pc98(s)) {
                set_limits(file, &t);
                r = read_pc98(file, &t);
        } else {
                r = read_by_blkid(file, &t);
                if (r >= 0)
                        set_limits(file, &t);
                if (r >= 0 && t.type == TABLE_DOS)
                        r = keep_chain(file, &t);
        }
        if (r < 0)
                return r;
        if (t.n_partitions > 0)
                qsort(t.partitions, t.n_partitions, sizeof(*t.partitions), by_number);
        *ret = t;
        t = (DiskTable){0};
        return 0;
}

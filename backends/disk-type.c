/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/disk-type.h"

#define FAT16_SMALL (UINT64_C(32) * 1024 * 1024)
#define SECTOR 512U

typedef struct TypeCode {
        DiskTableType table;
        const char *format;
        uint32_t code;
        const char *text; /* gpt, mac: instead of a code */
        const char *name; /* of the entry; NULL: any */
} TypeCode;

/*
 * The first of a table and format is written, all are understood. "none" is a type that says nothing of what
 * is in a partition; where a table has none such it is one of those that no other format stands for. The
 * codes are those of libparted and util-linux, which agree.
 */
static const TypeCode codes[] = {
        {TABLE_DOS, "none", 0xda, NULL, NULL},
        {TABLE_DOS, "linux", 0x83, NULL, NULL},
        {TABLE_DOS, "linux-swap", 0x82, NULL, NULL},
        {TABLE_DOS, "linux-lvm", 0x8e, NULL, NULL},
        {TABLE_DOS, "linux-raid", 0xfd, NULL, NULL},
        {TABLE_DOS, "fat16", 0x0e, NULL, NULL},
        {TABLE_DOS, "fat16", 0x04, NULL, NULL},
        {TABLE_DOS, "fat16", 0x06, NULL, NULL},
        {TABLE_DOS, "fat16", 0x14, NULL, NULL},
        {TABLE_DOS, "fat16", 0x16, NULL, NULL},
        {TABLE_DOS, "fat16", 0x1e, NULL, NULL},
        {TABLE_DOS, "fat32", 0x0c, NULL, NULL},
        {TABLE_DOS, "fat32", 0x0b, NULL, NULL},
        {TABLE_DOS, "fat32", 0x1b, NULL, NULL},
        {TABLE_DOS, "fat32", 0x1c, NULL, NULL},
        {TABLE_DOS, "fat32", 0xef, NULL, NULL},
        {TABLE_DOS, "extended", 0x0f, NULL, NULL},

        /* One type for all of Microsoft's: the entry's name says which. */
        {TABLE_GPT, "fat16", 0, "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "fat16"},
        {TABLE_GPT, "fat32", 0, "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "fat32"},
        {TABLE_GPT, "fat32", 0, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", NULL},
        {TABLE_GPT, "none", 0, "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", NULL},
        {TABLE_GPT, "linux", 0, "0fc63daf-8483-4772-8e79-3d69d8477de4", NULL},
        {TABLE_GPT, "linux-swap", 0, "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", NULL},
        {TABLE_GPT, "linux-lvm", 0, "e6d6d379-f507-44c2-a23c-238f2a3df928", NULL},
        {TABLE_GPT, "linux-raid", 0, "a19d880f-05fc-4d3b-a006-743f0f84911e", NULL},

        /* Linux has one type for all but these, and libparted tells swap space by its name. */
        {TABLE_MAC, "none", 0, "Apple_UNIX_SVR2", "none"},
        {TABLE_MAC, "linux-swap", 0, "Apple_UNIX_SVR2", "swap"},
        {TABLE_MAC, "linux", 0, "Apple_UNIX_SVR2", NULL},
        {TABLE_MAC, "linux-lvm", 0, "Linux_LVM", NULL},
        {TABLE_MAC, "linux-raid", 0, "Linux_RAID", NULL},
        {TABLE_MAC, "fat16", 0, "DOS_FAT_16", NULL},
        {TABLE_MAC, "fat32", 0, "DOS_FAT_32", NULL},

        {TABLE_DVH, "none", 3, NULL, NULL},
        {TABLE_DVH, "linux", 0x83, NULL, NULL},
        {TABLE_DVH, "linux-swap", 0x82, NULL, NULL},
        {TABLE_DVH, "linux-lvm", 0x8e, NULL, NULL},
        {TABLE_DVH, "linux-raid", 0xfd, NULL, NULL},

        {TABLE_SUN, "none", 4, NULL, NULL},
        {TABLE_SUN, "linux", 0x83, NULL, NULL},
        {TABLE_SUN, "linux-swap", 0x82, NULL, NULL},
        {TABLE_SUN, "linux-swap", 3, NULL, NULL},
        {TABLE_SUN, "linux-lvm", 0x8e, NULL, NULL},
        {TABLE_SUN, "linux-raid", 0xfd, NULL, NULL},

        {TABLE_BSD, "none", 10, NULL, NULL},
        {TABLE_BSD, "linux", 17, NULL, NULL},
        {TABLE_BSD, "linux-swap", 1, NULL, NULL},
        {TABLE_BSD, "linux-raid", 19, NULL, NULL},

        /* A bootable one is Linux'. Those that are not hidden have bit 7. */
        {TABLE_PC98, "none", 0x20e2, NULL, NULL},
        {TABLE_PC98, "linux", 0xa0e2, NULL, NULL},
        {TABLE_PC98, "fat16", 0x20a1, NULL, NULL},
        {TABLE_PC98, "fat16", 0x2091, NULL, NULL},
        {TABLE_PC98, "fat32", 0x20e1, NULL, NULL},
};

const char *disk_type_format(DiskTableType type, uint32_t code, const char *text, const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
                const TypeCode *c = &codes[i];

                if (c->table != type)
                        continue;
                if (c->text ? text && strcasecmp(c->text, text) == 0 &&
                                      (!c->name || streq_ptr(c->name, name))
                            : c->code == code)
                        return c->format;
        }
        return "none";
}

static const TypeCode *find_code(DiskTableType type, const char *format)
{
        for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
                if (codes[i].table == type && streq(codes[i].format, format))
                        return &codes[i];
        }
        return NULL;
}

bool disk_type_has(DiskTableType type, const char *format)
{
        return find_code(type, format) != NULL;
}

int disk_type_list(DiskTableType type, char **ret)
{
        _cleanup_free_ char *list = NULL;

        for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
                char *longer;

                if (codes[i].table != type || find_code(type, codes[i].format) != &codes[i])
                        continue;
                if (asprintf(&longer, "%s%s%s", strempty(list), list ? ", " : "", codes[i].format) < 0)
                        return -ENOMEM;
                free(list);
                list = longer;
        }
        *ret = TAKE_PTR(list);
        return 0;
}

/* The 16 bit words of a sun label add up (exclusively) to nothing. */
static void sum_sun(uint8_t *s)
{
        s[510] = s[511] = 0;
        for (unsigned i = 0; i < 510; i += 2) {
                s[510] ^= s[i];
                s[511] ^= s[i + 1];
        }
}

/* The 32 bit words of a volume header add up to nothing; the sum is at 504. */
static void sum_dvh(uint8_t *s)
{
        uint32_t sum = 0;

        memset(s + 504, 0, 4);
        for (unsigned i = 0; i < SECTOR; i += 4)
                sum -= (uint32_t) s[i] << 24 | (uint32_t) s[i + 1] << 16 | (uint32_t) s[i + 2] << 8 |
                       s[i + 3];
        for (unsigned i = 0; i < 4; i++)
                s[504 + i] = (uint8_t) (sum >> (24 - 8 * i));
}

/*
 * The label is at 64, its sum at 136 behind that, the number of its entries at 138, entries of 16 bytes from
 * 148 on. On the Alpha, for which the label is at 64, the sector is a boot block with a sum of its own, in
 * its last 8 bytes: the 63 words of 64 bits before, added up.
 */
static void sum_bsd(uint8_t *s)
{
        uint8_t *label = s + 64;
        unsigned n = 148 + 16 * ((unsigned) label[138] | (unsigned) label[139] << 8);
        uint8_t sum[2] = {0};
        uint64_t total = 0;

        label[136] = label[137] = 0;
        for (unsigned i = 0; i < n && 64 + i < SECTOR; i += 2) {
                sum[0] ^= label[i];
                sum[1] ^= label[i + 1];
        }
        memcpy(label + 136, sum, 2);
        for (unsigned i = 0; i < 504; i += 8) {
                uint64_t word;

                memcpy(&word, s + i, 8);
                total += word;
        }
        memcpy(s + 504, &total, 8);
}

static void set_text(uint8_t *field, const char *text)
{
        memset(field, 0, 32);
        memcpy(field, text, strlen(text));
}

/* Where the entry of that number is: the sector, and its place in there. */
static int find_entry(const DiskFile *file, DiskTableType type, unsigned number, uint64_t *ret_sector,
                      size_t *ret_at)
{
        uint64_t chain[DISK_CHAIN_MAX];

        *ret_sector = 0;
        *ret_at = 0;
        switch (type) {
        case TABLE_DOS:
                if (number <= 4) {
                        *ret_at = 446 + 16 * (number - 1) + 4;
                        return 0;
                }
                if (disk_dos_chain(file, chain, ELEMENTSOF(chain)) < number - 4)
                        return -ENODATA;
                *ret_sector = chain[number - 5];
                *ret_at = 446 + 4;
                return 0;
        case TABLE_DVH:
                *ret_at = 312 + 12 * (number - 1) + 8;
                return number <= 16 ? 0 : -ENODATA;
        case TABLE_MAC:
                *ret_sector = (uint64_t) number * file->sector_size;
                return 0;
        case TABLE_BSD:
                *ret_at = 64 + 148 + 16 * (number - 1) + 12;
                return number <= 8 ? 0 : -ENODATA;
        case TABLE_PC98:
                *ret_sector = SECTOR;
                *ret_at = 32 * (number - 1);
                return number <= 16 ? 0 : -ENODATA;
        case TABLE_SUN:
                *ret_at = 142 + 4 * (number - 1) + 1;
                return number <= 8 ? 0 : -ENODATA;
        default:
                return -ENODATA;
        }
}

static void set_entry(uint8_t *s, DiskTableType type, size_t at, const TypeCode *c, uint32_t code)
{
        switch (type) {
        case TABLE_DVH:
                memset(s + at, 0, 3);
                s[at + 3] = (uint8_t) code;
                sum_dvh(s);
                break;
        case TABLE_MAC:
                set_text(s + 16, c->name ?: "untitled");
                set_text(s + 48, c->text);
                break;
        case TABLE_BSD:
                s[at] = (uint8_t) code;
                sum_bsd(s);
                break;
        case TABLE_PC98:
                s[at] = (uint8_t) (code >> 8);
                s[at + 1] = (uint8_t) code;
                break;
        case TABLE_SUN:
                s[at] = (uint8_t) code;
                sum_sun(s);
                break;
        default:
                s[at] = (uint8_t) code;
        }
}

int disk_type_write(const DiskFile *file, DiskTableType type, unsigned number, uint64_t size,
                    const char *format)
{
        const TypeCode *c = find_code(type, format);
        uint8_t s[SECTOR];
        uint64_t sector;
        uint32_t code;
        size_t at;
        ssize_t n;
        int r;

        if (!c)
                return -EINVAL;
        r = find_entry(file, type, number, &sector, &at);
        if (r < 0)
                return r;
        code = c->code;
        if (type == TABLE_PC98 && streq(format, "fat16") && size < FAT16_SMALL)
                code = 0x2091;
        n = pread(file->fd, s, sizeof(s), (off_t) sector);
        if (n != sizeof(s))
                return n < 0 ? -errno : -EIO;
        set_entry(s, type, at, c, code);
        n = pwrite(file->fd, s, sizeof(s), (off_t) sector);
        return n == sizeof(s) ? 0 : n < 0 ? -errno : -EIO;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * VHDX, after Microsoft's [MS-VHDX]. All fields are little-endian. Capacity, block size and parent are items
 * of the metadata region, which the region table (there are two copies) leads to.
 */

#include "backends/image-internal.h"

#define REGION_TABLE_1 (192U * 1024U)
#define REGION_TABLE_2 (256U * 1024U)
#define REGIONS_MAX 2047U
#define REGION_ENTRY 32U
#define METADATA_HEADER 32U
#define METADATA_ENTRY 32U
#define METADATA_ITEMS_MAX 2047U
/* Items known to the specification are few; more entries than these are not looked at. */
#define ENTRIES_LOOKED_AT 64U
#define HAS_PARENT 2U
#define LOCATOR_HEADER 20U
#define LOCATOR_ENTRY 12U
#define LOCATOR_MAX (64U * 1024U)
#define LOCATOR_KEYS_MAX 32U

/* GUIDs as they lie in the file. */
static const uint8_t region_metadata[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                            0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const uint8_t item_file_parameters[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                                 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
static const uint8_t item_disk_size[16] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                           0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
static const uint8_t item_parent_locator[16] = {0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                                                0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c};

typedef struct Area {
        uint64_t offset;
        uint64_t length;
} Area;

/* 1: found. 0: this copy of the table is none, or has none. */
static int find_metadata(const ImageFile *file, ImageInfo *info, uint64_t table, Area *ret)
{
        uint8_t h[16], e[REGION_ENTRY];
        uint32_t n;
        int r;

        r = image_read(file, info, table, h, sizeof h, "region table");
        if (r <= 0)
                return r;
        n = read_le32(h + 8);
        if (memcmp(h, "regi", 4) != 0 || n > REGIONS_MAX)
                return 0;
        for (uint32_t i = 0; i < n && i < ENTRIES_LOOKED_AT; i++) {
                r = image_read(file, info, table + sizeof h + (uint64_t) i * sizeof e, e, sizeof e,
                               "region table");
                if (r <= 0)
                        return r;
                if (memcmp(e, region_metadata, sizeof region_metadata) == 0) {
                        *ret = (Area){read_le64(e + 16), read_le32(e + 24)};
                        return image_within(ret->offset, ret->length, file->size);
                }
        }
        return 0;
}

static const uint8_t *find_key(const uint8_t *locator, uint32_t length, const char *key)
{
        uint16_t n = read_le16(locator + 18);

        for (uint16_t i = 0; i < n && i < LOCATOR_KEYS_MAX; i++) {
                const uint8_t *e = locator + LOCATOR_HEADER + (size_t) i * LOCATOR_ENTRY;
                size_t n_key = strlen(key), k = 0;

                if (!image_within(LOCATOR_HEADER + (uint64_t) i * LOCATOR_ENTRY, LOCATOR_ENTRY, length))
                        return NULL;
                if (read_le16(e + 8) != n_key * 2 || !image_within(read_le32(e), n_key * 2, length))
                        continue;
                while (k < n_key && read_le16(locator + read_le32(e) + k * 2) == (uint16_t) key[k])
                        k++;
                if (k == n_key)
                        return e;
        }
        return NULL;
}

static int read_locator(const ImageFile *file, ImageInfo *info, const Area *item)
{
        static const char *const keys[] = {"relative_path", "absolute_win32_path", "volume_path"};
        _cleanup_free_ char *buf = NULL;
        const uint8_t *locator, *e = NULL;
        uint32_t length = (uint32_t) item->length, offset;
        int r;

        if (item->length < LOCATOR_HEADER || item->length > LOCATOR_MAX)
                return image_problem(info, "A parent locator of %" PRIu64 " bytes is not possible.",
                                     item->length);
        r = image_read_alloc(file, info, item->offset, length, "parent locator", &buf);
        if (r <= 0)
                return r;
        locator = (const uint8_t *) buf;
        for (size_t i = 0; i < ELEMENTSOF(keys) && !e; i++)
                e = find_key(locator, length, keys[i]);
        if (!e)
                return image_problem(info, "The parent locator names no parent.");
        offset = read_le32(e + 4);
        if (!image_within(offset, read_le16(e + 10), length))
                return image_problem(info, "The parent's name is not within the parent locator.");
        r = image_set_utf16(&info->extra->backing_path, locator + offset, read_le16(e + 10),
                            /* big_endian= */ false);
        if (r < 0)
                return r;
        return image_backing_was_set(info, "vhdx");
}

/* The items that are of interest, from the metadata table. Lengths of 0 are absent ones. */
static int find_items(const ImageFile *file, ImageInfo *info, const Area *region, Area *parameters,
                      Area *size, Area *locator)
{
        uint8_t h[METADATA_HEADER], e[METADATA_ENTRY];
        uint16_t n;
        int r;

        r = image_read(file, info, region->offset, h, sizeof h, "metadata table");
        if (r <= 0)
                return r;
        n = read_le16(h + 10);
        if (memcmp(h, "metadata", 8) != 0 || n > METADATA_ITEMS_MAX) {
                r = image_problem(info, "The metadata table is not where the region table says.");
                return r < 0 ? r : 0;
        }
        for (uint16_t i = 0; i < n && i < ENTRIES_LOOKED_AT; i++) {
                uint64_t off = sizeof h + (uint64_t) i * sizeof e;
                Area item;

                r = image_read(file, info, region->offset + off, e, sizeof e, "metadata table");
                if (r <= 0)
                        return r;
                item = (Area){region->offset + read_le32(e + 16), read_le32(e + 20)};
                if (!image_within(read_le32(e + 16), item.length, region->length))
                        continue;
                if (memcmp(e, item_file_parameters, 16) == 0)
                        *parameters = item;
                else if (memcmp(e, item_disk_size, 16) == 0)
                        *size = item;
                else if (memcmp(e, item_parent_locator, 16) == 0)
                        *locator = item;
        }
        return 1;
}

static int read_items(const ImageFile *file, ImageInfo *info, const Area *region)
{
        Area parameters = {}, size = {}, locator = {};
        uint8_t buf[8];
        uint32_t block;
        int r;

        r = find_items(file, info, region, &parameters, &size, &locator);
        if (r <= 0)
                return r;
        if (parameters.length < 8 || size.length < 8)
                return image_problem(info, "The metadata do not tell the disk's size.");
        r = image_read(file, info, size.offset, buf, sizeof buf, "disk's size");
        if (r <= 0)
                return r;
        r = image_set_capacity(info, read_le64(buf), 1);
        if (r < 0)
                return r;
        r = image_read(file, info, parameters.offset, buf, sizeof buf, "file parameters");
        if (r <= 0)
                return r;
        block = read_le32(buf);
        if (!is_power_of_2(block) || block < 1024U * 1024 || block > 256U * 1024 * 1024)
                return image_problem(info, "A block of %" PRIu32 " bytes is not possible.", block);
        info->extra->cluster_size = block;
        if (!(read_le32(buf + 4) & HAS_PARENT))
                return 0;
        return read_locator(file, info, &locator);
}

int image_read_vhdx(const ImageFile *file, ImageInfo *info)
{
        Area region;
        int r;

        if (!image_extra(info))
                return -ENOMEM;
        r = find_metadata(file, info, REGION_TABLE_1, &region);
        if (r == 0)
                r = find_metadata(file, info, REGION_TABLE_2, &region);
        if (r < 0)
                return r;
        if (r == 0)
                return file->fd < 0 ? 0 : image_problem(info, "There is no valid region table.");
        return read_items(file, info, &region);
}

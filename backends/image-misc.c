/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Formats of a header alone. Bochs: "Harddisk Images" in its user guide (redolog v1 and v2, little-endian).
 * cloop: the V2.0 header that the Linux cloop driver describes (big-endian). VDI: "VirtualBox Disk Image"
 * 1.1 (little-endian). ploop: "ploop image format" of OpenVZ, which is Parallels' expandable image
 * (little-endian). FAT: Microsoft's "FAT File System Specification" 1.03. ISO 9660: ECMA-119. DMG: the UDIF
 * trailer, as dmg2img and others describe it (big-endian).
 */

#include "backends/image-internal.h"

#define SECTOR UINT64_C(512)

#define BOCHS_HEADER 96U
#define BOCHS_V1 0x00010000U
#define BOCHS_V2 0x00020000U

int image_read_bochs(const ImageFile *file, ImageInfo *info)
{
        uint8_t h[BOCHS_HEADER];
        uint32_t version;
        int r;

        r = image_read(file, info, 0, h, sizeof h, "header");
        if (r <= 0)
                return r;
        version = read_le32(h + 64);
        if (version != BOCHS_V1 && version != BOCHS_V2)
                return image_problem(info, "Version 0x%08" PRIx32 " of Bochs images is not known.", version);
        if (memcmp(h + 32, "Redolog\0", 8) != 0)
                return image_problem(info, "The image is no redolog of Bochs.");
        /* Version 2 put a timestamp before the size. */
        r = image_set_capacity(info, read_le64(h + (version == BOCHS_V1 ? 84 : 88)), 1);
        if (r < 0)
                return r;
        if (!image_within(read_le32(h + 68), (uint64_t) read_le32(h + 72) * 4, file->size))
                return image_problem(info, "The catalog lies beyond the end of the file: it was cut off.");
        return 0;
}

#define CLOOP_PREAMBLE 128U
#define CLOOP_BLOCK_MAX (64U * 1024 * 1024)

int image_read_cloop(const ImageFile *file, ImageInfo *info)
{
        uint32_t block, n;
        uint8_t h[8];
        int r;

        r = image_read(file, info, CLOOP_PREAMBLE, h, sizeof h, "header");
        if (r <= 0)
                return r;
        block = read_be32(h);
        n = read_be32(h + 4);
        if (block == 0 || block % SECTOR != 0 || block > CLOOP_BLOCK_MAX)
                return image_problem(info, "A block of %" PRIu32 " bytes is not possible.", block);
        r = image_set_capacity(info, n, block);
        if (r < 0)
                return r;
        /* One offset more than blocks: the last is the end. */
        if (!image_within(CLOOP_PREAMBLE + sizeof h, ((uint64_t) n + 1) * 8, file->size))
                return image_problem(info,
                                     "The block table lies beyond the end of the file: it was cut off.");
        return 0;
}

#define VDI_HEADER 400U
#define VDI_VERSION_1_1 0x00010001U

int image_read_vdi(const ImageFile *file, ImageInfo *info)
{
        uint32_t version, block, n_blocks;
        uint8_t h[VDI_HEADER];
        uint64_t size;
        int r;

        r = image_read(file, info, 0, h, sizeof h, "header");
        if (r <= 0)
                return r;
        version = read_le32(h + 68);
        if (version != VDI_VERSION_1_1)
                return image_problem(info, "Version %u.%u of VDI is not known.", version >> 16,
                                     version & 0xffff);
        size = read_le64(h + 368);
        /* Guests see whole sectors. */
        r = image_set_capacity(info, size / SECTOR + (size % SECTOR != 0), SECTOR);
        if (r < 0)
                return r;
        block = read_le32(h + 376);
        n_blocks = read_le32(h + 384);
        if (!is_power_of_2(block))
                return image_problem(info, "A block of %" PRIu32 " bytes is not possible.", block);
        r = image_set_cluster_size(info, block);
        if (r < 0)
                return r;
        if ((uint64_t) n_blocks * block < info->capacity)
                return image_problem(
                        info, "The block table of %" PRIu32 " entries is too small for the disk.", n_blocks);
        if (!image_within(read_le32(h + 340), (uint64_t) n_blocks * 4, file->size))
                return image_problem(info,
                                     "The block table lies beyond the end of the file: it was cut off.");
        return 0;
}

#define PLOOP_HEADER 64U
#define PLOOP_IN_USE_V1 0x746f6e59U
#define PLOOP_IN_USE_V2 0x312e3276U

int image_read_ploop(const ImageFile *file, ImageInfo *info)
{
        uint32_t tracks, entries, in_use;
        uint8_t h[PLOOP_HEADER];
        int r;

        if (!image_extra(info))
                return -ENOMEM;
        r = image_read(file, info, 0, h, sizeof h, "header");
        if (r <= 0)
                return r;
        if (read_le32(h + 16) != 2)
                return image_problem(info, "Version %" PRIu32 " of ploop is not known.", read_le32(h + 16));
        tracks = read_le32(h + 28);
        entries = read_le32(h + 32);
        in_use = read_le32(h + 44);
        info->extra->dirty = in_use == PLOOP_IN_USE_V1 || in_use == PLOOP_IN_USE_V2;
        /* The older variant has 32 bits for the size, and something else behind them. */
        r = image_set_capacity(
                info, memcmp(h, "WithoutFreeSpace", 16) == 0 ? read_le32(h + 36) : read_le64(h + 36),
                SECTOR);
        if (r < 0)
                return r;
        if (tracks == 0 || tracks > INT32_MAX / SECTOR)
                return image_problem(info, "A block of %" PRIu32 " sectors is not possible.", tracks);
        info->extra->cluster_size = tracks * SECTOR;
        if (entries < info->capacity / info->extra->cluster_size)
                return image_problem(
                        info, "The block table of %" PRIu32 " entries is too small for the disk.", entries);
        if (!image_within(PLOOP_HEADER, (uint64_t) entries * 4, file->size))
                return image_problem(info,
                                     "The block table lies beyond the end of the file: it was cut off.");
        return 0;
}

/*
 * A boot sector is recognised by a BIOS parameter block that can be one, and the type's name, which mkfs
 * programs write: partition tables and other file systems' boot sectors do not have both.
 */
bool image_is_fat(const ImageFile *file)
{
        const uint8_t *h = file->head;
        uint32_t bytes;

        if (file->n_head < 512 || h[510] != 0x55 || h[511] != 0xaa || (h[0] != 0xeb && h[0] != 0xe9))
                return false;
        bytes = read_le16(h + 11);
        return is_power_of_2(bytes) && bytes >= 512 && bytes <= 4096 && is_power_of_2(h[13]) &&
               read_le16(h + 14) > 0 && (h[16] == 1 || h[16] == 2) && (h[21] == 0xf0 || h[21] >= 0xf8) &&
               (memcmp(h + 54, "FAT12   ", 8) == 0 || memcmp(h + 54, "FAT16   ", 8) == 0 ||
                memcmp(h + 54, "FAT     ", 8) == 0 || memcmp(h + 82, "FAT32   ", 8) == 0);
}

int image_read_fat(const ImageFile *file, ImageInfo *info)
{
        const uint8_t *h = file->head;
        uint64_t sectors = read_le16(h + 19) ? read_le16(h + 19) : read_le32(h + 32);

        info->capacity = file->size;
        if (sectors * read_le16(h + 11) > file->size)
                return image_problem(info, "The file system is larger than the file: it was cut off.");
        return 0;
}

int image_try_iso(const ImageFile *file, ImageInfo *info)
{
        uint8_t h[132];
        int r;

        r = image_read(file, info, IMAGE_ISO_DESCRIPTOR, h, sizeof h, "volume descriptor");
        if (r <= 0)
                return r;
        if (memcmp(h + 1, "CD001", 5) != 0)
                return 0;
        info->format = IMAGE_ISO;
        /* Type 1 is the primary descriptor: blocks and their size, each in both byte orders. */
        if (h[0] == 1 && (uint64_t) read_le32(h + 80) * read_le16(h + 128) > file->size)
                return image_problem(info, "The file system is larger than the file: it was cut off.");
        return 0;
}

int image_read_dmg(const ImageFile *file, ImageInfo *info, const uint8_t *trailer)
{
        int r;

        if (read_be32(trailer + 8) != IMAGE_TAIL_SIZE)
                return image_problem(info, "A trailer of %" PRIu32 " bytes is not possible.",
                                     read_be32(trailer + 8));
        r = image_set_capacity(info, read_be64(trailer + 492), SECTOR);
        if (r < 0)
                return r;
        if (!image_within(read_be64(trailer + 216), read_be64(trailer + 224), file->size) ||
            !image_within(read_be64(trailer + 24), read_be64(trailer + 32), file->size))
                return image_problem(info, "The trailer points beyond the end of the file.");
        return 0;
}

int image_try_tail(const ImageFile *file, ImageInfo *info)
{
        uint8_t tail[IMAGE_TAIL_SIZE] = {};
        size_t n = file->size % SECTOR == 511 ? 511 : IMAGE_TAIL_SIZE;
        int r;

        if (file->size < n)
                return 0;
        r = image_read(file, info, file->size - n, tail, n, "footer");
        if (r <= 0)
                return r;
        if (memcmp(tail, "conectix", 8) == 0) {
                info->format = IMAGE_VPC;
                return image_read_vpc_fixed(file, info, tail);
        }
        if (memcmp(tail, "koly", 4) == 0) {
                info->format = IMAGE_DMG;
                return image_read_dmg(file, info, tail);
        }
        return 0;
}

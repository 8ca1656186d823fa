/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * VHD ("vpc"), after Microsoft's "Virtual Hard Disk Image Format Specification" 1.0. All fields are
 * big-endian. Fixed disks have a footer at their end only; dynamic and differencing ones begin with a copy
 * of it.
 */

#include "backends/image-internal.h"

#define FOOTER 512U
#define SPARSE_HEADER 1024U
#define SECTOR UINT64_C(512)

#define TYPE_FIXED 2U
#define TYPE_DYNAMIC 3U
#define TYPE_DIFFERENCING 4U

/* The largest geometry that such a disk can have; those that have it may be larger than it says. */
#define MAX_GEOMETRY (UINT64_C(65535) * 16 * 255)

/*
 * What a guest sees follows from the geometry, as Virtual PC had it, unless the image is by one of those
 * programs that are known to go by the size. The same rule and list as in QEMU.
 */
static bool size_counts(const uint8_t *footer)
{
        static const char creators[][4] = {
                {'w', 'i', 'n', ' '}, {'q', 'e', 'm', '2'}, {'d', '2', 'v', ' '},
                {'t', 'a', 'p', 0},   {'C', 'T', 'X', 'S'}, {'w', 'a', 0, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(creators); i++) {
                if (memcmp(footer + 28, creators[i], 4) == 0)
                        return true;
        }
        return false;
}

static uint64_t footer_capacity(const uint8_t *footer)
{
        uint64_t geometry = (uint64_t) read_be16(footer + 56) * footer[58] * footer[59];

        if (size_counts(footer) || geometry == MAX_GEOMETRY)
                return read_be64(footer + 48) / SECTOR * SECTOR;
        return geometry * SECTOR;
}

static int check_sum(ImageInfo *info, const uint8_t *p, size_t n, size_t at, const char *what)
{
        uint32_t sum = 0;

        for (size_t i = 0; i < n; i++) {
                if (i < at || i >= at + 4)
                        sum += p[i];
        }
        if (~sum != read_be32(p + at))
                return image_problem(info, "The checksum of the %s is wrong.", what);
        return 0;
}

/* What all three types have. */
static int read_footer(ImageInfo *info, const uint8_t *footer)
{
        int r;

        r = image_set_capacity(info, footer_capacity(footer), 1);
        if (r < 0)
                return r;
        return check_sum(info, footer, FOOTER, 64, "footer");
}

int image_read_vpc_fixed(const ImageFile *file, ImageInfo *info, const uint8_t *footer)
{
        int r;

        r = read_footer(info, footer);
        if (r < 0)
                return r;
        if (read_be32(footer + 60) != TYPE_FIXED)
                return image_problem(info, "The copy of the footer at the begin is damaged.");
        if (info->capacity > file->size)
                return image_problem(info, "The file is shorter than its capacity: it was cut off.");
        return 0;
}

int image_read_vpc_dynamic(const ImageFile *file, ImageInfo *info)
{
        uint8_t footer[FOOTER], h[SPARSE_HEADER];
        uint32_t entries, block, type;
        int r;

        r = image_read(file, info, 0, footer, sizeof footer, "footer's copy");
        if (r <= 0)
                return r;
        r = read_footer(info, footer);
        if (r < 0)
                return r;
        type = read_be32(footer + 60);
        if (type != TYPE_DYNAMIC && type != TYPE_DIFFERENCING)
                return image_problem(info, "Disk type %" PRIu32 " is not known.", type);
        r = image_read(file, info, read_be64(footer + 16), h, sizeof h, "dynamic disk header");
        if (r <= 0)
                return r;
        if (memcmp(h, "cxsparse", 8) != 0)
                return image_problem(info, "The dynamic disk header is not where the footer says.");
        r = check_sum(info, h, sizeof h, 36, "dynamic disk header");
        if (r < 0)
                return r;
        entries = read_be32(h + 28);
        block = read_be32(h + 32);
        if (!is_power_of_2(block) || block < SECTOR)
                return image_problem(info, "A block of %" PRIu32 " bytes is not possible.", block);
        r = image_set_cluster_size(info, block);
        if (r < 0)
                return r;
        if ((uint64_t) entries * block < info->capacity)
                r = image_problem(info, "The block table of %" PRIu32 " entries is too small for the disk.",
                                  entries);
        else if (!image_within(read_be64(h + 16), (uint64_t) entries * 4, file->size))
                r = image_problem(info, "The block table lies beyond the end of the file: it was cut off.");
        if (r < 0 || type != TYPE_DIFFERENCING)
                return r;
        if (!image_extra(info))
                return -ENOMEM;
        r = image_set_utf16(&info->extra->backing_path, h + 64, 512, /* big_endian= */ true);
        if (r < 0)
                return r;
        return image_backing_was_set(info, "vpc");
}

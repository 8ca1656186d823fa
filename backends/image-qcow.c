/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * QEMU's older formats: qcow (version 1, big-endian; "The QCOW Image Format" by Mark McLoughlin), cow
 * (version 2, big-endian; the cow_header_v2 that QEMU up to 2.1 documented), qed (little-endian; "QED Image
 * File Format" in QEMU's documentation).
 */

#include "backends/image-internal.h"

#define QCOW_HEADER 48U
#define QCOW_BACKING_MAX 1023U

static int read_qcow_backing(const ImageFile *file, ImageInfo *info, uint64_t off, uint32_t n)
{
        char name[QCOW_BACKING_MAX];
        int r;

        if (off == 0)
                return 0;
        if (n > QCOW_BACKING_MAX)
                return image_problem(info,
                                     "The backing file's name has %" PRIu32
                                     " bytes, more than the %u that it can have.",
                                     n, QCOW_BACKING_MAX);
        r = image_read(file, info, off, name, n, "backing file's name");
        if (r <= 0)
                return r;
        return image_set_backing(info, name, n, NULL);
}

static int check_qcow_tables(const ImageFile *file, ImageInfo *info, const uint8_t *h)
{
        uint64_t size = read_be64(h + 24), l1_offset = read_be64(h + 40), n_l1;
        unsigned shift = h[32] + h[33];

        if (h[33] < 6 || h[33] > 13)
                return image_problem(info, "An L2 table of 2^%u entries is not possible.", h[33]);
        n_l1 = (size >> shift) + ((size & ((UINT64_C(1) << shift) - 1)) != 0);
        if (n_l1 > INT32_MAX / 8 || !image_within(l1_offset, n_l1 * 8, file->size))
                return image_problem(info, "The L1 table lies beyond the end of the file: it was cut off.");
        return 0;
}

int image_read_qcow(const ImageFile *file, ImageInfo *info)
{
        uint8_t h[QCOW_HEADER];
        int r;

        if (!image_extra(info))
                return -ENOMEM;
        r = image_read(file, info, 0, h, sizeof h, "header");
        if (r <= 0)
                return r;
        r = image_set_capacity(info, read_be64(h + 24), 1);
        if (r < 0)
                return r;
        if (h[32] < 9 || h[32] > 16)
                return image_problem(info, "The cluster size of 2^%u bytes is not between 512 and 65536.",
                                     h[32]);
        info->extra->cluster_size = UINT64_C(1) << h[32];
        r = check_qcow_tables(file, info, h);
        if (r < 0)
                return r;
        switch (read_be32(h + 36)) {
        case 0:
                break;
        case 1:
                info->extra->encryption = ENCRYPTION_QCOW;
                break;
        default:
                r = image_problem(info, "Encryption method %" PRIu32 " is not known.", read_be32(h + 36));
                if (r < 0)
                        return r;
        }
        return read_qcow_backing(file, info, read_be64(h + 8), read_be32(h + 16));
}

#define COW_BACKING_MAX 1024U
#define COW_HEADER (8U + COW_BACKING_MAX + 4U + 8U + 4U)

int image_read_cow(const ImageFile *file, ImageInfo *info)
{
        uint8_t h[COW_HEADER];
        int r;

        r = image_read(file, info, 0, h, sizeof h, "header");
        if (r <= 0)
                return r;
        r = image_set_capacity(info, read_be64(h + 8 + COW_BACKING_MAX + 4), 1);
        if (r < 0)
                return r;
        if (h[8] == 0)
                return 0;
        return image_set_backing(info, h + 8, COW_BACKING_MAX, NULL);
}

#define QED_HEADER 64U
#define QED_BACKING UINT64_C(1)
#define QED_NEED_CHECK UINT64_C(2)
#define QED_BACKING_RAW UINT64_C(4)

static int read_qed_backing(const ImageFile *file, ImageInfo *info, const uint8_t *h, uint64_t features)
{
        uint32_t off = read_le32(h + 56), n = read_le32(h + 60);
        char name[QCOW_BACKING_MAX];
        int r;

        if (!(features & QED_BACKING))
                return 0;
        if (n > QCOW_BACKING_MAX || !image_within(off, n, (uint64_t) read_le32(h + 12) * read_le32(h + 4)))
                return image_problem(info, "The backing file's name is too long or not within the header.");
        r = image_read(file, info, off, name, n, "backing file's name");
        if (r <= 0)
                return r;
        return image_set_backing(info, name, n, features & QED_BACKING_RAW ? "raw" : NULL);
}

int image_read_qed(const ImageFile *file, ImageInfo *info)
{
        uint32_t cluster, table;
        uint8_t h[QED_HEADER];
        uint64_t features;
        int r;

        if (!image_extra(info))
                return -ENOMEM;
        r = image_read(file, info, 0, h, sizeof h, "header");
        if (r <= 0)
                return r;
        cluster = read_le32(h + 4);
        table = read_le32(h + 8);
        features = read_le64(h + 16);
        r = image_set_capacity(info, read_le64(h + 48), 1);
        if (r < 0)
                return r;
        if (!is_power_of_2(cluster) || cluster < 4096 || cluster > 64U * 1024 * 1024)
                return image_problem(info, "The cluster size of %" PRIu32 " bytes is not possible.",
                                     cluster);
        info->extra->cluster_size = cluster;
        info->extra->dirty = features & QED_NEED_CHECK;
        if (!is_power_of_2(table) || table > 16)
                r = image_problem(info, "A table of %" PRIu32 " clusters is not possible.", table);
        else if (!image_within(read_le64(h + 40), (uint64_t) table * cluster, file->size))
                r = image_problem(info, "The L1 table lies beyond the end of the file: it was cut off.");
        if (r < 0)
                return r;
        return read_qed_backing(file, info, h, features);
}

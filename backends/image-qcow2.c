/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * qcow2, versions 2 and 3, after "Qcow2 Image File Format" (qcow2.txt in QEMU's documentation). All fields
 * are big-endian. The limits on what is believed are those under which QEMU opens an image.
 */

#include "backends/image-internal.h"

#define HEADER_V2 72U
#define HEADER_V3 104U

#define INCOMPAT_DIRTY (UINT64_C(1) << 0)
#define INCOMPAT_CORRUPT (UINT64_C(1) << 1)
#define INCOMPAT_EXTERNAL_DATA (UINT64_C(1) << 2)
#define INCOMPAT_COMPRESSION (UINT64_C(1) << 3)
#define INCOMPAT_EXTENDED_L2 (UINT64_C(1) << 4)
#define INCOMPAT_KNOWN UINT64_C(0x1f)
#define COMPAT_LAZY_REFCOUNTS (UINT64_C(1) << 0)

#define EXT_END 0U
#define EXT_BACKING_FORMAT 0xe2792acaU
#define EXT_DATA_FILE 0x44415441U
#define EXT_CRYPTO_HEADER 0x0537be77U
#define EXTENSIONS_MAX 64U

#define BACKING_MAX 1023U
#define BACKING_FORMAT_MAX 64U
#define L1_ENTRIES_MAX (32U * 1024 * 1024 / 8)
#define REFCOUNT_TABLE_MAX (8U * 1024 * 1024)

typedef struct Qcow2 {
        uint32_t version, header_length, cluster_bits, crypt_method, backing_size, n_snapshots;
        uint64_t backing_offset, incompatible, compatible, snapshots_offset;
        uint64_t crypto_offset, crypto_length; /* LUKS header, from its extension; 0: none */
} Qcow2;

static uint64_t cluster_size(const Qcow2 *q)
{
        return UINT64_C(1) << q->cluster_bits;
}

/* Where the mapping and the reference counts are said to be. */
static int check_tables(const ImageFile *file, ImageInfo *info, const Qcow2 *q, const uint8_t *h)
{
        uint64_t size = read_be64(h + 24), l1_offset = read_be64(h + 40), ref_offset = read_be64(h + 48);
        uint32_t l1_size = read_be32(h + 36), ref_clusters = read_be32(h + 56);
        uint64_t l2_entries = cluster_size(q) / (q->incompatible & INCOMPAT_EXTENDED_L2 ? 16 : 8);
        uint64_t per_l1 = cluster_size(q) * l2_entries;
        uint64_t l1_needed = size / per_l1 + (size % per_l1 != 0);

        if (l1_size > L1_ENTRIES_MAX)
                return image_problem(info, "The L1 table of %" PRIu32 " entries is larger than any can be.",
                                     l1_size);
        if (l1_size < l1_needed)
                return image_problem(info,
                                     "The L1 table of %" PRIu32 " entries is too small for a disk of "
                                     "%" PRIu64 " bytes.",
                                     l1_size, size);
        if (l1_offset % cluster_size(q) != 0 || ref_offset % cluster_size(q) != 0)
                return image_problem(info,
                                     "The L1 table or the refcount table is not at a cluster's begin.");
        if (l1_size > 0 && !image_within(l1_offset, (uint64_t) l1_size * 8, file->size))
                return image_problem(info, "The L1 table lies beyond the end of the file: it was cut off.");
        if (ref_clusters == 0)
                return image_problem(info, "The image has no refcount table.");
        if (ref_clusters > REFCOUNT_TABLE_MAX >> q->cluster_bits)
                return image_problem(info,
                                     "The refcount table of %" PRIu32 " clusters is larger than any can be.",
                                     ref_clusters);
        if (!image_within(ref_offset, ref_clusters * cluster_size(q), file->size))
                return image_problem(info,
                                     "The refcount table lies beyond the end of the file: it was cut off.");
        return 0;
}

static int read_crypto_pointer(ImageInfo *info, Qcow2 *q, const uint8_t *data, uint32_t n)
{
        if (n < 16)
                return image_problem(info, "The encryption header's pointer is too short.");
        q->crypto_offset = read_be64(data);
        q->crypto_length = read_be64(data + 8);
        return 0;
}

static int read_extension(ImageInfo *info, Qcow2 *q, uint32_t type, const uint8_t *data, uint32_t n)
{
        switch (type) {
        case EXT_BACKING_FORMAT:
                if (n > BACKING_FORMAT_MAX)
                        return image_problem(info, "The backing format's name has %" PRIu32 " bytes.", n);
                return image_set_string(&info->extra->backing_format, data, n);
        case EXT_DATA_FILE:
                return image_set_string(&info->extra->data_file, data, n);
        case EXT_CRYPTO_HEADER:
                return read_crypto_pointer(info, q, data, n);
        default:
                return 0;
        }
}

/* They fill the space from the header to the backing name, within the first cluster. */
static int read_extensions(const ImageFile *file, ImageInfo *info, Qcow2 *q)
{
        uint64_t off = q->header_length, end = q->backing_offset ? q->backing_offset : cluster_size(q);

        for (unsigned i = 0; off + 8 <= end && off + 8 <= file->size; i++) {
                _cleanup_free_ char *data = NULL;
                uint8_t head[8];
                uint32_t type, n;
                int r;

                /* QEMU reads them all: what is not looked at may be what matters. */
                if (i >= EXTENSIONS_MAX)
                        return image_problem(info, "The header has more than %u extensions.",
                                             EXTENSIONS_MAX);
                r = image_read(file, info, off, head, sizeof head, "header extension");
                if (r <= 0)
                        return r;
                type = read_be32(head);
                n = read_be32(head + 4);
                if (type == EXT_END)
                        return 0;
                off += 8;
                if (n > end - off)
                        return image_problem(info,
                                             "Header extension 0x%08" PRIx32 " of %" PRIu32
                                             " bytes does not fit into the header.",
                                             type, n);
                if (type == EXT_BACKING_FORMAT || type == EXT_DATA_FILE || type == EXT_CRYPTO_HEADER) {
                        uint32_t kept = n < IMAGE_NAME_MAX ? n : IMAGE_NAME_MAX;

                        r = image_read_alloc(file, info, off, kept, "header extension", &data);
                        if (r <= 0)
                                return r;
                        r = read_extension(info, q, type, (const uint8_t *) data, kept);
                        if (r < 0)
                                return r;
                }
                off += ((uint64_t) n + 7) & ~UINT64_C(7);
        }
        return 0;
}

static int read_backing(const ImageFile *file, ImageInfo *info, const Qcow2 *q)
{
        char name[BACKING_MAX];
        int r;

        if (q->backing_offset == 0)
                return 0;
        if (q->backing_size > BACKING_MAX)
                return image_problem(info,
                                     "The backing file's name has %" PRIu32
                                     " bytes, more than the %u that it can have.",
                                     q->backing_size, BACKING_MAX);
        if (!image_within(q->backing_offset, q->backing_size, cluster_size(q)))
                return image_problem(info, "The backing file's name is not within the first cluster.");
        r = image_read(file, info, q->backing_offset, name, q->backing_size, "backing file's name");
        if (r <= 0)
                return r;
        return image_set_backing(info, name, q->backing_size, NULL);
}

static int read_encryption(const ImageFile *file, ImageInfo *info, const Qcow2 *q)
{
        uint64_t payload;

        switch (q->crypt_method) {
        case 0:
                return 0;
        case 1:
                info->extra->encryption = ENCRYPTION_QCOW;
                return 0;
        case 2:
                info->extra->encryption = ENCRYPTION_LUKS;
                if (q->crypto_offset == 0)
                        return image_problem(info, "The image is LUKS-encrypted but has no LUKS header.");
                if (q->crypto_offset % cluster_size(q) != 0 ||
                    !image_within(q->crypto_offset, q->crypto_length, file->size))
                        return image_problem(info, "The LUKS header lies beyond the end of the file.");
                return image_read_luks_at(file, info, q->crypto_offset, &payload);
        default:
                return image_problem(info, "Encryption method %" PRIu32 " is not known.", q->crypt_method);
        }
}

static int read_features(ImageInfo *info, const Qcow2 *q)
{
        ImageExtra *extra = info->extra;
        int r;

        r = free_and_strdup(&extra->compat, q->version == 2 ? "0.10" : "1.1");
        if (r < 0)
                return r;
        extra->dirty = q->incompatible & INCOMPAT_DIRTY;
        extra->corrupt = q->incompatible & INCOMPAT_CORRUPT;
        extra->extended_l2 = q->incompatible & INCOMPAT_EXTENDED_L2;
        extra->lazy_refcounts = q->compatible & COMPAT_LAZY_REFCOUNTS;
        if (q->incompatible & ~INCOMPAT_KNOWN)
                return image_problem(info, "The image needs features that are not known: 0x%" PRIx64 ".",
                                     q->incompatible & ~INCOMPAT_KNOWN);
        return 0;
}

/* Fills q from the fixed fields. 1: the rest of the header can be read; 0: it cannot, as the problem says.
 */
static int read_fixed(const ImageFile *file, ImageInfo *info, Qcow2 *q, uint8_t *h)
{
        int r;

        r = image_read(file, info, 0, h, HEADER_V2, "header");
        if (r <= 0)
                return r;
        q->version = read_be32(h + 4);
        q->header_length = HEADER_V2;
        q->backing_offset = read_be64(h + 8);
        q->backing_size = read_be32(h + 16);
        q->cluster_bits = read_be32(h + 20);
        q->crypt_method = read_be32(h + 32);
        q->n_snapshots = read_be32(h + 60);
        q->snapshots_offset = read_be64(h + 64);
        if (q->version != 2 && q->version != 3) {
                r = image_problem(info, "Version %" PRIu32 " of qcow2 is not known.", q->version);
                return r < 0 ? r : 0;
        }
        if (q->cluster_bits < 9 || q->cluster_bits > 21) {
                r = image_problem(info,
                                  "The cluster size of 2^%" PRIu32 " bytes is not between 512 and 2 MiB.",
                                  q->cluster_bits);
                return r < 0 ? r : 0;
        }
        if (q->version == 2)
                return 1;
        r = image_read(file, info, 0, h, HEADER_V3, "header");
        if (r <= 0)
                return r;
        q->incompatible = read_be64(h + 72);
        q->compatible = read_be64(h + 80);
        q->header_length = read_be32(h + 100);
        /* Before anything else is judged: whatever is wrong besides, this is to be seen. */
        info->extra->external_data = q->incompatible & INCOMPAT_EXTERNAL_DATA;
        if (q->header_length < HEADER_V3 || q->header_length > cluster_size(q)) {
                r = image_problem(info, "The header says that it has %" PRIu32 " bytes.", q->header_length);
                return r < 0 ? r : 0;
        }
        return 1;
}

static int read_all(const ImageFile *file, ImageInfo *info)
{
        uint8_t h[HEADER_V3];
        Qcow2 q = {};
        int r;

        r = read_fixed(file, info, &q, h);
        if (r <= 0)
                return r;
        info->extra->cluster_size = cluster_size(&q);
        r = image_set_capacity(info, read_be64(h + 24), 1);
        if (r < 0)
                return r;
        r = read_features(info, &q);
        if (r < 0)
                return r;
        r = check_tables(file, info, &q, h);
        if (r < 0)
                return r;
        r = read_extensions(file, info, &q);
        if (r < 0)
                return r;
        r = read_backing(file, info, &q);
        if (r < 0)
                return r;
        r = read_encryption(file, info, &q);
        if (r < 0)
                return r;
        return image_read_qcow2_snapshots(file, info, q.n_snapshots, q.snapshots_offset);
}

int image_read_qcow2(const ImageFile *file, ImageInfo *info)
{
        int r;

        if (!image_extra(info))
                return -ENOMEM;
        r = read_all(file, info);
        /* Who has to know whether there is such a file asks for its name. */
        if (r >= 0 && info->extra->external_data && !info->extra->data_file)
                r = free_and_strdup(&info->extra->data_file, IMAGE_DATA_FILE_UNNAMED);
        return r < 0 ? r : 0;
}

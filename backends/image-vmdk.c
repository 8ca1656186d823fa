/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * VMDK, after VMware's "Virtual Disk Format 1.1": hosted sparse extents (KDMV, stream-optimised ones among
 * them), ESX's older sparse extents (COWD), and descriptors, be they files or embedded in an extent. All
 * little-endian; sizes in sectors of 512 bytes.
 */

#include "backends/image-internal.h"

#include <ctype.h>

#define SECTOR UINT64_C(512)

/* A descriptor of 2 GiB extents for the largest disk stays well below; QEMU believes as much. */
#define DESCRIPTOR_MAX (1024U * 1024U)

static bool is_space(char c)
{
        return c == ' ' || c == '\t';
}

static const char *skip_spaces(const char *s)
{
        while (is_space(*s))
                s++;
        return s;
}

/* "RW 4192256 SPARSE "disk-s001.vmdk"": the sectors in *ret. False: the line is no extent. */
static bool parse_extent(const char *line, uint64_t *ret)
{
        static const char *const access[] = {"RW", "RDONLY", "NOACCESS"};

        for (size_t i = 0; i < ELEMENTSOF(access); i++) {
                const char *s = startswith(line, access[i]);
                unsigned long long v;
                char *end;

                if (!s || !is_space(*s))
                        continue;
                s = skip_spaces(s);
                if (!isdigit((unsigned char) *s))
                        return false;
                /* Too large a number becomes ULLONG_MAX, which no capacity can be. */
                v = strtoull(s, &end, 10);
                if (!is_space(*end))
                        return false;
                *ret = v;
                return true;
        }
        return false;
}

/* key = "value" or key=value: the value's length in *ret_n, or NULL if the line is another's. */
static const char *parse_value(const char *line, const char *key, size_t *ret_n)
{
        const char *s = startswith(line, key);

        if (!s)
                return NULL;
        s = skip_spaces(s);
        if (*s != '=')
                return NULL;
        s = skip_spaces(s + 1);
        if (*s == '"') {
                s++;
                *ret_n = strcspn(s, "\"");
        } else
                *ret_n = strcspn(s, " \t");
        return s;
}

/* text is cut into lines in place. The sum of the extents in *ret_sectors. */
static int parse_descriptor(ImageInfo *info, char *text, uint64_t *ret_sectors)
{
        uint64_t sectors = 0;
        char *save = NULL;

        for (char *l = strtok_r(text, "\r\n", &save); l; l = strtok_r(NULL, "\r\n", &save)) {
                const char *line = skip_spaces(l), *value;
                uint64_t extent;
                size_t n;
                int r = 0;

                if (parse_extent(line, &extent)) {
                        if (__builtin_add_overflow(sectors, extent, &sectors))
                                sectors = UINT64_MAX;
                        continue;
                }
                value = parse_value(line, "parentFileNameHint", &n);
                if (value)
                        r = image_set_backing(info, value, n < IMAGE_NAME_MAX ? n : IMAGE_NAME_MAX, "vmdk");
                if (r < 0)
                        return r;
        }
        *ret_sectors = sectors;
        return 0;
}

int image_read_vmdk_text(const ImageFile *file, ImageInfo *info)
{
        _cleanup_free_ char *text = NULL;
        size_t n = file->size < DESCRIPTOR_MAX ? (size_t) file->size : DESCRIPTOR_MAX;
        uint64_t sectors;
        int r;

        if (file->size > DESCRIPTOR_MAX) {
                r = image_problem(info, "The descriptor is longer than any can be.");
                if (r < 0)
                        return r;
        }
        if (file->fd < 0 && n > file->n_head)
                n = file->n_head;
        r = image_read_alloc(file, info, 0, n, "descriptor", &text);
        if (r <= 0)
                return r;
        r = parse_descriptor(info, text, &sectors);
        if (r < 0)
                return r;
        if (sectors == 0)
                return image_problem(info, "The descriptor names no extents.");
        return image_set_capacity(info, sectors, SECTOR);
}

#define SPARSE_HEADER 79U
#define GD_AT_END UINT64_MAX
/* From the end of a stream-optimised file: footer marker, footer, end-of-stream marker. */
#define FOOTER_FROM_END 1024U

static int read_embedded(const ImageFile *file, ImageInfo *info, const uint8_t *h, uint64_t *ret_sectors)
{
        uint64_t offset = read_le64(h + 28), n = read_le64(h + 36);
        _cleanup_free_ char *text = NULL;
        int r;

        *ret_sectors = 0;
        if (offset == 0 || n == 0)
                return 0;
        if (n > DESCRIPTOR_MAX / SECTOR || offset > file->size / SECTOR)
                return image_problem(info, "The embedded descriptor lies beyond the end of the file.");
        r = image_read_alloc(file, info, offset * SECTOR, (size_t) (n * SECTOR), "embedded descriptor",
                             &text);
        if (r <= 0)
                return r;
        return parse_descriptor(info, text, ret_sectors);
}

/* The header of a stream-optimised extent that was written in one go: the true one is the footer. */
static int read_footer(const ImageFile *file, ImageInfo *info, uint8_t *h)
{
        uint8_t footer[SPARSE_HEADER];
        int r;

        if (file->size < FOOTER_FROM_END)
                return image_problem(info, "The footer is missing: the file was cut off.");
        r = image_read(file, info, file->size - FOOTER_FROM_END, footer, sizeof footer, "footer");
        if (r <= 0)
                return r;
        if (memcmp(footer, "KDMV", 4) != 0)
                return image_problem(info, "The footer is missing: the file was cut off.");
        /* What lies at the begin of the file, the descriptor, keeps its place from the first header. */
        memcpy(h + 12, footer + 12, 8);
        return 0;
}

static int check_sparse(const ImageFile *file, ImageInfo *info, const uint8_t *h)
{
        static const uint8_t line_ends[] = {'\n', ' ', '\r', '\n'};
        uint32_t version = read_le32(h + 4);
        uint64_t gd_offset = read_le64(h + 56);

        if (version < 1 || version > 3)
                return image_problem(info, "Version %" PRIu32 " of VMDK is not known.", version);
        if (memcmp(h + 73, line_ends, sizeof line_ends) != 0)
                return image_problem(info, "The file was damaged by a transfer as text.");
        if (gd_offset != GD_AT_END && gd_offset > file->size / SECTOR)
                return image_problem(info,
                                     "The grain directory lies beyond the end of the file: it was cut off.");
        return 0;
}

int image_read_vmdk_sparse(const ImageFile *file, ImageInfo *info)
{
        uint64_t grain, sectors;
        uint8_t h[SPARSE_HEADER];
        int r;

        r = image_read(file, info, 0, h, sizeof h, "header");
        if (r <= 0)
                return r;
        if (read_le64(h + 56) == GD_AT_END) {
                r = read_footer(file, info, h);
                if (r < 0)
                        return r;
        }
        grain = read_le64(h + 20);
        if (is_power_of_2(grain) && grain <= UINT32_MAX)
                r = image_set_cluster_size(info, grain * SECTOR);
        else
                r = image_problem(info, "A grain of %" PRIu64 " sectors is not possible.", grain);
        if (r < 0)
                return r;
        r = check_sparse(file, info, h);
        if (r < 0)
                return r;
        r = read_embedded(file, info, h, &sectors);
        if (r < 0)
                return r;
        /* Without a capacity of its own the header only carries the descriptor of other extents. */
        return image_set_capacity(info, read_le64(h + 12) ? read_le64(h + 12) : sectors, SECTOR);
}

#define COWD_HEADER 2048U
#define COWD_ROOT 1U
#define COWD_PARENT_MAX 1024U

int image_read_vmdk_cowd(const ImageFile *file, ImageInfo *info)
{
        uint8_t h[COWD_HEADER];
        uint32_t grain;
        int r;

        r = image_read(file, info, 0, h, sizeof h, "header");
        if (r <= 0)
                return r;
        grain = read_le32(h + 16);
        r = image_set_capacity(info, read_le32(h + 12), SECTOR);
        if (r < 0)
                return r;
        if (grain == 0)
                r = image_problem(info, "A grain of 0 sectors is not possible.");
        else
                r = image_set_cluster_size(info, grain * SECTOR);
        if (r < 0)
                return r;
        if (!image_within(read_le32(h + 20) * SECTOR, (uint64_t) read_le32(h + 24) * 4, file->size)) {
                r = image_problem(info,
                                  "The grain directory lies beyond the end of the file: it was cut off.");
                if (r < 0)
                        return r;
        }
        if (read_le32(h + 8) & COWD_ROOT || h[32] == 0)
                return 0;
        return image_set_backing(info, h + 32, COWD_PARENT_MAX, "vmdk");
}

/* VMware's Virtual Disk Format 1.1: a sparse extent of capacity 0 only holds a descriptor, which names
 * others. */
#define VMDK_CAPACITY_OFFSET 12U

bool image_vmdk_is_whole(const ImageFile *file)
{
        const uint8_t *capacity = file->head + VMDK_CAPACITY_OFFSET;

        if (file->n_head < VMDK_CAPACITY_OFFSET + 8)
                return false;
        if (memcmp(file->head, "COWD", 4) == 0)
                return true;
        for (size_t i = 0; i < 8; i++) {
                if (capacity[i] != 0)
                        return memcmp(file->head, "KDMV", 4) == 0;
        }
        return false;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/image-probe.h"

#include "backends/image-internal.h"

static const char *const image_format_names[_IMAGE_FORMAT_MAX] = {
        [IMAGE_RAW] = "raw",   [IMAGE_DIR] = "dir",     [IMAGE_BOCHS] = "bochs", [IMAGE_CLOOP] = "cloop",
        [IMAGE_COW] = "cow",   [IMAGE_DMG] = "dmg",     [IMAGE_ISO] = "iso",     [IMAGE_VPC] = "vpc",
        [IMAGE_VHDX] = "vhdx", [IMAGE_VDI] = "vdi",     [IMAGE_FAT] = "fat",     [IMAGE_PLOOP] = "ploop",
        [IMAGE_QCOW] = "qcow", [IMAGE_QCOW2] = "qcow2", [IMAGE_QED] = "qed",     [IMAGE_VMDK] = "vmdk",
        [IMAGE_LUKS] = "luks",
};

const char *image_format_to_string(ImageFormat f)
{
        return f < _IMAGE_FORMAT_MAX ? image_format_names[f] : NULL;
}

ImageFormat image_format_from_string(const char *s)
{
        if (streq(s, "vhd"))
                return IMAGE_VPC;
        for (ImageFormat f = 0; f < _IMAGE_FORMAT_MAX; f++) {
                if (streq(s, image_format_names[f]))
                        return f;
        }
        return _IMAGE_FORMAT_MAX;
}

typedef struct ImageMagic {
        ImageFormat format;
        uint32_t offset;
        uint32_t n;
        const char *bytes;
        int (*read)(const ImageFile *file, ImageInfo *info);
} ImageMagic;

/* The byte strings have NULs within: their length is taken from the literal. */
#define MAGIC(off, s) .offset = (off), .n = sizeof(s) - 1, .bytes = (s)

static const ImageMagic image_magics[] = {
        {IMAGE_QCOW, MAGIC(0, "QFI\xfb\0\0\0\x01"), image_read_qcow},
        {IMAGE_QCOW2, MAGIC(0, "QFI\xfb"), image_read_qcow2},
        {IMAGE_QED, MAGIC(0, "QED\0"), image_read_qed},
        {IMAGE_VMDK, MAGIC(0, "KDMV"), image_read_vmdk_sparse},
        {IMAGE_VMDK, MAGIC(0, "COWD"), image_read_vmdk_cowd},
        {IMAGE_VMDK, MAGIC(0, "# Disk DescriptorFile"), image_read_vmdk_text},
        {IMAGE_VHDX, MAGIC(0, "vhdxfile"), image_read_vhdx},
        {IMAGE_VPC, MAGIC(0, "conectix"), image_read_vpc_dynamic},
        {IMAGE_LUKS, MAGIC(0, "LUKS\xba\xbe"), image_read_luks},
        {IMAGE_VDI, MAGIC(64, "\x7f\x10\xda\xbe"), image_read_vdi},
        {IMAGE_BOCHS, MAGIC(0, "Bochs Virtual HD Image"), image_read_bochs},
        {IMAGE_CLOOP, MAGIC(0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file="), image_read_cloop},
        {IMAGE_COW, MAGIC(0, "OOOM\0\0\0\x02"), image_read_cow},
        {IMAGE_PLOOP, MAGIC(0, "WithouFreSpacExt"), image_read_ploop},
        {IMAGE_PLOOP, MAGIC(0, "WithoutFreeSpace"), image_read_ploop},
};

static const ImageMagic *find_magic(const uint8_t *head, size_t n_head)
{
        for (size_t i = 0; i < ELEMENTSOF(image_magics); i++) {
                const ImageMagic *m = &image_magics[i];

                if (m->offset + m->n <= n_head && memcmp(head + m->offset, m->bytes, m->n) == 0)
                        return m;
        }
        return NULL;
}

static bool has_suffix(const char *name, const char *suffix)
{
        const char *dot = name ? strrchr(name, '.') : NULL;

        return dot && strcasecmp(dot, suffix) == 0;
}

/* Descriptors and directories alone take more than one block of 4096, which a new raw volume may have. */
#define ISO_ALLOCATED_MIN 4096U

static bool may_be_iso(const ImageFile *file)
{
        if (file->size < IMAGE_ISO_DESCRIPTOR + 2048)
                return false;
        return (file->size % 2048 == 0 && file->allocated > ISO_ALLOCATED_MIN) ||
               has_suffix(file->name, ".iso");
}

static bool may_have_tail(const ImageFile *file)
{
        uint64_t over = file->size % 4096;

        if (file->size < 511)
                return false;
        return over == 512 || over == 511 || has_suffix(file->name, ".vhd") ||
               has_suffix(file->name, ".vpc") || has_suffix(file->name, ".dmg");
}

bool image_is_plain_raw(const ImageFile *file)
{
        return !may_be_iso(file) && !may_have_tail(file) && !image_is_fat(file) &&
               !find_magic(file->head, file->n_head);
}

int image_probe(const ImageFile *file, ImageInfo *ret)
{
        ImageInfo info = {.format = IMAGE_RAW};
        const ImageMagic *m = find_magic(file->head, file->n_head);
        int r = 0;

        if (m) {
                info.format = m->format;
                r = m->read(file, &info);
        } else if (image_is_fat(file)) {
                info.format = IMAGE_FAT;
                r = image_read_fat(file, &info);
        } else {
                info.capacity = file->size;
                if (may_be_iso(file))
                        r = image_try_iso(file, &info);
                if (r == 0 && info.format == IMAGE_RAW && may_have_tail(file))
                        r = image_try_tail(file, &info);
        }
        if (r < 0) {
                image_info_done(&info);
                return r;
        }
        *ret = info;
        return 0;
}

static void image_extra_free(ImageExtra *extra)
{
        if (!extra)
                return;
        for (size_t i = 0; i < extra->n_snapshots; i++) {
                free(extra->snapshots[i].id);
                free(extra->snapshots[i].name);
        }
        free(extra->snapshots);
        free(extra->backing_path);
        free(extra->backing_format);
        free(extra->cipher_name);
        free(extra->cipher_mode);
        free(extra->cipher_hash);
        free(extra->ivgen_name);
        free(extra->ivgen_hash);
        free(extra->compat);
        free(extra->data_file);
        free(extra->problem);
        free(extra);
}

void image_info_done(ImageInfo *info)
{
        image_extra_free(info->extra);
        *info = (ImageInfo){};
}

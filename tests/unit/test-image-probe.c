/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What of image_probe() shows without a real image: names, heads alone, when a second read is made. */

#include "backends/image-probe.h"

#undef NDEBUG
#include <assert.h>
#include <endian.h>

static void test_names(void)
{
        for (ImageFormat f = 0; f < _IMAGE_FORMAT_MAX; f++)
                assert(image_format_from_string(image_format_to_string(f)) == f);
        assert(image_format_from_string("vhd") == IMAGE_VPC);
        assert(image_format_from_string("") == _IMAGE_FORMAT_MAX);
        assert(image_format_from_string("QCOW2") == _IMAGE_FORMAT_MAX);
        assert(!image_format_to_string(_IMAGE_FORMAT_MAX));
}

static void put_be32(uint8_t *p, uint32_t v)
{
        v = htobe32(v);
        memcpy(p, &v, sizeof v);
}

static void put_be64(uint8_t *p, uint64_t v)
{
        v = htobe64(v);
        memcpy(p, &v, sizeof v);
}

/* 10 MiB in clusters of 64 KiB, with a backing file and a snapshot table that is elsewhere. */
static void make_qcow2(uint8_t *h)
{
        memset(h, 0, IMAGE_HEAD_SIZE);
        memcpy(h, "QFI\xfb", 4);
        put_be32(h + 4, 3);
        put_be64(h + 8, 512);
        put_be32(h + 16, 4);
        put_be32(h + 20, 16);
        put_be64(h + 24, 10 << 20);
        put_be32(h + 36, 1);
        put_be64(h + 40, 65536);
        put_be64(h + 48, 131072);
        put_be32(h + 56, 1);
        put_be32(h + 60, 1);
        put_be64(h + 64, 65536);
        put_be32(h + 100, 104);
        memcpy(h + 512, "base", 4);
}

static void test_head_alone(void)
{
        uint8_t h[IMAGE_HEAD_SIZE];
        ImageFile file = {.fd = -1, .head = h, .n_head = sizeof h, .size = 1 << 20};
        ImageInfo info;

        make_qcow2(h);
        assert(!image_is_plain_raw(&file));
        assert(image_probe(&file, &info) == 0);
        assert(info.format == IMAGE_QCOW2 && info.capacity == 10 << 20);
        assert(streq(info.extra->backing_path, "base") && !info.extra->backing_json);
        /* What lies elsewhere is left out, and is no problem. */
        assert(info.extra->n_snapshots == 0 && !info.extra->problem);
        image_info_done(&info);
        assert(!info.extra);

        /* The same in a file that is too short for its tables. */
        file.size = sizeof h;
        assert(image_probe(&file, &info) == 0);
        assert(info.format == IMAGE_QCOW2 && info.capacity == 10 << 20 && info.extra->problem);
        image_info_done(&info);
}

static void test_raw(void)
{
        static const uint8_t zero[IMAGE_HEAD_SIZE];
        ImageInfo info;

        for (uint64_t size = 0; size < 20000; size++) {
                ImageFile file = {.fd = -1,
                                  .head = zero,
                                  .n_head = size < sizeof zero ? size : sizeof zero,
                                  .size = size,
                                  .allocated = size};

                assert(image_probe(&file, &info) == 0);
                assert(info.format == IMAGE_RAW && info.capacity == size && !info.extra);
        }
}

static bool plain(uint64_t size, uint64_t allocated, const char *name)
{
        static const uint8_t zero[IMAGE_HEAD_SIZE];

        return image_is_plain_raw(&(ImageFile){
                .fd = -1,
                .head = zero,
                .n_head = sizeof zero,
                .size = size,
                .allocated = allocated,
                .name = name,
        });
}

/* The promise that keeps a scan fast. */
static void test_second_read(void)
{
        assert(plain(1 << 20, 0, "new.img"));
        assert(plain(1 << 20, 4096, "new-by-qemu.img"));
        assert(plain((1 << 20) + 100, 1 << 20, "odd.img"));
        assert(plain(32768, 32768, "short.iso"));
        assert(!plain(1 << 20, 1 << 20, "full.img"));
        assert(!plain(1 << 20, UINT64_MAX, NULL));
        assert(!plain(1 << 20, 0, "x.iso"));
        assert(!plain(1 << 20, 0, "x.VHD"));
        assert(!plain(1 << 20, 0, "x.vpc"));
        assert(!plain(1 << 20, 0, "x.dmg"));
        assert(plain(1 << 20, 0, "x.iso.img"));
        assert(plain(1 << 20, 0, "iso"));
        assert(!plain((1 << 20) + 512, 0, NULL));
        assert(!plain((1 << 20) + 511, 0, NULL));
}

int main(void)
{
        test_names();
        test_head_alone();
        test_raw();
        test_second_read();
        return 0;
}

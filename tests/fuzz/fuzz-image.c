/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * image_probe() on files that lie. So that small inputs can be large sparse files, an input is not the file
 * but its recipe: the length (4 bytes, little-endian), a byte of flags, then pieces: sector (4), length (2),
 * bytes. make-image-corpus.py writes these from real images.
 */

#include "backends/image-probe.h"

#undef NDEBUG
#include <assert.h>
#include <endian.h>
#include <sys/mman.h>

#define FLAGS_AT 4U
#define PIECES_AT 5U
#define PIECE_HEADER 6U
#define SIZE_MAX_MADE (UINT32_C(64) << 20)

#define FLAG_ISO 1U
#define FLAG_DMG 2U
#define FLAG_HEAD_ONLY 4U
#define FLAG_ALLOCATED 8U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t get_number(const uint8_t *p, size_t n)
{
        uint64_t v = 0;

        memcpy(&v, p, n);
        return le64toh(v);
}

/* Pieces beyond the end of the file are left out. */
static void make_file(int fd, uint64_t size, const uint8_t *data, size_t n)
{
        size_t at = PIECES_AT;

        assert(ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t) size) == 0);
        while (at + PIECE_HEADER <= n) {
                uint64_t offset = get_number(data + at, 4) * 512, length = get_number(data + at + 4, 2);

                at += PIECE_HEADER;
                if (length > n - at)
                        length = n - at;
                if (offset < size)
                        assert(pwrite(fd, data + at, length < size - offset ? length : size - offset,
                                      (off_t) offset) >= 0);
                at += length;
        }
}

static void check_string(const char *s)
{
        assert(!s || (*s && utf8_is_valid(s)));
}

static void check_extra(const ImageExtra *x)
{
        const char *const strings[] = {x->backing_path, x->backing_format, x->cipher_name, x->cipher_mode,
                                       x->cipher_hash,  x->ivgen_name,     x->ivgen_hash,  x->compat,
                                       x->data_file,    x->problem};

        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                check_string(strings[i]);
        assert(x->n_snapshots <= IMAGE_SNAPSHOTS_MAX);
        for (size_t i = 0; i < x->n_snapshots; i++) {
                assert(utf8_is_valid(x->snapshots[i].id));
                assert(utf8_is_valid(x->snapshots[i].name));
        }
}

static void probe(const ImageFile *file)
{
        ImageInfo info;

        assert(image_probe(file, &info) == 0);
        assert(image_format_to_string(info.format));
        assert(info.capacity <= INT64_MAX);
        if (image_is_plain_raw(file))
                assert(info.format == IMAGE_RAW && !info.extra && info.capacity == file->size);
        if (info.extra)
                check_extra(info.extra);
        image_info_done(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static uint8_t head[IMAGE_HEAD_SIZE];
        static int fd = -1;
        uint64_t size;
        ssize_t n_head;
        uint8_t flags;

        if (n < PIECES_AT)
                return 0;
        if (fd < 0)
                fd = memfd_create("image", MFD_CLOEXEC);
        assert(fd >= 0);
        size = get_number(data, 4) % SIZE_MAX_MADE;
        flags = data[FLAGS_AT];
        make_file(fd, size, data, n);
        n_head = pread(fd, head, sizeof head, 0);
        assert(n_head >= 0);
        probe(&(ImageFile){
                .fd = flags & FLAG_HEAD_ONLY ? -1 : fd,
                .head = head,
                .n_head = (size_t) n_head,
                .size = size,
                .allocated = flags & FLAG_ALLOCATED ? size : 0,
                .name = flags & FLAG_ISO   ? "image.iso"
                        : flags & FLAG_DMG ? "image.dmg"
                                           : NULL,
        });
        return 0;
}

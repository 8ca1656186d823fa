/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/image-internal.h"

#include <stdarg.h>

ImageExtra *image_extra(ImageInfo *info)
{
        if (!info->extra)
                info->extra = calloc(1, sizeof(ImageExtra));
        return info->extra;
}

bool image_is_damaged(const ImageExtra *extra)
{
        return extra && extra->problem && !extra->only_unlisted;
}

int image_problem(ImageInfo *info, const char *format, ...)
{
        ImageExtra *extra = image_extra(info);
        va_list ap;
        int r;

        if (!extra)
                return -ENOMEM;
        if (extra->problem)
                return 0;
        va_start(ap, format);
        r = vasprintf(&extra->problem, format, ap);
        va_end(ap);
        if (r < 0) {
                extra->problem = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* 0, or -ENODATA at the end of the file. */
static int pread_full(int fd, uint64_t off, uint8_t *buf, size_t n)
{
        while (n > 0) {
                ssize_t k = pread(fd, buf, n, (off_t) off);

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (k == 0)
                        return -ENODATA;
                buf += k;
                off += (uint64_t) k;
                n -= (size_t) k;
        }
        return 0;
}

int image_read(const ImageFile *file, ImageInfo *info, uint64_t off, void *buf, size_t n, const char *what)
{
        int r;

        if (!image_within(off, n, file->size)) {
                r = image_problem(info, "The %s lies beyond the end of the file.", what);
                return r < 0 ? r : 0;
        }
        if (image_within(off, n, file->n_head)) {
                memcpy(buf, file->head + off, n);
                return 1;
        }
        if (file->fd < 0)
                return 0;
        r = pread_full(file->fd, off, buf, n);
        if (r < 0) {
                r = image_problem(info, "The %s could not be read: %s.", what,
                                  r == -ENODATA ? "the file became shorter" : strerror(-r));
                return r < 0 ? r : 0;
        }
        return 1;
}

int image_read_alloc(const ImageFile *file, ImageInfo *info, uint64_t off, size_t n, const char *what,
                     char **ret)
{
        _cleanup_free_ char *buf = NULL;
        int r;

        buf = malloc(n + 1);
        if (!buf)
                return -ENOMEM;
        r = image_read(file, info, off, buf, n, what);
        if (r <= 0)
                return r;
        buf[n] = 0;
        *ret = TAKE_PTR(buf);
        return 1;
}

int image_set_string(char **p, const void *s, size_t n)
{
        char *valid = NULL;

        n = strnlen(s, n);
        if (n > 0) {
                int r = utf8_make_valid(s, n, &valid);

                if (r < 0)
                        return r;
        }
        free(*p);
        *p = valid;
        return 0;
}

static size_t utf8_encode(uint32_t c, char *out)
{
        if (c < 0x80) {
                out[0] = (char) c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char) (0xc0 | c >> 6);
                out[1] = (char) (0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char) (0xe0 | c >> 12);
                out[1] = (char) (0x80 | (c >> 6 & 0x3f));
                out[2] = (char) (0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (char) (0xf0 | c >> 18);
        out[1] = (char) (0x80 | (c >> 12 & 0x3f));
        out[2] = (char) (0x80 | (c >> 6 & 0x3f));
        out[3] = (char) (0x80 | (c & 0x3f));
        return 4;
}

int image_set_utf16(char **p, const uint8_t *s, size_t n, bool big_endian)
{
        _cleanup_free_ char *text = NULL;
        size_t w = 0;

        /* Two bytes become three at most, and four become four. */
        text = malloc(n / 2 * 3 + 1);
        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i + 2 <= n; i += 2) {
                uint32_t c = big_endian ? read_be16(s + i) : read_le16(s + i);

                if (c == 0)
                        break;
                if (c >= 0xd800 && c < 0xdc00 && i + 4 <= n) {
                        uint32_t low = big_endian ? read_be16(s + i + 2) : read_le16(s + i + 2);

                        if (low >= 0xdc00 && low < 0xe000) {
                                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                                i += 2;
                        }
                }
                if (c >= 0xd800 && c < 0xe000)
                        c = 0xfffd;
                w += utf8_encode(c, text + w);
        }
        return image_set_string(p, text, w);
}

/* As QEMU reads names: a colon before the first slash makes it a protocol's, "json:" among them. */
static bool is_protocol(const char *path)
{
        return path[strcspn(path, ":/")] == ':';
}

int image_backing_was_set(ImageInfo *info, const char *format)
{
        ImageExtra *extra = info->extra;

        if (!extra->backing_path)
                return 0;
        extra->backing_json = is_protocol(extra->backing_path);
        return format ? free_and_strdup(&extra->backing_format, format) : 0;
}

int image_set_backing(ImageInfo *info, const void *s, size_t n, const char *format)
{
        ImageExtra *extra = image_extra(info);
        int r;

        if (!extra)
                return -ENOMEM;
        r = image_set_string(&extra->backing_path, s, n);
        if (r < 0)
                return r;
        return image_backing_was_set(info, format);
}

int image_set_capacity(ImageInfo *info, uint64_t count, uint64_t unit)
{
        uint64_t bytes;

        if (__builtin_mul_overflow(count, unit, &bytes) || bytes > INT64_MAX)
                return image_problem(info,
                                     "The header's capacity of %" PRIu64 " × %" PRIu64
                                     " bytes is more than a disk can have.",
                                     count, unit);
        info->capacity = bytes;
        return 0;
}

int image_set_cluster_size(ImageInfo *info, uint64_t bytes)
{
        ImageExtra *extra = image_extra(info);

        if (!extra)
                return -ENOMEM;
        extra->cluster_size = bytes;
        return 0;
}

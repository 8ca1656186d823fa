/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * LUKS, after the "LUKS1 On-Disk Format Specification" 1.2.3 and the "LUKS2 On-Disk Format
 * Specification" 1.1. Binary fields are big-endian; LUKS2 has its particulars in a JSON text behind them.
 */

#include "backends/image-internal.h"

#include <json-c/json.h>

#define LUKS1_HEADER 592U
#define SECTOR UINT64_C(512)

#define LUKS2_BINARY 4096U
#define LUKS2_SIZE_MIN (16U * 1024)
#define LUKS2_SIZE_MAX (4U * 1024 * 1024)
/* cryptsetup's own header has 12 KiB of it; more than this is not parsed. */
#define JSON_MAX (256U * 1024)
#define JSON_DEPTH_MAX 16
#define SPEC_MAX 64U

/* "xts-plain64", "cbc-essiv:sha256": mode, IV generator and its hash. */
static int set_mode(ImageExtra *extra, const char *spec, size_t n)
{
        const char *iv = memchr(spec, '-', n), *hash;
        size_t n_iv;
        int r;

        r = image_set_string(&extra->cipher_mode, spec, iv ? (size_t) (iv - spec) : n);
        if (r < 0 || !iv)
                return r;
        iv++;
        n_iv = n - (size_t) (iv - spec);
        hash = memchr(iv, ':', n_iv);
        r = image_set_string(&extra->ivgen_name, iv, hash ? (size_t) (hash - iv) : n_iv);
        if (r < 0 || !hash)
                return r;
        hash++;
        return image_set_string(&extra->ivgen_hash, hash, n - (size_t) (hash - spec));
}

static void set_key_bytes(ImageExtra *extra, uint32_t bytes)
{
        bool two = extra->cipher_mode && streq(extra->cipher_mode, "xts");

        if (bytes <= 512)
                extra->cipher_size = bytes * 8 / (two ? 2 : 1);
}

static int read_luks1(const ImageFile *file, ImageInfo *info, uint64_t offset, uint64_t *ret_payload)
{
        ImageExtra *extra = info->extra;
        uint8_t h[LUKS1_HEADER];
        int r;

        extra->encryption = ENCRYPTION_LUKS;
        r = image_read(file, info, offset, h, sizeof h, "LUKS header");
        if (r <= 0)
                return r;
        r = image_set_string(&extra->cipher_name, h + 8, 32);
        if (r < 0)
                return r;
        r = set_mode(extra, (const char *) h + 40, strnlen((const char *) h + 40, 32));
        if (r < 0)
                return r;
        r = image_set_string(&extra->cipher_hash, h + 72, 32);
        if (r < 0)
                return r;
        set_key_bytes(extra, read_be32(h + 108));
        *ret_payload = read_be32(h + 104) * SECTOR;
        return 0;
}

static struct json_object *json_get(struct json_object *o, const char *key, enum json_type type)
{
        struct json_object *v;

        if (!o || !json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, type))
                return NULL;
        return v;
}

/* The first member of an object of objects. */
static struct json_object *json_first(struct json_object *o)
{
        struct lh_entry *e = o ? json_object_get_object(o)->head : NULL;
        struct json_object *v = e ? (struct json_object *) lh_entry_v(e) : NULL;

        return v && json_object_is_type(v, json_type_object) ? v : NULL;
}

/* A number of bytes, which LUKS2 writes as a string. */
static bool json_get_bytes(struct json_object *o, const char *key, uint64_t *ret)
{
        struct json_object *v = json_get(o, key, json_type_string);
        const char *s = v ? json_object_get_string(v) : "";
        char *end;

        if (*s < '0' || *s > '9')
                return false;
        errno = 0;
        *ret = strtoull(s, &end, 10);
        return errno == 0 && *end == 0;
}

static int set_segment(ImageInfo *info, struct json_object *segment, uint64_t *ret_payload)
{
        struct json_object *v = json_get(segment, "encryption", json_type_string);
        const char *spec, *dash;
        size_t n;
        int r;

        if (!v || !json_get_bytes(segment, "offset", ret_payload))
                return image_problem(info, "The LUKS2 header does not tell where its data are.");
        spec = json_object_get_string(v);
        n = strnlen(spec, SPEC_MAX);
        dash = memchr(spec, '-', n);
        r = image_set_string(&info->extra->cipher_name, spec, dash ? (size_t) (dash - spec) : n);
        if (r < 0 || !dash)
                return r;
        dash++;
        return set_mode(info->extra, dash, n - (size_t) (dash - spec));
}

static int set_keyslot(ImageInfo *info, struct json_object *keyslot)
{
        struct json_object *size = json_get(keyslot, "key_size", json_type_int),
                           *hash = json_get(json_get(keyslot, "af", json_type_object), "hash",
                                            json_type_string);

        if (size) {
                int64_t bytes = json_object_get_int64(size);

                set_key_bytes(info->extra, bytes > 0 && bytes <= 512 ? (uint32_t) bytes : 0);
        }
        if (!hash)
                return 0;
        return image_set_string(&info->extra->cipher_hash, json_object_get_string(hash), SPEC_MAX);
}

static int parse_luks2(ImageInfo *info, const char *text, size_t n, uint64_t *ret_payload)
{
        struct json_tokener *tokener;
        struct json_object *root;
        int r;

        tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
        if (!tokener)
                return -ENOMEM;
        root = json_tokener_parse_ex(tokener, text, (int) n);
        json_tokener_free(tokener);
        if (!json_object_is_type(root, json_type_object)) {
                json_object_put(root);
                return image_problem(info, "The LUKS2 header's JSON cannot be parsed.");
        }
        r = set_segment(info, json_first(json_get(root, "segments", json_type_object)), ret_payload);
        if (r >= 0)
                r = set_keyslot(info, json_first(json_get(root, "keyslots", json_type_object)));
        json_object_put(root);
        return r;
}

static int read_luks2(const ImageFile *file, ImageInfo *info, uint64_t offset, uint64_t *ret_payload)
{
        _cleanup_free_ char *text = NULL;
        uint8_t h[16];
        uint64_t size;
        size_t n;
        int r;

        info->extra->encryption = ENCRYPTION_LUKS2;
        r = image_read(file, info, offset, h, sizeof h, "LUKS header");
        if (r <= 0)
                return r;
        size = read_be64(h + 8);
        if (!is_power_of_2(size) || size < LUKS2_SIZE_MIN || size > LUKS2_SIZE_MAX)
                return image_problem(info, "A LUKS2 header of %" PRIu64 " bytes is not possible.", size);
        if (!image_within(offset, size, file->size))
                return image_problem(info, "The LUKS2 header is longer than the file: it was cut off.");
        n = size - LUKS2_BINARY < JSON_MAX ? (size_t) (size - LUKS2_BINARY) : JSON_MAX;
        r = image_read_alloc(file, info, offset + LUKS2_BINARY, n, "LUKS2 header's JSON", &text);
        if (r <= 0)
                return r;
        return parse_luks2(info, text, strnlen(text, n) + 1, ret_payload);
}

int image_read_luks_at(const ImageFile *file, ImageInfo *info, uint64_t offset, uint64_t *ret_payload)
{
        uint8_t h[8];
        int r;

        *ret_payload = 0;
        r = image_read(file, info, offset, h, sizeof h, "LUKS header");
        if (r <= 0)
                return r;
        if (memcmp(h, "LUKS\xba\xbe", 6) != 0)
                return image_problem(info, "There is no LUKS header where it should be.");
        switch (read_be16(h + 6)) {
        case 1:
                return read_luks1(file, info, offset, ret_payload);
        case 2:
                return read_luks2(file, info, offset, ret_payload);
        default:
                return image_problem(info, "Version %u of LUKS is not known.", read_be16(h + 6));
        }
}

int image_read_luks(const ImageFile *file, ImageInfo *info)
{
        uint64_t payload;
        int r;

        if (!image_extra(info))
                return -ENOMEM;
        info->extra->encryption = ENCRYPTION_LUKS;
        r = image_read_luks_at(file, info, 0, &payload);
        if (r < 0)
                return r;
        /* A detached header says 0: the data are elsewhere. */
        if (payload == 0)
                return 0;
        if (payload > file->size)
                return image_problem(info, "The data lie beyond the end of the file: it was cut off.");
        return image_set_capacity(info, file->size - payload, 1);
}

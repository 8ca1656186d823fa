/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/qemu-img.h"

#include <inttypes.h>

static int append_option(char **options, const char *name, const char *value)
{
        char *longer;

        if (asprintf(&longer, "%s%s%s=%s", strempty(*options), *options ? "," : "", name, value) < 0)
                return -ENOMEM;
        free(*options);
        *options = longer;
        return 0;
}

/* The same, for an option of the encryption, which in an image has a prefix. */
static int append_luks_option(char **options, const char *prefix, const char *name, const char *value)
{
        char full[64];

        (void) snprintf(full, sizeof(full), "%s%s", prefix, name);
        return value ? append_option(options, full, value) : 0;
}

/* BlockdevCreateOptionsLUKS in QEMU's qapi/block-core.json; its ciphers have their size in their names. */
static int luks_options(const VolumeEncryption *e, const char *prefix, char **options)
{
        char cipher[96];
        int r;

        r = append_luks_option(options, prefix, "key-secret", QEMU_IMG_SECRET);
        if (r >= 0 && e->cipher_name) {
                (void) snprintf(cipher, sizeof(cipher), "%s-%" PRIu32, e->cipher_name, e->cipher_size);
                r = append_luks_option(options, prefix, "cipher-alg", cipher);
        }
        if (r >= 0)
                r = append_luks_option(options, prefix, "cipher-mode", e->cipher_mode);
        if (r >= 0)
                r = append_luks_option(options, prefix, "hash-alg", e->cipher_hash);
        if (r >= 0)
                r = append_luks_option(options, prefix, "ivgen-alg", e->ivgen_name);
        return r < 0 ? r : append_luks_option(options, prefix, "ivgen-hash-alg", e->ivgen_hash);
}

/* What is allocated but not written is none of QEMU's business. */
static int raw_options(const ImagePlan *plan, const VolumeDef *def, char **options)
{
        int r = luks_options(&def->encryption, "", options);

        if (r < 0 || plan->preallocation != PREALLOCATION_FULL)
                return r;
        return append_option(options, "preallocation", "full");
}

/* No value has a comma, which QEMU would take as the next option: words and numbers that were checked. */
static int qcow2_options(const ImagePlan *plan, const VolumeDef *def, char **options)
{
        char number[32];
        int r;

        r = append_option(options, "compat", def->compat ?: "1.1");
        if (r >= 0 && plan->encrypted)
                r = append_option(options, "encrypt.format", "luks");
        if (r >= 0 && plan->encrypted)
                r = luks_options(&def->encryption, "encrypt.", options);
        if (r >= 0 && def->cluster_size > 0) {
                (void) snprintf(number, sizeof(number), "%" PRIu64, def->cluster_size);
                r = append_option(options, "cluster_size", number);
        }
        if (r >= 0 && def->lazy_refcounts != TRISTATE_UNSET)
                r = append_option(options, "lazy_refcounts",
                                  def->lazy_refcounts == TRISTATE_YES ? "on" : "off");
        if (r >= 0 && def->extended_l2 != TRISTATE_UNSET)
                r = append_option(options, "extended_l2", def->extended_l2 == TRISTATE_YES ? "on" : "off");
        if (r >= 0 && plan->preallocation != PREALLOCATION_OFF)
                r = append_option(options, "preallocation", preallocation_to_string(plan->preallocation));
        return r;
}

static int extend_all(char ***l, const char *const *strings)
{
        for (; *strings; strings++) {
                int r = strv_extend(l, *strings);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The passphrase comes through a descriptor. */
int qemu_img_extend_with_secret(char ***argv, const char *id, unsigned fd)
{
        _cleanup_free_ char *object = NULL;

        if (asprintf(&object, "secret,id=%s,format=raw,file=/proc/self/fd/%u", id, fd) < 0) {
                object = NULL;
                return -ENOMEM;
        }
        return extend_all(argv, (const char *const[]){"--object", object, NULL});
}

int qemu_img_create_argv(const ImagePlan *plan, const VolumeDef *def, const char *target, char ***ret)
{
        bool raw_luks = plan->format == IMAGE_RAW && plan->encrypted;
        const char *const begin[] = {
                "qemu-img", "create", "-q", "-f", raw_luks ? "luks" : image_format_to_qemu(plan->format),
                NULL};
        const char *const backing[] = {"-u", "-b", plan->backing_path, "-F", plan->backing_format, NULL};
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *options = NULL;
        char size[32];
        int r;

        (void) snprintf(size, sizeof(size), "%" PRIu64, plan->capacity);
        r = extend_all(&argv, begin);
        if (r >= 0 && plan->encrypted)
                r = qemu_img_extend_with_secret(&argv, QEMU_IMG_SECRET, QEMU_IMG_SECRET_FD);
        if (r >= 0 && plan->backing_path)
                r = extend_all(&argv, backing);
        if (r >= 0 && plan->format == IMAGE_QCOW2)
                r = qcow2_options(plan, def, &options);
        if (r >= 0 && raw_luks)
                r = raw_options(plan, def, &options);
        if (r >= 0 && options)
                r = extend_all(&argv, (const char *const[]){"-o", options, NULL});
        if (r >= 0)
                r = extend_all(&argv, (const char *const[]){target, size, NULL});
        if (r >= 0)
                *ret = TAKE_PTR(argv);
        return r;
}

int qemu_img_resize_argv(const QemuImgResize *z, char ***ret)
{
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *image = NULL;
        char size[32];
        int r;

        /*
         * What the header names as its backing store is only as good as whoever wrote the header: QEMU must
         * not open it.
         */
        if (asprintf(&image,
                     "json:{\"driver\":\"%s\",%s\"backing\":null,\"file\":{\"driver\":\"file\","
                     "\"locking\":\"off\",\"filename\":\"" QEMU_IMG_TARGET "\"}}",
                     z->format,
                     z->encrypted ? "\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"" QEMU_IMG_SECRET
                                    "\"},"
                                  : "") < 0) {
                image = NULL;
                return -ENOMEM;
        }
        (void) snprintf(size, sizeof(size), "%" PRIu64, z->capacity);
        r = extend_all(&argv, (const char *const[]){"qemu-img", "resize", "-q", NULL});
        if (r >= 0 && z->encrypted)
                r = qemu_img_extend_with_secret(&argv, QEMU_IMG_SECRET, QEMU_IMG_SECRET_FD);
        if (r >= 0 && z->shrink)
                r = strv_extend(&argv, "--shrink");
        if (r >= 0 && z->preallocation)
                r = extend_all(&argv, (const char *const[]){"--preallocation", z->preallocation, NULL});
        if (r >= 0)
                r = extend_all(&argv, (const char *const[]){image, size, NULL});
        if (r >= 0)
                *ret = TAKE_PTR(argv);
        return r;
}

int qemu_img_convert_argv(const QemuImgConvert *c, char ***ret)
{
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *target = NULL;
        char offset[40] = "";
        const char *key = "";
        int r;

        if (c->offset > 0)
                (void) snprintf(offset, sizeof(offset), "offset=%" PRIu64 ",", c->offset);
        if (c->secret_fd > 0)
                key = streq(c->target_format, "luks")
                              ? "key-secret=" QEMU_IMG_SECRET ","
                              : "encrypt.format=luks,encrypt.key-secret=" QEMU_IMG_SECRET ",";
        if (asprintf(&target, "driver=%s,%s%sfile.driver=%s,file.locking=off,file.filename=%s",
                     c->target_format, key, offset, c->device ? "host_device" : "file", c->target) < 0) {
                target = NULL;
                return -ENOMEM;
        }
        r = extend_all(&argv, (const char *const[]){"qemu-img", "convert", "-p", "-n", NULL});
        if (r >= 0 && c->secret_fd > 0)
                r = qemu_img_extend_with_secret(&argv, QEMU_IMG_SECRET, c->secret_fd);
        if (r >= 0 && c->objects)
                r = extend_all(&argv, (const char *const *) c->objects);
        if (r >= 0 && c->zero)
                r = strv_extend(&argv, "--target-is-zero");
        if (r >= 0 && c->compress)
                r = strv_extend(&argv, "-c");
        if (r >= 0 && c->direct)
                r = extend_all(&argv, (const char *const[]){"-t", "none", NULL});
        /* Where nothing is allocated by writing, the order does not matter. */
        if (r >= 0 && streq(c->target_format, "raw"))
                r = strv_extend(&argv, "-W");
        if (r >= 0)
                r = extend_all(&argv, (const char *const[]){"--target-image-opts", c->source, target, NULL});
        if (r >= 0)
                *ret = TAKE_PTR(argv);
        return r;
}

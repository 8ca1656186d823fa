/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/image-chain.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "backends/copy-raw.h"

bool image_format_is_plain(ImageFormat format)
{
        return format == IMAGE_RAW || format == IMAGE_ISO || format == IMAGE_FAT || format == IMAGE_LUKS;
}

static int read_member(sd_bus_message *m, ImageChain *chain, sd_bus_error *error)
{
        const char *format, *secret;
        int fd, r;

        r = sd_bus_message_read(m, "shs", &format, &fd, &secret);
        if (r < 0)
                return r;
        if (chain->n >= IMAGE_CHAIN_MAX)
                return error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                  "More than %u images are built on each other", IMAGE_CHAIN_MAX);
        chain->formats[chain->n] = isempty(format) ? IMAGE_RAW : image_format_from_string(format);
        if (chain->formats[chain->n] == _IMAGE_FORMAT_MAX)
                return error_setf(error, STORAGE_ERROR_UNSUPPORTED, "There is no image format '%.64s'",
                                  format);
        chain->secrets[chain->n] = isempty(secret) ? NULL : secret;
        chain->fds[chain->n++] = fd;
        return 0;
}

int image_chain_read(sd_bus_message *m, ImageChain *ret, sd_bus_error *error)
{
        int r;

        *ret = (ImageChain){};
        r = sd_bus_message_enter_container(m, 'a', "(shs)");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'r', "shs")) > 0) {
                r = read_member(m, ret, error);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r >= 0 && ret->n == 0 ? -EINVAL : r;
}

static int refuse(BackendContext *ctx, const char *name, size_t i, const char *error_name, const char *why)
{
        return error_setf(ctx->error, error_name, "Volume '%s' cannot be made: %s %s", name,
                          i == 0 ? "its source" : "an image that its source is built on", why);
}

int image_chain_probe(int fd, uint8_t *head, ImageFile *file, ImageInfo *ret)
{
        ssize_t n;
        int r;

        *file = (ImageFile){.fd = fd, .head = head, .allocated = UINT64_MAX};
        r = copy_size(fd, &file->size);
        if (r < 0)
                return r;
        n = pread(fd, head, IMAGE_HEAD_SIZE, 0);
        if (n < 0)
                return -errno;
        file->n_head = (size_t) n;
        return image_probe(file, ret);
}

static int check_extra(BackendContext *ctx, const ImageChain *chain, size_t i, const ImageExtra *extra,
                       const char *name)
{
        bool encrypted = extra && extra->encryption != ENCRYPTION_NONE;

        if (!image_format_is_plain(chain->formats[i]) && image_is_damaged(extra))
                return refuse(ctx, name, i, STORAGE_ERROR_FAILED, "is damaged, or cannot be understood");
        if (chain->secrets[i] && (!encrypted || extra->encryption != ENCRYPTION_LUKS))
                return refuse(ctx, name, i, STORAGE_ERROR_BUSY,
                              "is not encrypted as it was when it was looked at last; try again");
        if (encrypted && !chain->secrets[i])
                return refuse(ctx, name, i, STORAGE_ERROR_UNSUPPORTED,
                              "is encrypted, and cannot be read without its secret");
        if (extra && extra->external_data)
                return refuse(ctx, name, i, STORAGE_ERROR_UNSUPPORTED, "has its data in another file");
        if ((extra && extra->backing_path) != (i + 1 < chain->n))
                return refuse(ctx, name, i, STORAGE_ERROR_BUSY,
                              "is built on something else than when it was looked at last; try again");
        return 0;
}

static int check_member(BackendContext *ctx, const ImageChain *chain, size_t i, const char *name,
                        uint64_t *ret_capacity, bool *ret_snapshots)
{
        ImageFormat format = chain->formats[i];
        uint8_t head[IMAGE_HEAD_SIZE];
        ImageInfo info = {};
        ImageFile file;
        int r;

        r = copy_size(chain->fds[i], ret_capacity);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot look at what is copied to volume '%s'", name);
        *ret_snapshots = false;
        if (format == IMAGE_LUKS && i > 0 && !chain->secrets[i])
                return refuse(ctx, name, i, STORAGE_ERROR_UNSUPPORTED,
                              "is encrypted, and cannot be read without its secret");
        if (image_format_is_plain(format) && !chain->secrets[i])
                return 0;
        r = image_chain_probe(chain->fds[i], head, &file, &info);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot read what is copied to volume '%s'", name);
        if (info.format != format)
                r = refuse(ctx, name, i, STORAGE_ERROR_BUSY,
                           "is not of the format that it should have; try again");
        else if (format == IMAGE_VMDK && !image_vmdk_is_whole(&file))
                r = refuse(ctx, name, i, STORAGE_ERROR_UNSUPPORTED, "has its data in other files");
        else
                r = check_extra(ctx, chain, i, info.extra, name);
        *ret_capacity = info.capacity;
        *ret_snapshots = info.extra && info.extra->n_snapshots > 0;
        image_info_done(&info);
        return r;
}

int image_chain_check(BackendContext *ctx, const ImageChain *chain, const char *name, uint64_t *ret_capacity,
                      bool *ret_snapshots)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < chain->n; i++) {
                uint64_t capacity;
                bool snapshots;

                r = check_member(ctx, chain, i, name, &capacity, &snapshots);
                if (i > 0)
                        continue;
                *ret_capacity = capacity;
                *ret_snapshots = snapshots;
        }
        return r;
}

/* The id of the secret of the image whose descriptor has that number in the child. */
#define SECRET_ID "src%u"

/* What opens an encrypted image: a container is LUKS itself, qcow2 has it in it. */
static char *format_decryption(const ImageChain *chain, size_t i, unsigned number)
{
        char *text;
        int n;

        if (!chain->secrets[i])
                return strdup("");
        n = chain->formats[i] == IMAGE_LUKS
                    ? asprintf(&text, "\"key-secret\":\"" SECRET_ID "\",", number)
                    : asprintf(&text, "\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"" SECRET_ID "\"},",
                               number);
        return n < 0 ? NULL : text;
}

/* The chain, without what tells that it is no file's name. */
static char *format_node(const ImageChain *chain, unsigned first)
{
        char *text = strdup("null");

        for (size_t i = chain->n; text && i-- > 0;) {
                struct stat st;
                bool device = fstat(chain->fds[i], &st) >= 0 && S_ISBLK(st.st_mode);
                _cleanup_free_ char *decryption = format_decryption(chain, i, first + (unsigned) i);
                char *longer;

                if (!decryption)
                        longer = NULL;
                else if (asprintf(&longer,
                                  "{\"driver\":\"%s\",%s\"backing\":%s,\"file\":{\"driver\":\"%s\","
                                  "\"locking\":"
                                  "\"off\","
                                  "\"filename\":\"/proc/self/fd/%u\"}}",
                                  strempty(image_format_to_qemu(chain->formats[i])), decryption, text,
                                  device ? "host_device" : "file", first + (unsigned) i) < 0)
                        longer = NULL;
                free(text);
                text = longer;
        }
        return text;
}

int image_chain_format(const ImageChain *chain, unsigned first, char **ret)
{
        _cleanup_free_ char *node = format_node(chain, first);
        char *text;

        if (!node || asprintf(&text, "json:%s", node) < 0)
                return -ENOMEM;
        *ret = text;
        return 0;
}

int image_chain_format_part(const ImageChain *chain, unsigned first, uint64_t start, uint64_t end,
                            char **ret)
{
        _cleanup_free_ char *node = format_node(chain, first);
        char size[40] = "", *text;

        if (end != UINT64_MAX)
                (void) snprintf(size, sizeof size, "\"size\":%" PRIu64 ",", end - start);
        if (!node || asprintf(&text, "json:{\"driver\":\"raw\",\"offset\":%" PRIu64 ",%s\"file\":%s}", start,
                              size, node) < 0)
                return -ENOMEM;
        *ret = text;
        return 0;
}

int image_chain_add_secrets(BackendContext *ctx, const ImageChain *chain, unsigned first,
                            int fds[static QEMU_IMG_FDS_MAX], size_t *n, char ***argv)
{
        for (size_t i = 0; i < chain->n; i++) {
                char id[16];
                int fd;

                if (!chain->secrets[i])
                        continue;
                if (*n >= QEMU_IMG_FDS_MAX)
                        return error_setf(ctx->error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                          "Too many encrypted images are built on each other");
                fd = qemu_img_open_secret(ctx, chain->secrets[i]);
                if (fd < 0)
                        return fd;
                (void) snprintf(id, sizeof id, SECRET_ID, first + (unsigned) i);
                if (qemu_img_extend_with_secret(argv, id, QEMU_IMG_FD + (unsigned) *n) < 0) {
                        (void) close(fd);
                        return error_set_errno(ctx->error, ENOMEM, "Cannot read an encrypted image");
                }
                fds[(*n)++] = fd;
        }
        return 0;
}

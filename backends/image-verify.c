/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/image-verify.h"

#include <sys/stat.h>

#include "backends/format-record.h"
#include "backends/image-chain.h"
#include "backends/image-probe.h"

/* What the first size bytes are by themselves. */
static int look(BackendContext *ctx, int fd, uint64_t size, const char *volume, ImageFormat wanted, ImageFormat *ret)
{
        uint8_t head[IMAGE_HEAD_SIZE];
        char name[32];
        ImageFile file = {.fd = fd, .head = head, .size = size, .allocated = UINT64_MAX, .name = volume};
        ImageInfo info = {};
        ssize_t n;

        /* Some show themselves only to those who look for them, as the name tells to do. */
        (void) snprintf(name, sizeof name, "volume.%s", strempty(image_format_to_string(wanted)));
        if (wanted != IMAGE_RAW)
                file.name = name;
        n = pread(fd, head, size < sizeof head ? (size_t) size : sizeof head, 0);
        if (n < 0)
                return error_set_errno(ctx->error, errno, "Cannot read volume '%s'", volume);
        file.n_head = (size_t) n;
        if (image_probe(&file, &info) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot look at volume '%s'", volume);
        *ret = info.format;
        image_info_done(&info);
        return 0;
}

int image_verify_format(BackendContext *ctx, int fd, const char *volume, const char *format)
{
        ImageFormat wanted = image_format_from_string(format), found;
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return error_set_errno(ctx->error, errno, "Cannot read volume '%s'", volume);
        r = look(ctx, fd, (uint64_t) st.st_size, volume, wanted, &found);
        if (r < 0)
                return r;
        if (found == wanted || (wanted == IMAGE_RAW && image_format_is_plain(found)))
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "What is to be volume '%s' has format %s, not %s", volume,
                          image_format_to_string(found), format);
}

int image_accept_format(BackendContext *ctx, int fd, uint64_t size, const char *volume)
{
        ImageFormat found;
        struct stat st;
        int r;

        /* Devices have no such record. */
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return 0;
        r = look(ctx, fd, size, volume, IMAGE_RAW, &found);
        if (r < 0 || image_format_is_plain(found))
                return r;
        r = format_record_remove(fd);
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot give volume '%s' the format that it has now", volume)
                     : 0;
}

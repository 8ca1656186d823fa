/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/image-verify.h"

#include <sys/stat.h>

#include "backends/image-chain.h"
#include "backends/image-probe.h"

int image_verify_format(BackendContext *ctx, int fd, const char *volume, const char *format)
{
        ImageFormat wanted = image_format_from_string(format), found;
        uint8_t head[IMAGE_HEAD_SIZE];
        char name[32];
        ImageFile file = {.fd = fd, .head = head, .allocated = UINT64_MAX, .name = volume};
        ImageInfo info = {};
        struct stat st;
        ssize_t n;

        /* Some show themselves only to those who look for them, as the name tells to do. */
        (void) snprintf(name, sizeof name, "volume.%s", format);
        if (wanted != IMAGE_RAW)
                file.name = name;
        n = pread(fd, head, sizeof head, 0);
        if (n < 0 || fstat(fd, &st) < 0)
                return error_set_errno(ctx->error, errno, "Cannot read volume '%s'", volume);
        file.n_head = (size_t) n;
        file.size = (uint64_t) st.st_size;
        if (image_probe(&file, &info) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot look at volume '%s'", volume);
        found = info.format;
        image_info_done(&info);
        if (found == wanted || (wanted == IMAGE_RAW && image_format_is_plain(found)))
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "What is to be volume '%s' has format %s, not %s", volume,
                          image_format_to_string(found), format);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/sendfile.h>

#include "common/errors.h"
#include "tools/copy.h"

#define CHUNK_BYTES (UINT64_C(1) << 20)

static int write_all(int fd, const char *data, size_t n)
{
        while (n > 0) {
                ssize_t written = write(fd, data, n);

                if (written < 0 && errno != EINTR)
                        return -errno;
                if (written > 0) {
                        data += written;
                        n -= (size_t) written;
                }
        }
        return 0;
}

/* For what sendfile() does not do: an output opened for appending, a source that is no file. */
static int copy_by_hand(int from, int to, sd_bus_error *error)
{
        _cleanup_free_ char *buf = malloc(CHUNK_BYTES);

        if (!buf)
                return -ENOMEM;
        for (;;) {
                ssize_t n = read(from, buf, CHUNK_BYTES);
                int r;

                if (n == 0)
                        return 0;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set_errno(error, errno, "cannot read the volume");
                r = write_all(to, buf, (size_t) n);
                if (r < 0)
                        return error_set_errno(error, r, "cannot write to standard output");
        }
}

int copy_all(int from, int to, sd_bus_error *error)
{
        for (;;) {
                ssize_t n = sendfile(to, from, NULL, CHUNK_BYTES);

                if (n == 0)
                        return 0;
                if (n > 0 || errno == EINTR)
                        continue;
                if (errno == EINVAL || errno == ENOSYS)
                        return copy_by_hand(from, to, error);
                return error_set_errno(error, errno, "cannot copy the volume to standard output");
        }
}

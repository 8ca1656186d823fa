/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/format-record.h"

#include <inttypes.h>
#include <sys/xattr.h>

#include "common/util.h"

#define ATTRIBUTE "user.storaged.format"
#define RAW "raw "
/* "raw 1048576" */
#define VALUE_SIZE 32U

/* A server that does not trust root may forbid it, too. */
static bool is_not_for_us(int error)
{
        return error == EOPNOTSUPP || error == EPERM || error == EACCES;
}

int format_record_raw(int fd, uint64_t size)
{
        char value[VALUE_SIZE];
        int n = snprintf(value, sizeof value, RAW "%" PRIu64, size);

        return fsetxattr(fd, ATTRIBUTE, value, (size_t) n, 0) >= 0 || is_not_for_us(errno) ? 0 : -errno;
}

int format_record_remove(int fd)
{
        /* Most files have none, and to look at them shall write nothing, not even in vain. */
        if (fgetxattr(fd, ATTRIBUTE, NULL, 0) < 0)
                return 0;
        return fremovexattr(fd, ATTRIBUTE) >= 0 || errno == ENODATA || is_not_for_us(errno) ? 0 : -errno;
}

bool format_is_recorded_raw(int fd, uint64_t size)
{
        char value[VALUE_SIZE], *end;
        ssize_t n = fgetxattr(fd, ATTRIBUTE, value, sizeof value - 1);
        const char *number;

        if (n < 0)
                return false;
        value[n] = 0;
        number = startswith(value, RAW);
        return number && *number >= '0' && *number <= '9' && strtoull(number, &end, 10) <= size && *end == 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/device-id.h"

#include <sys/stat.h>

bool device_id_get(const char *path, dev_t *ret)
{
        struct stat st;

        if (!startswith(path, "/dev/") || strstr(path, "/../") || stat(path, &st) < 0 ||
            !S_ISBLK(st.st_mode))
                return false;
        *ret = st.st_rdev;
        return true;
}

bool device_id_same(const char *a, const char *b)
{
        dev_t x, y;

        return streq(a, b) || (device_id_get(a, &x) && device_id_get(b, &y) && x == y);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef NDEBUG
#include <assert.h>

#include "backends/find-drives.h"

static void check(const char *s, const char *expected)
{
        _cleanup_free_ char *out = NULL;

        assert(drive_decode(s, &out) == 0);
        if (!streq_ptr(out, expected)) {
                fprintf(stderr, "'%s' became '%s', not '%s'\n", s, strempty(out), strempty(expected));
                abort();
        }
}

int main(void)
{
        check("QEMU", "QEMU");
        check("QEMU\\x20CD-ROM\\x20\\x20\\x20", "QEMU CD-ROM");
        check("  a b ", "a b");
        check("", NULL);
        check("\\x20\\x20", NULL);
        /* What is no code stays as it is. */
        check("a\\x", "a\\x");
        check("a\\x4", "a\\x4");
        check("\\x4A\\x6b\\xzz", "Jk\\xzz");
        /* What a drive tells must not fail a message. */
        check("a\\xffb", "a\xef\xbf\xbd"
                         "b");
        check("a\\x0ab", "a?b");
        return 0;
}

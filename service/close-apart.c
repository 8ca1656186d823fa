/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/close-apart.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "common/util.h"

#define NAME "storaged-close"

static int compare(const void *a, const void *b)
{
        int x = *(const int *) a, y = *(const int *) b;

        return (x > y) - (x < y);
}

/* Nothing but these may be held if it takes for ever: not the bus, not the lock of the service. */
static _Noreturn void keep_until_the_end(int *fds, size_t n)
{
        unsigned first = 0;

        qsort(fds, n, sizeof(int), compare);
        (void) prctl(PR_SET_NAME, NAME);
        for (size_t i = 0; i < n; i++) {
                if (fds[i] < 0)
                        continue;
                if ((unsigned) fds[i] > first)
                        (void) close_range(first, (unsigned) fds[i] - 1, 0);
                first = (unsigned) fds[i] + 1;
        }
        (void) close_range(first, ~0U, 0);
        _exit(EXIT_SUCCESS);
}

/* What still has a name is only let go of by its last descriptor, not removed. */
static bool has_name(int fd)
{
        struct statx stx;

        return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_NLINK, &stx) >= 0 &&
               stx.stx_nlink > 0;
}

void close_apart(int *fds, size_t n)
{
        bool any = false;

        for (size_t i = 0; i < n; i++) {
                /* Now, and with it the locks on it: whoever hears of the end of a job may open it. */
                if (fds[i] >= 0 && has_name(fds[i]))
                        fds[i] = safe_close(fds[i]);
                any = any || fds[i] >= 0;
        }
        if (any && fork() == 0)
                keep_until_the_end(fds, n);
        for (size_t i = 0; i < n; i++)
                fds[i] = safe_close(fds[i]);
}

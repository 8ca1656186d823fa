/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/data-fds.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "service/close-apart.h"

void data_fds_init(DataFds *f)
{
        for (size_t i = 0; i < DATA_FDS_MAX; i++)
                f->fds[i] = -EBADF;
}

int data_fds_copy(DataFds *f, const int *fds, size_t n)
{
        for (size_t i = 0; i < n && i < DATA_FDS_MAX; i++) {
                f->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
                if (f->fds[i] < 0)
                        return -errno;
        }
        return 0;
}

void data_fds_close(DataFds *f)
{
        close_apart(f->fds, DATA_FDS_MAX);
}

void data_fds_let_go_of_devices(DataFds *f)
{
        struct statx stx;

        for (size_t i = 0; i < DATA_FDS_MAX; i++) {
                /* What a file system would have to ask somebody for is not asked. */
                if (f->fds[i] >= 0 &&
                    statx(f->fds[i], "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &stx) >= 0 &&
                    S_ISBLK(stx.stx_mode))
                        f->fds[i] = safe_close(f->fds[i]);
        }
}

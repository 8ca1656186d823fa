/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The least that reading a folder of images can cost: getdents, and for each entry open, fstat and a pread
 * of 4096 bytes. Keeps nothing. Prints the microseconds of each of the passes as a JSON list: bare-loop
 * FOLDER PASSES
 */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/util.h"

#define BUFFER_SIZE (256U * 1024U)
#define HEADER_SIZE 4096U

static char entries[BUFFER_SIZE] __attribute__((aligned(8)));
static uint64_t sum; /* so that nothing is optimised away */

static int read_one(int dir_fd, const char *name)
{
        _cleanup_close_ int fd = -EBADF;
        char header[HEADER_SIZE];
        struct stat st;
        ssize_t n;

        fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        n = pread(fd, header, sizeof header, 0);
        if (n < 0)
                return -errno;
        sum += (uint64_t) st.st_size + (n > 0 ? (unsigned char) header[0] : 0);
        return 0;
}

static int pass(const char *folder)
{
        _cleanup_close_ int dir_fd = -EBADF;
        ssize_t n;
        int r;

        dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        while ((n = getdents64(dir_fd, entries, sizeof entries)) > 0) {
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *d = (const struct dirent64 *) (entries + at);

                        r = d->d_name[0] == '.' ? 0 : read_one(dir_fd, d->d_name);
                        if (r < 0)
                                return r;
                        at += d->d_reclen;
                }
        }
        return n < 0 ? -errno : 0;
}

int main(int argc, char *argv[])
{
        int passes = argc == 3 ? atoi(argv[2]) : 0;

        if (passes <= 0) {
                fprintf(stderr, "Usage: %s FOLDER PASSES\n", argv[0]);
                return 2;
        }
        for (int i = 0; i < passes; i++) {
                uint64_t begin = now_monotonic();
                int r = pass(argv[1]);

                if (r < 0) {
                        fprintf(stderr, "Cannot read %s: %s\n", argv[1], strerrordesc_np(-r));
                        return EXIT_FAILURE;
                }
                printf("%s%lu", i ? ", " : "[", (unsigned long) (now_monotonic() - begin));
        }
        printf("]\n");
        return sum == UINT64_MAX;
}

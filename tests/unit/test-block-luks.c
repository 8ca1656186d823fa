/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef NDEBUG
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "backends/block-luks.h"
#include "backends/block-mark.h"

#define MIB (UINT64_C(1024) * 1024)
#define TOKEN "0123456789abcdef"

/* It counts how long hashing takes, and gives up if the clock misses that: see qemu_img_run(). */
#define TRIES 10U

static uint64_t try_to_measure(const char *command)
{
        uint64_t size = 0;
        char line[128];
        FILE *f = popen(command, "r");

        assert(f);
        while (fgets(line, sizeof line, f))
                (void) sscanf(line, "required size: %" SCNu64, &size);
        (void) pclose(f);
        return size;
}

/* What the QEMU that is installed takes. It hashes for a second, however short it is told to be. */
static uint64_t measure(const char *cipher)
{
        char command[512];
        uint64_t size = 0;

        assert(snprintf(command, sizeof command,
                        "qemu-img measure -O luks --size %" PRIu64 " --object secret,id=s,data=nothing "
                        "-o key-secret=s,iter-time=10%s",
                        MIB, cipher) < (int) sizeof command);
        for (unsigned i = 0; size == 0 && i < TRIES; i++)
                size = try_to_measure(command);
        assert(size > MIB);
        return size - MIB;
}

static void test_header_size(void)
{
        char aes[] = "aes", cbc[] = "cbc", xts[] = "xts";
        VolumeEncryption e = {0};

        assert(block_luks_header_size(&e) == 0);
        e.format = ENCRYPTION_LUKS;
        assert(block_luks_header_size(&e) == measure(""));
        e.cipher_name = aes;
        e.cipher_size = 128;
        assert(block_luks_header_size(&e) == measure(",cipher-alg=aes-128"));
        e.cipher_mode = cbc;
        assert(block_luks_header_size(&e) ==
               measure(",cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain64"));
        e.cipher_size = 256;
        e.cipher_mode = xts;
        assert(block_luks_header_size(&e) == measure(",cipher-alg=aes-256,cipher-mode=xts"));
        e.cipher_size = 192;
        assert(block_luks_header_size(&e) == measure(",cipher-alg=aes-192,cipher-mode=xts"));
}

/* It is there at every moment, and gone at the end, with the header untouched. */
static void test_mark(void)
{
        char head[BLOCK_MARK_INNER], found[BLOCK_MARK_SIZE];
        int fd = memfd_create("test", MFD_CLOEXEC);

        memset(head, 'h', sizeof head);
        assert(fd >= 0 && ftruncate(fd, 2 * BLOCK_MARK_SIZE) == 0);
        assert(block_mark_clear_inner(fd) == 0);
        assert(block_mark_find(fd, 0, NULL) == 0);
        assert(block_mark_write(fd, 0, TOKEN) == 0 && block_mark_find(fd, 0, TOKEN) == 1);
        assert(block_mark_move_in(fd) == 0 && block_mark_find(fd, 0, TOKEN) == 1);
        assert(pwrite(fd, head, sizeof head, 0) == (ssize_t) sizeof head);
        assert(block_mark_find(fd, 0, TOKEN) == 1 && block_mark_find(fd, 0, "fedcba9876543210") == 0);
        assert(block_mark_clear_inner(fd) == 0 && block_mark_find(fd, 0, NULL) == 0);
        assert(pread(fd, found, sizeof found, 0) == (ssize_t) sizeof found);
        assert(memcmp(found, head, sizeof head) == 0);
        for (size_t i = sizeof head; i < sizeof found; i++)
                assert(found[i] == 0);
        (void) close(fd);
}

int main(void)
{
        test_mark();
        test_header_size();
        return 0;
}

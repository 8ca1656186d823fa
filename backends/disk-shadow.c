/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/disk-shadow.h"

#include <endian.h>
#include <sys/mman.h>

#define EDGE (UINT64_C(1024) * 1024)
#define BLOCK (64U * 1024U)

static int read_whole(int fd, void *buf, size_t n, uint64_t offset)
{
        while (n > 0) {
                ssize_t got = pread(fd, buf, n, (off_t) offset);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return got < 0 ? -errno : -EIO;
                buf = (char *) buf + got;
                n -= (size_t) got;
                offset += (uint64_t) got;
        }
        return 0;
}

static int write_whole(int fd, const void *buf, size_t n, uint64_t offset)
{
        while (n > 0) {
                ssize_t put = pwrite(fd, buf, n, (off_t) offset);

                if (put < 0 && errno != EINTR)
                        return -errno;
                if (put <= 0)
                        continue;
                buf = (const char *) buf + put;
                n -= (size_t) put;
                offset += (uint64_t) put;
        }
        return 0;
}

static int copy(DiskShadow *shadow, const DiskFile *disk, uint64_t start, uint64_t end)
{
        char buf[BLOCK];
        int r = 0;

        end = end < disk->size ? end : disk->size;
        if (start >= end || shadow->n_ranges >= SHADOW_RANGES_MAX)
                return 0;
        shadow->ranges[shadow->n_ranges++] = (ShadowRange){.start = start, .end = end};
        for (uint64_t at = start; r >= 0 && at < end;) {
                size_t n = end - at < BLOCK ? (size_t) (end - at) : BLOCK;

                r = read_whole(disk->fd, buf, n, at);
                if (r >= 0)
                        r = write_whole(shadow->file.fd, buf, n, at);
                at += n;
        }
        return r;
}

/* The second gpt header is where the first says: not at the end of a disk that has grown. */
static int copy_old_backup(DiskShadow *shadow, const DiskFile *disk)
{
        uint64_t lba, at;
        char s[512];

        if (read_whole(disk->fd, s, sizeof(s), disk->sector_size) < 0 || memcmp(s, "EFI PART", 8) != 0)
                return 0;
        memcpy(&lba, s + 32, sizeof(lba));
        lba = le64toh(lba);
        if (lba > disk->size / disk->sector_size)
                return 0;
        at = lba * disk->sector_size;
        return copy(shadow, disk, at > BLOCK ? at - BLOCK : 0, at + disk->sector_size);
}

int disk_shadow_open(const DiskFile *disk, DiskShadow *ret)
{
        DiskShadow shadow = {.file = *disk};
        uint64_t chain[DISK_CHAIN_MAX];
        size_t n_chain;
        int r = 0;

        shadow.file.fd = memfd_create("partition-table", MFD_CLOEXEC);
        if (shadow.file.fd < 0)
                return -errno;
        if (ftruncate(shadow.file.fd, (off_t) disk->size) < 0)
                r = -errno;
        if (r >= 0)
                r = copy(&shadow, disk, 0, EDGE);
        if (r >= 0)
                r = copy(&shadow, disk, disk->size > EDGE ? disk->size - EDGE : 0, disk->size);
        if (r >= 0)
                r = copy_old_backup(&shadow, disk);
        n_chain = disk_dos_chain(disk, chain, ELEMENTSOF(chain));
        for (size_t i = 0; r >= 0 && i < n_chain; i++)
                r = copy(&shadow, disk, chain[i], chain[i] + disk->sector_size);
        if (r < 0) {
                disk_shadow_done(&shadow);
                return r;
        }
        *ret = shadow;
        return 0;
}

void disk_shadow_done(DiskShadow *shadow)
{
        shadow->file.fd = safe_close(shadow->file.fd);
}

static bool is_copied(const DiskShadow *shadow, uint64_t at)
{
        for (size_t i = 0; i < shadow->n_ranges; i++) {
                if (at >= shadow->ranges[i].start && at < shadow->ranges[i].end)
                        return true;
        }
        return false;
}

/*
 * Whether libparted changed a sector. Beyond what was copied the shadow is empty, and whole pages of it come
 * up where one sector was written: what is still empty there was not written.
 */
static bool is_changed(const DiskShadow *shadow, const char *new, const char *old, uint64_t at, size_t n)
{
        if (memcmp(new, old, n) == 0)
                return false;
        if (is_copied(shadow, at))
                return true;
        for (size_t i = 0; i < n; i++) {
                if (new[i] != 0)
                        return true;
        }
        return false;
}

/* Writes the changed sectors of one block, from the last to the first, each run of them durably. */
static int apply_block(const DiskShadow *shadow, const DiskFile *disk, uint64_t at, size_t n)
{
        char new[BLOCK], old[BLOCK];
        size_t sector = disk->sector_size, end = 0;
        int r;

        r = read_whole(shadow->file.fd, new, n, at);
        if (r >= 0)
                r = read_whole(disk->fd, old, n, at);
        if (r < 0)
                return r;
        for (size_t i = n; r >= 0 && i >= sector; i -= sector) {
                size_t s = i - sector;
                bool changed = is_changed(shadow, new + s, old + s, at + s, sector);

                if (changed && end == 0)
                        end = i;
                if (end == 0 || (changed && s > 0))
                        continue;
                s = changed ? s : i;
                r = write_whole(disk->fd, new + s, end - s, at + s);
                if (r >= 0 && fdatasync(disk->fd) < 0)
                        r = -errno;
                end = 0;
        }
        return r;
}

int disk_shadow_apply(const DiskShadow *shadow, const DiskFile *disk)
{
        uint64_t size = disk->size - disk->size % disk->sector_size, starts[SHADOW_RANGES_MAX * 4];
        uint64_t ends[ELEMENTSOF(starts)];
        size_t n = 0;
        off_t at = 0;
        int r = 0;

        while (n < ELEMENTSOF(starts) && (at = lseek(shadow->file.fd, at, SEEK_DATA)) >= 0) {
                starts[n] = (uint64_t) at;
                at = lseek(shadow->file.fd, at, SEEK_HOLE);
                if (at < 0)
                        return -errno;
                ends[n] = (uint64_t) at < size ? (uint64_t) at : size;
                n++;
        }
        if (n == ELEMENTSOF(starts))
                return -E2BIG;
        /* What begins the table comes last: until then the old one is whole. */
        for (size_t i = n; r >= 0 && i > 0; i--) {
                for (uint64_t end = ends[i - 1]; r >= 0 && end > starts[i - 1];) {
                        uint64_t start = (end - 1) / BLOCK * BLOCK;

                        start = start > starts[i - 1] ? start : starts[i - 1];
                        r = apply_block(shadow, disk, start, (size_t) (end - start));
                        end = start;
                }
        }
        return r;
}

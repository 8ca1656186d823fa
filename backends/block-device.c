/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/block-device.h"

#include <blkid/blkid.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <systemd/sd-device.h>

#include "backends/blockdev-lib.h"
#include "backends/image-probe.h"
#include "backends/logical-member.h"

#define EDGE_SIZE (1024U * 1024U)
#define SIGNATURES_MAX 64U
#define SETTLE_USEC (5 * USEC_PER_SEC)
#define SETTLE_STEP_USEC (5 * USEC_PER_MSEC)

void block_device_done(BlockDevice *dev)
{
        free(dev->path);
        free(dev->node);
        *dev = (BlockDevice){0};
}

/* Kernels before 5.15 give none. */
static uint64_t read_sequence(int fd)
{
        uint64_t sequence = 0;

        return ioctl(fd, BLKGETDISKSEQ, &sequence) < 0 ? 0 : sequence;
}

static void read_limits(int fd, BlockDevice *dev)
{
        int sector = 0, read_only = 0;
        unsigned optimal = 0;

        if (ioctl(fd, BLKSSZGET, &sector) >= 0)
                dev->sector_size = (uint32_t) sector;
        if (ioctl(fd, BLKIOOPT, &optimal) >= 0)
                dev->optimal_size = optimal;
        dev->read_only = ioctl(fd, BLKROGET, &read_only) >= 0 && read_only;
        dev->sequence = read_sequence(fd);
}

/* A disk that is plugged in anew may get the node of one that was looked at. */
static int open_same(BackendContext *ctx, const BlockDevice *dev, int flags)
{
        _cleanup_close_ int fd = open(dev->node, flags | O_CLOEXEC | O_NONBLOCK);
        struct stat st;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISBLK(st.st_mode) && st.st_rdev == dev->devnum && read_sequence(fd) == dev->sequence)
                return TAKE_FD(fd);
        return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                          "%s is another disk than it was a moment ago; nothing was written to it",
                          dev->path);
}

int block_device_find(BackendContext *ctx, const char *path, BlockDevice *ret)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        _cleanup_close_ int fd = -EBADF;
        struct stat st, node;

        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENOTDIR))
                return error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND, "There is no device %s", path);
        if (fd < 0)
                return error_set_errno(ctx->error, errno, "Cannot open the device %s", path);
        if (fstat(fd, &st) < 0)
                return error_set_errno(ctx->error, errno, "Cannot look at the device %s", path);
        if (!S_ISBLK(st.st_mode))
                return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT, "%s is not a block device",
                                  path);
        dev.devnum = st.st_rdev;
        if (ioctl(fd, BLKGETSIZE64, &dev.size) < 0)
                return error_set_errno(ctx->error, errno, "Cannot find out the size of %s", path);
        read_limits(fd, &dev);
        dev.path = strdup(path);
        dev.node = realpath(path, NULL);
        if (!dev.path || !dev.node)
                return error_set_errno(ctx->error, errno, "Cannot follow the path %s", path);
        if (stat(dev.node, &node) < 0 || node.st_rdev != dev.devnum)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "%s has come to lead to another device; try again", path);
        *ret = dev;
        dev = (BlockDevice){0};
        return 0;
}

void block_contents_done(BlockContents *c)
{
        free(c->usage);
        free(c->type);
        free(c->label);
        free(c->uuid);
        free(c->table);
        *c = (BlockContents){0};
}

/* What is in a label comes from the device: it is made fit for a message. */
static int take_value(blkid_probe probe, const char *key, char **ret)
{
        const char *value;
        size_t n;

        if (blkid_probe_lookup_value(probe, key, &value, &n) < 0 || n == 0)
                return 0;
        return utf8_make_valid(value, strnlen(value, n), ret);
}

static int take_contents(blkid_probe probe, BlockContents *c)
{
        int r;

        r = take_value(probe, "USAGE", &c->usage);
        if (r >= 0)
                r = take_value(probe, "TYPE", &c->type);
        if (r >= 0)
                r = take_value(probe, "LABEL", &c->label);
        if (r >= 0)
                r = take_value(probe, "UUID", &c->uuid);
        if (r >= 0)
                r = take_value(probe, "PTTYPE", &c->table);
        return r;
}

static int new_probe(int fd, bool damaged, blkid_probe *ret)
{
        blkid_probe probe = blkid_new_probe();

        if (!probe)
                return -ENOMEM;
        errno = 0;
        if (blkid_probe_set_device(probe, fd, 0, 0) < 0) {
                blkid_free_probe(probe);
                return errno ? -errno : -EIO;
        }
        (void) blkid_probe_enable_superblocks(probe, true);
        (void) blkid_probe_enable_partitions(probe, true);
        (void) blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_USAGE | BLKID_SUBLKS_TYPE |
                                                                BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID |
                                                                (damaged ? BLKID_SUBLKS_BADCSUM : 0));
        if (damaged)
                (void) blkid_probe_set_partitions_flags(probe, BLKID_PARTS_FORCE_GPT);
        *ret = probe;
        return 0;
}

/* 0: something was found, 1: nothing. */
static int run_probe(int fd, bool damaged, BlockContents *c)
{
        blkid_probe probe = NULL;
        int r;

        r = new_probe(fd, damaged, &probe);
        if (r < 0)
                return r;
        errno = 0;
        r = blkid_do_safeprobe(probe);
        if (r == -2) {
                c->ambivalent = true;
                c->type = strdup("several signatures");
                r = c->type ? 0 : -ENOMEM;
        } else if (r == 0)
                r = take_contents(probe, c);
        else if (r < 0)
                r = errno ? -errno : -EIO;
        blkid_free_probe(probe);
        return r;
}

/* A guest's disk, which has no signature that blkid knows. 0: it is one, 1: nothing. */
static int probe_image(int fd, const BlockDevice *dev, BlockContents *c)
{
        uint8_t head[IMAGE_HEAD_SIZE];
        ImageInfo info = {0};
        ImageFile file = {.fd = fd, .head = head, .size = dev->size, .allocated = UINT64_MAX};
        ssize_t n;
        int r;

        do
                n = pread(fd, head, sizeof head, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        file.n_head = (size_t) n;
        r = image_probe(&file, &info);
        if (r >= 0 && info.format == IMAGE_RAW)
                r = 1;
        else if (r >= 0) {
                c->usage = strdup(BLOCK_USAGE_IMAGE);
                c->type = strdup(image_format_to_string(info.format));
                r = c->usage && c->type ? 0 : -ENOMEM;
        }
        image_info_done(&info);
        return r;
}

int block_device_probe(BackendContext *ctx, const BlockDevice *dev, BlockContents *ret)
{
        _cleanup_(block_contents_done) BlockContents c = {0};
        _cleanup_close_ int fd = open(dev->node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        int r;

        if (fd < 0)
                return error_set_errno(ctx->error, errno, "Cannot open the device %s", dev->path);
        r = run_probe(fd, false, &c);
        if (r == 1)
                r = run_probe(fd, true, &c);
        if (r == 1)
                r = probe_image(fd, dev, &c);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot look at what is on %s", dev->path);
        *ret = c;
        c = (BlockContents){0};
        return 0;
}

int block_contents_describe(const BlockContents *c, char **ret)
{
        static const struct {
                const char *type, *words;
        } known[] = {
                {"LVM2_member", "an LVM physical volume"},
                {"linux_raid_member", "a member of a RAID array"},
                {"swap", "swap space"},
                {"crypto_LUKS", "an encrypted LUKS volume"},
                {"mpath_member", "a path of a multipath device"},
        };
        char *label = NULL;
        int r;

        *ret = NULL;
        if (c->ambivalent)
                return (*ret = strdup("several signatures that contradict each other")) ? 0 : -ENOMEM;
        for (size_t i = 0; c->type && i < ELEMENTSOF(known); i++) {
                if (streq(known[i].type, c->type))
                        return (*ret = strdup(known[i].words)) ? 0 : -ENOMEM;
        }
        if (!c->type && !c->table)
                return 0;
        if (c->label && asprintf(&label, " labelled '%s'", c->label) < 0)
                return -ENOMEM;
        if (!c->type)
                r = asprintf(ret, "a partition table (%s)", c->table);
        else
                r = asprintf(ret, "%s: %s%s",
                             streq_ptr(c->usage, "filesystem")        ? "a file system"
                             : streq_ptr(c->usage, BLOCK_USAGE_IMAGE) ? "a disk image"
                                                                      : "a signature",
                             c->type, strempty(label));
        free(label);
        return r < 0 ? -ENOMEM : 0;
}

static int require_blank(BackendContext *ctx, const BlockDevice *dev)
{
        _cleanup_(block_contents_done) BlockContents c = {0};
        _cleanup_free_ char *words = NULL;
        int r;

        r = block_device_probe(ctx, dev, &c);
        if (r < 0)
                return r;
        r = block_contents_describe(&c, &words);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot look at what is on %s", dev->path);
        if (!words)
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_EXISTS,
                          "Cannot build pool '%s': on %s there is %s already; build it with 'overwrite' to "
                          "destroy that, or start the pool without building it to use what is there",
                          ctx->pool->name, dev->path, words);
}

/* Whatever the options say: a group that may well be in use would be damaged, of which this, or a partition
 * of this, is only a part. */
static int require_groupless(BackendContext *ctx, const BlockDevice *dev)
{
        _cleanup_(block_contents_done) BlockContents c = {0};
        BackendContext quiet = *ctx;
        int r;

        r = block_device_probe(ctx, dev, &c);
        if (r < 0 || !(streq_ptr(c.type, "LVM2_member") || c.table))
                return r;
        quiet.error = NULL;
        /* Without lvm no group is in use. */
        return blockdev_need(&quiet, BD_PLUGIN_LVM) < 0 ? 0 : logical_require_groupless(ctx, dev, 1);
}

int block_device_require_writable(BackendContext *ctx, const BlockDevice *dev, bool overwrite)
{
        int r;

        if (dev->read_only)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "Cannot build pool '%s': the device %s is read-only", ctx->pool->name,
                                  dev->path);
        r = block_device_require_unused(ctx, dev, "cannot be overwritten");
        if (r < 0)
                return r;
        return overwrite ? require_groupless(ctx, dev) : require_blank(ctx, dev);
}

static int wipe_signatures(int fd)
{
        blkid_probe probe = blkid_new_probe();
        int r = 0;

        if (!probe)
                return -ENOMEM;
        errno = 0;
        if (blkid_probe_set_device(probe, fd, 0, 0) < 0)
                r = errno ? -errno : -EIO;
        (void) blkid_probe_enable_superblocks(probe, true);
        (void) blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM);
        (void) blkid_probe_enable_partitions(probe, true);
        (void) blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
        for (unsigned i = 0; r >= 0 && i < SIGNATURES_MAX && blkid_do_probe(probe) == 0; i++) {
                errno = 0;
                if (blkid_do_wipe(probe, false) < 0)
                        r = errno ? -errno : -EIO;
        }
        blkid_free_probe(probe);
        return r;
}

static int zero(int fd, uint64_t offset, uint64_t size)
{
        static const char zeroes[64 * 1024];

        while (size > 0) {
                size_t n = size < sizeof zeroes ? (size_t) size : sizeof zeroes;
                ssize_t written = pwrite(fd, zeroes, n, (off_t) offset);

                if (written < 0 && errno != EINTR)
                        return -errno;
                if (written <= 0)
                        continue;
                offset += (uint64_t) written;
                size -= (uint64_t) written;
        }
        return 0;
}

static int explain_claim(BackendContext *ctx, const BlockDevice *dev, int r)
{
        if (r == -EBUSY)
                return block_device_require_unused(ctx, dev, "cannot be wiped")
                               ?: error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                             "%s cannot be wiped: it is in use", dev->path);
        if (ctx->error && sd_bus_error_is_set(ctx->error))
                return r;
        return error_set_errno(ctx->error, r, "Cannot open the device %s for writing", dev->path);
}

int block_device_wipe(BackendContext *ctx, const BlockDevice *dev, bool overwrite)
{
        _cleanup_close_ int fd = open_same(ctx, dev, O_RDWR | O_EXCL);
        uint64_t edge = dev->size < EDGE_SIZE ? dev->size : EDGE_SIZE;
        int r;

        if (fd < 0)
                return explain_claim(ctx, dev, fd);
        r = overwrite ? 0 : require_blank(ctx, dev);
        if (r < 0)
                return r;
        r = wipe_signatures(fd);
        if (r >= 0)
                r = zero(fd, 0, edge);
        if (r >= 0)
                r = zero(fd, dev->size - edge, edge);
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot wipe the device %s", dev->path) : 0;
}

/* udev makes this file while it has events that it has not handled (what udevadm settle looks at). */
void block_device_settle(const BlockDevice *dev)
{
        for (uint64_t end = now_monotonic() + SETTLE_USEC; now_monotonic() < end;) {
                _cleanup_(sd_device_unrefp) sd_device *device = NULL;

                if (access("/run/udev/queue", F_OK) < 0 &&
                    (access("/run/udev/control", F_OK) < 0 ||
                     (sd_device_new_from_devnum(&device, 'b', dev->devnum) >= 0 &&
                      sd_device_get_is_initialized(device) > 0)))
                        return;
                (void) usleep(SETTLE_STEP_USEC);
        }
}

/* The alphabetically first link in folder to the device. */
static int first_link(const char *folder, const struct stat *node, char **ret)
{
        _cleanup_free_ char *best = NULL;
        struct dirent *entry;
        DIR *dir = opendir(folder);
        int r = 0;

        if (!dir)
                return 0;
        while (r >= 0 && (entry = readdir(dir))) {
                struct stat st;

                if (entry->d_type != DT_LNK || (best && strcmp(entry->d_name, best) >= 0) ||
                    fstatat(dirfd(dir), entry->d_name, &st, 0) < 0 || !S_ISBLK(st.st_mode) ||
                    st.st_rdev != node->st_rdev)
                        continue;
                r = free_and_strdup(&best, entry->d_name);
        }
        (void) closedir(dir);
        if (r >= 0 && best && asprintf(ret, "%s/%s", folder, best) < 0)
                r = -ENOMEM;
        return r;
}

int block_device_stable_path(const char *node, const char *folder, char **ret)
{
        struct stat st;

        *ret = NULL;
        if (streq(folder, "/dev"))
                return (*ret = strdup(node)) ? 0 : -ENOMEM;
        if (stat(node, &st) < 0 || !S_ISBLK(st.st_mode))
                return 0;
        return first_link(folder, &st, ret);
}

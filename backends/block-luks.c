/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/block-luks.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-device.h>

#include "backends/block-mark.h"
#include "backends/copy-raw.h"
#include "backends/image-chain.h"
#include "backends/luks-check.h"

/* "LUKS1 On-Disk Format Specification" 1.2.3: a key is spread over so many stripes, and there are so many
 * slots; QEMU begins each at a whole block, as it does the data. */
#define STRIPES 4000U
#define SLOTS 8U
#define BLOCK UINT64_C(4096)
#define BUFFER_SIZE (64U * 1024U)

uint64_t block_luks_header_size(const VolumeEncryption *e)
{
        if (e->format == ENCRYPTION_NONE)
                return 0;
        return BLOCK + SLOTS * ((luks_key_size(e) * STRIPES + BLOCK - 1) / BLOCK * BLOCK);
}

static int fail(BackendContext *ctx, const VolumeDef *def, int r)
{
        return error_set_errno(ctx->error, r, "Cannot write volume '%s' to its storage", def->name);
}

static int sync_device(BackendContext *ctx, const VolumeDef *def, int fd)
{
        return fsync(fd) < 0 ? fail(ctx, def, -errno) : 0;
}

/* qemu-img makes the header in memory: the device may not have the beginning of it yet. */
static int make_header(BackendContext *ctx, const VolumeDef *def, int memory)
{
        const ImagePlan plan = {.format = IMAGE_RAW,
                                .capacity = def->capacity,
                                .preallocation = PREALLOCATION_OFF,
                                .encrypted = true};
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *what = NULL;

        if (!ctx->secret)
                return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' is to be encrypted, but no secret is named for that",
                                  def->name);
        if (qemu_img_create_argv(&plan, def, QEMU_IMG_TARGET, &argv) < 0 ||
            asprintf(&what, "make volume '%s'", def->name) < 0) {
                what = NULL;
                return fail(ctx, def, ENOMEM);
        }
        return qemu_img_run(ctx, argv, memory, 0, 0, what);
}

static int read_container(int fd, ImageInfo *ret)
{
        uint8_t head[IMAGE_HEAD_SIZE];
        ImageFile file;

        return image_chain_probe(fd, head, &file, ret);
}

/* *ret: where the data begin. */
static int check_header(BackendContext *ctx, const VolumeDef *def, int memory, int fd, uint64_t *ret)
{
        uint64_t made, device;
        ImageInfo info = {};
        int r;

        r = copy_size(memory, &made);
        if (r >= 0)
                r = copy_size(fd, &device);
        if (r >= 0)
                r = read_container(memory, &info);
        if (r < 0)
                return fail(ctx, def, r);
        if (info.format != IMAGE_LUKS || info.capacity == 0 || info.capacity > made ||
            made - info.capacity < BLOCK_MARK_SIZE || made > device)
                r = error_setf(ctx->error, STORAGE_ERROR_FAILED,
                               "Cannot make volume '%s': with its LUKS header it takes %" PRIu64
                               " bytes, and its device has %" PRIu64,
                               def->name, made, device);
        *ret = made - info.capacity;
        image_info_done(&info);
        return r;
}

static int copy_part(int from, int to, uint64_t start, uint64_t end)
{
        char buffer[BUFFER_SIZE];

        while (start < end) {
                size_t n = end - start < sizeof buffer ? (size_t) (end - start) : sizeof buffer;
                ssize_t got = pread(from, buffer, n, (off_t) start), put;

                if (got <= 0)
                        return got < 0 ? -errno : -EIO;
                put = pwrite(to, buffer, (size_t) got, (off_t) start);
                if (put <= 0)
                        return put < 0 ? -errno : -EIO;
                start += (uint64_t) put;
        }
        return 0;
}

static int write_header(BackendContext *ctx, const VolumeDef *def, int memory, int fd, uint64_t size)
{
        int r, marked;

        r = copy_part(memory, fd, BLOCK_MARK_SIZE, size);
        marked = r < 0 ? r : block_mark_find(fd, 0, NULL);
        if (marked < 0)
                return fail(ctx, def, marked);
        /* At every moment there is one. */
        r = marked ? block_mark_move_in(fd) : 0;
        if (r >= 0)
                r = copy_part(memory, fd, 0, marked ? BLOCK_MARK_INNER : BLOCK_MARK_SIZE);
        return r < 0 ? fail(ctx, def, r) : sync_device(ctx, def, fd);
}

int block_luks_begin(BackendContext *ctx, const VolumeDef *def, int fd)
{
        _cleanup_close_ int memory = memfd_create("storaged-luks", MFD_CLOEXEC);
        uint64_t size = 0;
        int r;

        if (memory < 0)
                return fail(ctx, def, errno);
        r = make_header(ctx, def, memory);
        if (r >= 0)
                r = check_header(ctx, def, memory, fd, &size);
        return r < 0 ? r : write_header(ctx, def, memory, fd, size);
}

int block_luks_end(BackendContext *ctx, const VolumeDef *def, int fd)
{
        int r = sync_device(ctx, def, fd);

        if (r < 0)
                return r;
        r = block_mark_clear_inner(fd);
        return r < 0 ? fail(ctx, def, r) : 0;
}

int block_luks_fill(BackendContext *ctx, const VolumeDef *def, Preallocation p, int fd)
{
        int r = block_luks_begin(ctx, def, fd);

        return r < 0 ? r : block_luks_end(ctx, def, fd);
}

/* Whether it is worth opening the device. */
static bool may_be_container(const char *path, const VolumeRow *before)
{
        _cleanup_(sd_device_unrefp) sd_device *device = NULL;
        const char *type;
        struct stat st;

        if (before && before->extra && before->extra->encryption != ENCRYPTION_NONE)
                return true;
        if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode) ||
            sd_device_new_from_devnum(&device, 'b', st.st_rdev) < 0)
                return false;
        if (sd_device_get_is_initialized(device) <= 0)
                return true;
        /* The value of an empty property is NULL. */
        return sd_device_get_property_value(device, "ID_FS_TYPE", &type) >= 0 &&
               streq_ptr(type, "crypto_LUKS");
}

/* A header of which we do not understand where its data are is a guest's business. *ret_size: the device's.
 */
static bool open_container(const char *path, ImageInfo *ret, uint64_t *ret_size)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0 || copy_size(fd, ret_size) < 0 || read_container(fd, ret) < 0)
                return false;
        if (ret->format == IMAGE_LUKS && ret->extra && !ret->extra->problem && ret->capacity > 0 &&
            ret->capacity < *ret_size)
                return true;
        image_info_done(ret);
        return false;
}

static int set_row(ImageInfo *info, uint64_t size, VolumeRow *row)
{
        VolumeExtra *extra = row->extra ?: (row->extra = volume_extra_new());

        if (!extra)
                return -ENOMEM;
        extra->encryption = info->extra->encryption;
        extra->cipher_name = TAKE_PTR(info->extra->cipher_name);
        extra->cipher_mode = TAKE_PTR(info->extra->cipher_mode);
        extra->cipher_hash = TAKE_PTR(info->extra->cipher_hash);
        extra->cipher_size = info->extra->cipher_size;
        extra->header_size = size - info->capacity;
        row->capacity = info->capacity;
        return 0;
}

int block_luks_set_row(const char *path, bool now, const VolumeRow *before, VolumeRow *row)
{
        ImageInfo info = {};
        uint64_t size;
        int r;

        if ((!now && !may_be_container(path, before)) || !open_container(path, &info, &size))
                return 0;
        r = set_row(&info, size, row);
        image_info_done(&info);
        return r;
}

uint64_t block_luks_read_header_size(const char *path)
{
        ImageInfo info = {};
        uint64_t size;

        if (!open_container(path, &info, &size))
                return 0;
        size -= info.capacity;
        image_info_done(&info);
        return size;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/image-plan.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "backends/format-record.h"
#include "backends/image-chain.h"
#include "backends/luks-check.h"

#define SECTOR_SIZE 512U

void image_plan_done(ImagePlan *plan)
{
        free(plan->backing_path);
        free(plan->backing_format);
        *plan = (ImagePlan){0};
}

const char *image_format_to_qemu(ImageFormat format)
{
        switch (format) {
        case IMAGE_RAW:
        case IMAGE_ISO:
        case IMAGE_FAT:
                return "raw";
        case IMAGE_PLOOP:
                return "parallels";
        case IMAGE_DIR:
        case IMAGE_COW:
                return NULL;
        default:
                return image_format_to_string(format);
        }
}

static bool made_by_tool(ImageFormat format)
{
        switch (format) {
        case IMAGE_QCOW:
        case IMAGE_QCOW2:
        case IMAGE_QED:
        case IMAGE_VDI:
        case IMAGE_VMDK:
        case IMAGE_VPC:
                return true;
        default:
                return false;
        }
}

static int device_size(int fd, uint64_t *ret)
{
        return ioctl(fd, BLKGETSIZE64, ret) < 0 ? -errno : 0;
}

int image_probe_path(int dir_fd, const char *path, ImageFormat *ret_format, uint64_t *ret_capacity,
                     uint64_t *ret_size, bool *ret_whole)
{
        _cleanup_close_ int fd = -EBADF;
        uint8_t head[IMAGE_HEAD_SIZE];
        ImageFile file = {.head = head, .name = path};
        ImageInfo info = {0};
        struct stat st;
        ssize_t n;
        int r;

        /* A look before it is opened: opening a tape or a FIFO would do something to it. */
        if (fstatat(dir_fd, path, &st, 0) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return -ENOTBLK;
        fd = openat(dir_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        file.fd = fd;
        file.size = (uint64_t) st.st_size;
        file.allocated = S_ISREG(st.st_mode) ? (uint64_t) st.st_blocks * SECTOR_SIZE : UINT64_MAX;
        r = S_ISBLK(st.st_mode) ? device_size(fd, &file.size) : 0;
        if (r < 0)
                return r;
        n = pread(fd, head, sizeof(head), 0);
        if (n < 0)
                return -errno;
        file.n_head = (size_t) n;
        r = image_probe(&file, &info);
        if (r < 0)
                return r;
        if (S_ISREG(st.st_mode) && !image_format_is_plain(info.format) && format_is_recorded_raw(fd, file.size)) {
                image_info_done(&info);
                info.format = IMAGE_RAW;
        }
        *ret_format = info.format;
        *ret_capacity = info.capacity > 0 ? info.capacity : file.size;
        *ret_size = file.size;
        *ret_whole = info.format != IMAGE_VMDK || image_vmdk_is_whole(&file);
        image_info_done(&info);
        return 0;
}

/* The parent of a VMDK is opened by its name while that is made, so the path must be complete. */
static int set_backing_path(BackendContext *ctx, const char *path, ImagePlan *plan)
{
        if (path[0] == '/' || plan->format != IMAGE_VMDK) {
                plan->backing_path = strdup(path);
                return plan->backing_path ? 0 : -ENOMEM;
        }
        if (asprintf(&plan->backing_path, "%s/%s", ctx->pool->target_path, path) < 0) {
                plan->backing_path = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int plan_backing(BackendContext *ctx, int dir_fd, const VolumeDef *def, ImagePlan *plan)
{
        uint64_t capacity, size;
        ImageFormat found, given;
        const char *name;
        bool whole;
        int r;

        if (!def->backing_path)
                return 0;
        r = image_probe_path(dir_fd, def->backing_path, &found, &capacity, &size, &whole);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot use %s as the backing store of volume '%s'",
                                       def->backing_path, def->name);
        given = def->backing_format ? image_format_from_string(def->backing_format) : found;
        name = given < _IMAGE_FORMAT_MAX ? image_format_to_qemu(given) : NULL;
        if (!name)
                return sd_bus_error_setf(
                        ctx->error, STORAGE_ERROR_UNSUPPORTED,
                        "The backing store %s of volume '%s' has the format '%s', which QEMU "
                        "cannot read",
                        def->backing_path, def->name, def->backing_format ?: image_format_to_string(found));
        if (plan->format == IMAGE_VMDK && (found != IMAGE_VMDK || !whole))
                return sd_bus_error_setf(
                        ctx->error, STORAGE_ERROR_UNSUPPORTED,
                        "Volume '%s' cannot be made: only a VMDK that has its data in itself can be the backing "
                        "store of one, and %s is none",
                        def->name, def->backing_path);
        plan->backing_format = strdup(name);
        if (!plan->backing_format || set_backing_path(ctx, def->backing_path, plan) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot make volume '%s'", def->name);
        if (def->capacity_set && def->capacity > 0)
                return 0;
        if (given != found && streq(name, "raw"))
                capacity = size;
        else if (given != found)
                return sd_bus_error_setf(
                        ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "The backing store %s is %s, not %s, so that volume '%s' needs a capacity",
                        def->backing_path, image_format_to_string(found), def->backing_format, def->name);
        plan->capacity = capacity;
        return 0;
}

static int plan_preallocation(BackendContext *ctx, const VolumeDef *def, Preallocation p, ImagePlan *plan)
{
        bool raw = plan->format == IMAGE_RAW;

        if (p == PREALLOCATION_UNSET)
                p = raw && def->allocation > 0 ? PREALLOCATION_FALLOC : PREALLOCATION_OFF;
        plan->preallocation = p;
        if (p == PREALLOCATION_OFF)
                return 0;
        if (!raw && plan->format != IMAGE_QCOW2)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                                         "A volume of format '%s' cannot be preallocated: raw and qcow2 can",
                                         def->format);
        if (raw && p == PREALLOCATION_METADATA)
                return sd_bus_error_set(
                        ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "A raw volume has no metadata to preallocate: off, falloc and full fit");
        if (def->backing_path)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                         "Volume '%s' cannot both be preallocated and have a backing store",
                                         def->name);
        plan->long_work = plan->capacity > 0;
        if (p == PREALLOCATION_METADATA)
                return 0;
        plan->fill = plan->capacity;
        if (raw && def->allocation > 0 && def->allocation < plan->capacity)
                plan->fill = def->allocation;
        return 0;
}

static int plan_encryption(BackendContext *ctx, const VolumeDef *def, ImagePlan *plan)
{
        int r = luks_check(ctx, def);

        if (r < 0 || def->encryption.format == ENCRYPTION_NONE)
                return r;
        if (!ctx->secret)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                         "Volume '%s' is to be encrypted, but no secret is named for that",
                                         def->name);
        plan->encrypted = true;
        return 0;
}

static int check_makeable(BackendContext *ctx, const VolumeDef *def, ImagePlan *plan)
{
        int r;

        r = plan_encryption(ctx, def, plan);
        if (r < 0)
                return r;
        plan->format = image_format_from_string(strempty(def->format));
        plan->tool = made_by_tool(plan->format) || plan->encrypted;
        if (plan->tool || plan->format == IMAGE_RAW || plan->format == IMAGE_DIR)
                return 0;
        return sd_bus_error_setf(
                ctx->error, STORAGE_ERROR_UNSUPPORTED,
                "Volumes of format '%s' can be used but not made: raw, qcow2, qcow, qed, vdi, "
                "vmdk, vpc and dir can be made",
                strempty(def->format));
}

int image_plan_make(BackendContext *ctx, int dir_fd, const VolumeDef *def, Preallocation p, ImagePlan *ret)
{
        ImagePlan plan = {.capacity = def->capacity};
        int r;

        r = check_makeable(ctx, def, &plan);
        if (r >= 0)
                r = plan_backing(ctx, dir_fd, def, &plan);
        if (r >= 0 && plan.format != IMAGE_DIR)
                r = plan_preallocation(ctx, def, p, &plan);
        if (r < 0) {
                image_plan_done(&plan);
                return r;
        }
        /* A passphrase is made a key by seconds of work, on purpose. */
        plan.long_work |= plan.encrypted;
        *ret = plan;
        return 0;
}

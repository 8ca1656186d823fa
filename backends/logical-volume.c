/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Logical volumes that are there: deleted, resized, opened. */

#include <blockdev/exec.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "backends/block-device.h"
#include "backends/block-luks.h"
#include "backends/blockdev-lib.h"
#include "backends/in-use.h"
#include "backends/logical-kernel.h"
#include "backends/logical.h"

/* udev, and LVM at each of its commands, open every volume for a moment to see what is on it. */
#define BUSY_USEC (3 * USEC_PER_SEC)
#define BUSY_STEP_USEC (20 * USEC_PER_MSEC)
/* How often to look at a volume that is to be deleted, and was changed after the look. */
#define LOOKS 2U

static int require_no_dependents(BackendContext *ctx, const LogicalGroup *group, const LogicalLv *lv,
                                 const char *verb)
{
        _cleanup_free_ char *words = NULL;

        if (logical_dependents(group, lv, &words) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot look at volume '%s'", lv->name);
        if (!words)
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_HAS_DEPENDENTS,
                          "Volume '%s' of pool '%s' cannot be %s: it is the origin of the snapshots %s",
                          lv->name, ctx->pool->name, verb, words);
}

static int remove_closed(BackendContext *ctx, const char *name, const char *vg_uuid, const char *lv_uuid)
{
        uint64_t end = now_monotonic() + BUSY_USEC;

        /* Forced or not: the kernel keeps what is open. */
        while (logical_kernel_open_count(vg_uuid, lv_uuid) > 0) {
                if (now_monotonic() >= end)
                        return logical_refuse_open(ctx, name, "cannot be deleted");
                (void) usleep(BUSY_STEP_USEC);
        }
        return logical_remove_exactly(ctx, name, vg_uuid, lv_uuid);
}

/* By its UUID, if the caller has seen that: then another volume that has got its name is not the one. 1: it
 * is gone, 0: it was changed after the look. */
static int look_and_remove(BackendContext *ctx, const char *name, const char *uuid)
{
        LogicalGroup group = {0};
        const LogicalLv *lv;
        int r;

        r = logical_group_read(ctx, &group);
        if (r >= 0)
                r = logical_group_require(ctx, &group, name, &lv);
        if (r >= 0 && uuid && !streq(uuid, lv->uuid))
                r = error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND,
                               "Volume '%s' of pool '%s' is not there any more: what has its name now is "
                               "another one",
                               name, ctx->pool->name);
        if (r >= 0)
                r = require_no_dependents(ctx, &group, lv, "deleted");
        if (r >= 0)
                r = remove_closed(ctx, name, group.uuid, lv->uuid);
        logical_group_done(&group);
        return r;
}

int logical_volume_delete(BackendContext *ctx, const char *name, bool force)
{
        const VolumeRow *row = logical_scan_row(ctx->scan, name);
        const char *vg_uuid = logical_scan_group_uuid(ctx->scan), *uuid = row ? row->extra->key : NULL;
        int r = 0;

        /* Of what is not as it was seen (another group of that name too) nothing is removed by this. */
        if (uuid && vg_uuid)
                r = remove_closed(ctx, name, vg_uuid, uuid);
        /* Why it was not removed is to be seen in the group. */
        for (unsigned i = 0; r == 0 && i < LOOKS; i++)
                r = look_and_remove(ctx, name, uuid);
        if (r == 0)
                return error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                  "Volume '%s' of pool '%s' is being changed by others; try again", name,
                                  ctx->pool->name);
        return r < 0 ? r : 0;
}

typedef struct Resize {
        BackendContext *ctx;
        LogicalGroup group;
        const LogicalLv *lv;
        uint64_t capacity, header; /* of the device, and what of it is that of a container */
        const ResizeOptions *options;
} Resize;

static int refuse(Resize *z, const char *error_name, const char *why)
{
        return error_setf(z->ctx->error, error_name,
                          "Volume '%s' of pool '%s' cannot be resized to %" PRIu64 " bytes: %s", z->lv->name,
                          z->ctx->pool->name, z->capacity, why);
}

static int check_shrink(Resize *z)
{
        bool only_processes = true;
        UserList users = {0};
        int r;

        if (!z->options->shrink)
                return refuse(
                        z, STORAGE_ERROR_INVALID_ARGUMENT,
                        "that is less than now, which destroys data; ask to shrink it if that is meant");
        if (z->lv->pool && z->capacity < logical_lv_allocation(z->lv))
                return refuse(z, STORAGE_ERROR_INVALID_ARGUMENT, "more than that is allocated in it");
        if (!z->options->force)
                return logical_require_closed(z->ctx, z->lv, "cannot be made smaller");
        if (!logical_lv_is_open(z->lv))
                return 0;
        /* Whoever has it open may know; a file system that is mounted would be cut off. */
        r = logical_find_users(z->ctx, z->lv->name, &users);
        for (size_t i = 0; i < users.n; i++)
                only_processes &= users.items[i].pid > 0;
        if (r >= 0 && (users.n == 0 || !only_processes))
                r = logical_require_closed(z->ctx, z->lv, "cannot be made smaller");
        user_list_done(&users);
        return r;
}

/* What is asked for is what a guest sees. */
static int settle_size(Resize *z)
{
        uint64_t extent = z->group.extent_size;
        _cleanup_free_ char *path = NULL;

        if (z->capacity == 0)
                return refuse(z, STORAGE_ERROR_INVALID_ARGUMENT, "a logical volume cannot be empty");
        if (asprintf(&path, "%s/%s", z->ctx->pool->target_path, z->lv->name) < 0) {
                path = NULL;
                return error_set_errno(z->ctx->error, ENOMEM, "Cannot resize volume '%s'", z->lv->name);
        }
        if (logical_lv_is_active(z->lv))
                z->header = block_luks_read_header_size(path);
        if (z->capacity > (uint64_t) INT64_MAX - extent - z->header)
                return refuse(z, STORAGE_ERROR_INVALID_ARGUMENT, "that is more than a volume can have");
        z->capacity = (z->capacity + z->header + extent - 1) / extent * extent;
        return 0;
}

static int check_resize(Resize *z)
{
        int r = settle_size(z);

        if (r < 0)
                return r;
        if (z->capacity == z->lv->size)
                return 0;
        if (z->options->from != UINT64_MAX && z->options->from + z->header != z->lv->size)
                return refuse(z, STORAGE_ERROR_BUSY, "it was resized meanwhile; try again");
        if (z->lv->thick_snapshot)
                return refuse(z, STORAGE_ERROR_UNSUPPORTED, "a snapshot is as large as its origin");
        if (z->lv->pool && z->options->allocate)
                return refuse(z, STORAGE_ERROR_UNSUPPORTED, "a thin volume is allocated when it is written");
        for (size_t i = 0; i < z->group.n_lvs; i++) {
                const LogicalLv *other = &z->group.lvs[i];

                if (other->thick_snapshot && streq_ptr(other->origin, z->lv->name)) {
                        r = require_no_dependents(z->ctx, &z->group, z->lv, "resized");
                        if (r < 0)
                                return r;
                }
        }
        return z->capacity < z->lv->size ? check_shrink(z) : 0;
}

/* Each of the two refuses to do what is the other's: the size may not be what it was when it was looked at.
 */
static int run_lvm(Resize *z, const char *name)
{
        bool grow = z->capacity > z->lv->size;
        _cleanup_free_ char *path = NULL, *size = NULL;
        const char *argv[] = {"lvm", grow ? "lvextend" : "lvreduce", "--yes", "--size", NULL, NULL, NULL};
        g_autoptr(GError) gerror = NULL;

        if (asprintf(&path, "%s/%s", z->group.name, name) < 0 ||
            asprintf(&size, "%" PRIu64 "b", z->capacity) < 0)
                return error_set_errno(z->ctx->error, ENOMEM, "Cannot resize volume '%s'", name);
        argv[4] = size;
        argv[5] = path;
        if (bd_utils_exec_and_report_error(argv, NULL, &gerror))
                return 0;
        return error_set_blockdev(z->ctx, &gerror, "Cannot resize volume '%s' of pool '%s'", name,
                                  z->ctx->pool->name);
}

static int resize(Resize *z, VolumeRow *ret)
{
        _cleanup_free_ char *name = strdup(z->lv->name);
        int r;

        r = name ? check_resize(z)
                 : error_set_errno(z->ctx->error, ENOMEM, "Cannot resize volume '%s'", z->lv->name);
        if (r < 0)
                return r;
        if (z->capacity != z->lv->size)
                r = run_lvm(z, name);
        if (r < 0)
                return r;
        logical_group_done(&z->group);
        r = logical_group_read(z->ctx, &z->group);
        if (r >= 0)
                r = logical_group_require(z->ctx, &z->group, name, &z->lv);
        if (r < 0)
                return r;
        r = logical_row(z->ctx->pool, z->lv, true, NULL, ret);
        return r < 0 ? error_set_errno(z->ctx->error, r, "Volume '%s' was resized but cannot be read", name)
                     : 0;
}

int logical_volume_resize(BackendContext *ctx, const char *name, uint64_t capacity,
                          const ResizeOptions *options, VolumeRow *ret)
{
        Resize z = {.ctx = ctx, .capacity = capacity, .options = options};
        int r;

        r = logical_group_read(ctx, &z.group);
        if (r >= 0)
                r = logical_group_require(ctx, &z.group, name, &z.lv);
        if (r >= 0)
                r = resize(&z, ret);
        logical_group_done(&z.group);
        return r;
}

static int explain_open(BackendContext *ctx, const char *name, int error)
{
        _cleanup_free_ char *words = NULL;

        if (error == ENOENT || error == ENXIO || error == ENODEV)
                return error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND,
                                  "Cannot open volume '%s' of pool '%s': it is not there, or not active",
                                  name, ctx->pool->name);
        if (error != EBUSY)
                return error_set_errno(ctx->error, error, "Cannot open volume '%s' of pool '%s'", name,
                                       ctx->pool->name);
        if (logical_describe_use(ctx, name, &words) < 0 && ctx->error)
                sd_bus_error_free(ctx->error);
        return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                          "Cannot open volume '%s' of pool '%s' for writing: it is in use: %s", name,
                          ctx->pool->name, words ?: "somebody has it open");
}

int logical_volume_open(BackendContext *ctx, const char *name, OpenMode mode, bool force, int *ret_fd)
{
        bool write = open_mode_writes(mode);
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        r = logical_name_validate(ctx, name);
        if (r < 0)
                return r;
        if (asprintf(&path, "%s/%s", ctx->pool->target_path, name) < 0) {
                path = NULL;
                return error_set_errno(ctx->error, ENOMEM, "Cannot open volume '%s'", name);
        }
        fd = open(path, (write ? O_RDWR | O_EXCL : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return explain_open(ctx, name, errno);
        if (fstat(fd, &st) < 0)
                return explain_open(ctx, name, errno);
        if (!S_ISBLK(st.st_mode))
                return explain_open(ctx, name, ENODEV);
        /* QEMU does not open exclusively, and would not notice that we do: but it is counted. */
        r = in_use_refuse_mode(ctx, fd, name, mode, force);
        if (r < 0)
                return r;
        if (fcntl(fd, F_SETFL, 0) < 0)
                return explain_open(ctx, name, errno);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int logical_volume_look(BackendContext *ctx, const char *name, VolumeRow *ret)
{
        LogicalGroup group = {0};
        const LogicalLv *lv;
        int r;

        r = logical_group_read(ctx, &group);
        if (r < 0)
                return r;
        lv = logical_group_find(&group, name);
        if (!lv || lv->hidden || lv->unfinished)
                r = error_setf(ctx->error, STORAGE_ERROR_NOT_FOUND, "There is no volume '%s' in pool '%s'",
                               name, ctx->pool->name);
        else {
                r = logical_row(ctx->pool, lv, true, NULL, ret);
                if (r < 0)
                        r = error_set_errno(ctx->error, r, "Cannot read volume '%s'", name);
        }
        logical_group_done(&group);
        return r;
}

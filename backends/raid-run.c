/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/raid-run.h"

#include <blockdev/mdraid.h>

#include "backends/blockdev-lib.h"

#define APPEAR_USEC (10 * USEC_PER_SEC)
#define GONE_USEC (5 * USEC_PER_SEC)
#define STEP_USEC (20 * USEC_PER_MSEC)
/* udev and those that it runs open an array for a moment: mdadm takes that for use. */
#define STOP_USEC (3 * USEC_PER_SEC)
#define STOP_STEP_USEC (200 * USEC_PER_MSEC)

int raid_wait_for_path(BackendContext *ctx, const char *path)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        uint64_t end = now_monotonic() + APPEAR_USEC;
        int r;

        while (access(path, F_OK) < 0) {
                if (now_monotonic() >= end)
                        return error_setf(ctx->error, STORAGE_ERROR_INACCESSIBLE,
                                          "The array of pool '%s' runs, but udev has not made %s",
                                          ctx->pool->name, path);
                (void) usleep(STEP_USEC);
        }
        r = block_device_find(ctx, path, &dev);
        if (r < 0)
                return r;
        block_device_settle(&dev);
        return 0;
}

static void wait_until_gone(const char *name, const char *path)
{
        uint64_t end = now_monotonic() + GONE_USEC;

        while (now_monotonic() < end) {
                RaidState state = {0};
                bool running = raid_read_state(name, &state) >= 0 && (state.running || state.n_disks > 0);

                raid_state_done(&state);
                if (!running && access(path, F_OK) < 0)
                        return;
                (void) usleep(STEP_USEC);
        }
}

int raid_stop_device(BackendContext *ctx, const char *name, const char *path)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        uint64_t end = now_monotonic() + STOP_USEC;
        _cleanup_free_ char *node = NULL;
        g_autoptr(GError) gerror = NULL;
        int r;

        r = blockdev_need(ctx, BD_PLUGIN_MDRAID);
        if (r < 0)
                return r;
        if (asprintf(&node, "/dev/%s", name) < 0) {
                node = NULL;
                return error_set_errno(ctx->error, ENOMEM, "Cannot stop the array %s", path);
        }
        r = block_device_find(ctx, node, &dev);
        if (r < 0)
                return r;
        block_device_settle(&dev);
        r = block_device_require_unused(ctx, &dev, "cannot be stopped");
        if (r < 0)
                return r;
        while (!bd_md_deactivate(node, &gerror)) {
                if (now_monotonic() >= end)
                        return error_set_blockdev(ctx, &gerror, "Cannot stop the array %s of pool '%s'",
                                                  path, ctx->pool->name);
                g_clear_error(&gerror);
                (void) usleep(STOP_STEP_USEC);
        }
        wait_until_gone(name, path);
        return 0;
}

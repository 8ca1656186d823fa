/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Adds, fails and removes members of a running array. */

#include <blockdev/exec.h>
#include <blockdev/mdraid.h>

#include "backends/blockdev-lib.h"
#include "backends/raid-array.h"

/* A failed disk stays in its slot until the array's thread has let go of it. */
#define RELEASE_USEC (5 * USEC_PER_SEC)
#define STEP_USEC (50 * USEC_PER_MSEC)

typedef struct Change {
        BackendContext *ctx;
        RaidArray *array;
        const char *action, *device; /* the caller's words */
        char *node;                  /* of the array: "/dev/md127" */
} Change;

static int refuse(const Change *c, const char *error_name, const char *why)
{
        return error_setf(c->ctx->error, error_name, "Cannot %s the device %s in the array of pool '%s': %s",
                          c->action, c->device, c->ctx->pool->name, why);
}

/* A device that is gone is still known by the kernel's name for it. */
static const RaidDisk *find_disk(const Change *c, const BlockDevice *dev)
{
        const RaidState *s = &c->array->state;
        const char *name = startswith(c->device, "/dev/") ?: c->device;

        if (dev->node)
                return raid_state_find(s, dev->devnum);
        for (size_t i = 0; i < s->n_disks; i++) {
                if (streq(s->disks[i].name, name))
                        return &s->disks[i];
        }
        return NULL;
}

/* libblockdev cannot fail a device without removing it, nor remove one that is gone. */
static int run_mdadm(Change *c, const char *option, const RaidDisk *disk)
{
        const char *argv[] = {"mdadm", c->node, option, disk->name, NULL};
        g_autoptr(GError) gerror = NULL;

        if (bd_utils_exec_and_report_error(argv, NULL, &gerror))
                return 0;
        return error_set_blockdev(c->ctx, &gerror, "Cannot %s the device %s in the array of pool '%s'",
                                  c->action, c->device, c->ctx->pool->name);
}

/* One that was in this array before may come back; anything else must be blank. */
static int check_addable(Change *c, const BlockDevice *dev)
{
        _cleanup_(block_contents_done) BlockContents contents = {0};
        _cleanup_free_ char *uuid = NULL, *words = NULL;
        int r;

        if (dev->read_only)
                return refuse(c, STORAGE_ERROR_FAILED, "it is read-only");
        r = block_device_require_unused(c->ctx, dev, "cannot be added to an array");
        if (r >= 0)
                r = block_device_probe(c->ctx, dev, &contents);
        if (r < 0)
                return r;
        r = block_contents_describe(&contents, &words);
        if (r < 0)
                return error_set_errno(c->ctx->error, r, "Cannot look at what is on %s", c->device);
        if (!words)
                return 0;
        r = raid_array_examine(c->ctx, c->array);
        if (r < 0)
                return r;
        if (raid_superblock(&contents, &uuid, NULL) < 0)
                return error_set_errno(c->ctx->error, ENOMEM, "Cannot look at what is on %s", c->device);
        if (uuid && streq_ptr(uuid, raid_array_uuid(c->array)))
                return 0;
        return error_setf(
                c->ctx->error, STORAGE_ERROR_EXISTS,
                "Cannot add the device %s to the array of pool '%s': on it there is %s; wipe it first if "
                "that is not needed any more",
                c->device, c->ctx->pool->name, words);
}

static int add(Change *c, const BlockDevice *dev)
{
        const RaidDisk *disk = raid_state_find(&c->array->state, dev->devnum);
        g_autoptr(GError) gerror = NULL;
        int r;

        if (disk && disk->faulty)
                return refuse(c, STORAGE_ERROR_EXISTS, "it is in it, but has failed; remove it first");
        if (disk)
                return refuse(c, STORAGE_ERROR_EXISTS, "it is in it already");
        if (streq(c->array->state.level, "raid0"))
                return refuse(c, STORAGE_ERROR_UNSUPPORTED, "a raid0 has neither spares nor redundancy");
        r = check_addable(c, dev);
        if (r < 0)
                return r;
        if (bd_md_add(c->node, dev->node, 0, NULL, &gerror))
                return 0;
        return error_set_blockdev(c->ctx, &gerror, "Cannot add the device %s to the array of pool '%s'",
                                  c->device, c->ctx->pool->name);
}

static int fail(Change *c, const RaidDisk *disk)
{
        if (disk->faulty)
                return 0;
        /* The kernel breaks the array rather than refuse it. */
        if (!raid_state_survives(&c->array->state, disk))
                return refuse(c, STORAGE_ERROR_IN_USE,
                              "the array would lose data, as no other device has what this one holds; add a "
                              "device "
                              "and let it be rebuilt first");
        return run_mdadm(c, "--fail", disk);
}

static bool is_released(const Change *c, const RaidDisk *disk)
{
        RaidState now = {0};
        bool released = true;

        if (raid_read_state(c->array->name, &now) < 0)
                return true;
        for (size_t i = 0; i < now.n_disks; i++) {
                if (streq(now.disks[i].name, disk->name))
                        released = now.disks[i].slot < 0;
        }
        raid_state_done(&now);
        return released;
}

static int remove_disk(Change *c, const RaidDisk *disk)
{
        uint64_t end = now_monotonic() + RELEASE_USEC;

        if (disk->in_sync)
                return refuse(c, STORAGE_ERROR_IN_USE, "the array uses it; fail it first");
        if (!disk->faulty && disk->slot >= 0)
                return refuse(c, STORAGE_ERROR_IN_USE, "it is being rebuilt; fail it first");
        while (disk->faulty && !is_released(c, disk) && now_monotonic() < end)
                (void) usleep(STEP_USEC);
        return run_mdadm(c, "--remove", disk);
}

static int change(Change *c, const BlockDevice *dev)
{
        const RaidDisk *disk;

        if (!c->array->name || !c->array->state.running || !raid_array_is_ours(c->array))
                return refuse(c, STORAGE_ERROR_NOT_ACTIVE, "it does not run; start the pool first");
        if (streq(c->action, "add"))
                return add(c, dev);
        disk = find_disk(c, dev);
        if (!disk)
                return refuse(c, STORAGE_ERROR_NOT_FOUND, "it is not in it");
        return streq(c->action, "fail") ? fail(c, disk) : remove_disk(c, disk);
}

int raid_change_member(BackendContext *ctx, const char *action, const char *device)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        _cleanup_(raid_array_done) RaidArray array = {0};
        _cleanup_free_ char *node = NULL;
        Change c = {.ctx = ctx, .array = &array, .action = action, .device = device};
        BackendContext quiet = *ctx;
        bool is_add = streq(action, "add");
        int r;

        if (!is_add && !streq(action, "fail") && !streq(action, "remove"))
                return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Members of an array can be added, failed and removed, but not '%s'",
                                  action);
        quiet.error = NULL;
        r = blockdev_need(ctx, BD_PLUGIN_MDRAID);
        if (r >= 0)
                r = raid_array_look(ctx, &array);
        if (r < 0)
                return r;
        r = block_device_find(is_add ? ctx : &quiet, device, &dev);
        if (r < 0 && is_add)
                return r;
        if (asprintf(&node, "/dev/%s", strempty(array.name)) < 0) {
                node = NULL;
                return error_set_errno(ctx->error, ENOMEM, "Cannot %s the device %s", action, device);
        }
        c.node = node;
        return change(&c, &dev);
}

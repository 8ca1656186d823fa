/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/raid.h"

#include <blockdev/mdraid.h>

#include "backends/blockdev-lib.h"
#include "backends/raid-run.h"

#define METADATA "1.2"
#define ASSEMBLY_TRIES 3U

/* Any host may give the array the name that its superblock has: it comes as /dev/md/NAME everywhere. */
static const BDExtraArg homehost = {.opt = (char *) "--homehost", .val = (char *) "any"};
static const BDExtraArg *const create_options[] = {&homehost, NULL};

static int refuse_build(BackendContext *ctx, const char *error_name, const char *device, const char *why)
{
        return error_setf(ctx->error, error_name, "Cannot build the array of pool '%s': %s %s",
                          ctx->pool->name, device, why);
}

/* Nothing is written before all of them were asked. */
static int check_members(BackendContext *ctx, RaidArray *array, bool overwrite)
{
        for (size_t i = 0; i < array->n_members; i++) {
                RaidMemberFound *m = &array->members[i];
                int r = 0;

                /* Once more, for the error. */
                if (!m->dev.node)
                        r = block_device_find(ctx, m->path, &m->dev);
                if (r >= 0)
                        r = block_device_require_writable(ctx, &m->dev, overwrite);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < i; k++) {
                        if (array->members[k].dev.devnum == m->dev.devnum)
                                return refuse_build(ctx, STORAGE_ERROR_INVALID_ARGUMENT, m->path,
                                                    "is the same device as another of its members");
                }
        }
        return 0;
}

/* The nodes of the members that belong to the array of that UUID (NULL: of all), for libblockdev. */
static int list_nodes(BackendContext *ctx, const RaidArray *array, const char *uuid, const char ***ret)
{
        const char **nodes = calloc(array->n_members + 1, sizeof(char *));
        size_t n = 0;

        if (!nodes)
                return error_set_errno(ctx->error, ENOMEM, "Cannot list the members of %s", array->path);
        for (size_t i = 0; i < array->n_members; i++) {
                if (!uuid || streq_ptr(array->members[i].uuid, uuid))
                        nodes[n++] = array->members[i].dev.node;
        }
        *ret = nodes;
        return 0;
}

/*
 * udev assembles arrays by itself, maybe not all of it and maybe under another name. What nobody uses is
 * stopped, so that it can be assembled as it should be, or not be at all.
 */
static int stop_stray(BackendContext *ctx, const RaidArray *array, const RaidMemberFound *m)
{
        _cleanup_free_ char *holder = NULL;
        int r;

        if (!m->dev.node)
                return 0;
        r = raid_find_holder(m->dev.devnum, &holder);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot find out who uses %s", m->path);
        return holder ? raid_stop_device(ctx, holder, array->path) : 0;
}

static int stop_strays(BackendContext *ctx, const RaidArray *array)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < array->n_members; i++)
                r = stop_stray(ctx, array, &array->members[i]);
        return r;
}

/* udev may assemble what is left again, as long as there is something to assemble. */
static int free_member(BackendContext *ctx, const RaidArray *array, const RaidMemberFound *m)
{
        g_autoptr(GError) gerror = NULL;
        int r;

        for (unsigned i = 0; i < ASSEMBLY_TRIES; i++) {
                g_clear_error(&gerror);
                block_device_settle(&m->dev);
                r = stop_stray(ctx, array, m);
                if (r < 0 || bd_md_destroy(m->dev.node, &gerror))
                        return r;
        }
        r = block_device_require_unused(ctx, &m->dev, "cannot be freed of its array");
        return r < 0 ? r
                     : error_set_blockdev(ctx, &gerror, "Cannot free %s of the array of pool '%s'", m->path,
                                          ctx->pool->name);
}

/* After a failure, whose error is the one to tell: stops what runs and wipes the members' superblocks. */
static void undo_build(BackendContext *ctx, RaidArray *array)
{
        BackendContext quiet = *ctx;

        quiet.error = NULL;
        (void) raid_array_examine(&quiet, array);
        for (size_t i = 0; i < array->n_members; i++) {
                /* One that others have put into an array of theirs meanwhile is why it failed. */
                if (streq_ptr(array->members[i].array_name, raid_array_own_name(array)))
                        (void) free_member(&quiet, array, &array->members[i]);
        }
}

/* Where the members were a part of an array before, what was in that is seen in this one. */
static int wipe_array(BackendContext *ctx, const RaidArray *array)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        int r = block_device_find(ctx, array->path, &dev);

        return r < 0 ? r : block_device_wipe(ctx, &dev, true);
}

static int create(BackendContext *ctx, RaidArray *array, bool overwrite)
{
        const PoolRaid *raid = &ctx->pool->raid;
        _cleanup_free_ const char **nodes = NULL;
        g_autoptr(GError) gerror = NULL;
        int r;

        r = list_nodes(ctx, array, NULL, &nodes);
        if (r < 0)
                return r;
        /* With a bitmap a power cut costs no whole resync; without redundancy there is nothing to resync. */
        if (!bd_md_create(array->path, raid->level, nodes, raid->spares, METADATA,
                          !streq(raid->level, "raid0"), raid->chunk_size,
                          (const BDExtraArg **) create_options, &gerror))
                r = error_set_blockdev(ctx, &gerror, "Cannot build the array %s of pool '%s'", array->path,
                                       ctx->pool->name);
        else
                r = raid_wait_for_path(ctx, array->path);
        if (r >= 0 && overwrite)
                r = wipe_array(ctx, array);
        if (r < 0)
                undo_build(ctx, array);
        return r;
}

/* What a build that was cut short has left udev may have put together meanwhile. */
static int give_way(BackendContext *ctx, const BuildOptions *options, const RaidArray *array)
{
        if (!array->name || (!array->state.running && array->state.n_disks == 0))
                return 0;
        if (!raid_array_is_ours(array))
                return refuse_build(ctx, STORAGE_ERROR_EXISTS, array->path,
                                    "is another array's name already: choose another");
        if (!options->overwrite)
                return refuse_build(
                        ctx, STORAGE_ERROR_EXISTS, array->path,
                        "runs already: start the pool to use it, or build it with 'overwrite' to "
                        "destroy it");
        return stop_strays(ctx, array);
}

static int build(BackendContext *ctx, const BuildOptions *options, RaidArray *array)
{
        int r;

        r = give_way(ctx, options, array);
        if (r >= 0)
                r = check_members(ctx, array, options->overwrite);
        for (size_t i = 0; r >= 0 && options->overwrite && i < array->n_members; i++)
                r = block_device_wipe(ctx, &array->members[i].dev, true);
        if (r < 0)
                return r;
        /* udev may be looking at what was just wiped, and what it has open cannot be taken. */
        for (size_t i = 0; i < array->n_members; i++)
                block_device_settle(&array->members[i].dev);
        /* mdadm takes whatever is there by now. */
        r = check_members(ctx, array, false);
        return r < 0 ? r : create(ctx, array, options->overwrite);
}

int raid_build(BackendContext *ctx, const BuildOptions *options, bool *ret_made)
{
        RaidArray array = {0};
        int r;

        r = blockdev_need(ctx, BD_PLUGIN_MDRAID);
        if (r >= 0)
                r = raid_array_look(ctx, &array);
        if (r >= 0)
                r = build(ctx, options, &array);
        raid_array_done(&array);
        *ret_made = r >= 0;
        return r;
}

/* Why each of the members is not there, or "". */
static char *describe_missing(const RaidArray *array, const char *uuid)
{
        _cleanup_free_ char *words = strdup("");

        for (size_t i = 0; words && i < array->n_members; i++) {
                const RaidMemberFound *m = &array->members[i];
                const char *why = !m->dev.node ? "is not there" : m->contents ? "holds " : "is blank";
                char *more;

                if (m->dev.node && streq_ptr(m->uuid, uuid))
                        continue;
                if (asprintf(&more, "%s%s%s %s%s", words, *words ? ", " : "", m->path, why,
                             m->dev.node && m->contents ? m->contents : "") < 0)
                        return NULL;
                free(words);
                words = more;
        }
        return TAKE_PTR(words);
}

/* Refused are members of another array: which of the two was meant cannot be known. */
static int check_one_array(BackendContext *ctx, const RaidArray *array, const char *uuid)
{
        _cleanup_free_ char *missing = NULL;

        for (size_t i = 0; i < array->n_members; i++) {
                const RaidMemberFound *m = &array->members[i];

                if (m->uuid && !streq(m->uuid, uuid))
                        return error_setf(
                                ctx->error, STORAGE_ERROR_FAILED,
                                "Cannot start the array of pool '%s': %s belongs to another array ('%s', "
                                "UUID %s, not %s); correct the pool's members, or build it anew",
                                ctx->pool->name, m->path, strempty(m->array_name), m->uuid, uuid);
        }
        if (uuid)
                return 0;
        missing = describe_missing(array, NULL);
        return error_setf(
                ctx->error, STORAGE_ERROR_NOT_FOUND,
                "Cannot start the array of pool '%s': none of its devices belongs to an array (%s); "
                "build the pool to make it",
                ctx->pool->name, strempty(missing));
}

/* *ret_gerror: why mdadm would not. 1: it runs, 0: it does not. */
static int try_assembly(BackendContext *ctx, const RaidArray *array, const char *uuid, GError **ret_gerror)
{
        _cleanup_(raid_array_done) RaidArray now = {0};
        _cleanup_free_ const char **nodes = NULL;
        int r;

        r = stop_strays(ctx, array);
        if (r >= 0)
                r = list_nodes(ctx, array, uuid, &nodes);
        if (r < 0)
                return r;
        g_clear_error(ret_gerror);
        if (!bd_md_activate(array->path, nodes, uuid, true, NULL, ret_gerror))
                return 0;
        r = raid_wait_for_path(ctx, array->path);
        if (r >= 0)
                r = raid_array_look(ctx, &now);
        return r < 0 ? r : now.name && now.state.running;
}

static int assemble(BackendContext *ctx, const RaidArray *array, const char *uuid)
{
        _cleanup_free_ char *missing = describe_missing(array, uuid);
        g_autoptr(GError) gerror = NULL;
        BackendContext quiet = *ctx;
        int r = 0;

        /* udev may get hold of a member between two steps of ours. */
        for (unsigned i = 0; r == 0 && i < ASSEMBLY_TRIES; i++)
                r = try_assembly(ctx, array, uuid, &gerror);
        if (r != 0)
                return r < 0 ? r : 0;
        /* What was begun would hold the devices. */
        quiet.error = NULL;
        (void) stop_strays(&quiet, array);
        if (isempty(missing))
                return error_set_blockdev(ctx, &gerror, "Cannot start the array %s of pool '%s'",
                                          array->path, ctx->pool->name);
        return error_set_blockdev(
                ctx, &gerror,
                "Cannot start the array %s of pool '%s', as too many of its devices are missing: %s",
                array->path, ctx->pool->name, missing);
}

static int start(BackendContext *ctx, RaidArray *array)
{
        const char *uuid;
        int r;

        if (raid_array_is_ours(array) && array->state.running)
                return raid_wait_for_path(ctx, array->path);
        if (array->name && !raid_array_is_ours(array) && array->state.running)
                return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                  "Cannot start the array of pool '%s': %s is an array of other devices",
                                  ctx->pool->name, array->path);
        r = raid_array_examine(ctx, array);
        if (r < 0)
                return r;
        uuid = raid_array_uuid(array);
        r = check_one_array(ctx, array, uuid);
        return r < 0 ? r : assemble(ctx, array, uuid);
}

int raid_start(BackendContext *ctx)
{
        _cleanup_(raid_array_done) RaidArray array = {0};
        int r;

        r = blockdev_need(ctx, BD_PLUGIN_MDRAID);
        if (r >= 0)
                r = raid_array_look(ctx, &array);
        return r < 0 ? r : start(ctx, &array);
}

/* Also what udev may have assembled of it, if nothing came of that. */
static int stop(BackendContext *ctx, const RaidArray *array)
{
        int r = 0;

        if (array->name && array->state.running && !raid_array_is_ours(array))
                return error_setf(ctx->error, STORAGE_ERROR_IN_USE,
                                  "Cannot stop the array of pool '%s': %s is an array of other devices",
                                  ctx->pool->name, array->path);
        for (size_t i = 0; r >= 0 && i < array->n_members; i++) {
                const RaidMemberFound *m = &array->members[i];
                RaidState state = {0};

                if (!m->holder)
                        continue;
                if (streq_ptr(m->holder, array->name) ||
                    (raid_read_state(m->holder, &state) >= 0 && !state.running))
                        r = stop_stray(ctx, array, m);
                raid_state_done(&state);
        }
        return r;
}

int raid_stop(BackendContext *ctx)
{
        _cleanup_(raid_array_done) RaidArray array = {0};
        int r;

        r = raid_array_look(ctx, &array);
        return r < 0 ? r : stop(ctx, &array);
}

int raid_require_own(BackendContext *ctx)
{
        _cleanup_(raid_array_done) RaidArray array = {0};
        int r;

        r = raid_array_look(ctx, &array);
        if (r >= 0)
                r = raid_array_examine(ctx, &array);
        for (size_t i = 0; r >= 0 && i < array.n_members; i++) {
                const RaidMemberFound *m = &array.members[i];

                if (m->array_name && !streq_ptr(m->array_name, raid_array_own_name(&array)))
                        r = error_setf(
                                ctx->error, STORAGE_ERROR_FAILED,
                                "Cannot delete pool '%s': %s belongs to an array that was made under the "
                                "name '%s', not to %s; correct the pool's members, or delete by hand "
                                "what is on it",
                                ctx->pool->name, m->path, m->array_name, array.path);
        }
        return r;
}

int raid_delete(BackendContext *ctx)
{
        _cleanup_(raid_array_done) RaidArray array = {0};
        const char *uuid;
        int r;

        r = blockdev_need(ctx, BD_PLUGIN_MDRAID);
        if (r >= 0)
                r = raid_array_look(ctx, &array);
        /* Before it is stopped: which of the superblocks are its own is then known best. */
        if (r >= 0)
                r = raid_array_examine(ctx, &array);
        if (r >= 0)
                r = stop(ctx, &array);
        uuid = raid_array_uuid(&array);
        for (size_t i = 0; r >= 0 && uuid && i < array.n_members; i++) {
                if (streq_ptr(array.members[i].uuid, uuid))
                        r = free_member(ctx, &array, &array.members[i]);
        }
        return r;
}

int raid_check(BackendContext *ctx, bool *ret_active)
{
        _cleanup_(raid_array_done) RaidArray array = {0};
        int r;

        *ret_active = false;
        r = raid_array_look(ctx, &array);
        if (r >= 0)
                *ret_active = raid_array_is_ours(&array) && array.state.running;
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/image-snapshot.h"

#include "backends/file-row.h"
#include "backends/image-chain.h"

/* After a failure or a Cancel, for which nobody waits for long. */
#define MEND_AFTER_USEC (USEC_PER_SEC)

typedef struct Snapshot {
        BackendContext *ctx;
        const ImageSnapshotCall *call;
        VolumeRow row;
        bool encrypted;
        ImageChain chain; /* the image alone */
        char *image;      /* for QEMU */
} Snapshot;

static const char *const actions[_SNAPSHOT_ACTION_MAX] = {
        [SNAPSHOT_CREATE] = "create",
        [SNAPSHOT_REVERT] = "revert",
        [SNAPSHOT_DELETE] = "delete",
};

SnapshotAction snapshot_action_from_string(const char *s)
{
        SnapshotAction a = 0;

        while (a < _SNAPSHOT_ACTION_MAX && !streq(actions[a], s))
                a++;
        return a;
}

static const VolumeSnapshot *find(const Snapshot *s)
{
        const VolumeExtra *extra = s->row.extra;

        for (size_t i = 0; extra && i < extra->n_snapshots; i++) {
                if (streq(extra->snapshots[i].name, s->call->name))
                        return &extra->snapshots[i];
        }
        return NULL;
}

static int refuse(Snapshot *s, const char *error, const char *why)
{
        static const char *const wish[_SNAPSHOT_ACTION_MAX] = {
                [SNAPSHOT_CREATE] = "have a snapshot",
                [SNAPSHOT_REVERT] = "go back to snapshot",
                [SNAPSHOT_DELETE] = "lose snapshot",
        };

        return error_setf(s->ctx->error, error, "Volume '%s' of pool '%s' cannot %s '%s': %s",
                          s->call->volume, s->ctx->pool->name, wish[s->call->action], s->call->name, why);
}

static int check(Snapshot *s)
{
        const VolumeExtra *extra = s->row.extra;
        bool there = find(s) != NULL;

        if (!streq(s->row.format, "qcow2") || !extra)
                return refuse(s, STORAGE_ERROR_UNSUPPORTED,
                              "only images of format qcow2 have snapshots in them");
        if (extra->damaged)
                return refuse(s, STORAGE_ERROR_FAILED, "it is damaged, or cannot be understood");
        if (extra->data_file)
                return refuse(s, STORAGE_ERROR_UNSUPPORTED, "its data is in another file");
        if (extra->encryption != ENCRYPTION_NONE &&
            (extra->encryption != ENCRYPTION_LUKS || !s->ctx->secret))
                return refuse(s, STORAGE_ERROR_UNSUPPORTED,
                              "it is encrypted, and cannot be opened without its secret");
        if (s->call->action == SNAPSHOT_CREATE && there)
                return refuse(s, STORAGE_ERROR_EXISTS,
                              "it has one of that name; choose another name or delete that");
        if (s->call->action == SNAPSHOT_CREATE && extra->n_snapshots >= IMAGE_SNAPSHOTS_MAX)
                return refuse(s, SD_BUS_ERROR_LIMITS_EXCEEDED, "it has too many; delete some");
        if (s->call->action != SNAPSHOT_CREATE && !there)
                return refuse(s, STORAGE_ERROR_NOT_FOUND, "it has none of that name");
        return 0;
}

static int run(Snapshot *s, BackendContext *ctx, const char *const *arguments, uint64_t deadline,
               const char *what)
{
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *words = NULL;
        int fds[QEMU_IMG_FDS_MAX] = {s->call->fd};
        size_t n = 1;
        int r = 0;

        if (asprintf(&words, "%s volume '%s'", what, s->call->volume) < 0) {
                words = NULL;
                return -ENOMEM;
        }
        for (; r >= 0 && *arguments; arguments++)
                r = strv_extend(&argv, *arguments);
        if (r >= 0)
                r = image_chain_add_secrets(ctx, &s->chain, QEMU_IMG_FD, fds, &n, &argv);
        if (r >= 0)
                r = strv_extend(&argv, s->image);
        if (r >= 0)
                r = qemu_img_call(ctx, &(QemuImgCall){.argv = argv,
                                                      .fds = fds,
                                                      .n_fds = n,
                                                      .total = s->row.capacity,
                                                      .tells = true,
                                                      .deadline_usec = deadline,
                                                      .what = words});
        while (n > 1)
                safe_close(fds[--n]);
        return r;
}

/* Counts anew what is used in the image: an interrupted change leaves clusters that belong to nobody. */
static int mend(Snapshot *s, BackendContext *ctx, uint64_t deadline)
{
        const char *const arguments[] = {"qemu-img", "check", "-q", "-r", "all", NULL};

        return run(s, ctx, arguments, deadline, "put right");
}

static int change(Snapshot *s)
{
        static const char *const letters[_SNAPSHOT_ACTION_MAX] = {
                [SNAPSHOT_CREATE] = "-c",
                [SNAPSHOT_REVERT] = "-a",
                [SNAPSHOT_DELETE] = "-d",
        };
        static const char *const words[_SNAPSHOT_ACTION_MAX] = {
                [SNAPSHOT_CREATE] = "make a snapshot of",
                [SNAPSHOT_REVERT] = "go back to a snapshot of",
                [SNAPSHOT_DELETE] = "delete a snapshot of",
        };
        SnapshotAction a = s->call->action;
        /* Here, and here only, an id that is equal to another one's name would win. */
        const char *who = a == SNAPSHOT_REVERT ? find(s)->id : s->call->name;
        const char *const arguments[] = {"qemu-img", "snapshot", "-q", letters[a], who, NULL};

        return run(s, s->ctx, arguments, 0, words[a]);
}

static bool never(BackendContext *ctx)
{
        return false;
}

/* QEMU has not come so far as to write anything: it could not even open the image. */
static bool secret_was_wrong(const BackendContext *ctx)
{
        return sd_bus_error_has_name(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT);
}

/*
 * After a change that failed, or was cancelled: but for one that goes back, the contents are as they were,
 * and what it has left in the image is put right if that is quick. Else the volume keeps its mark, and the
 * next change does it, as it does for an encrypted one, which takes long to open.
 */
static void clean_up(Snapshot *s)
{
        _cleanup_bus_error_free_ sd_bus_error ignored = SD_BUS_ERROR_NULL;
        BackendContext ctx = *s->ctx;

        ctx.error = &ignored;
        ctx.cancelled = never;
        if (s->encrypted) {
                if (secret_was_wrong(s->ctx))
                        (void) s->call->whole(s->call->userdata);
        } else if (s->call->action != SNAPSHOT_REVERT && mend(s, &ctx, MEND_AFTER_USEC) >= 0)
                (void) s->call->whole(s->call->userdata);
}

static int do_it(Snapshot *s)
{
        int r;

        r = s->call->writing(s->call->userdata);
        if (r < 0)
                return r;
        if (s->call->mend)
                r = mend(s, s->ctx, 0);
        if (r >= 0)
                r = change(s);
        if (r >= 0 && fsync(s->call->fd) < 0)
                r = error_set_errno(s->ctx->error, errno, "Cannot write volume '%s' to its storage",
                                    s->call->volume);
        if (r < 0)
                clean_up(s);
        return r;
}

static int prepare(Snapshot *s)
{
        s->encrypted = s->row.extra->encryption != ENCRYPTION_NONE;
        s->chain = (ImageChain){.n = 1,
                                .fds = {s->call->fd},
                                .formats = {IMAGE_QCOW2},
                                .secrets = {s->encrypted ? s->ctx->secret : NULL}};
        if (image_chain_format(&s->chain, QEMU_IMG_FD, &s->image) < 0)
                return error_set_errno(s->ctx->error, ENOMEM, "Cannot change volume '%s'", s->call->volume);
        return 0;
}

int image_snapshot(BackendContext *ctx, const ImageSnapshotCall *call)
{
        Snapshot s = {.ctx = ctx, .call = call};
        int r;

        r = file_row_read(call->fd, strempty(ctx->pool->target_path), call->volume, &s.row);
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot read volume '%s'", call->volume);
        r = check(&s);
        if (r >= 0)
                r = prepare(&s);
        if (r >= 0)
                r = do_it(&s);
        free(s.image);
        volume_row_done(&s.row);
        return r;
}

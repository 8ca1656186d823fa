/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/pool-steps.h"

/* The same without an error: for what is done after a failure, whose reason is the one to tell. */
static BackendContext quietly(const BackendContext *ctx)
{
        BackendContext quiet = *ctx;

        quiet.error = NULL;
        return quiet;
}

int pool_build_storage(const Backend *backend, BackendContext *ctx, const BuildOptions *options,
                       bool *ret_made)
{
        BackendContext quiet = quietly(ctx);
        bool made;
        int r;

        if (!pool_has_raid(ctx->pool))
                return backend->build(ctx, options, ret_made);
        r = raid_build(ctx, options, ret_made);
        if (r < 0)
                return r;
        r = backend->build(ctx, options, &made);
        if (r < 0 && *ret_made)
                (void) raid_delete(&quiet);
        else
                (void) raid_stop(&quiet);
        return r;
}

int pool_start_storage(const Backend *backend, BackendContext *ctx)
{
        BackendContext quiet = quietly(ctx);
        int r;

        if (!pool_has_raid(ctx->pool))
                return backend->start(ctx);
        r = raid_start(ctx);
        if (r < 0 || !backend->start)
                return r;
        r = backend->start(ctx);
        if (r < 0)
                (void) raid_stop(&quiet);
        return r;
}

int pool_stop_storage(const Backend *backend, BackendContext *ctx)
{
        BackendContext quiet = quietly(ctx);
        int r = 0;

        if (!pool_has_raid(ctx->pool))
                return backend->stop(ctx);
        if (backend->stop)
                r = backend->stop(ctx);
        if (r < 0)
                return r;
        r = raid_stop(ctx);
        if (r < 0 && backend->start)
                (void) backend->start(&quiet);
        return r;
}

/* What is on the array can be seen only while that runs. */
int pool_delete_storage(const Backend *backend, BackendContext *ctx)
{
        BackendContext quiet = quietly(ctx);
        int r;

        if (!pool_has_raid(ctx->pool))
                return backend->delete (ctx);
        r = raid_require_own(ctx);
        if (r >= 0)
                r = raid_start(ctx);
        if (r < 0)
                return r;
        r = backend->delete (ctx);
        if (r >= 0)
                return raid_delete(ctx);
        (void) raid_stop(&quiet);
        return r;
}

int pool_check_storage(const Backend *backend, BackendContext *ctx, bool *ret_active)
{
        int r;

        if (pool_has_raid(ctx->pool)) {
                r = raid_check(ctx, ret_active);
                if (r < 0 || !*ret_active)
                        return r;
        }
        return backend->check(ctx, ret_active);
}

int pool_look(const Backend *backend, BackendContext *ctx, BackendScan *scan, bool all, RefreshSink *sink,
              PoolReport *ret)
{
        int r;

        r = all ? backend->refresh(ctx, scan, sink, ret) : backend->refresh_changes(ctx, scan, sink, ret);
        return r >= 0 && pool_has_raid(ctx->pool) ? raid_report(ctx, ret) : r;
}

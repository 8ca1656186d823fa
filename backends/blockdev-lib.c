/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/blockdev-lib.h"

#include <blockdev/exec.h>
#include <blockdev/lvm.h>
#include <stdarg.h>

static void on_log(gint level, const gchar *text)
{
        /* What went wrong comes as an error; the rest is chatter. */
}

int blockdev_need(BackendContext *ctx, BDPlugin plugin)
{
        BDPluginSpec spec = {.name = plugin, .so_name = NULL};
        BDPluginSpec *wanted[] = {&spec, NULL};
        g_autoptr(GError) gerror = NULL;

        if (bd_is_plugin_available(plugin))
                return 0;
        /* A function that lacks its tool says so; loading would refuse all for the lack of any one. */
        (void) bd_switch_init_checks(false, NULL);
        /* The others that are loaded stay. */
        if (bd_is_initialized() ? bd_reinit(wanted, false, on_log, &gerror)
                                : bd_init(wanted, on_log, &gerror))
                return 0;
        return error_setf(
                ctx->error, STORAGE_ERROR_UNSUPPORTED,
                "Cannot work on pool '%s': the plugin '%s' of libblockdev or a tool that it needs is "
                "missing: %s",
                ctx->pool->name, bd_get_plugin_name(plugin), gerror ? gerror->message : "no reason told");
}

static const char *error_name(const GError *gerror)
{
        if (g_error_matches(gerror, BD_UTILS_EXEC_ERROR, BD_UTILS_EXEC_ERROR_UTIL_UNAVAILABLE) ||
            g_error_matches(gerror, BD_LVM_ERROR, BD_LVM_ERROR_TECH_UNAVAIL))
                return STORAGE_ERROR_UNSUPPORTED;
        if (strcasestr(gerror->message, "insufficient free space") ||
            strcasestr(gerror->message, "insufficient suitable allocatable extents") ||
            strcasestr(gerror->message, "no space left"))
                return STORAGE_ERROR_NO_SPACE;
        return STORAGE_ERROR_FAILED;
}

/* What a tool said in lines, as one. *ret is the caller's. */
static int join_lines(const char *said, char **ret)
{
        _cleanup_free_ char *line = strdup(said);
        char *end;

        if (!line)
                return -ENOMEM;
        for (end = line + strlen(line); end > line && strchr("\n ", end[-1]); end--)
                end[-1] = 0;
        for (char *c = line; *c; c++) {
                if (*c == '\n')
                        *c = ' ';
        }
        return utf8_make_valid(line, strlen(line), ret);
}

int error_set_blockdev(BackendContext *ctx, GError **gerror, const char *format, ...)
{
        _cleanup_free_ char *text = NULL, *reason = NULL;
        const char *said = *gerror ? (*gerror)->message : "no reason told";
        va_list ap;
        int n, r;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        r = n < 0 ? -ENOMEM : join_lines(said, &reason);
        if (r >= 0)
                r = error_setf(ctx->error, *gerror ? error_name(*gerror) : STORAGE_ERROR_FAILED, "%s: %s",
                               text, reason);
        g_clear_error(gerror);
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-change.h"

#include "tools/follow.h"
#include "tools/report.h"
#include "tools/volume-call.h"

const Option volume_wipe_options[] = {
        {"algorithm", "ALGORITHM", OPTION_STRING, "algorithm",
         "zero (default), trim, random, nnsa and so on"},
        {"force", NULL, OPTION_FLAG, "force", "even if somebody has it open"},
        {0},
};

const Option volume_rebase_options[] = {
        {"unsafe", NULL, OPTION_FLAG, "unsafe", "copy nothing: the new one has the same contents, I know"},
        {0},
};

int volume_wipe(Context *c, const Args *a)
{
        return volume_change(
                c, a, &(VolumeChange){VOLUME_INTERFACE, "Wipe", "wipe", "wiped", volume_wipe_options});
}

int volume_flatten(Context *c, const Args *a)
{
        return volume_change(c, a,
                             &(VolumeChange){VOLUME_INTERFACE, "Flatten", "flatten", "flattened", NULL});
}

int volume_commit(Context *c, const Args *a)
{
        return volume_change(c, a,
                             &(VolumeChange){VOLUME_INTERFACE, "Commit", "commit",
                                             "committed to its backing volume", NULL});
}

/* The new backing volume: an absolute path, or a name in the volume's own pool. */
static int find_backing(Context *c, const char *volume, const char *backing, char **ret, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        const char *pool;
        int r;

        if (*backing == '/')
                return find_volume(c, NULL, backing, ret, error);
        r = sd_bus_get_property(c->bus, STORAGE_BUS_NAME, volume, VOLUME_INTERFACE, "Pool", error, &reply,
                                "o");
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &pool);
        return r < 0 ? r : find_volume(c, pool, backing, ret, error);
}

int volume_rebase(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL, *backing = NULL, *label = NULL;
        const char *name;
        size_t used;
        int r;

        r = check_volume_operands(a, 1, "the volume to build it on");
        if (r != STATUS_OK)
                return r;
        name = a->operands[volume_operands(a) - 1];
        if (asprintf(&label, "rebase %s", name) < 0)
                return report(c, NULL, -ENOMEM);
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = find_backing(c, path, a->operands[a->n_operands - 1], &backing, &error);
        if (r >= 0)
                r = call_new(c, path, VOLUME_INTERFACE, "Rebase", &error, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "o", backing);
        if (r >= 0)
                r = call_options(c, m, a, volume_rebase_options, true);
        if (r >= 0)
                r = job_call(c, m, label, &error);
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Volume %s is built on %s.", name, a->operands[a->n_operands - 1]);
        return STATUS_OK;
}

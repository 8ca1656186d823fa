/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-wipe.h"

#include "service/volume-in-place.h"
#include "service/volume-graph.h"

static int fill_wipe(Job *job, sd_bus_message *m, void *argument)
{
        const WipeAlgorithm *algorithm = argument;

        return sd_bus_message_append(m, "s", wipe_algorithm_to_string(*algorithm));
}

int volume_wipe(Volume *v, WipeAlgorithm algorithm, bool force, uid_t uid, Job **ret, sd_bus_error *error)
{
        InPlace what = {
                .operation = "wipe-volume",
                .said = "changed",
                .verb = "Wipe",
                .write = true,
                .force = force,
                .end = UINT64_MAX,
                .mends = MENDS_BYTES,
                .fill = fill_wipe,
                .free_argument = free,
        };
        WipeAlgorithm *argument;
        int r;

        r = volume_require_no_dependents(v, NULL, "wiped", error);
        if (r < 0)
                return r;
        if (v->row.extra && v->row.extra->data_file)
                return error_setf(
                        error, STORAGE_ERROR_UNSUPPORTED,
                        "Volume '%s' of pool '%s' cannot be wiped: its data is in another file, %s",
                        v->row.name, v->pool->def->name, v->row.extra->data_file);
        argument = malloc(sizeof *argument);
        if (!argument)
                return -ENOMEM;
        *argument = algorithm;
        what.argument = argument;
        return volume_in_place(v, &what, NULL, uid, ret, error);
}

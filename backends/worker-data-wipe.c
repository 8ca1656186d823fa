/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/wipe.h"
#include "backends/worker-data.h"

int data_worker_wipe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        DataCall call = {};
        const char *name;
        WipeAlgorithm algorithm = _WIPE_ALGORITHM_MAX;
        Wipe wipe;
        int r;

        r = data_call_begin(m, userdata, error, &call);
        if (r >= 0)
                r = sd_bus_message_read(m, "s", &name);
        if (r >= 0) {
                algorithm = wipe_algorithm_from_string(name);
                r = algorithm < _WIPE_ALGORITHM_MAX ? 0 : -EINVAL;
        }
        if (r >= 0)
                r = wipe_prepare(&call.ctx, call.fd, call.name, algorithm, &wipe);
        if (r >= 0)
                r = data_call_writing(&call);
        if (r >= 0)
                r = wipe_run(&wipe);
        data_call_done(&call);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "backends/image-snapshot.h"
#include "backends/worker-data.h"

static int on_writing(void *userdata)
{
        return data_call_writing(userdata);
}

static int on_whole(void *userdata)
{
        return data_call_whole(userdata);
}

int data_worker_snapshot(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *action, *name;
        DataCall call = {};
        int r, mend = false;

        r = data_call_begin(m, userdata, error, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "ss", &action, &name);
        if (r >= 0)
                r = worker_read_options(m, &(WorkerOption){"mend", "b", &mend}, 1);
        if (r >= 0 && snapshot_action_from_string(action) == _SNAPSHOT_ACTION_MAX)
                r = error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                               "'%.16s' is nothing to do with snapshots: create, revert and delete are",
                               action);
        if (r >= 0)
                r = image_snapshot(&call.ctx,
                                   &(ImageSnapshotCall){.volume = call.name,
                                                        .fd = call.fd,
                                                        .action = snapshot_action_from_string(action),
                                                        .name = name,
                                                        .mend = mend,
                                                        .writing = on_writing,
                                                        .whole = on_whole,
                                                        .userdata = &call});
        data_call_done(&call);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

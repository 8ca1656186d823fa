/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "backends/copy-back.h"
#include "backends/file-snapshot.h"
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
        const char *action, *name, *secret = NULL;
        DataCall call = {};
        int r, mend = false;
        const WorkerOption options[] = {{"mend", "b", &mend}, {"secret", "s", &secret}};

        r = data_call_begin(m, userdata, error, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "ss", &action, &name);
        if (r >= 0)
                r = worker_read_options(m, options, ELEMENTSOF(options));
        call.ctx.secret = secret;
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

static int reply_rows(sd_bus_message *m, const VolumeRow *row)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', VOLUME_ROW_SIGNATURE);
        if (r >= 0 && row->name)
                r = volume_row_append(row, reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int data_worker_file_snapshot(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *action, *name;
        DataCall call = {};
        VolumeRow row = {};
        int r;

        r = data_call_begin(m, userdata, error, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "ss", &action, &name);
        if (r >= 0 && streq(action, "create"))
                r = file_snapshot_create(&call.ctx, call.name, call.fd, name, &row);
        else if (r >= 0 && streq(action, "revert"))
                r = file_snapshot_revert(&call.ctx, call.name, call.fd, name);
        else if (r >= 0)
                r = file_snapshot_delete(&call.ctx, call.name, name);
        if (r >= 0)
                r = reply_rows(m, &row);
        volume_row_done(&row);
        data_call_done(&call);
        return r;
}

int data_worker_copy_back(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        DataCall call = {};
        int r, from;

        r = data_call_begin(m, userdata, error, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "h", &from);
        if (r >= 0)
                r = copy_back(&call.ctx, from, call.fd, call.name, on_writing, &call);
        data_call_done(&call);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

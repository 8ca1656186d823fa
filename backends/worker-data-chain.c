/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verbs that change what an image is built on: see worker-protocol.h. */

#include "backends/image-rebase.h"
#include "backends/worker-data.h"

static int on_writing(void *userdata)
{
        return data_call_writing(userdata);
}

int data_worker_rebase(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        ImageChain image = {}, backing = {};
        ImageRebase rebase = {.image = &image, .backing = &backing};
        DataCall call = {};
        int r;

        r = data_call_begin(m, userdata, error, &call);
        if (r < 0)
                return r;
        rebase.volume = call.name;
        r = image_chain_read(m, &image, error);
        if (r >= 0)
                r = sd_bus_message_read(m, "ss", &rebase.backing_path, &rebase.backing_format);
        if (r >= 0 && rebase.backing_path[0])
                r = image_chain_read(m, &backing, error);
        if (r >= 0)
                r = image_rebase(&call.ctx, &rebase);
        data_call_done(&call);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

int data_worker_set_backing(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *format, *path, *backing_format, *secret = NULL;
        DataCall call = {};
        int r;

        r = data_call_begin(m, userdata, error, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "sss", &format, &path, &backing_format);
        if (r >= 0)
                r = worker_read_options(m, &(WorkerOption){"secret", "s", &secret}, 1);
        call.ctx.secret = secret;
        if (r >= 0)
                r = image_record_backing(&call.ctx, call.name, call.fd, image_format_from_string(format),
                                         path, backing_format, on_writing, &call);
        data_call_done(&call);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

int data_worker_commit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        ImageChain image = {};
        DataCall call = {};
        int r;

        r = data_call_begin(m, userdata, error, &call);
        if (r < 0)
                return r;
        r = image_chain_read(m, &image, error);
        if (r >= 0 && image.n < 2)
                r = -EINVAL;
        if (r >= 0)
                r = image_commit(&call.ctx, call.name, &image, on_writing, &call);
        data_call_done(&call);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

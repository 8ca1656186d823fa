/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-grow.h"
#include "backends/worker-data.h"

static int on_writing(void *userdata)
{
        return data_call_writing(userdata);
}

int data_worker_grow(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *secret = NULL;
        DataCall call = {};
        uint64_t capacity, from;
        int r;

        r = data_call_begin(m, userdata, error, &call);
        if (r >= 0)
                r = sd_bus_message_read(m, "tt", &capacity, &from);
        if (r >= 0)
                r = worker_read_options(m, &(WorkerOption){"secret", "s", &secret}, 1);
        call.ctx.secret = secret;
        if (r >= 0)
                r = file_grow(&call.ctx, call.fd, call.name, capacity, from, on_writing, &call);
        data_call_done(&call);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

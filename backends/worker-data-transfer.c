/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Upload, Download and Measure: see worker-protocol.h. */

#include "backends/image-verify.h"
#include "backends/transfer.h"
#include "backends/worker-data.h"

static int on_writing(const Transfer *t)
{
        return data_call_writing(t->userdata);
}

static int read_transfer(sd_bus_message *m, DataCall *call, Transfer *t, const char **format)
{
        int r, sparse = false, sha256 = false, grow = false, fresh = false, zero = false;
        const WorkerOption options[] = {
                {"offset", "t", &t->offset}, {"length", "t", &t->length}, {"sparse", "b", &sparse},
                {"format", "s", format},     {"sha256", "b", &sha256},    {"grow", "b", &grow},
                {"fresh", "b", &fresh},      {"zero", "b", &zero},
        };

        r = sd_bus_message_read(m, "h", &t->peer);
        if (r >= 0)
                r = worker_read_options(m, options, ELEMENTSOF(options));
        t->ctx = &call->ctx;
        t->name = call->name;
        t->volume = call->fd;
        t->sparse = sparse;
        t->sha256 = sha256;
        t->grow = grow;
        t->fresh = fresh;
        t->zero = zero;
        return r;
}

static int transfer(sd_bus_message *m, void *userdata, sd_bus_error *error, bool in)
{
        Transfer t = {.length = UINT64_MAX};
        const char *format = "";
        TransferResult result;
        DataCall call;
        int r;

        r = data_call_begin(m, userdata, error, &call);
        if (r < 0)
                return r;
        r = read_transfer(m, &call, &t, &format);
        if (r >= 0 && in && !t.fresh) {
                t.writing = on_writing;
                t.userdata = &call;
        }
        if (r >= 0)
                r = in ? transfer_in(&t, &result) : transfer_out(&t, &result);
        if (r >= 0 && !isempty(format))
                r = image_verify_format(t.ctx, t.volume, t.name, format);
        else if (r >= 0 && in && t.offset == 0)
                r = image_accept_format(t.ctx, t.volume, result.bytes, t.name);
        data_call_done(&call);
        return r < 0 ? r : sd_bus_reply_method_return(m, "ts", result.bytes, result.sha256);
}

int data_worker_upload(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return transfer(m, userdata, error, true);
}

int data_worker_download(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return transfer(m, userdata, error, false);
}

int data_worker_measure(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        BackendContext ctx = data_context(userdata, NULL, error);
        const char *name;
        uint64_t length;
        int r, fd;

        r = sd_bus_message_read(m, "sh", &name, &fd);
        if (r >= 0)
                r = transfer_measure(&ctx, fd, name, &length);
        return r < 0 ? r : sd_bus_reply_method_return(m, "t", length);
}

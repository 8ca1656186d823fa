/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Upload, Download and Measure: see worker-protocol.h. */

#include <sys/stat.h>

#include "backends/image-probe.h"
#include "backends/transfer.h"
#include "backends/worker-data.h"

static int on_writing(const Transfer *t)
{
        return data_call_writing(t->userdata);
}

/* Whose bytes are the guest's own, whatever else can be seen in them. */
static bool is_plain(ImageFormat f)
{
        return f == IMAGE_RAW || f == IMAGE_ISO || f == IMAGE_FAT || f == IMAGE_LUKS;
}

/* What was said to be of a format is: otherwise nobody should come to rely on it. */
static int verify_format(const Transfer *t, const char *format)
{
        ImageFormat wanted = image_format_from_string(format), found;
        uint8_t head[IMAGE_HEAD_SIZE];
        char name[32];
        ImageFile file = {.fd = t->volume, .head = head, .allocated = UINT64_MAX, .name = t->name};
        ImageInfo info = {};
        struct stat st;
        ssize_t n;

        /* Some show themselves only to those who look for them, as the name tells to do. */
        (void) snprintf(name, sizeof name, "volume.%s", format);
        if (wanted != IMAGE_RAW)
                file.name = name;
        n = pread(t->volume, head, sizeof head, 0);
        if (n < 0 || fstat(t->volume, &st) < 0)
                return error_set_errno(t->ctx->error, errno, "Cannot read volume '%s'", t->name);
        file.n_head = (size_t) n;
        file.size = (uint64_t) st.st_size;
        if (image_probe(&file, &info) < 0)
                return error_set_errno(t->ctx->error, ENOMEM, "Cannot look at volume '%s'", t->name);
        found = info.format;
        image_info_done(&info);
        if (found == wanted || (wanted == IMAGE_RAW && is_plain(found)))
                return 0;
        return error_setf(t->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "What is to be volume '%s' has format %s, not %s", t->name,
                          image_format_to_string(found), format);
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
                r = verify_format(&t, format);
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

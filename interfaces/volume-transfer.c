/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-transfer.h"

#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/reply.h"
#include "interfaces/volume-methods.h"

typedef struct Way {
        bool in;   /* into the volume */
        bool open; /* the caller gets a pipe */
} Way;

static int read_arguments(sd_bus_message *m, Way way, VolumeTransfer *t, uint64_t *wait, sd_bus_error *error)
{
        const Option options[] = {
                {"offset", 't', &t->offset}, {"sparse", 'b', &t->sparse}, {"sha256", 'b', &t->sha256},
                {"force", 'b', &t->force},   {"length", 't', &t->length}, {"wait", 't', wait},
        };
        /* A pipe is answered at once; and how much will come through it is an argument. */
        size_t n = ELEMENTSOF(options) - (way.open ? 1 : 0) - (way.open && way.in ? 1 : 0);
        int r = 0;

        if (!way.open)
                r = options_read_descriptor(m, !way.in, &t->fd, error);
        else if (way.in)
                r = sd_bus_message_read(m, "t", &t->length);
        return r < 0 ? r : options_read(m, options, n, error);
}

static int transfer(sd_bus_message *m, Volume *v, Way way, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        VolumeTransfer t = {.fd = -EBADF, .length = UINT64_MAX};
        uint64_t wait = WAIT_DEFAULT_USEC;
        Bus *b = bus_of(v->pool->manager);
        uid_t uid;
        int r;

        r = read_arguments(m, way, &t, &wait, error);
        if (r >= 0)
                r = way.in ? hold_for_dependents(b, m) : 1;
        if (r <= 0)
                return r < 0 ? r : 1;
        r = access_check_volume(b, m, way.in ? "write-volume" : "read-volume", v, t.force, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = way.in ? volume_upload(v, &t, uid, &job, error) : volume_download(v, &t, uid, &job, error);
        if (r < 0)
                return r;
        return way.open ? reply_with_pipe(m, job, REPLY_PIPE)
                        : reply_when_done(b, m, job, REPLY_TRANSFER, wait, error);
}

int volume_method_upload(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return transfer(m, userdata, (Way){.in = true}, error);
}

int volume_method_download(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return transfer(m, userdata, (Way){}, error);
}

int volume_method_open_upload(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return transfer(m, userdata, (Way){.in = true, .open = true}, error);
}

int volume_method_open_download(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return transfer(m, userdata, (Way){.open = true}, error);
}

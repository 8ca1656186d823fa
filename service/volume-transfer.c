/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-transfer.h"

#include <fcntl.h>

#include "service/data-job.h"
#include "service/volume-in-place.h"

/* A client's writes need not wait for every read; what it has written may sit in memory for as long as it
 * likes. */
#define PIPE_SIZE (256 * 1024)

static bool may_grow(const Volume *v)
{
        return v->row.type == VOLUME_FILE && !streq(v->row.format, "raw");
}

/* Whether bytes up to end are all that there is: then it is "to the end", whatever that is by then. */
static uint64_t range_end(const Volume *v, uint64_t offset, uint64_t length)
{
        uint64_t size = v->row.type == VOLUME_FILE ? v->row.physical : v->row.capacity;

        return length >= size || offset >= size - length ? UINT64_MAX : offset + length;
}

static int fill_transfer(Job *job, sd_bus_message *m, void *argument)
{
        const VolumeTransfer *t = argument;
        const Volume *v = volume_find(job->pool, job->volume_name);
        int r;

        r = sd_bus_message_append(m, "ha{sv}", job->peer_fd, 5, "offset", "t", t->offset, "length", "t",
                                  t->length, "sparse", "b", (int) t->sparse, "sha256", "b", (int) t->sha256,
                                  "grow", "b", (int) (v && may_grow(v)));
        /* From now on only the worker has it: where that ends the client sees it. */
        if (r >= 0)
                job->peer_fd = safe_close(job->peer_fd);
        return r;
}

static int transfer_answered(Job *job, sd_bus_message *reply, void *argument)
{
        const char *sha256;
        int r;

        r = sd_bus_message_read(reply, "ts", &job->transferred, &sha256);
        if (r >= 0 && !isempty(sha256))
                r = free_and_strdup(&job->sha256, sha256);
        job->has_transferred = r >= 0;
        return r;
}

/* The length of what a client's descriptor leads to, if it did not say it. */

static int fill_measure(Job *job, sd_bus_message *m)
{
        return sd_bus_message_append(m, "sh", job->volume_name, data_job_fd(job, 0));
}

static int measure_answered(Job *job, sd_bus_message *reply)
{
        VolumeTransfer *t = volume_in_place_argument(job);

        return sd_bus_message_read(reply, "t", &t->length);
}

static void begin(Job *job)
{
        VolumeTransfer *t = volume_in_place_argument(job);
        const Volume *v = volume_find(job->pool, job->volume_name);

        volume_in_place_start(job, t->offset, v ? range_end(v, t->offset, t->length) : UINT64_MAX);
}

static void measured(Job *job, const sd_bus_error *error)
{
        if (error)
                job_finish(job, error);
        else
                begin(job);
}

static int take_descriptors(const VolumeTransfer *t, bool upload, int *ret_peer, int *ret_client)
{
        int fds[2];

        if (t->fd >= 0) {
                *ret_peer = fcntl(t->fd, F_DUPFD_CLOEXEC, 3);
                return *ret_peer < 0 ? -errno : 0;
        }
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        (void) fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
        *ret_peer = fds[upload ? 0 : 1];
        *ret_client = fds[upload ? 1 : 0];
        return 0;
}

static int transfer(Volume *v, const InPlace *what, const VolumeTransfer *t, uid_t uid, Job **ret,
                    sd_bus_error *error)
{
        _cleanup_close_ int peer = -EBADF, client = -EBADF;
        InPlace w = *what;
        int r;

        r = take_descriptors(t, w.write, &peer, &client);
        if (r < 0)
                return error_set_errno(error, r, "Cannot pass on a descriptor for volume '%s'", v->row.name);
        w.force = t->force;
        w.fill = fill_transfer;
        w.answered = transfer_answered;
        w.argument = malloc(sizeof *t);
        w.free_argument = free;
        if (!w.argument)
                return -ENOMEM;
        memcpy(w.argument, t, sizeof *t);
        r = volume_in_place_prepare(v, &w, NULL, uid, ret, error);
        if (r < 0)
                return r;
        (*ret)->peer_fd = TAKE_FD(peer);
        (*ret)->result_fd = TAKE_FD(client);
        if (w.write && t->length == UINT64_MAX) {
                (*ret)->next = measured;
                data_job_run(*ret,
                             &(DataStep){.verb = "Measure",
                                         .kind = DATA_READS,
                                         .fill = fill_measure,
                                         .answered = measure_answered},
                             &(*ret)->peer_fd, 1);
        } else
                begin(*ret);
        return 0;
}

int volume_upload(Volume *v, const VolumeTransfer *t, uid_t uid, Job **ret, sd_bus_error *error)
{
        const InPlace what = {
                .operation = "upload-volume", .said = "changed", .verb = "Upload", .write = true};

        return transfer(v, &what, t, uid, ret, error);
}

int volume_download(Volume *v, const VolumeTransfer *t, uid_t uid, Job **ret, sd_bus_error *error)
{
        const InPlace what = {.operation = "download-volume", .said = "read", .verb = "Download"};

        return transfer(v, &what, t, uid, ret, error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-transfer.h"

#include <fcntl.h>

#include "service/data-job.h"
#include "service/volume-graph.h"
#include "service/volume-in-place.h"

/* A client's writes need not wait for every read; what it has written may sit in memory for as long as it
 * likes. */
#define PIPE_SIZE (256 * 1024)

int transfer_take_descriptors(Job *job, const VolumeTransfer *t, bool in)
{
        int fds[2];

        if (t->fd >= 0) {
                job->peer_fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 3);
                return job->peer_fd < 0 ? -errno : 0;
        }
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        (void) fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
        job->peer_fd = fds[in ? 0 : 1];
        job->result_fd = fds[in ? 1 : 0];
        return 0;
}

static int fill_measure(Job *job, sd_bus_message *m)
{
        return sd_bus_message_append(m, "sh", job->volume_name, data_job_fd(job, 0));
}

static int measure_answered(Job *job, sd_bus_message *reply)
{
        uint64_t length;
        int r = sd_bus_message_read(reply, "t", &length);

        if (r >= 0)
                job_set_progress(job, 0, length);
        return r;
}

void transfer_measure(Job *job, void (*next)(Job *job, const sd_bus_error *error))
{
        const DataStep step = {
                .verb = "Measure",
                .kind = DATA_READS,
                .fill = fill_measure,
                .answered = measure_answered,
                .client = true,
        };

        job->next = next;
        data_job_run(job, &step, &job->peer_fd, 1);
}

int transfer_append(Job *job, sd_bus_message *m, const VolumeTransfer *t, const TransferTarget *target)
{
        int r;

        r = sd_bus_message_append(m, "ha{sv}", job->peer_fd, 8, "offset", "t", t->offset, "length", "t",
                                  t->length, "sparse", "b", (int) t->sparse, "sha256", "b", (int) t->sha256,
                                  "grow", "b", (int) target->grow, "fresh", "b", (int) target->fresh, "zero",
                                  "b", (int) target->zero, "format", "s", strempty(target->format));
        /* Where the worker ends the client sees it. */
        if (r >= 0)
                job->peer_fd = safe_close(job->peer_fd);
        return r;
}

int transfer_read_result(Job *job, sd_bus_message *reply)
{
        const char *sha256;
        int r;

        r = sd_bus_message_read(reply, "ts", &job->transferred, &sha256);
        if (r >= 0 && !isempty(sha256))
                r = free_and_strdup(&job->sha256, sha256);
        job->has_transferred = r >= 0;
        return r;
}

/* in place */

static int fill_transfer(Job *job, sd_bus_message *m, void *argument)
{
        const Volume *v = volume_find(job->pool, job->volume_name);
        const TransferTarget target = {
                .grow = v && v->row.type == VOLUME_FILE && !streq(v->row.format, "raw"),
        };

        return transfer_append(job, m, argument, &target);
}

static int transfer_answered(Job *job, sd_bus_message *reply, void *argument)
{
        return transfer_read_result(job, reply);
}

/* If bytes up to the end are all that there is, then it is "to the end", whatever that is by then. */
static uint64_t range_end(const Volume *v, const VolumeTransfer *t)
{
        uint64_t header = v->row.extra ? v->row.extra->header_size : 0;
        uint64_t size = v->row.type == VOLUME_FILE ? v->row.physical : v->row.capacity + header;

        return t->length >= size || t->offset >= size - t->length ? UINT64_MAX : t->offset + t->length;
}

static void begin(Job *job)
{
        const Volume *v = volume_find(job->pool, job->volume_name);
        const VolumeTransfer *t = volume_in_place_argument(job);

        volume_in_place_start(job, t->offset, v ? range_end(v, t) : UINT64_MAX);
}

static void measured(Job *job, const sd_bus_error *error)
{
        VolumeTransfer *t = volume_in_place_argument(job);

        t->length = job->bytes_total;
        if (error)
                job_finish(job, error);
        else
                begin(job);
}

static int transfer(Volume *v, const InPlace *what, const VolumeTransfer *t, uid_t uid, Job **ret,
                    sd_bus_error *error)
{
        _cleanup_bus_error_free_ sd_bus_error bad = SD_BUS_ERROR_NULL;
        InPlace w = *what;
        int r;

        w.client = true;
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
        r = transfer_take_descriptors(*ret, t, w.write);
        if (r < 0) {
                (void) error_set_errno(&bad, r, "Cannot pass on a descriptor for volume '%s'", v->row.name);
                job_finish(*ret, &bad);
        } else if (w.write && t->length == UINT64_MAX)
                transfer_measure(*ret, measured);
        else
                begin(*ret);
        return 0;
}

int volume_upload(Volume *v, const VolumeTransfer *t, uid_t uid, Job **ret, sd_bus_error *error)
{
        const InPlace what = {
                .operation = "upload-volume",
                .said = "changed",
                .verb = "Upload",
                .write = true,
                .mends = MENDS_BYTES,
        };
        int r = t->force ? 0 : volume_require_no_dependents(v, NULL, "overwritten, unless by force", error);

        return r < 0 ? r : transfer(v, &what, t, uid, ret, error);
}

int volume_download(Volume *v, const VolumeTransfer *t, uid_t uid, Job **ret, sd_bus_error *error)
{
        const InPlace what = {.operation = "download-volume", .said = "read", .verb = "Download"};

        return transfer(v, &what, t, uid, ret, error);
}

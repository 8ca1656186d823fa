/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-chain.h"

#include <fcntl.h>

#include "service/data-job.h"
#include "service/incomplete.h"
#include "service/volume-secret.h"

static void close_members(void *data)
{
        VolumeChain *c = data;

        for (size_t i = 0; i < c->n; i++)
                c->members[i].fd = safe_close(c->members[i].fd);
}

void volume_chain_done(VolumeChain *c)
{
        close_members(c);
        for (size_t i = 0; i < c->n; i++) {
                free(c->members[i].name);
                free(c->members[i].format);
                free(c->members[i].secret);
        }
        free(c->members);
        *c = (VolumeChain){};
}

const char *volume_image_format(const Volume *v)
{
        /* A partition's format is the system in it. */
        if (v->row.type == VOLUME_BLOCK)
                return volume_is_container(v, false) ? "luks" : "raw";
        return isempty(v->row.format) ? "raw" : v->row.format;
}

int volume_chain_add(VolumeChain *c, const Volume *v, const char *format, bool write, sd_bus_error *error)
{
        ChainMember *members;

        /* One is the job's own volume. */
        if (c->n >= DATA_FDS_MAX - 1)
                return error_setf(
                        error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                        "Volume '%s' of pool '%s' is at the end of a very long chain of volumes, or of a "
                        "circle; flatten one of them first",
                        v->row.name, v->pool->def->name);
        members = reallocarray(c->members, c->n + 1, sizeof *members);
        if (!members)
                return -ENOMEM;
        c->members = members;
        members[c->n++] = (ChainMember){.pool = v->pool,
                                        .name = strdup(v->row.name),
                                        .format = strdup(format),
                                        .start = volume_start(v),
                                        .write = write,
                                        .fd = -EBADF};
        return members[c->n - 1].name && members[c->n - 1].format ? 0 : -ENOMEM;
}

static bool is_encrypted_as(const Volume *v, const char *format)
{
        /* What is raw is read with its header, and handed on as it is. */
        return !streq(format, "raw") && v->row.extra && v->row.extra->encryption != ENCRYPTION_NONE;
}

int volume_chain_find_secret(const Volume *v, const char *format, char **ret, sd_bus_error *error)
{
        *ret = NULL;
        if (!is_encrypted_as(v, format))
                return 0;
        if (volume_secret_name(v))
                return volume_secret_path(v, NULL, ret, error);
        return error_setf(error, STORAGE_ERROR_NOT_FOUND,
                          "Volume '%s' of pool '%s' is encrypted, and must be opened for this, but it is "
                          "not known with "
                          "which secret: that is so only of volumes that this service has made",
                          v->row.name, v->pool->def->name);
}

const Volume *volume_chain_find_encrypted(const Volume *v, const char *format)
{
        for (unsigned i = 0; v && format && i < CHAIN_MAX; i++) {
                if (is_encrypted_as(v, format))
                        return v;
                if (streq(format, "raw") || !v->row.extra)
                        return NULL;
                format = v->row.extra->backing_format;
                v = volume_backing(v);
        }
        return NULL;
}

static int refuse(const Volume *v, const char *why, sd_bus_error *error)
{
        return error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                          "The contents of volume '%s' of pool '%s' cannot be read: its backing store %s %s",
                          v->row.name, v->pool->def->name, v->row.extra->backing_path, why);
}

int volume_chain_add_backing(VolumeChain *c, const Volume *v, const char *format, sd_bus_error *error)
{
        for (;;) {
                const VolumeExtra *extra = v->row.extra;
                int r;

                /* The origin of an LVM snapshot is no business of whoever reads it. */
                if (streq(format, "raw") || streq(format, "luks") || !extra || !extra->backing_path)
                        return 0;
                if (extra->backing_remote || !volume_backing(v))
                        return refuse(v,
                                      "is no volume of an active pool; define a pool over the folder that "
                                      "it is in",
                                      error);
                if (!extra->backing_format)
                        return refuse(v, "has no format recorded, and guessing it is dangerous; rebase it",
                                      error);
                format = extra->backing_format;
                r = incomplete_require_whole_below(v, volume_backing(v), error);
                v = volume_backing(v);
                if (r >= 0)
                        r = volume_chain_add(c, v, format, false, error);
                if (r >= 0)
                        r = volume_chain_find_secret(v, format, &c->members[c->n - 1].secret, error);
                if (r < 0)
                        return r;
        }
}

static void open_next(Job *job);

static void opened(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        _cleanup_bus_error_free_ sd_bus_error bad = SD_BUS_ERROR_NULL;
        VolumeChain *c = op->job->data;
        int fd, r;

        if (error) {
                job_finish(op->job, error);
                return;
        }
        r = sd_bus_message_read(reply, "h", &fd);
        if (r >= 0) {
                c->members[c->n_open].fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                r = c->members[c->n_open].fd < 0 ? -errno : 0;
        }
        if (r < 0) {
                (void) error_set_errno(&bad, r, "Cannot read what the worker of pool '%s' answered",
                                       pool->def->name);
                job_finish(op->job, &bad);
                return;
        }
        c->n_open++;
        open_next(op->job);
}

static int fill_open(Operation *op, sd_bus_message *m)
{
        const VolumeChain *c = op->job->data;
        const ChainMember *member = &c->members[c->n_open];

        return sd_bus_message_append(m, "ssa{sv}", member->name, member->write ? "write" : "read", 1, "start", "t",
                                     member->start);
}

static void open_next(Job *job)
{
        VolumeChain *c = job->data;

        if (c->n_open < c->n)
                (void) volume_job_submit(job, c->members[c->n_open].pool, "OpenVolume", fill_open, opened);
        else
                c->opened(job);
}

void volume_chain_open(Job *job, void (*done)(Job *job))
{
        VolumeChain *c = job->data;

        c->opened = done;
        job->close_data = close_members;
        open_next(job);
}

int volume_chain_append(const Job *job, const VolumeChain *c, size_t first, size_t end, size_t fd,
                        sd_bus_message *m)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "(shs)");
        for (size_t i = first; r >= 0 && i < end; i++)
                r = sd_bus_message_append(m, "(shs)", c->members[i].format, data_job_fd(job, fd + i - first),
                                          strempty(c->members[i].secret));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

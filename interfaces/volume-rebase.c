/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Methods of org.example.Storage1.Volume that change what a volume is built on. */

#include "service/volume-rebase.h"
#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/paths.h"
#include "interfaces/reply.h"
#include "interfaces/volume-methods.h"

static int read_wait(sd_bus_message *m, uint64_t *ret, sd_bus_error *error)
{
        const Option options[] = {{"wait", 't', ret}};

        *ret = WAIT_DEFAULT_USEC;
        return options_read(m, options, ELEMENTSOF(options), error);
}

int volume_method_flatten(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        Volume *v = userdata;
        Bus *b = bus_of(v->pool->manager);
        uint64_t wait;
        uid_t uid;
        int r;

        r = read_wait(m, &wait, error);
        if (r < 0)
                return r;
        r = access_check_volume(b, m, "change-volume", v, false, &uid, error);
        if (r > 0)
                r = access_check_chain(b, m, v, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = volume_flatten(v, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_JOB, wait, error);
}

/* What is written to is the backing volume, which may be somebody else's. */
int volume_method_commit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        Volume *v = userdata, *backing = volume_backing(v);
        Bus *b = bus_of(v->pool->manager);
        uint64_t wait;
        uid_t uid;
        int r;

        r = read_wait(m, &wait, error);
        if (r >= 0)
                r = hold_for_dependents(b, m);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = access_check_volume(b, m, "change-volume", v, false, &uid, error);
        if (r > 0 && backing)
                r = access_check_volume(b, m, "change-volume", backing, false, &uid, error);
        if (r > 0 && backing)
                r = access_check_chain(b, m, backing, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = volume_commit(v, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_JOB, wait, error);
}

typedef struct RebaseArguments {
        Volume *backing; /* NULL: none */
        bool unsafe;
        uint64_t wait;
} RebaseArguments;

static int read_rebase(sd_bus_message *m, Volume *v, RebaseArguments *a, sd_bus_error *error)
{
        const Option options[] = {{"unsafe", 'b', &a->unsafe}, {"wait", 't', &a->wait}};
        const char *path;
        int r;

        a->wait = WAIT_DEFAULT_USEC;
        r = sd_bus_message_read(m, "o", &path);
        if (r >= 0)
                r = options_read(m, options, ELEMENTSOF(options), error);
        if (r < 0)
                return r;
        if (streq(path, "/"))
                return a->unsafe ? error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                              "Without its backing volume '%s' would lose what comes from "
                                              "there: leave "
                                              "out unsafe",
                                              v->row.name)
                                 : 0;
        a->backing = volume_of_path(v->pool->manager, path);
        return a->backing ? 0 : error_setf(error, STORAGE_ERROR_NOT_FOUND, "There is no volume %s", path);
}

int volume_method_rebase(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        RebaseArguments a = {};
        Volume *v = userdata;
        Bus *b = bus_of(v->pool->manager);
        uid_t uid;
        int r;

        r = read_rebase(m, v, &a, error);
        if (r < 0)
                return r;
        r = access_check_volume(b, m, "change-volume", v, a.unsafe, &uid, error);
        if (r > 0)
                r = access_check_chain(b, m, v, &uid, error);
        /* Whoever has the overlay can read what it is built on. */
        if (r > 0 && a.backing)
                r = access_check_volume(b, m, "read-volume", a.backing, false, &uid, error);
        if (r > 0 && a.backing)
                r = access_check_chain(b, m, a.backing, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = a.backing ? volume_rebase(v, a.backing, a.unsafe, uid, &job, error)
                      : volume_flatten(v, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_JOB, a.wait, error);
}

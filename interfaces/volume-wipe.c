/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-wipe.h"

#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/reply.h"
#include "interfaces/volume-methods.h"

static int read_algorithm(const char *name, WipeAlgorithm *ret, sd_bus_error *error)
{
        char names[256] = "";
        size_t n = 0;

        *ret = wipe_algorithm_from_string(name);
        if (*ret < _WIPE_ALGORITHM_MAX)
                return 0;
        for (WipeAlgorithm a = 0; a < _WIPE_ALGORITHM_MAX && n < sizeof names; a++)
                n += (size_t) snprintf(names + n, sizeof names - n, "%s%s", n > 0 ? ", " : "",
                                       wipe_algorithm_to_string(a));
        return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "There is no algorithm '%.64s' to wipe with: these are %s", name, names);
}

int volume_method_wipe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        uint64_t wait = WAIT_DEFAULT_USEC;
        const char *name = "zero";
        WipeAlgorithm algorithm;
        bool force = false;
        const Option options[] = {{"algorithm", 's', &name}, {"force", 'b', &force}, {"wait", 't', &wait}};
        Volume *v = userdata;
        Bus *b = bus_of(v->pool->manager);
        uid_t uid;
        int r;

        r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = read_algorithm(name, &algorithm, error);
        if (r >= 0)
                r = hold_for_dependents(b, m);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = access_check_volume(b, m, "wipe-volume", v, force, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = volume_wipe(v, algorithm, force, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_JOB, wait, error);
}

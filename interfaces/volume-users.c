/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-users.h"

#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/reply.h"
#include "interfaces/volume-methods.h"

int volume_method_list_users(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        Volume *v = userdata;
        Bus *b = bus_of(v->pool->manager);
        uid_t uid;
        int r;

        r = options_read(m, NULL, 0, error);
        if (r < 0)
                return r;
        r = access_check_volume(b, m, "list-users", v, false, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = volume_list_users(v, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_USERS, WAIT_DEFAULT_USEC, error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who uses a volume: looked up by the pool's worker when somebody asks. */

#include "service/volume-work.h"

/* A job that looks, also while others work on the volume. *ret is a reference for the caller. */
int volume_list_users(Volume *v, uid_t uid, Job **ret, sd_bus_error *error);
/* What such a job has found, as one a(sua{sv}), when it has succeeded. */
int volume_users_append(const Job *job, sd_bus_message *m);

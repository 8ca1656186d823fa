/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * While data moves, logind is asked not to suspend or shut down the machine: a volume that is changed in
 * place would be left incomplete. One lock for all jobs, of the kind that refuses ("block"), as what delays
 * ends after five seconds, which is no help; who means it can go over it. Where there is no logind nothing
 * happens.
 */

#include <systemd/sd-event.h>

#include "common/util.h"

typedef struct Inhibitor Inhibitor;

/* On the system bus, which it shares. */
int inhibitor_new(sd_bus *bus, sd_event *event, Inhibitor **ret);
Inhibitor *inhibitor_free(Inhibitor *i);
/* Data is moved from now on, or no more. */
void inhibitor_set(Inhibitor *i, bool wanted);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an earlier run left on disk, read once, before the service has a name on the bus. A file that cannot
 * be read or understood is reported and left alone.
 */

#include "service/manager.h"

/* Reads definitions, autostart links and the pools that were active. Nothing is started. */
int load_pools(Manager *m);
/* Shows the pools on the bus, looks again at those that were active, starts what is to be started once a
 * boot. */
void load_begin(Manager *m);

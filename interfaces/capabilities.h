/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What this build can do, made from the pool types' facts and from what the backends told at the start. */

#include "service/manager.h"

/* libvirt's storagepoolCapabilities XML (storagepoolcaps.rng); *ret is owned by the caller. */
int capabilities_xml(const Manager *m, char **ret);
/* Manager.PoolTypes. */
int capabilities_get_pool_types(sd_bus *bus, const char *path, const char *interface, const char *property,
                                sd_bus_message *reply, void *userdata, sd_bus_error *error);

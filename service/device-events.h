/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Block devices that come or change, as udev tells: pools that wait to be tried again are tried soon, as it
 * may be theirs. What active pools have on their devices is watched by their workers.
 */

#include "service/manager.h"

typedef struct DeviceEvents DeviceEvents;

/* Without udev there are no events, which is no error: then the pools' own times decide. 0 or -ENOMEM. */
int device_events_new(Manager *m, DeviceEvents **ret);
DeviceEvents *device_events_free(DeviceEvents *d);
DEFINE_CLEANUP(DeviceEvents *, device_events_free)

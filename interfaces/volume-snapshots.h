/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The interface that only those volumes have that can have snapshots, on the same object as Volume. */

#include "interfaces/bus.h"

#define SNAPSHOTS_INTERFACE VOLUME_INTERFACE ".Snapshots"

extern const sd_bus_vtable snapshots_vtable[];

/* Finds volumes that have it; userdata: Pool. */
int snapshots_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                   sd_bus_error *error);
/* Bytes that the list takes in a message, about. */
size_t snapshots_size(const Volume *v);

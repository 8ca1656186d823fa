/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* D-Bus messages without a bus: a connection to itself makes them. */

#include <sys/socket.h>

#include "common/util.h"

/* A connection that is never finished, and an empty message on it to append to. */
static inline sd_bus_message *unsent_message(sd_bus **ret_bus)
{
        sd_bus_message *m = NULL;
        sd_bus *bus = NULL;
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                return NULL;
        if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fds[0], fds[1]) < 0 || sd_bus_start(bus) < 0 ||
            sd_bus_message_new_method_call(bus, &m, NULL, "/", "a.b", "C") < 0)
                abort();
        *ret_bus = bus;
        return m;
}

/* Makes what was appended readable from its beginning. */
static inline void seal_message(sd_bus_message *m)
{
        if (sd_bus_message_seal(m, 1, 0) < 0 || sd_bus_message_rewind(m, 1) < 0)
                abort();
}

#define _cleanup_bus_close_ _cleanup_(sd_bus_close_unrefp)

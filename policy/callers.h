/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The connections that have called the service: which user each one is, asked of the bus once and without
 * waiting, and when each one leaves.
 */

#include "common/errors.h"
#include "common/util.h"

typedef struct Callers Callers;

#define CALLER_UID_UNKNOWN ((uid_t) -1)

/* Messages kept of one connection while the bus is asked who it is. */
#define CALLER_MESSAGES_MAX 128U

/*
 * gone(name, userdata) is called when a connection has left; it is not counted any more by then, and its
 * messages that waited here are freed. It must not free the Callers.
 */
int callers_new(sd_bus *bus, size_t max, void (*gone)(const char *name, void *userdata), void *userdata,
                Callers **ret);
Callers *callers_free(Callers *callers);
DEFINE_CLEANUP(Callers *, callers_free)

/*
 * Remembers the sender of m. 1: its user is in *ret_uid. 0: the bus is being asked; with keep, m is
 * dispatched again once the answer is there (dropped, if the sender has left by then). Negative, with error
 * set: too many connections or messages (LimitsExceeded), or the bus does not know the user (AccessDenied).
 */
int callers_lookup(Callers *callers, sd_bus_message *m, bool keep, uid_t *ret_uid, sd_bus_error *error);

size_t callers_count(const Callers *callers);

/* Puts m into the read queue again: its handler reads it from the start. If it cannot, m is told why. */
int callers_redispatch(sd_bus_message *m);

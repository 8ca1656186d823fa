/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who calls, and may they? Both are asked of others over the bus, asynchronously: the first pass of a method
 * handler asks and returns, the message is put back into the queue when the answer is there, and the second
 * pass of the same handler goes on. So nothing may have changed before the check.
 */

#include "common/errors.h"
#include "common/util.h"

typedef struct Policy Policy;

#define POLICY_ACTION_PREFIX "org.example.storage1."

/*
 * Limits: dbus-daemon allows a connection 128 replies under way; a flood must leave room for others. What a
 * user calls beyond the questions allowed at once waits in line, so that a program may call for many things
 * together.
 */
#define POLICY_PENDING_MAX 64U         /* questions to polkit at a time, in all */
#define POLICY_PENDING_PER_USER_MAX 8U /* of one user */
#define POLICY_CALLS_MAX 512U          /* calls waiting for polkit, asked or in line, in all */
#define POLICY_CALLS_PER_USER_MAX 64U  /* of one user */
#define POLICY_ANSWERS_MAX 136U        /* different questions about one call: of two long chains */
#define POLICY_DETAILS_MAX 8U          /* pairs of a question */
#define POLICY_DETAIL_LENGTH_MAX 4096U /* bytes of a value */
#define POLICY_CALLERS_MAX 4096U       /* connections remembered */

/*
 * session: everything is allowed to the user this process runs as, and polkit is not asked.
 * changed(userdata) is called when a caller has left or the last pending call has been taken up again: the
 * moment to look whether the service is idle. It must not free the policy. The bus must be attached to an
 * event loop before the first check.
 */
int policy_new(sd_bus *bus, bool session, void (*changed)(void *userdata), void *userdata, Policy **ret);
Policy *policy_free(Policy *policy);
DEFINE_CLEANUP(Policy *, policy_free)

/*
 * The user who sent m. 1: in *ret_uid. 0: being looked up; the handler returns 1 at once, and is called
 * again with the same message. Negative: refused, error is set (too many callers: LimitsExceeded; sender
 * gone). The connection counts as a client of the service from now on, until it leaves the bus.
 */
int policy_caller(Policy *policy, sd_bus_message *m, uid_t *ret_uid, sd_bus_error *error);

/*
 * May the sender of m do action (POLICY_ACTION_PREFIX and one of the names in the .policy file)? details:
 * key, value, …, NULL: what rules files can look up (pool, type, volume, capacity, force, wish). 1: yes. 0:
 * asked; the handler returns 1 at once and is called again. Negative: no (AccessDenied,
 * InteractiveAuthorizationRequired), or too many calls pending (LimitsExceeded). The answer holds for this
 * message, this action and these details only: if the second pass asks for another action, or with other
 * details, it is asked anew. Root is always allowed.
 */
int policy_check(Policy *policy, sd_bus_message *m, const char *action, const char *const *details,
                 sd_bus_error *error);

/* Callers still connected, and calls that wait for an answer: while there are any the service stays. */
size_t policy_callers(const Policy *policy);
size_t policy_pending(const Policy *policy);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* polkit's agent for terminals, which asks for the password where no desktop does. */

#include "tools/storagectl.h"

/*
 * Starts pkttyagent, once, if it is of use: on the system bus, for a user who may be asked and has a
 * terminal. That it cannot be started is no error: the service then says what is missing.
 */
void agent_start(Context *c);
void agent_stop(Context *c);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One question to polkit (org.freedesktop.PolicyKit1.Authority.CheckAuthorization), asked without waiting.
 */

#include "common/errors.h"
#include "common/util.h"

typedef struct PolkitQuestion PolkitQuestion;

/* A person may have to find the password; nobody else is worth more than the usual time-out of a call. */
#define POLKIT_INTERACTIVE_USEC (120 * USEC_PER_SEC)
#define POLKIT_USEC (25 * USEC_PER_SEC)

/*
 * May caller (a unique bus name, the user uid) do action? details: key, value, …, NULL; copied into the
 * message. answer(r, error, userdata) is called once, later: r is 1 for yes; else negative, and error says
 * why: AccessDenied, or InteractiveAuthorizationRequired if authenticating would help. The question is over
 * then, but still the asker's to free; answer may do so. 0, or a negative errno and no question.
 */
int polkit_ask(sd_bus *bus, const char *caller, uid_t uid, const char *action, char *const *details,
               bool interactive, void (*answer)(int r, const sd_bus_error *error, void *userdata),
               void *userdata, PolkitQuestion **ret);

/* If it is not answered yet polkit is told to give up, which closes its dialogue on the user's screen. */
PolkitQuestion *polkit_question_free(PolkitQuestion *question);
DEFINE_CLEANUP(PolkitQuestion *, polkit_question_free)

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Asks the policy about one call, with what rules files can look up. */

#include "interfaces/bus.h"

typedef struct Access {
        const char *action; /* behind POLICY_ACTION_PREFIX */
        const char *pool, *type, *volume;
        uint64_t capacity; /* bytes; UINT64_MAX: does not apply */
        bool force;        /* the caller asks to go over a refusal: force, overwrite or shrink */
} Access;

/* As policy_check(): 1 go on, with the user in *ret_uid; 0 wait to be called again; negative refused. */
int access_check(Bus *b, sd_bus_message *m, const Access *access, uid_t *ret_uid, sd_bus_error *error);
int access_check_pool(Bus *b, sd_bus_message *m, const char *action, const Pool *pool, bool force,
                      uid_t *ret_uid, sd_bus_error *error);
int access_check_volume(Bus *b, sd_bus_message *m, const char *action, const Volume *v, bool force,
                        uid_t *ret_uid, sd_bus_error *error);
/*
 * read-volume on every volume that v is built on, not on v itself: whoever reads an overlay, or copies in
 * what is behind it, reads these, and a header that names them may be the caller's own work. 1 at once if
 * there are none, and then *ret_uid is left alone.
 */
int access_check_chain(Bus *b, sd_bus_message *m, const Volume *v, uid_t *ret_uid, sd_bus_error *error);
/* Unsupported, in words, for what no backend has; only after the check, so that nobody learns what he may
 * not. */
int unsupported(const Pool *pool, const char *what, sd_bus_error *error);

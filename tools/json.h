/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* D-Bus values as JSON: numbers stay numbers, variants are unwrapped, dictionaries become objects. */

#include <json-c/json.h>

#include "common/util.h"

static inline void json_putp(json_object **o)
{
        (void) json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_putp)

/* Reads the next complete value of m. The caller owns *ret. 0 or negative errno. */
int json_read(sd_bus_message *m, json_object **ret);

/*
 * Reads the next struct of m into an object: the members get the names in turn; a last member that has no
 * name is a dictionary, whose entries are added beside the others. 0 or negative errno, 1 at the end of the
 * array (then *ret is NULL).
 */
int json_read_struct(sd_bus_message *m, const char *contents, const char *const *names, size_t n_names,
                     json_object **ret);

/*
 * Reads the next array of such structs of m into an array of objects. The caller owns *ret. 0 or negative
 * errno.
 */
int json_read_rows(sd_bus_message *m, const char *contents, const char *const *names, size_t n_names,
                   json_object **ret);

/* Sets a member; takes value over, also on failure. 0 or -ENOMEM. */
int json_set(json_object *o, const char *key, json_object *value);
int json_set_string(json_object *o, const char *key, const char *value);

/* Members; what is missing is "", 0 or false. Strings are borrowed from o. */
const char *json_string(json_object *o, const char *key);
uint64_t json_number(json_object *o, const char *key);
bool json_truth(json_object *o, const char *key);

/* Prints o and a newline; pretty over several lines, else in one. 0 or -EIO. */
int json_print(json_object *o, bool pretty);
